"""What a run left, as a frozen value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

from desim.errors import UserError, nearest
from desim.experiment.journey import Journey, Message
from desim.experiment.run import RunResult
from desim.experiment.verdict import failed_programs

if TYPE_CHECKING:
    from fractions import Fraction

    from desim.api.scenario import Scenario
    from desim.engine.trace import Fingerprint
    from desim.experiment.journey.journeys import Journeys
    from desim.experiment.journey.select import Selector
    from desim.experiment.journey.statistics import Statistics
    from desim.machine import Transcript
    from desim.machine.capture import Captured


@final
class Result:
    """Everything that came of one run. Made by :func:`desim.run`; it never changes.

    ``print(result)`` shows the report that ``desim run`` shows; a notebook shows a table.

    What the run has not kept (``record`` and ``capture`` of :func:`desim.run`) is None in
    ``summary``. An attribute that needs it raises :class:`desim.UserError`, and ``report``,
    ``save`` and the notebook's table leave it out.
    """

    __slots__ = ("_run", "scenario")

    scenario: Scenario
    """What was run, with the ``seed`` and ``until`` that were given for it."""

    def __init__(self, scenario: Scenario, run: RunResult) -> None:
        object.__setattr__(self, "scenario", scenario)
        object.__setattr__(self, "_run", run)

    _run: RunResult

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a result does not change: {name!r} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a result does not change: {name!r} cannot be deleted")

    def __getstate__(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __setstate__(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @property
    def ended(self) -> str:
        """Why the run ended, in words."""
        return self._run.ended

    @property
    def end_ns(self) -> int:
        """When, in virtual ns since power-on."""
        return self._run.end_ns

    @property
    def failed(self) -> bool:
        """Whether a limit stopped it; the results are then those up to there."""
        return self._run.failed

    @property
    def expectations(self) -> tuple[str, ...]:
        """What the scenario expected and did not get, with the difference; empty if all is well."""
        return tuple(self._run.expectations)

    @property
    def failed_programs(self) -> tuple[str, ...]:
        """Programs that ended with a status other than 0 and were not expected to, as text."""
        return tuple(failed_programs(self._run))

    def metric(self, name: str) -> int | Fraction | None:
        """A figure of the run by its name in ``expect``, such as ``"ping.p99"`` or ``"irq_rate"``.

        Times are in ns, rates in bytes per second, ``irq_rate`` is per second. None if the run
        has no such figure: nothing was pinged, nothing transferred.

        Raises :class:`desim.UserError` for an unknown name, and for what was not recorded.
        """
        from desim.scenario.metrics import METRICS

        if name not in METRICS:
            raise UserError(
                f"{name}: no such figure; there are {', '.join(METRICS)}{nearest(name, METRICS)}"
            )
        return self._run.metrics.value(name)

    @property
    def files(self) -> Mapping[str, bytes]:
        """What programs wrote, by name below ``guest/`` and ``host/``.

        A file that does not lie in memory is read when it is asked for.
        """
        return MappingProxyType(self._run.files)

    @property
    def programs(self) -> tuple[Transcript, ...]:
        """The terminals: the guest's boot, then the commands in the order of their start.

        Each has ``side``, ``name``, ``command``, ``started_ns``, ``ended_ns`` (None: not
        ended), ``status`` (the exit code) and ``output`` (``bytes``).
        """
        return tuple(self._run.transcripts)

    @property
    def journey(self) -> Journey:
        """The way of the first message from the host to the guest, leg by leg.

        It has no legs, and is false, if no message arrived.
        """
        return self._run.journey

    @property
    def journeys(self) -> Journeys:
        """The way of every message: iterate to get a :class:`desim.Journey` for each, whose
        ``message`` says which it is; ``journeys.of(number)`` has its stays in order of time, too.

        Each iteration goes through the trace once, and keeps little of it in memory. The journey
        of a message that has not arrived has no legs, and is false.
        """
        return self._run.journeys

    @property
    def messages(self) -> Iterator[Message]:
        """Every call of a program that sends, between host and guest: bytes of a connection, a
        datagram, or a ping. Those that have not arrived come last."""
        return self._run.messages()

    @property
    def statistics(self) -> tuple[Statistics, ...]:
        """How long messages took, exactly, and where their time went, by kind and direction."""
        return tuple(self._run.statistics)

    @property
    def frames(self) -> Mapping[str, Sequence[Captured]]:
        """The frames at each capture point: ``time`` (ns), ``to_guest``, ``frame``.

        They need not lie in memory; each look makes new objects of the same bytes.
        """
        return MappingProxyType(dict(sorted(self._run.packets.items())))

    @property
    def captures(self) -> Mapping[str, bytes]:
        """A pcapng file for each capture point, by its file name, as a whole in memory."""
        return MappingProxyType(self._run.captures)

    @property
    def fingerprint(self) -> Fingerprint:
        """SHA-256 of all that happened, ``whole`` and by ingredient: equal runs have equal ones."""
        return self._run.fingerprint

    @property
    def summary(self) -> dict[str, Any]:
        """The figures of the run, as ``desim run --json`` prints them (a new copy)."""
        from copy import deepcopy  # the screen does without

        return deepcopy(self._run.summary)

    @property
    def trace(self) -> Iterator[bytes]:
        """The trace as lines of JSON, in pieces: for each thread its spans, then its events."""
        return self._run.trace_text

    def perfetto(self) -> Iterator[bytes]:
        """The timeline as a file for Perfetto (ui.perfetto.dev), in pieces.

        Threads, contexts of the guest's processor, locks, the interrupt line, counters, and
        arrows from ``send()`` to ``read()``.
        """
        from desim.timeline.perfetto import perfetto

        return perfetto(self._run)

    def folded(self) -> Iterator[str]:
        """Folded stacks for flame graph tools and speedscope, line by line: own time in ns."""
        from desim.timeline.folded import folded

        return folded(self._run)

    def packet(self, number: int, width: int = 80) -> str:
        """The life of a packet: where it was when, why it waited, where it was lost and why.

        ``number`` is its number in the trace (``frame.number``). Raises
        :class:`desim.UserError` if there is none.
        """
        from desim.timeline.packet import life

        return "\n".join(life(self._run, number, width))

    def diff(self, other: Result, width: int = 80) -> str:
        """Where this run and ``other`` part, why, and what comes of it: what ``desim diff`` prints.

        Raises :class:`desim.UserError` if one of them has not kept everything.
        """
        from desim.compare.report import lines

        names = self.scenario.name, other.scenario.name
        return "\n".join(lines(self._run, other._run, names, width))

    def save(self, folder: str | PathLike[str], *, force: bool = False) -> None:
        """Write files, captures, trace and summary below ``folder``, which is made if need be.

        An earlier run's folder is replaced with ``force``, anybody else's never. Raises
        :class:`desim.OutputError`.
        """
        from pathlib import Path

        from desim.experiment import output
        from desim.scenario.written import text

        document = text(self.scenario._document)
        output.write(self._run, Path(folder), force=force, scenario=document)

    def report(self, width: int = 80, *, verbosity: int = 0) -> str:
        """The report for people, as plain text of at most ``width`` columns where that can be.

        ``verbosity`` is 0 for the answer, 1 for the terminals and functions behind it, 2 for
        these with every nanosecond.
        """
        from desim.report import terminal

        return terminal.text(self._run, self._run.config, width, verbosity)

    def ladder(self, width: int = 80) -> str:
        """Who told whom what, and when, behind the guest's boot: at most 60 lines of text.

        The steps between the host's program, slirp, the card, the guest's kernel and its program,
        with sequence numbers relative to the first. Raises :class:`desim.UserError` if the run
        has not kept its events and frames.
        """
        from desim.report import ladder

        return "\n".join(ladder.text(self._run, width))

    def show(self, width: int = 80, *, verbosity: int = 0, colours: bool | None = None) -> None:
        """Print the report; ``colours`` None: with colours if standard output is a terminal."""
        from desim.report import terminal

        terminal.show(self._run, self._run.config, width, verbosity, colours)

    def statistics_report(self, width: int = 80) -> str:
        """``statistics`` for people, as ``desim run --stats`` shows them, and who had the guest's
        processor."""
        from desim.report import messages
        from desim.report.text import Line

        lines = [
            *messages.statistics(self.statistics, width),
            Line(""),
            *messages.processor(self._run.metrics.processor, width),
        ]
        return "\n".join(line.text.rstrip() for line in lines)

    def journey_report(
        self, which: str | Selector = "msg=first", width: int = 80, verbosity: int = 0
    ) -> str:
        """The way of one message for people: see ``desim run --journey`` for what ``which`` is.

        Raises :class:`desim.UserError` if it selects none.
        """
        from desim.experiment.journey.select import read_selector, select
        from desim.report import long, messages

        selector = read_selector(which) if isinstance(which, str) else which
        message = select(self.messages, selector)
        found = self.journeys.of(message.number)
        lines = list(messages.journey(found, width))
        if verbosity:
            lines += long.way(found, width, verbosity)
        return "\n".join(line.text.rstrip() for line in lines)

    def __str__(self) -> str:
        return self.report()

    def __repr__(self) -> str:
        run = self._run
        said = [f"ended at {run.end_ns} ns, {run.ended}"]
        if run.keeps("journeys"):
            said.append(f"journey {run.journey.total_ns} ns")
        if run.has_fingerprint:
            said.append(f"fingerprint {run.fingerprint.whole[:16]}")
        return f"<Result of {self.scenario!r}: {'; '.join(said)}>"

    def _repr_html_(self) -> str:
        from desim.report import notebook

        return notebook.html(self._run)
