"""One line of a shell, read before anything runs.

What there is: words with the three kinds of quoting, ``|``, ``>``, ``>>``, ``<``, ``2>``,
``2>>`` and ``2>&1``, and lists with ``;``, ``&&`` and ``||``. Everything else that a shell would
act on is refused by name and column, so that a line never means something else here than it
would to bash. ``sudo`` in front of a command is read and has no effect: every program may do
all. A program has a name, or the path that Debian installs it at.

One pipeline is its programs' own; a list is run by a shell (``desim.userland.sh``), which is a
process like others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from desim.data import NamedTuple
from desim.userland.command import Command, Pipeline, ProgramFile, Redirection
from desim.userland.files import DEVICES, normalise

MAX_LINE = 65536
MAX_COMMANDS = 64

LISTS = (";", "&&", "||")
"""What joins pipelines to a list."""
OPERATORS = ("|", *LISTS, "<", "0<", ">", "1>", ">>", "1>>", "2>", "2>>", "2>&1", ">&2", "1>&2")
SUPERUSERS = frozenset(("arp", "ethtool", "httpd", "ifconfig", "udhcpc"))
"""The programs in /sbin and /usr/sbin; the others are in /bin and /usr/bin, which are one."""
BOTH = frozenset(("ip",))
"""What has a link in the other of the two, too."""
INSTEAD = {
    "ip": "the host has its loopback interface only",
}
"""What to do where a side has not got a program of that name."""
_QUOTES = "'\""
_BLANKS = " \t"
_ENDS_WORD = _BLANKS + "<>|;&"
_REFUSED = {
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


class _Token(NamedTuple):
    column: int
    text: str
    operator: bool
    quoted: bool


def parse(line: str, programs: Mapping[str, ProgramFile]) -> list[Command]:
    """The commands of ``line``, joined by pipes; ``ShellError`` if it cannot be run.

    A list is one command: the shell that runs it, with its commands as ``inner``.
    ``programs`` is the side's table: ``desim.userland.programs.GUEST_PROGRAMS`` or
    ``HOST_PROGRAMS``.
    """
    if len(line) > MAX_LINE:
        raise ShellError(f"{len(line)} characters; expected at most {MAX_LINE}", MAX_LINE + 1)
    pipelines = _list(line, programs)
    commands = [command for pipeline in pipelines for command in pipeline.commands]
    if len(commands) > MAX_COMMANDS:
        raise ShellError(
            f"{len(commands)} commands; expected at most {MAX_COMMANDS}", len(line) + 1
        )
    if len(pipelines) == 1 and not pipelines[0].timed:
        return commands
    from desim.userland.sh import sh  # a single pipeline needs no shell

    shell = ProgramFile(lambda argv: sh(pipelines), lambda argv: None)
    return [Command(["sh", "-c", line], shell, [], tuple(commands))]


def parse_program(line: str, programs: Mapping[str, ProgramFile]) -> Command:
    """The one program with its words that ``line`` is; ``ShellError`` if it needs a shell."""
    (pipeline, *others) = _list(line, programs)
    if others or pipeline.timed or len(pipeline.commands) > 1 or pipeline.commands[0].redirections:
        raise ShellError("it is started without a shell: no pipes, lists or redirections", 1)
    return pipeline.commands[0]


def _list(line: str, programs: Mapping[str, ProgramFile]) -> list[Pipeline]:
    pipelines = []
    operator = LISTS[0]
    waiting: list[_Token] = []
    for token in _tokens(line):
        if token.operator and token.text in LISTS:
            pipelines.append(_pipeline(operator, waiting, programs, token.column))
            operator = token.text
            waiting = []
        else:
            waiting.append(token)
    if waiting or operator != ";" or not pipelines:
        pipelines.append(_pipeline(operator, waiting, programs, len(line) + 1))
    return pipelines


def _pipeline(
    operator: str, tokens: list[_Token], programs: Mapping[str, ProgramFile], end: int
) -> Pipeline:
    timed = bool(tokens) and not tokens[0].quoted and _is_timer(tokens[0].text, programs)
    if timed:
        column = tokens.pop(0).column
        if tokens and tokens[0].text.startswith("-"):
            raise ShellError("options of bash's time are not modelled", tokens[0].column)
        if not tokens:
            raise ShellError("time needs a command to measure", column)
    commands = []
    words: list[_Token] = []
    for token in tokens:
        if token.operator and token.text == "|":
            commands.append(_command(words, programs, token.column))
            words = []
        else:
            words.append(token)
    commands.append(_command(words, programs, end))
    return Pipeline(operator, commands, timed)


def _is_timer(name: str, programs: Mapping[str, ProgramFile]) -> bool:
    return name in programs and programs[name].timer


def _tokens(line: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(line):
        letter = line[at]
        if letter in _BLANKS:
            at += 1
        elif letter in "<>|;&" or (letter in "012" and line[at + 1 : at + 2] in ("<", ">")):
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
    if line[at] == ";":
        end += 1
        while line[end : end + 1] in (";", "&"):
            end += 1
    while end < len(line) and line[end] in "<>|&" and line[at] != ";":
        end += 1
    if line[end - 1] == "&" and line[end : end + 1] in ("1", "2"):
        end += 1
    text = line[at:end]
    if text in OPERATORS and (text[-1] not in "12" or line[end : end + 1] in ("", *_ENDS_WORD)):
        return text
    if text in ("&", "&>", "&>>"):
        what = "commands in the background" if text == "&" else "redirections of both outputs"
        out = "give it a command line of its own" if text == "&" else "write > FILE 2>&1"
        raise ShellError(f"{what} ({text}) are not modelled; {out}", at + 1)
    raise ShellError(
        f"{text} is not modelled; of redirections there are < > >> 2> 2>> 2>&1, | for pipes, "
        "and ; && || for lists",
        at + 1,
    )


def _word(line: str, start: int) -> tuple[_Token, int]:
    out: list[str] = []
    quoted = False
    at = start
    while at < len(line) and line[at] not in _ENDS_WORD:
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
    return _started(words, redirections, programs)


def _started(
    words: Sequence[_Token], redirections: list[Redirection], programs: Mapping[str, ProgramFile]
) -> Command:
    """The command that ``words`` are, with the one that it starts if it is a wrapper."""
    argv = [word.text for word in words]
    program = _program(argv, words, programs)
    column = words[0].column
    if problem := program.check(argv):
        raise ShellError(problem, column)
    at = program.wraps.at(argv) if program.wraps is not None else None
    if at is None:
        return Command(argv, program, redirections)
    rest = words[len(words) - len(argv) + at :]
    return Command(argv, program, redirections, (_started(rest, [], programs),))


def _redirection(operator: _Token, name: _Token) -> Redirection:
    text = operator.text
    if text.endswith("<"):
        return Redirection(0, "<", name.text)
    if name.text not in DEVICES:
        try:
            normalise(name.text)
        except ValueError as error:
            raise ShellError(str(error), name.column) from None
    return Redirection(2 if text[0] == "2" else 1, text.lstrip("12"), name.text)


def _program(
    argv: list[str], words: Sequence[_Token], programs: Mapping[str, ProgramFile]
) -> ProgramFile:
    """The program of a command; ``busybox APPLET`` is cut down to the applet's own argv."""
    name = _bare(words[0])
    if name == "busybox":
        if len(argv) == 1:
            raise ShellError("busybox needs the name of an applet", words[0].column)
        applet = f"busybox {argv[1]}"
        if applet in programs:
            del argv[0]
            return programs[applet]
        applets = [other.split()[1] for other in programs if other.startswith("busybox ")]
        raise ShellError(_unknown("applet of busybox", argv[1], applets), words[1].column)
    if name in programs and not programs[name].timer:
        return programs[name]
    known = [other for other in programs if " " not in other]
    raise ShellError(_unknown("program", name, known), words[0].column)


def _bare(word: _Token) -> str:
    """The name of a program without its folder, which must be the right one."""
    folder, slash, name = word.text.rpartition("/")
    if not slash:
        return name
    parent = "sbin" if name in SUPERUSERS else "bin"
    if folder in (f"/{parent}", f"/usr/{parent}") or (
        name in BOTH and folder in ("/bin", "/usr/bin", "/sbin", "/usr/sbin")
    ):
        return name
    raise ShellError(
        f"no program {word.text!r}; programs are in /bin and /usr/bin, "
        f"and {', '.join(sorted(SUPERUSERS))} in /sbin and /usr/sbin",
        word.column,
    )


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    import difflib  # costs every start what only mistakes need

    if name in INSTEAD:
        return f"no {what} {name!r} here; {INSTEAD[name]}"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"no {what} {name!r}; {hint}there are {', '.join(sorted(known))}"
