"""When a timer of Linux fires: the arithmetic of its timer wheel (kernel/time/timer.c).

A timer never fires early: its expiry is rounded up to the next whole bucket of its level,
and the farther away it is, the coarser the level. The host's kernel and the guest's have
wheels of their own, which turn by this.
"""

from __future__ import annotations

_LEVEL_BITS = 3
_LEVELS = 9
_BUCKETS = 64


def bucket_of(expires: int, jiffies: int) -> tuple[int, int]:
    """The jiffy at which a timer for ``expires``, armed at ``jiffies``, fires, and its level.

    ``calc_wheel_index``: level n starts at 63 * 8**(n-1) jiffies and has buckets of
    8**n; beyond the last level the timer fires at the wheel's end.
    """
    delta = expires - jiffies
    if delta < 0:
        return jiffies + 1, 0
    for level in range(_LEVELS):
        if delta < (_BUCKETS - 1) << level * _LEVEL_BITS:
            break
    else:
        level = _LEVELS - 1
        expires = jiffies + ((_BUCKETS - 1) << level * _LEVEL_BITS)
    shift = level * _LEVEL_BITS
    return ((expires >> shift) + 1) << shift, level
