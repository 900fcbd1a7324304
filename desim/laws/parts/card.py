"""Laws about the card: a bare one, its registers written and its rings filled by the law."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from desim.data import NamedTuple
from desim.e1000.registers import (
    ICR,
    ICS,
    IMC,
    IMS,
    ITR,
    RADV,
    RCTL,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    RDTR,
    TADV,
    TCTL,
    TDBAL,
    TDH,
    TDLEN,
    TDT,
)
from desim.engine.draw import Draw
from desim.laws.law import Run, stated
from desim.laws.parts.draw import drawn
from desim.testing import Card
from desim.wire.checksum import checksum, pseudo_sum
from desim.wire.frame import Frame

MAC = bytes.fromhex("525400123456")
PEER = bytes.fromhex("525500000001")
BROADCAST = b"\xff" * 6
MULTICAST = bytes.fromhex("01005e000001")
SECOND_NS = 1_000_000_000

# 8254x manual: ICR (13.4.17), RCTL (13.4.22), descriptors (3.2.3, 3.3.3).
TXDW, TXQE, RXDMT0, RXO, RXT0 = 1 << 0, 1 << 1, 1 << 4, 1 << 6, 1 << 7
RCTL_EN, RCTL_BAM, RCTL_SECRC = 1 << 1, 1 << 15, 1 << 26
EOP, RS, DEXT, DATA, TSE, TCP, IP, IDE = (
    1 << 24,
    1 << 27,
    1 << 29,
    1 << 20,
    1 << 26,
    1 << 24,
    1 << 25,
    1 << 31,
)
SUMS = 3 << 8
"""POPTS: put both checksums in."""
DD = 1
PSH, FIN, ACK = 8, 1, 16

UNIT_NS = 256
FLOOR = 500
"""QEMU's shortest window, in units of ITR: tests/vectors/e1000 (mit)."""

RX_RING, TX_RING = 0x1_0000, 0x2_0000
RX_BUFFERS, TX_BUFFERS = 0x10_0000, 0x20_0000
BUFFER = 0x1000


# Interrupts

PAUSES_NS = (0, 1_000, 10_000, 20_000, 40_000, 70_000, 127_999, 128_000, 300_000)


class Line:
    """ICR, IMS, the line and the window, as the manual and QEMU's recordings have them."""

    def __init__(self, *, mitigation: bool) -> None:
        self.mitigation = mitigation
        self.icr = self.ims = 0
        self.itr = self.rdtr = self.radv = self.tadv = 0
        self.ide = self.level = False
        self.opens: int | None = None
        self.rises: list[int] = []

    def look(self, now: int) -> None:
        """Causes or mask have changed at ``now``."""
        pending = self.icr & self.ims
        if pending and not self.level:
            if self.opens is not None:
                return
            self.rises.append(now)
            if self.mitigation:
                self.opens = now + max(FLOOR, self._shortest(pending)) * UNIT_NS
                self.ide = False
        self.level = bool(pending)

    def _shortest(self, pending: int) -> int:
        asked = [self.itr]
        if self.ide and pending & (TXDW | TXQE):
            asked.append(4 * self.tadv)
        if self.rdtr and pending & RXT0:
            asked.append(4 * self.radv)
        return min((one for one in asked if one), default=0)

    def pass_to(self, now: int) -> None:
        """Time goes on to ``now``: windows open."""
        while self.opens is not None and self.opens <= now:
            at, self.opens = self.opens, None
            self.look(at)


