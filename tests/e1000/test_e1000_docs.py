"""docs/e1000.md: its examples are run, and it names what there is."""

from __future__ import annotations

import doctest
from pathlib import Path

from desim.conform.e1000.lint import RULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "e1000.md"


def test_the_examples_do_what_they_show() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert tried > 20
    assert not failed


def test_every_rule_of_the_driver_lint_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [rule.name for rule in RULES if f"`{rule.name}`" not in text] == []
