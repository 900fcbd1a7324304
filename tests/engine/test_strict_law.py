"""The law of threads: charging lazily or meeting at every charge gives the same trace.

And each touch point is needed for it: with any one of them gone, it breaks.
"""

import pytest
from random_programs import Program

from desim.engine.environment import TOUCH_POINTS

PROGRAMS = 2_000
PART = 200


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, PROGRAMS, PART))
def test_lazy_and_strict_runs_leave_the_same_trace(first):
    for seed in range(first, first + PART):
        lazy = Program(seed, strict=False).run()
        strict = Program(seed, strict=True).run()
        assert lazy == strict, f"program {seed}"


@pytest.mark.parametrize("point", TOUCH_POINTS)
def test_every_touch_point_is_needed(point):
    for seed in range(PROGRAMS):
        lazy = Program(seed, strict=False, without=(point,)).run()
        strict = Program(seed, strict=True, without=(point,)).run()
        if lazy != strict:
            return
    pytest.fail(f"no program of {PROGRAMS} notices that {point!r} is gone")


def test_a_program_leaves_the_same_trace_twice_and_another_one_another():
    assert Program(1, strict=False).run() == Program(1, strict=False).run()
    assert Program(1, strict=False).run() != Program(2, strict=False).run()
