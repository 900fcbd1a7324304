"""A run: its machines, the host around them, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from desim.config import MachineConfig, QemuConfig, RunCommand
from desim.costs.profile import load
from desim.data import replace
from desim.engine.alarm import Alarm
from desim.engine.environment import Environment
from desim.engine.instrument import Instrument
from desim.engine.marks import CODE_MASK
from desim.engine.streams import Streams
from desim.engine.thread import FIRST_RANK
from desim.engine.trace import Trace
from desim.errors import EngineError, OverBudgetError, UserError
from desim.host.kernel import TOUCH_POINT as HOST_SOCKET
from desim.host.kernel import HostKernel
from desim.machine import names
from desim.machine.capture import Capture
from desim.machine.conduct import INTERRUPTED, UNTIL, Conductor, Running
from desim.machine.counts import frame_counts
from desim.machine.ctrl_c import ctrl_c
from desim.machine.guest import reader
from desim.machine.kit import Kit
from desim.machine.ports import Recorder
from desim.machine.threads.host import HostScheduler, HostTick
from desim.machine.threads.tasks import ProcessTask
from desim.machine.vm import Transcript, Vm
from desim.spool import Blobs, Spool
from desim.userland.files import Quota, Terminal, VirtualTree
from desim.userland.process import Process
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.shell import parse
from desim.wire.addresses import ip_text
from desim.wire.frame import Frame

if TYPE_CHECKING:
    from desim.engine.watched import Watcher
    from desim.machine.leap import Leap

VCPU_RANK = FIRST_RANK
MAIN_RANK = FIRST_RANK + 1
FIRST_HOST_RANK = FIRST_RANK + 2
PIPELINE = 1 << 10
FIRST_CHILD_RANK = FIRST_HOST_RANK + (PIPELINE << 20)
"""At one instant the guest's processor goes first, then QEMU's main loop, then the host programs
in the order of the scenario's commands (each command has a band of ranks for its pipeline), then
what else runs on the host. So nobody's rank depends on how many others there are."""
FIRST_OTHER_RANK = 1 << 45
"""Behind all of them come the other machines, in their order: processor, then main loop."""
LAST_MARKS = 12
PROGRESS_NS = 100_000_000


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
        self._places = _places(config)
        self.ended = ""
        self.end_ns = 0
        self.failed = False
        self._spent = False
        """It has run, or was closed."""
        self._power_on(watch, without)
        self._set_up_host()
        self._build_machines()
        self._start_threads()
        self._open_monitors()
        self._call_conductor()
        self._watch_rounds()

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

    def _build_machines(self) -> None:
        """All QEMUs with their guests, in order; the first is there by its parts, too."""
        self.vms: list[Vm] = []
        self._by_name: dict[str, Vm] = {}
        for number, config in enumerate((self.config, *self.config.others)):
            vm = self._by_name[config.machine] = self._vm(number, config)
            self.vms.append(vm)
        self.vm = self.vms[0]
        self.loop, self.vcpu, self.memory = self.vm.loop, self.vm.vcpu, self.vm.memory
        self.qemu, self.guest, self.console = self.vm.qemu, self.vm.guest, self.vm.console

    def _vm(self, number: int, config: QemuConfig) -> Vm:
        kit, ranks = self.kit, (VCPU_RANK, MAIN_RANK)
        if number:
            name, first = config.machine, FIRST_OTHER_RANK + 2 * number
            streams = Streams(self.config.seed, config.boot.draws, within=f"{name}: ")
            recorder = self.recorder.beside(number)
            kit = Kit(
                kit.env, kit.build, recorder, streams, name, prefix=f"{name} ", point=f"{name}-"
            )
            ranks = (first, first + 1)
            self._trees[name] = VirtualTree(self._quota, self.spool)
        return Vm(
            config,
            kit,
            number=number,
            ranks=ranks,
            host=self.host,
            tree=self._trees[config.machine or "guest"],
            start=self._start_child,
            terminal=self._terminal,
            unseen=self._unseen,
            resolvers=self.config.dns.resolvers,
        )

    def _start_threads(self) -> None:
        """QEMU's two threads, and the host's name server if there is one."""
        self.host.start_child = self._start_forked
        for vm in self.vms:
            vm.guest.kernel.start_child = partial(self._start_forked_in_guest, vm)
            vm.start_threads(self.trace.follow)
        resolver = names.configure(self.host, self.config.dns, self._unseen)
        if resolver is not None:
            self._start_child(resolver)

    def _open_monitors(self) -> None:
        """QEMU's monitors, and what will be typed there."""
        for vm in self.vms:
            vm.open_monitor()

    def _call_conductor(self) -> None:
        """Who starts the commands, the guest's when it has booted, and ends the run."""
        machines = len(self.config.machines)
        self.conductor = Conductor(self.env, self, self.config.commands, machines)
        for vm in self.vms:
            vm.guest.power_on(partial(self.conductor.guest_is_up, vm.config.machine))

    def _watch_rounds(self) -> None:
        """What reports on the way, and what leaves rounds of idle machines out, which only a run
        can do that keeps nothing of them."""
        self._progress: Callable[[int], None] | None = None
        self._reports = Alarm(self.env, self._report, looks=True)
        self.leap: Leap | None = None
        if self.config.record == "none" and self.kit.build.watch is None:
            from desim.machine.leap import Leap  # most runs that people look at keep more

            looks = {self.conductor.check: self.conductor.ask_soon, self._reports: self._report}
            cards = [vm.qemu.mmio for vm in self.vms if vm.qemu.mmio is not None]
            learned = [table for card in cards for table in card.learned]
            but = (self.kit.build, self.trace.codes, *learned)
            self.leap = Leap(self.env, self, but, looks)

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
        self._places = _places(config)

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
                self._progress = progress
                self._reports.set(env._now)
            if self.leap is not None:
                self.leap.begin()
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
        # Of a run that was stopped its last instant has happened: time may stand still there.
        before = self.end_ns + self.failed
        self.trace.finish(env.threads, before=before)
        self.recorder.finish(self.trace, before)
        self.close()
        if in_the_middle:  # a filter may have had several frames in its hands
            return
        queued, in_hand = list[Frame](), 0
        for vm in self.vms:
            queued += vm.qemu.net.queued()
            in_hand += vm.qemu.lock.owner is not None
        self.recorder.under_way.check(
            queued,
            in_hand=in_hand,
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

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self.env._now)
            self._reports.set(self.env._now + PROGRESS_NS)

    # --- for the conductor

    def start(self, command: RunCommand) -> list[Running]:
        """Start the processes of a command at the current instant."""
        terminal = self._terminal(command.terminal)
        vm = self._by_name[command.machine]
        table = GUEST_PROGRAMS if command.side == "guest" else HOST_PROGRAMS
        kernel = vm.guest.kernel if command.side == "guest" else self.host
        processes = kernel.spawn(parse(command.command, table), terminal)
        self._jobs.append((command, terminal, processes))
        running: list[Running] = []
        self._lines |= dict.fromkeys(processes, running)
        if command.side == "guest":
            task_of = partial(self.kit.build(ProcessTask), ready_ns=command.ready_ns)
            tasks = [task_of(vm.vcpu, kernel, p) for p in processes]
            for task in tasks:
                vm.vcpu.arrive(task)
            running += tasks
            return running
        rank = FIRST_HOST_RANK + PIPELINE * self._places[command.terminal]
        for number, process in enumerate(processes):
            started = self.scheduler.start(kernel, process, rank + number)
            self.trace.follow(started.thread)
            running.append(started)
        return running

    def _start_forked_in_guest(self, vm: Vm, process: Process) -> None:
        """A program of a guest has started another one: on the vCPU's thread."""
        task = self.kit.build(ProcessTask)(vm.vcpu, vm.guest.kernel, process)
        self._join(process, task)
        vm.vcpu.sched.enqueue(task, new=True)

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
        """Nothing is in motion: no machine and no program of the host has anything to do."""
        # NOTE: loops, where ``all`` would make a generator and a call for each: a run that waits
        # asks ten times a second (3 calls less each time).
        rests = self.env.idle()
        for vm in self.vms:
            rests = rests and vm.at_rest()
        for thread in self.env.threads:
            rests = rests and not (thread.is_alive and thread.waiting is None)
        return rests

    def rests(self) -> bool:
        """Nothing is in motion, the run is not over, and until a timer fires nothing will be."""
        awake = any(thread.is_alive and thread.waiting is None for thread in self.env.threads)
        quiet = self.env.idle() and not awake and all(vm.quiet() for vm in self.vms)
        return quiet and self.conductor.reason() is None

    def deadlines(self) -> list[int]:
        """When each timer of QEMUs and guests fires (ns)."""
        return [instant for vm in self.vms for instant in vm.deadlines()]

    def next_tick(self) -> int | None:
        """When the first timer of a guest's wheel fires (ns); None: none is armed."""
        return min((d for vm in self.vms for d in vm.vcpu.wheel_deadlines()), default=None)

    def booted(self) -> None:
        """All guests have booted: what that has recorded is handed in.

        By every run, so that each hands in at the same marks, whether it goes on from a boot or
        not: a limit is looked at then. What a thread has done ahead of time may still be moved by
        an interrupt.
        """
        env = self.env
        self.trace.collect([thread for thread in env.threads if thread.now <= env._now])

    def nothing_left(self) -> bool:
        """At rest, and only periodic timers are armed."""
        return (
            all(vm.nothing_left() for vm in self.vms)
            and self.host.net.timers.next_ns() is None
            and all(c.process.ended_ns is not None or c.waits_for_input for c in self._children)
        )

    # --- what is left after the run

    def files(self) -> Blobs:
        """What programs wrote, by name below ``guest/``, ``host/`` and the names of machines."""
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
        """The terminals: the guests' boots, monitors, then the commands in order of their start."""
        own = [vm.boot_transcript() for vm in self.vms]
        own += [vm.monitor_transcript() for vm in self.vms]
        shown = [transcript for transcript in own if transcript is not None]
        for command, terminal, processes in self._jobs:
            last = processes[-1]
            ended = [p.ended_ns for p in processes]
            shown.append(
                Transcript(
                    command.side,
                    terminal.queue.name,
                    command.machine or command.side,
                    command.command,
                    processes[0].started_ns,
                    None if None in ended else max(e for e in ended if e is not None),
                    None if None in ended else last.shell_status,
                    terminal.output(),
                    tuple(found for process in processes for found in process.measured),
                    command.machine,
                )
            )
        return shown

    def frame_counts(self) -> dict[str, Any]:
        """How many frames crossed, were lost, had to wait, were made (``desim.machine.counts``)."""
        return frame_counts(self.trace, self.recorder.passed)

    def outside(self) -> list[str]:
        """Addresses outside of the modelled host that the guest or a program wanted to reach."""
        return [ip_text(address) for address in self.host.net.outside]

    def guest_summaries(self) -> dict[str, dict[str, Any] | None]:
        """The interface of each guest, by the machine's name."""
        return {name: vm.guest_summary() for name, vm in self._by_name.items()}

    def guest_summary(self) -> dict[str, Any] | None:
        """The first guest's interface, or None without one."""
        return self.vm.guest_summary()


def _of_an_event(error: Exception) -> bool:
    """Whether an event failed, and nobody dealt with that: it is raised anew by SimPy's rules.

    The machine has no events that fail; those of processes that somebody put beside it do.
    """
    cause = error.__cause__
    return type(cause) is type(error) and cause.args == error.args


def _places(config: MachineConfig) -> dict[str, int]:
    """Where each of the host's commands stands among them, by its terminal, which it has alone."""
    # NOTE: to look for each as it starts takes time that grows with the square of their number.
    return {command.terminal: place for place, command in enumerate(config.host)}
