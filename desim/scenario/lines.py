"""On which line of a TOML file a key stands, so that a mistake can be pointed at.

``tomllib`` gives values without their places. This scanner gives the places and
no values; it reads only what ``tomllib`` has accepted, so it checks nothing.
"""

from __future__ import annotations

import re

from desim.scenario.key_names import Key, unquoted

BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
BLANK = re.compile(r"[ \t]*")
SCALAR = re.compile(r"[^,\]}#\r\n]+")
STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}(?!")', re.S),
    re.compile(r"'''.*?'{3,5}(?!')", re.S),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


class Lines:
    """The line of every key of a valid TOML text, counted from 1."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: dict[Key, int] = {}
        self._last_index: dict[Key, int] = {}
        """The index of the newest element of each array of tables."""
        table: Key = ()
        while self._skip(_SPACE) < len(text):
            line = self._line()
            if text.startswith("[[", self._at):
                self._at += 2
                table = self._enter(self._dotted(), line, element=True)
                self._at += 2
            elif text[self._at] == "[":
                self._at += 1
                table = self._enter(self._dotted(), line, element=False)
                self._at += 1
            else:
                self._pair(table)

    def of(self, key: Key) -> int:
        """The line of ``key``, or of the nearest table around it; 1 if there is none."""
        while key and key not in self._found:
            key = key[:-1]
        return self._found.get(key, 1)

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return self._at

    def _note(self, key: Key, line: int) -> None:
        self._found.setdefault(key, line)

    def _enter(self, names: list[str], line: int, *, element: bool) -> Key:
        """The key of a table header, through the newest elements of arrays on its way."""
        key: Key = ()
        for number, name in enumerate(names, 1):
            key = (*key, name)
            self._note(key, line)
            if element and number == len(names):
                self._last_index[key] = self._last_index.get(key, -1) + 1
            if key in self._last_index:
                key = (*key, self._last_index[key])
                self._note(key, line)
        return key

    def _dotted(self) -> list[str]:
        names = []
        while True:
            self._skip(BLANK)
            start = self._at
            if self._text[start] in "\"'":
                self._string()
                names.append(unquoted(self._text[start : self._at]))
            else:
                self._skip(BARE)
                names.append(self._text[start : self._at])
            self._skip(BLANK)
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _pair(self, table: Key) -> None:
        line = self._line()
        key = table
        for name in self._dotted():
            key = (*key, name)
            self._note(key, line)
        self._at += 1  # "="
        self._value(key)

    def _value(self, key: Key) -> None:
        self._skip(BLANK)
        opening = self._text[self._at]
        if opening == "[":
            self._inside("]", key)
        elif opening == "{":
            self._inside("}", key)
        elif opening in "\"'":
            self._string()
        else:
            self._skip(SCALAR)

    def _inside(self, closing: str, key: Key) -> None:
        """Skip an array or an inline table, noting what is in it."""
        self._at += 1
        index = 0
        while self._text[self._skip(_SPACE)] != closing:
            if closing == "]":
                self._note((*key, index), self._line())
                self._value((*key, index))
                index += 1
            else:
                self._pair(key)
            if self._text[self._skip(_SPACE)] == ",":
                self._at += 1
        self._at += 1

    def _string(self) -> None:
        for pattern in STRINGS:
            match = pattern.match(self._text, self._at)
            if match is not None:
                self._at = match.end()
                return
        raise AssertionError("a string that tomllib accepted does not end")
