"""Laws about the engine: alarms, and threads that charge time lazily."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from desim.engine.alarm import Alarm
from desim.engine.draw import Draw
from desim.engine.environment import Environment
from desim.engine.marks import Codes
from desim.engine.thread import Thread
from desim.laws.law import Run, stated
from desim.laws.parts.draw import drawn

FIRST = 10
"""The lowest rank that a thread may have."""
END_NS = 2_000


@stated(test="tests/engine/test_environment.py", recording="docs/architecture.md, section 2")
def an_alarm_rings_when_it_is_set_for(run: Run) -> Iterator[str]:
    """An alarm rings once, at the instant for which it was set last, and not if it was cleared.

    Alarms that are set, moved and cleared at drawn instants, beside a list.
    """
    draw = drawn(run, "alarm")
    env = Environment()
    rung: list[int] = []
    alarm = Alarm(env, lambda: rung.append(env.time()))
    wanted: list[int] = []
    due: int | None = None
    instant = 0
    for _ in range(30):
        instant += draw.between(1, 20)
        if due is not None and due < instant:
            wanted.append(due)
            due = None
        if due == instant:
            continue  # both happen at once: which is first is no matter of an alarm
        if draw.chance(4):
            env.call_at(instant, lambda _: alarm.clear())
            due = None
        else:
            due = instant + draw.between(1, 60)
            env.call_at(instant, alarm.set, due)
    if due is not None:
        wanted.append(due)
    env.run_to(END_NS)
    if rung != wanted:
        yield f"it rings at {rung}, not at {wanted}"


Told = list[tuple[int, str]]


class _Interrupted:
    """A thread that is interrupted now and then: drawn once, and run as often as one likes."""

    def __init__(self, draw: Draw) -> None:
        self.steps = [(draw.between(0, 9), draw.chance(3)) for _ in range(40)]
        self.costs = [draw.between(0, 12) for _ in range(12)]
        """Of the interrupts; each is over before the next comes."""
        self.gaps = [draw.between(15, 30) for _ in self.costs]

    def run(self, *, strict: bool) -> Told:
        """What was noted, and when."""
        env = Environment(strict=strict)

        def body() -> None:
            for number, (cost, meets) in enumerate(self.steps):
                cpu.charge(cost)
                cpu.note(f"step {number}")
                if meets:
                    cpu.meet()
            cpu.meet()

        def raiser() -> None:
            thread = env.running
            assert thread is not None
            for gap in self.gaps:
                thread.charge(gap)
                thread.meet()
                cpu.irq_pending = True
                cpu.kick()

        def interrupt() -> None:
            cpu.irq_pending = False
            cpu.note("interrupt begins")
            cpu.charge(costs.pop())
            cpu.meet()
            cpu.note("interrupt ends")

        costs = self.costs[::-1]
        cpu = Thread(env, "cpu", FIRST, body, Codes())
        cpu.interrupt, cpu.irqs_on = interrupt, True
        Thread(env, "raiser", FIRST + 1, raiser, Codes())
        env.run_to(END_NS)
        told = [(event[0], event[2]) for event in cpu.events]
        env.close()
        return told

    def wanted(self) -> Told:
        """What should be noted."""
        told: Told = []
        now = at = 0
        interrupts = []
        for gap, cost in zip(self.gaps, self.costs, strict=True):
            at += gap
            interrupts.append((at, cost))
        for number, (cost, _) in enumerate(self.steps):
            now += cost
            while interrupts and interrupts[0][0] < now:
                at, taken = interrupts.pop(0)
                told += [(at, "interrupt begins"), (at + taken, "interrupt ends")]
                now += taken
            told.append((now, f"step {number}"))
        return told


@stated(test="tests/engine/test_strict_law.py", recording="docs/architecture.md, section 2")
def an_interrupt_is_taken_at_its_instant(run: Run) -> Iterator[str]:
    """An interrupt comes behind what its instant has seen, and delays what was charged beyond.

    A thread that charges time lazily notes the same, at the same time, as one that meets the others
    at each charge, and as the sum of all costs says.
    """
    program = _Interrupted(drawn(run, "interrupt"))
    wanted = program.wanted()
    for how, strict in (("lazy", False), ("strict", True)):
        for mine, theirs in zip(program.run(strict=strict), wanted, strict=False):
            if mine != theirs:
                yield f"{how}: {mine[1]} at {mine[0]} ns, not {theirs[1]} at {theirs[0]} ns"
                break


@stated(test="tests/engine/test_environment.py", recording="docs/architecture.md, section 2")
def the_lower_rank_goes_first(run: Run) -> Iterator[str]:
    """Threads that meet the others at one instant go on in the order of their ranks."""
    draw = drawn(run, "ranks")
    env = Environment()
    order: list[tuple[int, int]] = []

    def body(rank: int, costs: list[int]) -> Callable[[], None]:
        def steps() -> None:
            thread = env.running
            assert thread is not None
            for cost in costs:
                thread.charge(cost)
                thread.meet()
                order.append((thread.now, rank))

        return steps

    for rank in range(FIRST, FIRST + 4):
        costs = [draw.between(1, 3) for _ in range(15)]
        Thread(env, f"t{rank}", rank, body(rank, costs), Codes())
    env.run_to(END_NS)
    env.close()
    if order != sorted(order):
        place = next(n for n, one in enumerate(order) if one != sorted(order)[n])
        yield f"at {order[place][0]} ns rank {order[place][1]} is ahead of its turn"


@stated(test="tests/engine/test_environment.py", recording="docs/architecture.md, section 2")
def a_sleep_ends_in_time(run: Run) -> Iterator[str]:
    """A thread that sleeps goes on when it is woken, or at its deadline: whichever is earlier."""
    draw = drawn(run, "sleep")
    env = Environment()
    lengths = [draw.between(5, 60) for _ in range(15)]
    wakes = sorted({draw.between(1, 400) for _ in range(12)})
    ended: list[int] = []

    def sleeper() -> None:
        for length in lengths:
            thread.park("sleep", thread.now + length)
            ended.append(thread.now)

    thread = Thread(env, "sleeper", FIRST, sleeper, Codes())
    for wake in wakes:
        env.call_at(wake, lambda _: thread.wake())
    env.run_to(END_NS)
    env.close()
    wanted: list[int] = []
    now = 0
    for length in lengths:
        now = min([wake for wake in wakes if wake > now] + [now + length])
        wanted.append(now)
    if ended != wanted:
        yield f"sleeps end at {ended}, not at {wanted}"
