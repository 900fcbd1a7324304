"""The long report (``-v``): what terminals showed, and who had the first message, by function.

It stands behind the first screen; ``-vv`` shows every nanosecond (``desim.report.terminal``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from desim.data import NamedTuple
from desim.experiment.figures import NORMAL_LOSSES
from desim.experiment.journey import Journey
from desim.experiment.run import RunResult
from desim.experiment.verdict import STOPPED
from desim.machine import Transcript
from desim.report.screen import CALLS, called
from desim.report.stations import Group, group_rows
from desim.report.text import Line, cut, duration, escape, grouped, seconds, share

MAX_LINES = 40
"""Lines of a program's output that are shown; the rest is counted."""
MAX_FILE = 28
"""Columns of a source file's path; a longer one loses its front."""
MIN_FILE = 22
"""Fewer columns show no path; then there is none."""
MIN_COLUMN = 8
NARROWEST = 60
WIDTH = 100
"""Columns of the long report, at the most."""


def lines(result: RunResult, width: int, verbosity: int) -> Iterator[Line]:
    """What stands behind the first screen; ``verbosity`` is 1 or 2."""
    width = min(max(width, NARROWEST), WIDTH)
    figures = EXACT if verbosity > 1 else ROUNDED
    for transcript in result.transcripts:
        yield Line("")
        yield from _transcript(transcript, width, figures)
    if result.keeps("journeys"):
        yield Line("")
        yield from _way(result, width, figures)
    yield Line("")
    yield from _foot(result, width, figures)


class Figures(NamedTuple):
    """How times are written."""

    instant: Callable[[int], str]
    length: Callable[[int], str]
    unit: str
    """What the head of a column of lengths says behind its name."""


EXACT = Figures(seconds, grouped, " ns")
ROUNDED = Figures(duration, duration, "")


def short_file(path: str, room: int = MAX_FILE) -> str:
    """``.../intel/e1000/e1000_main.c``: the end of a path, which is what tells files apart."""
    if len(path) <= room:
        return path
    parts = path.split("/")
    while len(parts) > 1 and len("/".join(parts)) + 4 > room:
        del parts[0]
    return ".../" + "/".join(parts)


def _transcript(transcript: Transcript, width: int, figures: Figures) -> Iterator[Line]:
    began, ended = figures.instant(transcript.started_ns), transcript.ended_ns
    if ended is None:
        began += ", still running at the end"
    elif ended > transcript.started_ns:  # the console's own session has no length
        began += f" to {figures.instant(ended)}"
    head = f"-- {transcript.name}, {began} "
    yield Line(head + "-" * max(width - len(head), 3), "dim")
    yield Line(cut(f"{transcript.prompt}$ {escape(transcript.command)}", width), "bold green")
    # A terminal goes to the line's start anyway.
    text = escape(transcript.output.replace(b"\r\n", b"\n"))
    output = [line.expandtabs(8).rstrip() for line in text.rstrip("\n").split("\n")]
    shown = output if output != [""] else []
    # The end of an output is what it came to: what is too long loses its middle.
    left_out = len(shown) - MAX_LINES
    for number, line in enumerate(shown):
        if left_out > 0 and number == MAX_LINES // 2:
            yield Line(f"({left_out} more lines)", "dim")
        if left_out <= 0 or not MAX_LINES // 2 <= number < MAX_LINES // 2 + left_out:
            # A program's line goes on in the terminal's next one, unless it is endless.
            yield Line(line if len(line) <= 2 * width else cut(line, width))
    if transcript.status not in (0, None):
        style = "dim" if transcript.status == STOPPED else "red"
        yield Line(f"(exit status {transcript.status})", style)


def _way(result: RunResult, width: int, figures: Figures) -> Iterator[Line]:
    journey = result.answer
    if not journey:
        yield Line("No message between host and guest has arrived in this run.", "bold")
        return
    rest = f", {grouped(journey.size)} bytes, {CALLS[journey.direction]}"
    shown = cut(called(journey), width - len("The way of ") - len(rest))
    yield Line(f"The way of {shown}{rest}", "bold")
    begin, end = figures.instant(journey.begin_ns), figures.instant(journey.end_ns)
    yield Line(f"  {journey.connection}, {begin} to {end}")
    yield Line("")
    yield from _table(journey, width, figures)


