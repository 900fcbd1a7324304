"""Marked methods are charged and recorded; unmarked and bare ones are left alone."""

import pytest

from desim.costs.profile import Cost, Profile
from desim.engine import wrappers
from desim.engine.instrument import Instrument
from desim.engine.simpy_environment import SimPyEnvironment
from desim.engine.thread import Thread
from desim.engine.trace import Trace
from desim.stages import QEMU, Landmark, mark, stages

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


class Packet:
    def __init__(self, raw):
        self.raw = raw


class Shapes:
    """Methods of many shapes: with defaults, names only, sizes of several kinds, that raise."""

    STAGES = stages(
        QEMU,
        plain=mark("plain", file=FILE),
        defaults=mark("defaults", file=FILE),
        named=mark("named", file=FILE, size="data"),
        attribute=mark("attribute", "inner", file=FILE, size="packet.raw"),
        left_out=mark("left_out", file=FILE, size="data"),
        left_out_too=mark("left_out_too", file=FILE, size="data"),
        fails=mark("fails", file=FILE),
        free=mark("free", "as_free", file=FILE),
        idle=mark("idle", file=FILE, landmark=Landmark.IDLE),
    )

    def plain(self):
        return self.free()

    def defaults(self, first, second=2, *, third=3):
        return first, second, third

    def named(self, *, data):
        return len(data)

    def attribute(self, first, packet):
        return self.defaults(first, third=packet.raw)

    def left_out(self, first, data=b"123", last=b""):
        return len(data)

    def left_out_too(self, *, data=b"1234"):
        return len(data)

    def fails(self, depth):
        if depth:
            return self.fails(depth - 1)
        raise LookupError("at the end")

    def free(self):
        return "free"

    def idle(self):
        return self.plain()


SHAPE_COSTS = {
    (FILE, "plain"): Cost(enter=3),
    (FILE, "defaults"): Cost(enter=10, leave=1),
    (FILE, "named"): Cost(per_1000_bytes=2000),
    (FILE, "attribute"): Cost(enter=5, per_1000_bytes=1000, leave=2),
    (FILE, "inner"): Cost(enter=1, per_1000_bytes=500),
    (FILE, "left_out"): Cost(per_1000_bytes=1000),
    (FILE, "left_out_too"): Cost(enter=1, per_1000_bytes=1000),
    (FILE, "fails"): Cost(leave=4),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("record", ["none", "counters", "journeys", "trace"])
def test_the_first_calls_of_a_stage_do_what_all_others_do(record, strict, monkeypatch):
    def once(few):
        monkeypatch.setattr(wrappers, "FEW", few)
        env = SimPyEnvironment(strict=strict)
        trace = Trace(record=record)
        profile = Profile("test", "", "assumed", SHAPE_COSTS)
        core = Instrument(env, trace.codes, profile, record=record)(Shapes)()
        bound = core.defaults  # as parts of a machine keep each other's methods
        seen = []

        def body():
            for size in range(4):
                seen.append(core.plain())
                seen.append(bound(size))
                seen.append(bound(first=size, second=size, third=0))
                seen.append(core.named(data=bytes(size)))
                seen.append(core.attribute(size, Packet(bytes(size * 100))))
                seen.append(core.attribute(packet=Packet(b""), first=size))
                seen.append((core.left_out(1), core.left_out(1, b"12"), core.left_out_too()))
                with pytest.raises(LookupError):
                    core.fails(size)
                seen.append(core.idle())
                seen.append(thread.now)

        thread = Thread(env, "t", 10, body, trace.codes)
        trace.follow(thread)
        env.run()
        trace.finish(env.threads)
        records = trace.threads.values()
        return seen, env.now, [(list(one.times), list(one.codes)) for one in records]

    written = once(0)
    assert written[1] > 0
    for few in (1, 2, 3, 5, 1000):
        assert once(few) == written


def test_a_stage_that_is_called_often_has_a_text_of_its_own_also_for_who_holds_it(monkeypatch):
    monkeypatch.setattr(wrappers, "FEW", 2)
    env = SimPyEnvironment()
    trace = Trace()
    build = Instrument(env, trace.codes, Profile("test", "", "assumed", SHAPE_COSTS))
    bound = build(Shapes)().defaults
    young = bound.__func__.__code__
    assert [bound(n) for n in range(3)] == [(n, 2, 3) for n in range(3)]
    assert bound.__func__.__code__ is not young
    assert bound.__func__.__code__.co_varnames[:4] == ("self", "first", "second", "third")
    assert bound.__func__.__code__.co_name == bound.__name__ == "defaults"
    with pytest.raises(TypeError, match=r"defaults\(\)"):
        bound()
