"""Marked methods are charged and recorded; unmarked and bare ones are left alone."""

import pytest

from desim.costs.profile import Cost, Profile
from desim.engine.instrument import Instrument
from desim.engine.simpy_environment import SimPyEnvironment
from desim.engine.thread import Thread
from desim.engine.trace import Trace
from desim.stages import QEMU, mark, stages

FILE = "test/core.c"


class Core:
    """outer -> middle -> (pass1 -> pass2), with bytes in the last."""

    STAGES = stages(
        QEMU,
        outer=mark("outer", file=FILE),
        middle=mark("middle", file=FILE),
        send=mark(
            "pass1", "pass2", file=FILE, size="data", says=lambda self, data: f"data {data!r}"
        ),
    )

    def outer(self, data):
        self.middle()
        return self.send(data)

    def middle(self):
        return None

    def send(self, data):
        return len(data)

    def unmarked(self):
        return "bare"


COSTS = {
    (FILE, "outer"): Cost(enter=10, leave=1),
    (FILE, "middle"): Cost(enter=100),
    (FILE, "pass1"): Cost(leave=7),
    (FILE, "pass2"): Cost(enter=5, per_1000_bytes=500),
}


def run(body, *, strict=False, watch=None):
    env = SimPyEnvironment(strict=strict)
    trace = Trace()
    build = Instrument(env, trace.codes, Profile("test", "", "assumed", COSTS), watch)
    core = build(Core)()
    thread = Thread(env, "t", 10, lambda: body(core), trace.codes)
    trace.follow(thread)
    env.run()
    trace.finish(env.threads)
    return trace, core, thread


@pytest.mark.parametrize("strict", [False, True])
def test_costs_are_charged_and_spans_nest(strict):
    trace, _, thread = run(lambda core: core.outer(b"x" * 2000), strict=strict)
    record = trace.threads["t"]
    spans = [(trace.codes.name(s.code), s.begin, s.end, s.depth) for s in trace.spans(record)]
    assert spans == [
        ("outer", 0, 1123, 0),
        ("middle", 10, 110, 1),
        ("pass1", 110, 1122, 1),
        ("pass2", 110, 1115, 2),
    ]
    assert thread.value == 2000


def test_outside_of_threads_a_core_just_works():
    env = SimPyEnvironment()
    core = Instrument(env, Trace().codes, Profile("test", "", "assumed", COSTS))(Core)()
    assert core.outer(b"abc") == 3
    assert env.now == 0


def test_a_class_without_marks_stays_itself():
    class Plain:
        pass

    build = Instrument(SimPyEnvironment(), Trace().codes, Profile("none", "", "assumed", {}))
    assert build(Plain) is Plain
    assert build(Core) is build(Core)


def test_the_marks_of_an_overridden_method_are_those_of_the_override():
    class Changed(Core):
        STAGES = stages(QEMU, middle=mark("new_middle", file=FILE))

        def middle(self):
            return None

    trace = Trace()
    env = SimPyEnvironment()
    core = Instrument(env, trace.codes, Profile("none", "", "assumed", {}))(Changed)()
    Thread(env, "t", 10, core.middle, trace.codes)
    env.run()
    assert "new_middle" in trace.codes.names


class Watcher:
    def __init__(self):
        self.stacks = []
        self.said = []

    def entered(self, thread, stack):
        self.stacks.append([s.name for s in stack])
        self.said.append(stack[-1].says())

    def left(self, thread, stage, depth):
        self.stacks.append(f"left {stage.name}")


def test_a_watcher_sees_the_running_threads_own_stack():
    watcher = Watcher()
    run(lambda core: core.outer(b"ab"), watch=watcher)
    assert watcher.stacks == [
        ["outer"],
        ["outer", "middle"],
        "left middle",
        ["outer", "pass1"],
        ["outer", "pass1", "pass2"],
        "left pass2",
        "left pass1",
        "left outer",
    ]
    assert watcher.said == [None, None, "data b'ab'", None], "the first of two names says it"


def test_a_mark_that_takes_its_size_from_nowhere_is_refused():
    class Wrong:
        STAGES = stages(QEMU, wrong=mark("wrong", file=FILE, size="frame"))

        def wrong(self, data):
            return data

    profile = Profile("p", "", "assumed", {(FILE, "wrong"): Cost(per_1000_bytes=1)})
    with pytest.raises(TypeError, match="frame"):
        Instrument(SimPyEnvironment(), Trace().codes, profile)(Wrong)
