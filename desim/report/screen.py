"""The first screen after a run: the answer, in about 25 lines of the terminal's width.

It says whether all is as expected, what became of each program, what was transferred how
fast, what the card did, and where a message spent its time: the first through a forwarded port, or
where none came that way the first to arrive of any connection, or else of any kind. Consoles,
functions and single nanoseconds are in the long report (``desim.report.long``), which ``-v`` shows.

Rules: durations have four digits and the unit that suits them; red is only for what is
wrong; a line is cut in its middle, so that its end stays; what did not happen is not shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from desim.config import MachineConfig
from desim.data import NamedTuple
from desim.e1000.interrupts import FLOOR, LINE
from desim.e1000.reasons import FILTERED_ADDRESS
from desim.experiment.figures import NORMAL_LOSSES, Card, Transfer
from desim.experiment.journey import ROUND_TRIP, TO_GUEST, TO_HOST, Direction, Journey
from desim.experiment.run import RunResult
from desim.experiment.verdict import STOPPED, expects_something, failed
from desim.machine import Transcript
from desim.machine.vm import machine_of
from desim.report.stations import (
    GUEST_KERNEL,
    GUEST_PROGRAM,
    GUEST_WRITES,
    HOST,
    HOST_READS,
    LIES,
    QEMU,
    QEMU_BELOW_GUEST,
    Group,
    group_rows,
)
from desim.report.text import (
    Line,
    amount,
    command_line,
    cut,
    duration,
    escape,
    four_digits,
    grouped,
    percent,
    quoted,
)
from desim.scenario.expectations import wanted_files
from desim.spool import Log

WIDTH = 80
"""Columns where there is no terminal."""
NARROWEST = 50
MAX_PROGRAMS = 8
MAX_TRANSFERS = 6
MAX_FILES = 6
MAX_ADDRESSES = 3
"""Addresses outside of the host that are named; the rest is counted."""
LAST_LINES = 10
"""Lines of a failed program's output that are shown."""
LOOKED_AT = 1 << 16
"""Bytes at the end of an output among which they are."""
STATISTICS = 3
"""Lines of ``ping``'s output that say how it went: its last ones."""
BAR = 16
"""Columns of the longest bar."""
SMALL = 20
"""A station with less than a share of 1/20 of a message's time is joined to the others."""


def lines(result: RunResult, config: MachineConfig, width: int = WIDTH) -> Iterator[Line]:
    """The screen, line by line; none is longer than ``width`` (or 50, if that is less)."""
    width = max(width, NARROWEST)
    for line in _screen(result, config, width):
        yield line._replace(text=cut(line.text, width).rstrip())


def _screen(result: RunResult, config: MachineConfig, width: int) -> Iterator[Line]:
    shown = [t for t in result.transcripts if not t.is_boot]
    yield _title(result, config, width)
    yield from _machine(result, config, width)
    yield Line("")
    yield from _programs(result, shown, width)
    sent = result.metrics.transfers if config.capture else []
    if sent:
        yield Line("")
        yield from _transfers(sent, width)
    has_card = any(one.nic is not None for one in config.machines)
    if has_card and config.capture and result.keeps("journeys"):
        yield Line("")
        yield from _cards(result, config, "in transfers" if sent else "after the boot", width)
    if result.keeps("journeys"):
        if result.answer:
            yield Line("")
            yield from message(result.answer, width)
        elif _is_between_guests(sent, config):
            yield Line("")
            yield Line("message     between guests: such ways are not followed", "dim")
    if files := list(_files(result, config)):
        yield Line("")
        yield from files
    yield Line("")
    yield from _outside(result.outside)
    yield from _verdict(result, shown)
    if result.has_fingerprint:
        more = "-v consoles, functions  -vv every ns  --out DIR"
        if width < WIDTH:
            more = "-v more  -vv all  --out DIR"
        yield Line(f"more        {more}  id {result.fingerprint.whole[:8]}", "dim")
    else:
        yield Line(f"not kept    {', '.join(_not_kept(result))}", "dim")


def _not_kept(result: RunResult) -> Iterator[str]:
    """What the run has not recorded, so that the screen does not have it."""
    config = result.config
    if not config.capture:
        yield "frames (capture=False)"
    if not result.keeps("journeys"):
        yield "message, card"
    if not result.keeps("trace"):
        yield f'trace (record="{config.record}")'


# --- the parts of the screen


