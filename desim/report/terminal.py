"""What a person sees after a run: the terminals, the way of the string, the fingerprint.

Whatever programs wrote is escaped before it is shown: a guest must not be able to
send control sequences to the user's terminal.
"""

from __future__ import annotations

from desim.config import MachineConfig
from desim.experiment.journey import Journey, Row
from desim.experiment.run import RunResult
from desim.machine import Transcript

MAX_TEXT = 60
MAX_LINES = 40
"""Lines of a program's output that are shown; the rest is counted."""


def show(result: RunResult, config: MachineConfig, width: int = 100) -> None:
    """Print the report of a run to standard output."""
    print(text(result, config, width))


def text(result: RunResult, config: MachineConfig, width: int = 100) -> str:
    """The report of a run."""
    parts = [_head(result, config)]
    parts += [_transcript(t, width) for t in result.transcripts]
    parts.append(_way(result, width))
    parts.append(_foot(result))
    return "\n\n".join(part for part in parts if part)


def seconds(ns: int) -> str:
    """``5.000 123 456 s``: grouped so that milli, micro and nano can be read off."""
    fraction = f"{ns % 10**9:09d}"
    return f"{ns // 10**9}.{fraction[:3]} {fraction[3:6]} {fraction[6:]} s"


def grouped(ns: int) -> str:
    """``1 234 567``."""
    return f"{ns:,}".replace(",", " ")


def escape(data: bytes) -> str:
    """Text from a program, with everything but line ends and tabs made visible."""
    out = data.decode("utf-8", "backslashreplace")
    return "".join(
        char if char.isprintable() or char == "\n" else char.expandtabs(8) if char == "\t"
        else f"\\x{ord(char):02x}"
        for char in out
    )  # fmt: skip


def _head(result: RunResult, config: MachineConfig) -> str:
    lines = [f"{config.name}: {config.description}" if config.description else config.name]
    if config.qemu:
        lines.append(f"  qemu-system-x86_64 {config.qemu}")
    return "\n".join(lines)


def _transcript(transcript: Transcript, width: int) -> str:
    head = f"-- {transcript.name}, {seconds(transcript.started_ns)} "
    lines = [head + "-" * max(width - len(head), 3)]
    lines.append(f"{transcript.prompt}$ {transcript.command}")
    output = escape(transcript.output).removesuffix("\n")
    shown = output.split("\n") if output else []
    lines += shown[:MAX_LINES]
    if len(shown) > MAX_LINES:
        lines.append(f"... and {len(shown) - MAX_LINES} lines more")
    if transcript.ended_ns is None:
        lines.append("(still running when the run ended)")
    elif transcript.status not in (0, None):
        lines.append(f"(exit status {transcript.status}, {seconds(transcript.ended_ns)})")
    return "\n".join(lines)


def _way(result: RunResult, width: int) -> str:
    journey = result.journey
    if journey is None:
        return "No message of the host reached a guest program in this run."
    message = escape(journey.text[:MAX_TEXT].removesuffix(b"\n")).replace("\n", "\\n")
    if journey.size > MAX_TEXT:
        message += f"... ({journey.size} bytes)"
    lines = [
        f'The way of "{message}" from send() on the host to read() in the guest',
        f"  {journey.connection}, sent at {seconds(journey.begin_ns)}; "
        f"costs: {result.profile.name} ({result.profile.status})",
        "",
    ]
    return "\n".join(lines + _table(journey, width))


def _table(journey: Journey, width: int) -> list[str]:
    """One line per station; own and waiting add up to the last line."""
    names = [_station(row) for row in journey.rows]
    column = max(len("station"), *map(len, names))
    digits = max(len("waiting ns"), len(grouped(journey.total_ns)))
    head = f"  {'station':<{column}}  {'own ns':>{digits}}  {'waiting ns':>{digits}}  for"
    lines = [head, "  " + "-" * max(min(width - 2, column + 2 * digits + 30), 10)]
    for name, row in zip(names, journey.rows, strict=True):
        own = grouped(row.own_ns) if row.own_ns else ""
        waiting = grouped(row.waiting_ns) if row.waiting_ns else ""
        lines.append(
            f"  {name:<{column}}  {own:>{digits}}  {waiting:>{digits}}  {row.waits_for}".rstrip()
        )
    lines.append(lines[1])
    sums = f"{grouped(journey.own_ns):>{digits}}  {grouped(journey.waiting_ns):>{digits}}"
    total = f"= {grouped(journey.total_ns)} ns in all"
    lines.append(f"  {'sum':<{column}}  {sums}  {total}")
    return lines


def _station(row: Row) -> str:
    return f"{row.station} ({row.file})" if row.file else row.station


def _foot(result: RunResult) -> str:
    fingerprint = result.fingerprint
    counts = result.summary["frames"]
    lines = [f"ended     {seconds(result.end_ns)}: {result.ended}"]
    for point, count in counts["points"].items():
        lines.append(
            f"frames    {point}: {count['to_guest']} to the guest, {count['from_guest']} from it"
        )
    for entry in counts["lost"]:
        lines.append(f"lost      {entry['frames']} at {entry['where']}: {entry['why']}")
    for name, data in sorted(result.files.items()):
        lines.append(f"file      {name}: {grouped(len(data))} bytes")
    lines.append(f"names     {result.summary['names']}")
    lines.append(f"fingerprint {fingerprint.whole}")
    lines.append(
        f"  times {fingerprint.times[:16]}  names {fingerprint.names[:16]}  "
        f"bytes {fingerprint.bytes[:16]}"
    )
    return "\n".join(lines)
