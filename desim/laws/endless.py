"""What has no end in reality either: only a limit ends such a run, and no law calls it a fault."""

from __future__ import annotations

from desim.laws.law import Run
from desim.laws.segments import streams
from desim.wire.tcp import RST

LAST = 4_000
"""So many marks tell what a thread does in the end."""
SPINNING = 100
"""So many of these are the start of one function where a thread does nothing else."""
RESETS = 100
"""So many resets at the end of a connection, and nothing else, are answers to each other."""


def never_rests(run: Run) -> bool:
    """Whether something goes on for ever, as in reality, so that only a limit ends the run.

    Where nothing costs anything time stands still meanwhile, but for a program that polls in
    circles: that sleeps then until something changes.
    """
    return spins(run) or answers_itself(run) or polls_in_circles(run)


def polls_in_circles(run: Run) -> bool:
    """Whether a program of the guest does nothing but ask poll() for its socket.

    OpenBSD's nc does so when it holds all that it has room for, and the pipe in front of it has
    been closed: POLLHUP comes, whether or not one asks for what there is to read.
    """
    codes = run.trace.codes
    asks = codes.known("tcp_poll", "net/ipv4/tcp.c")
    moves = {codes.known(name, "net/ipv4/tcp.c") for name in ("tcp_recvmsg", "tcp_sendmsg")}
    last = last_codes(run, "vcpu")
    return asks is not None and last.count(asks) > SPINNING and moves.isdisjoint(last)


def answers_itself(run: Run) -> bool:
    """Whether slirp answers its own resets.

    It answers a segment that belongs to no connection with a reset, also one that is a reset
    (``dropwithreset``). To a port of its hub that hands its frames back (a multicast group) that
    has no end: QEMU 7.2 sent 350,000 frames in six seconds when it was asked.
    """
    return any(
        len(stream.events) > RESETS
        and all(segment.flags & RST for _, _, segment in stream.events[-RESETS:])
        for stream in streams(run)
        if stream.end == "slirp"
    )


def spins(run: Run) -> bool:
    """Whether slirp of QEMU 2.8 reads the end of a stream again and again, as the real one does.

    It takes the end as one more, leaves the connection as it was, and the descriptor stays
    readable (``unsettled`` in tests/vectors/slirp, nov2016): QEMU's main loop never sleeps again.
    """
    soread = run.trace.codes.known("soread", "slirp/socket.c") or -1
    user = run.config.user
    return (
        user is not None
        and user.version == "2.8"
        and any(
            last_codes(run, name).count(soread) > SPINNING
            for name in run.trace.threads
            if name == "main"
        )
    )


def last_codes(run: Run, thread: str) -> list[int]:
    """The last codes that a thread has recorded."""
    last: list[int] = []
    for chunk in run.trace.threads[thread].codes.chunks():
        last = [*last, *chunk[-LAST:]][-LAST:]
    return last
