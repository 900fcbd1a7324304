"""How each named figure of a run (``desim.scenario.metrics``) comes of what ``Metrics`` makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from desim.e1000 import reasons as card_reasons
from desim.e1000.interrupts import FLOOR, LINE
from desim.events import MitigationBegun
from desim.experiment.figures import NORMAL_LOSSES, Card
from desim.experiment.journey import TO_GUEST, TO_HOST, Direction
from desim.guest.drivers.modules import modprobe
from desim.net import reasons as net_reasons
from desim.scenario.metrics import Value, exact

if TYPE_CHECKING:
    from desim.experiment.measures import Level, Processor
    from desim.experiment.metrics import Metrics
    from desim.experiment.pings import Pings

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
            if metrics.owner(entry["where"]) == "" and code not in NORMAL_LOSSES:
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


VALUES: dict[str, Callable[[Metrics], Value | None]] = {
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
"""By their names in ``METRICS``."""
