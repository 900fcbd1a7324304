"""A driver that never enables an interrupt: it looks at the ring every so often.

Theory of operation
-------------------
A high-resolution timer of the guest fires every ``period_us`` (parameter of the module,
default 250) and looks at the next descriptor of the receive ring, which is memory: as
long as nothing has come, the card is not touched at all. If something has, NAPI is
scheduled and its poll takes frames, 64 at a time, until the ring is empty. What was sent
is reclaimed when a packet is to go out and the ring is short, and by the timer if the
queue has stopped for it. Once a second the timer reads STATUS for the link.

So QEMU's mitigation has nothing to hold back, a frame waits for half a period on
average, and the price is the timer's own interrupts, whether frames come or not.

    e1000_polling_timer       look; napi_schedule if there is anything to do; arm again
    e1000_polling_clean       up to 64 frames to GRO; done if there were fewer
    e1000_polling_xmit_frame  copy, one legacy descriptor, TDT
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from desim.guest.cpu.context import Cpu
from desim.guest.drivers.bare.card import RING, Card
from desim.guest.drivers.netdevice import NETDEV_TX_BUSY, NETDEV_TX_OK, NetDevice
from desim.guest.mm.memory import Memory
from desim.guest.skb import Skb
from desim.ports import Mmio
from desim.stages import GUEST, Build, Landmark, bare, mark, stages

if TYPE_CHECKING:
    from desim.guest.drivers.ethtool import EthtoolOps

FILE = "e1000_polling.c"
DEFAULT_PERIOD_US = 250
LINK_NS = 1_000_000_000
SHORT = RING // 2
"""With fewer free slots than this, a packet to send reclaims first."""


class PollingDriver:
    """One card under the polling driver's control; implements ``NetDriver``."""

    STAGES = stages(
        GUEST,
        open=mark("e1000_polling_open", file=FILE),
        stop=mark("e1000_polling_stop", file=FILE),
        look=mark("e1000_polling_timer", file=FILE),
        poll=mark("e1000_polling_clean", file=FILE, landmark=Landmark.POLLED),
        start_xmit=mark("e1000_polling_xmit_frame", file=FILE, size="skb"),
    )

    def __init__(
        self,
        *,
        cpu: Cpu,
        mmio: Mmio,
        memory: Memory,
        device: NetDevice,
        log: Callable[[str], None],
        period_us: int = DEFAULT_PERIOD_US,
        build: Build = bare,
    ) -> None:
        self.card = Card(cpu=cpu, mmio=mmio, memory=memory, device=device)
        self.device = device
        self.period_ns = period_us * 1000
        self._cpu = cpu
        self._log = log
        self._running = 0
        """Counts openings, so that a timer of an earlier one does nothing."""
        self._open = False
        self._polling = False
        """From the timer that schedules NAPI to the end of the poll: the timer leaves what
        the poll works on alone. It changes right behind a touch point."""
        self._due = self._look_at_link = 0

    def init_module(self) -> None:
        """Find the card."""
        period = self.period_ns // 1000
        self._log(f"e1000_polling: 8086:{self.card.attach()}, polled every {period} us")

    def unpolled(self) -> bool:
        """Whether a frame waits for the next look."""
        return self.card.waiting()

    def open(self) -> None:
        """``ndo_open``."""
        self.card.start()
        self._open = True
        self._polling = False
        self._running += 1
        self.device.napi_enable()
        self.device.netif_start_queue()
        self._update_link()
        self._look_at_link = self._cpu.now()
        # Half a period off, so that round instants of the guest's life are between two looks.
        self._arm(self.period_ns // 2)

    def stop(self) -> None:
        """``ndo_stop``."""
        self._open = False
        self.device.netif_stop_queue()
        self.device.netif_carrier_off()
        self.device.napi_disable()
        self.card.stop()

    def _arm(self, after_ns: int) -> None:
        """The time between two looks is the period, so that work does not pile up."""
        self._due = self._cpu.now() + after_ns
        running = self._running
        self._cpu.call_at(self._due, lambda: self._timer(running), periodic=True)

    def _timer(self, running: int) -> None:
        if self._open and running == self._running:
            self.look()
            self._arm(self.period_ns)

    def look(self) -> None:
        """Is there anything to do?"""
        card, device = self.card, self.device
        self._cpu.touch("desc_status")
        if self._due >= self._look_at_link + LINK_NS:
            self._look_at_link = self._due
            self._update_link()
        if not self._polling and (card.waiting() or device.netif_queue_stopped()):
            if device.napi_schedule_prep():
                self._polling = True
                device.napi_schedule()

    def _update_link(self) -> None:
        if self.card.link():
            self.device.netif_carrier_on()
        else:
            self.device.netif_carrier_off()

    def poll(self, budget: int) -> int:
        """The NAPI poll."""
        card, device = self.card, self.device
        if device.netif_queue_stopped() and card.reclaim():
            device.netif_wake_queue()
        work = 0
        while work < budget:
            skb = card.receive()
            if skb is None:
                break
            device.napi_gro_receive(skb)
            work += 1
        if work < budget:
            device.napi_complete_done(work)
            self._cpu.touch("desc_status")
            self._polling = False
        return work

    def start_xmit(self, skb: Skb, more: bool) -> int:
        """``ndo_start_xmit``."""
        card = self.card
        self._cpu.local_irq_disable()
        if card.room() < SHORT:
            card.reclaim()
        status = NETDEV_TX_BUSY
        if card.room():
            card.send(skb)
            status = NETDEV_TX_OK
        if not card.room():
            self.device.netif_stop_queue()
        self._cpu.local_irq_enable()
        return status

    def interrupt(self) -> bool:
        """The card interrupts nobody: every cause is masked."""
        return False

    def ethtool_ops(self) -> EthtoolOps:
        """What ``ethtool`` is shown."""
        from desim.guest.drivers.bare.view import BareEthtool

        return BareEthtool("e1000_polling", self.card)

    def set_rx_mode(self) -> None:
        """All multicast is accepted already."""
