"""All errors that desim raises on purpose, as one tree::

    DesimError                   any of them
    ├── UserError                what somebody wrote or asked for cannot be; the user can mend it
    │   ├── ScenarioError        in a scenario: its file, QEMU's options, a command, a key
    │   ├── ProfileError         in a cost profile
    │   ├── RecordingError       in a recording of the real thing, or in a log
    │   └── OutputError          of the folder for results
    ├── WorkerError              a process that had a scenario to run has died
    └── ModelError               the model is at fault, or a run in it made no sense any more
        ├── ConservationError    a frame came from nowhere, or is nowhere
        ├── DifferenceError      a core did something else than its recording
        └── EngineError          a run cannot go on
            ├── CirclingError       threads keep meeting and virtual time does not move
            ├── TooManyEventsError  more events than the run was allowed
            └── OverBudgetError     more frames or records than the run was allowed

A :class:`UserError` has one message per mistake, and each says what was given, where, what
is allowed and what to do. The command line prints them, one a line, without a traceback,
and exits with 2. A :class:`ModelError` is for us, and keeps its traceback.

Not in the tree: what a room raises and another expects as part of a contract (``WireError``
for bytes that are no packet), and the ends of simulated programs, which are no errors of desim.
"""

from __future__ import annotations

from collections.abc import Iterable


class DesimError(Exception):
    """Any error that desim raises on purpose."""


class UserError(DesimError):
    """What the user gave, where, what is allowed and what to do: one message per mistake."""

    def __init__(self, *messages: str) -> None:
        if not messages:
            raise TypeError("a UserError needs at least one message")
        super().__init__(*messages)
        self.messages = list(messages)

    def __str__(self) -> str:
        return "\n".join(self.messages)


class ScenarioError(UserError):
    """A scenario cannot be what its file, QEMU's options or changed keys say."""


class ProfileError(UserError):
    """A cost profile is not there, or not as it should be."""


class RecordingError(UserError, ValueError):
    """A recording of the real thing cannot be read, or is not as it should be."""


class OutputError(UserError):
    """Results cannot be written where they were to go."""


class WorkerError(DesimError):
    """A process that had a scenario to run has died: by a signal, or for lack of memory."""


class ModelError(DesimError):
    """The model is at fault, or was driven to where it makes no sense."""


class ConservationError(ModelError):
    """A frame that came from nowhere, or is nowhere."""


class DifferenceError(ModelError, AssertionError):
    """A core did something else than the recording of the real thing."""


class EngineError(ModelError):
    """The run cannot go on; the message says what was going on."""


class CirclingError(EngineError):
    """Threads keep meeting and virtual time does not move."""


class TooManyEventsError(EngineError):
    """More events than the run was allowed."""


class OverBudgetError(EngineError):
    """More frames, or more to remember, than the run was allowed."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the known spelling nearest to ``word``, or ``""``."""
    from difflib import get_close_matches  # costs every start what only mistakes need

    found = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""
