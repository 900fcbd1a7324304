"""A guest without costs around the driver, and the real card core under it.

Time moves only when somebody asks for it (``udelay``, ``msleep``, ``run``).
Interrupts are taken at once, nested in whatever runs; NAPI polls at the end of
the interrupt, as a soft interrupt of an idle guest would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from desim.devices import CardModel, Nic
from desim.e1000.card import E1000
from desim.guest.cpu.context import HZ, JIFFY_NS, NET_RX_SOFTIRQ, Cpu, Work
from desim.guest.cpu.ioapic import IoApicPin
from desim.guest.drivers.e1000 import PARAMETERS, E1000Driver, ModuleOptions
from desim.guest.drivers.modprobe import parse_args
from desim.guest.drivers.netdevice import NetDeviceStats
from desim.guest.mm.memory import Memory
from desim.guest.skb import Skb
from desim.ports import Dma, Mmio, Timer
from desim.stages import Build, bare, marks_of
from desim.testing import Ledger
from desim.userland.waitqueue import WaitQueue
from desim.wire.frame import Frame

MAC = bytes.fromhex("525400123456")
SECOND = 1_000_000_000
MS = 1_000_000


class FakeTimer:
    """A QEMU timer or a kernel work item: something due at one instant."""

    def __init__(self, name: str, fire: Callable[[], None], periodic: bool) -> None:
        self.name = name
        self.fire = fire
        self.periodic = periodic
        self.deadline: int | None = None

    def arm(self, deadline: int) -> None:
        self.deadline = deadline

    def cancel(self) -> None:
        self.deadline = None


class FakeWork(FakeTimer):
    """``struct delayed_work``."""

    cpu: FakeCpu

    @property
    def pending(self) -> bool:
        return self.deadline is not None

    def schedule(self, delay_jiffies: int = 0) -> None:
        if self.deadline is None:
            self.deadline = (self.cpu.jiffies + delay_jiffies) * JIFFY_NS


class FakeCpu(Cpu):
    """One processor that costs nothing, with the clock of the whole machine."""

    def __init__(self) -> None:
        self.time = 0
        self.timers: list[FakeTimer] = []
        self.pin = IoApicPin(raised=self.take_interrupt)
        self.handler: Callable[[], bool] = lambda: False
        self.softirq: Callable[[], None] = lambda: None
        self.touched: list[str] = []
        self._irq_off = 0
        self._bh_off = 0
        self._raised = False

    # Clock and time

    def now(self) -> int:
        return self.time

    @property
    def jiffies(self) -> int:
        return self.time // JIFFY_NS

    def clock_timer(self, name: str, fire: Callable[[], None], *, periodic: bool = False) -> Timer:
        timer = FakeTimer(name, fire, periodic)
        self.timers.append(timer)
        return timer

    def work(self, name: str, function: Callable[[], None], *, periodic: bool = False) -> Work:
        work = FakeWork(name, function, periodic)
        work.cpu = self
        self.timers.append(work)
        return work

    def timer(self, name: str, function: Callable[[], None], *, periodic: bool = False) -> Any:
        raise AssertionError("the driver uses no kernel timers")

    def run(self, ns: int, *, work: bool = True) -> None:
        """Let ``ns`` pass, and everything happen that is due; without ``work``, no work items."""
        end = self.time + ns
        while True:
            due = [
                t
                for t in self.timers
                if t.deadline is not None
                and t.deadline <= end
                and (work or not isinstance(t, FakeWork))
            ]
            if not due:
                break
            first = min(due, key=lambda t: t.deadline or 0)
            self.time = max(self.time, first.deadline or 0)
            first.deadline = None
            first.fire()
        self.time = max(self.time, end)

    def kept_alive_by(self) -> list[str]:
        """What is due and not periodic: while there is any, a run goes on."""
        return [t.name for t in self.timers if t.deadline is not None and not t.periodic]

    def pending_work(self) -> list[str]:
        """Work items that are queued."""
        return [t.name for t in self.timers if isinstance(t, FakeWork) and t.pending]

    def udelay(self, us: int) -> None:
        self.run(us * 1000, work=False)

    def msleep(self, ms: int) -> None:
        wake = self.jiffies + 1 + -(-ms * HZ // 1000)
        self.run(wake * JIFFY_NS - self.time, work=False)

    # Interrupts

    def take_interrupt(self) -> None:
        while self.pin.pending and not self._irq_off:
            self._irq_off += 1
            self.pin.acknowledge()
            handled = self.handler()
            self._irq_off -= 1
            self.pin.eoi(handled=handled)
        if not self._irq_off:
            self._do_softirq()

    def _do_softirq(self) -> None:
        while self._raised and not self._bh_off:
            self._raised = False
            self._bh_off += 1
            self.softirq()
            self._bh_off -= 1

    def local_irq_disable(self) -> None:
        self._irq_off += 1

    def local_irq_enable(self) -> None:
        self._irq_off -= 1
        self.take_interrupt()

    def local_bh_disable(self) -> None:
        self._bh_off += 1

    def local_bh_enable(self) -> None:
        self._bh_off -= 1
        self._do_softirq()

    def cond_resched(self) -> None:
        pass

    def in_softirq(self) -> bool:
        return self._bh_off > 0

    def call_at(
        self, instant: int, function: Callable[[], None], *, periodic: bool = False
    ) -> None:
        def interrupt() -> None:
            function()
            self._do_softirq()

        timer = FakeTimer("call_at", interrupt, periodic)
        timer.deadline = instant
        self.timers = [t for t in self.timers if t.name != "call_at" or t.deadline is not None]
        self.timers.append(timer)

    def raise_softirq(self, vector: int) -> None:
        assert vector == NET_RX_SOFTIRQ
        self._raised = True

    def touch(self, point: str) -> None:
        self.touched.append(point)

    def touch_point(self, point: str) -> Callable[[], None]:
        return lambda: self.touched.append(point)

    def wake_up(self, queue: WaitQueue) -> None:
        raise AssertionError("the driver wakes nobody")


class FakeClock:
    """The card's view of the time."""

    def __init__(self, cpu: FakeCpu) -> None:
        self.now = cpu.now
        self.timer = cpu.clock_timer


