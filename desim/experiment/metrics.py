"""The named figures of a run (``desim.scenario.metrics``), worked out from what it left.

A figure that the run does not have (no ping ran, nothing was transferred) is None. One that needs
what was not recorded raises ``UserError``, which says which ``record`` keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from desim.data import NamedTuple
from desim.e1000 import reasons as card_reasons
from desim.e1000.interrupts import FLOOR, LINE
from desim.events import MitigationBegun
from desim.experiment.figures import (
    NORMAL_LOSSES,
    Card,
    Transfer,
    busy_ns,
    card,
    intervals,
    transfers,
)
from desim.experiment.interrupts import Interrupts, Stretches, by_interval, lies
from desim.experiment.journey import TO_GUEST, TO_HOST, Direction
from desim.guest.drivers.modules import modprobe
from desim.machine import Transcript
from desim.machine.vm import machine_of, point_of
from desim.net import reasons as net_reasons
from desim.scenario.metrics import METRICS, USUAL, Value, decimal, exact, round_half_up

if TYPE_CHECKING:
    from fractions import Fraction

    from desim.experiment.measures import Acks, Level, Polls, Processor
    from desim.experiment.run import RunResult

MIN_ITR = 100
"""Smaller values of InterruptThrottleRate are modes of the driver, and no rates."""
DECIDERS = ("ITR", "RADV", "TADV", FLOOR)
_RING = (card_reasons.NO_DESCRIPTORS, card_reasons.WHOLE_RING, card_reasons.FIFO_FULL)
_FAULTS = (
    net_reasons.FILTER_LOSS,
    net_reasons.FILTER_CORRUPT,
    net_reasons.FILTER_DELAY,
    net_reasons.FILTER_DUPLICATE,
    net_reasons.FILTER_REORDER,
)
LOST_AS = {
    **{reason.code: "ring" for reason in _RING},
    net_reasons.QUEUE_FULL.code: "queue",
    **{reason.code: "fault" for reason in _FAULTS},
}
"""Under which figure a loss counts, by its reason's code; all else is ``other``."""

_TRIP = rb"\btime=([0-9]+(?:\.[0-9]+)?) ms\b"
_STATISTICS = rb"(?m)^([0-9]+) packets transmitted, ([0-9]+) packets received"


class Pings(NamedTuple):
    """What all programs that ping have shown: requests, answers, round trips (ns) in order."""

    sent: int
    received: int
    trips_ns: list[int]


