"""What the programs of coreutils 9.1, as Debian 12 ships it, have in common."""

from __future__ import annotations

import errno
import re

from desim.userland.program import Program
from desim.userland.programs.getopt import GetoptError, getopt, unmodelled
from desim.userland.programs.output import Step, err

_NUMBER = re.compile(r"\+?([0-9]+)(?:([bcw])|([kKMGTPEZY])(B|iB)?)?")
_SMALL = {"b": 512, "c": 1, "w": 2}
UINTMAX = 2**64 - 1


class Fatal(Exception):  # noqa: N818 - an end with a message, as the C function is
    """``die (EXIT_FAILURE, ...)``: the message, without the program's name."""


class Usage(Fatal):
    """The same, and where to find help."""


def program(argv: list[str], main: Program) -> Program:
    """Run ``main``; what it raises is printed with the name that was typed, and the status is 1."""
    name = argv[0]
    try:
        return (yield from main)
    except (GetoptError, Usage) as error:
        yield from err(f"{name}: {error}\nTry '{name} --help' for more information.\n")
    except Fatal as fatal:
        yield from err(f"{name}: {fatal}\n")
    return 1


def size(text: str, suffixes: str) -> int | None:
    """A number with one of the suffixes that the program takes (``xstrtoumax``)."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    number, small, large, tail = match.groups()
    if (small or large or "") not in suffixes:
        return None
    factor = _SMALL[small] if small else 1
    if large:
        factor = (1000 if tail == "B" else 1024) ** (1 + "KMGTPEZY".index(large.upper()))
    # No limit has more digits, and Python refuses to read thousands of them.
    return int(number.lstrip("0")[:40] or "0") * factor


def short(argv: list[str], long: dict[str, str]) -> list[str]:
    """``argv`` with long options written as short ones: {"lines": "n:", "quiet": "q"}."""
    words = [argv[0]]
    for at, word in enumerate(argv[1:], 1):
        if word == "--":
            return words + argv[at:]
        name, equals, value = word[2:].partition("=") if word.startswith("--") else ("", "", "")
        letter = long.get(name, "")
        if letter and (not equals or letter.endswith(":")):
            words.append(f"-{letter[0]}{value}")
        else:
            words.append(word)
    return words


def refused(argv: list[str], spec: str, modelled: str, long: dict[str, str]) -> str | None:
    """Says which option of ``argv`` is not modelled; None if there is none."""
    words = short(argv, long)
    before = words[: words.index("--")] if "--" in words else words
    for word in before[1:]:
        if word.startswith("--"):
            known = " ".join(f"--{name}" for name in long)
            return f"{argv[0]}: option {word} is not modelled; modelled are {known}"
    return unmodelled(words, spec, modelled)


def options(
    argv: list[str], spec: str, long: dict[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """The options in their order, by their letters, and the operands. Raises ``GetoptError``."""
    return getopt(short(argv, long), spec)


def unreadable(program: str, name: str, label: str, error: OSError) -> Step:
    """What a program says of a file that it cannot open or read (a folder can be opened)."""
    text = f"cannot open '{name}' for reading"
    if error.errno == errno.EISDIR:
        text = f"error reading '{label}'"
    yield from err(f"{program}: {text}: {error.strerror}\n")


def users(argv: list[str], spec: str, long: dict[str, str]) -> list[str]:
    """Those operands that may be files of the user's; the others are the system's."""
    try:
        _, names = options(argv, spec, long)
    except GetoptError:
        return []
    return [name for name in names if name != "-" and not name.startswith("/")]
