"""The schema of a scenario file, as strict pydantic models.

Everything a file may say is here, with its limits. Values are checked where they
stand: QEMU's options are read as QEMU reads them, commands as the simulated
shells do, and files are opened, so that one pass finds every mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from desim.config import (
    DEFAULT_MODPROBE,
    SECOND_NS,
    DnsRecord,
    HostDns,
    InputFile,
    Limits,
    RecordKind,
    Side,
)
from desim.devices import SlirpVersion
from desim.errors import UserError, nearest
from desim.guest.net.tcp import sysctl
from desim.scenario.commands import check_command, check_services
from desim.scenario.durations import parse_duration, show_duration
from desim.scenario.inputs import Inputs
from desim.scenario.modprobe import check_modprobe
from desim.scenario.name_records import (
    check,
    read_address,
    read_name,
    read_resolver,
    with_reverse,
)
from desim.scenario.qemu_options import Network, parse_qemu_options
from desim.scenario.qemu_words import split_line
from desim.userland.files import normalise

T = TypeVar("T")

MAX_COMMANDS = 64
MAX_SETTINGS = 100
MAX_COMMAND = 4096
MAX_RECORDS = 1000
MAX_TTL_S = (1 << 31) - 1
"""RFC 2181 section 8."""
DEFAULT_TTL_S = 300
MAX_TEXT = 65536


DEFAULT_LIMITS = Limits()
Count = Annotated[int, Field(ge=1, le=10**12)]


class Reading:
    """What validation needs to know of the file, and what it finds on the way."""

    def __init__(self, inputs: Inputs, cost_profiles: Sequence[str]) -> None:
        self.inputs = inputs
        self.cost_profiles = cost_profiles
        self.network = Network(user=None, nic=None, hub=True, notes=[])
        self.files: dict[Side, dict[str, InputFile]] = {"guest": {}, "host": {}}
        self.notes: list[str] = []


def mistakes(*messages: str, quoted: bool = False) -> PydanticCustomError:
    """An error with our own messages; ``quoted`` if they repeat the value themselves."""
    return PydanticCustomError(
        "mistakes", "{messages}", {"messages": list(messages), "quoted": quoted}
    )


def _reading(info: ValidationInfo) -> Reading:
    assert isinstance(info.context, Reading)
    return info.context


class Stop(NamedTuple):
    """When a command is stopped: at an instant, or so long after its start (``+``)."""

    ns: int
    relative: bool


def _duration(value: Any) -> int:
    if not isinstance(value, str):
        hint = f'; did you mean "{value}s"?' if type(value) in (int, float) else ""
        raise mistakes(f'a duration is text such as "250ms" or "3.5s"{hint}')
    try:
        return parse_duration(value)
    except ValueError as error:
        raise mistakes(str(error)) from None


def _stop(value: Any, info: ValidationInfo) -> Stop:
    relative = isinstance(value, str) and value.startswith("+")
    stop = Stop(_duration(value[1:] if relative else value), relative)
    at = info.data.get("at")
    if not relative and at is not None and stop.ns < at:
        raise mistakes(f'before it starts, at {show_duration(at)}; write "+" for a time after that')
    return stop


def _at(value: Any) -> int:
    if isinstance(value, str) and value.startswith("+"):
        raise mistakes('an instant is counted from power-on; only stop may be relative ("+")')
    return _duration(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise mistakes("must be text, in quotes")
    return value


def _options(value: Any) -> list[str]:
    if isinstance(value, tuple):  # words that are split already; no file can say that
        return list(value)
    lines = value if isinstance(value, list) else [value]
    if not all(isinstance(line, str) for line in lines):
        raise mistakes("must be text, or a list of texts: QEMU's options as on its command line")
    try:
        return [word for line in lines for word in split_line(line)]
    except ValueError as error:
        raise mistakes(str(error)) from None


def _qemu(words: list[str], info: ValidationInfo) -> list[str]:
    reading = _reading(info)
    try:
        reading.network = parse_qemu_options(words, open_folder=reading.inputs.tree)
    except UserError as error:
        raise mistakes(*error.messages, quoted=True) from None
    found = check_services(reading.network.user, reading.inputs, reading.files["host"])
    if found:
        raise mistakes(*found, quoted=True)
    return words


def _slirp(asked: SlirpVersion | None, info: ValidationInfo) -> SlirpVersion | None:
    try:
        _reading(info).network.choose_slirp(asked)
    except UserError as error:
        raise mistakes(*error.messages, quoted=True) from None
    return asked


def _costs(value: str, info: ValidationInfo) -> str:
    reading = _reading(info)
    if "/" in value or value.endswith(".toml"):
        try:
            reading.inputs.file(value)
            return str(reading.inputs.path(value))
        except ValueError as error:
            raise mistakes(str(error)) from None
    if value not in reading.cost_profiles:
        known = ", ".join(reading.cost_profiles)
        hint = nearest(value, reading.cost_profiles)
        raise mistakes(f"no such cost profile; there are {known}{hint}")
    return value


def _modprobe(value: str, info: ValidationInfo) -> str:
    try:
        _reading(info).notes += check_modprobe(value)
    except ValueError as error:
        raise mistakes(str(error)) from None
    return value


def _sysctl(value: str) -> str:
    try:
        sysctl.read([value])
    except ValueError as error:
        raise mistakes(str(error)) from None
    return value


def _command(side: Side) -> Callable[[str, ValidationInfo], str]:
    def check(value: str, info: ValidationInfo) -> str:
        reading = _reading(info)
        found = check_command(value, side, reading.inputs, reading.files[side])
        if found:
            raise mistakes(*found)
        return value

    return check


def _virtual_name(value: str) -> str:
    try:
        return normalise(value)
    except ValueError as error:
        raise mistakes(str(error), quoted=True) from None


def _expected(value: Any, info: ValidationInfo) -> bytes:
    reading = _reading(info)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):  # of a program; a file has text only
        return value
    if isinstance(value, dict) and list(value) == ["same_as"] and isinstance(value["same_as"], str):
        try:
            return reading.inputs.file(value["same_as"]).data
        except ValueError as error:
            raise mistakes(f"{value['same_as']}: {error}") from None
    raise mistakes('must be the text of the file, or { same_as = "FILE" }')


def _texts(value: Any) -> list[str]:
    """A text, or a list of texts."""
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise mistakes("must be text, or a list of texts")
    return texts


def _each(read: Callable[[str], T]) -> Callable[[Any], list[T]]:
    def validate(value: Any) -> list[T]:
        texts = _texts(value)
        try:
            return [read(text) for text in texts]
        except ValueError as error:
            raise mistakes(str(error)) from None

    return validate


def _domain_name(value: Any) -> str:
    try:
        return read_name(_text(value))
    except ValueError as error:
        raise mistakes(str(error)) from None


def _ttl(value: Any) -> int:
    seconds, rest = divmod(_duration(value), SECOND_NS)
    if rest or seconds > MAX_TTL_S:
        raise mistakes(f"must be whole seconds, at most {MAX_TTL_S}")
    return seconds


Duration = Annotated[int, BeforeValidator(_at)]
Text = Annotated[str, BeforeValidator(_text), Field(max_length=MAX_TEXT)]
CommandText = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=MAX_COMMAND)]
Name = Annotated[str, AfterValidator(_virtual_name)]
Contents = Annotated[bytes, BeforeValidator(_expected)]


class Strict(BaseModel):
    """No key that is not named, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Run(Strict):
    """When a command is typed into a terminal, and when it is stopped."""

    at: Duration | None = None
    stop: Annotated[Stop | None, PlainValidator(_stop)] = None


