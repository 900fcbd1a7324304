"""Stages: the functions that gdb would show, named in a table beside the class that models them.

A class that models functions of the real code has a table ``STAGES``: for each method the
name of the function, its file, whose code it is, what its cost depends on, and whether it is
a landmark on a message's way::

    class TcpOutput:
        STAGES = stages(QEMU, tcp_output=mark("tcp_output", file="slirp/tcp_output.c"))

The table does nothing by itself, and the methods carry nothing. ``desim.engine.instrument``
makes, from a class with a table, a subclass that records each entry and exit and charges
what the cost profile says; without it the bare class runs at full speed.

Names and files are those of the code that is modelled: QEMU 2.8 and its slirp
(the version of the 2016 study), and Linux for the guest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from desim.data import NamedTuple, Protocol

T = TypeVar("T")

Owner = Literal["host", "QEMU", "guest"]
"""Whose code a stage is: the host's kernel, QEMU with slirp, the guest's kernel and programs."""
HOST: Owner = "host"
QEMU: Owner = "QEMU"
GUEST: Owner = "guest"


class Landmark(Enum):
    """What a stage means for a message on its way, or for whoever counts and measures.

    Who follows a message asks for these; the cores say which of their functions is one. So a
    second card brings its own.
    """

    LOOP = "a thread's endless loop, around all that it does"
    IDLE = "the guest's processor has nothing to do"
    UNLOCKED = "QEMU's main loop has let go of the big lock"
    HOST_CALL = "a program of the host is in a system call"
    TAKEN_BY_QEMU = "QEMU takes bytes from its socket on the host"
    READ_INTO_SLIRP = "slirp puts a socket's bytes into its send buffer"
    SENT_BY_SLIRP = "slirp sends a TCP segment to the guest"
    SENT_BY_GUEST = "the guest's kernel sends a segment or a datagram"
    RESOLVED = "the guest's kernel learns a neighbour's address, and sends what waited for it"
    SENT_BY_CARD = "the card hands a frame of the guest to the net layer"
    DELIVERED = "the card writes a received frame into the guest's memory"
    UNMASKED = "the driver lets interrupts through again"
    PAUSED = "the driver lets time pass, and does nothing meanwhile"
    MITIGATION_ENDED = "the card lets out an interrupt that it has kept back"
    INTERRUPT = "the guest's processor takes an interrupt of the card"
    TIMER_INTERRUPT = "the guest's processor takes an interrupt of its own timer"
    SOFTIRQ = "the guest's processor serves soft interrupts"
    POLLED = "the driver polls: it takes received frames out of the ring"
    SOFTIRQ_THREAD = "what soft interrupts have left over is done by a thread"
    STAMPED = "the guest's kernel stamps a received packet"
    QUEUED = "the guest's kernel puts a segment or a datagram into its socket"
    GUEST_CALL = "a program of the guest is in a system call"
    CLOCK_READ = "a program of the guest reads the clock"


LOOPS = (Landmark.LOOP, Landmark.IDLE)
"""What a thread is always in, so that it does not say what the thread does."""

ROOMS = ("userland", "net", "slirp", "e1000", "guest", "host", "machine")
"""The packages in which classes have tables."""


class Build(Protocol):
    """Chooses the class that a core makes a part from: itself, or its instrumented subclass."""

    def __call__(self, cls: type[T], /) -> type[T]: ...


def bare(cls: type[T], /) -> type[T]:
    """The ``Build`` of a core without costs and trace: every class as it is written."""
    return cls


class Mark(NamedTuple):
    """What a table says of one method."""

    names: tuple[str, ...]
    """The function's name, and, innermost last, those it passes straight through to."""
    file: str
    """Path in the source tree of the real code, as gdb prints it."""
    owner: Owner
    """Whose code it is."""
    size: str | None
    """The argument, or the attribute of one, whose ``len()`` the cost per byte applies to."""
    says: Callable[..., str] | None
    """The debug line that the real function, the first of ``names``, prints from the same
    arguments."""
    landmark: Landmark | None
    """What it means for a message on its way."""


Stages = Mapping[str, Mark]
"""A class's table: its methods' names and their marks."""


