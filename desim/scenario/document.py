"""A scenario as data, whoever spelled it: a file, QEMU's options, or changes made afterwards.

A :class:`Document` holds what a scenario file may hold, as plain tables, lists and values,
and knows for each key who wrote it. ``read`` lets :mod:`desim.scenario.schema` judge all of
it at once. A mistake is one line that begins with the place of the key as its writer knows
it: ``hello.toml:12: guest.run[0].at`` in a file, ``--guest`` on a command line, the key
itself where a program changed it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from desim.config import (
    Boot,
    Expect,
    HostDns,
    InputFile,
    MachineConfig,
    QemuConfig,
    RunCommand,
    Side,
)
from desim.costs.profile import shipped as shipped_profiles
from desim.data import Data, Protocol, replace
from desim.engine.streams import Stream
from desim.errors import ScenarioError
from desim.scenario.inputs import Inputs
from desim.scenario.key_names import KEY_FORM, Key, dotted, read_key
from desim.scenario.modprobe import note_without_card
from desim.scenario.schema import Machine, Reading, Run, Scenario
from desim.scenario.tables import Mistake, Place
from desim.toml_limits import MAX_NESTING, TOO_DEEP, shown

if TYPE_CHECKING:
    from desim.scenario.lines import Lines
    from desim.scenario.settings import Setting
    from desim.scenario.sweep_table import Sweep

MAX_SHOWN = 60
"""Characters of a wrong value that a message repeats."""


class Source(Protocol):
    """Who wrote some keys of a document, and how messages point at them."""

    def order(self, key: Key) -> int:
        """Where the key stands among the others of this source."""

    def place(self, key: Key) -> str:
        """What the writer calls the key."""

    def tell(self, key: Key, message: str, *given: object) -> str:
        """One line for a mistake at ``key``; ``given`` is the wrong value, if it is to be shown."""


class InFile:
    """Keys that stand in a file called ``label``.

    Without its ``text``, a message about one of them reads it from ``path``.
    """

    def __init__(self, label: str, text: str | None, path: str = "") -> None:
        self.label = label
        self._text = text
        self._path = path

    @cached_property
    def _lines(self) -> Lines:
        from desim.scenario.lines import Lines  # most files have no mistake

        if self._text is None:
            with open(self._path, encoding="utf-8") as file:
                return Lines(file.read())
        return Lines(self._text)

    def order(self, key: Key) -> int:
        """The line."""
        return self._lines.of(key)

    def place(self, key: Key) -> str:
        """``guest.modprobe``"""
        return dotted(key)

    def tell(self, key: Key, message: str, *given: object) -> str:
        """``hello.toml:3: seed: "x": must be a whole number``"""
        shown = "".join(f"{as_in_a_file(value)}: " for value in given)
        return f"{self.label}:{self.order(key)}: {dotted(key)}: {shown}{message}"


class Spoken:
    """Keys that somebody gave one by one; ``places`` says what the writer calls them.

    What is below a given key is called by that key and the rest of its way; "" means that
    messages about it say by themselves what they are about.
    """

    def __init__(self, places: Mapping[Key, str]) -> None:
        self._places = places

    def order(self, key: Key) -> int:
        """In the order given."""
        given = self._given(key)
        return -1 if given is None else list(self._places).index(given)

    def place(self, key: Key) -> str:
        """As it was given."""
        given = self._given(key)
        if given is None:
            return dotted(key)
        rest = dotted(key[len(given) :])
        name = self._places[given]
        return name + (rest if not rest or rest.startswith("[") else f".{rest}")

    def tell(self, key: Key, message: str, *given: object) -> str:
        """``guest 'nc < nofile': < nofile: no such file``"""
        place = self.place(key)
        told = "".join(
            f" {_cut(shown(value))}" for value in given if isinstance(value, (str, int, float))
        )
        return f"{place}{told}: {message}" if place else message

    def knows(self, key: Key) -> bool:
        """Whether ``key``, or something around it, was given here."""
        return self._given(key) is not None

    def _given(self, key: Key) -> Key | None:
        for size in range(len(key), 0, -1):
            if key[:size] in self._places:
                return key[:size]
        return None


class Changed:
    """Keys of ``base``, some of which somebody has changed."""

    def __init__(self, base: Source, changes: Spoken) -> None:
        self._base = base
        self._changes = changes

    def _of(self, key: Key) -> Source:
        return self._changes if self._changes.knows(key) else self._base

    def order(self, key: Key) -> int:
        """Changes stand behind what was there."""
        behind = 1 << 32 if self._changes.knows(key) else 0
        return behind + self._of(key).order(key)

    def place(self, key: Key) -> str:
        """As whoever wrote it last calls it."""
        return self._of(key).place(key)

    def tell(self, key: Key, message: str, *given: object) -> str:
        """As whoever wrote it last is told."""
        return self._of(key).tell(key, message, *given)


class Extended:
    """Keys of a file that extends another one: what it says itself, and the rest of ``base``."""

    def __init__(self, own: Source, data: Mapping[str, Any], base: Source) -> None:
        self._own = own
        self._data = data
        self._base = base

    def _of(self, key: Key) -> Source:
        at: Any = self._data
        for part in key:
            if isinstance(at, list):
                return self._own  # an array is whoever's it is as a whole
            if not isinstance(at, dict) or part not in at:
                return self._base if isinstance(at, dict) else self._own
            at = at[part]
        return self._own

    def order(self, key: Key) -> int:
        """What the file says itself stands behind what it extends."""
        of = self._of(key)
        return of.order(key) + (1 << 32 if of is self._own else 0)

    def place(self, key: Key) -> str:
        """As whoever wrote it calls it."""
        return self._of(key).place(key)

    def tell(self, key: Key, message: str, *given: object) -> str:
        """As whoever wrote it is told."""
        return self._of(key).tell(key, message, *given)


def with_data(document: Document, data: Mapping[str, Any]) -> Document:
    """``document`` saying ``data`` instead, for programs that make scenarios of scenarios.

    Messages of it tell a key by its own name.
    """
    return replace(document, data=data, source=Spoken({}))


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says that extends another: tables are joined, all else is its own."""
    made = dict(base)
    for name, value in own.items():
        before = base.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            made[name] = merged(before, value)
        else:
            made[name] = value
    return made


