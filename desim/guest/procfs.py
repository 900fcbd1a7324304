"""Files under /proc that tell of the card and its network: interrupts, net/dev, net/arp.

Models: ``show_interrupts`` (kernel/irq/proc.c) with ``arch_show_interrupts``
(arch/x86/kernel/irq.c), ``dev_seq_show`` (net/core/net-procfs.c) and ``arp_seq_show``
(net/ipv4/arp.c) of Linux 6.1, in their columns. Neighbours are in the order in which they
were first asked for, where Linux has that of its hash.

Not modelled: the lines of devices that there are not, and the architecture's counters
other than that of the local timer; all other files.
"""

from __future__ import annotations

from desim.guest.net.device import Device
from desim.guest.net.neigh import NUD_PERMANENT, NUD_VALID, Neighbour
from desim.wire.addresses import ip_text, mac_text

ARPHRD_ETHER = 1
ATF_COM = 0x02
ATF_PERM = 0x04
_ARP_HEAD = "IP address       HW type     Flags       HW address            Mask     Device\n"

_NET_DEV_HEAD = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|"
    "bytes    packets errs drop fifo colls carrier compressed\n"
)


def show_interrupts(*, card: int, timer: int, irq: int, device: str | None) -> str:
    """/proc/interrupts of one processor, which has taken ``card`` and ``timer`` interrupts.

    ``device`` is who has requested the card's line ``irq``; None: nobody.
    """
    lines = [f"{'':11}{'CPU0':<11}"]
    if device is not None:
        lines.append(f"{irq:3}: {card:10} {'IO-APIC':>9} {irq:3}-fasteoi   {device}")
    lines.append(f"LOC: {timer:10}   Local timer interrupts")
    lines.append(f"ERR: {0:10}")
    return "\n".join(lines) + "\n"


def dev_seq_show(devices: list[Device]) -> str:
    """/proc/net/dev, in the order in which interfaces were registered."""
    return _NET_DEV_HEAD + "".join(_interface(device) for device in devices)


def arp_seq_show(neighbours: list[Neighbour]) -> str:
    """/proc/net/arp."""
    return _ARP_HEAD + "".join(map(_neighbour, neighbours))


def _neighbour(neigh: Neighbour) -> str:
    flags = ATF_COM if neigh.nud_state & NUD_VALID else 0
    if neigh.nud_state & NUD_PERMANENT:
        flags |= ATF_PERM
    return (
        f"{ip_text(neigh.primary_key):<16} 0x{ARPHRD_ETHER:<10x}0x{flags:<10x}"
        f"{mac_text(neigh.ha):<17}     *        {neigh.device.name}\n"
    )


def _interface(device: Device) -> str:
    stats = device.stats
    rx_frame = stats.rx_length_errors + stats.rx_crc_errors + stats.rx_frame_errors
    tx_carrier = (
        stats.tx_carrier_errors + stats.tx_aborted_errors + stats.tx_window_errors
    )  # and heartbeat errors, which no driver here has
    received = (
        f"{stats.rx_bytes:7} {stats.rx_packets:7} {stats.rx_errors:4} "
        f"{stats.rx_dropped + stats.rx_missed_errors:4} {0:4} {rx_frame:5} {0:10} "
        f"{stats.multicast:9}"
    )
    sent = (
        f"{stats.tx_bytes:8} {stats.tx_packets:7} {stats.tx_errors:4} {stats.tx_dropped:4} "
        f"{0:4} {stats.collisions:5} {tx_carrier:7} {0:10}"
    )
    return f"{device.name:>6}: {received} {sent}\n"
