"""One run of one configuration, and everything that came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from desim.config import InputFile, MachineConfig
from desim.costs.profile import INSTRUCTIONS, load
from desim.data import NamedTuple, replace
from desim.engine.trace import Fingerprint, Trace
from desim.errors import UserError
from desim.experiment.journey import Journey, Message
from desim.experiment.journey.journeys import Journeys
from desim.experiment.metrics import Metrics
from desim.experiment.verdict import failures
from desim.machine import Machine, Transcript
from desim.machine.capture import Capture
from desim.machine.conduct import INTERRUPTED
from desim.machine.counts import frame_counts
from desim.record import Record, keeps, not_captured, not_recorded
from desim.spool import Blobs, Log
from desim.version import __version__
from desim.wire.addresses import ip

if TYPE_CHECKING:
    from desim.experiment.backtrace import Backtrace, Function
    from desim.experiment.journey.statistics import Statistics
    from desim.machine.remains import Remains

FORMAT = "desim-summary/1"


class CostsUsed(NamedTuple):
    """The cost profile of a run, and what it says of itself."""

    name: str
    status: str


class RunResult:
    """What a run left: see the attributes. Made by ``run``.

    ``ended`` says why it ended, ``end_ns`` when; ``failed`` is true if a limit of the
    run was reached (too many events, threads in circles). ``files`` are those that programs
    wrote, by name below ``guest/`` and ``host/``; ``outside`` are the addresses beyond the host
    that somebody wanted to reach.

    What takes a while is made when it is asked for. What was not recorded is None in the
    summary; as an attribute it raises ``UserError``, which says which ``record`` keeps it.
    """

    def __init__(self, config: MachineConfig, machine: Machine) -> None:
        self.config = config
        self.ended = machine.ended
        self.end_ns = machine.end_ns
        self.failed = machine.failed
        self._trace = machine.trace
        self._packets = machine.captures()
        self._counts = partial(frame_counts, machine.trace, machine.recorder.passed)
        self._guest = machine.guest_summary()
        self._guests = machine.guest_summaries()
        self.outside = machine.outside()
        self._remains: Callable[[], Remains] = partial(_remains_of, machine)
        self.profile = CostsUsed(machine.profile.name, machine.profile.status)
        self.files: Blobs = machine.files()
        self.transcripts: list[Transcript] = machine.transcripts()

    @cached_property
    def expectations(self) -> list[str]:
        """One text for each expectation of the scenario that was not met.

        Of a run that somebody has stopped there is no telling what it would have done: none.
        """
        return [] if self.ended == INTERRUPTED else failures(self, run)

    @cached_property
    def metrics(self) -> Metrics:
        """The figures of the run that have a name."""
        return Metrics(self)

    @cached_property
    def frame_counts(self) -> dict[str, Any]:
        """What became of the frames, counted."""
        self._need("frame counts", "counters")
        return self._counts()

    def __getstate__(self) -> dict[str, Any]:
        from copy import deepcopy  # few results go to another process

        state = self.__dict__.copy()
        # The machine stays where it is; what stands in its trace beside the counts as well, if
        # nobody can ask for that.
        counts = self._counts() if self.keeps("counters") else None
        state["_counts"] = partial(deepcopy, counts)
        state["_remains"] = _stayed_behind
        if not self.keeps("journeys"):
            del state["_trace"]
        return state

    def keeps(self, level: Record) -> bool:
        """Whether the run has recorded what ``level`` keeps."""
        return keeps(self.config.record, level)

    def _need(self, what: str, level: Record) -> None:
        if not self.keeps(level):
            raise not_recorded(what, self.config.record, level)

    @property
    def trace(self) -> Trace:
        """What the threads have recorded; with ``journeys`` no more than that needs."""
        self._need("trace", "journeys")
        return self._trace

    @property
    def packets(self) -> dict[str, Capture]:
        """The frames that passed each capture point."""
        if not self.captured:
            raise not_captured("frames")
        return self._packets

    @cached_property
    def journey(self) -> Journey:
        """The way of the first message into the guest through a forwarded port."""
        self._need("journey", "journeys")
        return self.journeys.first()

    @cached_property
    def answer(self) -> Journey:
        """The message whose way a person is shown first: ``journey``, or else another."""
        return self.journey or self.journeys.other()

    @cached_property
    def journeys(self) -> Journeys:
        """All messages and their ways."""
        self._need("journeys", "journeys")
        user = self.config.user
        return Journeys(self._trace, self._packets, user.host if user is not None else b"")

    def messages(self) -> Iterator[Message]:
        """All messages, those that have not arrived last."""
        return self.journeys.messages()

    @cached_property
    def statistics(self) -> list[Statistics]:
        """How long messages took, and where their time went, by kind and direction."""
        from desim.experiment.journey.statistics import statistics

        return statistics(self.journeys)

    @cached_property
    def remains(self) -> Remains:
        """What the machine is left with: sockets, timers, counters, rings."""
        return self._remains()

    @property
    def captured(self) -> bool:
        """Whether the run has kept the frames that passed the capture points."""
        return self.config.capture

    @property
    def traced(self) -> bool:
        """Whether it has kept a trace."""
        return self.keeps("trace")

    @property
    def has_fingerprint(self) -> bool:
        """Whether it has kept all that a fingerprint is made of."""
        return self.traced and self.captured

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """The hashes of all that happened."""
        self._need("fingerprint", "trace")
        if not self.captured:
            raise not_captured("fingerprint")
        return self._trace.fingerprint(self._content())

    def _content(self) -> Iterator[tuple[str, bytes | Log]]:
        """What crossed capture points, was written and read, source by source."""
        for point, packets in sorted(self.packets.items()):
            source = f"capture {point}"
            for _, _, _, raw in packets.appended():
                yield source, raw
        for name, log in sorted(self.files.logs.items()):
            yield f"file {name}", log
        for name, file in self._inputs():
            yield f"input {name}", bytes.fromhex(file.sha256)

    def _inputs(self) -> Iterator[tuple[str, InputFile]]:
        """The files that the machines and the host may read, by name."""
        config = self.config
        # One that guest and host both read is one.
        yield from sorted({**config.guest_files, **config.host_files}.items())
        for other in config.others:
            for name, file in sorted(other.guest_files.items()):
                yield f"{other.machine}: {name}", file

    @property
    def guest_addresses(self) -> dict[bytes, str]:
        """With several machines, the guests by the addresses that they have in the end."""
        if not self.config.others:
            return {}
        return {
            ip(str(told["address"])): name or "guest"
            for name, told in self._guests.items()
            if told is not None and told["address"] is not None
        }

    @property
    def captures(self) -> dict[str, bytes]:
        """One pcapng file per capture point, by file name."""
        if not self.captured:
            raise not_captured("captures")
        return {name: b"".join(pieces) for name, pieces in self.capture_files.items()}

    @property
    def capture_files(self) -> dict[str, Iterator[bytes]]:
        """The same in pieces; ``desim.experiment.capture_files`` says what comments hold."""
        from desim.experiment.capture_files import pcapng

        trace = self._trace if self.keeps("counters") else None
        return {
            f"capture-{point}.pcapng": pcapng(point, packets, trace, spans=self.traced)
            for point, packets in sorted(self.packets.items())
        }

    @property
    def written(self) -> Mapping[str, Log]:
        """``files`` in pieces."""
        return self.files.logs

    @property
    def trace_text(self) -> Iterator[bytes]:
        """The trace as JSON lines, thread by thread: spans in order of entry, then events."""
        self._need("trace", "trace")
        from desim.experiment.trace_lines import lines

        return lines(self._trace)

    @property
    def _interrupts(self) -> dict[str, Any] | None:
        """Those of the card by interval; None without a card, and where they are not recorded."""
        if self.config.nic is None or not self.keeps("journeys"):
            return None
        found = {name: one.as_json() for name, one in self.metrics.interrupts.items()}
        transfers = found.pop("busy")
        return found | {
            "transfers": transfers if self.captured and self.metrics.transfers else None
        }

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The figures of the run (``docs/summary.md``)."""
        config = self.config
        journey = self.journey if self.keeps("journeys") else None
        return {
            "format": FORMAT,
            "desim": __version__,
            "scenario": config.name,
            "description": config.description,
            "qemu": config.qemu,
            "names": "QEMU 2.8 and its slirp, Linux 6.1",
            "slirp": config.user.version if config.user else None,
            "card": None
            if config.nic is None
            else {"model": config.nic.model, "timing": config.nic.semantics},
            "costs": {"profile": self.profile.name, "status": self.profile.status},
            "seed": config.seed,
            "record": config.record,
            "capture": config.capture,
            "ended": self.ended,
            "end_ns": self.end_ns,
            "fingerprint": self.fingerprint._asdict() if self.has_fingerprint else None,
            "guest": self._guest,
            "machines": [
                {"name": one.machine, "qemu": one.qemu, "guest": self._guests[one.machine]}
                for one in config.others
            ],
            "programs": [
                {
                    "side": t.side,
                    "machine": t.machine,
                    "terminal": t.name,
                    "command": t.command,
                    "started_ns": t.started_ns,
                    "ended_ns": t.ended_ns,
                    "status": t.status,
                }
                for t in self.transcripts
            ],
            "files": {
                name: {"bytes": log.size, "sha256": log.sha256()}
                for name, log in sorted(self.written.items())
            },
            "inputs": {name: file.sha256 for name, file in self._inputs()},
            "frames": self.frame_counts if self.keeps("counters") else None,
            "interrupts": self._interrupts,
            "metrics": self.metrics.plain() if self.keeps("journeys") and self.captured else None,
            "outside": self.outside,
            "journey": None
            if not journey
            else {
                "text": journey.text.decode("utf-8", "backslashreplace"),
                "connection": journey.connection,
                "begin_ns": journey.begin_ns,
                "end_ns": journey.end_ns,
                "total_ns": journey.total_ns,
                "own_ns": journey.own_ns,
                "waiting_ns": journey.waiting_ns,
                "stations": [leg._asdict() for leg in journey],
            },
            "messages": [one.as_json() for one in self.statistics]
            if self.config.statistics and self.keeps("journeys")
            else None,
            "expectations": self.expectations,
            "notes": list(config.notes),
        }


