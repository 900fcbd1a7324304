"""Laws of the datasheet semantics, by section of Intel's manual, and of the wire."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import pytest
from card_fixture import BROADCAST, MAC, PEER, RX_RING, SECOND, TX_BUFFERS, TX_RING, Bed, ethernet
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from desim.e1000.registers import (
    ICR,
    ICS,
    IMS,
    ITR,
    MPC,
    PBA,
    RADV,
    RCTL,
    RDH,
    RDT,
    RDTR,
    RNBC,
    RXO,
    RXT0,
    TADV,
    TDH,
    TDT,
    TIDV,
    TPR,
    TXDW,
    TXQE,
)
from desim.e1000.wire_time import frame_ns
from desim.wire.frame import Frame

EOP, RS, IDE = 1 << 24, 1 << 27, 1 << 31
FPD = 1 << 31
UNIT = 1024
GAP_NS = 96


class Datasheet(Bed):
    """A bed whose interrupts are acknowledged at once, each with its time and causes."""

    def __init__(self, **properties: Any) -> None:
        super().__init__(semantics="datasheet", **properties)
        self.interrupts: list[tuple[int, int]] = []
        self.acknowledges = True
        drive = self.bus.set_irq
        self.offered: list[Frame] = []

        def set_irq(level: bool) -> None:
            rising = level and not self.bus.level
            drive(level)
            if rising and self.acknowledges:
                self.interrupts.append((self.clock.now(), self[ICR]))

        self.bus.set_irq = set_irq
        self.wire.flush = self._flush

    def _flush(self) -> None:
        """The sender's queue: it goes on while the card takes frames."""
        while self.offered and self.card.receive(self.offered[0]):
            self.offered.pop(0)

    def push(self, *frames: Frame) -> None:
        self.offered += frames
        self._flush()

    def wait(self, ns: int) -> None:
        self.clock.advance_to(self.clock.now() + ns)

    def until(self, ns: int) -> None:
        """Time ``ns``, with what happens then."""
        self.clock.advance_to(ns + 1)

    def receiving(self, size: int = 8, mask: int = RXT0, **registers: int) -> Datasheet:
        self.receive_ring(size, mask=mask)
        for name, value in registers.items():
            self[{"RDTR": RDTR, "RADV": RADV, "ITR": ITR}[name]] = value
        self.interrupts.clear()
        return self

    def times(self) -> list[int]:
        return [time for time, _ in self.interrupts]

    def give(self, count: int) -> None:
        """Clear the whole ring, as a driver that has taken all frames."""
        for n in range(count):
            self.memory.write(RX_RING + 16 * n + 8, bytes(8))


def test_there_are_two_semantics() -> None:
    with pytest.raises(ValueError, match="there are qemu, datasheet"):
        Bed(semantics="gem5")


def test_tidv_is_there_with_16_bits() -> None:
    bed = Datasheet()
    bed[TIDV] = 0x1_2345
    assert bed[TIDV] == 0x2345
    assert Bed()[TIDV] == 0
    assert Datasheet(mitigation=False)[TIDV] == 0


# The wire


def test_a_minimum_frame_takes_672_ns_and_a_full_one_12304() -> None:
    assert frame_ns(60) + GAP_NS == 672
    assert frame_ns(1514) + GAP_NS == 12_304
    assert frame_ns(14) == frame_ns(60)


def test_frames_arrive_one_after_the_other() -> None:
    bed = Datasheet().receiving()
    start = bed.clock.now()
    bed.push(ethernet(), ethernet(bytes(1500)), ethernet())
    bed.wait(SECOND)
    arrivals = [start + 576, start + 672 + 12_208, start + 672 + 12_304 + 576]
    assert bed.times() == arrivals
    assert bed[RDH] == 3


def test_the_sender_keeps_what_the_wire_cannot_take() -> None:
    bed = Datasheet().receiving()
    assert bed.card.can_receive()
    assert bed.card.receive(ethernet()) > 0
    assert not bed.card.can_receive()
    assert str(bed.card.blocked_by()) == "another frame is on the wire"
    assert bed.card.receive(ethernet()) == 0
    bed.until(bed.clock.now() + 576)
    assert bed.card.can_receive()
    assert bed.card.blocked_by() is None


def test_sent_frames_leave_one_after_the_other() -> None:
    bed = Datasheet().transmit_ring()
    left: list[int] = []
    send = bed.wire.send

    def noting(frame: Frame) -> int:
        left.append(bed.clock.now())
        return send(frame)

    bed.wire.send = noting
    for n in range(3):
        bed.put(n, MAC + PEER + bytes(48), EOP | RS)
    start = bed.clock.now()
    bed[TDT] = 3
    assert bed[TDH] == 3, "read into the FIFO, and written back, at once"
    assert not left
    bed.wait(SECOND)
    assert left == [start + 576, start + 576 + 672, start + 576 + 2 * 672]


