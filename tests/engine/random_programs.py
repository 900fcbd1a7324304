"""Random programs over every primitive that has a touch point.

One virtual CPU with tasks, soft and hard interrupts, a tick and timers of its own; a main
loop with timers; two host threads. Each runs a list of operations drawn from a seed; costs
are zero, mixed or never zero. Whatever two of them share is a plain counter that is read,
noted and changed behind its touch point and nowhere else, so a run in which one
of them came too early leaves a different trace.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from desim.costs.profile import Cost, Profile
from desim.engine.instrument import Instrument
from desim.engine.simpy_environment import SimPyEnvironment
from desim.engine.thread import Thread
from desim.engine.trace import Fingerprint, Trace
from desim.guest.cpu.context import JIFFY_NS, NET_RX_SOFTIRQ
from desim.guest.cpu.rcu import Rcu
from desim.guest.cpu.sched import KThread, Scheduler
from desim.guest.cpu.softirqs import Softirqs
from desim.guest.cpu.workqueue import Workqueue
from desim.machine.threads.big_lock import BigLock
from desim.machine.threads.main_loop import MainLoop
from desim.machine.threads.vcpu import Vcpu
from desim.userland.waitqueue import WaitQueue

END_NS = 3_000
COSTS = (0, 1, 2, 5, 17, 50)
MARKED = (MainLoop, Vcpu, Scheduler, Softirqs, Rcu, Workqueue)
"""The classes whose stages take time in a program."""


class Program:
    """One random machine. ``run`` gives the fingerprint of what it did."""

    def __init__(self, seed: int, *, strict: bool, without: tuple[str, ...] = ()) -> None:
        self.env = env = SimPyEnvironment(strict=strict, without=without)
        self.trace = Trace()
        self.codes = self.trace.codes
        self.random = random.Random(seed)
        self.costs = seed % 3
        self.touch = env.touch_point
        build = Instrument(env, self.codes, self.profile())
        self.lock = BigLock(env)
        self.loop = build(MainLoop)(env, self.lock)
        self.loop.poller = self
        self.loop.sources.append(self)
        self.cells = dict.fromkeys(("dma", "host", "task", "soft", "user"), 0)
        self.timers = [
            self.loop.timers.timer(f"t{i}", partial(self.note, f"timer {i}")) for i in range(2)
        ]
        self.vcpu = build(Vcpu)(
            env=env,
            rank=10,
            codes=self.codes,
            clock=self.loop.timers,
            jiffies_zero_ns=self.random.randrange(END_NS) - JIFFY_NS,
            build=build,
        )
        self.vcpu.handler = self.interrupt
        self.vcpu.open_softirq(NET_RX_SOFTIRQ, self.softirq)
        self.owned = False
        self.backlog = 0
        self.queue = WaitQueue("random")
        self.tasks = [
            KThread(f"task{i}", self.body(f"task{i}", self.task_ops(), 25)) for i in range(3)
        ]
        self.fresh = [KThread(f"woken{i}", partial(self.woken, i)) for i in range(3)]
        self.vcpu.boot = self.boot
        bodies = [
            self.main,
            self.body("a", self.host_ops(), 40),
            self.body("b", self.host_ops(), 40),
        ]
        threads = [self.vcpu.thread]
        for rank, (name, body) in enumerate(zip(("main", "a", "b"), bodies, strict=True), 11):
            threads.append(Thread(env, name, rank, body, self.codes))
        for thread in threads:
            self.trace.follow(thread)
        self.draws = {name: random.Random(f"{seed} {name}") for name in ("irq", "soft", "poll")}

    def run(self) -> Fingerprint:
        """Run for a while of virtual time."""
        self.env.run(until=END_NS)
        self.trace.finish(self.env.threads, before=END_NS)
        self.env.close()
        return self.trace.fingerprint()

    def profile(self) -> Profile:
        """What the stages of main loop and virtual CPU cost in this program."""
        draw = random.Random(self.random.random())
        marks = [mark for cls in MARKED for mark in cls.STAGES.values()]
        costs = {
            (mark.file, name): Cost(enter=draw.choice(COSTS), leave=draw.choice(COSTS))
            for mark in marks
            for name in mark.names
            if self.costs and draw.random() < 0.7
        }
        return Profile("random", "", "assumed", costs)

    # --- what operations are made of

    def note(self, what: str, value: object = None) -> None:
        thread = self.env.running
        assert thread is not None
        thread.note(what, value)

    def cost(self, draw: random.Random) -> None:
        thread = self.env.running
        assert thread is not None
        if self.costs == 0 or (self.costs == 1 and draw.random() < 0.5):
            thread.charge(0)
        else:
            thread.charge(draw.choice(COSTS))

    def use(self, point: str, cell: str) -> None:
        """Read, note and change a shared counter behind its touch point."""
        self.touch(point)()
        self.note(point, self.cells[cell])
        self.cells[cell] += 1

    def locked(self, draw: random.Random, inside: Callable[[], None]) -> None:
        self.lock.acquire()
        self.note("locked")
        self.cost(draw)
        inside()
        self.cost(draw)
        self.lock.release()

    def device(self, draw: random.Random, inside: Callable[[], None]) -> None:
        """A device access of the virtual CPU: no interrupt from the lock's queue on."""
        thread = self.vcpu.thread
        self.lock.meet()
        was_on, thread.irqs_on = thread.irqs_on, False
        self.lock.take()
        self.note("device")
        self.cost(draw)
        inside()
        self.cost(draw)
        self.lock.release()
        thread.irqs_on = was_on
        if was_on and thread.irq_pending:
            thread.meet()

    def raise_line(self) -> None:
        self.touch("irq_line")()
        self.note("line", self.vcpu.pin.level)
        self.vcpu.pin.set_level(True)

    def arm(self, draw: random.Random) -> None:
        now = self.env.time()
        timer = draw.choice(self.timers)
        self.cost(draw)
        if draw.random() < 0.5:
            timer.cancel()
        else:
            timer.arm(now + draw.choice((0, 3, 20, 40)))

    # --- the threads

    def body(
        self, name: str, operations: list[Callable[[random.Random], None]], count: int
    ) -> Callable[[], None]:
        draw = random.Random(self.random.random())

        def run() -> None:
            for _ in range(count):
                self.cost(draw)
                draw.choice(operations)(draw)

        return run

    def host_ops(self) -> list[Callable[[random.Random], None]]:
        return [
            lambda draw: self.socket(),
            lambda draw: self.locked(draw, self.raise_line),
            lambda draw: self.locked(draw, lambda: self.use("dma", "dma")),
            lambda draw: self.locked(draw, lambda: self.arm(draw)),
            lambda draw: self.loop.notify(),
            lambda draw: self.use("user", "user"),
        ]

    def socket(self) -> None:
        self.use("host_socket", "host")
        if self.ready():
            self.loop.on_ready()

    def task_ops(self) -> list[Callable[[random.Random], None]]:
        return [
            lambda draw: self.device(draw, lambda: self.use("dma", "dma")),
            lambda draw: self.device(draw, lambda: self.arm(draw)),
            lambda draw: self.device(draw, self.loop.notify),
            self.read_descriptor,
            self.own_socket,
            self.no_softirqs,
            self.no_interrupts,
            lambda draw: self.vcpu.wake_task(draw.choice(self.fresh)),
            lambda draw: self.use("user", "user"),
            lambda draw: self.note("now", self.vcpu.now()),
            self.sleep,
        ]

    def sleep(self, draw: random.Random) -> None:
        """A timer of high resolution: QEMU's main loop fires it."""
        now = self.vcpu.now()
        self.vcpu.call_at(now + draw.choice((0, 3, 20, 40)), partial(self.note, "slept", now))

    def boot(self) -> None:
        for task in self.tasks:
            self.vcpu.wake_task(task)

    def woken(self, number: int) -> None:
        self.note("runs", number)

    def read_descriptor(self, draw: random.Random) -> None:
        self.touch("desc_status")()
        self.note("status", self.cells["dma"])

    def own_socket(self, draw: random.Random) -> None:
        self.touch("lock_sock")()
        self.owned = True
        self.cost(draw)
        self.cost(draw)
        self.touch("release_sock")()
        self.note("backlog", self.backlog)
        self.owned, self.backlog = False, 0

    def no_softirqs(self, draw: random.Random) -> None:
        self.vcpu.local_bh_disable()
        self.note("soft", self.cells["soft"])
        self.cost(draw)
        self.note("soft", self.cells["soft"])
        self.vcpu.local_bh_enable()

    def no_interrupts(self, draw: random.Random) -> None:
        self.vcpu.local_irq_disable()
        self.note("hard", self.cells["task"])
        self.cost(draw)
        self.note("hard", self.cells["task"])
        self.vcpu.local_irq_enable()

    def interrupt(self) -> bool:
        draw = self.draws["irq"]
        self.cost(draw)
        self.cells["task"] += 1
        self.device(draw, lambda: self.vcpu.pin.set_level(False))
        self.vcpu.raise_softirq(NET_RX_SOFTIRQ)
        self.cost(draw)
        if draw.random() < 0.5:
            self.vcpu.wake_task(draw.choice(self.fresh))
        return True

    def softirq(self) -> None:
        draw = self.draws["soft"]
        self.cost(draw)
        self.cells["soft"] += 1
        if self.owned:
            self.backlog += 1
        self.note("softirq", self.owned)
        self.read_descriptor(draw)
        self.cost(draw)
        if draw.random() < 0.5:
            self.vcpu.wake_task(draw.choice(self.fresh))

    def main(self) -> None:
        self.loop.main()

    # --- the main loop's source and poller

    def pollfds_fill(self) -> int:
        return 1

    def ready(self) -> bool:
        return self.cells["host"] % 3 == 0

    def collect(self) -> None:
        self.note("collect", self.cells["host"])
        if self.ready():
            self.cells["host"] += 1

    def pollfds_poll(self) -> None:
        draw = self.draws["poll"]
        self.cost(draw)
        self.use("host_socket", "host")
        self.cost(draw)
        if draw.random() < 0.5:
            self.use("dma", "dma")
            self.cost(draw)
            self.raise_line()
        if draw.random() < 0.3:
            self.arm(draw)
        # Passes that cost nothing must not circle: real ones sleep sooner or later.
        thread = self.env.running
        assert thread is not None
        thread.charge(7)
