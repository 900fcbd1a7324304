"""Where time was spent, as folded stacks: a line for each, ``thread;function;function NS``.

This is what flame graph tools and speedscope read. The number is *own* time: what the innermost
function itself took, in virtual ns. So all numbers add up to the time in which the threads were
busy.

* Time in which a thread waits is left out, and so is a processor that has nothing to do.
* What a thread is always in (its endless loop) is the thread. On a processor its context follows:
  the program or thread of the kernel that runs.
* An interrupt begins at the thread, not on top of what it happened to interrupt, which is not
  its cause and would count its time.
* A function that does nothing but call one other is left out: it has the other's time.
"""

from __future__ import annotations

from collections.abc import Iterator

from desim.engine.trace import ThreadRecord, Trace
from desim.experiment.contexts import Labels
from desim.experiment.ran import Ran
from desim.stages import LOOPS, Landmark

INTERRUPTS = (Landmark.INTERRUPT, Landmark.TIMER_INTERRUPT)

Stack = tuple[str, ...]


class _Node:
    """A function on one way to it: its own time, and what it called."""

    __slots__ = ("below", "own_ns")

    def __init__(self) -> None:
        self.own_ns = 0
        self.below: dict[str, _Node] = {}

    def at(self, stack: Stack) -> _Node:
        """The node at the end of a way from here."""
        node = self
        for name in stack:
            node = node.below.setdefault(name, _Node())
        return node


def folded(run: Ran) -> Iterator[str]:
    """The lines, in alphabetical order."""
    root = _Node()
    for record in run.trace.threads.values():
        for stack, ns in _own(run.trace, record):
            root.at(stack).own_ns += ns
    times: dict[Stack, int] = {}
    for stack, ns in _stacks(root, ()):
        # Two ways that differ in what only passes a call on are one.
        times[stack] = times.get(stack, 0) + ns
    for stack, ns in sorted(times.items()):
        yield f"{';'.join(stack)} {ns}\n"


def _stacks(node: _Node, stack: Stack) -> Iterator[tuple[Stack, int]]:
    if node.own_ns:
        yield stack, node.own_ns
    for name, below in node.below.items():
        # What only passes a call on is left out; the first name is the thread.
        while stack and not below.own_ns and len(below.below) == 1:
            ((name, below),) = below.below.items()
        yield from _stacks(below, (*stack, name))


def _own(trace: Trace, record: ThreadRecord) -> Iterator[tuple[Stack, int]]:
    """Stacks, and for how long each was what the thread did: work only."""
    codes = trace.codes
    is_processor = not codes.entries(Landmark.IDLE).isdisjoint(record.codes)
    labels = Labels(trace, record)
    thread = (_name(record.name),)
    stack: list[int] = []
    kept: list[tuple[Stack, bool]] = [(thread, True)]
    """For each open stage: the way to it, and whether its own time is work."""
    at = record.times[0] if len(record.times) else 0
    task = labels.label
    for place, (time, code) in enumerate(zip(record.times, record.codes, strict=True)):
        way, works = kept[-1]
        if works and time > at:
            yield way, time - at
        at = time
        for _, label in labels.changes(place, time, code):
            if label[0] == "task":
                task = label
        if code & 1:
            stack.pop()
            kept.pop()
            continue
        stack.append(code)
        landmark = codes.landmark(code)
        if landmark in LOOPS:
            kept.append((thread, landmark is not Landmark.IDLE))
        elif codes.is_wait(code):
            kept.append((way, False))
        elif landmark in INTERRUPTS:
            kept.append(((*thread, _name(codes.name(code))), True))
        elif way == thread and is_processor:
            kept.append(((*thread, f"[{_name(task[1])}]", _name(codes.name(code))), True))
        else:
            kept.append(((*way, _name(codes.name(code))), True))


def _name(name: str) -> str:
    """A name as the format can have it: no separator in it."""
    return name.replace(";", ",").replace("\n", " ")