class Document(Data, frozen=True):
    """One scenario before it is judged. ``data`` must not be changed.

    ``mistakes`` are those that were found on the way here; ``read`` reports them with its own.
    """

    name: str
    data: Mapping[str, Any]
    source: Source
    inputs: Inputs
    mistakes: tuple[str, ...] = ()

    def changed(self, changes: Mapping[str, object], place: Callable[[str], str] = str) -> Document:
        """This document with other values; keys are those of a file, with dots.

        ``place`` says what messages call a key.
        """
        from copy import deepcopy  # many runs change nothing

        from desim.scenario.settings import setting_at

        data = deepcopy(dict(self.data))
        mistakes = list(self.mistakes)
        places: dict[Key, str] = {}
        for text, value in changes.items():
            try:
                key = read_key(text)
                value = plain(value)
                if (setting := setting_at(key)) is not None:
                    key, value = setting.way, _with_setting(data, setting, value)
                made = _put(data, key, value)
            except ValueError as error:
                mistakes.append(f"{place(text)}: {error}")
            else:
                places.setdefault(made, place(text))
                places[key] = place(text)
        source = Changed(self.source, Spoken(places))
        return replace(self, data=data, source=source, mistakes=tuple(mistakes))

    def read(self) -> MachineConfig:
        """The configuration that it describes. Raises ``ScenarioError`` with every mistake."""
        reading = Reading(self.inputs, shipped_profiles())
        place = Place(reading)
        scenario = Scenario(self.data, place)
        messages = [*self.mistakes, *self._messages(place.found)]
        if messages:
            raise ScenarioError(*messages)
        return self._configuration(scenario, reading)

    def sweep(self) -> Sweep:
        """What its table ``[sweep]`` says; ``read`` judges it."""
        from desim.scenario.sweep_table import Sweep  # runs have no use for it

        return Sweep(self.data.get("sweep", {}), Place(Reading(self.inputs, ())))

    def _configuration(self, scenario: Scenario, reading: Reading) -> MachineConfig:
        expect, seed = scenario.expect, scenario.seed
        dns = HostDns() if scenario.dns is None else scenario.dns.made()
        files: dict[Side, dict[str, InputFile]] = reading.files
        notes = reading.network.notes + reading.notes + self._without_card((), scenario, reading)
        others = []
        for name, machine in scenario.machine.items():
            other = machine.reading
            resolver = bool(dns.resolvers)
            others.append(QemuConfig(**_qemu(machine, other, seed, resolver, name)))
            found = other.network.notes + other.notes
            found += self._without_card(("machine", name), machine, other)
            notes += [f"{name}: {note}" for note in found]
            files["host"].update(other.files["host"])
        own = _qemu(scenario, reading, seed, bool(dns.resolvers), "")
        host = _commands("host", [(run, run.command) for run in scenario.host.run], seed)
        for at in scenario.at:
            own["monitor"] += at.typed()
            own["guest"] += _typed("guest", at.guest, at.at, len(own["guest"]))
            host += _typed("host", at.host, at.at, len(host))
        commands = [*own["guest"], *host, *(one for other in others for one in other.guest)]
        for at in scenario.at:
            for command in commands:
                if command.terminal == at.stop:
                    command.stop_ns, command.stop_relative = at.at, False
        return MachineConfig(
            **own,
            name=self.name,
            description=scenario.description,
            others=others,
            dns=dns,
            costs=scenario.costs,
            seed=seed,
            strict=scenario.strict,
            limits=scenario.run.limits.made(),
            until_ns=scenario.until,
            host=host,
            host_files=files["host"],
            expect=Expect(
                guest_files=expect.guest.file,
                host_files=expect.host.file,
                other_files={
                    name: machine.expect.file
                    for name, machine in scenario.machine.items()
                    if machine.expect.file
                },
                metrics=expect.conditions(),
                fingerprint=expect.fingerprint,
                laws=tuple(expect.laws),
            ),
            notes=notes,
        )

    def _without_card(self, way: Key, said: Scenario | Machine, reading: Reading) -> list[str]:
        """Notes on what has no effect without a card."""
        nic, place = reading.network.nic, self.source.place
        return [
            *note_without_card(place((*way, "guest", "modprobe")), said.guest.modprobe, nic),
            *note_without_card(place((*way, "semantics")), said.semantics, nic, usual="qemu"),
        ]

    def _messages(self, found: list[Mistake]) -> list[str]:
        # In the order of the file; what shares a line keeps the order of the schema.
        found = sorted(found, key=lambda mistake: self.source.order(mistake.key))
        return [self.source.tell(key, message, *given) for key, message, given in found]


