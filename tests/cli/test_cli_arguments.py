"""A line of names alone means what argparse, which reads all others, would make of it."""

from __future__ import annotations

from importlib import import_module

import pytest

from desim.cli._arguments import Parser
from desim.cli._commands import COMMANDS
from desim.errors import UserError


@pytest.mark.parametrize("name", COMMANDS)
def test_names_alone_are_read_as_argparse_reads_them(name: str) -> None:
    made = import_module("desim.cli." + name.replace("-", "_")).parser()
    assert isinstance(made, Parser)
    for words in ([], ["hello"], ["hello", "hello-close"], [""], ["a", "b", "c"]):
        try:
            expected = vars(made.full.read(words))
        except UserError:
            expected = None
        found = made._names(words)
        assert found is None or vars(found) == expected


def test_a_line_with_options_is_argparses() -> None:
    parser = import_module("desim.cli.run").parser()
    assert parser._names(["hello"]).scenario == "hello"
    assert parser._names(["hello", "-v"]) is None
    assert parser._names(["--", "hello"]) is None
    assert parser.read(["hello", "-v"]).verbosity == 1
