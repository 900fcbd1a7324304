"""Stretches of one kind, measured and simulated, become equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from desim.calibrate.meter import Figure
from desim.calibrate.observe import (
    BURSTS,
    ENOUGH,
    GROUPS,
    INTERRUPTED,
    USUAL_WEIGHT,
    Clockwork,
    kinds,
    parts,
    round_observations,
    syn_observation,
    wire_observations,
)
from desim.conform.linux.recording import Packet
from desim.machine.capture import Captured
from desim.wire.frame import Frame

WORK: Figure = ("a.c", "work", "enter")
RARE: Figure = ("a.c", "rare", "enter")


def test_a_few_stretches_are_one_equation_of_their_means() -> None:
    (one,) = parts("kind", [900, 1100, 1300], [(10, {WORK: 1}), (20, {WORK: 2, RARE: 1})])
    assert (one.name, one.measured) == ("kind", 1100)
    assert one.counts == {WORK: 1.5, RARE: 0.5}


def test_the_longest_measured_stand_against_the_longest_simulated() -> None:
    """So what is due in a quarter of them is told from what always is."""
    measured = [1000] * 30 + [8000] * 10
    simulated = [(5, {WORK: 1})] * 15 + [(9, {WORK: 1, RARE: 1})] * 5
    found = list(parts("kind", measured, simulated))
    assert [one.name for one in found] == [f"kind, part {n} of 4" for n in (1, 2, 3, 4)]
    assert [one.measured for one in found] == [1000, 1000, 1000, 8000]
    assert [one.counts.get(RARE, 0) for one in found] == [0, 0, 0, 1]


def test_nothing_measured_or_nothing_simulated_is_no_equation() -> None:
    assert list(parts("kind", [], [(1, {WORK: 1})])) == []
    assert list(parts("kind", [1], [])) == []


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=60),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=60),
)
def test_parts_go_up_in_length_around_the_mean_of_all(
    measured: list[int], lengths: list[int]
) -> None:
    found = list(parts("kind", measured, [(length, {WORK: length}) for length in lengths]))
    assert len(found) == (GROUPS if min(len(measured), len(lengths)) >= ENOUGH else 1)
    assert [one.measured for one in found] == sorted(one.measured for one in found)
    works = [one.counts[WORK] for one in found]
    assert works == sorted(works)
    assert min(works) - 1e-6 <= sum(lengths) / len(lengths) <= max(works) + 1e-6


WORK: Figure = ("file.c", "work", "enter")


class Counted:
    """A clockwork that has one figure, once in each ``step`` ns, and never waits."""

    def __init__(self, step: int = 1_000, extra: Mapping[int, Figure] | None = None) -> None:
        self.step = step
        self.extra = extra or {}

    def stretch(self, first: int, last: int) -> dict[Figure, int]:
        counts = {WORK: (last - first) // self.step}
        if first in self.extra:
            counts[self.extra[first]] = 1
        return counts


def clockwork(**more: Any) -> Clockwork:
    return cast("Clockwork", Counted(**more))


def packets(stamps: list[tuple[int, bool]]) -> list[Packet]:
    return [Packet(time, to_guest, 60, "tcp") for time, to_guest in stamps]


def captured(stamps: list[tuple[int, bool]]) -> list[Captured]:
    return [Captured(time * 1_000, to_guest, Frame(bytes(60))) for time, to_guest in stamps]


def rounds(lengths: list[int], frames: int) -> list[tuple[int, bool]]:
    """Rounds of so many us, each begun and ended by a frame of the guest."""
    time = 0
    stamps = [(time, False)]
    for length in lengths:
        stamps += [(time, True)] * frames
        time += length
        stamps.append((time, False))
    return stamps


def test_rounds_are_told_apart_by_their_frames_and_those_before() -> None:
    measured, ours = rounds([100, 120, 120, 121, 122], 44), rounds([90, 80, 80, 80], 44)
    (only,) = round_observations("t", packets(measured), captured(ours), clockwork())
    assert (only.measured, only.counts, only.weight) == (121_000, {WORK: 80}, USUAL_WEIGHT)
    assert "44 frames in 1 after 44" in only.name


def test_rounds_together_stand_against_those_with_as_many_frames_in_all() -> None:
    """Ours has one frame less in the small round, and one more in the middle one."""

    def rhythm(small: int, middle: int, lengths: tuple[int, int, int]) -> list[tuple[int, bool]]:
        stamps, time = [(0, False)], 0
        for _ in range(BURSTS + 1):
            for frames, length in zip((44, small, middle), lengths, strict=True):
                stamps += [(time, True)] * frames
                time += length
                stamps.append((time, False))
        return stamps

    measured, ours = rhythm(18, 28, (140, 125, 131)), rhythm(17, 29, (157, 125, 130))
    found = list(round_observations("t", packets(measured), captured(ours), clockwork()))
    assert {(o.name, o.measured): dict(o.counts) for o in found} == {
        ("t: 46 frames in 2 after 44", 256_000): {WORK: 255},
        ("t: 90 frames in 3 after 44", 396_000): {WORK: 412},
    }


def test_a_round_that_is_too_rare_on_either_side_says_nothing() -> None:
    many, few = rounds([100] * (BURSTS + 1), 44), rounds([100] * BURSTS, 44)
    for measured, ours in ((many, few), (few, many), (many, rounds([100] * 9, 20))):
        assert not list(round_observations("t", packets(measured), captured(ours), clockwork()))


def test_the_shorter_a_stretch_between_stamps_the_less_it_counts() -> None:
    stamps = [(0, False), (10, False), (110, False), (111, False), (113, False)]
    found = list(wire_observations("t", packets(stamps), captured(stamps), clockwork()))
    assert [o.measured for o in found] == [10_000, 100_000, 3_000]
    assert 1 > found[1].weight > found[0].weight > found[2].weight > 0


def test_the_first_connect_is_measured_up_to_its_syn_and_no_later_one() -> None:
    begins, syn = 10_000, 6_040_000
    first, later = [(6_100, False), (6_110, True)], [(131, False)]
    clock = clockwork()
    (only,) = syn_observation(
        "t", 100_000, packets(first), begins, captured([(6_040, False)]), clock
    )
    assert (only.measured, dict(only.counts)) == (6_000_000, {WORK: (syn - begins) // 1000})
    assert not list(syn_observation("t", 100_000, packets(later), begins, captured(later), clock))
    assert not list(syn_observation("t", 0, [], begins, captured(later), clock))


def test_requests_of_a_kind_are_one_equation_and_interrupted_ones_none() -> None:
    slab: Figure = ("mm/slub.c", "allocate_slab", "enter")
    clock = clockwork(extra={30_000: slab, 40_000: next(iter(INTERRUPTED))})
    measured = [6_400, 6_360, 9_900, 31_000, 6_380, 6_381]
    begins = [10_000, 20_000, 30_000, 40_000, 50_000, 60_000]
    found = list(kinds("t", measured, begins, [6_000] * 6, clock))
    assert [(o.measured, dict(o.counts)) for o in found] == [
        (6_380.5, {WORK: 6}),
        (9_900, {WORK: 6, slab: 1}),
    ]