def _qemu(
    said: Scenario | Machine, reading: Reading, seed: int, resolver: bool, name: str
) -> dict[str, Any]:
    """What a ``QemuConfig`` has: of the first machine, or of one with a ``name``."""
    network = reading.network
    if network.nic is not None:
        network.nic.semantics = said.semantics
    hosts = said.guest.hosts or ("dns" if resolver else "")
    runs = [(run, run.command) for run in said.guest.run]
    side = f"{name or 'scenario'}"
    return {
        "machine": name,
        "qemu": shlex.join(said.qemu),
        "user": network.user,
        "nic": network.nic,
        "sockets": network.sockets,
        "hub": network.hub,
        "hub_ports": network.hub_ports,
        "filters": network.filters,
        "icount_shift": network.icount_shift,
        "inject": [
            train
            for number, table in enumerate(said.inject, 1)
            for train in table.trains(Stream(seed, f"inject {side} {number}"))
        ],
        "modprobe": said.guest.modprobe,
        "boot": Boot(insmod_ns=said.guest.modprobe_at),
        "sysctl": tuple(said.guest.sysctl),
        "guest_address": said.guest.address,
        "guest_ipv6": said.guest.ipv6,
        "guest_dns": "dns" in hosts,
        "guest": _commands("guest", runs, seed, name),
        "monitor": [run.command for run in said.monitor.run],
        "guest_files": reading.files["guest"],
    }


