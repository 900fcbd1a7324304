"""One machine and its run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from desim.config import MachineConfig, RunCommand
from desim.costs.profile import load
from desim.engine.environment import Environment
from desim.engine.instrument import Instrument, Watcher
from desim.engine.marks import CODE_MASK
from desim.engine.streams import Streams
from desim.engine.thread import FIRST_RANK, Thread
from desim.engine.trace import Trace
from desim.errors import EngineError, OverBudgetError, UserError
from desim.events import FrameTaken
from desim.guest.mm.memory import Memory
from desim.host.kernel import TOUCH_POINT as HOST_SOCKET
from desim.host.kernel import HostKernel
from desim.machine import names
from desim.machine.capture import Capture
from desim.machine.conduct import INTERRUPTED, UNTIL, Conductor, Running
from desim.machine.counts import frame_counts
from desim.machine.ctrl_c import ctrl_c
from desim.machine.guest import DHCP_CLIENT, ETH0, Guest, reader
from desim.machine.kit import Kit
from desim.machine.monitor import Monitor
from desim.machine.ports import Recorder
from desim.machine.qemu import IRQ_LINE, Qemu
from desim.machine.threads.big_lock import BigLock
from desim.machine.threads.host import HostScheduler, HostTick
from desim.machine.threads.main_loop import MainLoop
from desim.machine.threads.tasks import ProcessTask
from desim.machine.threads.vcpu import Vcpu
from desim.spool import Blobs, Spool
from desim.userland.files import Quota, Terminal, VirtualTree
from desim.userland.process import Process
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.programs.dmesg import dmesg_line
from desim.userland.shell import parse
from desim.wire.addresses import ip_text, mac_text, prefix_from_mask

VCPU_RANK = FIRST_RANK
MAIN_RANK = FIRST_RANK + 1
FIRST_HOST_RANK = FIRST_RANK + 2
PIPELINE = 1 << 10
FIRST_CHILD_RANK = FIRST_HOST_RANK + (PIPELINE << 20)
"""At one instant the guest's processor goes first, then QEMU's main loop, then the host programs
in the order of the scenario's commands (each command has a band of ranks for its pipeline), then
what else runs on the host. So nobody's rank depends on how many others there are."""
MEMORY_BYTES = 256 << 20
BOOT = "guest console"
MONITOR = "monitor"
LAST_MARKS = 12
PROGRESS_NS = 100_000_000


class Transcript(NamedTuple):
    """One terminal: what was typed, when, what it showed, and how it ended."""

    side: str
    """Where it is: ``guest``, ``host``, or ``QEMU`` for its monitor."""
    name: str
    prompt: str
    command: str
    started_ns: int
    ended_ns: int | None
    status: int | None
    output: bytes
    measured: tuple[Mapping[str, Any], ...] = ()
    """What measuring programs have found, in order of their ends."""


