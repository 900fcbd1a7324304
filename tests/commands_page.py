"""``docs/commands.md``: the reference of commands, made from the parsers' own help.

What stands above the mark is written by hand; everything below it is made. Run as a program
(``nox -s pages``) this writes it anew, and a test compares.
"""

from __future__ import annotations

import argparse
import re
from importlib import import_module

from documents import ROOT, read

from desim.cli._argparse import FullParser
from desim.cli._arguments import Parser
from desim.cli._commands import COMMANDS

PAGE = ROOT / "docs" / "commands.md"
MARK = "<!-- Below this line: nox -s pages -->\n"


def parser_of(name: str) -> FullParser:
    """The parser of a command."""
    made = import_module("desim.cli." + name.replace("-", "_")).parser()
    assert isinstance(made, Parser)
    return made.full


def actions(parser: FullParser) -> list[argparse.Action]:
    """What a command takes, but for ``--help``."""
    return [action for action in parser._actions if action.dest != "help"]


def escaped(text: str) -> str:
    """``text`` as it stands, whatever Markdown would make of it."""
    return re.sub(r"([*<|])", r"\\\1", text)


def spelling(action: argparse.Action) -> str:
    """How an argument is written, such as ``-j N, --jobs N``."""
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None:
        value = "|".join(map(str, action.choices))
    if action.nargs == 0:
        value = ""
    if not action.option_strings:
        return value + ("..." if action.nargs in ("+", "*") else "")
    return ", ".join(f"{option} {value}".strip() for option in action.option_strings)


def usage(parser: FullParser) -> str:
    """The command in one line; argparse's own differs between versions of Python."""
    if parser.usage is not None:
        return parser.usage
    words = [f"desim {parser.name}"]
    for action in actions(parser):
        if action.required or not action.option_strings:
            word = spelling(action)
            words.append(f"[{word}]" if action.nargs == "*" else word)
    optional = any(a.option_strings and not a.required for a in actions(parser))
    return " ".join(words) + " [OPTIONS]" * optional


def paragraph(text: str) -> str:
    """A paragraph of an epilog; an indented one is an example or a list of spellings."""
    lines = text.splitlines()
    if not all(line.startswith("  ") for line in lines):
        return escaped(text)
    plain = [line[2:] for line in lines]
    if not plain[0].startswith("desim "):
        return "\n".join(("```text", *plain, "```"))
    shown = [f"$ {line}" if line.startswith("desim ") else line for line in plain]
    return "\n".join(("```console", *shown, "```"))


def entry(name: str) -> str:
    """One command."""
    parser = parser_of(name)
    assert parser.description is not None
    parts = [f"## desim {name}", escaped(parser.description), f"```text\n{usage(parser)}\n```"]
    rows = []
    for action in actions(parser):
        assert action.help, f"desim {name}: {spelling(action)} has no help"
        written = spelling(action).replace("|", "\\|")
        rows.append(f"| `{written}` | {escaped(action.help)} |")
    if rows:
        parts.append("\n".join(("| argument | is |", "|---|---|", *rows)))
    if parser.epilog:
        parts += [paragraph(text) for text in re.split(r"\n\n+", parser.epilog.strip("\n"))]
    return "\n\n".join(parts)


def page(old: str) -> str:
    """The page, with what stands above the mark in ``old``."""
    head, mark, _ = old.partition(MARK)
    assert mark, f"{PAGE.name} has lost its mark"
    return head + mark + "\n" + "\n\n".join(entry(name) for name in COMMANDS) + "\n"


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(page(read(PAGE)), encoding="utf-8")


if __name__ == "__main__":
    main()