def _title(result: RunResult, config: MachineConfig, width: int) -> Line:
    verdict, style = _outcome(result, config)
    name, description = escape(config.name), escape(config.description)
    text = f"{name}: {description}" if description else name
    room = width - len(verdict) - 2
    return Line(f"{cut(text, room):<{room}}  {verdict}", style)


def _outcome(result: RunResult, config: MachineConfig) -> tuple[str, str]:
    """How the run came out, in a word, and its look."""
    expects = expects_something(config)
    if result.ended == "interrupted":
        return "interrupted", "bold yellow"
    if result.failed or result.expectations:
        return "FAILED", "bold red"
    return ("passed", "bold green") if expects else ("done", "bold")


def _machine(result: RunResult, config: MachineConfig, width: int) -> Iterator[Line]:
    for one in config.machines:
        program = f"{one.machine}: qemu" if one.machine else "qemu"
        for line in command_line(program, one.qemu, width - 2):
            yield Line(f"  {escape(line)}", "dim")
    yield Line(f"  costs {escape(result.profile.name)} ({escape(result.profile.status)})", "dim")


def _programs(result: RunResult, shown: Sequence[Transcript], width: int) -> Iterator[Line]:
    for number, transcript in enumerate(t for t in result.transcripts if t.is_boot):
        ended = transcript.ended_ns
        up = "network not up" if ended is None else f"network up at {duration(ended)}"
        of = f"{transcript.machine}: " if transcript.machine else ""
        yield Line(f"{'' if number else 'boot':<12}{of}{up}", "" if ended is not None else "red")
    if not shown:
        yield Line("programs    none")
        return
    side = max(5, *(len(transcript.where) for transcript in shown[:MAX_PROGRAMS])) + 1
    for number, transcript in enumerate(shown[:MAX_PROGRAMS]):
        head = "programs" if number == 0 else ""
        state, style = _state(transcript, failed(transcript, result.config))
        room = width - 12 - side - len(state) - 2
        command = cut(escape(transcript.command).replace("\n", " "), room)
        yield Line(f"{head:<12}{transcript.where:<{side}}{command:<{room}}  {state}", style)
        yield from _said(transcript, failed(transcript, result.config))
    if len(shown) > MAX_PROGRAMS:
        yield Line(f"{'':<12}and {len(shown) - MAX_PROGRAMS} more: -v shows them", "dim")


def _state(transcript: Transcript, is_wrong: bool) -> tuple[str, str]:
    """What became of a program."""
    if transcript.ended_ns is None:
        return "running at the end", ""
    took = duration(transcript.ended_ns - transcript.started_ns)
    if transcript.status == 0:
        return f"{took}  ok", ""
    if transcript.status == STOPPED:
        return f"{took}  stopped", ""
    return f"{took}  exit {transcript.status}", "red" if is_wrong else ""


def _said(transcript: Transcript, is_wrong: bool) -> Iterator[Line]:
    """The last lines of a program that failed; of ping its statistics, of ltool its line."""
    end = transcript.output[-LOOKED_AT:]
    output = escape(end.replace(b"\r\n", b"\n")).rstrip("\n").split("\n")
    words = transcript.command.split()
    if is_wrong:
        wanted = output[-LAST_LINES:]
    elif "ping" in words[:2] and transcript.ended_ns is not None:
        wanted = [line for line in output[-STATISTICS:] if not line.startswith("---")]
    elif transcript.measured:
        wanted = [line for line in output[-1:] if not line.startswith("{")]
    else:
        return
    for line in wanted:
        if line:
            yield Line(f"{'':<14}{line.expandtabs(8)}", "red" if is_wrong else "dim")


def _is_between_guests(sent: Sequence[Transfer], config: MachineConfig) -> bool:
    """Whether a guest has sent to another."""
    guests = {one.machine or "guest" for one in config.machines}
    ends = ({end.partition(":")[0] for end in (t.sender, t.receiver)} for t in sent)
    return any(between <= guests for between in ends)


