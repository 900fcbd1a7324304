"""Laws about TCP that the segments on the wire show, and what a closed connection leaves.

Each end is judged at its own end of the wire: by what it sends, and by what has come in to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from desim.config import SECOND_NS
from desim.laws.law import Broken, Run, stated
from desim.laws.segments import Stream, length, streams
from desim.laws.slirps_ways import lost_its_place
from desim.wire.tcp import ACK, FIN, RST, SYN

GIVE_UP_NS = 1_500 * SECOND_NS
"""What the slowest end takes: slirp's FIN_WAIT_2 (598.8 s, looked at every 75 s), behind its 19
retransmissions (some 220 s), or Linux's, and TIME_WAIT."""


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="RFC 9293, section 3.8.6.2.1; tests/vectors/slirp (tcp_hostfwd)",
)
def the_window_is_never_taken_back(run: Run) -> Iterator[Broken]:
    """The last sequence number that an end lets the other send never gets smaller."""
    for stream in streams(run):
        edge: int | None = None
        for time, segment in stream.sent:
            if not segment.flags & ACK or segment.flags & RST:
                continue
            right = segment.ack + segment.window & 0xFFFFFFFF
            if edge is not None and (right - edge & 0xFFFFFFFF) >= 1 << 31:
                yield Broken(
                    f"{stream.name}: the window's end goes back by {edge - right & 0xFFFFFFFF}",
                    time,
                )
            edge = right


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="RFC 9293, section 3.8.6; tests/vectors/slirp (tcp_hostfwd)",
)
def nothing_is_sent_beyond_the_window(run: Run) -> Iterator[Broken]:
    """An end sends no byte beyond the window that the other has offered it.

    But for one byte that asks whether a closed window is open again. A FIN may stand behind the
    last byte.
    """
    for stream in streams(run):
        yield from _beyond(stream)


def _beyond(stream: Stream) -> Iterator[Broken]:
    edge: int | None = None
    for time, ours, segment in stream.events:
        if segment.flags & RST:
            continue
        if not ours:
            if segment.flags & ACK:
                right = stream.offset(segment.ack + segment.window & 0xFFFFFFFF)
                edge = right if edge is None else max(edge, right)
            continue
        if edge is None or not segment.payload:
            continue
        end = stream.offset(segment.seq) + bool(segment.flags & SYN) + len(segment.payload)
        probe = len(segment.payload) == 1 and end == edge + 1
        if end > edge and not probe:
            yield Broken(f"{stream.name}: sends {end - edge} bytes beyond the window", time)


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="RFC 9293, section 3.4; tests/vectors/slirp (tcp_hostfwd)",
)
def only_what_came_is_acknowledged(run: Run) -> Iterator[Broken]:
    """An end acknowledges no sequence number that has not come in to it."""
    for stream in streams(run):
        first: int | None = None
        highest = 0
        for time, ours, segment in stream.events:
            if not ours:
                if first is None:
                    first = segment.seq
                end = (segment.seq + length(segment) - first) & 0xFFFFFFFF
                if end < 1 << 31:
                    highest = max(highest, end)
            elif segment.flags & ACK and not segment.flags & RST and first is not None:
                beyond = (segment.ack - first & 0xFFFFFFFF) - highest
                if 0 < beyond < 1 << 30:
                    yield Broken(f"{stream.name}: acknowledges {beyond} too many", time)


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="RFC 9293, section 3.10.4; tests/vectors/slirp (tcp_hostfwd)",
)
def nothing_follows_a_fin(run: Run) -> Iterator[Broken]:
    """An end sends no byte behind its FIN, and its FIN stays where it was.

    But for slirp where it has lost its place (``SLIRP_LOSES``).
    """
    for stream in streams(run):
        for broken in _behind_its_fin(stream):
            if not lost_its_place(run, stream):
                yield broken


def _behind_its_fin(stream: Stream) -> Iterator[Broken]:
    fin: int | None = None
    for time, segment in stream.sent:
        if segment.flags & RST:
            continue
        end = stream.offset(segment.seq) + length(segment)
        if fin is not None and end > fin:
            yield Broken(f"{stream.name}: sends {end - fin} behind its FIN", time)
        if segment.flags & FIN:
            if fin is not None and end != fin:
                yield Broken(f"{stream.name}: its FIN moves from {fin} to {end}", time)
            fin = end


@stated(
    test="tests/machine/test_machine_tcp_laws.py",
    recording="tests/vectors/slirp (tcp_hostfwd, close_*); tests/vectors/packetdrill",
)
def a_closed_connection_leaves_nothing(run: Run) -> Iterator[str]:
    """When its programs have ended, a connection leaves no socket, control block or timer.

    Both ends may take as long as retransmission takes to give up (25 minutes). Judged of runs
    that go on for so long after their last program of the network.
    """
    remains = run.remains
    ended = [
        transcript.ended_ns
        for transcript in run.transcripts
        if not _only_waits(transcript.command) and transcript.started_ns < run.end_ns
    ]
    if any(one is None for one in ended):
        return
    if remains.end_ns < max((one for one in ended if one is not None), default=0) + GIVE_UP_NS:
        return
    yield from (f"guest: {one}" for one in remains.sockets)
    yield from (f"slirp: {one}" for one in remains.blocks)
    yield from (f"guest's timer {one} is armed" for one in remains.timers)
    if not remains.idle:
        yield "something is not idle"


def _only_waits(command: str) -> bool:
    """Whether a command has nothing to do with the network: it keeps a run going."""
    return command.startswith("sleep ")