@stated(
    test="tests/e1000/test_e1000_laws.py",
    recording="tests/vectors/e1000 (intr, mit); 8254x manual, section 13.4.17",
)
def the_line_rises_by_the_rules_of_mitigation(run: Run) -> Iterator[str]:
    """The line rises when a cause is pending and not masked, and no window is closed.

    A rise closes a window of 256 ns times the smallest of ITR, 4 RADV (RXT0 pending, RDTR not 0)
    and 4 TADV (a descriptor with IDE since the last window) that is not 0, and of 500 at least.
    What is pending when it opens raises the line at that instant. A read of ICR clears all causes,
    also those that are masked. Drawn writes and reads at drawn instants, beside those rules.
    """
    draw = drawn(run, "line")
    mitigation = not draw.chance(5)
    bed, line = Card(MAC, mitigation=mitigation), Line(mitigation=mitigation)
    _transmit_ring(bed, 64)
    bed[ICR]  # TXQE: the ring was empty when the transmitter was switched on
    line.itr = bed[ITR] = draw.pick([0, 100, 600, 900, 3000])
    line.rdtr = bed[RDTR] = draw.pick([0, 1, 1])
    line.radv = bed[RADV] = draw.pick([0, 50, 140, 200, 1000])
    line.tadv = bed[TADV] = draw.pick([0, 50, 140, 200, 1000])
    line.ims = bed[IMS] = draw.pick([0, 0xFFFF, 0xFFFF, 0xFFFF])
    sent = 0
    for step in range(100):
        bed.clock.pass_by(draw.pick(PAUSES_NS))
        now = bed.clock.now()
        line.pass_to(now)
        what = draw.between(0, 8)
        bits = draw.pick([RXT0, TXDW, RXDMT0, RXT0 | TXDW, 0xFFFF])
        if what < 3:
            bed[ICS], line.icr = bits, line.icr | bits
        elif what == 3:
            bed[IMS], line.ims = bits, line.ims | bits
        elif what == 4:
            bed[IMC], line.ims = bits, line.ims & ~bits
        elif what == 5 and sent < 60:
            line.ide = _send_short(bed, sent, ide=draw.chance(2)) or line.ide
            sent += 1
            line.icr |= TXDW | TXQE
        else:
            wanted, line.icr = line.icr, 0
            got = bed[ICR]
            if got != wanted:
                yield f"step {step}: ICR is {got:#x}, not {wanted:#x}"
                return
        line.look(now)
        if (bed.bus.edges, bed.bus.level) != (line.rises, line.level):
            yield (
                f"step {step}: the line has risen {len(bed.bus.edges)} times, at last at "
                f"{bed.bus.edges[-1:]}, and is {'high' if bed.bus.level else 'low'}; not "
                f"{len(line.rises)} times, {line.rises[-1:]}, {'high' if line.level else 'low'}"
            )
            return


# Transmission


def _transmit_ring(bed: Card, size: int) -> None:
    bed[TDBAL], bed[TDLEN] = TX_RING, size * 16
    bed[TDH] = bed[TDT] = 0
    bed[TCTL] = 2


def _put(bed: Card, place: int, data: bytes, command: int, upper: int = 0) -> None:
    """A data descriptor with its bytes."""
    address = TX_BUFFERS + BUFFER * place
    bed.memory.write(address, data)
    bed.memory.write(TX_RING + 16 * place, struct.pack("<QII", address, command | len(data), upper))


def _send_short(bed: Card, place: int, *, ide: bool) -> bool:
    _put(bed, place, bytes(60), EOP | RS | (IDE if ide else 0))
    bed[TDT] = place + 1
    return ide


class Packet(NamedTuple):
    """What a driver wants to be sent: headers, and payload to be cut into segments."""

    seq: int
    ident: int
    flags: int
    payload: bytes
    mss: int
    """0: one segment, whatever its length."""

    def headers(self) -> bytes:
        """54 bytes, with the sum of the pseudo header as Linux stores it."""
        src, dst = bytes([10, 0, 2, 15]), bytes([10, 0, 2, 2])
        length = 0 if self.mss else 20 + len(self.payload)
        total = 0 if self.mss else 20 + length
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total, self.ident, 0x4000, 64, 6, 0, src, dst)
        pseudo = pseudo_sum(src, dst, 6, length)
        while pseudo >> 16:
            pseudo = (pseudo >> 16) + (pseudo & 0xFFFF)
        tcp = struct.pack("!HHIIBBHHH", 5000, 80, self.seq, 1, 0x50, self.flags, 65535, pseudo, 0)
        return PEER + MAC + b"\x08\x00" + ip + tcp

    def wrong(self, frames: list[bytes]) -> str:
        """What is wrong with the frames that came of it; empty if nothing is."""
        size = self.mss or len(self.payload)
        cuts = range(0, len(self.payload), size)
        if len(frames) != len(cuts):
            return f"{len(frames)} frames, not {len(cuts)}"
        for number, (frame, at) in enumerate(zip(frames, cuts, strict=True)):
            piece = self.payload[at : at + size]
            last = at + size >= len(self.payload)
            length, ident = struct.unpack_from("!HH", frame, 16)
            (seq,) = struct.unpack_from("!I", frame, 38)
            flags = self.flags if last else self.flags & ~(PSH | FIN)
            for what, got, wanted in (
                ("payload", frame[54:], piece),
                ("length", length, 40 + len(piece)),
                ("identification", ident, self.ident + number & 0xFFFF),
                ("sequence number", seq, self.seq + at & 0xFFFF_FFFF),
                ("flags", frame[47], flags),
            ):
                if got != wanted:
                    return f"the {what} of segment {number} is {got!r:.40}, not {wanted!r:.40}"
            if not _adds_up(frame):
                return f"a checksum of segment {number} is wrong"
        return ""


