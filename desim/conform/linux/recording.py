"""A recorded run of a Linux guest: what was set, what was done, what was measured.

A run is a folder (in the file system, or inside an archive) with ``meta.json`` (the
QEMU command line, the driver's parameters, the guest's script), ``metrics.json`` (what
each test printed and how the counters moved) and ``samples.json`` (the long lists), each
also compressed (``.gz``).
tests/vectors/linux/README.md describes the format.

Three clocks occur in it. *Virtual* time is the machine's, in ns since power-on. *Guest*
time is CLOCK_MONOTONIC_RAW; ``Run.virtual`` converts. CLOCK_MONOTONIC is guest time plus a
constant that the boot log shows; the guest's ticks are multiples of 4 ms of it.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from desim.conform.archives import TARS, check_size, gunzipped, members
from desim.data import NamedTuple
from desim.disk import kind_of
from desim.errors import RecordingError

JIFFY_NS = 4_000_000
TIMER_BUCKET = 8
"""Jiffies: the timer wheel's resolution for a timer two seconds away."""
TRACE_WINDOW_NS = 1_000_000_000
"""How long a traced command is given at most."""

MAX_VIRTUAL_NS = 3_600_000_000_000
"""A run is given an hour of virtual time at most."""

MAX_SHIFT = 10
"""QEMU's own limit (``-icount shift=``)."""

FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "meta": {
        "name": (str,),
        "kind": (str,),
        "command": (list,),
        "module_parameters": (str,),
        "icount": (str, type(None)),
        "guest_script": (str,),
    },
    "metrics": {"net_log": (str,), "clock0": (dict,), "tests": (list,)},
    "test": {
        "name": (str,),
        "out": (list,),
        "window_us": (list,),
        "delta": (dict,),
        "frames": (dict,),
        "tcp": (list,),
    },
}
"""What each document, and each entry of the tests, must have."""

SERVERS = {"sink": ["port"], "tcpsrv": ["port", "msg", "n"], "udpecho": ["port"]}
"""Servers among the host programs, whose arguments were not recorded: what they printed tells."""

META, METRICS, SAMPLES = "meta.json", "metrics.json", "samples.json"
TRACE = ".trace.txt"
PACKETS = "packets.csv"

_STAGE = re.compile(r'^(\w+) \{"raw":(\d+),"mono":(\d+)', re.MULTILINE)
_LINK_UP = re.compile(r"\[ *(\d+)\.(\d{6})\] e1000: eth0 NIC Link is Up")
_TRACE_LINE = re.compile(r"^EV=.* tr (\S+) (.+)$")
_SHELL_LINE = re.compile(r"^(EV=.* tr .*|[A-Z]+=.*|tr\(\) \{.*|[ }].*|)$")
"""The helper with which scripts trace the kernel, settings for it, its calls; nothing."""
_TEST_LINE = re.compile(r"^(TB?) (\S+) (.+)$")


WRONG = (KeyError, TypeError, IndexError, AttributeError, ValueError, ArithmeticError)
"""What a field that holds something else can raise; there are too many to check them all."""


@dataclass(slots=True, kw_only=True)
class Test:
    """One test of a run: a command of the guest's script, and what came of it."""

    name: str
    command: str
    """As the guest ran it, such as ``ltool ping 10.0.2.2 40 10000 56 1``."""
    serves: bool
    """Whether the guest is the server and a host program the client."""
    window_ns: tuple[int, int]
    """Virtual time from the counters' first reading to their second."""
    out: dict[str, Any]
    """What the tool printed; empty if it prints nothing."""
    samples: dict[str, list[int]]
    """The long lists: of ``out``, or of the run's samples."""
    interrupts: int | None
    frames: int | None
    ipv6: tuple[int, int]
    """How many of the frames were IPv6, all and those of the guest."""
    tcp: list[dict[str, Any]]
    host: HostProgram | None = None
    components: dict[str, int] = field(default_factory=dict)
    """Where the time went, by name: medians in ns."""


@dataclass(slots=True, kw_only=True)
class HostProgram:
    """What took part on the host: its arguments, what it printed, its long lists."""

    words: list[str]
    out: dict[str, Any]
    samples: dict[str, list[int]]


