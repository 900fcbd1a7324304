"""Laws about what arrives of what was sent."""

from __future__ import annotations

from collections.abc import Iterator

from desim.config import MachineConfig
from desim.laws.conversations import Conversation, Talker, conversations_of
from desim.laws.law import Run, stated
from desim.laws.segments import Stream, streams
from desim.laws.slirps_ways import lost_its_place, wrote_in_vain
from desim.wire.tcp import ACK, RST, SYN

STOPPED = 130
"""The exit status of a program that Ctrl-C has ended."""


@stated(
    test="tests/machine/test_machine_tcp_laws.py",
    recording="RFC 9293, section 3.1; tests/vectors/slirp",
)
def what_arrives_is_a_prefix(run: Run) -> Iterator[str]:
    """What arrives over a TCP connection is a prefix of what was sent.

    Whatever is lost, late, repeated, overtaken or spoilt. But for what slirp forgets when
    a guest's SYN-ACK comes again, or when it writes in vain (``SLIRP_LOSES``): then a stretch is
    missing in the middle. Judged for every pair of ``nc`` of which the scenario says what the one
    sends, and that the other keeps in a file.
    """
    files = run.files
    for one in conversations_of(run):
        if one.server.udp:
            continue
        for says, keeps in one.directions():
            assert says.says is not None
            assert keeps.keeps is not None
            got = files.get(keeps.keeps, b"")
            if says.says.startswith(got) or (
                _slirp_lost_it(run, one) and _lacks_a_stretch(says.says, got)
            ):
                continue
            yield f"{one.name}: {_first_difference(says.says, got, keeps)}"


@stated(
    test="tests/machine/test_machine_tcp_laws.py",
    recording="tests/vectors/slirp (tcp_hostfwd), tests/vectors/slirp/found",
)
def losses_are_told(run: Run) -> Iterator[str]:
    """All that was sent arrives, unless somebody was told that it did not.

    Somebody was told if a reset was sent, an end gave up or never had the connection, or a
    program was stopped. Beside that slirp loses data in its own ways only (``SLIRP_LOSES``). A
    server, and busybox's ``nc``, leave what they have not said when the other end closes.
    """
    files = run.files
    for one in conversations_of(run):
        if one.server.udp or one.server.limited or one.client.limited or not _both_ended(run, one):
            continue
        for says, keeps in one.directions():
            assert says.says is not None
            assert keeps.keeps is not None
            if keeps.closes and not says.patient:
                continue
            got = files.get(keeps.keeps, b"")
            if len(got) < len(says.says) and not _told(run, one) and not _slirp_lost_it(run, one):
                yield (
                    f"{one.name}: {len(got)} of {len(says.says)} bytes in {keeps.keeps}, and "
                    "nobody was told"
                )


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="RFC 768; tests/vectors/slirp (udp)",
)
def udp_invents_nothing(run: Run) -> Iterator[str]:
    """A datagram arrives as it was sent, and only if it was sent.

    It may be lost. It comes twice only where a filter copies frames, or a multicast group hands a
    hub's own frames back to it. Judged for every pair of
    ``nc -u`` whose whole message is one datagram.
    """
    copies = _has_copies(run.config)
    for one in conversations_of(run):
        if not one.server.udp:
            continue
        for says, keeps in one.directions():
            said = says.says
            assert said is not None
            assert keeps.keeps is not None
            got = run.files.get(keeps.keeps, b"")
            if len(said) > 2048 or not said:
                continue
            # nc -v or -z first sends an X; nobody here does.
            times, rest = divmod(len(got), len(said))
            if rest or got != said * times:
                yield f"{one.name}: {_first_difference(said * (times + 1), got, keeps)}"
            elif times > 1 and not copies:
                yield f"{one.name}: the datagram came {times} times, and was sent once"


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="RFC 9293, section 3.8.1; tests/vectors/slirp (tcp_hostfwd)",
)
def what_is_sent_again_is_the_same(run: Run) -> Iterator[str]:
    """A byte of a TCP connection that is sent again has the same value as before.

    Judged where the frames leave: guest and slirp each at their own end of the wire. Not where
    slirp has lost its place (``SLIRP_LOSES``).
    """
    for stream in streams(run):
        for broken in _same_bytes(stream):
            if not lost_its_place(run, stream):
                yield broken


