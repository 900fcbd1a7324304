"""One network interface: queue state, byte queue limits, carrier, NAPI context.

Names are those of include/linux/netdevice.h and net/core/dev.c; this is what the
driver's contract (``NetDevice``) is implemented by.

The driver tells through BQL when the card is done with a packet
(``netdev_completed_queue``); that moment is also when the packet's memory is given
back to its socket (``tcp_wfree``), in the order of sending.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from desim.data import Protocol
from desim.guest.cpu.context import Cpu
from desim.guest.drivers.netdevice import NetDevice, NetDeviceStats, NetDriver
from desim.guest.net.dql import Dql
from desim.guest.net.gro import Gro
from desim.guest.skb import Skb
from desim.stages import GUEST, Build, bare, mark, stages

if TYPE_CHECKING:
    from desim.guest.drivers.ethtool import EthtoolOps

IFF_UP = 0x1
IFF_BROADCAST = 0x2
IFF_LOOPBACK = 0x8
IFF_RUNNING = 0x40
IFF_MULTICAST = 0x1000

# What ``call_netdevice_notifiers`` says (include/linux/netdevice.h).
NETDEV_UP = 1
NETDEV_DOWN = 2
NETDEV_CHANGE = 4
NETDEV_REGISTER = 5

NAPI_WEIGHT = 64
TX_QUEUE_LIMIT = 10240
"""Packets that the queueing discipline holds (fq_codel's default limit)."""

ALL_HOSTS_MAC = b"\x01\x00\x5e\x00\x00\x01"


class Napi:
    """``struct napi_struct``: one source of received packets that is polled."""

    __slots__ = ("disabled", "gro", "poll", "scheduled")

    def __init__(self, poll: Callable[[int], int], gro: Gro) -> None:
        self.poll = poll
        self.gro = gro
        self.scheduled = False
        self.disabled = True


class DeviceCore(Protocol):
    """What a device needs of the part that all devices share (``NetCore``)."""

    def napi_schedule(self, napi: Napi) -> None: ...
    def netif_schedule(self, device: Device) -> None: ...
    def linkwatch_fire_event(self, device: Device) -> None: ...
    def free_skb(self, skb: Skb) -> None: ...
    def netif_receive_skb_list(self, device: Device, batch: list[Skb]) -> None: ...
    def netif_rx(self, skb: Skb, device: Device) -> None: ...


class Device(NetDevice):
    """``struct net_device`` with one transmit queue and its queueing discipline.

    ``qdisc`` is a plain first-in-first-out queue in front of the card; ``requeued``
    are packets that the card has refused, which go first.
    """

    STAGES = stages(
        GUEST,
        napi_schedule=mark("__napi_schedule", file="net/core/dev.c"),
        napi_complete_done=mark("napi_complete_done", file="net/core/dev.c"),
        napi_gro_receive=mark(
            "napi_gro_receive", "dev_gro_receive", file="net/core/gro.c", size="skb.head"
        ),
        set_rx_mode=mark("dev_set_rx_mode", "__dev_set_rx_mode", file="net/core/dev.c"),
    )

    driver: NetDriver

    def __init__(
        self,
        *,
        name: str,
        dev_addr: bytes,
        core: DeviceCore,
        cpu: Cpu,
        build: Build = bare,
        mtu: int = 1500,
    ) -> None:
        self.name = name
        self.dev_addr = dev_addr
        self.mtu = mtu
        self.flags = IFF_BROADCAST | IFF_MULTICAST
        self.mc_list: list[bytes] = []
        self.uc_list: list[bytes] = []
        self.stats = NetDeviceStats()
        self.hw_offload = True
        """NETIF_F_SG, _HW_CSUM and _TSO: the device has all of them, or none."""
        self._cpu = cpu
        self._core = core
        self._carrier = False
        self.active = False
        """``dev_activate`` has put the queueing discipline in place."""
        self._drv_xoff = True
        self._stack_xoff = False
        self.dql = Dql(cpu.jiffies)
        self.qdisc: deque[Skb] = deque()
        self.requeued: deque[Skb] = deque()
        self.qdisc_running = False
        self.qdisc_drops = 0
        self._in_flight: deque[Skb] = deque()
        self.sending: Skb | None = None
        """The packet inside ``start_xmit``; the driver reports it by ``netdev_sent_queue``."""
        gro = build(Gro)(partial(core.netif_receive_skb_list, self))
        self.napi = Napi(self._poll, gro)

    def __repr__(self) -> str:
        return f"Device({self.name!r})"

    # Carrier.

    def netif_carrier_ok(self) -> bool:
        """Whether the link is up."""
        return self._carrier

    def netif_carrier_on(self) -> None:
        """The driver has found the link up."""
        if not self._carrier:
            self._carrier = True
            self._core.linkwatch_fire_event(self)

    def netif_carrier_off(self) -> None:
        """The driver has found the link down."""
        if self._carrier:
            self._carrier = False
            self._core.linkwatch_fire_event(self)

    # The transmit queue.

    def netif_start_queue(self) -> None:
        """The driver takes packets."""
        self._drv_xoff = False

    def netif_stop_queue(self) -> None:
        """The driver has no room."""
        self._drv_xoff = True

    def netif_wake_queue(self) -> None:
        """The driver has room again."""
        if self._drv_xoff:
            self._drv_xoff = False
            self._core.netif_schedule(self)

    def netif_queue_stopped(self) -> bool:
        """Whether the driver has stopped the queue (BQL's own stop does not count)."""
        return self._drv_xoff

    def netif_xmit_stopped(self) -> bool:
        """Whether nothing may be sent now, for whichever reason."""
        return self._drv_xoff or self._stack_xoff

    def netdev_sent_queue(self, size: int) -> None:
        """``size`` bytes of the packet being sent are in the ring."""
        self.dql.queued(size)
        if self.sending is not None:
            self._in_flight.append(self.sending)
            self.sending = None
        if self.dql.avail() < 0:
            self._stack_xoff = True

    def netdev_completed_queue(self, packets: int, size: int) -> None:
        """The card is done with ``packets`` packets of ``size`` bytes together."""
        for _ in range(min(packets, len(self._in_flight))):
            self._core.free_skb(self._in_flight.popleft())
        if not size:
            return
        self.dql.completed(size, self._cpu.jiffies)
        if self._stack_xoff and self.dql.avail() >= 0:
            self._stack_xoff = False
            self._core.netif_schedule(self)

    def netdev_reset_queue(self) -> None:
        """The ring has been emptied without completions."""
        self._stack_xoff = False
        self.dql.reset(self._cpu.jiffies)
        while self._in_flight:
            self._core.free_skb(self._in_flight.popleft())

    @property
    def in_flight(self) -> int:
        """Packets given to the card and not completed."""
        return len(self._in_flight)

    # NAPI.

    def _poll(self, budget: int) -> int:
        return self.driver.poll(budget)

    def napi_enable(self) -> None:
        """Polling is possible."""
        self.napi.disabled = False

    def napi_disable(self) -> None:
        """Polling is not possible any more; called from process context, never inside a poll."""
        self.napi.disabled = True

    def napi_schedule_prep(self) -> bool:
        napi = self.napi
        if napi.disabled or napi.scheduled:
            return False
        napi.scheduled = True
        return True

    def napi_schedule(self) -> None:
        self._core.napi_schedule(self.napi)

    def napi_complete_done(self, work: int) -> bool:
        self.napi.gro.napi_gro_flush()
        self.napi.scheduled = False
        return True

    def napi_gro_receive(self, skb: Skb) -> None:
        self.napi.gro.dev_gro_receive(skb)

    def netif_rx(self, skb: Skb) -> None:
        self._core.netif_rx(skb, self)

    # Multicast membership.

    def dev_mc_add(self, address: bytes) -> None:
        """Join a group of the link; the driver is told while the device is up."""
        if address not in self.mc_list:
            self.mc_list.append(address)
            self.set_rx_mode()

    def dev_mc_del(self, address: bytes) -> None:
        """Leave a group of the link."""
        if address in self.mc_list:
            self.mc_list.remove(address)
            self.set_rx_mode()

    def set_rx_mode(self) -> None:
        """Tell the driver that flags or address lists have changed, if the device is up."""
        if self.flags & IFF_UP:
            self._cpu.local_bh_disable()
            self.driver.set_rx_mode()
            self._cpu.local_bh_enable()


class Loopback:
    """The driver of lo (drivers/net/loopback.c): what is sent is received."""

    STAGES = stages(
        GUEST,
        start_xmit=mark("loopback_xmit", file="drivers/net/loopback.c"),
    )

    def __init__(self, netif_rx: Callable[[Skb], None], device: Device) -> None:
        self._netif_rx = netif_rx
        self._device = device

    def open(self) -> None:
        """Nothing to prepare."""

    def stop(self) -> None:
        """Nothing to undo."""

    def start_xmit(self, skb: Skb, more: bool) -> int:
        """Hand the packet to the receiving side of this CPU's backlog."""
        stats, size = self._device.stats, len(skb)
        stats.tx_packets += 1
        stats.tx_bytes += size
        stats.rx_packets += 1
        stats.rx_bytes += size
        self._netif_rx(skb)
        return 0

    def set_rx_mode(self) -> None:
        """It hears everything already."""

    def poll(self, budget: int) -> int:
        """It has no ring; the backlog is polled instead."""
        return 0

    def interrupt(self) -> bool:
        """It has no interrupt."""
        return False

    def ethtool_ops(self) -> EthtoolOps:
        """The kernel's for lo."""
        from desim.guest.drivers.loopback import LoopbackEthtool

        return LoopbackEthtool()
