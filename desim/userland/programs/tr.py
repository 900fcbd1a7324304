"""``tr`` (coreutils): translates, squeezes or deletes characters on their way through.

Its output goes through a buffer of the C library: what it writes appears when 4,096 bytes
have come together and at the end; on a terminal, line by line.

Not modelled: ``-c``, ``-t``, repeats (``[x*n]``), equivalence classes (``[=x=]``).
"""

from __future__ import annotations

import re
import string

from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.programs.output import STDIN, Stdio, err

READ_SIZE = 8192
"""BUFSIZ."""

CLASSES = {
    "alnum": string.digits + string.ascii_uppercase + string.ascii_lowercase,
    "alpha": string.ascii_uppercase + string.ascii_lowercase,
    "blank": "\t ",
    "digit": string.digits,
    "lower": string.ascii_lowercase,
    "punct": "".join(sorted(string.punctuation)),
    "space": "\t\n\v\f\r ",
    "upper": string.ascii_uppercase,
    "xdigit": string.digits + "ABCDEFabcdef",
}
ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

_ITEM = re.compile(
    r"\[:(?P<class>[a-z]+):\]|(?P<odd>\[[=:][^]]*|\[.\*[0-9]*\])|(?P<one>\\[0-7]{1,3}|\\.|.)",
    re.DOTALL,
)


class _SetError(ValueError):
    """A set that is none, or not modelled; its text is what is said of it."""


def expanded(word: str) -> bytes:
    """The characters of a set, in order. Raises ``_SetError``."""
    found: list[str] = []
    at = 0
    while at < len(word):
        item = _ITEM.match(word, at)
        assert item is not None, "any character is an item"
        at = item.end()
        if item["class"] is not None:
            if item["class"] not in CLASSES:
                raise _SetError(f"invalid character class '{item['class']}'")
            found += CLASSES[item["class"]]
        elif item["odd"] is not None:
            raise _SetError(f"{item['odd']} is not modelled")
        else:
            first = _character(item["one"])
            last = _ITEM.match(word, at + 1) if word[at : at + 1] == "-" else None
            if last is None or last["one"] is None:
                found.append(first)
                continue
            at = last.end()
            end = _character(last["one"])
            if end < first:
                shown = f"{item['one']}-{last['one']}"
                raise _SetError(
                    f"range-endpoints of '{shown}' are in reverse collating sequence order"
                )
            found += map(chr, range(ord(first), ord(end) + 1))
    return "".join(found).encode("latin-1", "replace")


def _character(item: str) -> str:
    if len(item) == 1:
        return item
    if item[1] in string.octdigits:
        return chr(int(item[1:], 8) & 0xFF)
    return ESCAPES.get(item[1], item[1])


def _options(argv: list[str]) -> tuple[set[str], list[str]]:
    words = argv[1:]
    flags: set[str] = set()
    while words and words[0].startswith("-") and len(words[0]) > 1:
        word = words.pop(0)
        if word == "--":
            break
        flags |= set(word[1:])
    return flags, words


def check(argv: list[str]) -> str | None:
    """Options and sets that are not modelled are refused."""
    flags, words = _options(argv)
    odd = flags - {"d", "s"}
    if odd:
        return f"tr: option -{min(odd)} is not modelled; there are -d and -s"
    for word in words[:2]:
        try:
            expanded(word)
        except _SetError as error:
            return f"tr: {error}" if "not modelled" in str(error) else None
    return None


def _complaint(flags: set[str], words: list[str]) -> str:
    """What is wrong with the number of ``words``; nothing if it is right."""
    fewest = 1 if flags in ({"d"}, {"s"}) else 2
    most = 1 if flags == {"d"} else 2
    if not words:
        return "missing operand"
    if len(words) < fewest:
        reason = "both deleting and squeezing repeats" if flags else "translating"
        return f"missing operand after '{words[-1]}'\nTwo strings must be given when {reason}."
    if len(words) > most:
        said = f"extra operand '{words[most]}'"
        if len(words) == 2:
            said += "\nOnly one string may be given when deleting without squeezing repeats."
        return said
    return ""


def tr(argv: list[str]) -> Program:
    """Copy standard input to standard output, with characters of one set made another's."""
    flags, words = _options(argv)
    complaint = _complaint(flags, words)
    if complaint:
        yield from err(f"tr: {complaint}\nTry 'tr --help' for more information.\n")
        return 1
    try:
        sets = [expanded(word) for word in words]
    except _SetError as error:
        yield from err(f"tr: {error}\n")
        return 1
    deleted = sets[0] if "d" in flags else b""
    squeezed = sets[-1] if "s" in flags else b""
    table = bytes(range(256))
    if len(sets) == 2 and not deleted:
        if not sets[1]:
            yield from err("tr: when not truncating set1, string2 must be non-empty\n")
            return 1
        table = _table(*sets)
    out = Stdio()
    yield from out.begin()
    last = -1
    while data := (yield from sys.read(STDIN, READ_SIZE)):
        made = data.translate(table, deleted)
        if squeezed:
            made, last = _squeezed(made, squeezed, last)
        yield from out.write(made)
    yield from out.flush()
    return 0


def _table(old: bytes, new: bytes) -> bytes:
    """A shorter second set is filled up with its last character; the last mention counts."""
    table = bytearray(range(256))
    for number, character in enumerate(old):
        table[character] = new[min(number, len(new) - 1)]
    return bytes(table)


def _squeezed(data: bytes, characters: bytes, last: int) -> tuple[bytes, int]:
    """``data`` without repeats of ``characters``; ``last`` is what came before it."""
    kept = bytearray()
    for character in data:
        if character != last or character not in characters:
            kept.append(character)
        last = character
    return bytes(kept), last