def _transfers(sent: Sequence[Transfer], width: int) -> Iterator[Line]:
    names = [f"{t.sender} -> {t.receiver}" for t in sent]
    columns = f"{'bytes':>8}  {'time':>8}  {'rate':>10}  retrans"
    room = max(map(len, names))
    beside = 12 + room + 2 + len(columns) <= width
    if not beside:
        room = 0
    lead = f"{'':<12}{'':<{room}}  " if beside else f"{'':<14}"
    yield Line(f"{'transfers':<{len(lead)}}{columns}", "dim")
    largest = sorted(range(len(sent)), key=lambda n: (-sent[n].size, n))[:MAX_TRANSFERS]
    for number in sorted(largest):
        t = sent[number]
        rate = "" if t.rate is None else f"{amount(t.rate)}/s"
        took = duration(t.duration_ns)
        figures = f"{amount(t.size):>8}  {took:>8}  {rate:>10}  {t.retransmitted:>7}"
        if beside:
            yield Line(f"{'':<12}{names[number]:<{room}}  {figures}")
        else:
            yield Line(f"{'':<12}{names[number]}")
            yield Line(f"{lead}{figures}")
    if len(sent) > MAX_TRANSFERS:
        rest = [t for n, t in enumerate(sent) if n not in largest]
        size, again = sum(t.size for t in rest), sum(t.retransmitted for t in rest)
        text = f"and {len(rest)} smaller ones: {amount(size)}, {again} retransmitted"
        yield Line(f"{'':<12}{text}")


def _cards(result: RunResult, config: MachineConfig, busy: str, width: int) -> Iterator[Line]:
    """What the card of each machine did."""
    others = [one.machine for one in config.others]
    for name in (one.machine for one in config.machines):
        did = result.metrics.card_of(name)
        if did is not None:
            lost = [
                e for e in result.frame_counts["lost"] if machine_of(e["where"], others) == name
            ]
            yield from _card(f"card of {name}" if name else "card", did, lost, busy, width)


