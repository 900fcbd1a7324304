"""The schema of a scenario file, as tables of keys.

Everything a file may say is here, with its limits. Values are checked where they
stand: QEMU's options are read as QEMU reads them, commands as the simulated
shells do, and files are opened, so that one pass finds every mistake.

Tables that few files have (``[dns]``, ``[[at]]``, ``[[inject]]``, ``[sweep]``, conditions on
figures) are in modules of their own, which a file that has them loads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from desim.config import (
    DEFAULT_MODPROBE,
    SECOND_NS,
    InputFile,
    Limits,
    MonitorCommand,
    Side,
)
from desim.data import NamedTuple
from desim.devices import SlirpVersion
from desim.errors import UserError, nearest
from desim.guest.net.tcp import sysctl
from desim.scenario.addresses import inet_aton
from desim.scenario.commands import check_command, check_services
from desim.scenario.durations import parse_duration, show_duration
from desim.scenario.inputs import Inputs
from desim.scenario.key_names import Key
from desim.scenario.machines import joined, no_hub, same_addresses
from desim.scenario.modprobe import check_modprobe
from desim.scenario.qemu_options import Network, parse_qemu_options
from desim.scenario.qemu_words import split_line
from desim.scenario.tables import (
    Check,
    Choice,
    Duration,
    Flag,
    Inner,
    Kind,
    Named,
    Place,
    Several,
    Spelled,
    Table,
    Tables,
    Text,
    Whole,
    Word,
    key,
)
from desim.spool import Log
from desim.userland.files import normalise

if TYPE_CHECKING:
    from desim.scenario.arrivals import Arrivals
    from desim.scenario.event_table import At
    from desim.scenario.injection import Inject
    from desim.scenario.metrics import Kind as KindOfFigure
    from desim.scenario.name_records import Dns
    from desim.scenario.sweep_table import Sweep

MAX_COMMANDS = 64
MAX_TIMES = 1000
"""How many times a command may come again."""
MAX_SETTINGS = 100
MAX_MACHINES = 15
TAKEN_NAMES = (
    "guest",
    "host",
    "qemu",
    "monitor",
    "slirp",
    "nic",
    "socket",
    "inject",
    "vcpu",
    "main",
)
"""What a machine must not be called: reports and files would not tell it from something else."""
MAX_COMMAND = 4096
MAX_TEXT = 65536

DEFAULT_LIMITS = Limits()


class Reading:
    """What validation needs to know of the file, and what it finds on the way."""

    def __init__(self, inputs: Inputs, cost_profiles: Sequence[str]) -> None:
        self.inputs = inputs
        self.cost_profiles = cost_profiles
        self.network = Network(user=None, nic=None, hub=True, notes=[])
        self.files: dict[Side, dict[str, InputFile]] = {"guest": {}, "host": {}}
        self.notes: list[str] = []

    @staticmethod
    def kind_at(key: Key) -> Kind | Word | None:
        """What a file may have at ``key``; None if there is no such key."""
        from desim.scenario.keys import kind_at  # sweeps and changes ask, runs do not

        return kind_at(Scenario, key)


def reading_of(place: Place) -> Reading:
    assert isinstance(place.context, Reading)
    return place.context


class Stop(NamedTuple):
    """When a command is stopped: at an instant, or so long after its start (``+``)."""

    ns: int
    relative: bool


def read_duration(value: Any) -> int:
    if not isinstance(value, str):
        hint = f'; did you mean "{value}s"?' if type(value) in (int, float) else ""
        raise ValueError(f'a duration is text such as "250ms" or "3.5s"{hint}')
    return parse_duration(value)


def _stop(value: Any, place: Place) -> Stop:
    relative = isinstance(value, str) and value.startswith("+")
    stop = Stop(read_duration(value[1:] if relative else value), relative)
    at = place.said("at")
    if not relative and at is not None and stop.ns < at:
        raise ValueError(
            f'before it starts, at {show_duration(at)}; write "+" for a time after that'
        )
    return stop


def monitor_line(value: str, place: Place) -> MonitorCommand:
    from desim.scenario.monitor import read_monitor  # few scenarios type anything there

    return read_monitor(value, place.said("at") or 0, reading_of(place).network.user)


def comes_again(value: Any, place: Place) -> Arrivals:
    from desim.scenario.arrivals import FORMS, read_arrivals  # few commands come again

    if not isinstance(value, str):
        raise ValueError(f"must be {FORMS}, as text")
    return read_arrivals(value)


def _extends(value: str, place: Place) -> None:
    raise ValueError("only a file extends another one, as it is loaded")


def _at(value: Any, place: Place) -> int:
    if isinstance(value, str) and value.startswith("+"):
        raise ValueError('an instant is counted from power-on; only stop may be relative ("+")')
    return read_duration(value)


def _qemu(value: Any, place: Place) -> list[str]:
    reading = reading_of(place)
    words = _words(value)
    reading.network = parse_qemu_options(words, open_folder=reading.inputs.tree)
    found = check_services(reading.network.user, reading.inputs, reading.files["host"])
    if found:
        raise UserError(*found)
    return words


def _words(value: Any) -> list[str]:
    if isinstance(value, tuple):  # words that are split already; no file can say that
        return list(value)
    lines = value if isinstance(value, list) else [value]
    if not all(isinstance(line, str) for line in lines):
        raise ValueError("must be text, or a list of texts: QEMU's options as on its command line")
    return [word for line in lines for word in split_line(line)]


def _costs(value: str, place: Place) -> str:
    reading = reading_of(place)
    if "/" in value or value.endswith(".toml"):
        reading.inputs.file(value)
        return str(reading.inputs.path(value))
    if value not in reading.cost_profiles:
        known = ", ".join(reading.cost_profiles)
        hint = nearest(value, reading.cost_profiles)
        raise ValueError(f"no such cost profile; there are {known}{hint}")
    return value


def _modprobe(value: str, place: Place) -> str:
    reading_of(place).notes += check_modprobe(value)
    return value


def _guest_address(value: str, place: Place) -> tuple[bytes, int]:
    text, slash, bits = value.partition("/")
    address = inet_aton(text) if text.count(".") == 3 else None
    if address is None or not slash or not bits.isdecimal() or not 1 <= int(bits) <= 32:
        raise ValueError('must be an address with the bits of its network, such as "10.0.0.1/24"')
    return address, int(bits)


def _sysctl(value: str, place: Place) -> str:
    sysctl.read([value])
    return value


def command_of(side: Side) -> Check:
    def check(value: str, place: Place) -> str:
        reading = reading_of(place)
        found = check_command(value, side, reading.inputs, reading.files[side])
        place.note(*found, given=(value,))
        return value

    return check


def _virtual_name(value: str, place: Place) -> str:
    try:
        return normalise(value)
    except ValueError as error:  # which repeats the name
        raise UserError(str(error)) from None


def _expected(value: Any, place: Place) -> bytes | Log:
    reading = reading_of(place)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):  # of a program; a file has text only
        return value
    if isinstance(value, dict) and list(value) == ["same_as"] and isinstance(value["same_as"], str):
        try:
            return reading.inputs.file(value["same_as"]).log
        except ValueError as error:
            raise ValueError(f"{value['same_as']}: {error}") from None
    raise ValueError('must be the text of the file, or { same_as = "FILE" }')


class Slirp(Choice):
    """The version of slirp that is asked for, or None: the network's options may say one, too."""

    def read(self, value: Any, place: Place) -> Any:
        asked: Any = None if value is None else super().read(value, place)
        reading_of(place).network.choose_slirp(asked)
        return asked