def test_the_transmit_fifo_holds_back_descriptors_that_do_not_fit() -> None:
    bed = Datasheet().transmit_ring(16, mask=TXQE)
    for n in range(14):
        bed.put(n, MAC + PEER + bytes(1488), EOP | RS)
    bed[TDT] = 14
    assert bed[TDH] == 10, "ten frames of 1500 bytes in 16 KiB"
    assert not bed.interrupts
    bed.wait(12_192 + 1)
    assert bed[TDH] == 11
    bed.wait(SECOND)
    assert bed[TDH] == 14
    assert len(bed.wire.sent) == 14
    assert [causes & TXQE for _, causes in bed.interrupts] == [TXQE]


def test_a_descriptor_larger_than_the_fifo_goes_when_that_is_empty() -> None:
    bed = Datasheet().transmit_ring()
    bed.put(0, bytes(60), EOP | RS)
    bed.put(1, bytes(20_000), EOP | RS)
    bed[TDT] = 2
    assert bed[TDH] == 1
    bed.wait(SECOND)
    assert [len(data) for data in bed.sent()] == [60, 20_000]


# 3.2.7.1, 13.4.30, 13.4.31: RDTR and RADV


def test_rdtr_0_interrupts_for_each_packet_and_radv_does_not_count() -> None:
    bed = Datasheet().receiving(RADV=100)
    start = bed.clock.now()
    bed.push(ethernet(), ethernet())
    bed.wait(SECOND)
    assert bed.times() == [start + 576, start + 576 + 672]


def test_each_packet_starts_the_packet_timer_again() -> None:
    bed = Datasheet().receiving(RDTR=10)
    start = bed.clock.now()
    for n in range(3):
        bed.clock.advance_to(start + 9_000 * n)
        bed.push(ethernet())
    bed.wait(SECOND)
    assert bed.times() == [start + 18_000 + 576 + 10 * UNIT]


def test_the_absolute_timer_counts_from_the_first_packet() -> None:
    bed = Datasheet().receiving(RDTR=10, RADV=15)
    start = bed.clock.now()
    for n in range(3):
        bed.clock.advance_to(start + 9_000 * n)
        bed.push(ethernet())
    bed.wait(SECOND)
    assert bed.times() == [start + 576 + 15 * UNIT, start + 18_000 + 576 + 10 * UNIT]


def test_one_timers_expiry_cancels_the_other() -> None:
    for rdtr, radv, expected in ((4, 9, 4), (9, 4, 4), (5, 5, 5)):
        bed = Datasheet().receiving(RDTR=rdtr, RADV=radv)
        start = bed.clock.now()
        bed.push(ethernet())
        bed.wait(SECOND)
        assert bed.times() == [start + 576 + expected * UNIT]


def test_fpd_interrupts_now_and_clears_itself() -> None:
    bed = Datasheet().receiving(RDTR=1000, RADV=2000)
    bed.push(ethernet())
    bed.wait(1_000)
    assert not bed.interrupts
    bed[RDTR] = FPD | 1000
    assert bed.times() == [bed.clock.now()]
    assert bed[RDTR] == 1000
    bed.wait(SECOND)
    assert len(bed.interrupts) == 1


def test_an_immediate_rxt0_halts_the_timers_that_still_count() -> None:
    bed = Datasheet().receiving(RDTR=50, RADV=60)
    bed.push(ethernet())
    bed.wait(1_000)
    bed[RDTR] = 0
    bed.push(ethernet())
    bed.wait(SECOND)
    assert len(bed.interrupts) == 1


def test_rxdmt0_does_not_wait() -> None:
    bed = Datasheet().receiving(mask=0x90, RDTR=1000)
    bed.give(8)
    bed[RDT] = 3
    bed.push(ethernet())
    bed.wait(1_000)
    assert [causes for _, causes in bed.interrupts] == [0x10]


def expected_delays(events: list[int], relative: int, absolute: int) -> list[int]:
    """When delayed interrupts come: the simplest possible model of the two timers.

    One that is due at the very instant of an event is among them, so that the caller sees it:
    which of the two comes first is not said.
    """
    fired = []
    packet = first = None
    for now in [*events, 1 << 62]:
        due = min((t for t in (packet, first) if t is not None), default=None)
        if due is not None and due <= now:
            fired.append(due)
            packet = first = None
        packet = now + relative * UNIT
        if absolute and first is None:
            first = now + absolute * UNIT
    return fired