def _card(
    head: str, done: Card, lost: Sequence[Mapping[str, Any]], busy: str, width: int
) -> Iterator[Line]:
    """What a card did; ``busy`` is when ``done.busy`` was."""
    frames = f"{grouped(done.to_guest)} frames in, {grouped(done.from_guest)} out"
    for_others = any(entry["code"] == FILTERED_ADDRESS.code for entry in lost)
    why = "for others" if for_others else "multicast"
    unused = f"{done.unused} unused ({why})" if done.unused else ""
    text = f"{head:<12}{frames}, {grouped(done.lost)} lost"
    if unused and len(text) + len(unused) + 2 <= width:
        text, unused = f"{text}, {unused}", ""
    yield Line(text, "red" if done.lost else "")
    if unused:
        yield Line(f"{'':<12}{unused}")
    for entry in lost:
        if entry["code"] not in NORMAL_LOSSES:
            yield Line(f"{'':<12}{entry['frames']} lost at {entry['where']}: {entry['why']}", "red")
    text = f"{grouped(done.interrupts)} interrupts"
    boot = done.boot.taken
    if boot and boot < done.interrupts:
        text += f", {boot} of them in the boot"
    held = _held_back(done)
    if held and len(text) + len(held) + 14 > width:
        yield Line(f"{'':<12}{text}")
        text, held = held, ""
    yield Line(f"{'':<12}{text}{'; ' * bool(held)}{held}")
    if done.per_second is not None and done.busy.taken:
        each = four_digits(done.busy_frames * 1000 // done.busy.taken, 1000)
        text = f"{grouped(done.per_second)}/s {busy}, {each} frames for each"
        yield Line(f"{'':<12}{text}")


def _held_back(done: Card) -> str:
    """How many rises of the line waited for a window, by what had decided its length."""
    by: Counter[str] = Counter()
    for held in (*done.boot.held, *done.run.held):
        name = "QEMU's floor" if held.by == FLOOR else held.by
        by[name if held.holds == LINE else f"{name} ({held.holds})"] += held.times
    parts = [f"{grouped(times)} by {name}" for name, times in sorted(by.items())]
    return f"held back: {', '.join(parts)}" if parts else ""


SHORT = {
    HOST: "host program",
    LIES["host socket buffer"]: "host socket buffer",
    QEMU: "QEMU",
    LIES["so_snd"]: "slirp's so_snd",
    LIES["so_rcv"]: "slirp's so_rcv",
    LIES["slirp"]: "slirp",
    LIES["host program"]: "host program",
    LIES["guest program"]: "guest program",
    LIES["guest send queue"]: "guest send queue",
    HOST_READS: "host program",
    GUEST_WRITES: "guest program",
    LIES["net queue"]: "net queue",
    LIES["receive ring"]: "card's ring",
    GUEST_KERNEL: "guest kernel",
    QEMU_BELOW_GUEST: "QEMU for the guest",
    LIES["socket queue"]: "guest socket queue",
    GUEST_PROGRAM: "guest program",
}
"""A heading of the long report, in the width of a name."""


CALLS: dict[Direction, str] = {
    TO_GUEST: "host send() to guest read()",
    TO_HOST: "guest send() to host read()",
    ROUND_TRIP: "there and back",
}
"""From which call to which a message is followed."""


class _Part(NamedTuple):
    """One bar: where the message was for how long, and what for mostly."""

    name: str
    ns: int
    why: str


def called(journey: Journey) -> str:
    """A message as a person calls it: what it says, or which ping it is."""
    sent = journey.message
    if sent is not None and sent.kind == "ping":
        return f"ping {sent.index}"
    return quoted(journey.text, journey.size)


def message(journey: Journey, width: int) -> Iterator[Line]:
    """A message, how long it took, and where its time went."""
    total = duration(journey.total_ns)
    room = width - 12 - len(total) - 2
    head = f"{called(journey)}, {grouped(journey.size)} bytes"
    whole = f"{head}, {CALLS[journey.direction]}"
    text = whole if len(whole) <= room else cut(head, room)
    yield Line(f"{'message':<12}{text:<{room}}  {total}", "bold")
    yield from places(group_rows(journey, journey.direction), journey.total_ns, width)


def places(groups: Iterable[Group], total_ns: int, width: int) -> Iterator[Line]:
    """Bars: where ``total_ns`` went, the longest first, and what was waited for there mostly."""
    parts = sorted(_same_names(map(_part, groups)), key=lambda part: -part.ns)
    shown = [part for part in parts if part.ns * SMALL >= total_ns]
    rest = sum(part.ns for part in parts) - sum(part.ns for part in shown)
    if rest:
        shown.append(_Part("everything else", rest, ""))
    if not total_ns:
        return
    bar = BAR if width >= 78 else BAR // 2
    for part in shown:
        filled = "#" * max(bar * part.ns // shown[0].ns, 1)
        share = percent(part.ns, total_ns) or "<1"
        line = f"  {part.name:<19} {filled:<{bar}} {share:>3} %  {duration(part.ns):>8}"
        left = width - len(line) - 2
        yield Line(f"{line}  {cut(part.why, left)}" if left >= 12 else line)


def _same_names(parts: Iterable[_Part]) -> list[_Part]:
    """A program that works and one that waits for room are one place."""
    found: dict[str, _Part] = {}
    for part in parts:
        known = found.get(part.name)
        if known is not None:
            part = part._replace(ns=part.ns + known.ns, why=part.why or known.why)
        found[part.name] = part
    return list(found.values())


def _part(group: Group) -> _Part:
    """A heading's time, and its longest wait."""
    waits = sorted(group.rows, key=lambda row: -row.waiting_ns)
    why = waits[0].waits_for if group.lies and waits else ""
    return _Part(SHORT[group.title], group.own_ns + group.waiting_ns, why)


def _files(result: RunResult, config: MachineConfig) -> Iterator[Line]:
    expected = wanted_files(config.expect)
    found: list[tuple[str, str]] = [
        (f"{escape(name)}  NOT written, but expected", "red")
        for name in sorted(expected.keys() - result.files.keys())
    ]
    for name, log in sorted(result.written.items(), key=lambda f: (f[0] not in expected, f[0])):
        text = f"{escape(name)}  {grouped(log.size)} bytes"
        if name not in expected:
            found.append((text, ""))
        elif log == Log.of(expected[name]):
            found.append((f"{text}  as expected", "green"))
        else:
            found.append((f"{text}  NOT as expected", "red"))
    for number, (text, style) in enumerate(found[:MAX_FILES]):
        yield Line(f"{'' if number else 'files':<12}{text}", style)
    if len(found) > MAX_FILES:
        yield Line(f"{'':<12}and {len(found) - MAX_FILES} more: --out DIR keeps them", "dim")


def _outside(addresses: Sequence[str]) -> Iterator[Line]:
    """Why nothing answered there: a host of one loopback interface is all that is modelled."""
    if not addresses:
        return
    more = len(addresses) - MAX_ADDRESSES
    shown = ", ".join(addresses[:MAX_ADDRESSES]) + (f" and {more} more" if more > 0 else "")
    yield Line(f"outside     {shown}:")
    yield Line(f"{'':<12}no TCP, UDP or ping leaves the modelled host, which is its loopback")


def _verdict(result: RunResult, shown: Sequence[Transcript]) -> Iterator[Line]:
    """Why the run ended, and how many programs failed."""
    yield Line(f"ended       at {duration(result.end_ns)}: {result.ended}")
    count = sum(failed(transcript, result.config) for transcript in shown)
    if count:
        yield Line(f"failed      {'1 program' if count == 1 else f'{count} programs'}", "red")