INSTANT = Duration(_at)
INJECT = "desim.scenario.injection:Inject"
COUNT = Whole(1, most=10**12)


def line_of(check: Check) -> Text:
    """A line that is read as a command, or as its arguments."""
    return Text(empty=False, at_most=MAX_COMMAND, check=check)


@cache
def condition_on(kind: KindOfFigure) -> Spelled:
    """A condition on a figure of that kind, as text: it is kept as it is written."""

    def check(value: Any, place: Place) -> str:
        from desim.scenario.conditions import read_condition  # few scenarios have one

        if not isinstance(value, str):
            shown = f'; did you mean "{value}"?' if type(value) is int else ""
            raise ValueError(f'a condition is text such as "< 400us" or "1 .. 3"{shown}')
        return read_condition(value, kind).text

    return Spelled(check)


def _fingerprint(value: str, place: Place) -> str:
    if not re.fullmatch("[0-9a-f]{8,64}", value):
        raise ValueError("must be 8 to 64 digits of the fingerprint, in lower case")
    return value


def _law(value: str, place: Place) -> str:
    from desim.laws.table import find  # few scenarios name laws

    law = find(value)
    if law.process:
        raise ValueError(
            "starts another process, which no scenario may; desim fuzz judges by it, and so do "
            "PYTHONHASHSEED=1 desim run and PYTHONHASHSEED=2 desim run: their ids are the same"
        )
    return law.name


