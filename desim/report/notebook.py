"""What a notebook shows of a run: one small table of HTML.

Whatever programs wrote, and whatever a scenario calls things, is escaped twice: control
characters as in a terminal, and then as HTML.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape as escape_html

from desim.experiment.run import RunResult
from desim.report.screen import CALLS, called
from desim.report.stations import group_rows
from desim.report.text import escape, grouped, seconds, share


def html(result: RunResult) -> str:
    """The answer, what crossed the wire, and the way of the message by who had it."""
    config = result.config
    title = _text(f"{config.name}: {config.description}" if config.description else config.name)
    rows = [*_answer(result), *_transfers(result), *_way(result)]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<table class="desim"><caption>{title}</caption><tbody>{body}</tbody></table>'


def _answer(result: RunResult) -> Iterator[str]:
    journey = result.answer if result.keeps("journeys") else None
    if journey:
        yield _row(CALLS[journey.direction], f"{grouped(journey.total_ns)} ns", called(journey))
    yield _row("ended", seconds(result.end_ns), result.ended)
    for name, log in sorted(result.written.items()):
        yield _row("file", f"{grouped(log.size)} bytes", name)
    for failure in result.expectations:
        yield _row("expected otherwise", "", failure)
    profile = result.profile
    yield _row("costs", profile.name, profile.status)
    if result.has_fingerprint:
        yield _row("fingerprint", result.fingerprint.whole[:16], "")
    for note in result.config.notes:
        yield _row("note", "", note)


def _transfers(result: RunResult) -> Iterator[str]:
    if not result.keeps("counters"):
        return
    counts = result.summary["frames"]
    for point, count in counts["points"].items():
        frames = f"{count['to_guest']} to the guest, {count['from_guest']} from it"
        yield _row("frames", point, frames)
    for kind in ("held", "made", "lost"):
        for entry in counts[kind]:
            yield _row(f"frames {kind}", str(entry["frames"]), f"{entry['where']}: {entry['why']}")


def _way(result: RunResult) -> Iterator[str]:
    journey = result.answer if result.keeps("journeys") else None
    if not journey:
        return
    yield _heads("who has the message", "own ns", "waiting ns", "share")
    for group in group_rows(journey, journey.direction):
        part = share(group.own_ns + group.waiting_ns, journey.total_ns)
        own, waiting = grouped(group.own_ns), grouped(group.waiting_ns)
        yield _cells(group.title, own, waiting, part)
    own, waiting = grouped(journey.own_ns), grouped(journey.waiting_ns)
    yield _cells("sum", own, waiting, "100.0%")


def _text(text: str) -> str:
    return escape_html(escape(text)).replace("\n", "<br>")


def _row(what: str, figure: str, more: str) -> str:
    """A fact: its name, its figure, and what else is to be said."""
    return f'<th>{_text(what)}</th><td>{_text(figure)}</td><td colspan="2">{_text(more)}</td>'


def _heads(*cells: str) -> str:
    return "".join(f"<th>{_text(cell)}</th>" for cell in cells)


def _cells(first: str, *cells: str) -> str:
    return f"<th>{_text(first)}</th>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells)
