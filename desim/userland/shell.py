"""One line of a shell, read before anything runs.

What there is: words with the three kinds of quoting, ``|``, ``>``, ``>>``, ``<``, ``2>``,
``2>>`` and ``2>&1``. Everything else that a shell would act on is refused by name and
column, so that a line never means something else here than it would to bash.
``sudo`` in front of a command is read and has no effect: every program may do all.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from desim.userland.files import normalise
from desim.userland.program import Program

MAX_LINE = 65536
MAX_COMMANDS = 64

OPERATORS = ("|", "<", "0<", ">", "1>", ">>", "1>>", "2>", "2>>", "2>&1", ">&2", "1>&2")
_QUOTES = "'\""
_BLANKS = " \t"
_REFUSED = {
    ";": "several commands in one line (;)",
    "&": "background commands and && (&)",
    "$": "variables and substitutions ($)",
    "`": "command substitution (`)",
    "*": "file name patterns (*)",
    "?": "file name patterns (?)",
    "[": "file name patterns ([)",
    "(": "subshells (()",
    ")": "subshells ())",
    "{": "groups and brace expansion ({)",
    "}": "groups and brace expansion (})",
    "!": "negation and history (!)",
    "\n": "several lines",
}
_AT_START = {"~": "home folders (~)", "#": "comments (#)"}


class ShellError(ValueError):
    """A line that cannot be run. ``column`` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.message = message
        self.column = column


class Redirection(NamedTuple):
    """``fd``, how (``<``, ``>``, ``>>``, or ``&`` for a copy of descriptor ``name``), and what."""

    fd: int
    kind: str
    name: str


class ProgramFile(NamedTuple):
    """An entry of /bin. ``check`` says before the run what of an argv is not modelled, or None.

    ``reads`` names the user's files and folders that it may read, beside ``< FILE``.
    """

    start: Callable[[list[str]], Program]
    check: Callable[[list[str]], str | None]
    reads: Callable[[list[str]], Sequence[str]] = lambda argv: ()


class Command(NamedTuple):
    """One program of a pipeline, with its words and redirections in their order."""

    argv: list[str]
    program: ProgramFile
    redirections: list[Redirection]

    def start(self) -> Program:
        """A new run of the program."""
        return self.program.start(self.argv)

    @property
    def inputs(self) -> list[str]:
        """The files of the user's that are its input."""
        return [name for _, kind, name in self.redirections if kind == "<" and name != "/dev/null"]

    @property
    def reads(self) -> Sequence[str]:
        """The user's files and folders that it may look into by itself."""
        return self.program.reads(self.argv)


class _Token(NamedTuple):
    column: int
    text: str
    operator: bool
    quoted: bool


def parse(line: str, programs: Mapping[str, ProgramFile]) -> list[Command]:
    """The commands of ``line``, joined by pipes; ``ShellError`` if it cannot be run.

    ``programs`` is the side's table: ``desim.userland.programs.GUEST`` or ``HOST``.
    """
    if len(line) > MAX_LINE:
        raise ShellError(f"{len(line)} characters; expected at most {MAX_LINE}", MAX_LINE + 1)
    commands = []
    tokens: list[_Token] = []
    end = len(line) + 1
    for token in _tokens(line):
        if token.operator and token.text == "|":
            commands.append(_command(tokens, programs, token.column))
            tokens = []
        else:
            tokens.append(token)
    commands.append(_command(tokens, programs, end))
    if len(commands) > MAX_COMMANDS:
        raise ShellError(f"{len(commands)} commands; expected at most {MAX_COMMANDS}", end)
    return commands