class ExpectedOfProgram(Table):
    """``[guest.run.expect]``, ``[host.run.expect]``"""

    exit: int | None = key(Whole(0, most=255), None)
    output: str | None = key(Text(at_most=MAX_TEXT, empty=False), None)
    time: str | None = key(condition_on("time"), None)


class Run(Table):
    """When a command is typed into a terminal, when it is stopped, and what must come of it."""

    at: int | None = key(INSTANT, None)
    stop: Stop | None = key(Duration(_stop), None)
    every: Arrivals | None = key(Spelled(comes_again), None)
    times: int | None = key(Whole(2, most=MAX_TIMES), None)
    expect: ExpectedOfProgram = key(Inner(ExpectedOfProgram))

    def contradictions(self) -> list[str]:
        """What comes again needs an instant to begin at, how often, and how many times."""
        if self.every is None and self.times is None:
            return []
        if self.every is None:
            return ['times needs every, such as every = "1ms"']
        if self.times is None:
            return ["every needs times, such as times = 10"]
        return [] if self.at is not None else ['every needs at, such as at = "5s"']


class GuestRun(Run):
    """``[[guest.run]]``"""

    command: str = key(line_of(command_of("guest")))


class HostRun(Run):
    """``[[host.run]]``"""

    command: str = key(line_of(command_of("host")))


class Guest(Table):
    """``[guest]``, ``[machine.NAME.guest]``"""

    run: list[GuestRun] = key(Tables(GuestRun, at_most=MAX_COMMANDS), [])
    modprobe: str = key(line_of(_modprobe), DEFAULT_MODPROBE)
    modprobe_at: int = key(INSTANT, 0)
    sysctl: list[str] = key(Several(line_of(_sysctl), at_most=MAX_SETTINGS), [])
    address: tuple[bytes, int] | None = key(Text(check=_guest_address), None)
    ipv6: bool = key(Flag(), True)
    hosts: Literal["files", "files dns"] | None = key(Choice("files", "files dns"), None)


class Host(Table):
    """``[host]``"""

    run: list[HostRun] = key(Tables(HostRun, at_most=MAX_COMMANDS), [])


class MonitorRun(Table):
    """``[[monitor.run]]``"""

    at: int = key(INSTANT)
    command: MonitorCommand = key(Text(empty=False, at_most=MAX_COMMAND, check=monitor_line))


class MonitorTable(Table):
    """``[monitor]``"""

    run: list[MonitorRun] = key(Tables(MonitorRun, at_most=MAX_COMMANDS), [])


class Files(Table):
    """``[expect.guest]``, ``[expect.host]``"""

    file: dict[str, bytes] = key(
        Named(Text(check=_virtual_name), Spelled(_expected, "contents")), {}
    )


class ExpectedFiles(Table):
    """``[expect]`` of a file that has no conditions on figures."""

    guest: Files = key(Inner(Files))
    host: Files = key(Inner(Files))
    fingerprint: str = key(Text(check=_fingerprint), "")
    laws: list[str] = key(Several(Text(check=_law), at_most=MAX_SETTINGS), [])

    def conditions(self) -> dict[str, str]:
        """The conditions on metrics, by the metric's name."""
        return {}


class Expected(Inner):
    """``[expect]``: the keys of all figures are made for a file that has any of them."""

    def read(self, value: Any, place: Place) -> Table:
        if isinstance(value, dict) and value.keys() <= ExpectedFiles.KEYS.keys():
            return ExpectedFiles(value, place)
        return super().read(value, place)


class RunLimits(Table):
    """``[run.limits]``: see ``desim.config.Limits``."""

    events: int = key(COUNT, DEFAULT_LIMITS.events)
    frames: int = key(COUNT, DEFAULT_LIMITS.frames)
    marks: int = key(COUNT, DEFAULT_LIMITS.marks)
    notes: int = key(COUNT, DEFAULT_LIMITS.notes)

    def made(self) -> Limits:
        """The same for a machine."""
        return Limits(events=self.events, frames=self.frames, marks=self.marks, notes=self.notes)


class WholeRun(Table):
    """``[run]``"""

    limits: RunLimits = key(Inner(RunLimits))


class MachineFiles(Table):
    """``[machine.NAME.expect]``"""

    file: dict[str, bytes] = key(
        Named(Text(check=_virtual_name), Spelled(_expected, "contents")), {}
    )


