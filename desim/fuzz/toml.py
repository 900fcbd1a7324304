"""A scenario as the text of its file: what people read, in the order in which they read it.

Only what a scenario can say: text, whole numbers, true and false, lists of text, tables, and
arrays of tables. ``tomllib`` reads back what was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 96
"""Columns that a list may take on one line."""


def text_of(data: Mapping[str, Any], comments: tuple[str, ...] = ()) -> str:
    """The file that says ``data``, behind its ``comments``, one a line."""
    head = [f"# {line}".rstrip() for line in comments]
    body = "\n".join(_table(data, ()))
    return "\n".join([*head, *([""] if head else []), body.strip("\n"), ""])


def _table(data: Mapping[str, Any], way: tuple[str, ...]) -> Iterator[str]:
    inner = []
    for key, value in data.items():
        if isinstance(value, Mapping) or _is_tables(value):
            inner.append((key, value))
        else:
            yield f"{_key(key)} = {_value(value, _key(key))}"
    for key, value in inner:
        name = ".".join(map(_key, (*way, key)))
        if isinstance(value, Mapping):
            plain = any(not (isinstance(v, Mapping) or _is_tables(v)) for v in value.values())
            if plain:
                yield from ("", f"[{name}]")
            yield from _table(value, (*way, key))
        else:
            for one in value:
                yield from ("", f"[[{name}]]")
                yield from _table(one, (*way, key))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _key(key: str) -> str:
    bare = key and all(letter.isalnum() or letter in "-_" for letter in key) and key.isascii()
    return key if bare else json.dumps(key, ensure_ascii=False)


def _value(value: Any, key: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        items = [_value(one, "") for one in value]
        line = f"[{', '.join(items)}]"
        if len(key) + 3 + len(line) <= WIDTH:
            return line
        return "\n".join(["[", *(f"    {item}," for item in items), "]"])
    return _text(value)


def _text(value: str) -> str:
    # JSON's escapes are among TOML's, but for characters beyond 16 bits, which stand as they are.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
