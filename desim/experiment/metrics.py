"""The named figures of a run (``desim.scenario.metrics``), worked out from what it left.

A figure that the run does not have (no ping ran, nothing was transferred) is None. One that needs
what was not recorded raises ``UserError``, which says which ``record`` keeps it.

What figures are made of is here. How each comes of that is in ``desim.experiment.metric_values``,
which a run does without if nobody asks for a figure by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from desim.experiment.figures import Card, Transfer, busy_ns, card, intervals, transfers
from desim.experiment.interrupts import Interrupts, Stretches, by_interval, lies
from desim.machine.vm import machine_of, point_of

if TYPE_CHECKING:
    from fractions import Fraction

    from desim.events import MitigationBegun
    from desim.experiment.journey import Direction
    from desim.experiment.measures import Acks, Level, Polls, Processor
    from desim.experiment.pings import Pings
    from desim.experiment.run import RunResult
    from desim.scenario.metrics import Value


class Metrics:
    """The figures of one run."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        self._intervals: dict[str, dict[str, Stretches]] = {}
        self._interrupts: dict[str, dict[str, Interrupts]] = {}
        """Both by machine, as they are asked for."""

    def value(self, name: str) -> Value | None:
        """The figure called ``name`` in ``METRICS``: ns, a count, or an exact ratio."""
        from desim.experiment.metric_values import VALUES

        return VALUES[name](self)

    def plain(self) -> dict[str, int | str | None]:
        """The usual figures, and all if statistics are asked for, as a summary has them.

        Whole numbers (rates are rounded); ratios and shares to three places as text.
        """
        from desim.scenario.metrics import METRICS, USUAL, decimal, exact, round_half_up

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
            ours = {name for name in trace.threads if self.owner(name) == machine}
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
        from desim.e1000.interrupts import LINE
        from desim.events import MitigationBegun

        return [
            (one.time, one.event)
            for one in self.result.trace.happened(MitigationBegun)
            if one.event.holds == LINE
            and self.owner(one.record.name) == ""
            and lies(one.time, self.busy_stretches)
        ]

    @property
    def irq_bytes(self) -> Fraction | None:
        """Bytes for an interrupt while it was busy."""
        from desim.scenario.metrics import exact

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
            entry for entry in result.frame_counts["lost"] if self.owner(entry["where"]) == machine
        ]
        packets = result.packets.get(point_of(machine, "nic"), ())
        return card(packets, lost, busy, self._interrupts_of(machine))

    def owner(self, name: str) -> str:
        """The machine that a thread or a place belongs to."""
        return machine_of(name, [one.machine for one in self.result.config.others])

    @cached_property
    def pings(self) -> Pings | None:
        """What was pinged; None if nothing was."""
        from desim.experiment.pings import of_all

        return of_all(self.result.transcripts)
