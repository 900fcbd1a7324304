"""How a process of desim collects garbage, and how it ends.

Objects of a run live as long as it does, or die by themselves, so that looking for circles
finds next to nothing: it was 3 % of ``desim run hello``, and the interpreter's own last search,
at the end, as much again. To take apart all that there is before the process ends, which gives
it back in any case, was another 1.5 %.
"""

from __future__ import annotations

import gc
import os
import sys

RARELY = 100_000, 20, 100
"""Not at all in a small run, and rarely else."""


def collect_rarely() -> None:
    """From now on, in a process that is desim's own."""
    gc.set_threshold(*RARELY)


def collect_no_more() -> None:
    """What there is now dies with the process: its end looks for no circles in it."""
    gc.disable()
    gc.freeze()


def end_at_once(code: int) -> None:
    """End the process with this exit code, if nothing else is left to do; return if there is.

    That is so if nobody can have asked for something at the end, no other thread may go on,
    standard streams take what they have been given, and nobody but the interpreter has called the
    caller: no debugger, no profiler, no test.
    """
    caller = sys._getframe(1).f_back
    while caller is not None and caller.f_globals.get("__name__") in ("__main__", "runpy"):
        caller = caller.f_back
    if caller is not None or sys.flags.inspect or not sys.modules.keys().isdisjoint(_LATER):
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return
    os._exit(code)


_LATER = "atexit", "threading"
"""Modules that whoever wants to do something later has imported."""
