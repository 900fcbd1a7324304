"""What a recorded kernel drew is found in its frames, and makes ours send at the same ticks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_runs import recorded_run

from desim.conform.linux.draws import (
    COARSE,
    NEIGHBOUR_SOLICITATION,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
    draws,
    jiffies_zero,
)
from desim.conform.linux.predict import configuration, simulate
from desim.conform.linux.recording import JIFFY_NS, TIMER_BUCKET, Packet, Run
from desim.guest.net.ipv6.addrconf import (
    BACKOFF_DRAWS,
    BACKOFF_INIT,
    BACKOFF_UPDATE,
    RTR_SOLICIT_DELAY,
    RTR_SOLICIT_INTERVAL,
    backoff,
)
from desim.userland.timerwheel import bucket_of

SOLICITED = ("det_itr0_nomit", "ping_1ms")
"""A router is solicited once more in the middle of this test."""
US = 1000


def made(
    *, zero: int, link: int, announced: list[int], solicited: list[int], shift: int | None = 0
) -> Run:
    """A run with frames some microseconds after given ticks; slirp answers the first soliciting."""

    def at(tick: int) -> int:
        return (zero + tick * JIFFY_NS) // US + 30

    frames = [Packet(at(tick), False, NEIGHBOUR_SOLICITATION, "ipv6") for tick in announced]
    frames += [Packet(at(tick), False, ROUTER_SOLICITATION, "ipv6") for tick in solicited]
    frames += [Packet(at(tick), True, ROUTER_ADVERTISEMENT, "ipv6") for tick in solicited[:1]]
    known = zero % (TIMER_BUCKET * JIFFY_NS) - TIMER_BUCKET * JIFFY_NS
    return Run(
        name="made",
        kind="det",
        qemu=[],
        modprobe="e1000",
        shift=shift,
        never_idle=True,
        seeded=False,
        offset_ns=0,
        jiffies_zero_ns=known,
        link_ns=zero + link * JIFFY_NS,
        insmod_ns=0,
        up_ns=0,
        warm_up=[],
        packets=sorted(frames),
    )


def chain(first: int, backoffs: list[int]) -> list[int]:
    """The ticks of solicitations: the first, and one after each backoff drawn."""
    ticks, interval, least = [first], RTR_SOLICIT_INTERVAL, BACKOFF_INIT
    for draw in backoffs:
        interval, least = backoff(least, draw, interval), BACKOFF_UPDATE
        ticks.append(bucket_of(ticks[-1] + interval, ticks[-1])[0])
    return ticks


@given(
    link=st.integers(64, 2000),
    delays=st.tuples(st.integers(0, RTR_SOLICIT_DELAY - 1), st.integers(0, RTR_SOLICIT_DELAY - 1)),
    zero=st.integers(-1000 * JIFFY_NS, 0),
)
def test_a_delay_is_found_as_exactly_as_the_wheel_keeps_it(
    link: int, delays: tuple[int, int], zero: int
) -> None:
    zero -= zero % (TIMER_BUCKET * JIFFY_NS)
    first = bucket_of(link + delays[0], link)[0]
    begun = first + 300
    second = bucket_of(begun + delays[1], begun)[0]
    run = made(zero=zero, link=link, announced=[first, second], solicited=[begun])
    found = draws(run)["dad_delay"]
    assert len(found) == 2
    shift = (zero - run.jiffies_zero_ns) // JIFFY_NS
    for begin, delay, drawn in zip((link, begun), delays, found, strict=True):
        armed = begin + shift
        assert bucket_of(armed + drawn, armed)[0] == bucket_of(armed + delay, armed)[0]


@given(
    first=st.integers(500, 2000),
    drawn=st.integers(0, BACKOFF_DRAWS - 1),
    zero=st.integers(-1000, 0),
)
def test_a_backoff_is_found_and_with_it_the_count_of_the_ticks(
    first: int, drawn: int, zero: int
) -> None:
    zero *= COARSE * JIFFY_NS
    sent = chain(first, [drawn])
    run = made(zero=zero, link=400, announced=[], solicited=sent)
    assert (jiffies_zero(run) - zero) % (COARSE * JIFFY_NS) == 0
    (found,) = draws(run)["rtr_solicit_backoff"]
    assert chain(first, [found]) == sent


@given(
    first=st.integers(500, 2000), backoffs=st.lists(st.integers(0, BACKOFF_DRAWS - 1), max_size=4)
)
def test_the_draws_of_a_chain_are_possible_ones(first: int, backoffs: list[int]) -> None:
    """A later backoff stands on an interval that is known to 64 jiffies only."""
    sent = chain(first, backoffs)
    run = made(zero=-COARSE * JIFFY_NS, link=400, announced=[], solicited=sent)
    found = draws(run)["rtr_solicit_backoff"]
    assert all(0 <= draw < BACKOFF_DRAWS for draw in found)
    again = chain(first, list(found))
    assert again == sent[: len(again)]
    assert len(again) >= min(len(sent), 2)


def test_what_no_draw_explains_is_left_to_the_seed() -> None:
    sent = chain(1288, [100_000])
    too_early = [sent[0], sent[1] - 2 * RTR_SOLICIT_INTERVAL // 10 // COARSE * COARSE]
    run = made(
        zero=-COARSE * JIFFY_NS, link=1000, announced=[1000 + 300, 1400], solicited=too_early
    )
    assert draws(run) == {"dad_delay": (), "rtr_solicit_backoff": ()}


def test_real_time_tells_no_draws() -> None:
    run = made(zero=0, link=1000, announced=[1031], solicited=[1288], shift=None)
    assert draws(run) == {}
    assert draws(made(zero=0, link=1000, announced=[1031], solicited=[1288])) != {}


@pytest.mark.parametrize("name", [SOLICITED[0], "det_itr8000", "vt_itr0"])
def test_the_guest_announces_and_solicits_at_the_recorded_ticks(name: str) -> None:
    found = recorded_run(name)
    tests = [test for test in found.tests if test.name == SOLICITED[1]]
    config = configuration(found, costs="icount", tests=tests)
    config.until_ns = 10_000_000_000
    captured = simulate(config).captures()["slirp"]
    lengths = {NEIGHBOUR_SOLICITATION, ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT}
    ours = [
        (c.time, len(c.frame.raw))
        for c in captured
        if c.frame.raw[12:14] == b"\x86\xdd" and len(c.frame.raw) in lengths
    ]
    theirs = [(p.time_us * US, p.length) for p in found.packets if p.length in lengths]
    theirs = [(time, length) for time, length in theirs if time < config.until_ns]
    assert [length for _, length in ours] == [length for _, length in theirs]
    assert len(ours) == (6 if found.name == SOLICITED[0] else 4)
    for (our_ns, _), (their_ns, _) in zip(ours, theirs, strict=True):
        assert abs(our_ns - their_ns) < 50 * US
    assert all(one <= other for one, other in pairwise(ours))
