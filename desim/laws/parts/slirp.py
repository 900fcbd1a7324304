"""Laws about slirp: a bare one, between a guest and a host that a law leads."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

from desim.data import NamedTuple
from desim.devices import HostFwd, SlirpVersion
from desim.engine.draw import Draw
from desim.laws.law import Run, stated
from desim.laws.parts.draw import drawn
from desim.laws.parts.stack import GATEWAY, WINDOW, Bed
from desim.slirp.datagram import Mbuf
from desim.slirp.socket import Socket
from desim.testing import Connection
from desim.wire.addresses import ip
from desim.wire.checksum import checksum
from desim.wire.segment import Segment
from desim.wire.tcp import ACK, FIN, PSH, SYN, TcpOptions

GUEST = ip("10.0.2.15")
HOST = ip(GATEWAY)
LONGEST = 24
"""Half seconds: slirp's longest time between two of the same (TCPTV_REXMTMAX)."""
VERSIONS: tuple[SlirpVersion, ...] = ("4.7", "2.8")


# From the guest to the host


class Piece(NamedTuple):
    """One segment of the guest's stream."""

    start: int
    end: int
    fin: bool


class Expected:
    """What of the guest's stream, ``size`` bytes and a FIN, has come in to slirp."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.known = bytearray(size)
        self.waiting: list[bool] = []
        """Of each segment beyond a hole that goes up to the end: whether it has a FIN."""
        self.edge = 0
        self.fin = False
        """Whether a FIN has been taken for sure."""

    def take(self, piece: Piece) -> None:
        """One more segment.

        Of those that wait slirp keeps what the others leave of them (4.4BSD's tcp_reass): if only
        some have a FIN, it may be forgotten.
        """
        before = self.edge
        self.known[piece.start : piece.end] = b"\1" * (piece.end - piece.start)
        hole = self.known.find(0)
        self.edge = self.size if hole < 0 else hole
        if piece.end == self.size:
            if piece.start <= before:
                self.fin = self.fin or piece.fin
                self.waiting = []  # it covers them, whether or not it has a FIN
            else:
                self.waiting.append(piece.fin)
        if self.edge == self.size and self.waiting and all(self.waiting):
            self.fin = True


@stated(
    test="tests/slirp/test_slirp_tcp_input.py",
    recording="tests/vectors/slirp; RFC 9293, section 3.10.7.4",
)
def slirp_puts_a_stream_together(run: Run) -> Iterator[str]:
    """slirp acknowledges what is in order, and a FIN with it; the host hears that, and its end.

    Whatever is repeated, overlaps or comes too early, and however little the host's socket takes at
    a time: no byte overtakes one that waits, and the end of the stream comes behind the last.
    """
    draw = drawn(run, "slirp stream")
    bed = Bed(draw.pick(VERSIONS))
    conn = bed.connected(draw)
    data = draw.data(draw.between(1, 40))
    seen = Expected(len(data))
    bed.program.room = draw.pick([0, 3, 1000])
    first = conn.seq
    steps = draw.between(3, 14)
    taken = len(bed.wire.sent)
    for step in range(steps + 1):
        piece = _piece(draw, seen) if step < steps else Piece(0, len(data), True)
        flags = ACK | (FIN if piece.fin else 0)
        bed.peer.send(conn.frame(flags, data[piece.start : piece.end], seq=first + piece.start))
        seen.take(piece)
        bed.poll()
        bed.wait(10, 5)
        wrong = _acknowledged(bed, first, taken, seen)
        heard = bytes(bed.program.hears)
        if not wrong and not data.startswith(heard):
            wrong = "the host hears other bytes"
        if not wrong and bed.program.told_end and len(heard) < len(data):
            wrong = f"the host is told of the end behind {len(heard)} of {len(data)} bytes"
        if wrong:
            yield f"segment {step} ({piece.start} to {piece.end}): {wrong}"
            return
        bed.program.room += draw.pick([0, 0, 2, 5])
    bed.program.room = 1 << 20
    bed.poll(4)
    if (bytes(bed.program.hears), bed.program.told_end) != (data, True):
        yield (
            f"at last the host has heard {len(bed.program.hears)} of {len(data)} bytes, and "
            f"{'has' if bed.program.told_end else 'has not'} been told of the end"
        )


def _piece(draw: Draw, seen: Expected) -> Piece:
    """The next that is in order, or any."""
    size = seen.size
    if draw.chance(2) and seen.edge < size:
        return Piece(seen.edge, draw.between(seen.edge + 1, min(seen.edge + 8, size)), False)
    start = draw.between(0, size - 1)
    end = draw.pick([size, draw.between(start + 1, size)])
    return Piece(start, end, end == size and draw.chance(2))


def _acknowledged(bed: Bed, first: int, taken: int, seen: Expected) -> str:
    """What is wrong with slirp's last acknowledgement; empty if nothing is."""
    segments = [one.segment for one in bed.wire.sent[taken:] if one.segment is not None]
    if not segments:
        return "it is not acknowledged"
    got = segments[-1].ack - first & 0xFFFF_FFFF
    at_least = seen.edge + (seen.fin and seen.edge == seen.size)
    at_most = seen.edge + (seen.edge == seen.size)
    if not at_least <= got <= at_most:
        return f"{got} is acknowledged, and {at_least} is in order"
    return ""


# From the host to the guest


class Listener:
    """A guest that hears what the host's program says, and looks at each segment."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.bed = Bed(draw.pick(VERSIONS))
        self.conn: Connection = self.bed.connected(draw)
        self.first = self.conn.ack
        self.said = b""
        self.full = 0
        """Bytes of the largest segment yet."""
        self.wrong = ""
        self.acknowledge()

    def say(self, size: int) -> list[Segment]:
        """The program says something; what slirp then sends."""
        data = self.draw.data(size)
        self.said += data
        self.bed.program.says += data
        return self.heard()

    def heard(self) -> list[Segment]:
        """What slirp has sent by now."""
        return self._looked_at(self.bed.heard(self.conn))

    def _looked_at(self, segments: list[Segment]) -> list[Segment]:
        for one in segments:
            self._look(one)
        return segments

    def _look(self, one: Segment) -> None:
        begin = one.seq - self.first & 0xFFFF_FFFF
        end = begin + len(one.payload)
        self.full = max(self.full, len(one.payload))
        if one.payload and one.payload != self.said[begin:end]:
            self.wrong = f"bytes {begin} to {end} are others than the program has said"
        if one.payload and end == len(self.said) and not one.flags & PSH:
            self.wrong = f"the last of {end} bytes is not pushed"

    def acknowledge(self, *, window: int = WINDOW) -> list[Segment]:
        """All that has come in order."""
        self.conn.window = window
        return self._looked_at(self.conn.send(ACK)) + self.heard()

    def catch_up(self) -> None:
        """Until all is here and acknowledged."""
        for _ in range(200):
            self.acknowledge()
            if self.conn.ack - self.first & 0xFFFF_FFFF == len(self.said):
                self.acknowledge()
                return
            self.bed.wait(10, 5)
        self.wrong = self.wrong or f"{len(self.said)} bytes do not come"


@stated(
    test="tests/slirp/test_slirp_socket_io.py",
    recording="tests/vectors/slirp (tcp_hostfwd); RFC 9293, sections 3.8.6 and 3.9.1",
)
def slirp_sends_what_the_host_says(run: Run) -> Iterator[str]:
    """The guest gets the bytes that the host says, and the last of what waits is pushed.

    However often slirp's ring of bytes goes round.
    """
    draw = drawn(run, "slirp bulk")
    guest = Listener(draw)
    for _ in range(draw.between(3, 8)):
        guest.say(draw.pick([1, 100, 1460, 3000, 4000, draw.between(1, 8000)]))
        guest.catch_up()
        if guest.wrong:
            yield guest.wrong
            return


@stated(
    test="tests/slirp/test_slirp_tcp_input.py",
    recording="tests/vectors/slirp (tcp_hostfwd); RFC 9293, section 3.8.6.1",
)
def slirp_asks_for_a_closed_window(run: Run) -> Iterator[str]:
    """While the guest's window is closed slirp sends a byte now and then, and less and less often.

    The first within 6 s. As soon as a segment opens the window what waits is sent.
    """
    draw = drawn(run, "slirp persist")
    guest = Listener(draw)
    guest.say(draw.between(1, 500))
    guest.acknowledge(window=0)
    early = [one for one in guest.say(draw.between(2000, 4000)) if len(one.payload) > 1]
    if early:
        yield f"slirp sends {len(early[0].payload)} bytes into a closed window"
        return
    asked: list[int] = []
    una = guest.conn.ack
    for half in range(draw.pick([14, 14, 60])):
        guest.bed.wait(500)
        for one in guest.heard():
            guest.conn.ack = una
            if len(one.payload) == 1:
                asked.append(half)
                guest.conn.window = 0
                guest.conn.send(ACK)
    gaps = [later - one for one, later in itertools.pairwise(asked)]
    if not asked or asked[0] > 12:
        yield "slirp does not ask whether the window is open again"
    elif gaps != sorted(gaps):
        yield f"slirp asks after {[one / 2 for one in gaps]} s"
    guest.conn.ack = una
    sent = guest.acknowledge()
    if not any(len(one.payload) > 1 for one in sent):
        yield "slirp does not go on when the window opens"
    elif guest.wrong:
        yield guest.wrong


@stated(
    test="tests/slirp/test_slirp_tcp_input.py",
    recording="tests/vectors/slirp (tcp_hostfwd); RFC 5681, section 3.2; RFC 6298, section 5",
)
def slirp_sends_again_what_is_lost(run: Run) -> Iterator[str]:
    """The third duplicate acknowledgement in a row makes slirp send again at once, no earlier one.

    Without any, its timer does: one segment at a time, and each time it waits twice as long, but no
    longer than 12 s.
    """
    draw = drawn(run, "slirp again")
    guest = Listener(draw)
    for _ in range(3):
        guest.say(6000)
        guest.catch_up()
    una = guest.conn.ack
    first = guest.say(8 * guest.full)
    if len(first) < 4:
        yield f"slirp sends {len(first)} segments of {8 * guest.full} bytes"
        return
    guest.conn.ack = una
    if draw.chance(2):
        yield from _duplicates(guest, una)
    else:
        yield from _silence(guest, una)


def _duplicates(guest: Listener, una: int) -> Iterator[str]:
    for number in range(1, 4):
        guest.conn.ack = una
        guest.bed.peer.send(guest.conn.frame(ACK))
        again = [one for one in guest.conn.segments() if one.seq == una and one.payload]
        guest.conn.ack = una
        if bool(again) != (number == 3):
            yield (
                f"duplicate acknowledgement {number}: slirp sends "
                f"{'it' if again else 'nothing'} again"
            )
            return


def _silence(guest: Listener, una: int) -> Iterator[str]:
    times: list[int] = []
    for half in range(80):
        guest.bed.wait(500)
        again = [one for one in guest.bed.heard(guest.conn) if one.payload]
        guest.conn.ack = una
        if len(again) > 1:
            yield f"slirp's timer sends {len(again)} segments again"
            return
        if again:
            times.append(half)
    gaps = [later - one for one, later in itertools.pairwise(times)]
    if len(gaps) < 3 or any(
        later != min(2 * one, LONGEST) for one, later in itertools.pairwise(gaps)
    ):
        yield f"slirp sends it again after {[gap / 2 for gap in gaps]} s"


@stated(
    test="tests/slirp/test_slirp_tcp_input.py",
    recording="tests/vectors/slirp (tcp_hostfwd); 4.4BSD, tcp_input.c",
)
def slirp_delays_an_acknowledgement(run: Run) -> Iterator[str]:
    """Data that acknowledges something new is acknowledged by the fast timer, in a few ms.

    Data in order that acknowledges nothing is acknowledged at once.
    """
    draw = drawn(run, "slirp delays")
    guest = Listener(draw)
    for _ in range(4):
        news = draw.chance(2)
        if news:
            guest.say(draw.between(1, 500))
        guest.bed.wait(20, 5)
        at_once = guest.conn.send(ACK | PSH, bytes(draw.between(6, 300)))
        if bool(at_once) == news:
            yield f"data that acknowledges {'something' if news else 'nothing'} new: " + (
                "it is acknowledged at once" if at_once else "it is not acknowledged at once"
            )
            return
        if news:
            guest.bed.wait(10, 3)
            if not guest.conn.segments():
                yield "data is not acknowledged within 10 ms"
                return


# What is older than a connection


@stated(
    test="tests/slirp/test_slirp_forwards.py",
    recording="tests/vectors/slirp (tcp_hostfwd); slirp/socket.c, sotranslate_accept",
)
def the_host_has_one_address(run: Run) -> Iterator[str]:
    """A program of the host, whatever its address there, is 10.0.2.2 to the guest."""
    draw = drawn(run, "slirp accept")
    bed = Bed()
    bed.slirp.add_hostfwd(HostFwd(host_port=5000, guest_addr=GUEST, guest_port=5000))
    address = bytes([127, draw.between(0, 1), 0, draw.between(1, 254)])
    port = draw.between(1024, 65535)
    bed.program.calls.append((address, port))
    bed.poll()
    found = [one.segment for one in bed.wire.sent if one.segment is not None]
    if [(one.src, one.sport, one.flags) for one in found] != [(HOST, port, SYN)]:
        yield f"a SYN of {address!r} port {port} comes as {found}"


@stated(
    test="tests/slirp/test_slirp_tcp_input.py",
    recording="RFC 9293, section 3.8.6.2.1; tests/vectors/slirp (tcp_hostfwd)",
)
def slirp_keeps_what_it_has_promised(run: Run) -> Iterator[str]:
    """The window that slirp has offered stays, also where its buffer gets smaller.

    That happens when the guest's SYN comes again, with another MSS.
    """
    draw = drawn(run, "slirp window")
    bed = Bed(draw.pick(VERSIONS))
    conn = bed.connected(draw)
    conn.send(ACK, draw.data(draw.between(6, 100)))
    bed.wait(10, 5)
    edges = [_edge(one.segment) for one in bed.wire.sent if one.segment is not None]
    bed.peer.send(conn.frame(SYN | ACK, seq=conn.seq - 1, mss=draw.between(400, 1400)))
    conn.send(ACK, draw.data(draw.between(6, 100)))
    bed.wait(10, 5)
    later = [one.segment for one in bed.wire.sent if one.segment is not None][len(edges) :]
    for one in later:
        back = edges[-1] - _edge(one) & 0xFFFF_FFFF
        if 0 < back < 1 << 31:
            yield f"the window's end goes back by {back}"
            return


def _edge(segment: Segment) -> int:
    return segment.ack + segment.window & 0xFFFF_FFFF


@stated(
    test="tests/slirp/test_slirp_tcp_input.py",
    recording="slirp/tcp_input.c, TIME_WAIT; tests/differential",
)
def time_wait_begins_again(run: Run) -> Iterator[str]:
    """A new acknowledgement in TIME_WAIT starts its 10 seconds again.

    Only an odd guest gets there: by another SYN, late, which empties slirp's buffer.
    """
    draw = drawn(run, "slirp time-wait")
    bed = Bed(draw.pick(VERSIONS))
    conn = bed.connected(draw)
    iss = conn.seq - 1
    bed.program.says += draw.data(3000)
    bed.program.ended = True
    una = conn.ack
    bed.poll()
    options = TcpOptions(mss=draw.between(400, 800)).mss
    bed.peer.send(conn.frame(SYN | ACK, seq=iss, ack=una, mss=options))
    bed.poll()
    bed.peer.send(conn.frame(ACK, ack=una + 1))
    bed.peer.send(conn.frame(FIN | ACK, ack=una + 1))
    bed.poll()
    bed.wait(6_000)
    bed.peer.send(conn.frame(ACK, seq=conn.seq + 1, ack=una + 2))
    bed.poll()
    bed.wait(9_000)
    if len(bed.slirp.tcp_subr.tcb) != 1:
        yield "9 s behind a new acknowledgement the connection is gone"
    bed.wait(2_000)
    if bed.slirp.tcp_subr.tcb:
        yield "11 s behind the last segment the connection is still there"


# Datagrams


def _fragment(ident: int, start: int, data: bytes, *, more: bool) -> bytes:
    """A frame of the guest's with bytes of a datagram for port 9000 of the host."""
    offset = start // 8 | (0x2000 if more else 0)
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(data), ident, offset, 64, 17, 0, GUEST, HOST
    )
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    macs = bytes.fromhex("52550a000202525400123456")
    return macs + b"\x08\x00" + head + data


