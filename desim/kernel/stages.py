"""Stages: the functions that gdb would show, marked where they are written.

A mark does nothing by itself. ``desim.kernel.instrument`` makes, from a class
with marked methods, a subclass that records each entry and exit and charges
what the cost profile says; without it the bare class runs at full speed.

Names and files are those of the code that is modelled: QEMU 2.8 and its slirp
(the version of the 2016 study), and Linux for the guest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Build(Protocol):
    """Chooses the class that a core makes a part from: itself, or its instrumented subclass."""

    def __call__(self, cls: type[T], /) -> type[T]: ...


def bare(cls: type[T], /) -> type[T]:
    """The ``Build`` of a core without costs and trace: every class as it is written."""
    return cls


class Mark(NamedTuple):
    """What ``@stage`` notes on a function."""

    names: tuple[str, ...]
    """The function's name, and, innermost last, those it passes straight through to."""
    file: str
    """Path in the source tree of the real code, as gdb prints it."""
    size: str | None
    """The argument whose ``len()`` the cost per byte applies to."""
    says: Callable[..., str] | None
    """The debug line that the real function prints, from the same arguments."""


MARKS: dict[str, list[str]] = {}
"""Every stage name known so far, with the files it occurs in (``ip_output`` is both
slirp's and Linux's)."""


SIZED: set[tuple[str, str]] = set()
"""Stages, by name and file, whose mark names a parameter that has bytes."""


def stage(
    *names: str,
    file: str,
    size: str | None = None,
    says: Callable[..., str] | None = None,
) -> Callable[[F], F]:
    """Mark a method as the model of the function ``names[0]`` in ``file``.

    Several names stand for a chain of functions that only pass a call on,
    outermost first: ``@stage("qemu_send_packet", "qemu_send_packet_async", ...)``.
    ``size`` names the parameter whose length the profile's ``per_1000_bytes`` applies to:
    bytes, or the packets of a list, or the slots of a ring. ``says(self, ...)`` gives the
    line that the real function prints when it is built with its debug output on.
    """
    if not names:
        raise TypeError("a stage needs at least one name")

    def mark(function: F) -> F:
        for name in names:
            files = MARKS.setdefault(name, [])
            if file not in files:
                files.append(file)
            if size is not None:
                SIZED.add((name, file))
        # A function takes attributes, but its type does not know this one.
        function.__stage__ = Mark(names, file, size, says)  # type: ignore[attr-defined]
        return function

    return mark
