"""The table of rules; findings come in the order in which the log shows them."""

from __future__ import annotations

from desim.conform.e1000.lint import reception, registers, rings
from desim.conform.e1000.lint.rule import Rule

RULES: tuple[Rule, ...] = (*rings.RULES, *reception.RULES, *registers.RULES)
