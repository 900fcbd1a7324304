"""Delta debugging: a scenario that fails, made smaller until nothing can be left out.

Theory of operation
-------------------
A scenario fails in one *way*: it breaks a law, misses an expectation, or ends in an error of the
model. A candidate is kept if it fails in the same way. Candidates are tried in one order, from
the coarse to the fine, and from the start again when one was kept; so the result is the same each
time, and nothing in it can be left out alone, but for the end of the run: that comes as early as it
can, for each candidate runs up to it.

0. the time at which the run ends (``until``), if the scenario says one;
1. tables of arrays (commands, records): all, halves, quarters ... one by one (Zeller's ddmin);
2. keys, the innermost last;
3. the options and words of texts: lines of ``qemu``, their ``key=value`` parts, parameters of the
   driver, settings, the parts of a pipeline;
4. values: numbers become 0, 1, a half; durations the round one below them.

What is no scenario any more is no candidate. Runs go on from a boot where they can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from desim.api.laws import UserLaw
from desim.api.result import Result
from desim.api.scenario import Scenario
from desim.config import MachineConfig
from desim.data import NamedTuple
from desim.errors import ScenarioError, UserError
from desim.experiment.many import Many
from desim.experiment.run import RunResult
from desim.experiment.warm import Plan
from desim.fuzz.judge import MODELS, Breach, failed, judge, judge_by_users, recorded, watch
from desim.laws.table import LAWS
from desim.scenario.document import Document, with_data
from desim.scenario.durations import parse_duration

EXPECTATION = "expectation"
"""The way of a scenario that does not come to what it expects."""
UNTIL = "until"
ENDS = (
    "10ms", "100ms", "1s", "2s", "5s", "10s", "20s", "1min", "2min", "5min", "10min", "30min",
)  # fmt: skip
"""When a run may end sooner."""
EXPECT = "expect"
"""What it says is what fails: parts may go, and none becomes another."""

Way = tuple[str | int, ...]
Failing = Callable[[Mapping[str, Any]], Breach | None]
"""How a scenario fails; None if it does not, or in another way, or is no scenario."""


class Shrunk(NamedTuple):
    """What has come of it."""

    data: dict[str, Any]
    breach: Breach
    tried: int
    """How many candidates were run."""


def shrink(
    data: Mapping[str, Any],
    failing: Failing,
    told: Callable[[int, Mapping[str, Any]], None] = lambda tried, data: None,
) -> Shrunk:
    """The smallest scenario that is found from ``data`` and still fails.

    ``told`` is called with the number of candidates so far and the best one. Raises
    ``UserError`` if ``data`` does not fail.
    """
    best = deepcopy(dict(data))
    breach = failing(best)
    if breach is None:
        raise UserError("it does not fail: there is nothing to shrink")
    tried = 1
    seen = {repr(best)}
    progress = True
    while progress:
        progress = False
        for candidates in PASSES:
            again = True
            while again:
                again = False
                for candidate in candidates(best):
                    if repr(candidate) in seen:
                        continue
                    seen.add(repr(candidate))
                    tried += 1
                    found = failing(candidate)
                    told(tried, best)
                    if found is not None:
                        best, breach = candidate, found
                        progress = again = True
                        break
    return Shrunk(best, breach, tried)


# --- how a scenario fails


class Failure:
    """Runs candidates and says how they fail; to be closed.

    ``way`` is the law, ``EXPECTATION`` or ``MODEL``; None takes the first way in which the first
    scenario fails, and stays with it.
    """

    def __init__(
        self, document: Document, way: str | None = None, users: Sequence[UserLaw] = ()
    ) -> None:
        """``users`` are laws of a user's, of which ``way`` may be one."""
        self.document = document
        self.users = users
        self.way = way
        self._error = ""
        plan: Plan[dict[str, Any], list[Breach]] = Plan(
            lambda _: document.name, self._configure, self._leave, lambda _, found: found, watch
        )
        self._many = Many(plan, 1)

    def close(self) -> None:
        """End its processes."""
        self._many.close()

    def __call__(self, data: Mapping[str, Any]) -> Breach | None:
        given = dict(data)
        try:
            with_data(self.document, given).read()
        except ScenarioError:
            return None
        ((_, reply),) = self._many.replies([given])
        if isinstance(reply.error, KeyboardInterrupt):
            raise reply.error
        if isinstance(reply.error, UserError):
            return None
        found = list(failed(reply.error).breaches) if reply.error is not None else reply.value
        if self.way is None and found:
            self.way = found[0].law
        mine = next((one for one in found if one.law == self.way), None)
        if mine is not None and self.way in MODELS:
            self._error = self._error or _kind(mine.text)
            return mine if _kind(mine.text) == self._error else None
        return mine

    def _configure(self, data: dict[str, Any]) -> MachineConfig:
        return recorded(with_data(self.document, data).read())

    def _leave(self, data: dict[str, Any], run: RunResult) -> list[Breach]:
        laws = list(run.config.expect.laws)
        if self.way is None:
            wanted = [LAWS[name] for name in laws] or [x for x in LAWS.values() if not x.pair]
        else:
            wanted = [LAWS[self.way]] if self.way in LAWS else []
        found = judge(run, wanted)
        if self.way in (None, EXPECTATION):
            run.config.expect.laws = ()
            found += [Breach(EXPECTATION, text) for text in run.expectations]
        theirs = [law for law in self.users if self.way in (None, law.name)]
        if theirs:
            result = Result(Scenario(with_data(self.document, data), "shrink"), run)
            found += judge_by_users(result, theirs)
        return found


