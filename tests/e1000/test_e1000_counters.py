"""Random register programs and frame trains: every statistic, by its documented rule.

The model beside the card is the trace itself (what was offered, what was sent) and, per
counter, the rule of the recordings and the manual: what counts, and what a read clears.
"""

from __future__ import annotations

from collections import Counter

from card_fixture import BROADCAST, MAC, PEER, RX_RING, SECOND, TX_RING, Bed, Watched
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from desim.e1000.registers import (
    BPRC,
    BPTC,
    GORCH,
    GORCL,
    GOTCH,
    GOTCL,
    GPRC,
    GPTC,
    ICR,
    ICS,
    IMC,
    IMS,
    ITR,
    MPC,
    MPRC,
    MPTC,
    PRC64,
    PTC64,
    RCTL,
    RCTL_BAM,
    RCTL_EN,
    RCTL_LPE,
    RCTL_MPE,
    RCTL_SBP,
    RCTL_SECRC,
    RCTL_UPE,
    RDH,
    RDT,
    RNBC,
    ROC,
    RXT0,
    TDH,
    TDT,
    TORH,
    TORL,
    TOTH,
    TOTL,
    TPR,
    TPT,
    TSCTC,
)
from desim.wire.frame import Frame

EOP, RS = 1 << 24, 1 << 27
MULTICAST = bytes.fromhex("01005e000001")
STRANGER = bytes.fromhex("020000000001")
ADDRESSES = st.sampled_from([MAC, BROADCAST, MULTICAST, STRANGER])
SIZES = (
    st.integers(14, 130)
    | st.sampled_from([251, 252, 255, 256, 507, 508, 1019, 1020, 1514, 1522, 1523, 9000])
    | st.sampled_from([16384, 16385])
)

CLEARED = [GPRC, BPRC, MPRC, GPTC, TPR, TPT, ROC, MPTC, BPTC, TSCTC]
CLEARED += [PRC64 + n for n in range(6)] + [PTC64 + n for n in range(6)]
KEPT = [MPC, RNBC]
PAIRS = {GORCL: GORCH, GOTCL: GOTCH, TORL: TORH, TOTL: TOTH}

BUFFER_SIZES = {2048: 0, 1024: 1, 512: 2, 256: 3, 16384: 1 | 1 << 9, 4096: 3 | 1 << 9}
"""RCTL's size field, with BSEX as bit 9 of it, by bytes."""


def size_class(total: int) -> int | None:
    """64, 65 to 127, to 255, to 511, to 1023, above; shorter ones have no class."""
    if total < 64:
        return None
    return sum(total > limit for limit in (64, 127, 255, 511, 1023))


