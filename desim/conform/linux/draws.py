"""What the recorded kernel drew, as far as its frames show it.

When the guest announces its addresses, and when it solicits routers once more, is left to
chance: the kernel draws a delay and arms a timer. A repeated solicitation may fall into a
test, and moves what follows it. What the recorded kernel drew is an outside fact, as it is
when that kernel was booted, and is taken over; what the guest does at those times is
predicted.

A frame's time tells the jiffy at which the timer fired, and so which draws are possible;
the middle one is taken. Frames are told apart by their length: the decoded lists say no
more of IPv6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from desim.conform.linux.recording import JIFFY_NS, TIMER_BUCKET, Run
from desim.guest.net.ipv6.addrconf import (
    BACKOFF_DRAWS,
    BACKOFF_INIT,
    BACKOFF_UPDATE,
    RTR_SOLICIT_DELAY,
    RTR_SOLICIT_INTERVAL,
    backoff,
)
from desim.userland.timerwheel import bucket_of

NEIGHBOUR_SOLICITATION = 86
"""Bytes of a frame with a solicitation from ``::`` and its nonce."""
ROUTER_SOLICITATION = 70
ROUTER_ADVERTISEMENT = 110
"""slirp's."""

COARSE = 64
"""Jiffies: the timer wheel's resolution for a timer four seconds away."""
STEP = 500
"""Every so many draws of a backoff are tried: half a jiffy of four seconds."""


def jiffies_zero(run: Run) -> int:
    """``Run.jiffies_zero_ns``, as exact as a repeated solicitation allows.

    Its timer is four seconds away, and fires when the counter is a multiple of 64.
    """
    zero = run.jiffies_zero_ns
    sent = _times(run, ROUTER_SOLICITATION, to_guest=False)
    if len(sent) > 1:
        for earlier in range(zero, zero - COARSE * JIFFY_NS, -TIMER_BUCKET * JIFFY_NS):
            if not _jiffy(sent[1], earlier) % COARSE:
                return earlier
    return zero


def draws(run: Run) -> dict[str, tuple[int, ...]]:
    """The first numbers of the kernel's random streams, by stream."""
    if run.shift is None:
        return {}  # In real time ticks are lost, and a frame's time tells no jiffy.
    zero = jiffies_zero(run)
    announced = _times(run, NEIGHBOUR_SOLICITATION, to_guest=False)
    solicited = _times(run, ROUTER_SOLICITATION, to_guest=False)
    advertised = _times(run, ROUTER_ADVERTISEMENT, to_guest=True)
    delays = []
    for begin, end in zip([run.link_ns, *advertised[:1]], announced, strict=False):
        delay = _middle(range(RTR_SOLICIT_DELAY), _itself, _jiffy(begin, zero), _jiffy(end, zero))
        if delay is None:
            break
        delays.append(delay)
    return {
        "dad_delay": tuple(delays),
        "rtr_solicit_backoff": _backoffs([_jiffy(at, zero) for at in solicited]),
    }


def _backoffs(solicited: Sequence[int]) -> tuple[int, ...]:
    """What was drawn between one solicitation and the next, up to what no draw explains."""
    found: list[int] = []
    interval, least = RTR_SOLICIT_INTERVAL, BACKOFF_INIT
    for armed, fired in pairwise(solicited):
        longer = partial(backoff, least, interval=interval)
        draw = _middle(range(0, BACKOFF_DRAWS, STEP), longer, armed, fired)
        if draw is None:
            break
        found.append(draw)
        interval, least = longer(draw), BACKOFF_UPDATE
    return tuple(found)


def _itself(delay: int) -> int:
    return delay


def _middle(
    choices: Sequence[int], delay: Callable[[int], int], armed: int, fired: int
) -> int | None:
    """The middle one of the draws with which a timer armed at one jiffy fires at another."""
    fitting = [draw for draw in choices if bucket_of(armed + delay(draw), armed)[0] == fired]
    return fitting[len(fitting) // 2] if fitting else None


def _times(run: Run, length: int, *, to_guest: bool) -> list[int]:
    return [
        packet.time_us * 1000
        for packet in run.packets
        if packet.kind == "ipv6" and packet.length == length and packet.to_guest is to_guest
    ]


def _jiffy(time: int, zero: int) -> int:
    """The tick next to ``time``: what a timer sends comes soon after it.

    Not the last one before it, as the guest's clock is some millionths faster or slower.
    """
    return (time - zero + JIFFY_NS // 2) // JIFFY_NS