class GuestRun(Run):
    """``[[guest.run]]``"""

    command: Annotated[CommandText, AfterValidator(_command("guest"))]


class HostRun(Run):
    """``[[host.run]]``"""

    command: Annotated[CommandText, AfterValidator(_command("host"))]


class Guest(Strict):
    """``[guest]``"""

    run: Annotated[list[GuestRun], Field(max_length=MAX_COMMANDS)] = []
    modprobe: Annotated[CommandText, AfterValidator(_modprobe)] = DEFAULT_MODPROBE
    sysctl: Annotated[
        list[Annotated[CommandText, AfterValidator(_sysctl)]], Field(max_length=MAX_SETTINGS)
    ] = []
    ipv6: bool = True


class Host(Strict):
    """``[host]``"""

    run: Annotated[list[HostRun], Field(max_length=MAX_COMMANDS)] = []


class NameRecord(Strict):
    """``[[dns.record]]``"""

    name: Annotated[str, BeforeValidator(_domain_name)]
    a: Annotated[list[bytes], BeforeValidator(_each(partial(read_address, kind="A")))] = []
    aaaa: Annotated[list[bytes], BeforeValidator(_each(partial(read_address, kind="AAAA")))] = []
    cname: Annotated[str | None, BeforeValidator(_domain_name)] = None
    ptr: Annotated[str | None, BeforeValidator(_domain_name)] = None
    ttl: Annotated[int, BeforeValidator(_ttl)] = DEFAULT_TTL_S

    @model_validator(mode="after")
    def _says_something(self) -> NameRecord:
        if not (self.a or self.aaaa or self.cname or self.ptr):
            raise mistakes("says nothing of the name; allowed are a, aaaa, cname, ptr", quoted=True)
        return self

    def records(self) -> list[DnsRecord]:
        """What the table says, record by record."""
        pairs: list[tuple[RecordKind, bytes | str]] = [
            *(("A", address) for address in self.a),
            *(("AAAA", address) for address in self.aaaa),
            *(("CNAME", name) for name in [self.cname] if name is not None),
            *(("PTR", name) for name in [self.ptr] if name is not None),
        ]
        return [
            DnsRecord(name=self.name, kind=kind, value=value, ttl_s=self.ttl)
            for kind, value in pairs
        ]


