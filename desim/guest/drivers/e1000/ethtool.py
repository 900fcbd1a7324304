"""What ``ethtool`` shows of the adapter (e1000_ethtool.c): statistics, rings, registers.

Each view is a list of pairs in the order in which the real tool prints them.

Interrupt coalescing can be read and set on the 82545 and newer only; an 82540
refuses it, as the real driver does, and is throttled by module parameter.

Not modelled: self-test, EEPROM dump and write, LED identification, setting of
link and pause parameters.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING

from desim.guest.drivers.e1000.itr import itr_register
from desim.guest.drivers.e1000.param import (
    ADVERTISE_10_FULL,
    ADVERTISE_10_HALF,
    ADVERTISE_100_FULL,
    ADVERTISE_100_HALF,
    ADVERTISE_1000_FULL,
    DYNAMIC_ITR,
    FULL_DUPLEX,
)
from desim.guest.drivers.e1000.regs import (
    CTRL,
    ETHTOOL_C,
    ITR,
    M88_PSCR,
    M88_PSSR,
    MANC,
    PHY_1000T_STATUS,
    RCTL,
    RDH,
    RDLEN,
    RDT,
    RDTR,
    STATUS,
    STATUS_LU,
    TCTL,
    TDH,
    TDLEN,
    TDT,
    TIDV,
)
from desim.guest.drivers.ethtool import EthtoolOps
from desim.stages import GUEST, mark, stages
from desim.userland.errors import failure
from desim.userland.ethtool import LinkSettings, Rings

if TYPE_CHECKING:
    from desim.guest.drivers.e1000.main import E1000Driver

LINK_MODES = (
    ("10baseT/Half", ADVERTISE_10_HALF),
    ("10baseT/Full", ADVERTISE_10_FULL),
    ("100baseT/Half", ADVERTISE_100_HALF),
    ("100baseT/Full", ADVERTISE_100_FULL),
    ("1000baseT/Full", ADVERTISE_1000_FULL),
)

# What e1000_probe gives an 82540 or 82545 on a PCI bus (no 64-bit DMA: no highdma).
FEATURES_ON = frozenset(
    [
        "tx-scatter-gather",
        "tx-checksum-ip-generic",
        "tx-tcp-segmentation",
        "rx-vlan-hw-parse",
        "tx-vlan-hw-insert",
        "rx-vlan-filter",
    ]
)
HW_FEATURES = frozenset(
    [
        "tx-scatter-gather",
        "tx-checksum-ip-generic",
        "tx-tcp-segmentation",
        "rx-vlan-hw-parse",
        "rx-checksum",
        "rx-all",
        "rx-fcs",
        "tx-tcp-mangleid-segmentation",
    ]
)

MIN_DESC, MAX_82544_DESC = 48, 4096
MAX_ITR_USECS, MIN_ITR_USECS = 10000, 10

_SUMS = (
    ("rx_packets", "gprc"), ("tx_packets", "gptc"), ("rx_bytes", "gorcl"), ("tx_bytes", "gotcl"),
    ("rx_broadcast", "bprc"), ("tx_broadcast", "bptc"), ("rx_multicast", "mprc"),
    ("tx_multicast", "mptc"), ("rx_errors", "rxerrc"), ("tx_errors", ""), ("tx_dropped", ""),
    ("multicast", "mprc"), ("collisions", "colc"), ("rx_length_errors", ""),
    ("rx_over_errors", ""), ("rx_crc_errors", "crcerrs"), ("rx_frame_errors", "algnerrc"),
    ("rx_no_buffer_count", "rnbc"), ("rx_missed_errors", "mpc"), ("tx_aborted_errors", "ecol"),
    ("tx_carrier_errors", "tncrs"), ("tx_fifo_errors", ""), ("tx_heartbeat_errors", ""),
    ("tx_window_errors", "latecol"), ("tx_abort_late_coll", "latecol"), ("tx_deferred_ok", "dc"),
    ("tx_single_coll_ok", "scc"), ("tx_multi_coll_ok", "mcc"), ("tx_timeout_count", ""),
    ("tx_restart_queue", ""), ("rx_long_length_errors", "roc"), ("rx_short_length_errors", "ruc"),
    ("rx_align_errors", "algnerrc"), ("tx_tcp_seg_good", "tsctc"), ("tx_tcp_seg_failed", "tsctfc"),
    ("rx_flow_control_xon", "xonrxc"), ("rx_flow_control_xoff", "xoffrxc"),
    ("tx_flow_control_xon", "xontxc"), ("tx_flow_control_xoff", "xofftxc"),
    ("rx_long_byte_count", "gorcl"), ("rx_csum_offload_good", ""), ("rx_csum_offload_errors", ""),
    ("alloc_rx_buff_failed", ""), ("tx_smbus", "mgptc"), ("rx_smbus", "mgprc"),
    ("dropped_smbus", "mgpdc"),
)  # fmt: skip
"""Names of ``ethtool -S`` and the card's counter behind them; "" for the driver's own."""

_REGISTER_NAME = {"mgptc": "mgtptc", "mgprc": "mgtprc", "mgpdc": "mgtpdc"}


class E1000Ethtool(EthtoolOps):
    """The driver's ``ethtool_ops``."""

    STAGES = stages(
        GUEST,
        get_drvinfo=mark("e1000_get_drvinfo", file=ETHTOOL_C),
        get_link=mark("e1000_get_link", file=ETHTOOL_C),
        get_link_ksettings=mark("e1000_get_link_ksettings", file=ETHTOOL_C),
        get_ringparam=mark("e1000_get_ringparam", file=ETHTOOL_C),
        set_ringparam=mark("e1000_set_ringparam", file=ETHTOOL_C),
        get_ethtool_stats=mark("e1000_get_ethtool_stats", file=ETHTOOL_C),
        get_coalesce=mark("e1000_get_coalesce", file=ETHTOOL_C),
        set_coalesce=mark("e1000_set_coalesce", file=ETHTOOL_C),
    )

    features = FEATURES_ON
    hw_features = HW_FEATURES
    link_known = True
    coalesce_params = frozenset(("rx-usecs",))

    def __init__(self, driver: E1000Driver) -> None:
        self._driver = driver

    def get_drvinfo(self, kernel_release: str) -> list[tuple[str, str]]:
        """The driver has no version of its own: the kernel's is shown."""
        return [
            ("driver", "e1000"),
            ("version", kernel_release),
            ("firmware-version", ""),
            ("expansion-rom-version", ""),
            ("bus-info", self._driver.adapter.pci_name),
            ("supports-statistics", "yes"),
            ("supports-test", "yes"),
            ("supports-eeprom-access", "yes"),
            ("supports-register-dump", "yes"),
            ("supports-priv-flags", "no"),
        ]

    def get_link(self) -> bool:
        """Without carrier the PHY is asked: interrupts may be off, and nobody have looked."""
        driver = self._driver
        if not driver.adapter.device.netif_carrier_ok():
            driver.hw.get_link_status = True
        return driver.has_link()

    def get_link_ksettings(self) -> LinkSettings:
        adapter, hw = self._driver.adapter, self._driver.hw
        speed, full_duplex = None, None
        if adapter.er32(STATUS) & STATUS_LU:
            adapter.link_speed, adapter.link_duplex = hw.get_speed_and_duplex()
            speed, full_duplex = adapter.link_speed, adapter.link_duplex == FULL_DUPLEX
        advertised = hw.phy.autoneg_advertised if hw.autoneg else 0
        # An 82545EM cannot wake anything; for the others QEMU's card lacks PCI power management.
        wakes = "umbg" if hw.mac_type == "82540" else ""
        return LinkSettings(
            supported=[name for name, _ in LINK_MODES],
            advertised=[name for name, bit in LINK_MODES if advertised & bit],
            autoneg=hw.autoneg,
            speed=speed,
            full_duplex=full_duplex,
            mdix=False if adapter.device.netif_carrier_ok() else None,
            wol_supported=wakes,
            msg_level=adapter.options.msg_enable,
        )

    def get_ringparam(self) -> Rings:
        options = self._driver.adapter.options
        return Rings(MAX_82544_DESC, MAX_82544_DESC, options.rx_count, options.tx_count)

    def set_ringparam(self, rx: int, tx: int) -> None:
        """Down, other rings, up; too few become 48, and the number a multiple of eight."""
        counts = [-(-max(count, MIN_DESC) // 8) * 8 for count in (rx, tx)]
        try:
            self._driver.change_rings(*counts)
        except MemoryError:
            raise failure(errno.ENOMEM) from None

    def get_ethtool_stats(self) -> list[tuple[str, int]]:
        """Reads the card's counters first, as the real one does."""
        driver = self._driver
        adapter, hw = driver.adapter, driver.stats.hw
        driver.stats.update_stats()
        own = {
            "tx_errors": hw["ecol"] + hw["latecol"],
            "tx_dropped": adapter.device.stats.tx_dropped,
            "rx_length_errors": hw["ruc"] + hw["roc"],
            "rx_over_errors": 0,
            "tx_fifo_errors": 0,
            "tx_heartbeat_errors": 0,
            "tx_timeout_count": adapter.tx_timeout_count,
            "tx_restart_queue": adapter.restart_queue,
            "rx_csum_offload_good": adapter.hw_csum_good,
            "rx_csum_offload_errors": adapter.hw_csum_err,
            "alloc_rx_buff_failed": adapter.alloc_rx_buff_failed,
        }
        return [
            (name, hw[_REGISTER_NAME.get(counter, counter)] if counter else own[name])
            for name, counter in _SUMS
        ]

    def get_regs(self) -> list[int]:
        """``ethtool -d``: 32 words of registers and PHY registers."""
        driver = self._driver
        adapter, phy = driver.adapter, driver.hw.phy
        words = [
            adapter.er32(register)
            for register in (
                CTRL,
                STATUS,
                RCTL,
                RDLEN,
                RDH,
                RDT,
                RDTR,
                TCTL,
                TDLEN,
                TDH,
                TDT,
                TIDV,
            )
        ]
        phy_type = 0  # e1000_phy_m88
        pssr = phy.read_phy_reg(M88_PSSR)
        pscr = phy.read_phy_reg(M88_PSCR)
        words += [phy_type, pssr, 0, 0, 0, pscr, pssr, 0, pscr]
        words += [adapter.idle_errors, adapter.receive_errors, pssr]
        gigabit = phy.read_phy_reg(PHY_1000T_STATUS)
        words += [gigabit, gigabit, adapter.er32(MANC)]
        return words + [0] * (32 - len(words))

    def get_coalesce(self) -> dict[str, int]:
        """rx-usecs: an interval, or one of the modes 0, 1, 3, 4. EOPNOTSUPP on an 82540."""
        self._need_82545()
        setting = self._driver.adapter.itr_setting
        return {"rx-usecs": setting if setting <= 4 else 1_000_000 // setting}

    def set_coalesce(self, values: Mapping[str, int]) -> None:
        """EOPNOTSUPP on an 82540, EINVAL out of range."""
        self._need_82545()
        adapter, rx_usecs = self._driver.adapter, values["rx-usecs"]
        if not (rx_usecs in (0, 1, 3, 4) or MIN_ITR_USECS <= rx_usecs <= MAX_ITR_USECS):
            raise failure(errno.EINVAL)
        if rx_usecs == 4:
            adapter.itr = adapter.itr_setting = 4
        elif rx_usecs <= 3:
            adapter.itr = DYNAMIC_ITR
            adapter.itr_setting = rx_usecs
        else:
            adapter.itr = 1_000_000 // rx_usecs
            adapter.itr_setting = adapter.itr & ~3
        adapter.ew32(ITR, itr_register(adapter.itr) if adapter.itr_setting else 0)

    def _need_82545(self) -> None:
        if self._driver.hw.mac_type != "82545":
            raise failure(errno.EOPNOTSUPP)
