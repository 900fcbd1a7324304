"""The recorded run's configuration, simulated.

What the recording says of the outside is taken over: QEMU's options, the driver's
parameters, where the guest's clock stood, when the driver was loaded and the interface
opened, what the kernel drew where its frames show it, and when each test's program and its
partner on the host began. Everything else is predicted.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from desim.config import Boot, InputFile, MachineConfig, RunCommand
from desim.conform.linux.draws import draws, jiffies_zero
from desim.conform.linux.recording import (
    JIFFY_NS,
    MAX_VIRTUAL_NS,
    WRONG,
    Run,
    Test,
)
from desim.data import NamedTuple, replace
from desim.engine.watched import Watcher
from desim.errors import RecordingError, UserError
from desim.machine import Machine
from desim.machine.capture import Captured
from desim.record import Record
from desim.scenario.modprobe import check_modprobe
from desim.scenario.qemu_options import parse_qemu_options
from desim.stages import Landmark
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.programs.ltool import JSON
from desim.userland.programs.ltool_common import LEAD_NS
from desim.userland.shell import ShellError, parse
from desim.userland.syscalls import TIMER_SLACK_NS

SERVED_FILE = "f"
SERVED_BYTES = 150_000
"""What the recorded TFTP server had to offer."""

SERVER_START_NS = 30_000_000
"""How long after the counters' first reading a guest program that prints no start began."""

AFTER_NS = 1_000_000
"""How long after a program's end the counters were read."""

LONGER_NS = 1_000_000_000
"""What a simulated program may take longer than the recorded one."""

SCHEDULED = ("ping", "udpsend")
"""What the tool does at set times; it makes the schedule some time ahead of the first, which
its sleep lets it miss by the timer's slack."""


class Predicted(NamedTuple):
    """What a test came to in the simulation; the fields are those of ``Test``."""

    out: dict[str, Any]
    host_out: dict[str, Any]
    interrupts: int
    packets: list[Captured]
    """At slirp's port, in the test's window."""


def configuration(
    run: Run, *, costs: str, tests: Sequence[Test] | None = None, seed: int = 1
) -> MachineConfig:
    """The machine of a recorded run, with its tests (or some of them) as commands.

    Raises ``RecordingError`` if the run has what is not modelled.
    """
    try:
        network = parse_qemu_options(run.qemu, open_folder=_tftp_root)
    except UserError as error:
        raise RecordingError(f"{run.name}: {'; '.join(error.messages)}") from None
    guest: list[RunCommand] = []
    host: list[RunCommand] = []
    if run.never_idle:
        guest.append(RunCommand(side="guest", command="ltool spin", terminal="spin"))
    for line in run.warm_up:
        guest.append(
            RunCommand(side="guest", command=_printing(line), terminal=f"warm-up {len(guest)}")
        )
    end = 0
    servers: set[str] = set()
    for test in run.tests if tests is None else tests:
        at, ready = start_of(run, test)
        guest.append(
            RunCommand(
                side="guest",
                command=_printing(test.command),
                terminal=test.name,
                at_ns=at,
                ready_ns=ready,
            )
        )
        if (partner := _partner(test)) is not None and partner[1] not in servers:
            at, command = partner
            if not test.serves:
                servers.add(command)
            host.append(
                RunCommand(side="host", command=command, terminal=f"host:{test.name}", at_ns=at)
            )
        end = max(end, test.window_ns[1])
    return MachineConfig(
        name=run.name,
        user=network.user,
        nic=network.nic,
        hub=network.hub,
        costs=costs,
        seed=seed,
        icount_shift=run.shift,
        boot=Boot(
            insmod_ns=run.insmod_ns,
            up_ns=run.up_ns,
            jiffies_zero_ns=jiffies_zero(run),
            seeded=run.seeded,
            draws=draws(run),
        ),
        modprobe=run.modprobe,
        until_ns=end + LONGER_NS,
        guest=guest,
        host=host,
    )


def checked_configuration(
    run: Run, *, costs: str, tests: Sequence[Test] | None = None
) -> MachineConfig:
    """The same of a run that may hold anything: whatever is wrong is a ``RecordingError``."""
    try:
        check_modprobe(run.modprobe)
        config = configuration(run, costs=costs, tests=tests)
        for command in (*config.guest, *config.host):
            _check_command(run, command)
    except RecordingError:
        raise
    except WRONG as error:
        raise RecordingError(f"{run.name}: a field is missing or wrong ({error!r})") from None
    return config