class Packet(NamedTuple):
    """One frame at slirp's port."""

    time_us: int
    to_guest: bool
    length: int
    """Of the frame, without FCS."""
    kind: str


@dataclass(slots=True, kw_only=True)
class KernelTrace:
    """A traced command; ``text`` is what it printed (one line of JSON) and the trace behind it."""

    name: str
    command: str
    text: str

    def as_test(self) -> Test:
        """The same as a test that was not measured otherwise."""
        out: dict[str, Any] = json.loads(self.text.partition("\n")[0])
        begin = int(out.get("t0_ns", out.get("t0", 0)))
        return Test(
            name=self.name,
            command=self.command,
            serves=False,
            window_ns=(begin, begin + TRACE_WINDOW_NS),
            out=out,
            samples=_lists(out, None),
            interrupts=None,
            frames=None,
            ipv6=(0, 0),
            tcp=[],
        )


@dataclass(slots=True, kw_only=True)
class Run:
    """One recorded run. ``kind`` is its family: det, sizes, vt, rt, ..."""

    name: str
    kind: str
    qemu: list[str]
    modprobe: str
    shift: int | None
    """Guest instructions last 2**shift ns; None: real time."""
    never_idle: bool
    seeded: bool
    """Whether the kernel's random generator was seeded (the CPU had RDRAND)."""
    offset_ns: int
    """Virtual time minus guest time."""
    jiffies_zero_ns: int
    """Virtual time of the tick that counts as 0, as far as it matters (see ``_jiffies_zero``)."""
    link_ns: int
    """Virtual time of the tick in which the driver's timer found the link."""
    insmod_ns: int
    up_ns: int
    """Virtual times of loading the driver and of opening the interface."""
    warm_up: list[str]
    """Commands of the script in front of the first test."""
    not_modelled: list[str] = field(default_factory=list)
    """What else was done to the guest or to QEMU, as lines for people."""
    tests: list[Test] = field(default_factory=list)
    traces: list[KernelTrace] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    """Every frame at slirp's port, if the run has the list."""

    def virtual(self, guest_ns: int) -> int:
        """The machine's time of a guest's time stamp."""
        return guest_ns + self.offset_ns


def places(path: Path) -> Iterator[Path]:
    """What can be read below ``path``, one by one: folders with a run, and tar archives."""
    if kind_of(path) != "folder":
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.name == META:
            yield file.parent
        elif file.name.endswith(TARS) and file.is_file():
            yield file


