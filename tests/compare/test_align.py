"""Where two traces part."""

from __future__ import annotations

import pytest

from desim.compare.align import parting
from desim.engine.trace import ThreadRecord, Trace

Words = dict[str, str]
"""For each thread what it does: ``12 a`` enters a at 12 ns, ``15 /`` leaves, ``15 !x`` notes x."""


def trace(threads: Words, first_code: str = "") -> Trace:
    made = Trace()
    if first_code:
        made.codes.stage(first_code, "file.c")  # numbers are given out in another order
    for rank, (name, text) in enumerate(threads.items()):
        record = made.threads[name] = ThreadRecord(name, rank, made._spool)
        stack: list[int] = []
        words = text.split()
        for time, what in zip(words[::2], words[1::2], strict=True):
            if what.startswith("!"):
                event = (int(time), len(record.times), what[1:])
                record.events.append(event)
                continue
            code = stack.pop() + 1 if what == "/" else made.codes.stage(what, "file.c")
            if not code & 1:
                stack.append(code)
            record.times.extend([int(time)])
            record.codes.extend([code])
    return made


BASE = {"vcpu": "1 a 2 b 3 / 4 !x 5 /", "main": "1 m 9 /"}


def test_the_same_is_the_same_whatever_the_numbers_of_functions_are() -> None:
    assert parting(trace(BASE), trace(BASE, first_code="b")) is None


@pytest.mark.parametrize(
    ("change", "thread", "time"),
    [
        ({"vcpu": "1 a 2 c 3 / 4 !x 5 /"}, "vcpu", 2),
        ({"vcpu": "1 a 2 b 3 / 4 !y 5 /"}, "vcpu", 4),
        ({"vcpu": "1 a 2 b 3 / 5 /"}, "vcpu", 4),
        ({"vcpu": "1 a 2 b 7 / 8 !x 9 /"}, "vcpu", 3),
        ({"vcpu": "1 a 2 b 3 / 4 !x 5 / 6 c"}, "vcpu", 6),
        ({"main": "1 m 2 n"}, "main", 2),
        ({"vcpu": "1 a 4 b", "main": "1 m 3 /"}, "vcpu", 2),
        ({"nc": "7 w"}, "nc", 7),
    ],
)
def test_they_part_at_the_first_thing_that_differs(change: Words, thread: str, time: int) -> None:
    first, second = trace(BASE), trace(BASE | change)
    for one, other in ((first, second), (second, first)):
        found = parting(one, other)
        assert found is not None
        assert (found.thread, found.time) == (thread, time)
