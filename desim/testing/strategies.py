"""Scenarios as hypothesis draws them: ``from desim.testing.strategies import scenarios``.

Needs the extra ``desim[fuzz]``. See ``docs/fuzzing.md``.
"""

from __future__ import annotations

from desim.fuzz.strategies import drivers, examples, faults, scenarios, sizes, transfers

__all__ = ["drivers", "examples", "faults", "scenarios", "sizes", "transfers"]
