"""The ladder as a picture: five lifelines, an arrow for each step, tinted rows for pauses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from desim.report.ladder import NAMES, Fold, Line, Pause, Row, Step, rows
from desim.report.page import svg
from desim.report.page.figure import Basis, Figure, Table, Trust
from desim.report.page.scale import exact, instant, short, tenths
from desim.report.text import escape

FIRST, APART = 18, 16
"""Where the first lifeline is, and how far the next ones are, in percent."""
TIMES = "11%"
"""The right edge of the times."""
TOP = 26
ARROW, EVENT, QUIET = 28, 20, 20
"""Pixels of a row with an arrow, of one at a single lifeline, of a pause or fold."""


def figure(steps: Sequence[Step], trust: Trust, costs: str) -> Figure:
    """The picture of ``steps``, of which there is one at least."""
    start, end = steps[0].time, steps[-1].end
    made = rows(steps)
    frames = sum(step.kind == "frame" for step in steps)
    rises = sum(step.kind == "pin" for step in steps)
    took = short(end - start)
    title = f"{len(steps):,} steps in {took}: {frames:,} frames, {rises:,} interrupts"
    return Figure(
        name="ladder",
        kind="Ladder",
        title=title,
        picture=_picture(made, start, title),
        table=_table(made, start),
        basis=(Basis("order of steps", "verified"), Basis(f"times (costs {costs})", trust)),
        notes=(
            f"Times are µs after {instant(start)}. Sequence numbers are relative to each "
            "direction's first. A tinted row is a pause.",
        ),
        wide=True,
    )


def _picture(made: Sequence[Row], start: int, title: str) -> Markup:
    parts: list[Markup] = []
    y = TOP
    for row in made:
        if isinstance(row, Step):
            height = EVENT if row.source is row.target else ARROW
            parts += _step(row, y, height, start)
        else:
            height = QUIET
            parts += _quiet(row, y)
        y += height
    lines = [svg.line(_x(line), TOP, _x(line), y + 8, "lifeline") for line in Line]
    names = [svg.text(NAMES[line], _x(line), 14, "name") for line in Line]
    return svg.picture(y + 10, title, *lines, *names, *parts, class_="ladder")


def _x(line: Line) -> str:
    return f"{FIRST + APART * line}%"


def _colour(step: Step) -> str:
    """The class of a step's colour, which is that of whom it comes from."""
    if step.kind == "pin":
        return "driver"
    if Line.HOST in (step.source, step.target):
        return "host"
    if step.source is Line.CARD:
        return "from-guest"
    return "slirp" if step.source is Line.SLIRP else "kernel"


def _step(step: Step, y: int, height: int, start: int) -> Iterator[Markup]:
    base = y + height - 8
    yield svg.text(_micro(step.time - start), TIMES, base + 4, "time", text_anchor="end")
    said = escape(step.said)
    css = _colour(step)
    if step.source is step.target:
        css = "lost" if step.kind == "loss" else f"at-{css}"
        yield svg.element("circle", cx=_x(step.source), cy=base, r=4, class_=css)
        # Beside the last lifeline is no room, and little beside a loss, which says much.
        right = step.source < Line.KERNEL or step.kind != "loss"
        more: dict[str, svg.Value] = {"dx": 9 if right else -9}
        if not right:
            more["text_anchor"] = "end"
        yield svg.text(said, _x(step.source), base + 4, "halo", **more)
        return
    yield svg.line(_x(step.source), base, _x(step.target), base, f"arrow s-{css}")
    point = "M-9 -4.5 0 0 -9 4.5z" if step.source < step.target else "M9 -4.5 0 0 9 4.5z"
    fill = css if css == "from-guest" else f"at-{css}"
    head = svg.element("path", d=point, class_=fill)
    yield svg.element("svg", head, x=_x(step.target), y=base, class_="head")
    middle = FIRST * 2 + APART * (step.source + step.target)
    yield svg.text(said, f"{svg.decimal(middle, 2)}%", base - 6, "said halo")


def _quiet(row: Pause | Fold, y: int) -> Iterator[Markup]:
    yield svg.rect(0, y + 2, "100%", QUIET - 4, "pause")
    if isinstance(row, Pause):
        said = f"+{tenths(row.ns)}"
        yield svg.text(said, TIMES, y + 14, "time pausing", text_anchor="end")
        return
    said = f"{row.steps:,} more steps in {short(row.ns)}: {row.what}"
    yield svg.text(said, _x(Line.HOST), y + 14, "time pausing", dx=9)


def _micro(ns: int) -> str:
    return f"{ns // 1000:,}.{ns // 100 % 10}"


def _table(made: Sequence[Row], start: int) -> Table:
    told = []
    for row in made:
        if isinstance(row, Step):
            names = NAMES[row.source], NAMES[row.target]
            told.append((exact(row.time - start), *names, escape(row.said)))
        elif isinstance(row, Pause):
            told.append((f"+{exact(row.ns)}", "", "", "pause"))
        else:
            told.append((f"+{exact(row.ns)}", "", "", f"{row.steps:,} more steps: {row.what}"))
    return Table(("ns", "from", "to", "what"), told, frozenset(("ns",)))
