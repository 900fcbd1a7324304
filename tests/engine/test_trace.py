"""Records are absolute and the fingerprint keeps its ingredients apart."""

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.engine import trace as trace_module
from desim.engine.marks import CODE_BITS, CODE_MASK, Row, split
from desim.engine.simpy_environment import SimPyEnvironment
from desim.engine.thread import Thread
from desim.engine.trace import Notes, Span, ThreadRecord, Trace
from desim.events import Event
from desim.reasons import Reason
from desim.spool import Spool


class Note(Event, frozen=True):
    """What the threads here note."""

    kind: ClassVar[str] = "note"
    text: str


def story(*steps, end=None):
    """The trace of one thread that records these steps: ``(time, code or kind)``."""
    env = SimPyEnvironment()
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
    assert list(record.events) == [(106, 2, "note", "x")]
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
    env = SimPyEnvironment()
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


def spans_at_once(record: ThreadRecord) -> list[Span]:
    """What ``Trace.spans`` gives, made the plain way."""
    spans: list[Span] = []
    stack: list[int] = []
    for time, code in zip(record.times, record.codes, strict=True):
        if code & 1:
            place = stack.pop()
            spans[place] = spans[place]._replace(end=time)
        else:
            spans.append(Span(time, -1, len(stack), code))
            stack.append(len(spans) - 1)
    for place in stack:
        spans[place] = spans[place]._replace(end=record.times[-1], is_open=True)
    return spans


@given(
    steps=st.lists(st.sampled_from([[0, 2, 3, 1], [4, 5], [0, 1]]), max_size=40),
    known=st.sampled_from([0, 2, 4096]),
    at_once=st.sampled_from([4, 8, 8192]),
)
def test_codes_are_renumbered_by_first_appearance_piece_by_piece(
    steps: list[list[int]], known: int, at_once: int
) -> None:
    trace = Trace()
    for name in ("a", "b", "c"):
        trace.codes.stage(name, "f.c")
    codes = [code for step in steps for code in step]
    record = ThreadRecord("t", 10, Spool())
    record.codes.extend(codes)

    class Names:
        said = b""

        def update(self, line: bytes) -> None:
            self.said += line

    names = Names()
    with pytest.MonkeyPatch.context() as patch:
        for what, value in (("PIECE", 8), ("AT_ONCE", at_once), ("KNOWN", known)):
            patch.setattr(trace_module, what, value)
        packed = b"".join(trace._canonical(record.codes, names))
    first = list(dict.fromkeys(code >> 1 for code in codes))
    numbers = [2 * first.index(code >> 1) + (code & 1) for code in codes]
    assert packed == b"".join(number.to_bytes(2, "little") for number in numbers)
    assert names.said == b"".join(b"%c f.c\n" % b"abc"[stage] for stage in first)


@pytest.mark.parametrize("look_ahead", [0, 3, 4096])
@given(walk=st.lists(st.integers(0, 5), max_size=60))
def test_spans_come_in_order_of_entry_however_far_one_looks_ahead(
    walk: list[int], look_ahead: int
) -> None:
    """``walk``: 0 and 1 leave the innermost stage, if there is one; others enter one."""
    trace, record = Trace(), ThreadRecord("t", 10, Spool(0))
    stack: list[int] = []
    for time, step in enumerate(walk):
        code = step * 2 if step > 1 or not stack else stack.pop() + 1
        if not code & 1:
            stack.append(code)
        record.times.extend([time])
        record.codes.extend([code])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace_module, "LOOK_AHEAD", look_ahead)
        assert list(trace.spans(record)) == spans_at_once(record)


def test_an_event_that_was_put_away_is_the_one_that_was_noted() -> None:
    why = Reason("code", "held until {until_ns}", (("until_ns", 5),))
    noted = [
        (1, 0, "one", "x", True, 7, None, (b"\1\2", 80)),
        (2, 1, "two", 1 << 40, why),
        (3, 1, "three"),
    ]
    notes = Notes(Spool(0), size=1)
    notes.extend(noted)
    assert list(notes) == noted
    assert type(notes[1][-1]) is Reason


MARKS = st.tuples(st.integers(0, 10**12), st.integers(0, CODE_MASK))


@given(st.lists(MARKS | st.tuples(st.lists(MARKS, min_size=1, max_size=80), st.integers(1, 80))))
def test_a_row_is_its_marks_one_by_one(steps):
    """However few of them there are, and whether somebody records them or not."""
    env = SimPyEnvironment()
    expected = []

    def body():
        for what, number in steps:
            if isinstance(what, int):
                marks = [what << CODE_BITS | number]
                env.running.marks += marks
            else:
                row = [time << CODE_BITS | code for time, code in what]
                env.running.mark(Row(row), 7, number)
                marks = [mark + (7 << CODE_BITS) for mark in row[:number]]
            expected.extend(marks)
            env.running.note("after", len(expected))

    trace = Trace()
    recorded, bare = (Thread(env, str(rank), rank, body, trace.codes) for rank in (10, 11))
    trace.follow(recorded)
    env.run()
    trace.finish([recorded])
    record = trace.threads["10"]
    assert expected == bare.marks * 2
    assert [*zip(record.times, record.codes, strict=True)] == [
        (mark >> CODE_BITS, mark & CODE_MASK) for mark in bare.marks
    ]
    assert [position for _, position, *_ in record.events] == [
        position for _, position, *_ in bare.events
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, (1 << 63) - 1) | st.integers(0, 10**10), st.integers(0, CODE_MASK))
    )
)
def test_marks_are_split_into_times_and_codes(marks: list[tuple[int, int]]) -> None:
    times, codes = split([time << CODE_BITS | code for time, code in marks])
    assert [*zip(times, codes, strict=True)] == marks
    assert (times.typecode, codes.typecode) == ("q", "H")