class Machine:
    """Everything of one run. ``watch`` makes it a run with a breakpoint, ``without``
    takes touch points away (see ``Environment``).

    After ``run``: ``ended`` (why), ``end_ns`` (when), ``trace``, and what the methods
    give. Raises ``ProfileError`` for a bad cost profile, ``UserError`` for a
    configuration that the host refuses.
    """

    def __init__(
        self,
        config: MachineConfig,
        watch: Watcher | None = None,
        *,
        without: Iterable[str] = (),
    ) -> None:
        self.config = config
        self.ended = ""
        self.end_ns = 0
        self.failed = False
        self._spent = False
        """It has run, or was closed."""
        self._power_on(watch, without)
        self._set_up_host()
        self._set_up_processor()
        self._start_qemu()
        self._install_guest()
        self._start_threads()
        self._open_monitor()
        self._call_conductor()

    # --- the parts, each made of those in front of it

    def _power_on(self, watch: Watcher | None, without: Iterable[str]) -> None:
        """Time, costs, the trace, chance: what every part is given."""
        config = self.config
        self.profile = load(config.costs).in_ns(config.icount_shift or 0)
        self.env = Environment(
            strict=config.strict, without=without, event_limit=config.limits.events
        )
        limits = config.limits
        self.spool = Spool()
        self.trace = Trace(record=config.record, max_marks=limits.marks, spool=self.spool)
        self.kit = Kit(
            env=self.env,
            build=Instrument(self.env, self.trace.codes, self.profile, watch, config.record),
            recorder=Recorder(
                self.env,
                record=config.record,
                capture=config.capture,
                max_frames=limits.frames,
                max_notes=limits.notes,
                spool=self.spool,
            ),
            streams=Streams(config.seed, config.boot.draws),
        )
        self.recorder = self.kit.recorder
        self._quota = Quota(config.limits.output_bytes)
        self._trees = {side: VirtualTree(self._quota, self.spool) for side in ("guest", "host")}

    def _set_up_host(self) -> None:
        """The host's kernel; its programs start later."""
        env, build = self.env, self.kit.build
        self.scheduler = HostScheduler(env, self.trace.codes, build)
        self.host = build(HostKernel)(
            now=env.time,
            timer=self._host_timer,
            wake_up=self.scheduler.wake_up,
            random=self.kit.streams,
            touch=env.touch_point(HOST_SOCKET),
            files=reader(self.config.host_files),
            tree=self._trees["host"],
            observer=self.recorder.connections(),
        )
        self._unseen = self._terminal("unseen")
        self._jobs: list[tuple[RunCommand, Terminal, list[Process]]] = []
        self._children: list[Running] = []
        self._lines: dict[Process, list[Running]] = {}
        """What a program starts runs with its command line's, for the conductor."""
        self._next_rank = FIRST_CHILD_RANK

    def _host_timer(self, name: str, fire: Callable[[], None]) -> HostTick:
        return HostTick(
            self.env,
            self.trace.codes,
            rank=self._rank,
            follow=self.trace.follow,
            name=name,
            fire=fire,
        )

    def _rank(self) -> int:
        """A rank behind all that were given, and behind those of all commands."""
        self._next_rank += 1
        return self._next_rank - 1

    def _set_up_processor(self) -> None:
        """QEMU's main loop, which serves the local timer; the virtual CPU, and its memory."""
        self.loop = self.kit.build(MainLoop)(self.env, BigLock(self.env))
        self.vcpu = self.kit.build(Vcpu)(
            env=self.env,
            rank=VCPU_RANK,
            codes=self.trace.codes,
            clock=self.loop.timers,
            jiffies_zero_ns=self.config.boot.jiffies_zero_ns,
            switched=self.recorder.switches(),
            build=self.kit.build,
        )
        self.memory = Memory(MEMORY_BYTES, taken=self.recorder.noter(FrameTaken))

    def _start_qemu(self) -> None:
        """Main loop, network and card."""
        self.qemu = Qemu(
            self.config,
            self.kit,
            loop=self.loop,
            host=self.host,
            vcpu=self.vcpu,
            memory=self.memory,
            start=self._start_child,
            terminal=self._unseen,
        )

    def _install_guest(self) -> None:
        """Driver, network stack and kernel on the virtual CPU."""
        self.console = self._terminal(BOOT)
        self.guest = Guest(
            self.config,
            self.kit,
            vcpu=self.vcpu,
            mmio=self.qemu.mmio,
            irq=IRQ_LINE,
            memory=self.memory,
            tree=self._trees["guest"],
            console=self.console,
        )

    def _start_threads(self) -> None:
        """QEMU's two threads, and the host's name server if there is one."""
        self.guest.kernel.start_child = self._start_forked_in_guest
        self.host.start_child = self._start_forked
        main = Thread(self.env, "main", MAIN_RANK, self.qemu.loop.main, self.trace.codes)
        self.trace.follow(self.vcpu.thread)
        self.trace.follow(main)
        resolver = names.configure(self.host, self.config.dns, self._unseen)
        if resolver is not None:
            self._start_child(resolver)

    def _open_monitor(self) -> None:
        """QEMU's monitor, and what will be typed there."""
        config, qemu = self.config, self.qemu
        self.monitor = Monitor(
            config.monitor,
            timers=self.loop.timers,
            terminal=self._terminal(MONITOR),
            net=qemu.net,
            hub=qemu.hub,
            slirp=qemu.slirp,
            user=config.user,
            nic=config.nic,
        )

    def _call_conductor(self) -> None:
        """Who starts the commands, the guest's when it has booted, and ends the run."""
        self.conductor = Conductor(self.env, self, self.config.guest, self.config.host)
        self.guest.power_on(self.conductor.guest_is_up)

    def _terminal(self, name: str) -> Terminal:
        return Terminal(name, now=self.env.time, quota=self._quota)

    def become(self, config: MachineConfig) -> None:
        """Go on as the machine of ``config``, whose boot is this one (``desim.machine.booted``)."""
        for mine, theirs in (
            (self.config.guest_files, config.guest_files),
            (self.config.host_files, config.host_files),
        ):
            mine.clear()
            mine.update(theirs)
        # Programs have been given those very dicts.
        self.config = replace(
            config, guest_files=self.config.guest_files, host_files=self.config.host_files
        )

    def run(
        self,
        progress: Callable[[int], None] | None = None,
        interrupted: Callable[[], None] | None = None,
    ) -> None:
        """Run to the end. Ctrl-C ends the run early, and so does a limit (``failed``);
        ``ended`` says so, and what there is can be looked at. ``interrupted`` is called as soon
        as Ctrl-C is pressed.

        Raises ``UserError`` for a machine that has run, or has been closed, and when the
        temporary folder has no room for what does not stay in memory (``desim.spool``)."""
        if self._spent:
            raise UserError("a machine runs once, and this one has; put another one together")
        self._spent = True
        env = self.env
        in_the_middle = False
        try:
            if progress is not None:
                env.call_at(env._now, self._report, progress)
            with ctrl_c(env, interrupted):
                self.ended = env.run_to(self.config.until_ns) or UNTIL
        except KeyboardInterrupt:
            self.ended = INTERRUPTED
        except EngineError as error:
            self.ended, self.failed = f"stopped: {error}", True
            in_the_middle = isinstance(error, OverBudgetError)
        except UserError:  # no room for what the run keeps, say: no fault of the model
            raise
        except Exception as error:
            error.add_note(self._beside() if _of_an_event(error) else self._model_error())
            raise
        self.end_ns = env._now
        self.trace.finish(env.threads, before=self.end_ns)
        self.recorder.finish(self.trace, self.end_ns)
        self.close()
        if in_the_middle:  # a filter may have had several frames in its hands
            return
        self.recorder.under_way.check(
            self.qemu.net.queued(), in_hand=self.qemu.lock.owner is not None
        )

    def close(self) -> None:
        """End all threads; nothing of them runs afterwards."""
        self._spent = True
        self.env.close()

    def _instant(self) -> str:
        now = self.env._now
        return f"at {now // 10**9}.{now % 10**9:09d} s of virtual time"

    def _beside(self) -> str:
        """When a process failed that somebody runs beside the machine."""
        return f"in a process beside the machine, {self._instant()}"

    def _model_error(self) -> str:
        """Where a fault of the model showed, and how to see it again."""
        lines = [f"a fault of the model, {self._instant()}"]
        for thread in self.env.threads:
            last = [mark for mark in thread.marks[-LAST_MARKS:] if not mark & 1]
            names = ", ".join(self.trace.codes.name(mark & CODE_MASK) for mark in last)
            lines.append(f"  {thread.name} last entered: {names or 'nothing of late'}")
        config = self.config
        lines.append(f"replay: desim run {config.name} --seed {config.seed} --costs {config.costs}")
        return "\n".join(lines)

    def _report(self, progress: Callable[[int], None]) -> None:
        progress(self.env._now)
        self.env.call_in(PROGRESS_NS, self._report, progress)

    # --- for the conductor

    def start(self, command: RunCommand) -> list[Running]:
        """Start the processes of a command at the current instant."""
        terminal = self._terminal(command.terminal)
        table = GUEST_PROGRAMS if command.side == "guest" else HOST_PROGRAMS
        kernel = self.guest.kernel if command.side == "guest" else self.host
        processes = kernel.spawn(parse(command.command, table), terminal)
        self._jobs.append((command, terminal, processes))
        running: list[Running] = []
        self._lines |= dict.fromkeys(processes, running)
        if command.side == "guest":
            task_of = partial(self.kit.build(ProcessTask), ready_ns=command.ready_ns)
            tasks = [task_of(self.vcpu, kernel, p) for p in processes]
            for task in tasks:
                self.vcpu.arrive(task)
            running += tasks
            return running
        rank = FIRST_HOST_RANK + PIPELINE * self.config.host.index(command)
        for number, process in enumerate(processes):
            started = self.scheduler.start(kernel, process, rank + number)
            self.trace.follow(started.thread)
            running.append(started)
        return running

    def _start_forked_in_guest(self, process: Process) -> None:
        """A program of the guest has started another one: on the vCPU's thread."""
        task = self.kit.build(ProcessTask)(self.vcpu, self.guest.kernel, process)
        self._join(process, task)
        self.vcpu.sched.enqueue(task, new=True)

    def _start_forked(self, process: Process) -> None:
        """A program of the host has started another one: behind all that were started."""
        task = self.scheduler.start(self.host, process, self._rank())
        self.trace.follow(task.thread)
        self._join(process, task)

    def _join(self, process: Process, task: Running) -> None:
        """A child belongs to its parent's command line."""
        assert process.parent is not None, f"{process!r} is no child"
        line = self._lines[process.parent]
        self._lines[process] = line
        line.append(task)

    def _start_child(self, process: Process) -> None:
        """Run a program that no command of the scenario started, behind all that some did."""
        task = self.scheduler.start(self.host, process, self._rank())
        self._children.append(task)
        self._lines[process] = self._children
        self.trace.follow(task.thread)

    def at_rest(self) -> bool:
        """Nothing is in motion: vCPU halted, main loop asleep in poll, no host program runs."""
        return (
            self.env.idle()
            and not self.monitor.pending
            and self.vcpu.at_rest()
            and self.qemu.loop.polling
            and not self.qemu.sockets.ready()
            and all(
                not thread.is_alive or thread.waiting is not None for thread in self.env.threads
            )
        )

    def nothing_left(self) -> bool:
        """At rest, and only periodic timers are armed."""
        slirp = self.qemu.slirp
        return (
            self.vcpu.idle()
            and self.guest.stack.idle()
            and not self.guest.unpolled()
            and not self.qemu.loop.timers.waiting()
            and self.qemu.net.filters_keep_nothing()
            and (slirp is None or slirp.idle())
            and self.host.net.timers.next_ns() is None
            and all(c.process.ended_ns is not None or c.waits_for_input for c in self._children)
        )

    # --- what is left after the run

    def files(self) -> Blobs:
        """What programs wrote, by name below ``guest/`` and ``host/``."""
        return Blobs(
            {
                f"{side}/{name}": file.log
                for side, tree in self._trees.items()
                for name, file in sorted(tree.files.items())
            }
        )

    def captures(self) -> dict[str, Capture]:
        """The packets of each capture point."""
        return self.recorder.captures

    def transcripts(self) -> list[Transcript]:
        """The terminals: the guest's boot, then the commands in order of their start."""
        shown = []
        if self.guest.driver is not None:
            log = "".join(dmesg_line(t, line) for t, line in self.guest.log.lines)
            loading = " ".join(["insmod", *self.guest.modprobe.words])
            shown.append(
                Transcript(
                    "guest",
                    BOOT,
                    "guest",
                    f"{loading}; ip link set {ETH0} up; {DHCP_CLIENT}",
                    0,
                    self.guest.up_ns,
                    None if self.guest.up_ns is None else 0,
                    log.encode() + self.console.output(),
                )
            )
        if self.config.monitor:
            instants = [command.at_ns for command in self.config.monitor]
            done = None if self.monitor.pending else max(instants)
            output = self.monitor.terminal.output()
            commands = f"{len(instants)} command{'s' * (len(instants) != 1)}"
            status = None if done is None else 0
            shown.append(
                Transcript("QEMU", MONITOR, "qemu", commands, min(instants), done, status, output)
            )
        for command, terminal, processes in self._jobs:
            last = processes[-1]
            ended = [p.ended_ns for p in processes]
            shown.append(
                Transcript(
                    command.side,
                    terminal.queue.name,
                    command.side,
                    command.command,
                    processes[0].started_ns,
                    None if None in ended else max(e for e in ended if e is not None),
                    None if None in ended else last.shell_status,
                    terminal.output(),
                    tuple(found for process in processes for found in process.measured),
                )
            )
        return shown

    def frame_counts(self) -> dict[str, Any]:
        """How many frames crossed, were lost, had to wait, were made (``desim.machine.counts``)."""
        return frame_counts(self.trace, self.recorder.passed)

    def outside(self) -> list[str]:
        """Addresses outside of the modelled host that the guest or a program wanted to reach."""
        return [ip_text(address) for address in self.host.net.outside]

    def guest_summary(self) -> dict[str, Any] | None:
        """The guest's interface, or None without one."""
        for found in self.guest.stack.interfaces():
            if found.name == ETH0:
                return {
                    "interface": ETH0,
                    "mac": mac_text(found.mac),
                    "address": ip_text(found.inet) if found.inet else None,
                    "prefix": prefix_from_mask(found.mask) if found.mask else None,
                    "carrier": found.carrier,
                    "rx_packets": found.rx_packets,
                    "tx_packets": found.tx_packets,
                }
        return None


def _of_an_event(error: Exception) -> bool:
    """Whether an event failed, and nobody dealt with that: it is raised anew by SimPy's rules.

    The machine has no events that fail; those of processes that somebody put beside it do.
    """
    cause = error.__cause__
    return type(cause) is type(error) and cause.args == error.args
