"""A thread's frames have a stack of one piece, so that no call has to make room for its own."""

from __future__ import annotations

import platform

import pytest

from desim.engine.environment import Environment
from desim.engine.marks import Codes
from desim.engine.thread import Thread

resource = pytest.importorskip("resource", reason="counts page faults as Unix does")
CALLS = 200


@pytest.mark.skipif(
    platform.python_implementation() != "CPython", reason="is about CPython's frames"
)
def test_however_deep_a_thread_works_its_calls_map_no_memory() -> None:
    faults: list[int] = []

    def small() -> None:
        pass

    def work(depth: int) -> None:
        """Call a function many times at each of many depths."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(CALLS):
            small()
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        if depth:
            work(depth - 1)

    env = Environment()
    Thread(env, "deep", 10, lambda: work(300), Codes())
    env.run_to(1)
    assert len(faults) == 301
    assert max(faults) < CALLS // 4
