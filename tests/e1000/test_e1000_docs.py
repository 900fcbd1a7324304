"""docs/e1000.md names every rule that there is."""

from __future__ import annotations

from pathlib import Path

from desim.conform.e1000.lint import RULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "e1000.md"


def test_every_rule_of_the_driver_lint_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [rule.name for rule in RULES if f"`{rule.name}`" not in text] == []