class Metrics:
    """The figures of one run."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        self._intervals: dict[str, dict[str, Stretches]] = {}
        self._interrupts: dict[str, dict[str, Interrupts]] = {}
        """Both by machine, as they are asked for."""

    def value(self, name: str) -> Value | None:
        """The figure called ``name`` in ``METRICS``: ns, a count, or an exact ratio."""
        return _VALUES[name](self)

    def plain(self) -> dict[str, int | str | None]:
        """The usual figures, and all if statistics are asked for, as a summary has them.

        Whole numbers (rates are rounded); ratios and shares to three places as text.
        """
        found: dict[str, int | str | None] = {}
        names = METRICS if self.result.config.statistics else USUAL
        for name in names:
            metric = METRICS[name]
            value = self.value(name)
            if value is None:
                found[name] = None
            elif metric.kind in ("ratio", "share"):
                found[name] = decimal(exact(value))
            else:
                found[name] = round_half_up(value)
        return found

    # --- what several figures are made of, each made once

    @property
    def end_ns(self) -> int:
        """The end of the run."""
        return self.result.end_ns

    @cached_property
    def booted_ns(self) -> int | None:
        """The end of the first guest's boot."""
        return self._booted_ns("")

    def _booted_ns(self, machine: str) -> int | None:
        boots = (t for t in self.result.transcripts if t.is_boot and t.machine == machine)
        return next((boot.ended_ns for boot in boots), None)

    @cached_property
    def transfers(self) -> list[Transfer]:
        """All transfers of the run, in the order of their first data."""
        result = self.result
        return transfers(result.packets, result.config, result.guest_addresses)

    @cached_property
    def busy_ns(self) -> int:
        """How long transfers were under way."""
        return busy_ns(self.transfers)

    def _intervals_of(self, machine: str) -> dict[str, Stretches]:
        found = self._intervals.get(machine)
        if found is None:
            result = self.result
            frames = result.packets if result.captured else {}
            sent = self.transfers if result.captured else ()
            packets = frames.get(point_of(machine, "nic"), ())
            found = intervals(packets, self._booted_ns(machine), self.end_ns, sent)
            self._intervals[machine] = found
        return found

    def _interrupts_of(self, machine: str) -> dict[str, Interrupts]:
        found = self._interrupts.get(machine)
        if found is None:
            trace = self.result.trace
            ours = {name for name in trace.threads if self._of(name) == machine}
            found = by_interval(trace, self._intervals_of(machine), ours)
            self._interrupts[machine] = found
        return found

    @cached_property
    def interrupts(self) -> dict[str, Interrupts]:
        """The card's interrupts by interval: ``boot``, ``run``, and while it was ``busy``."""
        return self._interrupts_of("")

    @cached_property
    def busy_stretches(self) -> Stretches:
        """When the first machine's card was busy."""
        return self._intervals_of("")["busy"]

    @cached_property
    def windows(self) -> list[tuple[int, MitigationBegun]]:
        """The windows of mitigation of its line that began then, with their instants."""
        return [
            (one.time, one.event)
            for one in self.result.trace.happened(MitigationBegun)
            if one.event.holds == LINE
            and self._of(one.record.name) == ""
            and lies(one.time, self.busy_stretches)
        ]

    @property
    def irq_bytes(self) -> Fraction | None:
        """Bytes for an interrupt while it was busy."""
        card, stretches = self.card, self.busy_stretches
        if card is None or not card.busy.taken:
            return None
        packets = self.result.packets.get("nic", ())
        size = sum(len(one.frame.raw) for one in packets if lies(one.time, stretches))
        return exact(size, card.busy.taken)

    # --- what takes a walk, each made when asked for, and its module loaded then

    @property
    def _behind_boot(self) -> int:
        return self.booted_ns or 0

    @cached_property
    def acks(self) -> Acks:
        """TCP's segments and windows."""
        from desim.experiment import measures

        return measures.acks(self.result.packets)

    @cached_property
    def polls(self) -> Polls:
        """The driver's polls."""
        from desim.experiment import measures

        return measures.polls(self.result.trace, self._behind_boot)

    @cached_property
    def ring(self) -> Level | None:
        """Frames in the card's receive ring."""
        from desim.experiment import measures

        return measures.ring(self.result.trace, self._behind_boot)

    @cached_property
    def queue(self) -> Level | None:
        """Frames for the guest between slirp and the card."""
        from desim.experiment import measures

        packets = self.result.packets
        return measures.under_way(
            packets.get("slirp", ()), packets.get("nic", ()), self._behind_boot
        )

    @cached_property
    def processor(self) -> Processor:
        """Who had the guest's processor."""
        from desim.experiment import measures

        return measures.processor(self.result.trace, self._behind_boot, self.end_ns)

    @cached_property
    def _ways(self) -> dict[str, tuple[int, int, Callable[[int], int | None]]]:
        from desim.experiment import measures

        sent: dict[str, int] = {}
        times: dict[str, list[int]] = {}
        for message in self.result.messages():
            sent[message.direction] = sent.get(message.direction, 0) + 1
            if message.total_ns is not None:
                times.setdefault(message.direction, []).append(message.total_ns)
        return {
            way: (count, len(times.get(way, ())), measures.of_times(times.get(way, ())))
            for way, count in sent.items()
        }

    def way(self, direction: Direction) -> tuple[int, int, Callable[[int], int | None]]:
        """Messages that went one way: how many, how many arrived, and percentiles of times."""
        return self._ways.get(direction, (0, 0, lambda part: None))

    @cached_property
    def card(self) -> Card | None:
        """What the first machine's card did; None if it has none."""
        return self.card_of("")

    def card_of(self, machine: str) -> Card | None:
        """What the card of a machine did; None if it has none. The first has no name."""
        result = self.result
        config = next(one for one in result.config.machines if one.machine == machine)
        if config.nic is None:
            return None
        busy = self._intervals_of(machine)["busy"]
        lost = [
            entry for entry in result.frame_counts["lost"] if self._of(entry["where"]) == machine
        ]
        packets = result.packets.get(point_of(machine, "nic"), ())
        return card(packets, lost, busy, self._interrupts_of(machine))

    def _of(self, name: str) -> str:
        """The machine that a thread or a place belongs to."""
        return machine_of(name, [one.machine for one in self.result.config.others])

    @cached_property
    def pings(self) -> Pings | None:
        """What was pinged; None if nothing was."""
        found = list(pinged(self.result.transcripts))
        if not found:
            return None
        trips = sorted(trip for one in found for trip in one.trips_ns)
        return Pings(sum(one.sent for one in found), sum(one.received for one in found), trips)


