"""What a person sees after a run: the terminals, the way of the string, the fingerprint.

The report is text of at most 100 columns wherever lengths allow, and the same on every
machine; on a terminal it has colours as well. Whatever programs wrote, and whatever a
scenario calls things, is escaped before it is shown: neither may send control sequences
to the user's terminal.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from typing import NamedTuple

from desim.config import MachineConfig
from desim.experiment.journey import Journey
from desim.experiment.run import RunResult
from desim.machine import Transcript
from desim.report.stations import Group, group_rows
from desim.scenario.qemu_words import shell_words

MAX_TEXT = 24
"""Bytes of a message or a small file that are shown."""
MAX_LINES = 40
"""Lines of a program's output that are shown; the rest is counted."""
MAX_FILE = 28
"""Columns of a source file's path; a longer one loses its front."""
WIDTH = 100


class Line(NamedTuple):
    """A line of the report, and how it looks where there are colours (rich's words)."""

    text: str
    style: str = ""


def show(result: RunResult, config: MachineConfig, width: int = WIDTH) -> None:
    """Print the report of a run to standard output, with colours if that is a terminal."""
    if not sys.stdout.isatty():
        print(text(result, config, width))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in lines(result, config, width):
        console.print(Text(line.text, style=line.style))


def text(result: RunResult, config: MachineConfig, width: int = WIDTH) -> str:
    """The report of a run, plain."""
    return "\n".join(line.text for line in lines(result, config, width))


def lines(result: RunResult, config: MachineConfig, width: int = WIDTH) -> Iterator[Line]:
    """The report of a run, line by line."""
    width = min(width, WIDTH)
    yield from _head(config, width)
    for transcript in result.transcripts:
        yield Line("")
        yield from _transcript(transcript, width)
    yield Line("")
    yield from _way(result)
    yield Line("")
    yield from _foot(result, config)


def seconds(ns: int) -> str:
    """``5.000 123 456 s``: grouped so that milli, micro and nano can be read off."""
    fraction = f"{ns % 10**9:09d}"
    return f"{ns // 10**9}.{fraction[:3]} {fraction[3:6]} {fraction[6:]} s"


def grouped(ns: int) -> str:
    """``1 234 567``."""
    return f"{ns:,}".replace(",", " ")


def share(part: int, whole: int) -> str:
    """``12.5%``, rounded down; made of whole numbers."""
    tenths = 1000 * part // whole if whole else 0
    return f"{tenths // 10}.{tenths % 10}%"


def escape(data: bytes | str) -> str:
    """Text from elsewhere, with everything but line ends and tabs made visible."""
    out = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    if out.isprintable():
        return out
    return "".join(
        char
        if char.isprintable() or char in "\n\t"
        else f"\\x{ord(char):02x}"
        if ord(char) < 256
        else ascii(char)[1:-1]
        for char in out
    )


def quoted(data: bytes, size: int) -> str:
    """A message of ``size`` bytes on one line, as far as it is short: ``"Hello\\n"``."""
    start = escape(data[:MAX_TEXT]).replace("\n", "\\n").replace("\t", "\\t")
    return f'"{start}{"..." if size > MAX_TEXT else ""}"'


def short_file(path: str) -> str:
    """``.../intel/e1000/e1000_main.c``: the end of a path, which is what tells files apart."""
    if len(path) <= MAX_FILE:
        return path
    parts = path.split("/")
    while len(parts) > 1 and len("/".join(parts)) + 4 > MAX_FILE:
        del parts[0]
    return ".../" + "/".join(parts)


def _head(config: MachineConfig, width: int) -> Iterator[Line]:
    name, description = escape(config.name), escape(config.description)
    yield Line(f"{name}: {description}" if description else name, "bold")
    for line in _command_line(config.qemu, width - 2):
        yield Line(f"  {escape(line)}")


def _command_line(options: str, width: int) -> Iterator[str]:
    """QEMU's command line, broken before options as a shell would have it."""
    parts = ["qemu-system-x86_64"]
    for word in shell_words(options):
        if word.startswith("-"):
            parts.append(shlex.quote(word))
        else:
            parts[-1] += f" {shlex.quote(word)}"
    line = parts[0]
    for part in parts[1:]:
        if len(line) + len(part) + 3 > width:
            yield line + " \\"
            line = "   "
        line += f" {part}"
    yield line


def _transcript(transcript: Transcript, width: int) -> Iterator[Line]:
    began, ended = seconds(transcript.started_ns), transcript.ended_ns
    if ended is None:
        began += ", still running at the end"
    elif ended > transcript.started_ns:  # the console's own session has no length
        began += f" to {seconds(ended)}"
    head = f"-- {transcript.name}, {began} "
    yield Line(head + "-" * max(width - len(head), 3), "dim")
    yield Line(f"{transcript.prompt}$ {escape(transcript.command)}", "bold green")
    # A terminal goes to the line's start anyway.
    text = escape(transcript.output.replace(b"\r\n", b"\n"))
    output = [line.expandtabs(8).rstrip() for line in text.rstrip("\n").split("\n")]
    shown = output if output != [""] else []
    for line in shown[:MAX_LINES]:
        yield Line(line)
    if len(shown) > MAX_LINES:
        yield Line(f"({len(shown) - MAX_LINES} more lines)", "dim")
    if transcript.status not in (0, None):
        yield Line(f"(exit status {transcript.status})", "red")


