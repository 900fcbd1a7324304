"""What may stand at a key of a scenario, and a value that somebody gives for it without quotes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence

from desim.scenario.key_names import Key
from desim.scenario.settings import setting_at
from desim.scenario.tables import (
    Duration,
    Entry,
    Flag,
    Inner,
    Kind,
    Named,
    Table,
    Tables,
    Whole,
    Word,
)


def kind_at(root: type[Table], key: Key) -> Kind | Word | None:
    """What ``root`` has at ``key``; None if it has no such key."""
    if setting_at(key) is not None:
        return Word()
    *tables, last = key
    entry = _keys_at(root, tables).get(str(last))
    return None if entry is None else entry.kind


def value_of(kind: Kind | Word | None, text: str) -> object:
    """What ``text`` is where ``kind`` is wanted: what a file could hold, or the text itself."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = found.pop("value")
    if found:  # a second line
        return text
    # Text is never, or only as a duration, the value of these.
    no_text = isinstance(kind, (Whole, Flag, Duration, Word))
    return value if isinstance(value, (str, list, dict)) or no_text else text


def _keys_at(root: type[Table], tables: Sequence[str | int]) -> Mapping[str, Entry]:
    """What there is in the table at this way; nothing if there is no such table."""
    made = root
    ways = iter(tables)
    for part in ways:
        if isinstance(part, int):
            continue
        entry = made.KEYS.get(part)
        kind = None if entry is None else entry.kind
        if isinstance(kind, Named):
            next(ways, None)  # a name of the writer's own
            kind = kind.each
        if not isinstance(kind, (Inner, Tables)):
            return {}
        made = kind.made
    return made.KEYS
