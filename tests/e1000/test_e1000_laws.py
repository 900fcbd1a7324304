"""Laws that hold whatever a driver, a peer or a guest gone wild does to the card."""

from __future__ import annotations

import struct

from card_fixture import BROADCAST, MAC, RX_RING, SECOND, TX_RING, Bed, Watched, ethernet
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from desim.e1000.interrupts import MIT_FLOOR, MIT_UNIT_NS
from desim.e1000.registers import (
    ICR,
    ICS,
    IMS,
    RCTL,
    RCTL_EN,
    RDBAH,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    STATUS,
    STATUS_LU,
    TABLE,
    TCTL,
    TDH,
    TDLEN,
    TDT,
    TPR,
)
from desim.wire.frame import Frame

KNOWN = sorted({row.first * 4 for row in TABLE})
OFFSETS = st.sampled_from(KNOWN) | st.integers(0, 0x3FFFF)
SIZES = st.sampled_from([1, 2, 4])
VALUES = st.integers(0, 0xFFFF_FFFF) | st.sampled_from([0, 1, 2, 0xFFFF, 0xFFFF_FFFF])
CAUSES = st.sampled_from([0x1, 0x2, 0x4, 0x10, 0x40, 0x80, 0x93, 0xFFFF_FFFF])
MINIMUM_WINDOW_NS = MIT_FLOOR * MIT_UNIT_NS
SEMANTICS = st.sampled_from(["qemu", "datasheet"])
MS = 1_000_000
RING_MAX = 64
"""Descriptors; the loops of larger rings are as finite, but a test has no time for them."""


def frames() -> st.SearchStrategy[Frame]:
    """Of 0 bytes to 64 KiB: for us, for all, tagged, or anything."""
    head = st.sampled_from([MAC, BROADCAST, b"\x01" + bytes(5), b""])
    size = st.integers(0, 100) | st.sampled_from([1518, 1522, 1523, 4096, 16384, 16385, 65536])
    return st.builds(
        lambda start, kind, n: Frame((start + bytes(6) + kind).ljust(n, b"\x5a")[:n]),
        head,
        st.sampled_from([b"\x08\x00", b"\x81\x00\x00\x07"]),
        size,
    )


@given(
    accesses=st.lists(st.tuples(OFFSETS, SIZES, VALUES | st.none()), max_size=40),
    arrivals=st.lists(frames(), max_size=3),
    semantics=SEMANTICS,
)
def test_no_access_raises_or_leaves_32_bits(
    accesses: list[tuple[int, int, int | None]], arrivals: list[Frame], semantics: str
) -> None:
    bed = Bed(semantics=semantics)
    for offset, size, value in accesses:
        if value is not None and offset & 0x1FFFC in (TDT * 4, TCTL * 4):
            # Huge rings of zeros are walked, as in QEMU; see RING_MAX.
            bed.card.mac_reg[TDLEN] &= RING_MAX * 16
        if value is None:
            assert 0 <= bed.card.mmio_read(offset, size) < 1 << 8 * size
        else:
            bed.card.mmio_write(offset, value, size)
    bed.card.mac_reg[RDLEN] &= RING_MAX * 16
    for frame in arrivals:
        assert bed.card.receive(frame) in range(-1, len(frame) + 61)
        bed.clock.advance_to(bed.clock.now() + 10 * MS)
    assert all(0 <= value <= 0xFFFF_FFFF for value in bed.card.mac_reg)