class Machine(Table):
    """``[machine.NAME]``: one more QEMU on the same host."""

    qemu: list[str] = key(Spelled(_qemu, "texts"), [], judged=True)
    slirp: SlirpVersion | None = key(Slirp(*get_args(SlirpVersion)), None, judged=True)
    semantics: Literal["qemu", "datasheet"] = key(Choice("qemu", "datasheet"), "qemu")
    guest: Guest = key(Inner(Guest))
    monitor: MonitorTable = key(Inner(MonitorTable))
    inject: list[Inject] = key(Tables(INJECT, at_most=MAX_COMMANDS), [])
    expect: MachineFiles = key(Inner(MachineFiles))

    def __init__(self, given: Mapping[str, Any], place: Place) -> None:
        """What is found on the way is kept apart from what other machines have."""
        whole = reading_of(place)
        self.reading = place.context = Reading(whole.inputs, whole.cost_profiles)
        super().__init__(given, place)
        if not place.found:
            place.inside("inject").note(*no_hub(bool(self.inject), self.reading.network))


def _machine_name(value: str, place: Place) -> str:
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,31}", value):
        raise ValueError("a machine's name is a letter, then letters, digits and _, at most 32")
    if value.lower() in TAKEN_NAMES:
        raise ValueError("this is what something else is called; give the machine another name")
    return value


class Scenario(Table):
    """A whole file."""

    extends: None = key(Text(check=_extends), None)
    description: str = key(Text(at_most=MAX_TEXT), "")
    qemu: list[str] = key(Spelled(_qemu, "texts"), [], judged=True)
    slirp: SlirpVersion | None = key(Slirp(*get_args(SlirpVersion)), None, judged=True)
    semantics: Literal["qemu", "datasheet"] = key(Choice("qemu", "datasheet"), "qemu")
    costs: str = key(Text(check=_costs), "study-2016")
    seed: int = key(Whole(0, below=1 << 63), 1)
    until: int = key(INSTANT, 3600 * SECOND_NS)
    strict: bool = key(Flag(), False)
    run: WholeRun = key(Inner(WholeRun))
    dns: Dns | None = key(Inner("desim.scenario.name_records:Dns"), None)
    guest: Guest = key(Inner(Guest))
    host: Host = key(Inner(Host))
    monitor: MonitorTable = key(Inner(MonitorTable))
    at: list[At] = key(Tables("desim.scenario.event_table:At", at_most=MAX_COMMANDS), [])
    inject: list[Inject] = key(Tables(INJECT, at_most=MAX_COMMANDS), [])
    machine: dict[str, Machine] = key(
        Named(Text(check=_machine_name), Inner(Machine), at_most=MAX_MACHINES), {}
    )
    expect: ExpectedFiles = key(Expected("desim.scenario.condition_keys:WithFigures"))
    sweep: Sweep | None = key(Inner("desim.scenario.sweep_table:Sweep"), None)

    def __init__(self, given: Mapping[str, Any], place: Place) -> None:
        super().__init__(given, place)
        if place.found:
            return
        first = reading_of(place).network
        for number, event in enumerate(self.at):
            self._known(event, first, place.inside("at").inside(number))
        place.inside("inject").note(*no_hub(bool(self.inject), first))
        networks = {"": first}
        networks |= {name: machine.reading.network for name, machine in self.machine.items()}
        reading_of(place).notes += same_addresses(networks)
        for name, message in joined(networks):
            at = place.inside("machine").inside(name) if name else place
            at.inside("qemu").note(message)

    def _known(self, at: At, network: Network, place: Place) -> None:
        """What an event names must be there."""
        known: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {
            "link": ("net client", list(at.link), network.clients()),
            "filter": ("filter", list(at.filter), [one.id for one in network.filters]),
            "stop": ("terminal", [at.stop] if at.stop else [], self._terminals()),
        }
        for name, (what, given, there) in known.items():
            for one in given:
                if one not in there:
                    are = f"there are {', '.join(there)}" if there else "there is none"
                    message = f"{one}: no such {what}; {are}{nearest(one, there)}"
                    place.inside(name).note(message)

    def _terminals(self) -> list[str]:
        """Those in which commands run that somebody may stop: what reports call them."""
        sides: dict[str, Sequence[Run]] = {"guest": self.guest.run, "host": self.host.run}
        sides |= {name: machine.guest.run for name, machine in self.machine.items()}
        return [
            f"{side} {number}"
            for side, runs in sides.items()
            for number, run in enumerate(runs, 1)
            if run.every is None and run.stop is None
        ]
