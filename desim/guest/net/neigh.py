"""Neighbours and ARP (net/core/neighbour.c, net/ipv4/arp.c; RFC 826, states of RFC 4861).

Theory of operation
-------------------
A packet for an address whose MAC is not known waits in the entry's queue while three
broadcast requests go out, one second apart; then the entry is FAILED, and each waiting
packet ends as a host-unreachable error. An answer makes the entry REACHABLE for a
random half to one and a half times 30 s; what TCP learns by being acknowledged
(``neigh_confirm``) prolongs that. Then it is STALE: still used, but five seconds after
its next use (DELAY) three unicast requests check it (PROBE). Learning an address from a
request made to us gives a STALE entry.

The timers round as ``KernelTimer`` does. The timer that ends REACHABLE sends nothing
and is marked periodic; a run does not wait for it.

``NeighTable`` is what the tables of ARP and of neighbour discovery
(``desim.guest.net.ipv6.ndisc``) have in common.

Not modelled: garbage collection (it starts at 128 entries), proxy ARP, address
conflict detection, gratuitous ARP.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from desim.data import Protocol
from desim.guest.cpu.context import HZ, Cpu
from desim.guest.net.device import Device
from desim.guest.net.snmp import Counters, Snmp
from desim.guest.skb import Skb
from desim.ports import Random
from desim.stages import GUEST, Landmark, mark, stages
from desim.wire.addresses import BROADCAST_MAC, ZERO_MAC, ip_text
from desim.wire.arp import ARPOP_REPLY, ARPOP_REQUEST, Arp
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_ARP, ETH_P_IP

NUD_NONE = 0x00
NUD_INCOMPLETE = 0x01
NUD_REACHABLE = 0x02
NUD_STALE = 0x04
NUD_DELAY = 0x08
NUD_PROBE = 0x10
NUD_FAILED = 0x20
NUD_PERMANENT = 0x80
NUD_CONNECTED = NUD_PERMANENT | NUD_REACHABLE
NUD_VALID = NUD_PERMANENT | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY

BASE_REACHABLE_TIME = 30 * HZ
DELAY_PROBE_TIME = 5 * HZ
RETRANS_TIME = HZ
LOCKTIME = HZ
UCAST_PROBES = 3
MCAST_PROBES = 3
QUEUE_LEN = 101
"""Full-sized packets in ``QUEUE_LEN_BYTES`` (212992)."""

_REDRAW = 300 * HZ
_ARP_TYPE = ETH_P_ARP.to_bytes(2, "big")


class Family(Protocol):
    """What a table of neighbours asks of the protocol whose addresses it resolves."""

    def link_failure(self, skb: Skb) -> None: ...


class Inet(Family, Protocol):
    """What ARP asks of IP."""

    def is_local(self, address: bytes) -> bool: ...
    def select_addr(self, device: Device, target: bytes) -> bytes | None: ...


class Neighbour:
    """``struct neighbour``: one address on one link."""

    __slots__ = (
        "arp_queue",
        "confirmed",
        "device",
        "ha",
        "header",
        "nud_state",
        "primary_key",
        "probes",
        "timer",
        "timer_aging",
        "updated",
        "used",
    )

    def __init__(
        self, key: bytes, device: Device, cpu: Cpu, handler: Callable[[Neighbour], None]
    ) -> None:
        now = cpu.jiffies
        self.primary_key = key
        self.device = device
        self.ha = ZERO_MAC
        self.header = b""
        """The Ethernet header of packets to it (``hh_cache``)."""
        self.nud_state = NUD_NONE
        self.probes = 0
        self.updated = now
        self.used = now
        self.confirmed = now - 2 * BASE_REACHABLE_TIME
        self.arp_queue: list[Skb] = []
        name = f"neighbour {ip_text(key)}"
        self.timer = cpu.timer(name, lambda: handler(self))
        self.timer_aging = cpu.timer(f"{name} aging", lambda: handler(self), periodic=True)

    def __repr__(self) -> str:
        return f"Neighbour({ip_text(self.primary_key)}, state {self.nud_state:#x})"

    def confirm(self, now: int) -> None:
        """``neigh_confirm``: a higher layer has proof that it can be reached."""
        self.confirmed = now


class NeighTable(ABC):
    """``struct neigh_table``: the neighbours of one protocol, ``protocol`` on the wire."""

    STAGES = stages(
        GUEST,
        neigh_resolve_output=mark("neigh_resolve_output", file="net/core/neighbour.c"),
        neigh_timer_handler=mark("neigh_timer_handler", file="net/core/neighbour.c"),
        neigh_update=mark(
            "neigh_update",
            "__neigh_update",
            file="net/core/neighbour.c",
            landmark=Landmark.RESOLVED,
        ),
    )

    def __init__(
        self,
        *,
        cpu: Cpu,
        counters: Counters,
        random: Random,
        stream: str,
        protocol: int,
        family: Family,
        dev_queue_xmit: Callable[[Skb, Device], bool],
        free_skb: Callable[[Skb], None],
    ) -> None:
        self._cpu = cpu
        self._counters = counters
        self._random = random(stream)
        self._type = protocol.to_bytes(2, "big")
        self._family = family
        self._dev_queue_xmit = dev_queue_xmit
        self._free_skb = free_skb
        self.table: dict[tuple[str, bytes], Neighbour] = {}
        self._reachable_time = self._draw_reachable_time()
        self._drawn = cpu.jiffies

    @abstractmethod
    def solicit(self, neigh: Neighbour, probes: int) -> None:
        """Ask for the address of ``neigh``, ``probes`` having been asked before."""

    def idle(self) -> bool:
        """Whether no resolution or probe is under way."""
        return not any(neigh.timer.pending for neigh in self.table.values())

    def _draw_reachable_time(self) -> int:
        return self._random.below(BASE_REACHABLE_TIME) + BASE_REACHABLE_TIME // 2

    def reachable_time(self) -> int:
        """Jiffies for which an answer counts; drawn anew every 300 s.

        Linux looks at that clock every 15 s, here it is when the time is used.
        """
        if self._cpu.jiffies >= self._drawn + _REDRAW:
            self._drawn = self._cpu.jiffies
            self._reachable_time = self._draw_reachable_time()
        return self._reachable_time

    def lookup(self, address: bytes, device: Device) -> Neighbour | None:
        """The entry of an address, if there is one."""
        return self.table.get((device.name, address))

    def lookup_or_create(self, address: bytes, device: Device) -> Neighbour:
        """The entry of an address (``ip_neigh_gw4``)."""
        key = (device.name, address)
        neigh = self.table.get(key)
        if neigh is None:
            neigh = self.table[key] = Neighbour(
                address, device, self._cpu, self.neigh_timer_handler
            )
        return neigh

    def set_permanent(self, address: bytes, device: Device, mac: bytes) -> None:
        """``arp -s``."""
        neigh = self.lookup_or_create(address, device)
        self.neigh_update(neigh, mac, NUD_PERMANENT, override=True, admin=True)

    # Sending.

    def neigh_output(self, neigh: Neighbour, skb: Skb) -> bool:
        """Put the Ethernet header in front and send, or resolve first."""
        if neigh.nud_state & NUD_CONNECTED:
            skb.head = neigh.header + skb.head
            return self._dev_queue_xmit(skb, neigh.device)
        return self.neigh_resolve_output(neigh, skb)

    def neigh_resolve_output(self, neigh: Neighbour, skb: Skb) -> bool:
        """Send if the address is known, however old; else queue and ask."""
        if self.neigh_event_send(neigh, skb):
            return True
        skb.head = neigh.header + skb.head
        return self._dev_queue_xmit(skb, neigh.device)

    def neigh_event_send(self, neigh: Neighbour, skb: Skb | None) -> bool:
        """Note a use of the entry; True if ``skb`` has to wait in it."""
        now = self._cpu.jiffies
        neigh.used = now
        state = neigh.nud_state
        if state & (NUD_CONNECTED | NUD_DELAY | NUD_PROBE):
            return False
        probe = False
        if state == NUD_STALE:
            neigh.nud_state = NUD_DELAY
            neigh.updated = now
            self._arm(neigh, now + DELAY_PROBE_TIME)
        elif state != NUD_INCOMPLETE:
            neigh.probes = UCAST_PROBES
            neigh.nud_state = NUD_INCOMPLETE
            neigh.updated = now
            self._arm(neigh, now + RETRANS_TIME)
            probe = True
        waits = neigh.nud_state == NUD_INCOMPLETE
        if waits and skb is not None:
            if len(neigh.arp_queue) >= QUEUE_LEN:
                self._counters["OutDiscards"] += 1
                self._free_skb(neigh.arp_queue.pop(0))
            neigh.arp_queue.append(skb)
        if probe:
            self.neigh_probe(neigh)
        return waits

    def _arm(self, neigh: Neighbour, when: int) -> None:
        self._disarm(neigh)
        timer = neigh.timer_aging if neigh.nud_state == NUD_REACHABLE else neigh.timer
        timer.mod(when)

    def _disarm(self, neigh: Neighbour) -> None:
        if neigh.timer.pending:
            neigh.timer.delete()
        if neigh.timer_aging.pending:
            neigh.timer_aging.delete()

    def neigh_timer_handler(self, neigh: Neighbour) -> None:
        """The next step of the state machine that time alone drives."""
        now = self._cpu.jiffies
        state = neigh.nud_state
        if state == NUD_REACHABLE:
            if now <= neigh.confirmed + self.reachable_time():
                when = neigh.confirmed + self.reachable_time()
            elif now <= neigh.used + DELAY_PROBE_TIME:
                neigh.nud_state = NUD_DELAY
                neigh.updated = now
                when = now + DELAY_PROBE_TIME
            else:
                neigh.nud_state = NUD_STALE
                neigh.updated = now
                return
        elif state == NUD_DELAY:
            if now <= neigh.confirmed + DELAY_PROBE_TIME:
                neigh.nud_state = NUD_REACHABLE
                neigh.updated = now
                when = neigh.confirmed + self.reachable_time()
            else:
                neigh.nud_state = NUD_PROBE
                neigh.updated = now
                neigh.probes = 0
                when = now + RETRANS_TIME
        elif state & (NUD_PROBE | NUD_INCOMPLETE):
            when = now + RETRANS_TIME
        else:
            return
        state = neigh.nud_state
        most = UCAST_PROBES + (MCAST_PROBES if state == NUD_INCOMPLETE else 0)
        if state & (NUD_INCOMPLETE | NUD_PROBE) and neigh.probes >= most:
            neigh.nud_state = NUD_FAILED
            neigh.updated = now
            self.neigh_invalidate(neigh)
            return
        self._arm(neigh, max(when, now + HZ // 100))
        if state & (NUD_INCOMPLETE | NUD_PROBE):
            self.neigh_probe(neigh)

    def neigh_invalidate(self, neigh: Neighbour) -> None:
        """Nobody has answered: every waiting packet is an error of its own.

        The errors go by way of the loopback interface: they come when the packets are freed,
        and who is told may ask for the neighbour again.
        """
        waiting, neigh.arp_queue = neigh.arp_queue, []
        for skb in waiting:
            self._counters["OutNoRoutes"] += 1
            self._free_skb(skb)
        for skb in waiting:
            self._family.link_failure(skb)

    def neigh_probe(self, neigh: Neighbour) -> None:
        """Ask once more."""
        probes = neigh.probes
        neigh.probes += 1
        self.solicit(neigh, probes)

    # Learning.

    def neigh_update(
        self,
        neigh: Neighbour,
        mac: bytes,
        new: int,
        *,
        override: bool,
        weak: bool = False,
        admin: bool = False,
    ) -> None:
        """Take over what has been learned; packets that waited leave.

        Another MAC than the known one counts with ``override`` only; with ``weak`` it
        still casts doubt on one that was held for good.
        """
        now = self._cpu.jiffies
        old = neigh.nud_state
        if old == NUD_PERMANENT and not admin:
            return
        changed = mac != neigh.ha
        if new & NUD_CONNECTED:
            neigh.confirmed = now
        if old & NUD_VALID:
            if changed and not override:
                if not (weak and old & NUD_CONNECTED):
                    return
                mac, new, changed = neigh.ha, NUD_STALE, False
            elif not changed and new == NUD_STALE:
                new = old
        if new != old or changed:
            neigh.updated = now
        if new != old:
            self._disarm(neigh)
            neigh.nud_state = new
            if new == NUD_REACHABLE:
                self._arm(neigh, now + self.reachable_time())
        if changed or not neigh.header:
            neigh.ha = mac
            neigh.header = mac + neigh.device.dev_addr + self._type
            if not new & NUD_CONNECTED:
                neigh.confirmed = now - 2 * BASE_REACHABLE_TIME
        if not old & NUD_VALID:
            while neigh.nud_state & NUD_VALID and neigh.arp_queue:
                self.neigh_output(neigh, neigh.arp_queue.pop(0))


class Arp4(NeighTable):
    """The ARP table and protocol."""

    STAGES = stages(
        GUEST,
        solicit=mark("arp_solicit", file="net/ipv4/arp.c"),
        arp_send=mark("arp_send_dst", file="net/ipv4/arp.c"),
        arp_rcv=mark("arp_rcv", file="net/ipv4/arp.c"),
    )

    def __init__(
        self,
        *,
        cpu: Cpu,
        snmp: Snmp,
        random: Random,
        inet: Inet,
        dev_queue_xmit: Callable[[Skb, Device], bool],
        free_skb: Callable[[Skb], None],
    ) -> None:
        super().__init__(
            cpu=cpu,
            counters=snmp.ip,
            random=random,
            stream="neigh_reachable_time",
            protocol=ETH_P_IP,
            family=inet,
            dev_queue_xmit=dev_queue_xmit,
            free_skb=free_skb,
        )
        self._snmp = snmp
        self._inet = inet

    def solicit(self, neigh: Neighbour, probes: int) -> None:
        """A request: to the known MAC while that is being checked, else to everybody."""
        target = neigh.primary_key
        source = None
        if neigh.arp_queue:
            source = neigh.arp_queue[-1].head[12:16]
            if not self._inet.is_local(source):
                source = None
        if source is None:
            source = self._inet.select_addr(neigh.device, target)
        if source is None:
            return
        to = neigh.ha if probes < UCAST_PROBES else BROADCAST_MAC
        request = Arp(ARPOP_REQUEST, neigh.device.dev_addr, source, ZERO_MAC, target)
        self.arp_send(request, to, neigh.device)

    def arp_send(self, packet: Arp, to: bytes, device: Device) -> None:
        """Put an ARP packet into a frame; the card's driver pads it."""
        skb = Skb(b"".join((to, device.dev_addr, _ARP_TYPE, packet.emit())))
        skb.protocol = ETH_P_ARP
        self._dev_queue_xmit(skb, device)

    # Receiving.

    def arp_rcv(self, skb: Skb, device: Device) -> None:
        """A request or an answer."""
        head = skb.head
        try:
            arp = Arp.parse(head[14:])
        except WireError:
            self._snmp.softnet["arp_dropped"] += 1
            return
        self.arp_process(arp, head[:6] == device.dev_addr, device)

    def arp_process(self, arp: Arp, to_us: bool, device: Device) -> None:
        """Answer requests for our address; learn from answers, and from who asks us."""
        if arp.op not in (ARPOP_REQUEST, ARPOP_REPLY):
            return
        sender = arp.sender_ip
        if arp.op == ARPOP_REQUEST and self._inet.is_local(arp.target_ip):
            if sender != bytes(4):
                neigh = self.lookup_or_create(sender, device)
                self.neigh_update(neigh, arp.sender_mac, NUD_STALE, override=True)
            reply = Arp(ARPOP_REPLY, device.dev_addr, arp.target_ip, arp.sender_mac, arp.sender_ip)
            self.arp_send(reply, arp.sender_mac, device)
            return
        known = self.lookup(sender, device)
        if known is None:
            return
        state = NUD_REACHABLE if arp.op == ARPOP_REPLY and to_us else NUD_STALE
        override = self._cpu.jiffies > known.updated + LOCKTIME
        self.neigh_update(known, arp.sender_mac, state, override=override)
