"""Grace periods: at which ticks there is work, and at which the thread wakes."""

from __future__ import annotations

from desim.guest.cpu.rcu import GracePeriods


def ticks(rcu: GracePeriods, count: int) -> list[str]:
    """What each tick finds: nothing, the soft interrupt alone, or the thread woken by it."""
    seen = []
    for _ in range(count):
        if not rcu.pending():
            seen.append("-")
        elif rcu.core():
            rcu.advance()
            seen.append("wakes")
        else:
            seen.append("frees")
    return seen


def test_a_grace_period_takes_two_ticks_and_what_waited_is_freed_at_the_third() -> None:
    rcu = GracePeriods()
    assert ticks(rcu, 2) == ["-", "-"]
    rcu.call_rcu()
    assert ticks(rcu, 5) == ["wakes", "wakes", "frees", "-", "-"]


def test_what_comes_in_between_has_a_grace_period_of_its_own() -> None:
    rcu = GracePeriods()
    rcu.call_rcu()
    assert ticks(rcu, 1) == ["wakes"]
    rcu.call_rcu()
    assert ticks(rcu, 4) == ["wakes", "wakes", "frees", "-"]


def test_what_comes_behind_its_end_waits_for_the_next_tick() -> None:
    rcu = GracePeriods()
    rcu.call_rcu()
    assert ticks(rcu, 2) == ["wakes", "wakes"]
    rcu.call_rcu()
    assert ticks(rcu, 4) == ["wakes", "wakes", "frees", "-"]