@settings(deadline=None)
@given(
    gaps=st.lists(st.integers(0, 60_000), min_size=1, max_size=12),
    rdtr=st.integers(1, 40),
    radv=st.integers(0, 60),
)
def test_receive_delays_follow_the_two_timers(gaps: list[int], rdtr: int, radv: int) -> None:
    bed = Datasheet().receiving(32, RDTR=rdtr, RADV=radv)
    now = bed.clock.now()
    arrivals: list[int] = []
    free = now
    for gap in gaps:
        now += gap
        bed.clock.advance_to(now)
        bed.push(ethernet())
        arrivals.append(max(now, free) + 576)
        free = arrivals[-1] + GAP_NS
    bed.wait(SECOND)
    expected = expected_delays(arrivals, rdtr, radv)
    assume(not set(expected) & set(arrivals))
    assert bed.times() == expected
    if radv:
        for arrival in arrivals:
            assert min(t for t in bed.times() if t >= arrival) - arrival <= radv * UNIT


# 3.3.7.1, 13.4.41, 13.4.44: TIDV and TADV


class Sender(Datasheet):
    """A ring to transmit from, one descriptor at a time."""

    def __init__(self, **registers: int) -> None:
        super().__init__()
        self.transmit_ring(64, mask=TXDW)
        for name, value in registers.items():
            self[{"TIDV": TIDV, "TADV": TADV, "ITR": ITR}[name]] = value
        self.next = 0

    def transmit(self, command: int) -> None:
        self.memory.write(TX_BUFFERS, bytes(60))
        self.memory.write(
            TX_RING + 16 * self.next, struct.pack("<QII", TX_BUFFERS, EOP | command | 60, 0)
        )
        self.next += 1
        self[TDT] = self.next


def test_without_ide_txdw_comes_with_the_write_back() -> None:
    bed = Sender(TIDV=100)
    bed.transmit(RS)
    assert [(t, c & TXDW) for t, c in bed.interrupts] == [(bed.clock.now(), TXDW)]


def test_ide_delays_txdw_by_tidv_counted_from_the_last() -> None:
    bed = Sender(TIDV=10)
    start = bed.clock.now()
    bed.transmit(RS | IDE)
    bed.wait(9_000)
    bed.transmit(RS | IDE)
    bed.wait(SECOND)
    assert bed.times() == [start + 9_000 + 10 * UNIT]


def test_tadv_bounds_the_delay_from_the_first() -> None:
    bed = Sender(TIDV=10, TADV=12)
    start = bed.clock.now()
    bed.transmit(RS | IDE)
    bed.wait(9_000)
    bed.transmit(RS | IDE)
    bed.wait(SECOND)
    assert bed.times() == [start + 12 * UNIT]


def test_an_immediate_interrupt_halts_both_timers() -> None:
    bed = Sender(TIDV=10, TADV=12)
    bed.transmit(RS | IDE)
    bed.transmit(RS)
    bed.wait(SECOND)
    assert len(bed.interrupts) == 1


@pytest.mark.parametrize("command", [0, IDE])
def test_without_rs_there_is_no_txdw(command: int) -> None:
    bed = Sender(TIDV=10)
    bed.transmit(command)
    bed.wait(SECOND)
    assert not bed.interrupts


def test_tidv_0_is_no_delay() -> None:
    bed = Sender(TADV=10)
    bed.transmit(RS | IDE)
    assert bed.times() == [bed.clock.now()]


@settings(deadline=None)
@given(
    gaps=st.lists(st.integers(0, 60_000), min_size=1, max_size=12),
    tidv=st.integers(1, 40),
    tadv=st.integers(0, 60),
)
def test_transmit_delays_follow_the_two_timers(gaps: list[int], tidv: int, tadv: int) -> None:
    bed = Sender(TIDV=tidv, TADV=tadv)
    written = []
    for gap in gaps:
        bed.wait(gap)
        bed.transmit(RS | IDE)
        written.append(bed.clock.now())
    bed.wait(SECOND)
    expected = expected_delays(written, tidv, tadv)
    assume(not set(expected) & set(written))
    assert bed.times() == expected


# 13.4.18: ITR


@given(
    steps=st.lists(st.tuples(st.integers(0, 300_000), st.booleans()), max_size=20),
    itr=st.integers(0, 2_000),
)
def test_edges_are_at_least_itr_apart_and_none_is_lost(
    steps: list[tuple[int, bool]], itr: int
) -> None:
    bed = Datasheet()
    bed[IMS] = RXT0
    bed[ITR] = itr
    raised = 0
    for ns, raises in steps:
        bed.wait(ns)
        if raises:
            bed[ICS] = RXT0
            raised += 1
    bed.wait(SECOND)
    times = bed.times()
    assert all(b - a >= itr * 256 for a, b in pairwise(times))
    assert bool(times) == bool(raised)
    assert not bed.card.mac_reg[ICR], "what was raised has been seen"
    if not itr:
        assert len(times) == raised