@stated(
    test="tests/slirp/test_slirp_reassembly.py",
    recording="RFC 791, section 3.2; slirp/ip_input.c",
)
def slirp_puts_fragments_together(run: Run) -> Iterator[str]:
    """Fragments that are there in full, in any order and overlapping, are the datagram that was.

    Those of one that stays incomplete are forgotten after 30 s, and not before.
    """
    draw = drawn(run, "slirp fragments")
    bed = Bed(draw.pick(VERSIONS))
    size = 8 * draw.between(3, 30) + draw.between(1, 7)
    data = draw.data(size)
    udp = struct.pack("!HHHH", 3000, 9000, 8 + size, 0) + data
    blocks = -(-len(udp) // 8)
    cuts = [(0, draw.between(1, blocks))]
    while cuts[-1][1] < blocks:
        start = draw.between(max(0, cuts[-1][1] - 3), cuts[-1][1])
        cuts.append((start, draw.between(cuts[-1][1] + 1, blocks)))
    if len(cuts) == 1:
        cuts.append((0, blocks))
    ident = draw.between(1, 0xFFFF)
    if draw.chance(3):
        yield from _incomplete(bed, _fragment(ident, 0, udp[:16], more=True))
        return
    left = list(cuts)
    while left:
        start, end = left.pop(draw.between(0, len(left) - 1))
        more = end < blocks
        bed.peer.send(_fragment(ident, 8 * start, udp[8 * start : 8 * end], more=more))
    bed.poll()
    if data not in bed.program.datagrams:
        yield f"fragments {cuts} of {len(udp)} bytes do not become the datagram"


def _incomplete(bed: Bed, frame: bytes) -> Iterator[str]:
    bed.peer.send(frame)
    bed.wait(29_000)
    if bed.ledger.losses:
        yield f"after 29 s: {bed.ledger.reasons}"
    bed.wait(1_000)
    if not bed.ledger.losses:
        yield "after 30 s the fragment is still there"


@stated(
    test="tests/slirp/test_slirp_parts.py",
    recording="slirp/udp.h, SO_EXPIRE; tests/vectors/slirp (udp)",
)
def a_udp_session_lives_four_minutes(run: Run) -> Iterator[str]:
    """A session of UDP is over four minutes behind its last answer, or its beginning."""
    draw = drawn(run, "slirp udp")
    bed = Bed()
    bed.peer.send(bed.peer.datagram((GATEWAY, 9000), draw.data(9), port=draw.between(1024, 65535)))
    bed.poll()
    bed.wait(238_000, 14_000)
    sessions = len(bed.slirp.udp.sessions)
    bed.wait(3_000)
    left = len(bed.slirp.udp.sessions)
    if (sessions, left) != (1, 0):
        yield f"{sessions} sessions after 238 s, {left} after 241 s"


# What goes to the guest


@stated(test="tests/slirp/test_slirp_parts.py", recording="slirp/if.c, if_start")
def each_connection_has_its_turn(run: Run) -> Iterator[str]:
    """When frames may go on to the guest again, each connection sends one, in turn."""
    draw = drawn(run, "slirp turns")
    bed = Bed(resolved=False)
    interface = bed.slirp.interface
    sockets = [Socket() for _ in range(draw.between(2, 4))]
    counts = [draw.between(2, 5) for _ in sockets]
    for so, count in zip(sockets, counts, strict=True):
        for _ in range(count):
            interface.if_output(so, Mbuf(GUEST, _fragment(1, 0, bytes(8), more=False)[14:]))
    bed.slirp.if_encap = lambda ifm: True  # type: ignore[method-assign]  # the guest takes all
    interface.if_start()
    left = [sum(len(one.packets) for one in interface.batchq if one.so is so) for so in sockets]
    wanted = [count - 1 for count in counts]
    if left != wanted:
        yield f"of {counts} frames {left} are left after one turn, not {wanted}"