def _commands(
    side: Side, runs: Sequence[tuple[Run, str]], seed: int, machine: str = ""
) -> list[RunCommand]:
    made = []
    for number, (run, command) in enumerate(runs, 1):
        terminal = f"{machine or side} {number}"
        if run.every is None or run.times is None or run.at is None:
            made.append(_command(side, run, command, terminal, run.at, machine))
            continue
        instants = run.every.instants(run.at, run.times, Stream(seed, f"every {terminal}"))
        for time, instant in enumerate(instants, 1):
            made.append(_command(side, run, command, f"{terminal}.{time}", instant, machine))
    return made


def _command(
    side: Side, run: Run, command: str, terminal: str, at_ns: int | None, machine: str
) -> RunCommand:
    return RunCommand(
        side=side,
        machine=machine,
        command=command,
        terminal=terminal,
        at_ns=at_ns,
        stop_ns=None if run.stop is None else run.stop.ns,
        stop_relative=run.stop is not None and run.stop.relative,
        expect_exit=run.expect.exit,
        expect_output=run.expect.output,
        expect_time=run.expect.time,
    )


def _typed(side: Side, command: str | None, at_ns: int, before: int) -> list[RunCommand]:
    """The command of an event, in a terminal behind those of ``before`` others."""
    if command is None:
        return []
    terminal = f"{side} {before + 1}"
    return [RunCommand(side=side, command=command, terminal=terminal, at_ns=at_ns)]


# Keys


def read_setting(text: str) -> tuple[str, object]:
    """``KEY=VALUE`` as the key and its value; raises ``ValueError``.

    VALUE is what would stand in a file, but text needs no quotes.
    """
    from desim.scenario.keys import kind_at, value_of

    for match in re.finditer("=", text):
        name, value = text[: match.start()], text[match.end() :]
        try:
            key = read_key(name)
        except ValueError:
            continue  # the sign may be inside a quoted name
        return name.strip(), value_of(kind_at(Scenario, key), value)
    if "=" not in text:
        raise ValueError("a setting is KEY=VALUE, such as seed=7")
    raise ValueError(f"not a key: {text.partition('=')[0]}; {KEY_FORM}")


def _put(data: dict[str, Any], key: Key, value: object) -> Key:
    """Set ``key``; tables on its way are made, elements of arrays must be there.

    The outermost table that was made is returned, or ``key``.
    """
    at: Any = data
    made = key
    for number, part in enumerate(key):
        way = dotted(key[:number])
        if isinstance(part, int):
            if not isinstance(at, list):
                raise ValueError(f"{way} is no array")
            if part >= len(at):
                has = f"{len(at)} element{'s' * (len(at) != 1)}, counted from 0"
                raise ValueError(f"{way} has {has}")
        elif not isinstance(at, dict):
            raise ValueError(f"{way} is no table")
        if number == len(key) - 1:
            at[part] = value
        else:
            if not isinstance(part, int) and part not in at:
                at[part] = [] if isinstance(key[number + 1], int) else {}
                made = min(made, key[: number + 1], key=len)
            at = at[part]
    return made


def _with_setting(data: Mapping[str, Any], setting: Setting, value: object) -> object:
    """What the key of ``setting`` is with its new value; the rest stays as it is."""
    at: Any = data
    for place, part in enumerate(setting.way):
        if not isinstance(at, dict):
            raise ValueError(f"{dotted(setting.way[:place])} is no table")
        at = at.get(part, {} if place < len(setting.way) - 1 else None)
    return setting.put(at, value)


def plain(value: object, depth: int = 1) -> object:
    """``value`` as a file could hold it, or bytes; a copy, so that nobody changes it later."""
    if depth > MAX_NESTING:
        raise ValueError(TOO_DEEP)
    if isinstance(value, Mapping):
        return {str(name): plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner, depth + 1) for inner in value]
    return fspath(value) if isinstance(value, PathLike) else value


# Values in messages


def as_in_a_file(value: object) -> str:
    """A wrong value as its file spells it, cut to what fits a line."""
    import json  # only mistakes need it

    try:
        return _cut(json.dumps(value, default=str, ensure_ascii=False))
    except ValueError:  # numbers of thousands of digits, which Python does not write down
        return shown(value) if isinstance(value, int) else "..."


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 4] + "..." + text[-1]
