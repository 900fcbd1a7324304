"""How a breach came about, in a few lines: what happened to frames and conversations before it."""

from __future__ import annotations

from collections.abc import Iterator

from desim.config import SECOND_NS
from desim.events import Lost
from desim.laws.law import Run
from desim.wire.tcp import ACK, FIN, RST, SYN

LINES = 8
"""What is told at most."""
FLAGS = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (ACK, "ack"))


def story(run: Run, at_ns: int | None) -> tuple[str, ...]:
    """The last things of note up to an instant, the oldest first; None: up to the run's end."""
    until = run.end_ns if at_ns is None else at_ns
    told = sorted(one for one in _noted(run) if one[0] <= until)
    return tuple(
        f"{time // SECOND_NS}.{time % SECOND_NS // 1000:06} s  {text}"
        for time, text in told[-LINES:]
    )


def _noted(run: Run) -> Iterator[tuple[int, str]]:
    for one in run.trace.happened(Lost):
        yield one.time, f"frame {one.event.frame} is lost at {one.event.where}: {one.event.why}"
    for transcript in run.transcripts:
        yield transcript.started_ns, f"{transcript.name} starts: {transcript.command}"
        if transcript.ended_ns is not None:
            how = f"exit {transcript.status}" if transcript.status else "ok"
            yield transcript.ended_ns, f"{transcript.name} ends: {how}"
    for time, to_guest, frame in run.packets.get("slirp", ()):
        segment = frame.segment
        if segment is None:
            continue
        flags = [name for bit, name in FLAGS if segment.flags & bit and bit != ACK]
        if flags:
            whom = f"{segment.sport} > {segment.dport}"
            side = "slirp sends" if to_guest else "slirp gets"
            yield time, f"{side} {' '.join(flags)} of {whom}, frame {frame.number}"
