"""The page of a sweep: a picture for each facet, from its database."""

from __future__ import annotations

import json
from collections.abc import Iterator

from desim.costs.profile import load
from desim.errors import UserError
from desim.report.page import sweep_picture
from desim.report.page.figure import Figure, Table, Trust, trust_of
from desim.report.page.page import Document, Missing, Part, html
from desim.report.page.scale import exact
from desim.report.page.sweeping import THROTTLE, Facet, facets, varied
from desim.report.text import escape
from desim.scenario.metrics import METRICS
from desim.sweeps.database import Database

FACETS = 12
"""More than these are not drawn."""
FALLBACK = ("ping.p99", "message.time", "transfer.rate", "irq_rate")
"""What is shown of a sweep that does not say what it is about."""


def page(database: Database) -> str:
    """The page of a sweep, as HTML. Raises ``UserError`` for one without any run."""
    facts = database.head.facts
    found = facets(database)
    key = varied(database.head)
    if not found or key is None:
        raise UserError(f"{database.path}: holds no run yet; the desim sweep that began it goes on")
    described = facts["description"]
    name = facts["scenario"]
    return html(
        Document(
            title=f"{name}: {described}" if described else name,
            figures=list(_figures(found, key, database)),
            missing=list(_missing(found)),
            lead=_lead(database),
            verdict="" if not database.troubled() else "some runs failed",
            good=not database.troubled(),
            parts=list(_parts(database)),
            made=_made(database),
        )
    )


def _figures(found: list[Facet], key: str, database: Database) -> Iterator[Figure]:
    facts = database.head.facts
    shown = [name for name in json.loads(facts["show"] or "[]") if name in METRICS] or [*FALLBACK]
    values = [column.value for facet in found for column in facet.columns]
    known = sweep_picture.limits(list(dict.fromkeys(values))) if key == THROTTLE else {}
    costs = facts["costs"]
    for number, facet in enumerate(found[:FACETS], 1):
        name = f"sweep-{number}"
        yield sweep_picture.figure(facet, key, shown, name, _trust(costs), costs, known)


def _trust(costs: str) -> Trust:
    """How far times go: a shipped profile says so itself."""
    try:
        return trust_of(load(costs).status)
    except UserError:  # a file that is not here
        return "assumed"


def _missing(found: list[Facet]) -> Iterator[Missing]:
    if len(found) > FACETS:
        why = f"{len(found) - FACETS} more combinations of the other keys are only in the database."
        yield Missing("Sweep", why)


def _lead(database: Database) -> str:
    facts = database.head.facts
    made, all_of_them = len(database), int(facts["runs"])
    runs = f"{made:,} runs" if made == all_of_them else f"{made:,} of {all_of_them:,} runs so far"
    return f"{runs}: {facts['varied']}. Costs {facts['costs']}."


def _parts(database: Database) -> Iterator[Part]:
    head = database.head
    names = [one.name for one in head.parameters]
    columns = ("run", *names, "ended", "error", "expected", "fingerprint")
    rows = [
        tuple(
            "" if cell is None else str(cell)[:16] if name == "fingerprint" else escape(str(cell))
            for name, cell in zip(columns, row, strict=True)
        )
        for row in database.rows(columns, 0, RUNS)
    ]
    more = len(database) - len(rows)
    note = f"{more:,} more runs are in the database." if more else ""
    yield Part("runs", "Runs", Table(columns, rows, frozenset(("run",)), note))
    trust = _trust(head.facts["costs"])
    metrics = [
        (
            one.name,
            one.kind,
            trust if one.exactness == "costs" else escape(one.exactness),
            escape(one.about),
        )
        for one in head.metrics
    ]
    yield Part("metrics", "Figures", Table(("name", "kind", "trust", "what it is"), metrics))


RUNS = 200
"""Runs in the table."""


def _made(database: Database) -> str:
    facts = database.head.facts
    return (
        f"Made of desim sweep {facts['scenario']} by desim {facts['desim']}; digest of the sweep "
        f"{facts['digest']}; {exact(len(database))} runs."
    )