class _Mark(NamedTuple):
    """A mark in the making: the table says whose it is, unless it does so itself."""

    names: tuple[str, ...]
    file: str
    owner: Owner | None
    size: str | None
    says: Callable[..., str] | None
    landmark: Landmark | None


def mark(
    *names: str,
    file: str,
    owner: Owner | None = None,
    size: str | None = None,
    says: Callable[..., str] | None = None,
    landmark: Landmark | None = None,
) -> _Mark:
    """An entry of a table: the method models the function ``names[0]`` in ``file``.

    Several names stand for a chain of functions that only pass a call on,
    outermost first: ``mark("qemu_send_packet", "qemu_send_packet_async", ...)``.
    ``size`` names the parameter whose length the profile's ``per_1000_bytes`` applies to:
    bytes, or the packets of a list, or the slots of a ring; ``frame.raw`` is an attribute of one.
    ``says(self, ...)`` gives the line that the real function prints when it is built with its
    debug output on. ``owner`` is whose code this function is, where it is not that of the rest of
    the class, and ``landmark`` what it means for a message on its way.
    """
    if not names:
        raise TypeError("a stage needs at least one name")
    return _Mark(names, file, owner, size, says, landmark)


def stages(owner: Owner, /, **marks: _Mark) -> Stages:
    """The table of a class whose functions are ``owner``'s: each method's name and its mark."""
    return MappingProxyType(
        {
            method: Mark(m.names, m.file, m.owner or owner, m.size, m.says, m.landmark)
            for method, m in marks.items()
        }
    )


def marks_of(cls: type) -> tuple[tuple[str, Mark], ...]:
    """The methods of ``cls`` that have a mark, by name.

    A mark stands for the method of its class, written there or inherited: one that a
    subclass overrides without a mark of its own has none.
    """
    return _marks_of(cls)


@cache
def _marks_of(cls: type) -> tuple[tuple[str, Mark], ...]:
    found: dict[str, Mark] = {}
    for number, base in enumerate(cls.__mro__):
        for name, entry in vars(base).get("STAGES", {}).items():
            if name not in found and not any(name in vars(own) for own in cls.__mro__[:number]):
                found[name] = entry
    return tuple(sorted(found.items()))


class Known(NamedTuple):
    """What is known of one stage name in one file."""

    owner: Owner
    sized: bool
    """Whether its cost may depend on a number of bytes."""
    landmark: Landmark | None = None


@cache
def known_stages() -> Mapping[tuple[str, str], Known]:
    """All stages that a machine can have, by name and file: those of all tables in ``ROOMS``.

    A name may stand in several files: ``ip_output`` is both slirp's and Linux's. Loads
    these packages, so that what is known does not depend on what was imported before.
    """
    found: dict[tuple[str, str], Known] = {}
    for cls in _classes():
        for entry in vars(cls).get("STAGES", {}).values():
            for name in entry.names:
                new = Known(entry.owner, entry.size is not None, entry.landmark)
                before = found.get((name, entry.file), new)
                assert before.owner == new.owner, f"{name} of {entry.file} has two owners"
                assert before.landmark == new.landmark, f"{name} of {entry.file} is two landmarks"
                found[name, entry.file] = new._replace(sized=before.sized or new.sized)
    return MappingProxyType(found)


def files_of(name: str) -> list[str]:
    """The files in which there is a stage ``name``, in alphabetical order; none is no error."""
    return sorted(file for known, file in known_stages() if known == name)


def stages_at(landmark: Landmark) -> list[tuple[str, str]]:
    """The stages, by name and file, that are a landmark, in alphabetical order."""
    return sorted(key for key, known in known_stages().items() if known.landmark is landmark)


def _classes() -> Iterator[type[Any]]:
    """All classes that are written in ``ROOMS``."""
    import pkgutil  # no run looks for all classes

    for room in ROOMS:
        package = import_module(f"desim.{room}")
        modules = [package.__name__]
        modules += [m.name for m in pkgutil.walk_packages(package.__path__, f"desim.{room}.")]
        for name in modules:
            for found in vars(import_module(name)).values():
                if isinstance(found, type) and found.__module__ == name:
                    yield found
