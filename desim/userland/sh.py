"""A shell that runs a list: ``;``, ``&&`` and ``||`` with equal precedence, from the left.

It is the interactive shell of a terminal, so a Ctrl-C is for the pipeline that runs: if that
ends of it, the rest of the list is dropped; if that ends by itself (``ping`` does), the list
goes on. The status of a pipeline is that of its last program, 128 and the number for a signal.

bash's ``time`` is here, too: it measures a whole pipeline. A process's time on the processor
is all the system's: programs have hardly any instructions of their own here.

Not modelled: that a shell runs ``echo`` and the last command of ``-c`` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from desim.userland.calls import sys
from desim.userland.command import Pipeline
from desim.userland.process import SIGNALS
from desim.userland.program import Part, Program

T = TypeVar("T")

STDERR = 2
INTERRUPTED = 128 + SIGNALS["SIGINT"]
MS = 1_000_000


def sh(pipelines: Sequence[Pipeline]) -> Program:
    """Run a list; the status of the last pipeline that ran."""
    yield from sys.catch_sigint()
    status = 0
    for pipeline in pipelines:
        if (pipeline.operator == "&&" and status) or (pipeline.operator == "||" and not status):
            continue
        try:
            status = yield from _run(pipeline)
        except InterruptedError:  # between two programs: nothing but the shell was there
            return INTERRUPTED
        if status < 0:
            status = 128 - status
            if status == INTERRUPTED:
                break
    return status


def _run(pipeline: Pipeline) -> Part[int]:
    began = yield from sys.now()
    cpu_ns = status = 0
    for pid in (yield from sys.spawn(pipeline.commands)):
        status, ran_ns = yield from wait_for(pid)
        cpu_ns += ran_ns
    if pipeline.timed:
        real_ns = (yield from sys.now()) - began
        text = f"\nreal\t{_bash(real_ns)}\nuser\t{_bash(0)}\nsys\t{_bash(cpu_ns)}\n"
        yield from sys.write(STDERR, text.encode())
    return status


def wait_for(pid: int) -> Part[tuple[int, int]]:
    """The status of a child and its ns on the processor, once it has ended; Ctrl-C is the
    child's affair."""
    ended = yield from persist(lambda: sys.wait(pid))
    return ended


def persist(call: Callable[[], Part[T]]) -> Part[T]:
    """The call's outcome, made again whenever a signal comes between."""
    while True:
        try:
            outcome = yield from call()
        except InterruptedError:
            continue
        return outcome


def _bash(duration_ns: int) -> str:
    """``0m1.002s``: bash's ``%3lR``, cut to milliseconds."""
    ms = duration_ns // MS
    return f"{ms // 60000}m{ms // 1000 % 60}.{ms % 1000:03d}s"
