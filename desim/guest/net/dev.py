"""What all interfaces share: the soft interrupts, the way out, the way in (net/core/dev.c).

Theory of operation
-------------------
Receiving: the driver's interrupt puts its NAPI context on ``poll_list`` and raises
NET_RX_SOFTIRQ. ``net_rx_action`` polls each context once, with a weight of 64 packets,
unless 300 packets are done or two jiffies have passed before; whoever used its whole
weight waits for the next round. What the driver receives passes GRO and comes back as
batches to ``netif_receive_skb_list``, which gives each packet to the packet sockets
and to its protocol.

Sending: ``dev_queue_xmit`` sends directly if nothing waits in the queueing discipline
and the card has room, else it queues. ``__qdisc_run`` takes several packets at once as
far as the byte limit allows, and tells the driver of each but the last that there are
more. A queue that was stopped is run again from NET_TX_SOFTIRQ.

A change of carrier is acted upon in a kworker (net/core/link_watch.c): link up puts
the queueing discipline in place. Whoever wants to know (``netdev_chain``: IPv6) is told of
it, and of interfaces that come, are opened and closed. Each group that is joined reaches
the driver's ``set_rx_mode``.

``tasklets`` is the part of TASKLET_SOFTIRQ that the network uses: it runs after the
network's own vectors.

Not modelled: fq_codel's flows and its delay target, which need a
standing queue of 5 ms to show (the queue is one FIFO with its limit of 10240 packets);
GRO's and the receive path's list forms, in which several packets walk each layer
together: here each walks on its own, in the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from desim.guest.cpu.context import HZ, NET_RX_SOFTIRQ, NET_TX_SOFTIRQ, Cpu, Work
from desim.guest.drivers.netdevice import NETDEV_TX_OK
from desim.guest.net.device import (
    ALL_HOSTS_MAC,
    IFF_RUNNING,
    IFF_UP,
    NAPI_WEIGHT,
    NETDEV_CHANGE,
    NETDEV_DOWN,
    NETDEV_UP,
    TX_QUEUE_LIMIT,
    Device,
    Napi,
)
from desim.guest.net.gro import Gro
from desim.guest.net.snmp import Snmp
from desim.guest.skb import CHECKSUM_UNNECESSARY, Skb
from desim.stages import GUEST, Build, Landmark, bare, mark, stages
from desim.wire.ethernet import ETH_P_ARP, ETH_P_IP, ETH_P_IPV6
from desim.wire.frame import Frame

if TYPE_CHECKING:
    from desim.guest.net.offload import Offload

NETDEV_BUDGET = 300
_TIME_LIMIT_JIFFIES = 2
_DEV_TX_WEIGHT = 64
_MAX_BACKLOG = 1000

Tap = Callable[[Skb, Device], None]


class NetCore:
    """The network soft interrupts of one CPU, and the table of protocols above them."""

    STAGES = stages(
        GUEST,
        net_rx_action=mark("net_rx_action", file="net/core/dev.c"),
        napi_poll=mark("__napi_poll", file="net/core/dev.c"),
        net_tx_action=mark("net_tx_action", file="net/core/dev.c"),
        net_timestamp_check=mark(
            "net_timestamp_check", file="net/core/dev.c", landmark=Landmark.STAMPED
        ),
        netif_receive_skb=mark("netif_receive_skb", file="net/core/dev.c"),
        netif_receive_skb_core=mark("__netif_receive_skb_core", file="net/core/dev.c"),
        process_backlog=mark("process_backlog", file="net/core/dev.c"),
        dev_queue_xmit=mark("__dev_queue_xmit", file="net/core/dev.c"),
        run_queue=mark("__qdisc_run", file="net/sched/sch_generic.c"),
        fq_codel_enqueue=mark("fq_codel_enqueue", file="net/sched/sch_fq_codel.c"),
        fq_codel_dequeue=mark("fq_codel_dequeue", file="net/sched/sch_fq_codel.c"),
        sch_direct_xmit=mark("sch_direct_xmit", file="net/sched/sch_generic.c"),
        dev_hard_start_xmit=mark("dev_hard_start_xmit", file="net/core/dev.c"),
        dev_open=mark("__dev_open", file="net/core/dev.c"),
        dev_close=mark("__dev_close_many", file="net/core/dev.c"),
        linkwatch_event=mark("linkwatch_event", file="net/core/link_watch.c"),
    )

    def __init__(self, *, cpu: Cpu, snmp: Snmp, build: Build = bare) -> None:
        self._cpu = cpu
        self._snmp = snmp
        self.poll_list: list[Napi] = []
        self.output_queue: list[Device] = []
        self.tasklets: list[Callable[[], None]] = []
        self.taps: list[Tap] = []
        """Packet sockets, oldest first; they see what is received."""
        self._netstamp_needed = 0
        self.ip_rcv: Tap = _nobody
        self.ip_list_rcv: Callable[[list[Skb], Device], None] = _nobody_at_all
        self.arp_rcv: Tap = _nobody
        self.ipv6_rcv: Tap | None = None
        """None: a kernel without IPv6."""
        self.netdev_chain: list[Callable[[int, Device], None]] = []
        """Who wants to know what happens to interfaces, and is told in process context."""
        self._input_pkt_queue: deque[tuple[Skb, Device]] = deque()
        self._backlog = Napi(self.process_backlog, build(Gro)(_no_batch))
        self._linkwatch: dict[Device, Work] = {}
        self._linkwatch_nextevent = cpu.jiffies
        self._serving = False
        self._build = build

    @cached_property
    def _offload(self) -> Offload:
        """Made, and its module imported, for a device that cannot do it."""
        from desim.guest.net.offload import Offload

        return self._build(Offload)()

    def idle(self) -> bool:
        """Whether no packet is on its way through and no soft interrupt is due."""
        return not (
            self.poll_list
            or self.output_queue
            or self.tasklets
            or self._input_pkt_queue
            or any(work.pending for work in self._linkwatch.values())
        )

    # Soft interrupts.

    def napi_schedule(self, napi: Napi) -> None:
        """``____napi_schedule``: to be polled in the next NET_RX_SOFTIRQ."""
        self._cpu.local_irq_disable()
        self.poll_list.append(napi)
        self._cpu.raise_softirq(NET_RX_SOFTIRQ)
        self._cpu.local_irq_enable()

    def net_rx_action(self) -> None:
        """The handler of NET_RX_SOFTIRQ."""
        cpu = self._cpu
        self._serving = True
        time_limit = cpu.jiffies + _TIME_LIMIT_JIFFIES
        budget = NETDEV_BUDGET
        cpu.local_irq_disable()
        todo, self.poll_list = self.poll_list, []
        cpu.local_irq_enable()
        repoll: list[Napi] = []
        while todo:
            budget -= self.napi_poll(todo.pop(0), repoll)
            if budget <= 0 or cpu.jiffies >= time_limit:
                if todo or repoll:
                    self._snmp.softnet["time_squeeze"] += 1
                break
        cpu.local_irq_disable()
        self.poll_list = todo + self.poll_list + repoll
        if self.poll_list:
            cpu.raise_softirq(NET_RX_SOFTIRQ)
        cpu.local_irq_enable()
        self._run_tasklets()

    def napi_poll(self, napi: Napi, repoll: list[Napi]) -> int:
        """Poll one context; back on the list if it used its whole weight."""
        if not napi.scheduled:
            return 0
        work = napi.poll(NAPI_WEIGHT)
        if work < NAPI_WEIGHT:
            return work
        if napi.disabled:
            napi.gro.napi_gro_flush()
            napi.scheduled = False
            return work
        napi.gro.napi_gro_flush()
        repoll.append(napi)
        return work

    def net_tx_action(self) -> None:
        """The handler of NET_TX_SOFTIRQ: run the queues that were woken."""
        self._serving = True
        queues, self.output_queue = self.output_queue, []
        for device in queues:
            self.qdisc_run(device)
        self._run_tasklets()

    def _run_tasklets(self) -> None:
        while self.tasklets:
            self.tasklets.pop(0)()
        self._serving = False

    def tasklet_schedule(self, function: Callable[[], None]) -> None:
        """Run ``function`` in a soft interrupt, once however often it is asked for."""
        if function not in self.tasklets:
            self.tasklets.append(function)
            if not self._serving:
                # Nothing else would look at the list.
                self._cpu.raise_softirq(NET_TX_SOFTIRQ)

    # The way in.

    def netif_receive_skb_list(self, device: Device, batch: list[Skb]) -> None:
        """``__netif_receive_skb_list_core``: stamp them all, look at each, and hand on those
        of one protocol together."""
        if self._netstamp_needed:
            for skb in batch:
                self.net_timestamp_check(skb)
        together: list[Skb] = []
        protocol = -1
        for skb in batch:
            of = self.netif_receive_skb_core(skb, device)
            if of != protocol:
                self._deliver(together, protocol, device)
                together, protocol = [], of
            together.append(skb)
        self._deliver(together, protocol, device)

    def net_enable_timestamp(self, by: int) -> None:
        """One socket more (1) or less (-1) wants received packets stamped."""
        self._netstamp_needed += by

    def net_timestamp_check(self, skb: Skb) -> None:
        """Note when a packet has been received."""
        skb.tstamp = self._cpu.now()

    def netif_receive_skb(self, skb: Skb, device: Device) -> None:
        """One packet by itself, to its protocol."""
        protocol = self.netif_receive_skb_core(skb, device)
        if protocol == ETH_P_IP:
            self.ip_rcv(skb, device)
        else:
            self._deliver([skb], protocol, device)

    def netif_receive_skb_core(self, skb: Skb, device: Device) -> int:
        """To the packet sockets; returns the protocol of the Ethernet header."""
        self._snmp.softnet["processed"] += 1
        for tap in self.taps:
            tap(skb, device)
        return skb.head[12] << 8 | skb.head[13]

    def _deliver(self, batch: list[Skb], protocol: int, device: Device) -> None:
        """Packets of one protocol, to it."""
        if protocol == ETH_P_IP:
            self.ip_list_rcv(batch, device)
        elif protocol == ETH_P_ARP:
            for skb in batch:
                self.arp_rcv(skb, device)
        elif protocol == ETH_P_IPV6 and self.ipv6_rcv is not None:
            for skb in batch:
                self.ipv6_rcv(skb, device)
        else:
            self._snmp.softnet["unhandled"] += len(batch)

    def loop_back(self, skb: Skb, device: Device) -> None:
        """A packet that was sent on ``device`` is received there."""
        frame = Frame(b"".join((skb.head, *skb.frags)))
        received = Skb(frame.raw, frame)
        received.ip_summed = CHECKSUM_UNNECESSARY
        self.free_skb(skb)
        self.netif_rx(received, device)

    def netif_rx(self, skb: Skb, device: Device) -> None:
        """``__netif_rx``: receive a packet of a device without NAPI, through the backlog."""
        if len(self._input_pkt_queue) >= _MAX_BACKLOG:
            self._snmp.softnet["dropped"] += 1
            self.free_skb(skb)
            return
        self._cpu.local_irq_disable()
        self._input_pkt_queue.append((skb, device))
        fresh, self._backlog.scheduled = not self._backlog.scheduled, True
        self._cpu.local_irq_enable()
        if fresh:
            self._backlog.disabled = False
            self.napi_schedule(self._backlog)

    def process_backlog(self, quota: int) -> int:
        """The poll of the backlog."""
        cpu, work = self._cpu, 0
        while work < quota:
            cpu.local_irq_disable()  # an interrupt may bring the next packet
            if not self._input_pkt_queue:
                self._backlog.scheduled = False
                cpu.local_irq_enable()
                break
            skb, device = self._input_pkt_queue.popleft()
            cpu.local_irq_enable()
            self.netif_receive_skb(skb, device)
            work += 1
        return work

    # The way out.

    def dev_queue_xmit(self, skb: Skb, device: Device) -> bool:
        """Send a packet with its Ethernet header; False if it was dropped here."""
        cpu = self._cpu
        cpu.local_bh_disable()
        sent = True
        if device.flags & 0x8:
            self.dev_hard_start_xmit([skb], device)
        elif not device.active:
            self._drop(skb, device)
            sent = False
        elif device.qdisc or device.requeued or device.qdisc_running:
            if len(device.qdisc) >= TX_QUEUE_LIMIT:
                # fq_codel drops from the head of the longest flow; there is only one here.
                self._drop(device.qdisc.popleft(), device)
            self.fq_codel_enqueue(skb, device)
            self.qdisc_run(device)
        else:
            device.qdisc_running = True
            if self.sch_direct_xmit([skb], device):
                self.run_queue(device)
            device.qdisc_running = False
        cpu.local_bh_enable()
        return sent

    def _drop(self, skb: Skb, device: Device) -> None:
        device.qdisc_drops += 1
        self.free_skb(skb)

    def netif_schedule(self, device: Device) -> None:
        """``__netif_schedule``: run the queue in NET_TX_SOFTIRQ."""
        if device not in self.output_queue:
            self.output_queue.append(device)
            self._cpu.raise_softirq(NET_TX_SOFTIRQ)

    def qdisc_run(self, device: Device) -> None:
        """Send what waits, unless somebody is at it already."""
        if not device.qdisc_running:
            device.qdisc_running = True
            self.run_queue(device)
            device.qdisc_running = False

    def run_queue(self, device: Device) -> None:
        """Send until the queue is empty or the card has no room."""
        quota = _DEV_TX_WEIGHT
        while True:
            batch = self._dequeue_skb(device)
            if not batch:
                return
            quota -= len(batch)
            if not self.sch_direct_xmit(batch, device):
                return
            if quota <= 0:
                self.netif_schedule(device)
                return

    def _dequeue_skb(self, device: Device) -> list[Skb]:
        """What goes to the card together: refused packets first, then as BQL allows."""
        if device.netif_xmit_stopped():
            return []
        if device.requeued:
            return [device.requeued.popleft()]
        queue = device.qdisc
        if not queue:
            return []
        batch = [self.fq_codel_dequeue(device)]
        room = device.dql.avail() - len(batch[0])
        while room > 0 and queue:
            batch.append(self.fq_codel_dequeue(device))
            room -= len(batch[-1])
        return batch

    def fq_codel_enqueue(self, skb: Skb, device: Device) -> None:
        """Behind what waits."""
        device.qdisc.append(skb)

    def fq_codel_dequeue(self, device: Device) -> Skb:
        """What has waited longest."""
        return device.qdisc.popleft()

    def sch_direct_xmit(self, batch: list[Skb], device: Device) -> bool:
        """Give packets to the card; True if the queue may be tried further."""
        if not device.hw_offload:
            batch = [piece for skb in batch for piece in self._offload.validate_xmit_skb(skb)]
        if not device.netif_xmit_stopped():
            batch = self.dev_hard_start_xmit(batch, device)
        if batch:
            device.requeued.extendleft(reversed(batch))
            return False
        return bool(device.qdisc)

    def dev_hard_start_xmit(self, batch: list[Skb], device: Device) -> list[Skb]:
        """Call the driver for each packet; the ones that it did not take."""
        last = len(batch) - 1
        for at, skb in enumerate(batch):
            device.sending = skb
            status = device.driver.start_xmit(skb, at < last)
            reported, device.sending = device.sending is None, None
            if status != NETDEV_TX_OK:
                return batch[at:]
            if not reported and not device.flags & 0x8:
                # A driver without byte queue limits: nobody will say when it is done.
                self.free_skb(skb)
            if at < last and device.netif_xmit_stopped():
                return batch[at + 1 :]
        return []

    def free_skb(self, skb: Skb) -> None:
        """``consume_skb``: give a sent packet's memory back, and tell its socket."""
        for cache in skb.slabs:
            cache.free()
        skb.slabs = ()
        if skb.destructor is not None:
            destructor, skb.destructor = skb.destructor, None
            destructor()

    # Devices.

    def dev_open(self, device: Device) -> None:
        """Bring an interface up; in process context."""
        if device.flags & IFF_UP:
            return
        device.driver.open()
        device.flags |= IFF_UP
        device.set_rx_mode()
        if device.netif_carrier_ok():
            self.dev_activate(device)
        if not device.flags & 0x8:
            device.dev_mc_add(ALL_HOSTS_MAC)
        self.call_netdevice_notifiers(NETDEV_UP, device)

    def dev_close(self, device: Device) -> None:
        """Take an interface down; in process context."""
        if not device.flags & IFF_UP:
            return
        self.dev_deactivate(device)
        device.driver.stop()
        device.flags &= ~(IFF_UP | IFF_RUNNING)
        self.call_netdevice_notifiers(NETDEV_DOWN, device)

    def call_netdevice_notifiers(self, event: int, device: Device) -> None:
        """Tell everybody who wants to know; in process context."""
        for notify in self.netdev_chain:
            notify(event, device)

    def dev_activate(self, device: Device) -> None:
        """Put the queueing discipline in place (net/sched/sch_generic.c)."""
        device.active = True
        device.flags |= IFF_RUNNING

    def dev_deactivate(self, device: Device) -> None:
        """Drop what waits; from now on packets end here."""
        device.active = False
        device.flags &= ~IFF_RUNNING
        for queue in (device.requeued, device.qdisc):
            while queue:
                self._drop(queue.popleft(), device)

    def linkwatch_fire_event(self, device: Device) -> None:
        """A change of carrier: at once if the link came up, rate-limited otherwise."""
        work = self._linkwatch.get(device)
        if work is None:
            work = self._cpu.work(f"linkwatch {device.name}", lambda: self.linkwatch_event(device))
            self._linkwatch[device] = work
        if device.netif_carrier_ok() and not device.active:
            work.cancel()
            work.schedule()
        else:
            work.schedule(max(self._linkwatch_nextevent - self._cpu.jiffies, 0))

    def linkwatch_event(self, device: Device) -> None:
        """In a kworker: act upon the carrier as it is by now."""
        self._linkwatch_nextevent = self._cpu.jiffies + HZ
        if not device.flags & IFF_UP:
            return
        carrier = device.netif_carrier_ok()
        if carrier and not device.active:
            self.dev_activate(device)
        elif not carrier and device.active:
            self.dev_deactivate(device)
        self.call_netdevice_notifiers(NETDEV_CHANGE, device)


def _nobody_at_all(batch: list[Skb], device: Device) -> None:
    raise AssertionError("no protocol above the devices")


def _nobody(skb: Skb, device: Device) -> None:
    raise AssertionError(f"no protocol is attached for {skb.head[:14]!r} on {device!r}")


def _no_batch(batch: list[Skb]) -> None:
    raise AssertionError("the backlog does not merge")
