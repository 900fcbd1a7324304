"""The plain driver and the one that polls, on the real card core."""

from __future__ import annotations

from typing import Any

import pytest
from fakes_driver import MAC, MS, SECOND, FakeBus, FakeClock, FakeCpu, FakeDevice
from fakes_driver import FakeNet as Net

from desim.conform.e1000.lint import Lint
from desim.devices import Nic
from desim.e1000.card import E1000
from desim.guest.cpu.ioapic import IoApicPin
from desim.guest.drivers.bare import card as b
from desim.guest.drivers.bare.plain import PlainDriver
from desim.guest.drivers.bare.polling import PollingDriver
from desim.guest.drivers.netdevice import NETDEV_TX_BUSY, NETDEV_TX_OK
from desim.guest.mm.memory import Memory
from desim.guest.skb import Skb
from desim.testing import Ledger
from desim.wire.frame import Frame

US = 1_000
SMALL = MAC.ljust(60, b"\0")
OUT = bytes.fromhex("525500000002").ljust(98, b"\1")
DRIVERS = [PlainDriver, PollingDriver]


class Bare:
    """Memory, processor, card and a bare driver; open, the receiver's second of deafness over."""

    def __init__(
        self,
        driver: type[Any],
        *,
        mitigation: bool = True,
        bus: type[FakeBus] = FakeBus,
        **options: int,
    ) -> None:
        self.cpu = FakeCpu()
        self.memory = Memory(1 << 24)
        self.bus = bus(self.memory, self.cpu.pin)
        self.net = Net()
        self.card = E1000(
            clock=FakeClock(self.cpu),
            pci=self.bus,
            net=self.net,
            ledger=Ledger(),
            nic=Nic(mac=MAC, mitigation=mitigation),
        )
        self.bus.card = self.net.card = self.card
        self.device = FakeDevice(self.cpu)
        self.log: list[str] = []
        self.driver = driver(
            cpu=self.cpu,
            mmio=self.bus,
            memory=self.memory,
            device=self.device,
            log=self.log.append,
            **options,
        )
        self.cpu.handler = self.driver.interrupt
        self.device.poll = self.driver.poll
        self.driver.init_module()
        self.driver.open()
        self.cpu.run(SECOND + 10 * MS)

    @property
    def interrupts(self) -> int:
        return self.cpu.pin.delivered

    def send(self) -> int:
        self.cpu.local_bh_disable()
        result: int = self.driver.start_xmit(Skb(OUT), False)
        self.cpu.local_bh_enable()
        return result


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_address_is_the_cards_and_the_link_is_there_at_once(driver: type[Any]) -> None:
    bare = Bare(driver)
    assert bare.device.dev_addr == MAC
    assert bare.device.carrier
    assert bare.bus.writes(b.RCTL) == [b.RCTL_EN | b.RCTL_MPE | b.RCTL_BAM]
    assert bare.log[0].startswith(f"e1000_{'plain' if driver is PlainDriver else 'polling'}: ")


@pytest.mark.parametrize("driver", DRIVERS)
def test_frames_go_both_ways_more_often_than_the_rings_are_long(driver: type[Any]) -> None:
    bare = Bare(driver)
    for number in range(600):
        frame = Frame(SMALL[:-2] + number.to_bytes(2, "big"))
        bare.net.inject(frame)
        bare.cpu.run(MS)
        assert bare.device.received.pop().frame is frame
        assert bare.send() == NETDEV_TX_OK
    assert len(bare.net.out) == 600
    assert bare.device.stats.rx_packets == bare.device.stats.tx_packets == 600
    assert bare.device.stats.rx_bytes == 600 * 60


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_frame_that_was_touched_comes_out_as_it_is_in_memory(driver: type[Any]) -> None:
    bare = Bare(driver)
    ring = bare.driver.card.rx
    take = bare.card.receive

    def touched(frame: Frame) -> int:
        taken = take(frame)
        bare.memory.write(ring.buffers[0], frame.raw[:1])
        return taken

    bare.card.receive = touched
    bare.net.inject(Frame(SMALL))
    bare.cpu.run(MS)
    (skb,) = bare.device.received
    assert skb.head == SMALL
    assert ring.next == 1


@pytest.mark.parametrize("driver", DRIVERS)
def test_offloads_are_left_to_the_kernel(driver: type[Any]) -> None:
    assert Bare(driver).device.hw_offload is False


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_card_that_does_not_send_stops_the_queue_and_starts_it_again(driver: type[Any]) -> None:
    bare = Bare(driver)
    bare.card.mmio_write(b.TCTL, 0)
    sent = 0
    while not bare.device.stopped:
        assert bare.send() == NETDEV_TX_OK
        sent += 1
    assert sent == b.RING - 1
    assert bare.send() == NETDEV_TX_BUSY
    bare.card.mmio_write(b.TCTL, b.TCTL_EN)
    bare.cpu.run(10 * MS)
    assert len(bare.net.out) == sent
    assert not bare.device.stopped


