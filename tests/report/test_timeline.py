"""The timeline: its lanes are what the trace says, and nothing is between them."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import shipped_run

from desim.events import FrameTaken, MitigationEnded
from desim.report.page import window as windows
from desim.report.page.run import Asked, page
from desim.report.page.timeline import Level, Machine, Timeline, timeline
from desim.report.page.window import DRAWN, QUIET_NS, Window, asked, busiest

BOOTED = 3_500_000_000


@cache
def made(name: str) -> Timeline:
    run = shipped_run(name)
    frames = run.packets["nic"]
    window = busiest([one.time for one in frames], [], BOOTED)
    assert window is not None
    return timeline(Machine(run.trace), frames, window)


NAMES = ["hello", "upload", "burst"]


@pytest.mark.parametrize("name", NAMES)
def test_the_processor_does_one_thing_at_every_instant(name: str) -> None:
    found = made(name)
    stretches = sorted(one for lane in found.processor.values() for one in lane)
    assert stretches[0].begin == found.window.begin
    assert stretches[-1].end == found.window.end
    assert all(one.end == other.begin for one, other in pairwise(stretches))


@pytest.mark.parametrize("name", NAMES)
def test_the_main_loop_does_one_thing_at_every_instant(name: str) -> None:
    found = made(name)
    assert found.main_loop[0].begin == found.window.begin
    assert found.main_loop[-1].end == found.window.end
    assert all(one.end == other.begin for one, other in pairwise(found.main_loop))


@pytest.mark.parametrize("name", NAMES)
def test_grey_is_where_somebody_waits(name: str) -> None:
    found = made(name)
    assert all(one.waits for one in found.processor[Level.HALTED])
    for lane in (*found.processor.values(), found.main_loop):
        assert all(one.waits == ("waits" in one.what or ": " in one.what) for one in lane)


@pytest.mark.parametrize("name", NAMES)
def test_polls_took_what_was_taken(name: str) -> None:
    run, found = shipped_run(name), made(name)
    taken = [one.time for one in run.trace.happened(FrameTaken)]
    assert sum(poll.frames for poll in found.polls) == sum(
        any(poll.begin <= time <= poll.end for poll in found.polls) for time in taken
    )
    assert any(poll.frames for poll in found.polls)


def test_the_ring_is_full_where_frames_are_lost_for_want_of_descriptors() -> None:
    found = made("burst")
    assert max(one.frames for one in found.ring) >= 64
    assert any("no receive descriptors" in one.what for one in found.lost)
    assert all(one.frames > 0 and one.begin < one.end for one in found.ring)
    assert all(one.end <= other.begin for one, other in pairwise(found.ring))


@pytest.mark.parametrize("name", NAMES)
def test_hold_offs_are_those_of_the_trace(name: str) -> None:
    run, found = shipped_run(name), made(name)
    ended = {
        (one.event.begin_ns, one.time, one.event.by)
        for one in run.trace.happened(MitigationEnded)
        if found.window.has(one.event.begin_ns, one.time)
    }
    assert ended
    assert ended <= {(one.begin, one.end, one.by) for one in found.held_off}


def test_programs_of_the_guest_have_their_names() -> None:
    assert "nc" in {one.what for one in made("upload").processor[Level.TASK]}


@given(
    st.lists(st.integers(0, 10**10), max_size=40).map(sorted),
    st.lists(st.integers(0, 10**10), max_size=40).map(sorted),
    st.integers(0, 10**10),
)
def test_a_window_has_the_burst_with_the_most_frames(
    frames: list[int], rises: list[int], booted: int
) -> None:
    window = busiest(frames, rises, booted)
    if window is None:
        assert not frames
        return
    assert 0 <= window.begin <= window.seen_begin < window.seen_end <= window.end
    inside = [time for time in frames if window.has(time, time)]
    assert inside
    later = [time for time in frames if time >= booted] or frames
    for first in later:
        burst = [first]
        for time in (time for time in later if time > first):
            if time - burst[-1] > QUIET_NS:
                break
            burst.append(time)
        assert len(inside) + window.more >= len(burst)


def test_a_burst_that_is_too_long_is_cut_and_the_rest_counted() -> None:
    frames = list(range(0, 1_000_000, 1000))
    window = busiest(frames, [], 0)
    assert window is not None
    assert window.more == 1000 - DRAWN
    assert asked(frames, 0, 10**9) == Window(0, 255_000, 0, 255_000, 1000 - DRAWN)
    assert asked(frames, 500, 5_000) == Window(500, 5_000, 500, 5_000, 0)


def test_ten_rises_are_seen_at_first() -> None:
    frames = list(range(0, 1_000_000, 10_000))
    window = busiest(frames, [time + 5 for time in frames], 0)
    assert window is not None
    assert window.seen_end < window.end
    seen = [time for time in frames if window.sees(time + 5, time + 5)]
    assert windows.SHOWN <= len(seen) <= windows.SHOWN + 2


def test_what_was_asked_for_is_shown() -> None:
    text = page(shipped_run("hello"), Asked(stretch=(5_000_000_000, 5_002_500_000)))
    assert "Shown from 5.000000000 s to 5.002500000 s" in text
    assert "7 frames in 2,500 µs, 5 interrupts; at most 1 in the ring" in text


def test_each_machine_has_a_timeline_of_its_own() -> None:
    run = shipped_run("two-guests")
    text = page(run)
    for machine in ("", "b"):
        name = f"timeline-{machine}" if machine else "timeline"
        assert f'<section id="{name}"' in text
        frames = run.packets[f"{machine}-nic" if machine else "nic"]
        window = Window(0, run.end_ns, 0, run.end_ns, 0)
        found = timeline(Machine(run.trace, machine), frames, window)
        assert len(found.frames) == len(frames)
        vcpu = run.trace.threads[f"{machine} vcpu" if machine else "vcpu"]
        taken = [one for one in run.trace.happened(FrameTaken) if one.record is vcpu]
        assert sum(poll.frames for poll in found.polls) == len(taken) > 0
