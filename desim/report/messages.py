"""What ``desim run --journey`` and ``--stats`` show: one message's way, and how long all took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from desim.experiment.journey import ROUND_TRIP, TO_GUEST, TO_HOST, Direction, Journey, Kind
from desim.experiment.journey.statistics import PERMILLES, Bucket, Statistics
from desim.report import screen
from desim.report.stations import group_rows
from desim.report.text import Line, amount, cut, duration, escape, grouped, share

if TYPE_CHECKING:
    from desim.experiment.measures import Processor

NAMES: dict[tuple[Kind, Direction], tuple[str, str]] = {
    ("tcp", TO_GUEST): ("message", " to the guest"),
    ("tcp", TO_HOST): ("message", " to the host"),
    ("udp", TO_GUEST): ("datagram", " to the guest"),
    ("udp", TO_HOST): ("datagram", " to the host"),
    ("ping", ROUND_TRIP): ("ping", ", there and back"),
}
"""What they are called, and which way they go."""
HEAD = 12
MAX_FATES = 4
MAX_PROGRAMS = 4
FIGURE = 17
"""Columns of a figure with its name."""


def journey(found: Journey, width: int) -> Iterator[Line]:
    """One message: which it is, and where its time went."""
    message = found.message
    assert message is not None, "it was looked for among all messages"
    yield from screen.message(found, width)
    which = f"{message.kind}, {message.name}"
    if message.kind != "ping":
        conn = f" of connection {message.conn}" if message.conn else ""
        which += f", message {message.index}{conn}"
    at = duration(message.begin_ns)
    yield Line(cut(f"{'':<{HEAD}}{which}, at {at}", width), "dim")


def statistics(groups: Sequence[Statistics], width: int) -> Iterator[Line]:
    """How long messages took, by kind and direction."""
    if not groups:
        yield Line("statistics  no program sent a message between host and guest")
    for number, group in enumerate(groups):
        if number:
            yield Line("")
        yield from _group(group, width)


def processor(found: Processor, width: int) -> Iterator[Line]:
    """Who had the guest's processor behind the boot, and which programs."""
    total = found.total_ns
    if not total:
        return
    contexts = (
        ("idle", found.idle),
        ("tasks", found.task),
        ("softirq", found.softirq),
        ("hardirq", found.hardirq),
    )
    text = ", ".join(f"{share(ns, total)} {name}" for name, ns in contexts)
    yield Line(f"{'processor':<{HEAD}}{text}", "bold")
    programs = sorted(found.programs.items(), key=lambda one: (-one[1], one[0]))[:MAX_PROGRAMS]
    shown = ", ".join(f"{escape(name) or 'switching'} {share(ns, total)}" for name, ns in programs)
    if shown:
        yield Line(cut(f"{'':<{HEAD}}of the tasks: {shown}", width))


def _group(group: Statistics, width: int) -> Iterator[Line]:
    thing, way = NAMES[group.kind, group.direction]
    if group.sent == 1:
        text = f"1 {thing}{way}, {'arrived' if group.arrived else 'not arrived'}"
    else:
        arrived = "all" if group.arrived == group.sent else grouped(group.arrived)
        text = f"{grouped(group.sent)} {thing}s{way}, {arrived} arrived"
    size = f", {amount(group.bytes)}" if group.arrived else ""
    if HEAD + len(text) + len(size) <= width:
        text += size
    yield Line(f"{'statistics':<{HEAD}}{cut(text, width - HEAD)}", "bold")
    fates = sorted(group.fates.items(), key=lambda one: (-one[1], one[0]))
    for why, count in fates[:MAX_FATES]:
        yield Line(cut(f"{'':<{HEAD}}{grouped(count)} {why}", width), "red")
    if len(fates) > MAX_FATES:
        left = sum(count for _, count in fates[MAX_FATES:])
        yield Line(f"{'':<{HEAD}}{grouped(left)} for other reasons")
    if not group.arrived:
        return
    assert group.min_ns is not None, "some have arrived"
    assert group.max_ns is not None, "some have arrived"
    assert group.mean_ns is not None, "some have arrived"
    figures = [("min", group.min_ns), ("mean", round(group.mean_ns))]
    figures += [(name, group.percentiles[name]) for name in PERMILLES]
    figures += [("max", group.max_ns)]
    if group.jitter_ns is not None:
        figures.append(("jitter", round(group.jitter_ns)))
    room = min(max((width - HEAD + 4) // FIGURE, 1), 4)
    for first in range(0, len(figures), room):
        part = figures[first : first + room]
        shown = "  ".join(f"{name:>6} {duration(ns):>8}" for name, ns in part)
        yield Line(f"{'':<{HEAD - 2}}{shown}")
    if group.min_ns != group.max_ns:
        yield from _histogram(group.histogram, width)
    yield Line(f"  {'where the time of all went':<40}{duration(group.total_ns):>18}", "dim")
    yield from screen.places(group_rows(group.rows, group.direction), group.total_ns, width)


def _histogram(buckets: Sequence[Bucket], width: int) -> Iterator[Line]:
    """A bar for each bucket; the longest one fills the line."""
    most = max(bucket.messages for bucket in buckets)
    digits = len(grouped(most))
    for bucket in buckets:
        lead = f"  {duration(bucket.begin_ns):>8} .. {duration(bucket.end_ns):<8} "
        room = max(width - len(lead) - digits - 1, 8)
        filled = -(-bucket.messages * room // most)
        bar = "#" * filled
        yield Line(f"{lead}{grouped(bucket.messages):>{digits}} {bar}".rstrip())
