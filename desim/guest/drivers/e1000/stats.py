"""The card's counters, added up by the driver (e1000_main.c, e1000_update_stats).

Theory of operation
-------------------
Every two seconds, and only with link, the driver reads *all* counters in a fixed
order and adds each value to a 64-bit sum, counting on hardware that clears a
counter when it is read. QEMU does not clear all of them: GORCL/GOTCL and their
like are cleared through their high halves, which are read right after; MPC and
RNBC are not cleared at all, so each loss is counted again every two seconds.

``netdev.stats`` gets errors and multicast from here; bytes and packets are
counted in the receive and transmit paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.guest.drivers.e1000 import regs
from desim.guest.drivers.e1000.counters import MANAGEMENT_STATS, UPDATE_OFFSETS, UPDATE_STATS
from desim.guest.drivers.e1000.phy import PhyError
from desim.stages import GUEST, mark, stages

if TYPE_CHECKING:
    from desim.guest.drivers.e1000.adapter import Adapter


class Stats:
    """``struct e1000_hw_stats``: the sums, by the lower-case name of their register."""

    STAGES = stages(
        GUEST,
        update_stats=mark("e1000_update_stats", file=regs.MAIN_C),
    )

    __slots__ = ("_adapter", "_old", "hw")

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.hw = {name: 0 for name, _ in (*UPDATE_STATS, *MANAGEMENT_STATS)}
        self._old = dict.fromkeys(("tpt", "colc", "gorcl", "gotcl"), 0)

    def delta(self, name: str) -> int:
        """How much a sum has grown since the last call."""
        grown = self.hw[name] - self._old[name]
        self._old[name] = self.hw[name]
        return grown

    def update_stats(self) -> None:
        """Read every counter, unless there is no link."""
        adapter = self._adapter
        if adapter.link_speed == 0:
            return
        cpu, er32, hw = adapter.cpu, adapter.er32, self.hw
        cpu.local_irq_disable()  # stats_lock
        for (name, _), value in zip(UPDATE_STATS, adapter.read_all(UPDATE_OFFSETS), strict=True):
            if value:
                hw[name] += value
        self._fill_netdev_stats()
        self._phy_stats()
        for name, offset in MANAGEMENT_STATS:
            hw[name] += er32(offset)
        cpu.local_irq_enable()

    def _fill_netdev_stats(self) -> None:
        hw, stats = self.hw, self._adapter.device.stats
        stats.multicast = hw["mprc"]
        stats.collisions = hw["colc"]
        stats.rx_length_errors = hw["ruc"] + hw["roc"]
        stats.rx_crc_errors = hw["crcerrs"]
        stats.rx_frame_errors = hw["algnerrc"]
        stats.rx_missed_errors = hw["mpc"]
        stats.rx_errors = (
            hw["rxerrc"] + hw["crcerrs"] + hw["algnerrc"] + stats.rx_length_errors + hw["cexterr"]
        )
        stats.tx_aborted_errors = hw["ecol"]
        stats.tx_window_errors = hw["latecol"]
        stats.tx_errors = hw["ecol"] + hw["latecol"]
        stats.tx_carrier_errors = hw["tncrs"]

    def _phy_stats(self) -> None:
        adapter = self._adapter
        phy = adapter.hw.phy
        try:
            if adapter.link_speed == 1000:
                adapter.idle_errors += phy.read_phy_reg(regs.PHY_1000T_STATUS) & 0xFF
            adapter.receive_errors += phy.read_phy_reg(regs.M88_RX_ERR_CNTR)
        except PhyError:
            return
