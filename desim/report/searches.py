"""What a search on top of sweeps came to, on a screen."""

from __future__ import annotations

from collections.abc import Iterator

from desim.report.sweeps import Column, figure, short_names, table
from desim.report.text import cut
from desim.scenario.metrics import METRICS, Value
from desim.sweeps.advise import Advice, Choice
from desim.sweeps.find import Found

MOST_CHOICES = 20


def shown(name: str, value: Value | None) -> str:
    """A figure by its name."""
    return "-" if value is None else figure(value, METRICS[name].kind)


def found_text(found: Found, scenario: str) -> str:
    """What was tried, and the answer."""
    name, condition = found.wanted
    holds = f"{name} {condition.text}"
    lines = [f"{scenario}: the smallest {found.key} with {holds}"]
    lines += [f"  from {found.ends}; {len(found.tries)} values tried, {found.runs} runs", ""]
    columns = [
        Column(short_names([found.key])[0], [str(one.value) for one in found.tries]),
        Column(name, [shown(name, one.figure) for one in found.tries]),
        Column("", ["holds" if one.holds else "" for one in found.tries]),
    ]
    lines += [*table(columns), ""]
    if found.answer is None:
        lines.append("none: it holds at none of these")
    else:
        figure_there = shown(name, found.answer.figure)
        lines.append(f"{found.key} = {found.answer.value}: {name} is {figure_there}")
        if found.before is None:
            lines[-1] += ", the smallest value that was asked for"
        else:
            before = found.before
            lines[-1] += f"; at {before.value} it is {shown(name, before.figure)}"
    for smaller, larger in found.broken:
        lines.append(f"not monotone: it holds at {smaller.value}, but not at {larger.value}")
    if found.broken:
        lines.append(
            "so smaller values that were not tried may hold as well; desim sweep shows all"
        )
    return "\n".join(lines)


def advice_text(advice: Advice, scenario: str, width: int = 80) -> str:
    """The settings that nothing beats, and the best of them."""
    name, condition = advice.target
    lines = [
        f"{scenario}: {name} {condition.text} with as few {advice.cost} as possible",
        f"  {advice.tried} settings tried, {advice.runs} runs; nothing beats these:",
        "",
    ]
    front = advice.front[:MOST_CHOICES]
    columns = [
        *(
            Column(key, [str(choice.values[place]) for choice in front])
            for place, key in enumerate(short_names(advice.keys))
        ),
        Column(name, [shown(name, choice.target) for choice in front]),
        Column(advice.cost, [shown(advice.cost, choice.cost) for choice in front]),
        Column("", ["meets it" if choice.meets else "" for choice in front]),
    ]
    head, *rows = table(columns)
    lines.append(head)
    for choice, row in zip(front, rows, strict=True):
        lines.append(row)
        if choice.reason:
            lines.append(cut(f"    the slow ones: {choice.reason}", width))
    if len(advice.front) > len(front):
        lines.append(f"and {len(advice.front) - len(front)} more")
    lines += ["", *_verdict(advice)]
    return "\n".join(lines)


def _verdict(advice: Advice) -> Iterator[str]:
    name, condition = advice.target
    if advice.best is None:
        yield f"no setting has {name} {condition.text}"
        if advice.front:
            yield f"  the nearest: {_figures(advice, advice.front[-1])}"
        return
    for key, value in zip(advice.keys, advice.best.values, strict=True):
        yield f'{key} = "{value}"'
    alike = advice.best.alike
    others = "other setting does" if alike == 1 else "other settings do"
    same = f"; {alike} {others} the same" if alike else ""
    yield f"  {_figures(advice, advice.best)}{same}"
    if advice.now is not None and advice.now.values != advice.best.values:
        yield f"  as it is now: {_figures(advice, advice.now)}"


def _figures(advice: Advice, choice: Choice) -> str:
    name, cost = advice.target.name, advice.cost
    return f"{name} {shown(name, choice.target)}, {cost} {shown(cost, choice.cost)}"