def _check_command(run: Run, command: RunCommand) -> None:
    try:
        parse(command.command, GUEST_PROGRAMS if command.side == "guest" else HOST_PROGRAMS)
    except ShellError as error:
        raise RecordingError(f"{run.name}: {command.command!r}: {error.message}") from None
    if not 0 <= (command.at_ns or 0) <= MAX_VIRTUAL_NS:
        raise RecordingError(f"{run.name}: {command.terminal} starts at {command.at_ns} ns")


def start_of(run: Run, test: Test) -> tuple[int, int]:
    """The virtual times at which the guest's shell starts a test's program, and at which that
    first reads the clock, if the recording has it (else 0).

    The spinning program of a guest that is never idle goes on when a new one is started (that is
    placed behind it); at the next tick the new one gets the processor, and loads.
    """
    ready = _read_clock(run, test)
    if ready is None:
        return test.window_ns[0] + SERVER_START_NS, 0
    return (ready - JIFFY_NS if run.never_idle else ready), ready


def _read_clock(run: Run, test: Test) -> int | None:
    out = test.out
    for key in ("t0_ns", "t0", "t_connect_start"):
        if key in out:
            lead = LEAD_NS + TIMER_SLACK_NS if out.get("test") in SCHEDULED else 0
            return run.virtual(int(out[key])) - lead
    if "connect_errno" in out:
        return test.window_ns[1] - AFTER_NS - int(out["connect_ns"])
    return None


def _partner(test: Test) -> tuple[int, str] | None:
    """When the program on the host begins, and its command."""
    host = test.host
    if host is None or not host.words:
        return None
    begins = test.window_ns[0]
    if test.serves and test.tcp:
        begins = test.tcp[0]["t_first_us"] * 1000
    elif test.serves:
        begins = test.window_ns[0] + 2 * SERVER_START_NS
    return begins, _printing(" ".join(["ltool", *host.words]))


def _printing(command: str) -> str:
    """A command of a recording such that desim's tool prints what the recorded one prints."""
    tool, space, operands = command.partition(" ")
    return f"{tool} {JSON} {operands}" if space and tool == "ltool" else command


def _tftp_root(_: str) -> dict[str, InputFile]:
    data = bytes(SERVED_BYTES)
    return {SERVED_FILE: InputFile(name=SERVED_FILE, data=data)}


def simulate(config: MachineConfig, watch: Watcher | None = None) -> Machine:
    """Run the machine to its end; it keeps interrupts and frames, and waits for a ``watch``."""
    record: Record = "counters" if watch is None else "journeys"
    machine = Machine(replace(config, record=record, capture=True), watch)
    machine.run()
    return machine


def predicted(machine: Machine, test: Test) -> Predicted:
    """What the machine has to say of one test.

    The counters are read when the program has ended, should that be later than recorded.
    """
    begin, end = test.window_ns
    for transcript in machine.transcripts():
        if transcript.name == test.name and transcript.ended_ns is not None:
            end = max(end, transcript.ended_ns + AFTER_NS)
    packets: Sequence[Captured] = machine.captures().get("slirp", ())
    first = bisect_left(packets, begin, key=lambda packet: packet.time)
    last = bisect_left(packets, end, key=lambda packet: packet.time)
    return Predicted(
        out=printed(machine, test.name),
        host_out=printed(machine, f"host:{test.name}"),
        interrupts=interrupts(machine, begin, end),
        packets=list(packets[first:last]),
    )


def printed(machine: Machine, terminal: str) -> dict[str, Any]:
    """The JSON that the program on a terminal printed; empty if none."""
    for transcript in machine.transcripts():
        if transcript.name == terminal:
            for line in transcript.output.decode().splitlines():
                if line.startswith("{"):
                    found: dict[str, Any] = json.loads(line)
                    return found
    return {}


def interrupts(machine: Machine, begin: int, end: int) -> int:
    """How many interrupts of the card the guest took between two instants."""
    record = machine.trace.threads["vcpu"]
    first = bisect_left(record.times, begin)
    last = bisect_left(record.times, end)
    taken = machine.trace.codes.entries(Landmark.INTERRUPT)
    return sum(map(record.codes[first:last].count, taken))