def read_runs(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The runs in a folder of runs, in one run's folder, or in a tar archive of either.

    Yields ``(place, files)``, ``files`` being the three documents by name. Raises
    ``RecordingError`` and what reading files raises.
    """
    kind = kind_of(path)
    if kind == "folder":
        for meta in sorted(path.rglob(META)):
            folder = meta.parent
            files = {
                file.name: _content(file)
                for file in sorted(folder.iterdir())
                if _wanted(file.name) and file.is_file()
            }
            yield str(folder), _documents(str(folder), files)
        return
    if kind is None:
        raise RecordingError(f"{path}: no such file or folder")
    if not path.name.endswith(TARS):
        raise RecordingError(f"{path}: neither a folder nor a tar archive of recorded runs")
    found: dict[str, dict[str, bytes]] = {}
    for member, data in members(path, lambda name: _wanted(name.rpartition("/")[2])):
        folder_name, _, name = member.rpartition("/")
        found.setdefault(folder_name, {})[name] = data
    for folder_name, files in sorted(found.items()):
        if META in files:
            place = f"{path}:{folder_name}"
            yield place, _documents(place, files)


def _content(file: Path) -> bytes:
    check_size(str(file), file.stat().st_size)
    return file.read_bytes()


def _wanted(name: str) -> bool:
    name = name.removesuffix(".gz")
    return name in (META, METRICS, SAMPLES, PACKETS) or name.endswith(TRACE)


def _documents(place: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    documents: dict[str, Any] = {}
    for file, data in files.items():
        name = file.removesuffix(".gz")
        try:
            raw = gunzipped(data) if name != file else data
            check_size(f"{place}/{file}", len(raw))
            if name.endswith(TRACE) or name == PACKETS:
                documents[name] = raw.decode()
                continue
            documents[name] = json.loads(raw)
        except RecordingError:
            raise
        except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
            raise RecordingError(f"{place}/{file}: {error}") from None
        if not isinstance(documents[name], dict):
            raise RecordingError(f"{place}/{file}: not a JSON object")
    if METRICS not in documents:
        raise RecordingError(f"{place}: no {METRICS} beside {META}")
    return documents


def parse_run(documents: Mapping[str, Any]) -> Run:
    """The run that the three documents describe. Raises ``RecordingError``."""
    meta = documents[META]
    try:
        _check_fields("meta", meta)
        _check_fields("metrics", documents[METRICS])
        for test in documents[METRICS]["tests"]:
            _check_fields("test", test)
        run = _run(documents)
        _check_times(run)
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise RecordingError(
            f"{meta.get('name', '?')}: not as a recorded run is: {type(error).__name__} {error}"
        ) from None
    return run


def _check_fields(what: str, found: Any) -> None:
    for field_name, kinds in FIELDS[what].items():
        value = found[field_name]
        if type(value) not in kinds:
            raise TypeError(f"{what}: {field_name} is {value!r:.40}")


def _check_times(run: Run) -> None:
    if not 0 <= run.insmod_ns <= run.up_ns <= MAX_VIRTUAL_NS or (run.shift or 0) > MAX_SHIFT:
        raise RecordingError(
            f"{run.name}: loaded at {run.insmod_ns} ns, opened at {run.up_ns} ns, shift "
            f"{run.shift}: that cannot be"
        )
    for test in run.tests:
        begin, end = test.window_ns
        if type(begin) is not int or not 0 <= begin <= end <= MAX_VIRTUAL_NS:
            raise RecordingError(
                f"{run.name}: {test.name}: window {begin}..{end} ns; expected within "
                f"0..{MAX_VIRTUAL_NS}"
            )


def _run(documents: Mapping[str, Any]) -> Run:
    meta, metrics = documents[META], documents[METRICS]
    samples = documents.get(SAMPLES, {})
    tests = metrics["tests"]
    stages = {name: (int(raw), int(mono)) for name, raw, mono in _STAGE.findall(metrics["net_log"])}
    offset = round(metrics["clock0"]["offset_mod_ns"])
    monotonic = stages["insmod"][1] - stages["insmod"][0]
    icount = re.match(r"shift=(\d+)", meta["icount"] or "")
    words = meta["command"]
    link_ns = _link_tick(metrics["net_log"], offset - monotonic)
    run = Run(
        name=meta["name"],
        kind=meta["kind"],
        qemu=_network_options(words, meta),
        modprobe=" ".join(["e1000", *shlex.split(meta["module_parameters"])]),
        shift=int(icount.group(1)) if icount else None,
        never_idle=bool(meta.get("guest_never_idle")),
        seeded="+rdrand" in words[words.index("-cpu") + 1],
        offset_ns=offset,
        jiffies_zero_ns=_jiffies_zero(link_ns),
        link_ns=link_ns,
        insmod_ns=stages["insmod"][0] + offset,
        up_ns=stages["up"][0] + offset,
        warm_up=[],
    )
    commands: dict[str, tuple[str, str]] = {}
    lines = meta["guest_script"].splitlines()
    for line in lines:
        if match := _TEST_LINE.match(line):
            commands[match[2]] = (match[1], match[3])
        elif not commands and line.startswith("ltool "):
            run.warm_up.append(line.partition(">")[0].strip())
        elif not _SHELL_LINE.match(line):
            run.not_modelled.append(f"script: {line}")
    for key in ("premod", "prenet"):
        if meta.get(key):
            run.not_modelled.append(f"{key}: {meta[key]}")
    if "-monitor" in words:
        run.not_modelled.append(f"QEMU's monitor: {meta.get('note', 'commands unknown')}")
    traced = [match.groups() for line in lines if (match := _TRACE_LINE.match(line))]
    run.traces += [
        KernelTrace(name=name, command=command, text=documents[name + TRACE])
        for name, command in traced
        if name + TRACE in documents
    ]
    run.packets += [
        Packet(int(row["t_us"]), row["dir"] == "h>g", int(row["len"]), row["kind"])
        for row in csv.DictReader(io.StringIO(documents.get(PACKETS, "")))
    ]
    hosts = {entry["name"]: entry for entry in metrics.get("host") or []}
    for test in tests:
        name = test["name"]
        if name in commands:
            how, command = commands[name]
            host = hosts.get(name) or _server_of_several(name, hosts)
            run.tests.append(_test(test, how == "TB", command, samples, host))
    return run


def _link_tick(log: str, monotonic_zero: int) -> int:
    """When the timer fired that finds the link.

    Ticks come at multiples of 4 ms of the guest's monotonic clock, which is 0 at
    ``monotonic_zero`` of virtual time.
    """
    seconds, micros = _LINK_UP.findall(log)[0]
    link_ns = int(seconds) * 1_000_000_000 + int(micros) * 1000
    return monotonic_zero + link_ns - link_ns % JIFFY_NS


def _jiffies_zero(link_tick: int) -> int:
    """The instant of a tick that counts as 0.

    How many ticks there were before is told by the timer that finds the link, two seconds
    after the interface was opened: as all timers that far off it fires when the counter is a
    multiple of 8.
    """
    return link_tick % (TIMER_BUCKET * JIFFY_NS) - TIMER_BUCKET * JIFFY_NS


def _test(
    test: dict[str, Any],
    serves: bool,
    command: str,
    samples: dict[str, Any],
    host: dict[str, Any] | None,
) -> Test:
    name = test["name"]
    out = test["out"][0] if test["out"] else {}
    begin, end = test["window_us"]
    return Test(
        name=name,
        command=command,
        serves=serves,
        window_ns=(begin * 1000, end * 1000),
        out=out,
        samples=_lists(out, samples.get(name)),
        interrupts=test["delta"].get("irq_eth0"),
        frames=test["frames"].get("count"),
        ipv6=_ipv6(test["frames"].get("top", {})),
        tcp=test["tcp"],
        components={
            part: int(found["p50"])
            for part, found in (test.get("components") or {}).items()
            if found
        },
        host=None if host is None else _host(host, samples.get(f"host:{name}")),
    )


def _ipv6(kinds: dict[str, int]) -> tuple[int, int]:
    """From the counts of frames by direction, kind and length, such as ``g>h ipv6 70``."""
    counts = [(kind, count) for kind, count in kinds.items() if " ipv6 " in kind]
    return (
        sum(count for _, count in counts),
        sum(count for kind, count in counts if kind.startswith("g>h")),
    )


def _server_of_several(name: str, hosts: dict[str, Any]) -> dict[str, Any] | None:
    """The host program that served some tests, as ``uecho`` did ``uecho1`` and ``uecho16``."""
    for prefix, entry in hosts.items():
        if name.startswith(prefix) and not entry.get("args"):
            found: dict[str, Any] = entry
            return found
    return None


def _host(entry: dict[str, Any], samples: dict[str, Any] | None) -> HostProgram:
    out = entry["out"][0] if entry["out"] else {}
    words = list(entry.get("args") or [])
    operands = SERVERS.get(out.get("test", ""))
    if not words and operands is not None:
        words = [out["test"], *(str(out[operand]) for operand in operands)]
    return HostProgram(words=words, out=out, samples=_lists(out, samples))


def _lists(out: dict[str, Any], samples: dict[str, Any] | None) -> dict[str, list[int]]:
    """The lists of numbers of a test; complete in the samples, if they are there."""
    lists = {key: value for key, value in out.items() if isinstance(value, list)}
    return {**lists, **(samples or {})}


def _network_options(words: list[str], meta: dict[str, Any]) -> list[str]:
    """The options of the command line that concern the network, without the run's own files."""
    kept = []
    for option, value in pairwise(words):
        if option in ("-netdev", "-device", "-net", "-nic", "-chardev"):
            if option == "-device" and not value.startswith("e1000"):
                continue
            if option == "-chardev" and not value.startswith("null,"):
                continue
            kept += [option, value]
    if not kept:
        raise RecordingError(f"{meta['name']}: no network option in the command line")
    return kept
