"""The contract between the guest's network core and the driver of its card.

Names are those of include/linux/netdevice.h. ``NetDevice`` is what a driver may
call (``desim.guest.net.device`` implements it), ``NetDriver`` what it offers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.data import Protocol
from desim.guest.skb import Skb

if TYPE_CHECKING:
    from desim.guest.drivers.ethtool import EthtoolOps

NETDEV_TX_OK = 0
NETDEV_TX_BUSY = 0x10

IFF_PROMISC = 0x100
IFF_ALLMULTI = 0x200


class NetDeviceStats:
    """``struct rtnl_link_stats64``, as ``/proc/net/dev`` shows it."""

    __slots__ = (
        "collisions",
        "multicast",
        "rx_bytes",
        "rx_crc_errors",
        "rx_dropped",
        "rx_errors",
        "rx_frame_errors",
        "rx_length_errors",
        "rx_missed_errors",
        "rx_packets",
        "tx_aborted_errors",
        "tx_bytes",
        "tx_carrier_errors",
        "tx_dropped",
        "tx_errors",
        "tx_packets",
        "tx_window_errors",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    collisions: int
    multicast: int
    rx_bytes: int
    rx_crc_errors: int
    rx_dropped: int
    rx_errors: int
    rx_frame_errors: int
    rx_length_errors: int
    rx_missed_errors: int
    rx_packets: int
    tx_aborted_errors: int
    tx_bytes: int
    tx_carrier_errors: int
    tx_dropped: int
    tx_errors: int
    tx_packets: int
    tx_window_errors: int


class NetDevice(Protocol):
    """``struct net_device`` with its one queue and its one NAPI context."""

    name: str
    dev_addr: bytes
    mtu: int
    flags: int
    mc_list: list[bytes]
    """Multicast addresses that somebody has joined, oldest first."""
    uc_list: list[bytes]
    stats: NetDeviceStats
    hw_offload: bool
    """Scatter-gather, checksums and TCP segmentation: the device has all, or none."""

    def netif_carrier_ok(self) -> bool: ...
    def netif_carrier_on(self) -> None: ...
    def netif_carrier_off(self) -> None: ...

    def netif_start_queue(self) -> None: ...
    def netif_stop_queue(self) -> None: ...
    def netif_wake_queue(self) -> None: ...
    def netif_queue_stopped(self) -> bool: ...

    def netdev_sent_queue(self, size: int) -> None: ...
    def netdev_completed_queue(self, packets: int, size: int) -> None: ...
    def netdev_reset_queue(self) -> None: ...

    def napi_enable(self) -> None: ...
    def napi_disable(self) -> None: ...

    def napi_schedule_prep(self) -> bool:
        """Whether the caller may schedule the poll (it was not scheduled yet)."""

    def napi_schedule(self) -> None:
        """Put the NAPI context on the poll list and raise NET_RX_SOFTIRQ (``__napi_schedule``)."""

    def napi_complete_done(self, work: int) -> bool:
        """Leave polling; True if interrupts may be enabled again. Flushes GRO."""

    def napi_gro_receive(self, skb: Skb) -> None:
        """Hand a received packet, from its Ethernet header on, to the stack."""

    def netif_rx(self, skb: Skb) -> None:
        """The same from a driver without NAPI, in its interrupt."""


class NetDriver(Protocol):
    """``struct net_device_ops`` with the NAPI poll and the interrupt handler."""

    def open(self) -> None:
        """``ndo_open``: rings, registers, interrupt."""

    def stop(self) -> None:
        """``ndo_stop``."""

    def start_xmit(self, skb: Skb, more: bool) -> int:
        """``ndo_start_xmit``: NETDEV_TX_OK or NETDEV_TX_BUSY. ``more`` is ``xmit_more``."""

    def set_rx_mode(self) -> None:
        """``ndo_set_rx_mode``: flags, ``uc_list`` or ``mc_list`` have changed."""

    def poll(self, budget: int) -> int:
        """The NAPI poll: the number of packets received."""

    def interrupt(self) -> bool:
        """The interrupt handler: whether the interrupt was this device's."""

    def ethtool_ops(self) -> EthtoolOps:
        """What it has for ``ethtool``: made, and its module imported, when somebody asks."""