def _way(result: RunResult) -> Iterator[Line]:
    journey = result.journey
    if not journey:
        yield Line("No message of the host reached a guest program in this run.", "bold")
        return
    shown = quoted(journey.text, journey.size)
    yield Line(
        f"The way of {shown}, {grouped(journey.size)} bytes, "
        "from the host's send() to the guest's read()",
        "bold",
    )
    yield Line(
        f"  {journey.connection}, {seconds(journey.begin_ns)} to {seconds(journey.end_ns)}; "
        f"costs: {escape(result.profile.name)} ({escape(result.profile.status)})"
    )
    yield Line("")
    yield from _table(journey)


def _table(journey: Journey) -> Iterator[Line]:
    """Who had the message, and below each, doing what; own and waiting add up exactly."""
    groups = group_rows(journey.rows)
    name_width = max((len(r.station) for g in groups for r in g.rows if r.file), default=0)

    def place(group: Group, index: int) -> str:
        row = group.rows[index]
        if row.file:
            return f"    {row.station:<{name_width}}  {short_file(row.file)}"
        if group.lies:
            return f"    {row.waits_for}"
        return f"    {row.station}, waiting for {row.waits_for}"

    body = [(g, [place(g, index) for index in range(len(g.rows))]) for g in groups]
    first = max((len(text) for _, texts in body for text in texts), default=40)
    first = max(first, *(len(g.title) + 2 for g in groups), 40)
    own_width = max(len("own ns"), len(grouped(journey.own_ns)))
    wait_width = max(len("waiting ns"), len(grouped(journey.waiting_ns)))

    def line(text: str, own: int, waiting: int, part: str, style: str = "") -> Line:
        owned = grouped(own) if own else ""
        waited = grouped(waiting) if waiting else ""
        columns = f"{text:<{first}}  {owned:>{own_width}}  {waited:>{wait_width}}  {part:>6}"
        return Line(columns.rstrip(), style)

    head = f"  {'who has it':<{first - 2}}  {'own ns':>{own_width}}  {'waiting ns':>{wait_width}}"
    yield Line(f"{head}  {'share':>6}", "dim")
    rule = Line("  " + "-" * (len(head) + 6), "dim")
    yield rule
    for group, texts in body:
        part = share(group.own_ns + group.waiting_ns, journey.total_ns)
        yield line(f"  {group.title}", group.own_ns, group.waiting_ns, part, "bold")
        for row, text in zip(group.rows, texts, strict=True):
            yield line(text, row.own_ns, row.waiting_ns, "")
    yield rule
    yield line("  sum", journey.own_ns, journey.waiting_ns, "100.0%", "bold")
    yield Line(
        f"  {grouped(journey.own_ns)} own + {grouped(journey.waiting_ns)} waiting "
        f"= {grouped(journey.total_ns)} ns. Functions passed twice are one line."
    )


def _foot(result: RunResult, config: MachineConfig) -> Iterator[Line]:
    fingerprint = result.fingerprint
    counts = result.summary["frames"]
    yield Line(f"ended        {seconds(result.end_ns)}: {result.ended}")
    for point, count in counts["points"].items():
        yield Line(
            f"frames       {point}: {count['to_guest']} to the guest, {count['from_guest']} from it"
        )
    for entry in counts["held"]:
        yield Line(f"delayed      {entry['frames']} at {entry['where']}: {entry['why']}")
    for entry in counts["made"]:
        yield Line(f"made         {entry['frames']} at {entry['where']}: {entry['why']}")
    for entry in counts["lost"]:
        yield Line(f"dropped      {entry['frames']} by {entry['where']}: {entry['why']}", "red")
    expected = {f"guest/{name}": data for name, data in config.expect.guest_files.items()}
    expected |= {f"host/{name}": data for name, data in config.expect.host_files.items()}
    for name, data in sorted(result.files.items()):
        line = f"file         {escape(name)}: {grouped(len(data))} bytes"
        if 0 < len(data) <= MAX_TEXT:
            line += f", {quoted(data, len(data))}"
        if name not in expected:
            yield Line(line)
        elif data == expected[name]:
            yield Line(f"{line}, as expected", "green")
        else:
            yield Line(f"{line}, not as expected", "red")
    yield Line(f"functions    named as in {result.summary['names']}")
    yield Line(f"fingerprint  {fingerprint.whole}")
    yield Line(
        f"  times {fingerprint.times[:16]}  names {fingerprint.names[:16]}  "
        f"bytes {fingerprint.bytes[:16]}",
        "dim",
    )