class FakeDevice:
    """``NetDevice`` without queues behind it: what the driver says is written down."""

    def __init__(self, cpu: FakeCpu) -> None:
        self.cpu = cpu
        self.name = "eth0"
        self.dev_addr = bytes(6)
        self.mtu = 1500
        self.flags = 0
        self.mc_list: list[bytes] = []
        self.uc_list: list[bytes] = []
        self.stats = NetDeviceStats()
        self.hw_offload = True
        self.received: list[Skb] = []
        self.polls: list[int] = []
        self.budget = 64
        self.poll: Callable[[int], int] = lambda budget: 0
        self.carrier = False
        self.carrier_since = -1
        self.stopped = True
        self.bql_stopped = False
        self.sent = [0, 0]
        self.completed = [0, 0]
        self.napi_on = False
        self.scheduled = False
        cpu.softirq = self.net_rx_action

    def netif_carrier_ok(self) -> bool:
        return self.carrier

    def netif_carrier_on(self) -> None:
        self.carrier = True
        self.carrier_since = self.cpu.time

    def netif_carrier_off(self) -> None:
        self.carrier = False

    def netif_start_queue(self) -> None:
        self.stopped = False

    def netif_stop_queue(self) -> None:
        self.stopped = True

    def netif_wake_queue(self) -> None:
        self.stopped = False

    def netif_queue_stopped(self) -> bool:
        return self.stopped

    def netif_xmit_stopped(self) -> bool:
        return self.stopped or self.bql_stopped

    def netdev_sent_queue(self, size: int) -> None:
        self.sent[0] += 1
        self.sent[1] += size

    def netdev_completed_queue(self, packets: int, size: int) -> None:
        self.completed[0] += packets
        self.completed[1] += size

    def netdev_reset_queue(self) -> None:
        self.completed = list(self.sent)

    def napi_enable(self) -> None:
        assert not self.napi_on
        self.napi_on = True

    def napi_disable(self) -> None:
        assert self.napi_on
        self.napi_on = False

    def napi_schedule_prep(self) -> bool:
        return self.napi_on and not self.scheduled

    def napi_schedule(self) -> None:
        self.scheduled = True
        self.cpu.raise_softirq(NET_RX_SOFTIRQ)

    def napi_complete_done(self, work: int) -> bool:
        self.scheduled = False
        return True

    def napi_gro_receive(self, skb: Skb) -> None:
        self.received.append(skb)

    def netif_rx(self, skb: Skb) -> None:
        self.received.append(skb)

    def net_rx_action(self) -> None:
        for _ in range(1000):
            if not self.scheduled:
                return
            self.polls.append(self.poll(self.budget))
        raise AssertionError("the driver polls forever")


