"""What the parts of a machine hold at an instant, so that it can be put back to there.

Theory of operation
-------------------
A machine is a graph of objects. ``State`` goes through it once, from the machine on, and keeps
what each object that can change holds: the items of containers, the attributes of instances, the
cells of closures. ``restore`` writes that back into the very same objects; what was added since
then is not reached from any of them any more.

That is exact because the kinds of objects are a closed list. One of a kind that is not on it (a
program in the middle of its work, a file) raises ``CannotRestore``: such a machine serves one run
only. Two kinds are not restored, and must not matter: stacks, which are their owner's business,
and what the caller leaves out.
"""

from __future__ import annotations

import enum
import struct
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from fractions import Fraction
from functools import partial
from itertools import compress, count
from operator import attrgetter, is_, is_not
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any, cast

import greenlet

FIXED = (
    int, str, bytes, float, type(None), type(Ellipsis), type(NotImplemented), range, Fraction,
    enum.Enum, PurePath, struct.Struct, type, ModuleType, greenlet.greenlet,
)  # fmt: skip
"""What never changes, or is not restored."""

PLAIN = frozenset((int, str, bytes, type(None)))
"""The most frequent of these."""


class IsFixed(dict[type, bool]):
    """Whether instances of a class never change, or are not restored."""

    # NOTE: asked once for each class: some of ``FIXED`` are abstract (0.8 of the time).
    def __missing__(self, kind: type) -> bool:
        fixed = self[kind] = issubclass(kind, FIXED)
        return fixed


IS_FIXED = IsFixed()

MANY = 1000
"""Items of which most may be the same."""

BASES = "typing", "abc", "collections.abc"
"""Where classes of desim may have bases that hold nothing, beside ``object`` and ``dict``."""

EMPTY: Any = object()
"""In the place of a value that is not there."""


class CannotRestore(Exception):  # noqa: N818 - it is no error
    """The machine has something that cannot be put back; the argument is that."""


class Slots:
    """The instances of a class that has its attributes in slots, and what these hold."""

    __slots__ = ("_all", "_held", "_members", "_ones")

    def __init__(self, kind: type) -> None:
        found = {
            name: value
            for base in kind.__mro__
            for name, value in vars(base).items()
            if isinstance(value, MemberDescriptorType)
        }
        if any(getattr(kind, name) is not member for name, member in found.items()):
            raise CannotRestore(kind)
        self._members = found
        # Of several names it makes a tuple.
        self._all = attrgetter("__class__", *found) if found else None
        self._ones: list[Any] = []
        self._held: list[tuple[Any, ...]] = []
        """Behind the class of each."""

    def keep(self, one: object) -> tuple[Any, ...]:
        """Keep what an instance holds, and give it."""
        if self._all is None:
            return ()
        held = self._values(one)
        self._ones.append(one)
        self._held.append(held)
        return held

    def _values(self, one: object) -> tuple[Any, ...]:
        """What the slots hold, behind the class."""
        try:
            return cast("tuple[Any, ...]", self._all(one))  # type: ignore[misc]  # there are some
        except AttributeError:  # one of them holds nothing
            return type(one), *(getattr(one, name, EMPTY) for name in self._members)

    def _now(self) -> list[tuple[Any, ...]]:
        """What the slots of all of them hold."""
        if self._all is None:
            return []
        # NOTE: all of them at one go (0.3 of the time).
        try:
            return [*map(self._all, self._ones)]
        except AttributeError:
            return [*map(self._values, self._ones)]

    def changed(self) -> Iterator[tuple[object, list[str], list[Any], list[Any]]]:
        """Each instance that holds something else now, which is kept: its slots that differ, and
        what was and is in them (``EMPTY``: nothing)."""
        now = self._now()
        if now == self._held:
            return
        for place, (one, was, is_now) in enumerate(zip(self._ones, self._held, now, strict=True)):
            if was != is_now:
                self._held[place] = is_now
                pairs = zip(self._members, was[1:], is_now[1:], strict=True)
                differ = [pair for pair in pairs if pair[1] is not pair[2]]
                names, old, new = ([pair[n] for pair in differ] for n in range(3))
                yield one, names, old, new

    def restore(self) -> None:
        """Write it back."""
        members = tuple(self._members.values())
        for one, held, now in zip(self._ones, self._held, self._now(), strict=True):
            # NOTE: what still holds the same, as most does, is left as it is (0.3 of the time).
            if all(map(is_, now, held)):
                continue
            for member, value, there in zip(members, held[1:], now[1:], strict=True):
                if value is there or isinstance(value, greenlet.greenlet):  # a stack
                    continue
                if value is EMPTY:
                    member.__delete__(one)
                else:
                    member.__set__(one, value)


