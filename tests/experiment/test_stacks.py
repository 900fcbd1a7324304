"""What was open on a thread, looked up anywhere in its record."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from desim.engine.trace import ThreadRecord
from desim.experiment.journey.stacks import _Kept
from desim.spool import Spool


def plain(codes: list[int]) -> list[list[int]]:
    """The stacks in front of each place, walked mark by mark."""
    stack: list[int] = []
    found = [[]]
    for index, code in enumerate(codes):
        if code & 1:
            stack.pop()
        else:
            stack.append(index)
        found.append([*stack])
    return found


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 0x7FFE))), st.integers(1, 9))
@example([(True, 300)] * 600 + [(False, 1)] * 590, 50)
@example([(True, 3), (False, 3)] * 20, 7)
def test_it_is_what_a_walk_finds(marks: list[tuple[bool, int]], step: int) -> None:
    codes: list[int] = []
    depth = 0
    for opens, code in marks:
        if opens or depth:
            codes.append(2 * code if opens else 2 * code + 1)
            depth += 1 if opens else -1
    expected = plain(codes)
    record = ThreadRecord("vcpu", 0, Spool())
    record.codes.extend(codes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Kept, "STEP", step)
        kept = _Kept(record, Spool())
        # From the end, so that all that is kept is made at once.
        for position in reversed(range(len(codes) + 1)):
            assert kept.at(position) == expected[position]
