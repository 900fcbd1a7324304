"""The page of one run: what there is to say of it, and its pictures."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from desim.data import NamedTuple
from desim.events import PinDriven
from desim.experiment.journey import Journey
from desim.experiment.journey.journeys import Journeys
from desim.experiment.journey.select import Selector, select
from desim.experiment.ran import Ran
from desim.machine.vm import BOOT, CONSOLE, point_of
from desim.report.ladder import steps
from desim.report.page import distribution, ladder_picture
from desim.report.page.causes import FEW, groups
from desim.report.page.figure import Figure, Trust, trust_of
from desim.report.page.page import Document, Missing, html
from desim.report.page.scale import instant
from desim.report.page.tables import parts
from desim.report.page.timeline import Machine, timeline
from desim.report.page.timeline_picture import figure
from desim.report.page.waterfall import waterfall
from desim.report.page.window import Window, asked, busiest
from desim.report.text import command_line, escape

WIDTH = 100
"""Columns of a command line of QEMU's."""


class Asked(NamedTuple):
    """What somebody wants to see of a run."""

    against: Ran | None = None
    """Another run to compare the messages with."""
    journeys: tuple[Selector, ...] = ()
    """The messages whose ways are shown; none: the first, and the slowest if there are many."""
    stretch: tuple[int, int] | None = None
    """The stretch of virtual time (ns) that the timeline shows; None: the busiest burst."""


AS_USUAL = Asked()


def page(run: Ran, asked_for: Asked = AS_USUAL) -> str:
    """The page of ``run``, as HTML. Raises ``UserError`` if it has no such message."""
    summary = run.summary
    figures, missing = [], []
    for made in _pictures(run, asked_for):
        if isinstance(made, Figure):
            figures.append(made)
        else:
            missing.append(made)
    verdict, good = _verdict(summary)
    described = summary["description"]
    name = summary["scenario"]
    return html(
        Document(
            title=f"{name}: {described}" if described else name,
            figures=figures,
            missing=missing,
            lead=_lead(summary),
            verdict=verdict,
            good=good,
            command="\n".join(command_line("qemu", summary["qemu"], WIDTH)),
            failures=[escape(failure) for failure in summary["expectations"]],
            parts=list(parts(summary)),
            made=_made(summary),
        )
    )


def _pictures(run: Ran, asked_for: Asked) -> Iterator[Figure | Missing]:
    yield from _waterfalls(run, asked_for)
    for machine in ("", *(one["name"] for one in run.summary["machines"])):
        yield _timeline(run, machine, asked_for.stretch)
    yield _ladder(run)
    yield from _distributions(run)


SLOWEST = Selector("msg=slowest", which="slowest")


def _waterfalls(run: Ran, asked_for: Asked) -> Iterator[Figure | Missing]:
    other = asked_for.against
    found = _journeys(run, asked_for.journeys)
    if not found:
        yield Missing("Waterfall", "No message has arrived.")
    others = [] if other is None else _journeys(other, asked_for.journeys)
    for number, journey in enumerate(found, 1):
        beside = None
        if other is not None and number <= len(others):
            beside = (_called(other.summary, run.summary), others[number - 1])
        name = "waterfall" if number == 1 else f"waterfall-{number}"
        yield waterfall(journey, name, _trust(run), run.summary["costs"]["profile"], beside)


def _journeys(run: Ran, selectors: Sequence[Selector]) -> list[Journey]:
    """The journeys that are shown of a run."""
    journeys = Journeys(run.trace, run.packets)
    messages = list(journeys.messages())
    if selectors:
        return [journeys.of(select(messages, selector).number) for selector in selectors]
    arrived = [message for message in messages if message.end_ns is not None]
    if not arrived:
        return []
    first = journeys.first() or journeys.other()
    slowest = select(arrived, SLOWEST)
    if len(arrived) < FEW or first.message == slowest:
        return [first]
    return [first, journeys.of(slowest.number)]


def _trust(run: Ran) -> Trust:
    return trust_of(run.summary["costs"]["status"])


def _timeline(run: Ran, machine: str, asked_for: tuple[int, int] | None) -> Figure | Missing:
    frames = run.packets.get(point_of(machine, "nic"), ())
    trace = Machine(run.trace, machine)
    times = [packet.time for packet in frames]
    if asked_for is not None:
        window: Window | None = asked(times, *asked_for)
    else:
        rises = [one.time for one in trace.happened(PinDriven) if one.event.level]
        window = busiest(times, rises, _booted_ns(run.summary, machine))
    if window is None:
        of = f" of machine {machine}" if machine else ""
        return Missing("Timeline", f"No frame passed the card{of}.")
    made = timeline(trace, frames, window)
    return figure(made, _trust(run), run.summary["costs"]["profile"], machine)


def _distributions(run: Ran) -> Iterator[Figure | Missing]:
    found = groups(Journeys(run.trace, run.packets))
    costs = run.summary["costs"]["profile"]
    for number, group in enumerate(found, 1):
        yield distribution.figure(group, f"distribution-{number}", _trust(run), costs)
    if not found:
        yield Missing("Distribution", f"Fewer than {FEW} messages of a kind have arrived.")


def _ladder(run: Ran) -> Figure | Missing:
    made = steps(run)
    if not made:
        return Missing("Ladder", "Nothing happened behind the guest's boot.")
    return ladder_picture.figure(made, _trust(run), run.summary["costs"]["profile"])


def _booted_ns(summary: dict[str, Any], machine: str) -> int:
    """The end of the guest's boot; 0 without one."""
    console = f"{machine} {CONSOLE}" if machine else BOOT
    ends = [one["ended_ns"] for one in summary["programs"] if one["terminal"] == console]
    return next((end for end in ends if end is not None), 0)


def _called(other: dict[str, Any], one: dict[str, Any]) -> str:
    """The other run's name: its scenario's, or its fingerprint if that is the same."""
    if other["scenario"] != one["scenario"]:
        return str(other["scenario"])
    fingerprint = other["fingerprint"]
    return f"run {fingerprint['whole'][:8]}" if fingerprint else "the other run"


def _verdict(summary: dict[str, Any]) -> tuple[str, bool]:
    if summary["expectations"]:
        return "FAILED", False
    return ("interrupted", False) if summary["ended"] == "interrupted" else ("as expected", True)


def _lead(summary: dict[str, Any]) -> str:
    costs = summary["costs"]
    ended = f"Ended at {instant(summary['end_ns'])}: {summary['ended']}."
    return f"{ended} Costs {costs['profile']} ({costs['status']})."


def _made(summary: dict[str, Any]) -> str:
    fingerprint = summary["fingerprint"]
    words = ["desim", "run", shlex.quote(summary["scenario"]), "--seed", str(summary["seed"])]
    words += ["--costs", shlex.quote(summary["costs"]["profile"])]
    whole = f" Fingerprint {fingerprint['whole']}." if fingerprint else ""
    return f"Made of {' '.join(words)} by desim {summary['desim']}.{whole} Names of functions: " + (
        f"{summary['names']}."
    )
