"""The names of keys: ``guest.run[0].at`` as text, and as the way to a value."""

from __future__ import annotations

import re

Key = tuple[str | int, ...]
"""The way to a value: names of tables and keys, indices of arrays."""

KEY_FORM = "a key is names with dots between them, such as guest.modprobe or guest.run[0].at"

_PART = r"""\s*(?:([A-Za-z0-9_-]+)|("(?:[^"\\]|\\.)*"|'[^']*'))\s*((?:\[[0-9]{1,6}\]\s*)*)"""


def unquoted(text: str) -> str:
    """The name that a quoted key stands for."""
    import tomllib

    (name,) = tomllib.loads(f"{text} = 0")
    return name


def read_key(text: str) -> Key:
    """``guest.run[0].at`` as the way to its value. Raises ``ValueError``."""
    key: Key = ()
    at = 0
    part = re.compile(_PART)
    while True:
        match = part.match(text, at)
        if match is None:
            raise ValueError(f"not a key; {KEY_FORM}")
        bare, quoted, indices = match.groups()
        try:
            name = bare if bare is not None else unquoted(quoted)
        except ValueError:
            raise ValueError(f"not a key: {quoted}; {KEY_FORM}") from None
        key = (*key, name, *(int(number) for number in re.findall("[0-9]+", indices)))
        at = match.end()
        if at == len(text):
            return key
        if text[at] != ".":
            raise ValueError(f"not a key; {KEY_FORM}")
        at += 1


def dotted(key: Key) -> str:
    """``guest.run[0].at``"""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.isascii() and part.replace("_", "").replace("-", "").isalnum()
            text += ("." if text else "") + (part if plain else _quoted(part))
    return text


def _quoted(name: str) -> str:
    """A name as TOML has it in quotes."""
    import json  # few names need quotes

    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
