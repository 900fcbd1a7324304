"""A program: a generator of system calls.

What it yields is a ``Call``; what the call gives is sent back into it, and an error is
thrown into it as ``OSError``. Its return value is the exit status. The calls that there
are, with their types, are ``desim.userland.calls``.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar

from desim.data import NamedTuple

T = TypeVar("T")


class Call(NamedTuple):
    """One system call, on its way from a program to a kernel."""

    name: str
    args: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.args))})"


Part: TypeAlias = Generator[Call, Any, T]
"""A part of a program: ``value = yield from part()`` makes its calls and gives its result."""

Program = Part[int]
"""A running program. Returns its exit status."""
