"""Altering any one recorded fact makes that recording fail (alterations.py does it to all)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from alterations import (
    ARCHIVES,
    Fact,
    all_altered,
    end_facts,
    fails,
    recordings,
    step_facts,
    version_of,
)

from desim.conform.slirp.recordings import Recording
from desim.conform.slirp.replay import replay

SMALL = [f"{version}-{family}" for version in ("v470", "nov2016") for family in ("arp", "dns")]
SMALL += ["v470-guestfwd", "nov2016-guestfwd", "nov2016-icmp"]


def some_facts(draw: random.Random, recording: Recording) -> list[tuple[Recording, str]]:
    """The recording with one fact altered, in a few ways: of steps, and of the poll loop."""
    altered = []
    steps: list[dict[str, Any]] = recording["steps"]
    numbers = [n for n, step in enumerate(steps) if step["out"] or "result" in step]
    for number in draw.sample(numbers, min(2, len(numbers))):
        fact: Fact = draw.choice(list(step_facts(steps[number])))
        step = {**steps[number], fact.key: fact.value}
        others = [*steps[:number], step, *steps[number + 1 :]]
        altered.append(({**recording, "steps": others}, f"step {number}, {fact.kind}"))
    fact = draw.choice(list(end_facts(recording)))
    return [*altered, ({**recording, fact.key: fact.value}, fact.kind)]


@pytest.mark.slow
@pytest.mark.parametrize("archive", ARCHIVES)
def test_an_altered_fact_of_each_recording_is_noticed(archive: str) -> None:
    draw = random.Random(archive)
    version = version_of(archive)
    for name, recording in recordings(archive):
        for altered, what in some_facts(draw, recording):
            noticed = fails(lambda altered=altered: replay(altered, version))
            assert noticed, f"{name}: {what} was altered, and nobody noticed"


@pytest.mark.slow
@pytest.mark.parametrize("archive", SMALL)
def test_every_altered_fact_of_small_families_is_noticed(archive: str) -> None:
    altered = list(all_altered(archive))
    assert len(altered) > 1000
    assert [(place, kind) for place, kind, noticed in altered if not noticed] == []