def way(journey: Journey, width: int, verbosity: int) -> Iterator[Line]:
    """The way of a message by function; ``verbosity`` 2: with every nanosecond."""
    yield Line("")
    figures = EXACT if verbosity > 1 else ROUNDED
    yield from _table(journey, min(max(width, NARROWEST), WIDTH), figures)


def _table(journey: Journey, width: int, figures: Figures) -> Iterator[Line]:
    """Who had the message, and below each, doing what; own and waiting add up exactly."""
    groups = group_rows(journey.rows, journey.direction)
    length, unit = figures.length, figures.unit
    own_width = max(len(f"own{unit}"), len(length(journey.own_ns)), MIN_COLUMN)
    wait_width = max(len(f"waiting{unit}"), len(length(journey.waiting_ns)), MIN_COLUMN)
    name_width = max((len(r.station) for g in groups for r in g.rows if r.file), default=0)
    # Files have the room that names and figures leave, or none.
    file_width = min(width - (4 + name_width + 2) - (own_width + wait_width + 12), MAX_FILE)

    def place(group: Group, index: int) -> str:
        row = group.rows[index]
        if row.file and file_width >= MIN_FILE:
            return f"    {row.station:<{name_width}}  {short_file(row.file, file_width)}"
        if row.file:
            return f"    {row.station}"
        if group.lies:
            return f"    {row.waits_for}"
        return f"    {row.station}, waiting for {row.waits_for}"

    body = [(g, [place(g, index) for index in range(len(g.rows))]) for g in groups]
    first = max((len(text) for _, texts in body for text in texts), default=40)
    first = max(first, *(len(g.title) + 2 for g in groups), 40)
    first = min(first, width - (own_width + wait_width + 12))

    def line(text: str, own: int, waiting: int, part: str, style: str = "") -> Line:
        owned = length(own) if own else ""
        waited = length(waiting) if waiting else ""
        columns = f"{cut(text, first):<{first}}  {owned:>{own_width}}  {waited:>{wait_width}}"
        return Line(f"{columns}  {part:>6}".rstrip(), style)

    heads = f"{f'own{unit}':>{own_width}}  {f'waiting{unit}':>{wait_width}}  {'share':>6}"
    head = f"  {'who has it':<{first - 2}}  {heads}"
    yield Line(head, "dim")
    rule = Line("  " + "-" * (len(head) - 2), "dim")
    yield rule
    for group, texts in body:
        part = share(group.own_ns + group.waiting_ns, journey.total_ns)
        yield line(f"  {group.title}", group.own_ns, group.waiting_ns, part, "bold")
        for row, text in zip(group.rows, texts, strict=True):
            yield line(text, row.own_ns, row.waiting_ns, "")
    yield rule
    yield line("  sum", journey.own_ns, journey.waiting_ns, "100.0%", "bold")
    yield Line(
        f"  {grouped(journey.own_ns)} own + {grouped(journey.waiting_ns)} waiting "
        f"= {grouped(journey.total_ns)} ns."
    )
    yield Line("  Functions passed twice are one line.")


def _foot(result: RunResult, width: int, figures: Figures) -> Iterator[Line]:
    """What the ledger says, and the fingerprint with its ingredients."""
    yield Line(f"ended        {figures.instant(result.end_ns)}: {result.ended}")
    if result.keeps("counters"):
        yield from _counts(result.summary["frames"], width)
    yield Line(f"functions    named as in {result.summary['names']}")
    if not result.has_fingerprint:
        return
    fingerprint = result.fingerprint
    yield Line(f"fingerprint  {fingerprint.whole}")
    yield Line(
        f"  times {fingerprint.times[:16]}  names {fingerprint.names[:16]}  "
        f"bytes {fingerprint.bytes[:16]}",
        "dim",
    )


def _counts(counts: Mapping[str, Any], width: int) -> Iterator[Line]:
    """What became of the frames."""
    for point, count in counts["points"].items():
        yield Line(
            f"frames       {point}: {count['to_guest']} to the guest, {count['from_guest']} from it"
        )
    for what, said in (("held", "delayed"), ("made", "made"), ("lost", "dropped")):
        for entry in counts[what]:
            style = "red" if what == "lost" and entry["code"] not in NORMAL_LOSSES else ""
            text = f"{entry['frames']} by {entry['where']}: {entry['why']}"
            yield Line(cut(f"{said:<12} {text}", width), style)
