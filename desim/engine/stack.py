"""The stacks of threads that sleep: where they are, and new ones that sleep at the same place.

For a machine that is put back to an earlier instant (``desim.machine.booted``): what objects hold
can be written back, but not a stack that has gone on. A new one is as good if it sleeps at the
same instruction of each function, and these do not use what their variables held before.

What a thread does on the way to its sleep has its effects; they are the caller's business.
"""

from __future__ import annotations

import greenlet

from desim.data import NamedTuple
from desim.engine.thread import Thread
from desim.engine.wrappers import FILES


class Place(NamedTuple):
    """A function that is open."""

    name: str
    instruction: int
    deadline: int | None
    """What it knows by that name."""


def places(thread: Thread) -> list[Place]:
    """Where a thread sleeps: the functions that are open, innermost first.

    What stands around stages is left out: it does the same, young or written out.
    """
    frame, found = thread._greenlet.gr_frame, []
    while frame is not None:
        if frame.f_code.co_filename not in FILES:
            deadline = frame.f_locals.get("deadline")
            found.append(Place(frame.f_code.co_name, frame.f_lasti, deadline))
        frame = frame.f_back
    return found


def sleep_again(thread: Thread) -> None:
    """On a new stack, run the thread's body up to where it sleeps."""
    env = thread.env
    thread._greenlet = greenlet.greenlet(thread._main)
    env.hub = greenlet.getcurrent()
    env.run_by(thread)
    try:
        thread._greenlet.switch()
    finally:
        env.hub = None
        env.run_by(None)
