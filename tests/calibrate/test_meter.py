"""What the processor passed between two points of a run is counted, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from desim.calibrate.meter import Meter
from desim.costs.profile import Cost, Profile
from desim.engine.instrument import Instrument
from desim.engine.simpy_environment import SimPyEnvironment
from desim.engine.thread import Thread
from desim.engine.trace import Trace
from desim.stages import GUEST, QEMU, Landmark, mark, stages

FILE = "fake/guest.c"
COSTS = {(FILE, "work"): Cost(enter=100, per_1000_bytes=1000)}


class Guest:
    STAGES = stages(
        GUEST,
        work=mark("work", file=FILE, size="data"),
        rest=mark("rest", file=FILE),
        card=mark("emulated", file="hw/net/fake_card.c", owner=QEMU),
        clock=mark("clock", file=FILE, landmark=Landmark.CLOCK_READ),
    )

    def work(self, data: bytes) -> None:
        """Takes time."""

    def rest(self) -> None:
        """Takes none."""

    def card(self) -> None:
        """QEMU's part."""

    def clock(self) -> None:
        """What programs read."""


def metered(body: Callable[[Guest], object], *, thread: str = "vcpu", points: str = "") -> Meter:
    env, trace = SimPyEnvironment(), Trace()
    meter = Meter(frozenset(points.split()))
    guest = Instrument(env, trace.codes, Profile("test", "", "assumed", COSTS), meter)(Guest)()
    trace.follow(Thread(env, thread, 10, lambda: body(guest), trace.codes))
    env.run()
    return meter


def test_between_two_readings_of_the_clock_each_stage_is_counted_with_its_bytes() -> None:
    def body(guest: Guest) -> None:
        guest.work(bytes(7))
        guest.clock()
        guest.work(bytes(1000))
        guest.work(bytes(500))
        guest.rest()
        guest.clock()

    meter = metered(body)
    first, last = meter.readings
    assert last.time - first.time == 200 + 1500
    assert meter.between(first, last) == {
        (FILE, "work", "enter"): 2,
        (FILE, "work", "per_1000_bytes"): 1500,
        (FILE, "rest", "enter"): 1,
        (FILE, "clock", "enter"): 1,
    }


def test_points_are_read_before_they_are_counted_and_when_they_are_left() -> None:
    meter = metered(lambda guest: guest.work(b""), points="work")
    entered, left = meter.readings
    assert (entered.what, left.what) == ("work>", "work<")
    assert meter.between(entered, left) == {(FILE, "work", "enter"): 1}
    assert left.time - entered.time == 100


def test_what_qemu_does_is_not_the_guests() -> None:
    meter = metered(lambda guest: (guest.clock(), guest.card(), guest.clock()))
    assert meter.between(*meter.readings) == {(FILE, "clock", "enter"): 1}


def test_other_threads_are_not_the_processor() -> None:
    assert metered(lambda guest: guest.clock(), thread="main loop").readings == []


def test_since_leaves_out_what_was_before() -> None:
    meter = metered(lambda guest: (guest.clock(), guest.work(b""), guest.clock()))
    later = meter.since(1)
    assert later.readings == meter.readings[1:]
    assert later.figures == meter.figures
