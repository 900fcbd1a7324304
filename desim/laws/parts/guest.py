"""Laws about the guest's TCP: a bare stack, with a peer whose segments a law writes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from desim.engine.draw import Draw
from desim.guest.net.socket import TcpSocket
from desim.laws.law import Run, stated
from desim.laws.parts.draw import drawn
from desim.testing import Connection
from desim.testing.guest import GUEST, GUEST_MAC, MS, SLIRP, SLIRP_MAC, Guest
from desim.wire.segment import Segment
from desim.wire.tcp import ACK, FIN, PSH, RST, SYN

PORT = 7000
RTT = 150 * MS
SECOND = 1000 * MS
MODULUS = 0xFFFF_FFFF


class Bed:
    """A guest with one connection that a peer has opened."""

    def __init__(self, draw: Draw, *, window: int = 30_000, mss: int = 1000) -> None:
        self.guest = Guest(salt=f"law {draw.between(0, 1 << 30)}").know_slirp()
        listener = self.guest.stack.tcp_socket()
        listener.bind(bytes(4), PORT)
        listener.listen(4)
        self.peer = Connection(
            self.guest.put,
            self.guest.take,
            mac=SLIRP_MAC,
            to_mac=GUEST_MAC,
            source=(SLIRP, draw.between(1024, 65535)),
            to=(GUEST, PORT),
            iss=draw.between(0, MODULUS),
        )
        self.peer.window = window
        self.peer.send(SYN, mss=mss)
        self.wait(RTT)
        self.peer.send(ACK)
        self.sock: TcpSocket = listener.accept()

    def wait(self, ns: int) -> None:
        """So much time passes."""
        self.guest.cpu.run(ns)

    def heard(self, ms: int) -> list[tuple[int, Segment]]:
        """What the guest sends within so many milliseconds: when (ms from now), and what."""
        found = []
        for passed in range(1, ms + 1):
            self.wait(MS)
            found += [(passed, one) for one in self.peer.segments()]
        return found

    def read(self) -> bytes:
        """What there is for the program."""
        try:
            return self.sock.recv(1 << 20)
        except BlockingIOError:
            return b""

    def states(self) -> list[str]:
        """Of its sockets that are no listeners."""
        return [one.state for one in self.guest.stack.sockets() if one.state != "LISTEN"]


# Receiving


@stated(
    test="tests/guest/test_tcp_acks.py",
    recording="tests/vectors/packetdrill; RFC 9293, section 3.10.7.4",
)
def the_guest_puts_a_stream_together(run: Run) -> Iterator[str]:
    """The guest acknowledges what is in order, FIN included, and its program reads just that.

    Whatever is repeated, overlaps or comes too early. Memory that a connection accounts for is
    that of the segments it keeps, and none when all has been read.
    """
    draw = drawn(run, "guest stream")
    bed = Bed(draw)
    data = draw.data(draw.between(1, 60))
    known = bytearray(len(data) + 1)
    """The last for the FIN."""
    first = bed.peer.seq
    got = b""
    steps = draw.between(2, 12)
    for step in range(steps):
        start, end = _stretch(draw, known)
        if step == steps - 1 and 0 in known:
            start, end = known.find(0), len(known)
        known[start:end] = b"\1" * (end - start)
        flags = ACK | (FIN if end > len(data) else 0) | (PSH if draw.chance(2) else 0)
        bed.guest.put(bed.peer.frame(flags, data[start : min(end, len(data))], seq=first + start))
        answers = bed.peer.segments() + [one for _, one in bed.heard(250)]
        edge = known.find(0) if 0 in known else len(known)
        acked = answers[-1].ack - first & MODULUS if answers else -1
        if (acked >= 0 and acked != edge) or (acked < 0 and edge > start and end > len(got)):
            yield f"segment {step} ({start} to {end}): {acked} is acknowledged, not {edge}"
            return
        if draw.chance(2):
            got += bed.read()
        sk = bed.sock.sk
        kept = sum(skb.truesize for skb in (*sk.receive_queue, *sk.ofo_queue))
        if sk.rmem_alloc != kept:
            yield f"segment {step}: {sk.rmem_alloc} bytes of memory for segments of {kept}"
            return
    got += bed.read()
    edge = known.find(0) if 0 in known else len(known)
    if got != data[:edge]:
        yield f"the program reads {len(got)} bytes, not the {min(edge, len(data))} in order"
    elif edge > len(data) and bed.states() != ["CLOSE_WAIT"]:
        yield f"a FIN was acknowledged, and the connection is {bed.states() or 'gone'}"


def _stretch(draw: Draw, known: bytearray) -> tuple[int, int]:
    """From where to where the next segment reaches: what is in order, or any."""
    size = len(known)
    edge = known.find(0)
    if edge >= 0 and draw.chance(2):
        return edge, draw.between(edge + 1, min(edge + 9, size))
    start = draw.between(0, size - 1)
    return start, draw.pick([size, draw.between(start + 1, size)])


@stated(
    test="tests/guest/test_tcp_acks.py",
    recording="tests/vectors/packetdrill; RFC 9293, section 3.10.7.4",
)
def the_guest_takes_nothing_beyond_its_window(run: Run) -> Iterator[str]:
    """What begins where the guest's window ends, or while that is closed, is not taken."""
    draw = drawn(run, "guest window")
    bed = Bed(draw, mss=1400)
    begin = bed.peer.seq
    size = draw.between(1000, 1400)
    last: Segment | None = None
    for _ in range(draw.between(10, 80)):
        start = bed.peer.seq - begin & MODULUS
        answers = bed.peer.send(ACK | PSH, bytes(size))
        closed = last is not None and not last.window
        for one in answers:
            acked = one.ack - begin & MODULUS
            if closed and acked > start:
                yield f"{acked - start} bytes that came into a closed window are acknowledged"
                return
            bed.peer.seq = one.ack if acked <= start else bed.peer.seq
            last = one
    answers = [one for _, one in bed.heard(60)]
    last = answers[-1] if answers else last
    if last is None or not last.window:
        return
    edge = last.ack + last.window
    bed.peer.seq = last.ack
    bed.guest.put(bed.peer.frame(ACK, bytes(100), seq=edge))
    answers = []
    while bed.peer.seq < edge:
        bed.read()
        answers += bed.peer.send(ACK, bytes(min(size, edge - bed.peer.seq)))
    answers += [one for _, one in bed.heard(250)]
    acked = answers[-1].ack - edge & MODULUS
    if 0 < acked < 1 << 31:
        yield f"{acked} bytes are acknowledged that began where the window ended"


