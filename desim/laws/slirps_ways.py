"""What the real slirp does to its side of a connection, and a law must not call a fault."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection

from desim.events import Closed, Connected
from desim.laws.judged import once
from desim.laws.law import Run
from desim.laws.segments import Stream
from desim.machine.vm import is_qemu
from desim.wire.tcp import ACK, SYN

SLIRP_LOSES = {
    "a guest that does not answer for 75 s, or resets, is an end of file on the host": [
        "tcp_hostfwd/syn_retransmit",
        "tcp_hostfwd/close_G",
    ],
    "what the guest sends when the host's program has closed is acknowledged, once": [
        "tcp_hostfwd/close_auto_hg",
        "tcp_hostfwd/close_ghg",
    ],
    "what it has read of the host is forgotten when the guest's SYN-ACK comes again, and what it "
    "reads later follows, as if nothing were missing": [
        "found/second-syn-ack-empties-so_snd",
    ],
    # slirp/socket.c, sowrite: sofcantsendmore and tcp_sockclosed, and the descriptor is still read.
    "when the host's program takes nothing more, a FIN goes out with what was read of it so far, "
    "and what is read later goes out behind that FIN, without the byte in whose place that stands "
    "(QEMU 2.8, whose buffers are small enough that something is left to read)": [],
}
"""The real slirp's own ways to lose data without an error, with recordings that show each:
in tests/vectors/slirp, or held with the real library (tests/vectors/slirp/found)."""


def began_again(stream: Stream) -> bool:
    """Whether it is slirp's, and the guest's SYN-ACK came to it twice: so_snd has been emptied."""
    answers = sum(
        not ours and segment.flags & (SYN | ACK) == SYN | ACK for _, ours, segment in stream.events
    )
    return stream.end == "slirp" and answers > 1


def lost_its_place(run: Run, stream: Stream) -> bool:
    """Whether slirp may have sent a FIN too early on ``stream``, or other bytes again."""
    if stream.end != "slirp":
        return False
    return began_again(stream) or wrote_in_vain(run, {stream.key[1]})


def wrote_in_vain(run: Run, ports: Collection[int]) -> bool:
    """Whether slirp may have closed a connection at one of these ports of the host for the reason
    that the program there took nothing more.

    The trace tells when slirp did so, and which connections programs had closed by then.
    """
    closed = once(run, _closed_by_programs)
    return any(closed.get(port, at) < at for at in once(run, writes_in_vain) for port in ports)


def _closed_by_programs(run: Run) -> dict[int, int]:
    """By port of either end, when a program of the host first closed a connection (ns)."""
    ports = {
        one.event.conn: (one.event.client[1], one.event.server[1])
        for one in run.trace.happened(Connected)
    }
    found: dict[int, int] = {}
    for one in run.trace.happened(Closed):
        if not is_qemu(one.record):
            for port in ports[one.event.conn]:
                found.setdefault(port, one.time)
    return found


def writes_in_vain(run: Run) -> list[int]:
    """When slirp closed a connection because the host's program took nothing more (ns)."""
    codes = run.trace.codes
    sowrite = codes.known("sowrite", "slirp/socket.c")
    closed = codes.known("tcp_sockclosed", "slirp/tcp_subr.c")
    if sowrite is None or closed is None:
        return []
    found = []
    for record in run.trace.threads.values():
        if record.counts().get(closed) and record.counts().get(sowrite):
            entered = [*record.codes.places(sowrite)]
            left = [*record.codes.places(sowrite + 1)]
            for place in record.codes.places(closed):
                if bisect(entered, place) > bisect(left, place):
                    found.append(record.times[place])
    return found
