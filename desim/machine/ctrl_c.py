"""Ctrl-C ends a run between two events, so that what it leaves is whole."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from desim.engine.alarm import Alarm
from desim.engine.environment import Environment


@contextmanager
def ctrl_c(env: Environment, told: Callable[[], None] | None = None) -> Iterator[None]:
    """Within this block Ctrl-C raises ``KeyboardInterrupt`` out of ``env.run``, at its next event.

    ``told`` is called at once. A second Ctrl-C does not wait for the event. Where Python has no
    say about signals (another thread), or somebody else handles this one, it is left alone.
    """
    usual = signal.default_int_handler

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, usual)
        if told is not None:
            told()
        Alarm(env, ring).set(env._now)

    def ring() -> None:
        raise KeyboardInterrupt

    if not _handle(interrupt):
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _handle(interrupt: Callable[..., None]) -> bool:
    """Take Ctrl-C over from Python's own handler; whether that could be done."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    try:
        signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not the main thread
        return False
    return True
