"""A guest's network stack alone: a processor and a card without costs.

Time moves only in ``GuestCpu.run`` and ``step``. The timer wheel is the real one. Soft
interrupts run where the real ones would: when they are enabled again, after an interrupt,
after a timer. The card (``GuestCard``) segments and sums as the e1000 does; what it has
sent is completed in its poll.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from desim.guest.cpu.context import JIFFY_NS, NET_RX_SOFTIRQ, NET_TX_SOFTIRQ
from desim.guest.cpu.timers import TimerWheel, WheelTimer
from desim.guest.cpu.workqueue import DelayedWork
from desim.guest.drivers.ethtool import EthtoolOps
from desim.guest.net.device import Device
from desim.guest.net.stack import NetStack
from desim.guest.net.tcp.sysctl import DEFAULTS, TcpSysctl
from desim.guest.skb import CHECKSUM_PARTIAL, Skb
from desim.stages import Build, bare
from desim.userland.waitqueue import WaitQueue
from desim.wire.addresses import ip, mac
from desim.wire.checksum import ones_sum
from desim.wire.frame import Frame
from desim.wire.segment import Segment
from desim.wire.tcp import FIN, PSH

MS = 1_000_000

GUEST_MAC = mac("52:54:00:12:34:56")
SLIRP_MAC = mac("52:55:0a:00:02:02")
GUEST = ip("10.0.2.15")
SLIRP = ip("10.0.2.2")


class Numbers:
    """Numbers that follow from the stream's name and from nothing else."""

    def __init__(self, name: str) -> None:
        self.state = int.from_bytes(name.encode(), "big") % (1 << 61) | 1

    def u32(self) -> int:
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return self.state >> 32

    def below(self, n: int) -> int:
        return self.u32() % n


class Streams:
    """The port: one stream for each name."""

    def __init__(self, salt: str = "") -> None:
        self.salt = salt
        self.streams: dict[str, Numbers] = {}

    def __call__(self, name: str) -> Numbers:
        return self.streams.setdefault(name, Numbers(self.salt + name))


class GuestCpu:
    """One processor on which nothing takes time."""

    def __init__(self) -> None:
        self.time = 0
        self.touched: list[str] = []
        self.woken: list[str] = []
        self.softirqs: dict[int, Callable[[], None]] = {}
        self._raised = 0
        self._bh = 0
        self._irq = 0
        self._serving = False
        self._works: list[DelayedWork] = []
        self._alarms: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self.wheel = TimerWheel(now=self.now, touch=lambda: None, program=lambda _: None)

    def now(self) -> int:
        return self.time

    @property
    def jiffies(self) -> int:
        return self.time // JIFFY_NS

    def udelay(self, us: int) -> None:
        self.time += us * 1000

    def msleep(self, ms: int) -> None:
        self.run(ms * MS)

    def local_irq_disable(self) -> None:
        self._irq += 1

    def local_irq_enable(self) -> None:
        assert self._irq
        self._irq -= 1

    def local_bh_disable(self) -> None:
        self._bh += 1

    def local_bh_enable(self) -> None:
        assert self._bh
        self._bh -= 1
        self.serve()

    def cond_resched(self) -> None:
        pass

    def in_softirq(self) -> bool:
        return self._serving or self._bh > 0

    def raise_softirq(self, vector: int) -> None:
        self._raised |= 1 << vector

    def serve(self) -> None:
        """Run what is pending, unless soft interrupts are off or running already."""
        if self._serving or self._bh:
            return
        self._serving = True
        self._bh += 1
        while self._raised:
            vector = (self._raised & -self._raised).bit_length() - 1
            self._raised &= ~(1 << vector)
            self.softirqs[vector]()
        self._bh -= 1
        self._serving = False

    def touch(self, point: str) -> None:
        self.touched.append(point)

    def touch_point(self, point: str) -> Callable[[], None]:
        return lambda: self.touched.append(point)

    def wake_up(self, queue: WaitQueue) -> None:
        self.woken.append(queue.name)
        queue.woken = len(self.woken)

    def call_at(
        self, instant: int, function: Callable[[], None], *, periodic: bool = False
    ) -> None:
        self._sequence += 1
        heappush(self._alarms, (instant, self._sequence, function))

    def timer(
        self, name: str, function: Callable[[], None], *, periodic: bool = False
    ) -> WheelTimer:
        return self.wheel.timer(name, function, periodic=periodic)

    def work(
        self, name: str, function: Callable[[], None], *, periodic: bool = False
    ) -> DelayedWork:
        return DelayedWork(
            name, function, wheel=self.wheel, queue=self._works.append, periodic=periodic
        )

    def armed(self) -> list[str]:
        """Names of the timers that are armed."""
        return [timer.name for timer in self.wheel.armed()]

    def next_bucket_ns(self) -> int | None:
        """When the wheel has to be looked at next."""
        buckets = [timer.bucket for timer in self.wheel.armed() if timer.bucket is not None]
        return min(buckets) * JIFFY_NS if buckets else None

    def step(self, until: int) -> bool:
        """The next thing that is due by ``until``; False if there is none."""
        self.serve()
        if self._works:
            self._works.pop(0).run()
            self.serve()
            return True
        due = self.next_bucket_ns()
        if self._alarms and (due is None or self._alarms[0][0] < due):
            instant, _, function = self._alarms[0]
            if instant > until:
                return False
            heappop(self._alarms)
            self.time = max(self.time, instant)
            function()
            self.serve()
            return True
        if due is None or due > until:
            return False
        self.time = max(self.time, due)
        self._bh += 1
        self.wheel.run()
        self._bh -= 1
        self.serve()
        return True

    def run(self, ns: int) -> None:
        """Let ``ns`` pass."""
        until = self.time + ns
        while self.step(until):
            pass
        self.time = until