@pytest.mark.parametrize("driver", DRIVERS)
def test_closing_gives_all_memory_back_and_opening_works_again(driver: type[Any]) -> None:
    bare = Bare(driver)
    bare.driver.stop()
    assert bare.memory.allocated == 0
    assert not bare.device.carrier
    bare.driver.open()
    bare.cpu.run(2 * SECOND)
    bare.net.inject(Frame(SMALL))
    bare.cpu.run(MS)
    assert len(bare.device.received) == 1


@pytest.mark.parametrize("driver", DRIVERS)
def test_without_memory_it_does_not_open(driver: type[Any]) -> None:
    bare = Bare(driver)
    bare.driver.stop()
    taken = []
    while address := bare.memory.alloc(b.SLOT, align=b.SLOT):
        taken.append(address)
    for address in taken[: b.RING + 2]:
        bare.memory.free(address)
    with pytest.raises(MemoryError):
        bare.driver.open()
    for address in taken[b.RING + 2 :]:
        bare.memory.free(address)
    assert bare.memory.allocated == 0


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_link_that_goes_and_comes_is_seen(driver: type[Any]) -> None:
    bare = Bare(driver)
    for up in (False, True):
        bare.card.set_link(up)
        bare.cpu.run(3 * SECOND)
        assert bare.device.carrier is up


def test_plain_takes_one_frame_for_each_interrupt() -> None:
    bare = Bare(PlainDriver, mitigation=False)
    before = bare.interrupts
    bare.cpu.local_irq_disable()
    for _ in range(5):
        bare.net.inject(Frame(SMALL))
    bare.cpu.local_irq_enable()
    assert len(bare.device.received) == 5
    assert bare.interrupts - before == 5


def test_plain_is_held_to_one_frame_in_128_us_by_mitigation() -> None:
    bare = Bare(PlainDriver)
    bare.cpu.local_irq_disable()
    for _ in range(5):
        bare.net.inject(Frame(SMALL))
    bare.cpu.local_irq_enable()
    seen = []
    for _ in range(5):
        seen.append(len(bare.device.received))
        bare.cpu.run(128 * US)
    assert seen == [1, 2, 3, 4, 5]


def test_polling_never_enables_an_interrupt_nor_takes_one() -> None:
    bare = Bare(PollingDriver)
    for _ in range(100):
        bare.net.inject(Frame(SMALL))
        bare.cpu.run(MS)
        bare.send()
    assert bare.interrupts == 0
    assert bare.bus.writes(b.IMS) == []
    assert len(bare.device.received) == 100


def test_polling_finds_a_frame_at_the_next_period_and_none_before() -> None:
    bare = Bare(PollingDriver, period_us=1000)
    bare.cpu.run(MS - bare.cpu.time % MS + 100 * US)
    bare.net.inject(Frame(SMALL))
    assert bare.driver.unpolled()
    bare.cpu.run(399 * US)
    assert bare.device.received == []
    bare.cpu.run(1 * US)
    assert len(bare.device.received) == 1
    assert not bare.driver.unpolled()


def test_polling_leaves_the_card_alone_while_nothing_comes() -> None:
    bare = Bare(PollingDriver)
    bare.bus.log.clear()
    bare.cpu.run(900 * MS)
    assert {offset for _, offset, _ in bare.bus.log} <= {b.STATUS}
    assert len(bare.bus.log) <= 1


def test_polling_takes_a_full_ring_64_frames_at_a_time() -> None:
    bare = Bare(PollingDriver, period_us=10_000)
    for _ in range(200):
        bare.net.inject(Frame(SMALL))
    bare.device.polls.clear()
    bare.cpu.run(20 * MS)
    assert len(bare.device.received) == 200
    assert bare.device.polls == [64, 64, 64, 8]


def test_polling_does_not_keep_a_run_from_ending() -> None:
    assert Bare(PollingDriver).cpu.kept_alive_by() == []


class LintedBus(FakeBus):
    """Tells the lint of every access, and of what the card is like at that moment."""

    def __init__(self, memory: Memory, pin: IoApicPin) -> None:
        super().__init__(memory, pin)
        self.lint = Lint()
        self.count = 0

    def _where(self) -> str:
        self.count += 1
        self.lint.bus_master(self.card.pci.bus_master)
        self.lint.head(self.card.mac_reg[b.RDH >> 2])
        return f"op {self.count}"

    def read(self, offset: int) -> int:
        where = self._where()
        value = super().read(offset)
        self.lint.read(where, offset, value)
        return value

    def write(self, offset: int, value: int) -> None:
        where = self._where()
        self.lint.write(where, offset, value)
        super().write(offset, value)
        self.lint.raised(self.card.mac_reg[b.ICR >> 2] & self.card.mac_reg[b.IMS >> 2])


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_lint_has_nothing_to_say(driver: type[Any]) -> None:
    bare = Bare(driver, bus=LintedBus)
    for _ in range(300):
        bare.net.inject(Frame(SMALL))
        bare.cpu.run(MS)
        bare.send()
    bare.driver.stop()
    assert isinstance(bare.bus, LintedBus)
    assert [str(finding) for finding in bare.bus.lint.finish()] == []
