"""What a run keeps beside its files, its terminals and its end: four levels, each with the last.

=============  ==================================================================================
``none``       nothing
``counters``   what became of the frames, and the interrupts, counted (``summary["frames"]``)
``journeys``   all events, and the stages and waits that the way of a message is made of
``trace``      every entry and exit of every stage: only this has a fingerprint
=============  ==================================================================================

What happens is the same at every level. What a level does not keep is not made, so a run that
keeps little is fast.
"""

from __future__ import annotations

from typing import Literal

from desim.errors import UserError, nearest

Record = Literal["none", "counters", "journeys", "trace"]
"""How much a run keeps."""
RECORDS: tuple[Record, ...] = ("none", "counters", "journeys", "trace")
"""All levels; the later keeps more."""


def keeps(record: Record, level: Record) -> bool:
    """Whether ``record`` keeps what ``level`` does."""
    return RECORDS.index(record) >= RECORDS.index(level)


def checked(record: object) -> Record:
    """``record`` as one of the levels. Raises ``UserError`` for anything else."""
    for level in RECORDS:
        if record == level:
            return level
    names = f"{', '.join(RECORDS[:-1])} or {RECORDS[-1]}"
    hint = nearest(record, RECORDS) if isinstance(record, str) else ""
    raise UserError(f"record {record!r}: must be {names}{hint}")


def not_recorded(what: str, record: Record, level: Record) -> UserError:
    """The error for whoever asks for something that was not kept; ``level`` keeps it."""
    has = " or ".join(f'record="{one}"' for one in RECORDS if keeps(one, level))
    return UserError(f'{what}: not recorded with record="{record}"; {has} keeps it')


def not_captured(what: str) -> UserError:
    """The error for whoever asks for frames that were not kept."""
    return UserError(f"{what}: not recorded with capture=False; capture=True keeps it")
