"""What a TOML file of a user's may not have, whatever it is for.

The standard parser takes time and memory that grow with the square of a dotted key's parts,
and whole numbers of any length. Neither is of use in a scenario or a cost profile.
"""

from __future__ import annotations

import re
from typing import Any

MAX_BYTES = 256 << 10
MAX_KEY_PARTS = 16
MAX_NESTING = 16
TOO_LARGE = f"larger than {MAX_BYTES >> 10} KiB"
LONG_KEY = f"a key of more than {MAX_KEY_PARTS} parts"
TOO_DEEP = f"nested more than {MAX_NESTING} levels deep"

_TOKEN = (
    r'(?s)"""(?:[^\\]|\\.)*?"""'
    r"|'''.*?'''"
    r'|(?P<part>"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_+-]+)'
    r"|#[^\n]*|[ \t]+|."
)


def long_key(text: str) -> int | None:
    """The line of the first dotted key with more than ``MAX_KEY_PARTS`` parts."""
    if all(line.count(".") < MAX_KEY_PARTS for line in text.split("\n")):
        return None  # a key lies in one line, and has a dot between its parts
    parts, after_dot = 0, False
    for token in re.finditer(_TOKEN, text):
        found = token[0]
        if token["part"] is not None:
            parts = parts + 1 if after_dot else 1
            after_dot = False
            if parts > MAX_KEY_PARTS:
                return text.count("\n", 0, token.start()) + 1
        elif found == ".":
            after_dot = parts > 0
        elif found[0] not in " \t":
            parts, after_dot = 0, False
    return None


def too_deep(document: dict[str, Any]) -> bool:
    """Whether values stand in more than ``MAX_NESTING`` tables and lists."""
    depth, level = 0, list[Any]([document])
    while level and depth <= MAX_NESTING:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth > MAX_NESTING


def shown(value: object) -> str:
    """A value for a message; a whole number that no machine has by its size alone."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a whole number of {value.bit_length()} bits"
    return repr(value)