def _kind(text: str) -> str:
    """What two errors have in common that are the same fault: type and place."""
    return f"{text.partition(':')[0]} {text.rpartition(' in ')[2]}"


# --- candidates


def _sooner(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An earlier end, the earliest first: it costs least to try."""
    try:
        end = parse_duration(data.get(UNTIL, ""))
    except (TypeError, ValueError):
        return
    for sooner in ENDS:
        if parse_duration(sooner) < end:
            yield _put(data, (UNTIL,), sooner)


def _without_tables(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Arrays with parts of them left out, the largest parts first."""
    for way, value in _values(data):
        if isinstance(value, list) and len(value) > 0:
            size = len(value)
            while size:
                for first in range(0, len(value), size):
                    left = value[:first] + value[first + size :]
                    if left or size == len(value):
                        yield _put(data, way, left) if left else _drop(data, way)
                size //= 2


def _without_keys(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One key less, the outermost first."""
    ways = [way for way, _ in _values(data) if isinstance(way[-1], str)]
    for way in sorted(ways, key=len):
        if way[-1] != "command" and way != (UNTIL,) and way[:2] != (EXPECT, "laws"):
            yield _drop(data, way)


def _shorter_texts(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Texts with some of their parts left out."""
    for way, value in _values(data):
        if isinstance(value, str) and way[0] not in (EXPECT, UNTIL):
            for shorter in _less(value):
                yield _put(data, way, shorter)


_BETWEEN = (" && ", "; ", " | ", ",", " ")
"""What stands between the parts of a text: the coarsest first."""


def _less(text: str) -> Iterator[str]:
    for between in _BETWEEN:
        parts = text.split(between)
        for place in range(len(parts)) if len(parts) > 1 else ():
            yield between.join(parts[:place] + parts[place + 1 :])
        if between == " ":
            for place in range(len(parts) - 1):
                yield between.join(parts[:place] + parts[place + 2 :])


def _smaller_values(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Numbers and durations that are smaller or rounder."""
    for way, value in _values(data):
        if way[0] in (EXPECT, UNTIL):
            continue
        if isinstance(value, int) and not isinstance(value, bool):
            for smaller in _numbers(value):
                yield _put(data, way, smaller)
        elif isinstance(value, str):
            for smaller_text in _rounder(value):
                yield _put(data, way, smaller_text)


_NUMBER = re.compile(r"(?<![\w.:])(\d+)(ms|us|ns|s|min|h)?(?![\w.:])")


def _rounder(text: str) -> Iterator[str]:
    """``text`` with one number smaller; ms that are whole seconds are written so."""
    for found in _NUMBER.finditer(text):
        number, unit = int(found[1]), found[2] or ""
        for other in _numbers(number):
            yield text[: found.start()] + f"{other}{unit}" + text[found.end() :]
        if unit == "ms" and number >= 1000:
            yield text[: found.start()] + f"{number // 1000}s" + text[found.end() :]


def _numbers(number: int) -> Iterator[int]:
    """Smaller ones, the smallest first; then those with fewer digits that are not 0."""
    seen = {number}
    for other in (0, 1, 10, number // 4, number // 2):
        if other < number and other not in seen:
            seen.add(other)
            yield other
    digits = 10
    while digits < number:
        rounded = number - number % digits
        if rounded not in seen:
            seen.add(rounded)
            yield rounded
        digits *= 10


PASSES: tuple[Callable[[dict[str, Any]], Iterator[dict[str, Any]]], ...] = (
    _sooner,
    _without_tables,
    _without_keys,
    _shorter_texts,
    _smaller_values,
)


# --- the data as a tree


def _values(data: Any, way: Way = ()) -> Iterator[tuple[Way, Any]]:
    """Every value of a document with its way, outer ones first."""
    items: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(data, dict):
        items = iter(data.items())
    elif isinstance(data, list):
        items = iter(enumerate(data))
    for key, value in items:
        here = (*way, key)
        if here[:2] == (EXPECT, "laws"):
            continue
        yield here, value
        yield from _values(value, here)


def _put(data: dict[str, Any], way: Way, value: Any) -> dict[str, Any]:
    made = deepcopy(data)
    at: Any = made
    for part in way[:-1]:
        at = at[part]
    at[way[-1]] = value
    return made


def _drop(data: dict[str, Any], way: Way) -> dict[str, Any]:
    """Without the value, and without tables that are empty then."""
    made = deepcopy(data)
    at: Any = made
    for part in way[:-1]:
        at = at[part]
    del at[way[-1]]
    if len(way) > 1 and at == {} and isinstance(way[-2], str):
        return _drop(made, way[:-1])
    return made