DESCRIPTORS = st.lists(st.binary(min_size=16, max_size=16) | st.builds(
    lambda address, lower, upper: struct.pack("<QII", address, lower, upper),
    st.sampled_from([0, 0x1000, (1 << 64) - 5]),
    st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 0xFFFF_FFFF),
), min_size=1, max_size=RING_MAX // 4)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    descriptors=DESCRIPTORS,
    tail=st.integers(0, 0xFFFF),
    head=st.integers(0, 0xFFFF),
    semantics=SEMANTICS,
)
def test_any_transmit_ring_ends(
    descriptors: list[bytes], tail: int, head: int, semantics: str
) -> None:
    bed = Bed(semantics=semantics).transmit_ring(len(descriptors))
    # A small MSS makes up to 65,535 frames of one descriptor: cut to what a test can wait for.
    for n, descriptor in enumerate(descriptors):
        lower = int.from_bytes(descriptor[8:12], "little") & 0xFFFF_0FFF
        bed.memory.write(
            TX_RING + 16 * n, descriptor[:8] + lower.to_bytes(4, "little") + descriptor[12:]
        )
    bed[TDH] = head
    bed[TDT] = tail
    bed.clock.advance_to(bed.clock.now() + SECOND)
    assert 0 <= bed[TDH] <= 0xFFFF
    assert not bed.card.tx.busy
    assert all(len(frame) <= 0x10000 + 4 for frame in bed.wire.sent)


@given(
    base=st.integers(0, (1 << 64) - 1),
    length=st.integers(0, RING_MAX * 16),
    head=st.integers(0, 0xFFFF),
    tail=st.integers(0, 0xFFFF),
    descriptors=st.lists(st.binary(min_size=16, max_size=16), max_size=8),
    rctl=VALUES,
    arrivals=st.lists(frames(), max_size=4),
    semantics=SEMANTICS,
)
def test_any_receive_ring_ends(
    base: int,
    length: int,
    head: int,
    tail: int,
    descriptors: list[bytes],
    rctl: int,
    arrivals: list[Frame],
    semantics: str,
) -> None:
    bed = Bed(semantics=semantics)
    for n, descriptor in enumerate(descriptors):
        bed.memory.write((base & ~0xF) + 16 * n & (1 << 64) - 1, descriptor)
    bed[RDBAL], bed[RDBAH] = base & 0xFFFF_FFFF, base >> 32
    bed[RDLEN], bed[RDH], bed[RDT] = length, head, tail
    bed[RCTL] = rctl | RCTL_EN
    bed.clock.advance_to(SECOND + 1)
    for frame in arrivals:
        answer = bed.card.receive(frame)
        assert answer == -1 or answer >= 0
        bed.clock.advance_to(bed.clock.now() + MS)
        assert 0 <= bed[RDH] <= 0xFFFF


class Line(RuleBasedStateMachine):
    """The interrupt line, under any sequence of causes, masks and time."""

    semantics = "qemu"

    def __init__(self) -> None:
        super().__init__()
        self.bed = Bed(semantics=self.semantics)

    @rule(val=CAUSES)
    def cause(self, val: int) -> None:
        self.bed[ICS] = val

    @rule(val=CAUSES)
    def mask(self, val: int) -> None:
        self.bed[IMS] = val

    @rule(val=CAUSES)
    def unmask(self, val: int) -> None:
        self.bed.card.mmio_write(0xD8, val)

    @rule(val=CAUSES)
    def acknowledge(self, val: int) -> None:
        self.bed[ICR] = val

    @rule()
    def read(self) -> None:
        causes = self.bed[ICS]
        assert self.bed[ICR] == causes
        assert self.bed[ICR] == 0

    @rule(offset=st.sampled_from([0xC4, 0x2820, 0x282C, 0x382C]), val=st.integers(0, 3000))
    def tune(self, offset: int, val: int) -> None:
        self.bed.card.mmio_write(offset, val)

    @rule(ns=st.integers(1, 400_000))
    def wait(self, ns: int) -> None:
        self.bed.clock.advance_to(self.bed.clock.now() + ns)

    @rule(off=st.booleans())
    def disable_intx(self, off: bool) -> None:
        self.bed.card.config_write(4, 0x407 if off else 0x7)

    @invariant()
    def line_is_high_exactly_while_something_is_pending_outside_the_window(self) -> None:
        card = self.bed.card
        pending = card.mac_reg[ICR] & card.mac_reg[IMS] != 0
        if card.interrupts.mit_timer_on:
            # Inside, it may only be kept low; and then the window's end is due.
            assert pending or not card.irq_level
            assert card.interrupts.mit_timer.deadline is not None
        else:
            assert card.irq_level == pending

    @invariant()
    def disabled_intx_keeps_the_line_low_on_the_bus_only(self) -> None:
        card = self.bed.card
        assert self.bed.bus.level == (card.irq_level and not card.pci.intx_disabled)
        assert card.config_read(6, 2) >> 3 & 1 == card.irq_level

    @invariant()
    def icr_and_ics_are_one(self) -> None:
        assert self.bed.card.mac_reg[ICR] == self.bed.card.mac_reg[ICS]