def _adds_up(frame: bytes) -> bool:
    tcp = frame[34:]
    stored = frame[50:52]
    return (
        checksum(frame[14:34]) == 0
        and stored != b"\0\0"
        and checksum(tcp, pseudo_sum(frame[26:30], frame[30:34], 6, len(tcp))) == 0
    )


def _packet(draw: Draw) -> Packet:
    mss = draw.pick([0, 500, 1000, 1460])
    size = draw.between(1, 1400) if not mss else mss * draw.between(1, 3) + draw.between(1, mss - 1)
    seq, ident = draw.between(0, 0xFFFF_FFFF), draw.between(0, 0xFFFF)
    flags = ACK | draw.pick([0, PSH, PSH | FIN])
    made = Packet(seq, ident, flags, draw.data(size), mss)
    if mss or not draw.chance(3) or size < 2:
        return made
    # Payload with which the sum comes out as 0.
    payload = made.payload[: size & ~1][:-2]
    made = made._replace(payload=payload + b"\0\0")
    head = bytearray(made.headers())
    segment = bytes(head[34:]) + made.payload
    return made._replace(payload=payload + checksum(segment).to_bytes(2, "big"))


@stated(
    test="tests/e1000/test_e1000_transmit.py",
    recording="tests/vectors/e1000 (tx); 8254x manual, section 3.5",
)
def the_card_sends_what_its_ring_says(run: Run) -> Iterator[str]:
    """The card sends the frames of its ring, in order, cut and summed as their contexts say.

    Of a segmentation each segment has its own length, identification, sequence number and sums, and
    only the last has PSH and FIN. A checksum that comes out as 0 is stored as 0xFFFF. A
    descriptor is written back if it asks for that (RS), else never. At the ring's end the card
    goes on at its beginning.
    """
    draw = drawn(run, "transmit")
    bed = Card(MAC)
    size = 8 * draw.between(1, 3)
    _transmit_ring(bed, size)
    bed.memory.write(TX_RING + 16 * size, struct.pack("<QII", TX_BUFFERS, EOP | 60, 0))
    place = 0
    for number in range(8):
        packet = _packet(draw)
        context = IP | TCP | DEXT | (TSE if packet.mss else 0) | len(packet.payload)
        fields = (14, 24, 33, 34, 50, 0, context, 0, 54, packet.mss)
        command = DEXT | DATA | (TSE if packet.mss else 0)
        asks = [draw.chance(2), draw.chance(2)]
        places = [(place + n) % size for n in range(3)]
        bed.memory.write(TX_RING + 16 * places[0], struct.pack("<BBHBBHIBBH", *fields))
        _put(bed, places[1], packet.headers(), command | RS * asks[0], SUMS)
        _put(bed, places[2], packet.payload, command | EOP | RS * asks[1])
        place = (place + 3) % size
        del bed.wire.sent[:]
        bed[TDT] = place
        wrong = packet.wrong([frame.raw for frame in bed.wire.sent])
        done = [bool(bed.memory.read(TX_RING + 16 * n + 12, 1)[0] & DD) for n in places]
        if not wrong and done != [False, *asks]:
            wrong = f"written back: {done}, asked for: {[False, *asks]}"
        if not wrong and bed[TDH] != place:
            wrong = f"TDH is {bed[TDH]}, not {place}"
        if wrong:
            yield f"packet {number}: {wrong}"
            return


# Reception


