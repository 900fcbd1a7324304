"""Folded stacks: own time, nothing twice, nothing missing."""

from __future__ import annotations

import pytest
from runs import shipped_run

from desim.engine.trace import ThreadRecord, Trace
from desim.experiment.run import RunResult
from desim.stages import Landmark
from desim.timeline.folded import folded


def stacks(run: RunResult) -> dict[str, int]:
    found = {}
    for line in folded(run):
        stack, _, ns = line.rstrip("\n").rpartition(" ")
        assert stack not in found
        found[stack] = int(ns)
    return found


def busy_ns(run: RunResult) -> int:
    """Counted span by span: its time without that of the spans in it, if it is work."""
    trace, total = run.trace, 0
    for record in trace.threads.values():
        inside: list[list[int]] = []
        own: list[tuple[int, int]] = []
        for span in trace.spans(record):
            del inside[span.depth :]
            if inside:
                inside[-1][0] -= span.end - span.begin
            inside.append(counted := [span.end - span.begin])
            own.append((span.code, counted))
        total += sum(
            counted[0]
            for code, counted in own
            if not trace.codes.is_wait(code) and trace.codes.landmark(code) is not Landmark.IDLE
        )
    return total


@pytest.mark.parametrize("name", ["hello", pytest.param("upload", marks=pytest.mark.slow)])
def test_the_sum_is_the_time_in_which_threads_were_busy(name: str) -> None:
    run = shipped_run(name)
    assert sum(stacks(run).values()) == busy_ns(run) > 0


def test_interrupts_are_at_the_root_and_waits_nowhere() -> None:
    found = stacks(shipped_run("hello"))
    for stack in found:
        names = stack.split(";")
        assert not any(name.startswith("(") or name == "do_idle" for name in names)
        for name in ("common_interrupt", "sysvec_apic_timer_interrupt"):
            assert name not in names[2:], stack
    assert any(stack.startswith("vcpu;common_interrupt;") for stack in found)


class Made:
    """A run of one thread, from words: ``a`` enters, ``/`` leaves, a number is time that passes."""

    def __init__(self, words: str, **landmarks: Landmark) -> None:
        self.packets: dict[str, object] = {}
        self.trace = Trace()
        record = self.trace.threads["t"] = ThreadRecord("t", 10, self.trace._spool)
        now, stack = 0, []
        for word in words.split():
            if word.isdigit():
                now += int(word)
                continue
            if word == "/":
                code = stack.pop() + 1
            elif word.startswith("("):
                code = self.trace.codes.wait(word.strip("()"))
            else:
                code = self.trace.codes.stage(word, "file.c", "QEMU", landmarks.get(word))
            if not code & 1:
                stack.append(code)
            record.times.extend([now])
            record.codes.extend([code])
        self.end_ns = now


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("loop 3 a 2 / 1 /", ["t 4", "t;a 2"]),
        ("loop a b 5 / / /", ["t;b 5"]),  # a only passes the call on
        ("loop a b 5 / c 2 / / /", ["t;a;b 5", "t;a;c 2"]),
        ("loop a b 5 / x b 2 / / / /", ["t;a;b 7"]),
        ("loop a 1 (poll) 9 / 1 / /", ["t;a 2"]),
        ("loop a 1 irq 4 b 2 / / 1 / /", ["t;a 2", "t;irq 4", "t;irq;b 2"]),
        ("loop a;b 1 / /", ["t;a,b 1"]),
        ("loop a 1 b 7", ["t;a 1"]),  # the record ends: no more is known
    ],
)
def test_small_ones(words: str, expected: list[str]) -> None:
    made = Made(words, loop=Landmark.LOOP, irq=Landmark.INTERRUPT)
    assert [line.rstrip("\n") for line in folded(made)] == expected