def _same_bytes(stream: Stream) -> Iterator[str]:
    data = bytearray()
    known = bytearray()
    for _, segment in stream.sent:
        if not segment.payload or segment.flags & RST:
            continue
        begin = stream.offset(segment.seq) + bool(segment.flags & SYN)
        if begin < 0 or begin > len(data) + (1 << 20):
            continue
        end = begin + len(segment.payload)
        if end > len(data):
            data.extend(bytes(end - len(data)))
            known.extend(bytes(end - len(known)))
        old = known[begin:end]
        if any(old):
            before = bytes(data[begin:end])
            if before != segment.payload:
                for place, (was, given, byte) in enumerate(
                    zip(before, old, segment.payload, strict=True)
                ):
                    if given and was != byte:
                        yield (
                            f"{stream.name}: byte {begin + place} was {was:#04x} and is "
                            f"{byte:#04x} when it is sent again"
                        )
                        return
        data[begin:end] = segment.payload
        known[begin:end] = b"\1" * (end - begin)


def _lacks_a_stretch(sent: bytes, got: bytes) -> bool:
    """Whether ``got`` is what was sent from its beginning, and from another place on."""
    place = next((n for n, byte in enumerate(got) if n >= len(sent) or sent[n] != byte), len(got))
    return sent.find(got[place:], place + 1) > 0


def _first_difference(sent: bytes, got: bytes, keeps: Talker) -> str:
    for place, byte in enumerate(got):
        if place >= len(sent):
            return f"{keeps.keeps} has {len(got)} bytes, and {len(sent)} were sent"
        if sent[place] != byte:
            return f"byte {place} of {keeps.keeps} is {byte:#04x}, and {sent[place]:#04x} was sent"
    return f"{keeps.keeps} has {len(got)} bytes, a part of a message"


def _has_copies(config: MachineConfig) -> bool:
    if any(one.role == "mcast" for one in config.sockets):
        return True
    if not config.filters:
        return False
    from desim.filters import DuplicateFilter

    return any(isinstance(one, DuplicateFilter) for one in config.filters)


def _both_ended(run: Run, one: Conversation) -> bool:
    """Whether both programs ran to their own ends."""
    shown = {transcript.name: transcript.status for transcript in run.transcripts}
    return all(
        shown.get(talker.command.terminal) not in (None, STOPPED)
        for talker in (one.server, one.client)
    )


def _told(run: Run, one: Conversation) -> bool:
    """Whether a reset was sent, or an end gave the connection up or never had it."""
    opened = False
    for packets in run.packets.values():
        for packet in packets:
            segment = packet.frame.segment
            if segment is None or one.ports.isdisjoint((segment.sport, segment.dport)):
                continue
            if segment.flags & RST:
                return True
            opened = opened or not segment.flags & SYN
    local = one.server.command.side == one.client.command.side
    return not (opened or local) or run.remains.counters["TcpExt"].get("TCPAbortOnTimeout", 0) > 0


def _slirp_lost_it(run: Run, one: Conversation) -> bool:
    """Whether slirp got a second SYN-ACK on the connection, or wrote in vain (``SLIRP_LOSES``)."""
    if wrote_in_vain(run, one.ports):
        return True
    if one.server.command.side != "guest":
        return False
    answers = 0
    for packet in run.packets.get("slirp", ()):
        segment = packet.frame.segment
        if segment is not None and not packet.to_guest and segment.sport == one.server.port:
            answers += segment.sums_ok and segment.flags & (SYN | ACK) == SYN | ACK
    return answers > 1
