"""What a round of an idle machine does to the numbers that it holds.

Theory of operation
-------------------
``Held`` knows what all parts of a machine hold (``desim.machine.state``). Each ``step`` tells what
has changed since the last one, container by container, and from then on knows that.

A round is *even* if nothing has changed but numbers: no container has more or less in it, nothing
has taken another's place but what equals it, no program has run (what its variables hold is not
seen), and nothing was drawn by lot. What such rounds read is the same each time or moves by the
same, so whatever they compare turns out the same until one of two numbers passes the other. So if
a round does to all numbers what the rounds before it did, and one that comes much later does that
too, all between them do: a number that has passed another does not come back. Two things this does
not know: a number that comes to 0 may mean something, and so may one that fills 31 or 32 bits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from types import GeneratorType
from typing import Any

from desim.data import NamedTuple
from desim.engine.streams import Stream
from desim.machine.state import EMPTY, State, content_of, to_look_at
from desim.machine.threads.host import HostTask
from desim.machine.threads.tasks import ProcessTask
from desim.userland.process import Process

STILL = (Process, ProcessTask, HostTask, Stream)
"""Whose instances do not change at all in an even round."""

EDGES = (0, 1 << 31, 1 << 32)
"""What a number does that comes to one of these is left to a round."""


Write = Callable[[Sequence[Any]], object]
"""Has a container hold something else."""


class Uneven(Exception):  # noqa: N818 - it is no error
    """More has changed than numbers; the argument is what."""


class Change(NamedTuple):
    """What a container held before, and what it holds now, in its order."""

    old: Sequence[Any]
    new: Sequence[Any]
    write: Write
    names: tuple[str, ...] = ()
    """Of an object: which attributes these are."""
    even: bool = True
    """Whether such a container may change in an even round."""
    known: bool = True
    """Whether nothing else has changed with it."""

    @property
    def steps(self) -> list[Any]:
        """By how much each number has changed. Raises ``Uneven``."""
        if not self.even or len(self.old) != len(self.new):
            raise Uneven(self.new)
        return [*map(_step, self.old, self.new)]

    def ahead(self, rounds: int) -> list[Any]:
        """What it holds so many rounds later."""
        pairs = zip(self.new, self.steps, strict=True)
        return [_ahead(new, step, rounds) for new, step in pairs]


Place = tuple[int, tuple[str, ...]]
Changes = dict[Place, Change]
"""Of all containers that have changed, by their ``id`` and names."""
Contents = dict[Place, list[Any]]


def steps(changes: Changes) -> Contents:
    """By how much each number has changed. Raises ``Uneven``."""
    return {place: change.steps for place, change in changes.items()}


def ahead(changes: Changes, rounds: int) -> Contents:
    """What the containers hold ``rounds`` behind the round of ``changes``. Raises ``Uneven``."""
    return {place: change.ahead(rounds) for place, change in changes.items()}


def now(changes: Changes) -> Contents:
    """What they hold."""
    return {place: [*change.new] for place, change in changes.items()}


def _step(old: Any, new: Any) -> Any:
    """What is between the two: None where there is nothing, several for a tuple."""
    if old is new:
        return None
    if type(new) is int and type(old) is int:
        return new - old
    if type(new) is tuple and type(old) is tuple and len(old) == len(new):
        return tuple(map(_step, old, new))
    if type(old) is type(new) and old == new:
        return None
    raise Uneven(new)


def _ahead(new: Any, step: Any, rounds: int) -> Any:
    if step is None:
        return new
    if type(step) is int:
        return new + rounds * step
    return tuple(_ahead(*pair, rounds) for pair in zip(new, step, strict=True))


def room(changes: Changes) -> int | None:
    """How many more rounds there can be before a number comes to one of ``EDGES``; None: any."""
    most = None
    for change in changes.values():
        for old, new in _numbers(change.old, change.new):
            step = new - old
            for edge in EDGES:
                if (edge - new) * step > 0:
                    rounds = (abs(edge - new) - 1) // abs(step)
                    most = rounds if most is None else min(most, rounds)
    return most


def _numbers(old: Iterable[Any], new: Iterable[Any]) -> Iterator[tuple[int, int]]:
    """The pairs of numbers that differ."""
    for one, other in zip(old, new, strict=True):
        if type(other) is tuple:
            yield from _numbers(one, other)
        elif type(other) is int and one != other:
            yield one, other


class Held(State):
    """What is reached from ``root``, without the insides of ``but``, step by step.

    Raises ``CannotRestore`` for what ``State`` does not know, but not for programs.
    """

    def __init__(self, root: object, but: Iterable[object]) -> None:
        self._still: set[int] = set()
        super().__init__(root, but)

    def step(self) -> Changes:
        """What has changed since the last step. Raises ``CannotRestore``."""
        changes = {(id(one), change.names): change for one, change in self._changed()}
        self._look_at([item for change in changes.values() for item in to_look_at(change.new)])
        return changes

    # --- kind by kind: what has changed, which is kept

    def _changed(self) -> Iterator[tuple[object, Change]]:
        yield from self._in_containers()
        yield from self._in_closures()
        yield from self._in_instances()
        for kind, slots in self._slots.items():
            for one, names, old, new in slots.changed():
                still, write = issubclass(kind, STILL), _to_names(one, names)
                even = not (still or _has_empty(old, new))
                yield one, Change(old, new, write, tuple(names), even, not still)

    def _in_containers(self) -> Iterator[tuple[object, Change]]:
        for place, (whole, old) in enumerate(self._lists):
            if whole != old:
                self._lists[place] = whole, (new := whole[:])
                # Bytes are no numbers.
                yield whole, Change(old, new, _to_list(whole), even=type(whole) is list)
        for place, (mapping, held) in enumerate(self._dicts):
            if mapping != held:
                self._dicts[place] = mapping, (holds := dict(mapping))
                yield mapping, Change([*held.items()], [*holds.items()], _to_dict(mapping))
        for place, (group, members) in enumerate(self._sets):
            if group != members:
                self._sets[place] = group, set(group)
                numbers = all(type(member) is int for member in group | members)
                before, after = (sorted(of) if numbers else [*of] for of in (members, group))
                yield group, Change(before, after, _to_set(group), even=numbers)
        for place, (queue, items) in enumerate(self._deques):
            if items != (waiting := [*queue]):
                self._deques[place] = queue, waiting
                yield queue, Change(items, waiting, _to_deque(queue), even=False)

    def _in_closures(self) -> Iterator[tuple[object, Change]]:
        for place, (cell, value) in enumerate(self._cells):
            if (content := content_of(cell)) is not value:
                self._cells[place] = cell, content
                even = not _has_empty((value, content))
                yield cell, Change([value], [content], _to_cell(cell), even=even)

    def _in_instances(self) -> Iterator[tuple[object, Change]]:
        for place, (names, held, stacks) in enumerate(self._instances):
            holds = names if not stacks else {n: v for n, v in names.items() if n not in stacks}
            if holds == held:
                continue
            changed = [n for n in held | holds if holds.get(n, EMPTY) is not held.get(n, EMPTY)]
            old, new = ([of.get(name, EMPTY) for name in changed] for of in (held, holds))
            self._instances[place] = names, dict(holds), stacks
            still, write = id(names) in self._still, _to_items(names, changed)
            even = not (still or _has_empty(old, new))
            yield names, Change(old, new, write, tuple(changed), even, not still)
        for place, (one, name, number) in enumerate(self._counts):
            now_at = next(getattr(one, name))
            setattr(one, name, count(now_at))
            if now_at != number:
                self._counts[place] = held_at = one, name, now_at
                yield held_at, Change([number], [now_at], _to_count(one, name), even=False)

    # --- where it differs from State

    def _generator(self, one: GeneratorType[Any, Any, Any]) -> Iterable[Any]:
        return ()  # whether a program has run shows in its process

    def _named(self, one: object, names: dict[str, Any]) -> Iterable[Any]:
        if isinstance(one, STILL):
            self._still.add(id(names))
        return super()._named(one, names)


def _has_empty(*several: Iterable[Any]) -> bool:
    return any(item is EMPTY for items in several for item in items)


# What writes into a container of each kind


def _to_list(whole: Any) -> Write:
    """Or into an array, or bytes."""
    return lambda items: whole.__setitem__(slice(None), items)


def _to_dict(mapping: dict[Any, Any]) -> Write:
    def write(items: Sequence[Any]) -> None:
        dict.clear(mapping)
        dict.update(mapping, items)

    return write


def _to_set(group: set[Any]) -> Write:
    def write(items: Sequence[Any]) -> None:
        group.clear()
        group.update(items)

    return write


def _to_deque(queue: deque[Any]) -> Write:
    def write(items: Sequence[Any]) -> None:
        queue.clear()
        queue.extend(items)

    return write


def _to_cell(cell: Any) -> Write:
    return _to_names(cell, ["cell_contents"])


def _to_count(one: object, name: str) -> Write:
    return lambda items: setattr(one, name, count(*items))


def _to_items(names: dict[str, Any], changed: list[str]) -> Write:
    def write(items: Sequence[Any]) -> None:
        for name, item in zip(changed, items, strict=True):
            if item is EMPTY:
                del names[name]
            else:
                names[name] = item

    return write


def _to_names(one: object, names: list[str]) -> Write:
    def write(items: Sequence[Any]) -> None:
        for name, item in zip(names, items, strict=True):
            if item is EMPTY:
                delattr(one, name)
            else:
                setattr(one, name, item)

    return write
