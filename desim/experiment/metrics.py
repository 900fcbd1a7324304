"""The named figures of a run (``desim.scenario.metrics``), worked out from what it left.

A figure that the run does not have (no ping ran, nothing was transferred) is None. One that needs
what was not recorded raises ``UserError``, which says which ``record`` keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from desim.experiment.figures import Card, Transfer, busy_ns, card, intervals, transfers
from desim.experiment.interrupts import Interrupts, Stretches, by_interval
from desim.machine import Transcript
from desim.machine.vm import machine_of, point_of
from desim.scenario.metrics import METRICS, Value, decimal, round_half_up

if TYPE_CHECKING:
    from desim.experiment.run import RunResult

_TRIP = rb"\btime=([0-9]+(?:\.[0-9]+)?) ms\b"
_STATISTICS = re.compile(rb"^([0-9]+) packets transmitted, ([0-9]+) packets received", re.MULTILINE)


class Pings(NamedTuple):
    """What all programs that ping have shown: requests, answers, round trips (ns) in order."""

    sent: int
    received: int
    trips_ns: list[int]


class Metrics:
    """The figures of one run."""

    def __init__(self, result: RunResult) -> None:
        self.result = result

    def value(self, name: str) -> Value | None:
        """The figure called ``name`` in ``METRICS``: ns, a count, or an exact ratio."""
        return _VALUES[name](self)

    def plain(self) -> dict[str, int | str | None]:
        """All figures, as a summary has them: whole numbers (rates are rounded), and ratios and
        shares to three places as text."""
        found: dict[str, int | str | None] = {}
        for name, metric in METRICS.items():
            value = self.value(name)
            if value is None:
                found[name] = None
            elif metric.kind in ("ratio", "share"):
                found[name] = decimal(Fraction(value))
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
        result = self.result
        frames = result.packets if result.captured else {}
        sent = self.transfers if result.captured else ()
        packets = frames.get(point_of(machine, "nic"), ())
        return intervals(packets, self._booted_ns(machine), self.end_ns, sent)

    def _interrupts_of(
        self, machine: str, stretches: dict[str, Stretches]
    ) -> dict[str, Interrupts]:
        threads = self.result.trace.threads
        ours = {name for name in threads if self._of(name) == machine}
        return by_interval(self.result.trace, stretches, ours)

    @cached_property
    def interrupts(self) -> dict[str, Interrupts]:
        """The card's interrupts by interval: ``boot``, ``run``, and while it was ``busy``."""
        return self._interrupts_of("", self._intervals_of(""))

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
        stretches = self._intervals_of(machine)
        taken = self._interrupts_of(machine, stretches)
        lost = [
            entry for entry in result.frame_counts["lost"] if self._of(entry["where"]) == machine
        ]
        packets = result.packets.get(point_of(machine, "nic"), ())
        return card(packets, lost, stretches["busy"], taken)

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
        trips = [int(Decimal(text.decode()) * 10**6) for text in re.findall(_TRIP, output)]
        statistics = [(int(sent), int(back)) for sent, back in _STATISTICS.findall(output)]
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
    return Fraction(busy.taken * 10**9, busy.length_ns) if busy.length_ns else None


def _frames_each(card: Card) -> Value | None:
    return Fraction(card.busy_frames, card.busy.taken) if card.busy.taken else None


def _rate(metrics: Metrics) -> Value | None:
    size = sum(transfer.size for transfer in metrics.transfers)
    return Fraction(size * 10**9, metrics.busy_ns) if metrics.busy_ns else None


def _slowest(metrics: Metrics) -> Value | None:
    rates = [Fraction(t.size * 10**9, t.duration_ns) for t in metrics.transfers if t.duration_ns]
    return min(rates, default=None)


def _message(name: str) -> Callable[[Metrics], Value | None]:
    def value(metrics: Metrics) -> Value | None:
        journey = metrics.result.journey
        return getattr(journey, name) if journey else None

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
    "ping.mean": _trip(lambda trips: Fraction(sum(trips), len(trips))),
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
}
