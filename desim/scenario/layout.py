"""One way to lay out a TOML file: ``desim fmt``.

Values are left as they are written; what is between them is made anew. Comments stay, and so
does the order.

* ``key = value``, ``[table]``, ``{ key = value }``, ``[one, two]``; two blanks before a comment;
* one empty line in front of a table, and no more than one anywhere; none behind a table's name;
* an array that stands on several lines, or is too long for one, has an element on each line.

tomlkit and its like keep a file's layout, and make none; so this reads the text that ``tomllib``
has accepted with the patterns of ``desim.scenario.lines``, and what it makes is read again:
it must hold the same.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field

from desim.scenario.lines import BARE, BLANK, SCALAR, STRINGS

WIDTH = 100
"""Columns of a line with an array that is left on one line."""
INDENT = "    "

_COMMENT = re.compile(r"#[^\n]*")


def formatted(text: str) -> str:
    """``text``, which ``tomllib`` has read, in the one layout."""
    text = text.replace("\r\n", "\n")
    made = "".join(f"{line}\n" for line in _spaced(list(_Reader(text).statements())))
    assert _same(tomllib.loads(made), tomllib.loads(text)), "the layout has changed a value"
    return made


def _same(one: object, other: object) -> bool:
    # Two values that are no numbers (nan) are not equal, but written alike.
    return repr(one) == repr(other)


@dataclass(slots=True)
class _Statement:
    """A table's name, a key with its value, or a comment on lines of its own."""

    text: str
    apart: bool
    """Whether there is an empty line in front of it."""
    is_table: bool = False
    is_comment: bool = False


def _spaced(statements: list[_Statement]) -> Iterator[str]:
    for number, statement in enumerate(statements):
        before = statements[number - 1] if number else None
        if before is None or before.is_table:
            statement.apart = False
    for number, statement in enumerate(statements):
        if statement.is_table:
            first = number
            # The comment right above belongs to it.
            while first and not statements[first].apart and statements[first - 1].is_comment:
                first -= 1
            statements[first].apart = first > 0
    for statement in statements:
        if statement.apart:
            yield ""
        yield statement.text


@dataclass(slots=True)
class _Element:
    """One element of an array, with the comments that stand above it and behind it."""

    apart: bool = False
    """Whether there is an empty line in front of it."""
    value: str = ""
    above: list[str] = field(default_factory=list)
    behind: str = ""


class _Reader:
    """The statements of a valid text, each in its layout."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def statements(self) -> Iterator[_Statement]:
        """All of them."""
        while True:
            apart = self._empty_lines() > 1
            if self._at == len(self._text):
                return
            if self._here("#"):
                yield _Statement(self._comment(), apart, is_comment=True)
                continue
            is_table = self._here("[")
            made = self._table() if is_table else self._pair("")
            self._skip(BLANK)
            if self._here("#"):
                made += f"  {self._comment()}"
            yield _Statement(made, apart, is_table=is_table)

    # What there is

    def _here(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None, "the text is valid"
        self._at = found.end()
        return found[0]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._take(pattern)

    def _empty_lines(self) -> int:
        """Skip blanks and ends of lines: how many of these there were; two at the beginning."""
        count = 0 if self._at else 2
        while True:
            self._skip(BLANK)
            if not self._here("\n"):
                return count
            self._at += 1
            count += 1

    def _comment(self) -> str:
        return self._take(_COMMENT).rstrip()

    def _string(self) -> str:
        found = next(f for s in STRINGS if (f := s.match(self._text, self._at)) is not None)
        self._at = found.end()
        return found[0]

    # What is made of it

    def _table(self) -> str:
        brackets = 2 if self._here("[[") else 1
        self._at += brackets
        name = self._names()
        self._at += brackets
        return "[" * brackets + name + "]" * brackets

    def _names(self) -> str:
        """A key with its dots."""
        names = []
        while True:
            self._skip(BLANK)
            names.append(self._string() if self._text[self._at] in "\"'" else self._take(BARE))
            self._skip(BLANK)
            if not self._here("."):
                return ".".join(names)
            self._at += 1

    def _pair(self, indent: str) -> str:
        name = self._names()
        self._at += 1  # "="
        return f"{name} = {self._value(indent, len(indent) + len(name) + 3)}"

    def _value(self, indent: str, column: int) -> str:
        """The value here; a line that it begins is indented by ``indent``, and is at ``column``."""
        self._skip(BLANK)
        if self._here("["):
            return self._array(indent, column)
        if self._here("{"):
            return self._inline(indent)
        if self._text[self._at] in "\"'":
            return self._string()
        return self._take(SCALAR).rstrip()

    def _inline(self, indent: str) -> str:
        self._at += 1
        pairs: list[str] = []
        while True:
            self._skip(BLANK)
            if self._here("}"):
                self._at += 1
                return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
            pairs.append(self._pair(indent))
            self._skip(BLANK)
            if self._here(","):
                self._at += 1

    def _array(self, indent: str, column: int) -> str:
        begin = self._at
        made = self._elements(indent, spread=False)
        if made is not None and column + len(made) <= WIDTH:
            return made
        self._at = begin
        spread = self._elements(indent, spread=True)
        assert spread is not None, "spread out, there is room for everything"
        return spread

    def _elements(self, indent: str, *, spread: bool) -> str | None:
        """The array on one line, None if it is not meant to be; or ``spread`` out."""
        self._at += 1
        inner = indent + INDENT if spread else indent
        elements = [_Element()]
        broken = False
        while True:
            ends = self._empty_lines()
            broken |= ends > 0
            last = elements[-1]
            if ends > 1 and not last.above:
                last.apart = True
            if self._here("#"):
                broken = True
                before = elements[-2] if len(elements) > 1 else None
                if not before or before.behind or last.above or self._begins_a_line():
                    last.above.append(self._comment())
                else:
                    before.behind = self._comment()
            elif self._here(","):
                self._at += 1
            elif self._here("]"):
                self._at += 1
                break
            else:
                last.value = self._value(inner, len(inner))
                broken |= "\n" in last.value
                elements.append(_Element())
        if spread:
            return f"[\n{''.join(_spread(elements, inner))}{indent}]"
        if broken and (len(elements) > 1 or elements[0].above):
            return None
        return f"[{', '.join(element.value for element in elements[:-1])}]"

    def _begins_a_line(self) -> bool:
        """Whether nothing stands in front of this place in its line."""
        begin = self._text.rfind("\n", 0, self._at) + 1
        return not self._text[begin : self._at].strip()


def _spread(elements: list[_Element], inner: str) -> Iterator[str]:
    for number, element in enumerate(elements):
        if element.apart and number and (element.value or element.above):
            yield "\n"
        for comment in element.above:
            yield f"{inner}{comment}\n"
        if element.value:
            behind = f"  {element.behind}" if element.behind else ""
            yield f"{inner}{element.value},{behind}\n"
