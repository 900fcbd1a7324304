"""What a command line is made of, once it has been read: programs, pipelines, lists.

``desim.userland.shell`` reads lines into this; kernels start what is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from desim.data import NamedTuple
from desim.userland.files import DEVICES
from desim.userland.program import Program


class Redirection(NamedTuple):
    """``fd``, how (``<``, ``>``, ``>>``, or ``&`` for a copy of descriptor ``name``), and what."""

    fd: int
    kind: str
    name: str


class Wrapper(NamedTuple):
    """What makes a program one that starts another, as ``time`` does.

    ``at``: where in its argv the other program's words begin; None if there are none.
    ``start``: a new run of it, with the other command.
    """

    at: Callable[[list[str]], int | None]
    start: Callable[[list[str], Command], Program]


class ProgramFile(NamedTuple):
    """An entry of /bin. ``check`` says before the run what of an argv is not modelled, or None.

    ``reads`` names the user's files and folders that it may read, beside ``< FILE``.
    """

    start: Callable[[list[str]], Program]
    check: Callable[[list[str]], str | None]
    reads: Callable[[list[str]], Sequence[str]] = lambda argv: ()
    wraps: Wrapper | None = None
    timer: bool = False
    """It is no file but bash's reserved word ``time``, in front of a whole pipeline."""


class Command(NamedTuple):
    """One program of a pipeline, with its words and redirections in their order.

    ``inner``: the commands that it starts itself.
    """

    argv: list[str]
    program: ProgramFile
    redirections: list[Redirection]
    inner: tuple[Command, ...] = ()

    def start(self) -> Program:
        """A new run of the program."""
        if self.inner and self.program.wraps is not None:
            return self.program.wraps.start(self.argv, self.inner[0])
        return self.program.start(self.argv)

    @property
    def name(self) -> str:
        """The program's name, as the kernel shows it."""
        return self.argv[0].rpartition("/")[2]

    @property
    def inputs(self) -> list[str]:
        """The files of the user's that are its input."""
        own = [name for _, kind, name in self.redirections if kind == "<" and name not in DEVICES]
        return own + [name for command in self.inner for name in command.inputs]

    @property
    def reads(self) -> Sequence[str]:
        """The user's files and folders that it may look into by itself."""
        inner = [name for command in self.inner for name in command.reads]
        return [*self.program.reads(self.argv), *inner]


class Pipeline(NamedTuple):
    """A part of a list: programs joined by pipes, and what stands in front of them."""

    operator: str
    """``;``, ``&&`` or ``||``; ``;`` for the first of a list, too."""
    commands: list[Command]
    timed: bool = False
    """bash's reserved word ``time`` is in front of it."""