class Counted(RuleBasedStateMachine):
    """A driver with both rings, a peer, and a pencil."""

    SIZE = 8

    def __init__(self) -> None:
        super().__init__()
        self.bed = bed = Bed()
        bed.memory = bed.bus.memory = self.watched = Watched()
        bed.card.config_write(4, 0x7)
        bed.receive_ring(self.SIZE)
        bed.transmit_ring(self.SIZE)
        self.count: Counter[int] = Counter()
        self.next_tx = 0
        self.control([RCTL_BAM], 2048)

    @rule(
        flags=st.lists(
            st.sampled_from([RCTL_UPE, RCTL_MPE, RCTL_BAM, RCTL_LPE, RCTL_SBP, RCTL_SECRC])
        ),
        size=st.sampled_from(sorted(BUFFER_SIZES)),
    )
    def control(self, flags: list[int], size: int) -> None:
        self.watched.writes.clear()  # judged by the buffers they went to
        self.flags = sum(set(flags))
        self.buffer_size = size
        self.bed[RCTL] = RCTL_EN | self.flags | BUFFER_SIZES[size] << 16
        self.bed.clock.advance_to(self.bed.clock.now() + SECOND + 1)

    @rule(dst=ADDRESSES, size=SIZES)
    def arrive(self, dst: bytes, size: int) -> None:
        free = (self.bed[RDT] - self.bed[RDH]) % self.SIZE
        self.watched.writes.clear()
        self.bed.card.receive(Frame((dst + PEER + b"\x88\xb5").ljust(size, b"\x5a")))
        self.expect_received(dst, max(size, 60), free)

    def expect_received(self, dst: bytes, size: int, free: int) -> None:
        count, flags = self.count, self.flags
        if not flags & RCTL_SBP and size > (16384 if flags & RCTL_LPE else 1522):
            count[ROC] += 1
            return
        if dst[0] & 1 and flags & RCTL_MPE:
            count[MPRC] += 1
        elif dst == BROADCAST and flags & RCTL_BAM:
            count[BPRC] += 1
        elif dst != MAC and not (flags & RCTL_UPE and not dst[0] & 1):
            return
        total = size if flags & RCTL_SECRC else size + 4
        if -(-total // self.buffer_size) > free:
            count[RNBC] += 1
            count[MPC] += 1
            return
        for index in (TPR, GPRC):
            count[index] += 1
        for index in (TORL, GORCL):
            count[index] += size + 4
        kind = size_class(total)
        if kind is not None:
            count[PRC64 + kind] += 1

    @rule()
    def give_back(self) -> None:
        self.bed[RDT] = (self.bed[RDH] - 1) % self.SIZE

    @rule(dst=ADDRESSES, size=SIZES, reports=st.booleans())
    def send(self, dst: bytes, size: int, reports: bool) -> None:
        bed = self.bed
        raw = (dst + PEER + b"\x88\xb5").ljust(size, b"\xa5")
        bed.put(self.next_tx, raw, EOP | (RS if reports else 0))
        self.next_tx = (self.next_tx + 1) % self.SIZE
        self.watched.writes.clear()
        bed.wire.sent.clear()
        bed[TDT] = self.next_tx
        assert bed.sent() == [raw], "sent whole and once"
        count = self.count
        for index in (TPT, GPTC):
            count[index] += 1
        for index in (TOTL, GOTCL):
            count[index] += size + 4
        if dst[0] & 1:
            count[BPTC if dst == BROADCAST else MPTC] += 1
        kind = size_class(size + 4)
        if kind is not None:
            count[PTC64 + kind] += 1

    @rule(index=st.sampled_from(CLEARED))
    def read_and_clear(self, index: int) -> None:
        assert self.bed[index] == self.count[index]
        self.count[index] = 0

    @rule(index=st.sampled_from(KEPT))
    def read_and_keep(self, index: int) -> None:
        assert self.bed[index] == self.count[index]

    @rule(low=st.sampled_from(sorted(PAIRS)), high=st.booleans())
    def read_octets(self, low: int, high: bool) -> None:
        assert self.bed[low] == self.count[low] & 0xFFFF_FFFF
        if high:
            assert self.bed[PAIRS[low]] == self.count[low] >> 32
            self.count[low] = 0

    @invariant()
    def indices_stay_in_their_rings(self) -> None:
        assert all(0 <= self.bed[index] < self.SIZE for index in (RDH, RDT, TDH, TDT))

    @invariant()
    def writes_stay_in_rings_and_buffers(self) -> None:
        starts = [self.bed.buffer(n) for n in range(self.SIZE)]
        allowed = [(RX_RING, 16 * self.SIZE), (TX_RING, 16 * self.SIZE)]
        allowed += [(start, self.buffer_size) for start in starts]
        for address, size in self.watched.writes:
            assert any(at <= address and address + size <= at + room for at, room in allowed)

    def teardown(self) -> None:
        for index in (*CLEARED, *KEPT):
            assert self.bed[index] == self.count[index]


TestCounted = Counted.TestCase
TestCounted.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class Handler(RuleBasedStateMachine):
    """A driver as Linux's: an edge makes it read ICR and mask; it polls and unmasks later."""

    def __init__(self) -> None:
        super().__init__()
        self.bed = Bed(semantics=self.semantics)
        self.raised = self.seen = 0
        self.masked = False
        drive = self.bed.bus.set_irq

        def set_irq(level: bool) -> None:
            rising = level and not self.bed.bus.level
            drive(level)
            if rising:
                self.seen |= self.bed[ICR]
                self.bed[IMC] = 0xFFFF_FFFF
                self.masked = True

        self.bed.bus.set_irq = set_irq
        self.bed[IMS] = 0xFFFF_FFFF

    semantics = "qemu"

    @rule(bit=st.integers(0, 31))
    def cause(self, bit: int) -> None:
        self.raised |= 1 << bit
        self.bed[ICS] = 1 << bit

    @rule(itr=st.integers(0, 4_000))
    def tune(self, itr: int) -> None:
        self.bed[ITR] = itr

    @precondition(lambda self: self.masked)
    @rule()
    def poll(self) -> None:
        self.masked = False
        self.bed[IMS] = 0xFFFF_FFFF

    @rule(ns=st.integers(1, 2_000_000))
    def wait(self, ns: int) -> None:
        self.bed.clock.advance_to(self.bed.clock.now() + ns)

    def teardown(self) -> None:
        """Polling on, and waiting for the windows, shows every cause that ever came."""
        for _ in range(3):
            if self.masked:
                self.poll()
            self.wait(2_000_000)
        assert self.seen == self.raised, "no interrupt is lost, and none invented"


class DatasheetHandler(Handler):
    semantics = "datasheet"


TestHandler = Handler.TestCase
TestHandler.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestDatasheetHandler = DatasheetHandler.TestCase
TestDatasheetHandler.settings = TestHandler.settings


@given(sizes=st.lists(st.integers(60, 1514), min_size=1, max_size=30), count=st.integers(1, 7))
def test_a_flush_accounts_for_every_frame(sizes: list[int], count: int) -> None:
    """What an RDT write lets in is stored; each of the others is one MPC and one RNBC."""
    bed = Bed().receive_ring(mask=RXT0)
    bed[RDT] = bed[RDH]
    waiting = [Frame(MAC + PEER + b"\x88\xb5" + bytes(size - 14)) for size in sizes]

    def flush() -> None:
        for frame in waiting:
            assert bed.card.receive(frame) != 0
        waiting.clear()

    bed.wire.flush = flush
    bed[RDT] = count
    stored = min(count, len(sizes))
    assert bed[TPR] == stored
    assert bed[MPC] == bed[RNBC] == len(bed.losses.reasons) == len(sizes) - stored