def _tokens(line: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(line):
        letter = line[at]
        if letter in _BLANKS:
            at += 1
        elif letter in "<>|" or (letter in "012" and line[at + 1 : at + 2] in ("<", ">")):
            text = _operator(line, at)
            tokens.append(_Token(at + 1, text, True, False))
            at += len(text)
        else:
            token, at = _word(line, at)
            tokens.append(token)
    return tokens


def _operator(line: str, at: int) -> str:
    """The operator at ``at``; one that is not among OPERATORS is refused, not split up."""
    end = at + (line[at] in "012")
    while end < len(line) and line[end] in "<>|&":
        end += 1
    if line[end - 1] == "&" and line[end : end + 1] in ("1", "2"):
        end += 1
    text = line[at:end]
    if text in OPERATORS and (text[-1] not in "12" or line[end : end + 1] in ("", *" \t<>|")):
        return text
    raise ShellError(
        f"{text} is not modelled; of redirections there are < > >> 2> 2>> 2>&1, and | for pipes",
        at + 1,
    )


def _word(line: str, start: int) -> tuple[_Token, int]:
    out: list[str] = []
    quoted = False
    at = start
    while at < len(line) and line[at] not in _BLANKS + "<>|":
        letter = line[at]
        if letter in _QUOTES:
            quoted = True
            at = _quoted(line, at, out)
        elif letter == "\\":
            if at + 1 == len(line):
                raise ShellError("a backslash at the end of the line quotes nothing", at + 1)
            quoted = True
            out.append(line[at + 1])
            at += 2
        else:
            refused = _REFUSED.get(letter) or (_AT_START.get(letter) if at == start else None)
            if refused:
                raise ShellError(f"{refused} are not modelled; quote it to mean itself", at + 1)
            out.append(letter)
            at += 1
    return _Token(start + 1, "".join(out), False, quoted), at


def _quoted(line: str, start: int, out: list[str]) -> int:
    """Append what the quotes that open at ``start`` hold; the index behind them."""
    quote = line[start]
    at = start + 1
    while at < len(line) and line[at] != quote:
        letter = line[at]
        if quote == '"' and letter in "$`":
            raise ShellError(
                f"{_REFUSED[letter]} are not modelled; in single quotes it means itself", at + 1
            )
        if quote == '"' and letter == "\\" and line[at + 1 : at + 2] in ("$", "`", '"', "\\"):
            at += 1
            letter = line[at]
        out.append(letter)
        at += 1
    if at == len(line):
        raise ShellError(f"the quote {quote} is never closed", start + 1)
    return at + 1


def _command(tokens: Sequence[_Token], programs: Mapping[str, ProgramFile], column: int) -> Command:
    words: list[_Token] = []
    redirections: list[Redirection] = []
    waiting = list(reversed(tokens))
    while waiting:
        token = waiting.pop()
        if not token.operator:
            words.append(token)
        elif token.text in ("2>&1", "1>&2", ">&2"):
            fd, source = (2, "1") if token.text == "2>&1" else (1, "2")
            redirections.append(Redirection(fd, "&", source))
        elif not waiting or waiting[-1].operator:
            raise ShellError(f"{token.text} needs the name of a file", token.column)
        else:
            redirections.append(_redirection(token, waiting.pop()))
    if words and words[0].text == "sudo":
        words.pop(0)
        if words and words[0].text.startswith("-"):
            raise ShellError("options of sudo are not modelled", words[0].column)
    if not words:
        raise ShellError("a command is missing", column)
    first = words[0]
    if "=" in first.text and not first.quoted:
        raise ShellError("variables (NAME=value) are not modelled", first.column)
    argv = [word.text for word in words]
    program = _program(argv, words, programs)
    if problem := program.check(argv):
        raise ShellError(problem, first.column)
    return Command(argv, program, redirections)


def _redirection(operator: _Token, name: _Token) -> Redirection:
    text = operator.text
    if text.endswith("<"):
        return Redirection(0, "<", name.text)
    if name.text != "/dev/null":
        try:
            normalise(name.text)
        except ValueError as error:
            raise ShellError(str(error), name.column) from None
    return Redirection(2 if text[0] == "2" else 1, text.lstrip("12"), name.text)


def _program(
    argv: list[str], words: Sequence[_Token], programs: Mapping[str, ProgramFile]
) -> ProgramFile:
    """The program of a command; ``busybox APPLET`` is cut down to the applet's own argv."""
    name = argv[0]
    if name == "busybox":
        if len(argv) == 1:
            raise ShellError("busybox needs the name of an applet", words[0].column)
        applet = f"busybox {argv[1]}"
        if applet in programs:
            del argv[0]
            return programs[applet]
        applets = [other.split()[1] for other in programs if other.startswith("busybox ")]
        raise ShellError(_unknown("applet of busybox", argv[1], applets), words[1].column)
    if name in programs:
        return programs[name]
    known = [other for other in programs if " " not in other]
    raise ShellError(_unknown("program", name, known), words[0].column)


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"no {what} {name!r}; {hint}there are {', '.join(sorted(known))}"
