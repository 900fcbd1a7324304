"""A plain driver: one interrupt, one packet; no NAPI, no offloads, no queue limits.

What drivers looked like before NAPI, and a little stricter: each interrupt takes exactly
one received frame out of the ring, and if another one waits, asks the card for the next
interrupt by ICS. So interrupts and frames are one to one, and what QEMU's mitigation does
to that (at most 7,813 interrupts a second) is plain to see.

Theory of operation
-------------------
    e1000_plain_intr        read ICR (0: not ours); LSC: carrier; free what was sent, wake
                            the queue; one frame to the stack (netif_rx); ICS if more wait
    e1000_plain_xmit_frame  copy, one legacy descriptor, TDT; the last slot stops the queue

Both touch the transmit ring, one with interrupts off, the other being one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from desim.guest.cpu.context import Cpu
from desim.guest.drivers.bare.card import ICR, ICS, IMC, IMS, LSC, RXT0, TXDW, Card
from desim.guest.drivers.netdevice import NETDEV_TX_BUSY, NETDEV_TX_OK, NetDevice
from desim.guest.mm.memory import Memory
from desim.guest.skb import Skb
from desim.ports import Mmio
from desim.stages import GUEST, Build, bare, mark, stages

if TYPE_CHECKING:
    from desim.guest.drivers.ethtool import EthtoolOps

FILE = "e1000_plain.c"


class PlainDriver:
    """One card under the plain driver's control; implements ``NetDriver``."""

    STAGES = stages(
        GUEST,
        open=mark("e1000_plain_open", file=FILE),
        stop=mark("e1000_plain_stop", file=FILE),
        interrupt=mark("e1000_plain_intr", file=FILE),
        netif_rx=mark("netif_rx", file="net/core/dev.c", size="skb"),
        start_xmit=mark("e1000_plain_xmit_frame", file=FILE, size="skb"),
    )

    def __init__(
        self,
        *,
        cpu: Cpu,
        mmio: Mmio,
        memory: Memory,
        device: NetDevice,
        log: Callable[[str], None],
        build: Build = bare,
    ) -> None:
        self.card = Card(cpu=cpu, mmio=mmio, memory=memory, device=device)
        self.device = device
        self._cpu = cpu
        self._log = log

    def init_module(self) -> None:
        """Find the card."""
        self._log(f"e1000_plain: 8086:{self.card.attach()}, one interrupt for each frame")

    def unpolled(self) -> bool:
        """Nothing waits for anything but its interrupt."""
        return False

    def open(self) -> None:
        """``ndo_open``."""
        self.card.start()
        self.device.netif_start_queue()
        self._update_link()
        self.card.write(IMS, TXDW | LSC | RXT0)

    def stop(self) -> None:
        """``ndo_stop``."""
        self.card.write(IMC, 0xFFFFFFFF)
        self.device.netif_stop_queue()
        self.device.netif_carrier_off()
        self.card.stop()

    def _update_link(self) -> None:
        if self.card.link():
            self.device.netif_carrier_on()
        else:
            self.device.netif_carrier_off()

    def interrupt(self) -> bool:
        """The interrupt handler."""
        card, device = self.card, self.device
        icr = card.read(ICR)
        if not icr:
            return False
        if icr & LSC:
            self._update_link()
        if card.sent and card.reclaim() and device.netif_queue_stopped():
            device.netif_wake_queue()
        skb = card.receive()
        if skb is not None:
            self.netif_rx(skb)
            if card.waiting():
                card.write(ICS, RXT0)
        return True

    def ethtool_ops(self) -> EthtoolOps:
        """What ``ethtool`` is shown."""
        from desim.guest.drivers.bare.view import BareEthtool

        return BareEthtool("e1000_plain", self.card)

    def netif_rx(self, skb: Skb) -> None:
        """Hand a packet to the stack, from the interrupt."""
        self.device.netif_rx(skb)

    def start_xmit(self, skb: Skb, more: bool) -> int:
        """``ndo_start_xmit``; each packet is handed over at once, whether more follow or not."""
        card, device = self.card, self.device
        self._cpu.local_irq_disable()
        status = NETDEV_TX_BUSY
        if card.room():
            card.send(skb)
            status = NETDEV_TX_OK
        if not card.room():
            device.netif_stop_queue()
        self._cpu.local_irq_enable()
        return status

    def set_rx_mode(self) -> None:
        """All multicast is accepted already."""

    def poll(self, budget: int) -> int:
        """It has no NAPI."""
        return 0