class GuestCard:
    """A card that sends at once and completes in its poll."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.sent: list[Frame] = []
        self.sent_at: list[int] = []
        self.packets: list[Skb] = []
        """What the stack has handed down, before it was cut; ``packets_at``: when."""
        self.packets_at: list[int] = []
        self.more: list[bool] = []
        self.received: list[Frame] = []
        self.uncompleted: list[int] = []
        self.complete_at_once = True
        self.rx_modes = 0
        self.busy = False
        self.opened = False
        self.clock: Callable[[], int] = lambda: 0

    def open(self) -> None:
        self.opened = True
        self.device.napi_enable()
        self.device.netif_start_queue()

    def stop(self) -> None:
        self.opened = False
        self.device.netif_stop_queue()
        self.device.napi_disable()
        self.device.netdev_reset_queue()
        self.device.netif_carrier_off()

    def start_xmit(self, skb: Skb, more: bool) -> int:
        if self.busy:
            self.device.netif_stop_queue()
            return 0x10
        size = len(skb)
        self.packets.append(skb)
        self.packets_at.append(self.clock())
        self.more.append(more)
        for raw in wire_frames(skb):
            self.sent.append(Frame(raw.ljust(60, b"\0")))
            self.sent_at.append(self.clock())
        self.device.netdev_sent_queue(size)
        self.uncompleted.append(size)
        if self.complete_at_once:
            self.interrupt()
        return 0

    def set_rx_mode(self) -> None:
        self.rx_modes += 1

    def poll(self, budget: int) -> int:
        done, self.uncompleted = self.uncompleted, []
        if done:
            self.device.netdev_completed_queue(len(done), sum(done))
        work = 0
        while self.received and work < budget:
            frame = self.received.pop(0)
            self.device.stats.rx_packets += 1
            self.device.napi_gro_receive(Skb(frame.raw, frame))
            work += 1
        if work < budget:
            self.device.napi_complete_done(work)
            # What was sent meanwhile raises the next interrupt.
            if self.uncompleted and self.complete_at_once:
                self.interrupt()
        return work

    def interrupt(self) -> bool:
        if self.device.napi_schedule_prep():
            self.device.napi_schedule()
        return True

    def ethtool_ops(self) -> EthtoolOps:
        return EthtoolOps()


def wire_frames(skb: Skb) -> list[bytes]:
    """What a card makes of a packet: cut into segments, every checksum filled in."""
    payload = b"".join(skb.frags)
    if not skb.gso_size:
        return [_summed(skb.head + payload, skb)]
    frames = []
    head_len = len(skb.head)
    for number, at in enumerate(range(0, len(payload), skb.gso_size)):
        head = bytearray(skb.head)
        piece = payload[at : at + skb.gso_size]
        length = head_len - 14 + len(piece)
        head[16:18] = length.to_bytes(2, "big")
        ident = int.from_bytes(head[18:20], "big") + number
        head[18:20] = (ident & 0xFFFF).to_bytes(2, "big")
        head[24:26] = b"\0\0"
        head[24:26] = (0xFFFF - ones_sum(bytes(head[14:34]))).to_bytes(2, "big")
        seq = int.from_bytes(head[38:42], "big") + at
        head[38:42] = (seq & 0xFFFFFFFF).to_bytes(4, "big")
        if at + skb.gso_size < len(payload):
            head[47] &= ~(FIN | PSH)
        pseudo = ones_sum(bytes(head[26:34])) + 6 + length - 20
        head[50:52] = ((pseudo - 1) % 0xFFFF + 1).to_bytes(2, "big")
        frames.append(_summed(bytes(head) + piece, skb))
    return frames


def _summed(raw: bytes, skb: Skb) -> bytes:
    if skb.ip_summed != CHECKSUM_PARTIAL:
        return raw
    at = skb.csum_start + skb.csum_offset
    total = 0xFFFF - ones_sum(raw[skb.csum_start :])
    return raw[:at] + total.to_bytes(2, "big") + raw[at + 2 :]


class Guest:
    """A stack with one interface, up and configured as slirp's DHCP would.

    ``salt`` gives other random numbers. ``know_slirp`` saves the ARP request.
    """

    def __init__(
        self,
        *,
        configured: bool = True,
        salt: str = "",
        build: Build = bare,
        mac: bytes = GUEST_MAC,
        address: bytes = GUEST,
        prefix: int = 24,
        gateway: bytes = SLIRP,
        sysctl: TcpSysctl = DEFAULTS,
    ) -> None:
        self.cpu = GuestCpu()
        self.random = Streams(salt)
        self.stack = NetStack(cpu=self.cpu, random=self.random, sysctl=sysctl, build=build)
        self.cpu.softirqs[NET_RX_SOFTIRQ] = self.stack.net_rx_action
        self.cpu.softirqs[NET_TX_SOFTIRQ] = self.stack.net_tx_action
        self.device = self.stack.attach("eth0", mac, GuestCard)
        driver = self.device.driver
        assert isinstance(driver, GuestCard)
        self.driver = driver
        self.gateway = gateway
        driver.clock = self.cpu.now
        if configured:
            self.stack.dev_open("eth0")
            self.device.netif_carrier_on()
            self.cpu.run(0)
            self.stack.add_address("eth0", address, prefix)
            self.stack.add_route(bytes(4), 0, gateway=gateway)

    def know_slirp(self) -> Guest:
        """As if the gateway's MAC had been asked for long ago."""
        self.stack.arp.set_permanent(self.gateway, self.device, SLIRP_MAC)
        return self

    def put(self, *frames: Frame) -> None:
        """One interrupt of the card with these frames received."""
        self.driver.received += frames
        self.driver.interrupt()
        self.cpu.serve()

    def take(self) -> list[Frame]:
        """What the card has sent since the last time."""
        sent, self.driver.sent = self.driver.sent, []
        self.driver.sent_at.clear()
        return sent

    def segments(self) -> list[Segment]:
        """As ``take``, all of it TCP with good checksums."""
        found = []
        for frame in self.take():
            segment = frame.segment
            assert segment is not None, frame
            assert segment.sums_ok
            found.append(segment)
        return found