class FakeBus:
    """``PciBus`` and ``Mmio``: card and driver meet here, and every access is noted.

    A register in ``stuck`` reads as the value there, whatever the card says.
    """

    def __init__(self, memory: Memory, pin: IoApicPin) -> None:
        self.memory = memory
        self.card: E1000
        self.wait: Callable[[int], None]
        """``udelay``"""
        self.log: list[tuple[str, int, int]] = []
        self.stuck: dict[int, int] = {}
        self.set_irq = pin.set_level

    def dma(self) -> Dma:
        return self.memory

    def read(self, offset: int) -> int:
        value = self.stuck.get(offset)
        if value is None:
            value = self.card.mmio_read(offset)
        self.log.append(("r", offset, value))
        return value

    def write(self, offset: int, value: int) -> None:
        assert 0 <= value < 1 << 32
        self.log.append(("w", offset, value))
        self.card.mmio_write(offset, value)

    def read_all(self, offsets: tuple[int, ...]) -> list[int]:
        return [self.read(offset) for offset in offsets]

    def write_all(
        self, offsets: tuple[int, ...], values: Sequence[int], flush: int | None = None
    ) -> None:
        Mmio.write_all(self, offsets, values, flush)

    def strobe(self, offset: int, values: Sequence[int], flush: int, delay_ns: int) -> None:
        for value in values:
            self.write(offset, value)
            self.read(flush)
            self.wait(delay_ns // 1000)

    def clock_in(
        self, offset: int, level: int, clock: int, keep: int, count: int, flush: int, delay_ns: int
    ) -> list[int]:
        return Mmio.clock_in(self, offset, level, clock, keep, count, flush, delay_ns)

    def config_read(self, offset: int) -> int:
        return self.card.config_read(offset)

    def config_write(self, offset: int, value: int) -> None:
        self.card.config_write(offset, value)

    def writes(self, *offsets: int) -> list[int]:
        """Every value written to one of ``offsets``."""
        return [value for kind, offset, value in self.log if kind == "w" and offset in offsets]


class FakeNet:
    """The card's peer: keeps what comes out, holds back what the card cannot take."""

    def __init__(self) -> None:
        self.card: E1000
        self.out: list[Frame] = []
        self.answer: Callable[[Frame], Frame | None] = lambda frame: None
        self.waiting: list[Frame] = []

    def send(self, frame: Frame) -> int:
        self.out.append(frame)
        answer = self.answer(frame)
        if answer is not None:
            self.inject(answer)
        return len(frame)

    def loopback(self, frame: Frame) -> int:
        return self.card.receive(frame)

    def inject(self, frame: Frame) -> None:
        if self.waiting or not self.card.can_receive():
            self.waiting.append(frame)
        else:
            self.card.receive(frame)

    def flush(self) -> None:
        while self.waiting and self.card.can_receive():
            self.card.receive(self.waiting.pop(0))


def noting(entered: list[str]) -> Build:
    """A ``Build`` whose classes write down the name of each stage that is entered."""

    def wrap(method: Callable[..., Any], name: str) -> Callable[..., Any]:
        def stage(self: Any, *args: Any) -> Any:
            entered.append(name)
            return method(self, *args)

        return stage

    def build(cls: type[Any], /) -> type[Any]:
        methods = {n: wrap(getattr(cls, n), m.names[0]) for n, m in marks_of(cls)}
        return type(cls.__name__, (cls,), methods)

    return build


class Guest:
    """Memory, processor, card and driver, wired up; nothing has happened yet."""

    def __init__(
        self,
        parameters: str = "",
        *,
        model: CardModel = "e1000",
        ram: int = 1 << 24,
        build: Build = bare,
    ) -> None:
        self.cpu = FakeCpu()
        self.memory = Memory(ram)
        self.bus = FakeBus(self.memory, self.cpu.pin)
        self.bus.wait = self.cpu.udelay
        self.net = FakeNet()
        self.ledger = Ledger()
        self.card = E1000(
            clock=FakeClock(self.cpu),
            pci=self.bus,
            net=self.net,
            ledger=self.ledger,
            nic=Nic(mac=MAC, model=model),
        )
        self.bus.card = self.net.card = self.card
        self.device = FakeDevice(self.cpu)
        self.log: list[str] = []
        self.driver = build(E1000Driver)(
            cpu=self.cpu,
            mmio=self.bus,
            memory=self.memory,
            device=self.device,
            options=ModuleOptions(**parse_args("e1000", parameters.split(), PARAMETERS).values),
            log=self.log.append,
            build=build,
        )
        self.cpu.handler = self.driver.interrupt
        self.device.poll = self.driver.poll

    def probe(self) -> Guest:
        self.driver.probe()
        return self

    def open(self) -> Guest:
        self.driver.open()
        self.driver.set_rx_mode()  # the stack does, right after ndo_open
        return self

    def up(self) -> Guest:
        """Probed, opened, with carrier, the receiver's second of deafness over."""
        self.probe()
        self.cpu.run(SECOND)
        self.open()
        self.cpu.run(SECOND + SECOND // 2)
        assert self.device.carrier
        self.bus.log.clear()
        return self

    def send(self, skb: Skb, more: bool = False) -> int:
        """``start_xmit`` as the stack calls it: with soft interrupts off."""
        self.cpu.local_bh_disable()
        result = self.driver.start_xmit(skb, more)
        self.cpu.local_bh_enable()
        return result