@stated(
    test="tests/guest/test_tcp_acks.py",
    recording="tests/vectors/packetdrill; RFC 9293, section 3.8.6.3",
)
def the_guest_acknowledges_every_second_segment(run: Run) -> Iterator[str]:
    """A full segment that nothing follows is acknowledged later; a second one makes it at once.

    Once the quick acknowledgements of a young connection are used up. One that nothing carried
    waits longer the next time, up to a round trip.
    """
    draw = drawn(run, "guest acks")
    bed = Bed(draw)
    full = draw.between(500, 1000)
    for _ in range(30):
        bed.wait(10 * MS)
        bed.peer.send(ACK, bytes(full))
        bed.read()
    bed.wait(300 * MS)
    bed.peer.segments()
    for _ in range(2):
        answers = [_lone(bed, full) for _ in range(2)]
        if answers != [False, True]:
            said = ["at once" if one else "later" for one in answers]
            yield f"of two full segments the first is acknowledged {said[0]}, the second {said[1]}"
            return
    delays = []
    for _ in range(4):
        if _lone(bed, full):
            yield "a full segment is acknowledged at once"
            return
        delays.append(next((ms for ms, _ in bed.heard(200)), 0))
    if delays != sorted(delays) or delays[-1] < 1.5 * delays[0]:
        yield f"acknowledgements that nothing carries wait for {delays} ms"


