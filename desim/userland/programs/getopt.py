"""Command line options as glibc's ``getopt`` reads them, operands between them too; numbers."""

from __future__ import annotations

from collections.abc import Iterable


class GetoptError(ValueError):
    """What ``getopt`` prints behind the program's name."""


def getopt(argv: list[str], spec: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The options of ``argv`` in order, with their values ("" for flags), and its operands.

    A letter of ``spec`` with a colon behind it takes a value.
    """
    options: list[tuple[str, str]] = []
    operands: list[str] = []
    words = iter(argv[1:])
    for word in words:
        if word == "--":
            operands.extend(words)
        elif len(word) < 2 or word[0] != "-":
            operands.append(word)
        else:
            _cluster(word, words, spec, options)
    return options, operands


def _cluster(word: str, words: Iterable[str], spec: str, options: list[tuple[str, str]]) -> None:
    for at, letter in enumerate(word[1:], 2):
        place = spec.find(letter) if letter != ":" else -1
        if place < 0:
            raise GetoptError(f"invalid option -- '{letter}'")
        if spec[place + 1 : place + 2] != ":":
            options.append((letter, ""))
            continue
        value = word[at:] or next(iter(words), None)
        if value is None:
            raise GetoptError(f"option requires an argument -- '{letter}'")
        options.append((letter, value))
        return


def unmodelled(argv: list[str], spec: str, modelled: str) -> str | None:
    """Says which option of ``argv`` exists but is not modelled; None if there is none.

    What the real program refuses itself is left to the program.
    """
    try:
        options, _ = getopt(argv, spec)
    except GetoptError:
        return None
    for letter, _ in options:
        if letter not in modelled:
            known = " ".join(f"-{other}" for other in modelled)
            return f"{argv[0]}: option -{letter} exists, but is not modelled; modelled are {known}"
    return None


def whole(text: str, low: int, high: int) -> int | None:
    """The whole number that ``text`` writes in decimal, if it is one in ``low`` to ``high``."""
    if not (text.isascii() and text.isdigit()):
        return None
    # No bound has twenty digits, and Python refuses to read thousands of them.
    value = int(text.lstrip("0")[:20] or "0")
    return value if low <= value <= high else None
