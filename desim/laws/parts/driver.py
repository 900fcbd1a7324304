"""Laws about the guest's driver: the real one on a bare card, on a processor without costs."""

from __future__ import annotations

from collections.abc import Iterator

from desim.e1000.registers import RDH, RDT
from desim.engine.draw import Draw
from desim.guest.drivers.netdevice import NETDEV_TX_OK
from desim.guest.skb import Skb
from desim.laws.law import Run, stated
from desim.laws.parts.draw import drawn
from desim.testing.driver import MAC, MS, Guest
from desim.wire.frame import Frame

SHORT = bytes(60)
WAKES = 32
"""Free descriptors at which the queue goes on: TX_WAKE_THRESHOLD, e1000_main.c."""


@stated(
    test="tests/guest/test_driver_tx.py",
    recording="drivers/net/ethernet/intel/e1000/e1000_main.c",
)
def the_driver_keeps_its_rings(run: Run) -> Iterator[str]:
    """The driver sends what it is given, in order, and takes what comes, as its rings go round.

    RDT tells the last descriptor that it has given away, and in those the status is clear. A queue
    that was stopped goes on when a clean-up leaves 32 descriptors free, no sooner.
    """
    draw = drawn(run, "driver rings")
    guest = Guest("TxDescriptors=64 RxDescriptors=48").up()
    yield from _go_round(draw, guest)
    yield from _wakes(draw, guest)


def _go_round(draw: Draw, guest: Guest) -> Iterator[str]:
    sent: list[bytes] = []
    came = 0
    before = len(guest.net.out)
    ring, registers = guest.driver.rx_ring, guest.card.mac_reg
    for _ in range(draw.between(40, 120)):
        data = draw.data(draw.between(60, 200))
        if draw.chance(3):
            if guest.send(Skb(data)) != NETDEV_TX_OK:
                yield "a packet is refused, and the card has sent all that there was"
                return
            sent.append(data)
        else:
            guest.net.inject(Frame(MAC + data[6:12] + b"\x88\xb5" + data[14:]))
            came += 1
        guest.cpu.run(draw.pick([0, 0, MS]))
        given = (ring.next_to_use or ring.count) - 1
        if registers[RDT] != given:
            yield f"RDT is {registers[RDT]}, and the driver has given descriptors up to {given}"
            return
    guest.cpu.run(20 * MS)
    if [frame.raw for frame in guest.net.out[before:]] != sent:
        yield f"{len(guest.net.out) - before} of {len(sent)} packets are sent, or in another order"
    if len(guest.device.received) != came:
        yield f"{len(guest.device.received)} of {came} frames are taken"
    place = registers[RDH]
    while place != registers[RDT]:
        if guest.memory.read(ring.desc + 16 * place + 12, 1) != b"\0":
            yield f"descriptor {place} is the card's, and done"
            return
        place = (place + 1) % ring.count


def _wakes(draw: Draw, guest: Guest) -> Iterator[str]:
    """So many packets wait that the card does not know of yet; others have been sent."""
    guest.cpu.local_irq_disable()
    for _ in range(draw.between(1, 4)):
        guest.send(Skb(SHORT))
    for _ in range(63 - WAKES + draw.between(-1, 1)):
        guest.send(Skb(SHORT), more=True)
    guest.device.netif_stop_queue()
    ring = guest.driver.tx_ring
    ring.clean_tx_irq()
    if guest.device.stopped != (ring.unused < WAKES):
        yield f"{ring.unused} are free, and it {'stands' if guest.device.stopped else 'goes on'}"
