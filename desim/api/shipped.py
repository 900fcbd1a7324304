"""What comes with desim: scenarios and cost profiles."""

from __future__ import annotations

import tomllib
from pathlib import Path

from desim.data import NamedTuple
from desim.scenario.shipped import shipped_scenarios


class CostProfile(NamedTuple):
    """What a cost profile says of itself."""

    status: str
    """``"measured"``, or ``"assumed"``: then it shows orders of magnitude, and predicts nothing."""
    unit: str
    """What its figures are: ``"ns"``, or ``"instructions"`` of the guest."""
    description: str
    """One line for people."""


def scenarios() -> dict[str, str]:
    """The scenarios that come with desim: the name for :func:`desim.load`, and what each is."""
    return {
        name: tomllib.loads(Path(file).read_text(encoding="utf-8"))["description"]
        for name, file in shipped_scenarios().items()
    }


def cost_profiles() -> dict[str, CostProfile]:
    """The cost profiles that come with desim: the name for ``costs``, and what each stands for."""
    from desim.costs import profile

    heads = {name: profile.head(name) for name in profile.shipped()}
    return {
        name: CostProfile(
            head.get("status", "assumed"), head.get("unit", profile.NS), head.get("description", "")
        )
        for name, head in heads.items()
    }
