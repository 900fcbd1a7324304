"""The statistics registers (hw/net/e1000x_common.c; 8254x manual section 13.7).

Counters stop at 0xFFFFFFFF, octet counters, which are pairs of registers, at
2**64 - 1. Which of them a read clears is in ``registers.CLEAR_ON_READ``. Octets always
include the FCS; size classes include it for all frames sent, but for a received frame
only if the driver gets it (RCTL.SECRC clear). 7.2.22 does so; older ones differ.
"""

from __future__ import annotations

from desim.e1000.registers import (
    ALL,
    BPTC,
    GORCL,
    GOTCL,
    GPRC,
    GPTC,
    MPTC,
    PRC64,
    PTC64,
    TORL,
    TOTL,
    TPR,
    TPT,
)
from desim.wire.frame import FCS_LEN

BROADCAST = b"\xff" * 6

PRC1522 = PRC64 + 5
"""The last of the size classes of received frames."""


def inc_reg_if_not_full(mac_reg: list[int], index: int) -> None:
    """Count one more."""
    if mac_reg[index] != ALL:
        mac_reg[index] += 1


def grow_8reg_if_not_full(mac_reg: list[int], index: int, size: int) -> None:
    """Add ``size`` octets to the pair at ``index`` (low half) and ``index + 1``."""
    low = mac_reg[index] + size
    if low > ALL:
        if mac_reg[index + 1] == ALL:
            low = ALL
        else:
            mac_reg[index + 1] += 1
            low &= ALL
    mac_reg[index] = low


def increase_size_stats(mac_reg: list[int], first: int, size: int) -> None:
    """Count a frame in one of the six size classes at ``first``; below 64 bytes in none."""
    if size < 64:
        return
    if size > 511:
        index = first + 5 if size > 1023 else first + 4
    elif size > 127:
        index = first + 3 if size > 255 else first + 2
    else:
        index = first + 1 if size > 64 else first
    if mac_reg[index] != ALL:
        mac_reg[index] += 1


def update_rx_total_stats(mac_reg: list[int], size: int, total_size: int) -> None:
    """A frame has been received: ``total_size`` counts the FCS if the driver gets it."""
    octets = size + FCS_LEN
    total, good = mac_reg[TPR] + 1, mac_reg[GPRC] + 1
    longest = mac_reg[PRC1522] + 1
    low, good_low = mac_reg[TORL] + octets, mac_reg[GORCL] + octets
    if total_size > 1023 and total | good | longest | low | good_low <= ALL:
        # NOTE: a full frame and no counter at its end: 1 call instead of 3.
        mac_reg[TPR], mac_reg[GPRC], mac_reg[PRC1522] = total, good, longest
        mac_reg[TORL], mac_reg[GORCL] = low, good_low
    else:
        increase_size_stats(mac_reg, PRC64, total_size)
        _count(mac_reg, (TPR, GPRC), (TORL, GORCL), octets)


def update_tx_total_stats(mac_reg: list[int], size: int) -> None:
    """A frame of ``size`` bytes, before its VLAN tag was inserted, has been sent."""
    octets = size + FCS_LEN
    low, good_low = mac_reg[TOTL] + octets, mac_reg[GOTCL] + octets
    if low <= ALL and good_low <= ALL and mac_reg[TPT] != ALL and mac_reg[GPTC] != ALL:
        # NOTE: no counter near its end: 1 call instead of 2.
        mac_reg[TPT] += 1
        mac_reg[GPTC] += 1
        mac_reg[TOTL], mac_reg[GOTCL] = low, good_low
    else:
        _count(mac_reg, (TPT, GPTC), (TOTL, GOTCL), octets)


def _count(
    mac_reg: list[int], packets: tuple[int, int], octets: tuple[int, int], size: int
) -> None:
    """One frame more in two counters, ``size`` more in two pairs; inlined, as it is per frame."""
    for index in packets:
        if mac_reg[index] != ALL:
            mac_reg[index] += 1
    for index in octets:
        low = mac_reg[index] + size
        if low <= ALL:
            mac_reg[index] = low
        else:
            grow_8reg_if_not_full(mac_reg, index, size)


def count_sent(mac_reg: list[int], head: bytes, size: int) -> None:
    """Size class and kind of address of a frame as it leaves."""
    if head[0] & 1:
        inc_reg_if_not_full(mac_reg, BPTC if head[:6] == BROADCAST else MPTC)
    increase_size_stats(mac_reg, PTC64, size + FCS_LEN)
