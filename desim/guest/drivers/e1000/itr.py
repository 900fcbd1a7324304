"""Dynamic interrupt throttling (e1000_main.c, e1000_update_itr and e1000_set_itr).

Theory of operation
-------------------
After each completed poll, traffic since the interrupt is put into one of three
classes per direction, starting from the direction's last class; the slower
class of the two decides the rate:

    lowest_latency 70000/s    low_latency 20000/s    bulk_latency 4000/s

Setting 3 ("conservative") never stays in lowest_latency. A falling rate is
taken at once; a rising one moves up by a quarter of the target per poll, so from
4000 to 20000 it takes 9000, 14000, 19000. ITR counts 256 ns.

Setting 4 ("simplified") does not look at polls: the watchdog sets 2000 to 8000
per second from how lopsided the last two seconds were.

The card of QEMU never throttles to more than 7813 per second, so the two upper
classes and everything between differ in name only.
"""

from __future__ import annotations

from desim.guest.drivers.e1000.adapter import Adapter
from desim.guest.drivers.e1000.regs import ITR, MAIN_C
from desim.stages import GUEST, mark, stages

LOWEST_LATENCY, LOW_LATENCY, BULK_LATENCY = 0, 1, 2
RATES = (70000, 20000, 4000)
"""Interrupts per second of each class."""


def itr_register(rate: int) -> int:
    """The value of ITR for ``rate`` interrupts per second."""
    return 1_000_000_000 // (rate * 256)


def simplified_rate(gotcl: int, gorcl: int) -> int:
    """Interrupts per second of setting 4, for the bytes sent and received in two seconds."""
    goc = (gotcl + gorcl) // 10000
    dif = abs(gotcl - gorcl) // 10000
    return dif * 6000 // goc + 2000 if goc > 0 else 8000


class Itr:
    """The throttling state of one adapter (rx_itr, tx_itr; itr and itr_setting are shared)."""

    STAGES = stages(
        GUEST,
        update_itr=mark("e1000_update_itr", file=MAIN_C),
        set_itr=mark("e1000_set_itr", file=MAIN_C),
    )

    __slots__ = ("_adapter", "rx_itr", "tx_itr")

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        # Zeroed memory: both directions start in lowest_latency.
        self.rx_itr = LOWEST_LATENCY
        self.tx_itr = LOWEST_LATENCY

    def update_itr(self, itr_setting: int, packets: int, size: int) -> int:
        """The class that follows ``itr_setting`` after ``packets`` with ``size`` bytes."""
        if packets == 0:
            return itr_setting
        if itr_setting == LOWEST_LATENCY:
            if size // packets > 8000:
                return BULK_LATENCY
            if packets < 5 and size > 512:
                return LOW_LATENCY
        elif itr_setting == LOW_LATENCY:
            if size > 10000:
                if packets < 10 or size // packets > 1200:
                    return BULK_LATENCY
                if packets > 35:
                    return LOWEST_LATENCY
            elif size // packets > 2000:
                return BULK_LATENCY
            elif packets <= 2 and size < 512:
                return LOWEST_LATENCY
        elif size > 25000:
            if packets > 35:
                return LOW_LATENCY
        elif size < 6000:
            return LOW_LATENCY
        return itr_setting

    def set_itr(self) -> None:
        """Choose the rate after a poll, and write ITR if it has changed."""
        adapter = self._adapter
        if adapter.link_speed != 1000:
            rate = RATES[BULK_LATENCY]
        else:
            conservative = adapter.itr_setting == 3
            self.tx_itr = self.update_itr(
                self.tx_itr, adapter.total_tx_packets, adapter.total_tx_bytes
            )
            if conservative and self.tx_itr == LOWEST_LATENCY:
                self.tx_itr = LOW_LATENCY
            self.rx_itr = self.update_itr(
                self.rx_itr, adapter.total_rx_packets, adapter.total_rx_bytes
            )
            if conservative and self.rx_itr == LOWEST_LATENCY:
                self.rx_itr = LOW_LATENCY
            rate = RATES[max(self.rx_itr, self.tx_itr)]
        if rate != adapter.itr:
            if rate > adapter.itr:
                rate = min(adapter.itr + (rate >> 2), rate)
            adapter.itr = rate
            adapter.ew32(ITR, itr_register(rate))

    def set_simplified(self, gotcl: int, gorcl: int) -> None:
        """Setting 4, from the bytes of the last two seconds; part of the watchdog.

        ``itr`` itself stays at 4, as in the original.
        """
        self._adapter.ew32(ITR, itr_register(simplified_rate(gotcl, gorcl)))
