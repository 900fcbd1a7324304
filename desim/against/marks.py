"""Marks: what of a model an input has reached.

A mark is a modelled function that was entered, by the name it has in the original
(``desim.stages``), or a reason that the ledger was told. Nothing in the models is there for a mark:
Python says which functions are entered, and only while a recording is replayed here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pkgutil import walk_packages
from types import CodeType, FrameType, FunctionType
from typing import Any

from desim.reasons import Reason
from desim.stages import marks_of
from desim.testing import Ledger


class Marks:
    """The marks of some rooms or modules (``desim.slirp``); ``never``: those that cannot be hit."""

    def __init__(self, rooms: Iterable[str], never: Iterable[str] = ()) -> None:
        self._names: dict[CodeType, str] = {}
        self._never = frozenset(never)
        self.reasons: set[str] = set()
        for module in _modules(rooms):
            for found in vars(module).values():
                if isinstance(found, type) and found.__module__ == module.__name__:
                    self._names.update(_functions(found))
                elif isinstance(found, Reason):
                    self.reasons.add(found.code)

    @property
    def known(self) -> list[str]:
        """All that there are, in alphabetical order."""
        return sorted({*self._names.values(), *self.reasons} - self._never)

    @contextmanager
    def watched(self) -> Iterator[Callable[[Ledger | None], frozenset[str]]]:
        """While in here functions are watched; the function given says what was hit."""
        entered: set[CodeType] = set()

        def note(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call":
                entered.add(frame.f_code)

        def hit(ledger: Ledger | None) -> frozenset[str]:
            found = {self._names[code] for code in list(entered) if code in self._names}
            if ledger is not None:
                entries = [*ledger.losses, *ledger.waits]
                found |= {entry.why.code for entry in entries} & self.reasons
            return frozenset(found)

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            yield hit
        finally:
            sys.setprofile(before)


@cache
def marks(rooms: tuple[str, ...], never: tuple[str, ...] = ()) -> Marks:
    """Those of ``rooms``, made once."""
    return Marks(rooms, never)


def _modules(rooms: Iterable[str]) -> Iterator[Any]:
    for room in rooms:
        package = import_module(room)
        yield package
        for found in walk_packages(getattr(package, "__path__", ()), f"{room}."):
            yield import_module(found.name)


def _functions(cls: type) -> Iterator[tuple[CodeType, str]]:
    for method, mark in marks_of(cls):
        function = getattr(cls, method, None)
        if isinstance(function, FunctionType):
            yield function.__code__, mark.names[-1]