def test_there_is_no_floor_of_128_us() -> None:
    bed = Datasheet()
    bed[IMS] = RXT0
    bed[ITR] = 10
    start = bed.clock.now()
    bed[ICS] = RXT0
    bed[ICS] = RXT0
    bed.wait(SECOND)
    assert bed.times() == [start, start + 2_560]


def test_radv_and_tadv_do_not_shorten_itr() -> None:
    bed = Datasheet()
    bed[RDTR], bed[RADV], bed[TADV], bed[ITR], bed[IMS] = 1, 1, 1, 4_000, RXT0
    start = bed.clock.now()
    bed[ICS] = RXT0
    bed[ICS] = RXT0
    bed.wait(SECOND)
    assert bed.times() == [start, start + 4_000 * 256]


# The receive FIFO


def test_frames_without_descriptors_wait_in_the_fifo_and_none_is_lost() -> None:
    bed = Datasheet().receiving()
    frames = [ethernet(bytes([n])) for n in range(20)]
    bed.push(*frames)
    bed.wait(SECOND)
    assert bed[TPR] == 7
    assert bed.card.mac_reg[RNBC] == 13
    assert not bed.losses.reasons
    assert bed.losses.holds[-1] == "e1000: no receive descriptors: it waits in the FIFO"
    for tail in (6, 5, 4):
        bed.give(8)
        bed[RDT] = tail
    assert not bed.card.rx.fifo
    assert bed.card.rx.fifo_bytes == 0
    assert bed[TPR] == 13


def test_a_full_fifo_overruns() -> None:
    bed = Datasheet().receiving(mask=RXO)
    bed[PBA] = 1
    bed.push(*[ethernet(bytes(400)) for _ in range(12)])
    bed.wait(SECOND)
    assert bed[TPR] == 7
    assert bed[MPC] == 3, "two of 418 bytes fit into 1 KiB"
    assert bed.losses.reasons == ["e1000: receive FIFO full (RXO, MPC)"] * 3
    assert [causes & RXO for _, causes in bed.interrupts] == [RXO] * 3


def test_without_bus_master_frames_wait_in_the_fifo() -> None:
    bed = Datasheet().receiving()
    bed.card.config_write(4, 0x3)
    bed.push(ethernet())
    bed.wait(SECOND)
    assert bed[RDH] == 0
    bed.card.config_write(4, 0x7)
    assert bed[RDH] == 1


def test_a_frame_that_no_ring_would_hold_is_lost() -> None:
    bed = Datasheet().receiving(2)
    bed[RCTL] = 0x0400_8022
    bed.push(ethernet(bytes(5_000)))
    bed.wait(SECOND)
    assert bed.losses.reasons == ["e1000: no receive descriptors (RXO)"]


# What else differs from QEMU


def test_there_is_no_hold_off_after_rctl() -> None:
    bed = Datasheet().receiving()
    bed[RCTL] = bed[RCTL]
    bed.push(ethernet())
    bed.wait(1_000)
    assert bed[RDH] == 1


def test_frames_for_a_receiver_that_is_off_are_lost() -> None:
    bed = Datasheet()
    bed.push(ethernet())
    bed.wait(1_000)
    bed.card.set_link(False)
    bed.push(ethernet())
    bed.wait(1_000)
    assert bed.losses.reasons == [
        "e1000: receiver off (RCTL.EN) when it arrived",
        "e1000: link down (STATUS.LU) when it arrived",
    ]


def test_a_reset_loses_what_was_on_its_way_with_a_reason() -> None:
    bed = Datasheet().receiving()
    bed.transmit_ring()
    bed.put(0, bytes(60), EOP)
    bed[TDT] = 1
    bed.push(ethernet())
    bed.card.reset()
    bed.wait(SECOND)
    assert bed.losses.reasons == ["e1000: reset"] * 2
    assert not bed.wire.sent


@settings(deadline=None, max_examples=50)
@given(
    trains=st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(0, 50_000)), max_size=12
    )
)
def test_each_frame_is_stored_or_lost_with_a_reason_once(
    trains: list[tuple[int, int, int]],
) -> None:
    bed = Datasheet().receiving(RDTR=5, RADV=20)
    bed[PBA] = 2
    count = 0
    for frames, what, ns in trains:
        to = (MAC, BROADCAST, b"\x02" * 6, MAC)[what]
        bed.push(*[ethernet(bytes(100), dst=to) for _ in range(frames)])
        count += frames
        bed.wait(ns)
        if what == 3:
            bed.give(8)
            bed[RDT] = (bed[RDH] - 1) % 8
    bed.wait(SECOND)
    waiting = len(bed.card.rx.fifo)
    assert not bed.offered
    assert bed.card.mac_reg[TPR] + len(bed.losses.reasons) + waiting == count