class Dns(Strict):
    """``[dns]``"""

    resolver: Annotated[list[bytes], BeforeValidator(_each(read_resolver))] = []
    record: Annotated[list[NameRecord], Field(max_length=MAX_RECORDS)] = []

    @model_validator(mode="after")
    def _as_a_whole(self) -> Dns:
        found = check(self.records())
        if self.record and not self.resolver:
            found.append(
                'records have no effect without a resolver; add resolver = "127.0.0.53", '
                "the address of the host's name server"
            )
        if found:
            raise mistakes(*found, quoted=True)
        return self

    def records(self) -> list[DnsRecord]:
        """All of ``record``."""
        return [record for table in self.record for record in table.records()]

    def made(self) -> HostDns:
        """The host's side of it."""
        return HostDns(resolvers=self.resolver, records=with_reverse(self.records()))


class Files(Strict):
    """``[expect.guest]``, ``[expect.host]``"""

    file: dict[Name, Contents] = {}


class Expected(Strict):
    """``[expect]``"""

    guest: Files = Files()
    host: Files = Files()


class RunLimits(Strict):
    """``[run.limits]``: see ``desim.config.Limits``."""

    events: Count = DEFAULT_LIMITS.events
    frames: Count = DEFAULT_LIMITS.frames
    marks: Count = DEFAULT_LIMITS.marks
    notes: Count = DEFAULT_LIMITS.notes

    def made(self) -> Limits:
        """The same for a machine."""
        return Limits(events=self.events, frames=self.frames, marks=self.marks, notes=self.notes)


class WholeRun(Strict):
    """``[run]``"""

    limits: RunLimits = RunLimits()


class Scenario(Strict):
    """A whole file."""

    description: Text = ""
    qemu: Annotated[
        list[str],
        BeforeValidator(_options),
        AfterValidator(_qemu),
        Field(default=[], validate_default=True),
    ]
    slirp: Annotated[
        SlirpVersion | None, AfterValidator(_slirp), Field(default=None, validate_default=True)
    ]
    semantics: Literal["qemu", "datasheet"] = "qemu"
    costs: Annotated[str, BeforeValidator(_text), AfterValidator(_costs)] = "study-2016"
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1
    until: Duration = 3_600_000_000_000
    strict: bool = False
    run: WholeRun = WholeRun()
    dns: Dns = Dns()
    guest: Guest = Guest()
    host: Host = Host()
    expect: Expected = Expected()
