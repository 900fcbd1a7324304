"""A scenario as a frozen value: a machine, what runs on it and around it, what is expected."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from os import PathLike, fspath
from typing import TYPE_CHECKING, final

from desim.config import MachineConfig
from desim.data import replace
from desim.scenario.document import Document, plain
from desim.scenario.loader import load_document

if TYPE_CHECKING:
    from desim.api.topology import Topology

Commands = str | Sequence[str]
"""One command line, or several: each is typed into a terminal of its own."""


@final
class Scenario:
    """What :func:`desim.load` and :func:`desim.from_qemu` return. It never changes.

    Two are equal if they say the same and the files that they read have the same contents.
    Its ``repr`` is the expression that makes it again (in the same folder, from the same
    files).
    """

    __slots__ = ("_changes", "_config", "_document", "_made")

    _document: Document
    _config: MachineConfig
    _made: str
    """The call that made the first of these, as Python."""
    _changes: dict[str, object]
    """What ``set`` has changed since."""

    def __init__(
        self, document: Document, made: str, changes: Mapping[str, object] | None = None
    ) -> None:
        """Raises ``ScenarioError`` with every mistake of the document."""
        fields = {
            "_document": document,
            "_config": document.read(),
            "_made": made,
            "_changes": {key: plain(value) for key, value in (changes or {}).items()},
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a scenario does not change: {name!r} cannot be set; see set()")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a scenario does not change: {name!r} cannot be deleted")

    def __getstate__(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __setstate__(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """The file's name without ``.toml``; ``"qemu"`` for a machine from options."""
        return self._config.name

    @property
    def description(self) -> str:
        """One line for people."""
        return self._config.description

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before trusting a run: options that have no effect here."""
        return tuple(self._config.notes)

    def set(
        self, changes: Mapping[str, object], /, *, place: Callable[[str], str] = str
    ) -> Scenario:
        """The same scenario with other values for some keys.

        Keys are those of a scenario file, with dots: ``"guest.modprobe"``, ``"seed"``,
        ``"guest.run[0].at"``, ``'expect.guest.file."hello.txt"'``. Values are what the file
        could hold: text, whole numbers, ``True`` and ``False``, lists and tables (``dict``);
        the contents of an expected file may be ``bytes``, too. Files that the scenario names
        are read again. ``place`` says what messages call a key, for programs that have their
        own spelling (``"--seed"``).

        Raises :class:`desim.ScenarioError` with every mistake, as for a file.
        """
        document = self._document.changed(changes, place)
        return Scenario(document, self._made, {**self._changes, **changes})

    def topology(self) -> Topology:
        """How the machine is wired; nothing is run for it."""
        from desim.api.topology import Topology

        return Topology(self._config)

    def explain(self, width: int = 80) -> str:
        """What its line of QEMU's options means, in lines of ``width`` columns.

        Wiring, every address that follows from it, forwards in QEMU's order, which QEMU takes
        each spelling, today's, what has no effect and why. Nothing is run for it.
        """
        from desim.report.explain import explain

        return explain(self._config, width)

    def configuration(self) -> MachineConfig:
        """The same for those who work below this API: a new ``desim.config.MachineConfig``."""
        from copy import deepcopy  # a run shares it

        return deepcopy(self._config)

    def _shared_configuration(self) -> MachineConfig:
        """A new one as well, for those who only read what it consists of: it is that of others."""
        return replace(self._config, notes=[*self._config.notes])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scenario):
            return NotImplemented
        return self._config == other._config

    def __hash__(self) -> int:
        # Of what equal ones have in common, enough to tell those of a sweep apart; and the same
        # in every run, as all numbers of desim are.
        config = self._config
        common = (config.name, config.qemu, config.modprobe, config.costs, str(config.seed))
        return int.from_bytes(sha256("\0".join(common).encode()).digest()[:7], "big")

    def __repr__(self) -> str:
        changed = f".set({self._changes!r})" if self._changes else ""
        return self._made + changed


def load(
    name: str | PathLike[str],
    changes: Mapping[str, object] | None = None,
    *,
    allow_read: Sequence[str | PathLike[str]] = (),
    place: Callable[[str], str] = str,
) -> Scenario:
    """The scenario in a file, or a shipped one by its bare name (:func:`desim.scenarios`).

    ``changes`` and ``place`` are those of :meth:`Scenario.set`. A scenario reads files in its
    own folder only; ``allow_read`` names folders beside that.

    Raises :class:`desim.ScenarioError` with every mistake of the file and the changes.
    """
    name = fspath(name)
    folders = [fspath(folder) for folder in allow_read]
    made = f"desim.load({name!r})"
    if folders:
        made = f"desim.load({name!r}, allow_read={folders!r})"
    document = load_document(name, allow_read=folders)
    return _made(document, made, changes, place)


def from_qemu(
    options: str | Sequence[str] = "",
    *,
    guest: Commands = (),
    host: Commands = (),
    changes: Mapping[str, object] | None = None,
    place: Callable[[str], str] = str,
) -> Scenario:
    """The machine of QEMU's own ``options``, in any spelling from QEMU 2.8 on.

    ``options`` are text as on QEMU's command line, a list of such texts, or a tuple of words
    that are split already; without any it is QEMU's default machine. ``guest`` and ``host``
    are the commands of both sides, each in a terminal of its own: the guest's start when its
    network is up, the host's when all of those wait for input. ``changes`` and ``place`` are
    those of :meth:`Scenario.set`; ``place`` is asked for ``"guest"`` and ``"host"``, too.

    Commands may read any file; relative names start at the current folder.

    Raises :class:`desim.ScenarioError` with every mistake in options, commands and changes.
    """
    from desim.scenario.command_line import document_from_options

    sides = {"guest": _commands(guest), "host": _commands(host)}
    document = document_from_options(
        options, guest=sides["guest"], host=sides["host"], folder=os.getcwd(), place=place
    )
    shown = options if isinstance(options, (str, tuple)) else list(options)
    given = "".join(f", {side}={commands!r}" for side, commands in sides.items() if commands)
    return _made(document, f"desim.from_qemu({shown!r}{given})", changes, place)


def _made(
    document: Document,
    made: str,
    changes: Mapping[str, object] | None,
    place: Callable[[str], str],
) -> Scenario:
    if not changes:
        return Scenario(document, made)
    return Scenario(document.changed(changes, place), made, changes)


def _commands(given: Commands) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