def pinged(transcripts: Iterable[Transcript]) -> Iterator[Pings]:
    """What each program that pings has shown, its round trips in the order of its requests."""
    for transcript in transcripts:
        output = transcript.output
        trips = [int(exact(text.decode()) * 10**6) for text in re.findall(_TRIP, output)]
        statistics = [(int(sent), int(back)) for sent, back in re.findall(_STATISTICS, output)]
        if statistics or trips:
            sent = sum(sent for sent, _ in statistics)
            yield Pings(sent, sum(back for _, back in statistics), trips)
        for told in transcript.measured:
            if told["test"] == "ping":
                stamps = zip(told["recv_ns"], told["send_ns"], strict=True)
                trips = [got - went for got, went in stamps if got >= 0]
                yield Pings(len(told["send_ns"]), told["received"], trips)


def _trip(of: Callable[[list[int]], Value]) -> Callable[[Metrics], Value | None]:
    """A figure of the round trips."""

    def value(metrics: Metrics) -> Value | None:
        pings = metrics.pings
        return of(pings.trips_ns) if pings is not None and pings.trips_ns else None

    return value


def _percentile(share: int) -> Callable[[list[int]], Value]:
    """The smallest value that ``share`` percent of all are not larger than (nearest rank)."""
    return lambda ordered: ordered[-(-len(ordered) * share // 100) - 1]


def _ping(of: Callable[[Pings], Value]) -> Callable[[Metrics], Value | None]:
    return lambda metrics: None if metrics.pings is None else of(metrics.pings)


def _card(of: Callable[[Card], Value | None]) -> Callable[[Metrics], Value | None]:
    return lambda metrics: None if metrics.card is None else of(metrics.card)


def _per_second(card: Card) -> Value | None:
    busy = card.busy
    return exact(busy.taken * 10**9, busy.length_ns) if busy.length_ns else None


def _frames_each(card: Card) -> Value | None:
    return exact(card.busy_frames, card.busy.taken) if card.busy.taken else None


def _rate(metrics: Metrics) -> Value | None:
    size = sum(transfer.size for transfer in metrics.transfers)
    return exact(size * 10**9, metrics.busy_ns) if metrics.busy_ns else None


def _slowest(metrics: Metrics) -> Value | None:
    rates = [exact(t.size * 10**9, t.duration_ns) for t in metrics.transfers if t.duration_ns]
    return min(rates, default=None)


def _message(name: str) -> Callable[[Metrics], Value | None]:
    def value(metrics: Metrics) -> Value | None:
        journey = metrics.result.journey
        return getattr(journey, name) if journey else None

    return value


def _requested(metrics: Metrics) -> Value | None:
    values = modprobe(metrics.result.config.modprobe).values
    asked = values.get("InterruptThrottleRate", 0)
    return asked if asked >= MIN_ITR else None


def _per_window(length: Callable[[int, MitigationBegun], int]) -> Callable[[Metrics], Value | None]:
    """What the mean length of windows, as ``length`` has it, comes to in a second."""

    def value(metrics: Metrics) -> Value | None:
        if metrics.card is None:
            return None
        total = count = 0
        for time, window in metrics.windows:
            total += length(time, window)
            count += 1
        return exact(count * 10**9, total) if total else None

    return value


def _windows(by: str) -> Callable[[Metrics], Value | None]:
    def value(metrics: Metrics) -> Value | None:
        card = metrics.card
        if card is None:
            return None
        found: dict[str, int] = {}
        for interrupts in (card.boot, card.run):
            for name, count in interrupts.windows.items():
                found[name] = found.get(name, 0) + count
        total = sum(found.values())
        return exact(found.get(by, 0), total) if total else None

    return value


def _held_by(by: str) -> Callable[[Metrics], Value | None]:
    return _card(
        lambda card: sum(
            held.times
            for held in (*card.boot.held, *card.run.held)
            if held.holds == LINE and held.by == by
        )
    )


def _lost(group: str) -> Callable[[Metrics], Value | None]:
    def value(metrics: Metrics) -> Value | None:
        if metrics.card is None:
            return None
        lost = metrics.result.frame_counts["lost"]
        frames = 0
        for entry in lost:
            code = entry["code"]
            if metrics._of(entry["where"]) == "" and code not in NORMAL_LOSSES:
                frames += entry["frames"] if LOST_AS.get(code, "other") == group else 0
        return frames

    return value


def _part(direction: Direction, part: int) -> Callable[[Metrics], Value | None]:
    return lambda metrics: metrics.way(direction)[2](part)


def _way(direction: Direction) -> dict[str, Callable[[Metrics], Value | None]]:
    """The figures of the messages that go one way."""
    name = {TO_GUEST: "to_guest", TO_HOST: "to_host"}[direction]
    return {
        f"{name}.sent": lambda metrics: metrics.way(direction)[0],
        f"{name}.arrived": lambda metrics: metrics.way(direction)[1],
        f"{name}.min": _part(direction, 0),
        f"{name}.p50": _part(direction, 500),
        f"{name}.p90": _part(direction, 900),
        f"{name}.p99": _part(direction, 990),
        f"{name}.max": _part(direction, 1000),
    }


def _level(of: Callable[[Level], Value]) -> Callable[[Level | None], Value | None]:
    return lambda level: None if level is None else of(level)


_most = _level(lambda level: level.most)
_mean = _level(lambda level: level.mean)


def _cpu(of: Callable[[Processor], int]) -> Callable[[Metrics], Value | None]:
    def value(metrics: Metrics) -> Value | None:
        found = metrics.processor
        return exact(of(found), found.total_ns) if found.total_ns else None

    return value


_VALUES: dict[str, Callable[[Metrics], Value | None]] = {
    "end": lambda metrics: metrics.end_ns,
    "boot": lambda metrics: metrics.booted_ns,
    "message.time": _message("total_ns"),
    "message.own": _message("own_ns"),
    "message.waiting": _message("waiting_ns"),
    "ping.sent": _ping(lambda pings: pings.sent),
    "ping.lost": _ping(lambda pings: pings.sent - pings.received),
    "ping.min": _trip(min),
    "ping.mean": _trip(lambda trips: exact(sum(trips), len(trips))),
    "ping.p50": _trip(_percentile(50)),
    "ping.p90": _trip(_percentile(90)),
    "ping.p95": _trip(_percentile(95)),
    "ping.p99": _trip(_percentile(99)),
    "ping.max": _trip(max),
    "transfers": lambda metrics: len(metrics.transfers),
    "transfer.bytes": lambda metrics: sum(transfer.size for transfer in metrics.transfers),
    "transfer.time": lambda metrics: metrics.busy_ns if metrics.transfers else None,
    "transfer.rate": _rate,
    "transfer.slowest": _slowest,
    "transfer.retransmissions": lambda metrics: sum(t.retransmitted for t in metrics.transfers),
    "frames.to_guest": _card(lambda card: card.to_guest),
    "frames.from_guest": _card(lambda card: card.from_guest),
    "frames.lost": _card(lambda card: card.lost),
    "irq": _card(lambda card: card.interrupts),
    "irq_busy": _card(lambda card: card.busy.taken),
    "irq_rate": _card(_per_second),
    "irq_frames": _card(_frames_each),
    "irq_held": _card(lambda card: card.held_back),
    "irq_held_time": _card(
        lambda card: sum(
            held.waited_ns for held in (*card.boot.held, *card.run.held) if held.holds == LINE
        )
    ),
    "irq_requested": _requested,
    "irq_programmed": _per_window(lambda time, window: window.itr_ns),
    "irq_allowed": _per_window(lambda time, window: window.until_ns - time),
    "irq_bytes": lambda metrics: metrics.irq_bytes,
    **{f"irq_held_by.{by.lower()}": _held_by(by) for by in DECIDERS},
    **{f"irq_windows.{by.lower()}": _windows(by) for by in DECIDERS},
    **{f"lost.{group}": _lost(group) for group in ("ring", "queue", "fault", "other")},
    **_way(TO_GUEST),
    **_way(TO_HOST),
    "tcp.segments": lambda metrics: metrics.acks.segments,
    "tcp.acks": lambda metrics: metrics.acks.acks,
    "tcp.segments_per_ack": lambda metrics: (
        exact(metrics.acks.segments, metrics.acks.acks) if metrics.acks.acks else None
    ),
    "tcp.window_min": lambda metrics: metrics.acks.window_min,
    "tcp.window_max": lambda metrics: metrics.acks.window_max,
    "polls": lambda metrics: metrics.polls.polls,
    "poll_frames": lambda metrics: (
        exact(metrics.polls.frames, metrics.polls.polls) if metrics.polls.polls else None
    ),
    "ring.max": lambda metrics: _most(metrics.ring),
    "ring.mean": lambda metrics: _mean(metrics.ring),
    "queue.max": lambda metrics: _most(metrics.queue),
    "queue.mean": lambda metrics: _mean(metrics.queue),
    "cpu.task": _cpu(lambda found: found.task),
    "cpu.softirq": _cpu(lambda found: found.softirq),
    "cpu.hardirq": _cpu(lambda found: found.hardirq),
    "cpu.idle": _cpu(lambda found: found.idle),
}