class Ring:
    """A receive ring, as the driver and the manual see it."""

    def __init__(self, bed: Card, size: int, shift: int) -> None:
        self.bed = bed
        self.size = size
        self.shift = shift
        self.head = 0
        self.tail = 0
        for place in range(size):
            self._give(place)
        # What stands behind the ring is nobody's.
        bed.memory.write(RX_RING + 16 * size, struct.pack("<QQ", RX_BUFFERS + BUFFER * size, 0))
        bed[RDBAL], bed[RDLEN] = RX_RING, size * 16
        bed[RDH] = bed[RDT] = 0
        bed[RCTL] = RCTL_EN | RCTL_BAM | RCTL_SECRC | (shift - 1) << 8

    def _give(self, place: int) -> None:
        address = RX_BUFFERS + BUFFER * place
        self.bed.memory.write(RX_RING + 16 * place, struct.pack("<QQ", address, 0))

    @property
    def free(self) -> int:
        """Descriptors that are the card's."""
        return (self.tail - self.head) % self.size

    def more(self, count: int) -> None:
        """The driver gives the card so many, at most all but one."""
        for _ in range(min(count, self.size - 1 - self.free)):
            self._give(self.tail)
            self.tail = (self.tail + 1) % self.size
        self.bed[RDT] = self.tail

    def wrong(self, raw: bytes) -> str:
        """What is wrong with the descriptor that ``raw`` should be in; then it is the driver's."""
        at = RX_RING + 16 * self.head
        address, length, _, status, errors, _ = struct.unpack(
            "<QHHBBH", self.bed.memory.read(at, 16)
        )
        raw = raw.ljust(60, b"\0")
        if not status & DD:
            return f"descriptor {self.head} is not done"
        if (length, errors) != (len(raw), 0):
            return f"descriptor {self.head} has {length} bytes and errors {errors:#x}"
        if self.bed.memory.read(address, length) != raw:
            return f"the buffer of descriptor {self.head} has other bytes"
        self.head = (self.head + 1) % self.size
        if self.bed[RDH] != self.head:
            return f"RDH is {self.bed[RDH]}, not {self.head}"
        return ""


@stated(
    test="tests/e1000/test_e1000_receive.py",
    recording="tests/vectors/e1000 (rx); 8254x manual, sections 3.2 and 13.4.22",
)
def the_card_stores_what_is_for_it(run: Run) -> Iterator[str]:
    """A frame for the card's address, or for all, is stored in the ring's next descriptor.

    Any other is passed over. RXT0 tells of it, with RXDMT0 if no more than RDMTS's part of the ring
    is left. Without a descriptor it is lost, and RXO tells of that. For a second behind a write
    of RCTL the card takes nothing; then, and when it gets descriptors, it asks for what waits.
    """
    draw = drawn(run, "receive")
    bed = Card(MAC)
    ring = Ring(bed, 8 * draw.between(1, 4), draw.between(1, 3))
    ring.more(3)
    if bed.card.can_receive():
        yield "the card takes frames right behind a write of RCTL"
        return
    before = bed.wire.flushes
    bed.clock.pass_by(SECOND_NS)
    if not bed.card.can_receive() or bed.wire.flushes == before:
        yield "a second behind a write of RCTL the card does not ask for what waits"
        return
    for step in range(50):
        if draw.chance(3):
            before = bed.wire.flushes
            ring.more(draw.between(0, ring.size))
            if ring.free and bed.wire.flushes == before:
                yield f"step {step}: the card has descriptors, and does not ask for what waits"
                return
            continue
        wrong = _frame(draw, bed, ring)
        if wrong:
            yield f"step {step}: {wrong}"
            return


def _frame(draw: Draw, bed: Card, ring: Ring) -> str:
    """One frame comes, whether or not there is room; what is wrong then."""
    to = draw.pick([MAC, MAC, BROADCAST, MULTICAST, PEER])
    raw = to + PEER + b"\x88\xb5" + draw.data(draw.between(10, 200))
    bed[ICR]
    free = ring.free
    bed.card.receive(Frame(raw))
    told = bed[ICR]
    if to in (MULTICAST, PEER):
        return f"causes {told:#x} of a frame for another" if told else ""
    if not free:
        return "" if told == RXO else f"causes {told:#x} of a frame that is lost, not RXO"
    wrong = ring.wrong(raw)
    few = ring.free * 16 <= ring.size * 16 >> ring.shift
    wanted = RXT0 | RXDMT0 if few else RXT0
    if not wrong and told != wanted:
        return f"causes {told:#x} with {ring.free} of {ring.size} left, not {wanted:#x}"
    return wrong
