"""``desim metrics [NAME...]``"""

from __future__ import annotations

import json
import textwrap

from desim.cli._arguments import Parser
from desim.cli._screen import say
from desim.errors import UserError, nearest
from desim.scenario.metrics import EXACTNESS, METRICS, Metric, unit

WIDTH = 78


def parser() -> Parser:
    """What ``desim metrics`` takes."""
    made = Parser("metrics")
    made.add_argument("names", metavar="NAME", nargs="*", help="a figure, or how its name begins")
    made.add_argument(
        "--json",
        action="store_true",
        help="as JSON: an object of kind, unit, about, exactness, asked for each name",
    )
    return made


def command(words: list[str]) -> int:
    """List the figures of a run that have a name: unit, meaning, how far they can be trusted."""
    arguments = parser().read(words)
    chosen = _chosen(arguments.names)
    if arguments.json:
        print(json.dumps({name: _plain(metric) for name, metric in chosen.items()}, indent=2))
        return 0
    if arguments.names and len(chosen) == 1:
        _tell(*next(iter(chosen.items())))
        return 0
    width = max(map(len, chosen))
    for name, metric in chosen.items():
        star = "*" if metric.asked else " "
        head = f"{name:<{width}}{star} {unit(metric.kind):<7} {metric.exactness:<8} "
        about = textwrap.wrap(metric.about, WIDTH - len(head))
        for line in (head + about[0], *(f"{'':<{len(head)}}{rest}" for rest in about[1:])):
            say(line)
    if any(metric.asked for metric in chosen.values()):
        say("* is made only when it is asked for: by [expect], in a sweep, or with --stats")
    return 0


def _chosen(names: list[str]) -> dict[str, Metric]:
    """Those that are asked for. Raises ``UserError`` for a name that is none's beginning."""
    if not names:
        return dict(METRICS)
    chosen: dict[str, Metric] = {}
    for name in names:
        exact = {name: METRICS[name]} if name in METRICS else {}
        found = exact or {one: m for one, m in METRICS.items() if one.startswith(name)}
        if not found:
            raise UserError(
                f"{name}: no such figure; desim metrics lists all{nearest(name, METRICS)}"
            )
        chosen |= found
    return chosen


def _plain(metric: Metric) -> dict[str, str | bool]:
    return {
        "kind": metric.kind,
        "unit": unit(metric.kind),
        "about": metric.about,
        "exactness": metric.exactness,
        "asked": metric.asked,
    }


def _tell(name: str, metric: Metric) -> None:
    say(f"{name}: {metric.about}")
    say(f"unit        {unit(metric.kind)}")
    say(f"exactness   {metric.exactness}: {EXACTNESS[metric.exactness]}")
    made = "when it is asked for: by [expect], in a sweep, or with --stats"
    say(f"made        {made if metric.asked else 'for every run that keeps its trace and frames'}")
    say(f'condition   [expect] {name} = "{_EXAMPLES[metric.kind]}"')


_EXAMPLES = {
    "time": "< 400us",
    "count": "0",
    "rate": "> 10 MB/s",
    "frequency": "< 7813",
    "share": "< 50%",
    "ratio": "> 2.5",
}