def run(config: MachineConfig, *, progress: Callable[[int], None] | None = None) -> RunResult:
    """Build the machine of ``config``, run it to its end, and gather what it left.

    ``progress`` is called now and then with the virtual time. Ctrl-C ends the run
    early: the result then says so (``ended``), and holds what there is. Raises
    ``UserError`` for a configuration that cannot be run.
    """
    machine = Machine(config)
    machine.run(progress)
    return RunResult(config, machine)


def unused_instructions(config: MachineConfig) -> list[str]:
    """``-icount`` says how long an instruction lasts; most cost profiles have none.

    Raises ``ProfileError``.
    """
    if config.icount_shift is None:
        return []
    unit = load(config.costs).unit
    if unit == INSTRUCTIONS:
        return []
    return [
        f"no effect, ignored: -icount shift={config.icount_shift}: costs "
        f"{config.costs} are in {unit}; those of --costs icount are in instructions"
    ]


def backtrace(
    config: MachineConfig,
    functions: Iterable[Function],
    *,
    hit: int = 1,
    packet: int | None = None,
    after_ns: int | None = None,
    calls: bool = False,
) -> Backtrace | None:
    """Run ``config`` to the ``hit``-th entry of ``functions`` and take the stack; None if never.

    Only entries at or after ``after_ns`` count, and with ``packet`` only those that
    have that frame (by its number in the trace) in their hands. ``calls`` adds what
    the function went on to call until it returned.
    """
    from desim.experiment.backtrace import Breakpoint, Hit

    breakpoint_ = Breakpoint(functions, hit=hit, packet=packet, after_ns=after_ns, calls=calls)
    machine = Machine(replace(config, record="none", capture=False), watch=breakpoint_)
    try:
        machine.run()
    except Hit as found:
        return found.backtrace
    finally:
        machine.close()
    return breakpoint_.unfinished()


def _remains_of(machine: Machine) -> Remains:
    from desim.machine.remains import remains

    return remains(machine)


def _stayed_behind() -> Remains:
    raise UserError("what the machine is left with does not travel: look at it where the run is")
