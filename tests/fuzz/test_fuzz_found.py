"""What ``desim fuzz`` has found, and was mended: each is a scenario in ``found``, with its story.

Each keeps all laws about one run, and comes to what it expects.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.experiment.run import run
from desim.laws.table import LAWS
from desim.scenario.loader import load_scenario

FOUND = sorted((Path(__file__).parent / "found").glob("*.toml"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_is_mended(path: Path) -> None:
    result = run(load_scenario(str(path)))
    assert result.expectations == []
    for law in LAWS.values():
        assert law.broken(result) == [], law.name
