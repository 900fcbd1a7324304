"""Records are absolute and the fingerprint keeps its ingredients apart."""

from dataclasses import dataclass
from typing import ClassVar

from desim.engine.environment import Environment
from desim.engine.marks import CODE_BITS
from desim.engine.thread import Thread
from desim.engine.trace import Trace
from desim.events import Event


@dataclass(frozen=True)
class Note(Event):
    """What the threads here note."""

    kind: ClassVar[str] = "note"
    text: str


def story(*steps, end=None):
    """The trace of one thread that records these steps: ``(time, code or kind)``."""
    env = Environment()
    trace = Trace()
    for name in ("a", "b"):
        trace.codes.stage(name, "f.c")

    def body():
        thread = env.running
        for time, what in steps:
            thread.charge(time - thread.now)
            if isinstance(what, str):
                thread.note(what, "x")
            else:
                thread.marks.append(thread.now << CODE_BITS | what)

    thread = Thread(env, "t", 10, body, trace.codes)
    trace.follow(thread)
    env.run()
    trace.finish(env.threads, before=end)
    return trace


def test_events_stand_between_the_records_they_happened_between():
    trace = story((3, 0), (105, 2), (106, "note"), (107, 3), (200, 1))
    record = trace.threads["t"]
    assert list(record.times) == [3, 105, 107, 200]
    assert list(record.codes) == [0, 2, 3, 1]
    assert record.events == [(106, 2, "note", "x")]
    assert trace.events(Note) == [(106, record, 2, Note("x"))]


def test_what_would_have_come_after_the_end_is_cut():
    trace = story((3, 0), (4, 2), (4, "note"), (9, 3), (9, "note"), (9, 1), end=9)
    assert list(trace.threads["t"].times) == [3, 4]
    assert len(trace.events(Note)) == 1


def test_each_ingredient_changes_alone():
    base = story((3, 0), (9, 1))
    later = story((3, 0), (10, 1)).fingerprint()
    other = story((3, 2), (9, 3)).fingerprint()
    same = base.fingerprint()
    more = base.fingerprint([("capture", b"frame")])
    assert later.names == same.names
    assert later.times != same.times
    assert other.times == same.times
    assert other.names != same.names
    assert (more.times, more.names) == (same.times, same.names)
    assert more.bytes != same.bytes
    assert len({f.whole for f in (same, later, other, more)}) == 4


def test_numbers_of_codes_do_not_matter_only_their_names():
    env = Environment()
    prints = []
    for names in (("x", "a"), ("a",)):
        trace = Trace()
        for name in names:
            trace.codes.stage(name, "f.c")
        code = trace.codes.stage("a", "f.c")
        thread = Thread(
            env,
            "t",
            10 + len(prints),
            lambda c=code: env.running.marks.extend([c, c + 1]),
            trace.codes,
        )
        trace.follow(thread)
        env.run()
        trace.finish([thread])
        prints.append(trace.fingerprint())
    assert prints[0].names == prints[1].names