class State:
    """What is reached from ``root``, without the insides of ``but``, as it is now.

    Raises ``CannotRestore``.
    """

    def __init__(self, root: object, but: Iterable[object] = ()) -> None:
        self._lists: list[tuple[Any, Any]] = []
        """Lists, arrays of numbers or bytes: what a slice of all writes back."""
        self._dicts: list[tuple[Any, dict[Any, Any]]] = []
        self._sets: list[tuple[set[Any], set[Any]]] = []
        self._deques: list[tuple[deque[Any], list[Any]]] = []
        self._cells: list[tuple[CellType, Any]] = []
        self._slots: dict[type, Slots] = {}
        self._instances: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = []
        """By its names, an instance: what it holds, and the names of its stacks."""
        self._counts: list[tuple[object, str, int]] = []
        self._seen = {id(one): one for one in but}
        self._look_at([root])

    def _look_at(self, todo: list[Any]) -> None:
        """Go through what is reached from ``todo``, as far as it is new."""
        seen = self._seen
        while todo:
            one = todo.pop()
            if id(one) not in seen and not IS_FIXED[type(one)]:
                seen[id(one)] = one
                todo += self._look(one)

    def restore(self) -> None:
        """Write it back."""
        for whole, items in self._lists:
            whole[:] = items
        for mapping, held in self._dicts:
            dict.clear(mapping)
            dict.update(mapping, held)
        for group, members in self._sets:
            group.clear()
            group |= members
        for queue, items in self._deques:
            queue.clear()
            queue.extend(items)
        for cell, value in self._cells:
            if value is not EMPTY:
                cell.cell_contents = value
            elif content_of(cell) is not EMPTY:
                del cell.cell_contents
        for names, held, stacks in self._instances:
            if stacks:
                held = held | {name: names[name] for name in stacks}
            if names.keys() != held.keys() or not all(map(is_, names.values(), held.values())):
                names.clear()
                names.update(held)
        for slots in self._slots.values():
            slots.restore()
        for one, name, number in self._counts:
            setattr(one, name, count(number))

    # --- one object: keep what it holds, and give what is to be looked at next

    def _look(self, one: Any) -> Iterable[Any]:
        look = LOOKS.get(type(one))
        if look is not None:
            return look(self, one)
        if isinstance(one, (tuple, frozenset)):
            return to_look_at(one)
        return self._instance(one)

    def _list(self, one: Any) -> Iterable[Any]:
        self._lists.append((one, one[:]))
        return to_look_at(one)

    def _dict(self, one: dict[Any, Any]) -> Iterable[Any]:
        held = dict(one)
        self._dicts.append((one, held))
        yield from held
        yield from held.values()

    def _set(self, one: set[Any]) -> Iterable[Any]:
        self._sets.append((one, set(one)))
        return one

    def _deque(self, one: deque[Any]) -> Iterable[Any]:
        self._deques.append((one, list(one)))
        return one

    def _cell(self, one: CellType) -> Iterable[Any]:
        value = content_of(one)
        self._cells.append((one, value))
        return (value,)

    def _generator(self, one: GeneratorType[Any, Any, Any]) -> Iterable[Any]:
        if one.gi_frame is not None:
            raise CannotRestore(one)
        return ()

    def _instance(self, one: Any) -> Iterator[Any]:
        if isinstance(one, (BaseException, list, set)) or not all(
            map(_is_known, type(one).__mro__)
        ):
            raise CannotRestore(one)
        if isinstance(one, dict):
            yield from self._dict(one)
        slots = self._slots.get(type(one))
        if slots is None:
            slots = self._slots[type(one)] = Slots(type(one))
        yield from slots.keep(one)
        names = getattr(one, "__dict__", None)
        if names is not None:
            yield from self._named(one, names)

    def _named(self, one: object, names: dict[str, Any]) -> Iterable[Any]:
        held, stacks = {}, []
        for name, value in [*names.items()]:
            if isinstance(value, greenlet.greenlet):
                stacks.append(name)
            elif type(value) is count:
                number = next(value)
                setattr(one, name, count(number))
                self._counts.append((one, name, number))
            else:
                held[name] = value
        self._instances.append((names, held, stacks))
        return held.values()


def _is_known(base: type) -> bool:
    """Whether instances hold nothing of this class that is not looked at."""
    module = base.__module__
    return base in (object, dict) or module in BASES or module.partition(".")[0] == "desim"


def to_look_at(items: Collection[Any]) -> Iterable[Any]:
    """What may have to be looked at: without what is fixed. The card's registers are 32,768."""
    if isinstance(items, (bytearray, array)):
        return ()
    if len(items) > MANY and isinstance(items, (list, tuple)):
        # NOTE: most are like the one in front of them, as is what reads and writes them (0.3 of
        # the time).
        others = items[1:]
        items = [items[0], *compress(others, map(is_not, others, items))]
    return () if PLAIN.issuperset(map(type, items)) else items


def content_of(cell: CellType) -> Any:
    """What a variable of a closure holds; ``EMPTY``: nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return EMPTY


LOOKS: dict[type, Callable[[State, Any], Iterable[Any]]] = {
    list: State._list,
    dict: State._dict,
    defaultdict: State._dict,
    Counter: State._dict,
    bytearray: State._list,
    array: State._list,
    set: State._set,
    deque: State._deque,
    CellType: State._cell,
    GeneratorType: lambda state, one: state._generator(one),
    FunctionType: lambda _, one: one.__closure__ or (),
    MethodType: lambda _, one: (one.__self__,),  # its function is a class's, and these are fixed
    BuiltinFunctionType: lambda _, one: (one.__self__,),
    MethodWrapperType: lambda _, one: (one.__self__,),
    partial: lambda _, one: (one.func, one.args, one.keywords),
    memoryview: lambda _, one: (one.obj,),
}