TestLine = Line.TestCase


class DatasheetLine(Line):
    """The window is another one; the law is the same."""

    semantics = "datasheet"


TestDatasheetLine = DatasheetLine.TestCase


@given(steps=st.lists(st.tuples(st.integers(0, 200_000), CAUSES), max_size=30))
def test_edges_are_at_least_128_us_apart(steps: list[tuple[int, int]]) -> None:
    bed = Bed()
    bed[IMS] = 0xFFFF_FFFF
    for ns, causes in steps:
        bed.clock.advance_to(bed.clock.now() + ns)
        bed[ICS] = causes
        if causes & 1:
            bed[ICR]
    gaps = [b - a for a, b in zip(bed.bus.edges, bed.bus.edges[1:], strict=False)]
    assert all(gap >= MINIMUM_WINDOW_NS for gap in gaps)


class Train(RuleBasedStateMachine):
    """A driver that keeps its ring in order, and frames that arrive at any time."""

    SIZE = 8

    def __init__(self) -> None:
        super().__init__()
        self.bed = Bed()
        watched = Watched()
        self.bed.memory = self.bed.bus.memory = watched
        self.bed.card.config_write(4, 0x7)
        self.bed.receive_ring(self.SIZE, rctl=0x0400_8022)
        watched.writes.clear()
        self.watched = watched
        self.offered: list[bytes] = []
        self.taken: list[bytes] = []
        self.clean = 0

    @rule(size=st.integers(60, 1500), big=st.booleans())
    def arrive(self, size: int, big: bool) -> None:
        number = len(self.offered).to_bytes(4, "big")
        frame = ethernet(number.ljust(size * (8 if big else 1), b"\x33"))
        answer = self.bed.offer(frame)
        if answer is not None and answer > 0:
            self.offered.append(frame.raw)

    @rule()
    def poll(self) -> None:
        """Take what is done, as a driver does, and give the descriptors back."""
        data = b""
        while True:
            address, length, _, status, _, _ = self.bed.descriptor(self.clean)
            if not status & 1:
                break
            data += self.bed.memory.read(address, length)
            if status & 2:
                self.taken.append(data)
                data = b""
            self.bed.memory.write(RX_RING + 16 * self.clean + 8, bytes(8))
            self.clean = (self.clean + 1) % self.SIZE
        self.bed[RDT] = (self.clean - 1) % self.SIZE
        self.watched.writes.clear()
        assert self.taken == self.offered, "each frame once, whole and in order"

    @rule()
    def link_flaps(self) -> None:
        self.bed.card.set_link(False)
        assert not self.bed[STATUS] & STATUS_LU
        self.bed.card.set_link(True)
        self.bed.clock.advance_to(self.bed.clock.now() + SECOND)

    @invariant()
    def writes_stay_in_ring_and_buffers(self) -> None:
        for address, size in self.watched.writes:
            in_ring = address >= RX_RING and address + size <= RX_RING + 16 * self.SIZE
            in_buffer = any(
                self.bed.buffer(n) <= address and address + size <= self.bed.buffer(n) + 2048
                for n in range(self.SIZE)
            )
            assert in_ring or in_buffer

    @invariant()
    def indices_stay_in_the_ring(self) -> None:
        assert 0 <= self.bed[RDH] < self.SIZE
        assert 0 <= self.bed[RDT] < self.SIZE

    @invariant()
    def the_counter_is_the_number_of_frames(self) -> None:
        assert self.bed.card.mac_reg[TPR] == len(self.offered)


TestTrain = Train.TestCase
TestTrain.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestLine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestDatasheetLine.settings = TestLine.settings