def _lone(bed: Bed, size: int) -> bool:
    """One segment comes and is read: whether it is acknowledged at once."""
    answers = bed.peer.send(ACK, bytes(size))
    bed.read()
    return bool(answers + bed.peer.segments())


# Sending, and giving up


def _again(bed: Bed, seconds: int, seq: int) -> list[int]:
    """When (ms) the guest sends the segment at ``seq`` within that time."""
    times = []
    ack = bed.peer.ack
    for tenth in range(10 * seconds):
        bed.wait(100 * MS)
        times += [100 * tenth for one in bed.peer.segments() if one.seq == seq]
        bed.peer.ack = ack
    return times


@stated(
    test="tests/guest/test_tcp_closing.py",
    recording="tests/vectors/packetdrill; RFC 6298, section 5; tcp_orphan_retries",
)
def the_guest_tries_again_ever_later(run: Run) -> Iterator[str]:
    """What nobody acknowledges is sent again, each time after twice as long.

    A connection that no program holds does so for as long as nine doublings of 200 ms take
    (102.2 s), and then is gone.
    """
    draw = drawn(run, "guest retries")
    bed = Bed(draw)
    bed.sock.send(bytes(draw.between(1, 900)))
    orphan = draw.chance(2)
    if orphan:
        bed.sock.close()
    sent = bed.peer.segments()
    bed.peer.ack = sent[0].seq
    times = _again(bed, 25, sent[0].seq)
    gaps = [later - one for one, later in itertools.pairwise(times)]
    for one, later in itertools.pairwise(gaps):
        if not 1.5 * one <= later <= 2.5 * one:
            yield f"it is sent again after {gaps} ms"
            return
    if orphan:
        bed.wait(76 * SECOND)  # 101 s behind it was sent
        early = bed.states()
        bed.wait(150 * SECOND)
        late = bed.states()
        if not early or late:
            yield f"after 101 s an orphan is {early or 'gone'}, after 251 s {late or 'gone'}"


@stated(
    test="tests/guest/test_tcp_closing.py",
    recording="tests/vectors/packetdrill; tcp_fin_timeout",
)
def an_orphan_waits_a_minute_for_a_fin(run: Run) -> Iterator[str]:
    """A connection whose program and whose own half are gone waits a minute for the peer's FIN."""
    draw = drawn(run, "guest orphan")
    bed = Bed(draw)
    bed.wait(draw.between(0, 3000) * MS)
    bed.sock.close()
    bed.peer.segments()
    bed.peer.send(ACK)
    bed.wait(59 * SECOND)
    early = bed.states()
    bed.wait(7 * SECOND)
    if (early, bed.states()) != (["FIN_WAIT2"], []):
        yield f"after 59 s it is {early or 'gone'}, after 66 s {bed.states() or 'gone'}"


@stated(
    test="tests/guest/test_tcp_closing.py",
    recording="tests/vectors/packetdrill; RFC 9293, section 3.8.6.1",
)
def the_guest_asks_for_a_closed_window(run: Run) -> Iterator[str]:
    """While the peer's window is closed the guest asks ever later, and stays.

    For half a minute at least, whether or not the peer says again that it is closed.
    """
    draw = drawn(run, "guest probes")
    answers = draw.chance(2)
    bed = Bed(draw, window=1000)
    bed.sock.send(bytes(draw.between(3000, 9000)))
    bed.peer.segments()
    bed.peer.window = 0
    una = bed.peer.ack
    bed.peer.send(ACK)
    asked: list[int] = []
    for tenth in range(300):
        bed.wait(100 * MS)
        probes = bed.peer.segments()
        bed.peer.ack = una
        if any(one.flags & RST for one in probes):
            break
        if probes:
            asked.append(tenth)
            if answers:
                bed.peer.send(ACK)
                bed.peer.ack = una
    gaps = [later - one for one, later in itertools.pairwise(asked)]
    if len(asked) < 4 or gaps != sorted(gaps):
        yield f"it asks after {[100 * gap for gap in gaps]} ms"
    if bed.states() != ["ESTABLISHED"]:
        yield f"the connection is {bed.states() or 'gone'}"
