"""ARP: the table of guests' addresses, answers and questions (slirp/arp_table.c, slirp/slirp.c).

Entries never age; the seventeenth replaces the oldest slot. Requests are answered
for the host, the DNS address and guestfwd addresses alone, with the MAC
52:55 followed by the address. Hardware and protocol type are not looked at.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from desim.slirp import reasons
from desim.stages import QEMU, mark, stages
from desim.wire.addresses import BROADCAST_MAC, IP_ANY, IP_BROADCAST, ZERO_MAC
from desim.wire.frame import Frame

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

ARP_TABLE_SIZE = 16
REPLY_LEN = 64
"""slirp's replies are longer than the shortest frame of a wire."""

_ARP = struct.Struct("!6s6sHHHBBH6s4s6s4s")
ETH_P_ARP = 0x0806
ARPOP_REQUEST = 1
ARPOP_REPLY = 2


def special_ethaddr(address: bytes) -> bytes:
    """The MAC of one of slirp's own IPv4 addresses."""
    return b"\x52\x55" + address


class Arp:
    """The table and the protocol around it."""

    STAGES = stages(
        QEMU,
        arp_input=mark("arp_input", file="slirp/slirp.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        self._slots: list[bytes | None] = [None] * ARP_TABLE_SIZE
        self.macs: dict[bytes, bytes] = {}
        """The MAC of each IPv4 address that has been learnt: never those of broadcasts."""
        self._next_victim = 0
        everyone = int.from_bytes(slirp.config.net, "big") | ~slirp.vnetwork_mask & 0xFFFFFFFF
        self._broadcasts = (IP_ANY, IP_BROADCAST, everyone.to_bytes(4, "big"))

    def arp_table_add(self, ip: bytes, mac: bytes) -> None:
        """Learn that ``ip`` is at ``mac``."""
        if ip in self._broadcasts:
            return
        if ip not in self.macs:
            victim = self._slots[self._next_victim]
            if victim is not None:
                del self.macs[victim]
            self._slots[self._next_victim] = ip
            self._next_victim = (self._next_victim + 1) % ARP_TABLE_SIZE
        self.macs[ip] = mac

    def arp_table_search(self, ip: bytes) -> bytes | None:
        """The MAC for ``ip``: broadcasts for broadcasts, None if it is not known."""
        mac = self.macs.get(ip)
        if mac is None and ip in self._broadcasts:
            return BROADCAST_MAC
        return mac

    def arp_input(self, frame: Frame) -> None:
        """A frame of type 0x0806 from the guest."""
        slirp = self.slirp
        raw = frame.raw
        if not slirp.config.ipv4 or len(raw) < _ARP.size:
            slirp.drop(frame, reasons.ARP_REFUSED)
            return
        (_, eth_source, _, _, _, _, _, op, sha, sip, _, tip) = _ARP.unpack_from(raw)
        if op == ARPOP_REPLY:
            self.arp_table_add(sip, sha)
        elif op == ARPOP_REQUEST:
            if tip == sip:
                self.arp_table_add(sip, sha)
            elif self._is_ours(tip):
                self.arp_table_add(sip, sha)
                mac = special_ethaddr(tip)
                reply = _ARP.pack(
                    eth_source, mac, ETH_P_ARP, 1, 0x0800, 6, 4, ARPOP_REPLY, mac, tip, sha, sip
                )
                slirp.net.send(Frame(reply.ljust(REPLY_LEN, b"\0")))

    def request(self, ip: bytes) -> None:
        """Ask who has ``ip``, in the name of the host."""
        slirp = self.slirp
        mac = slirp.ethaddr
        host = slirp.config.host
        slirp.net.send(
            Frame(
                _ARP.pack(
                    BROADCAST_MAC,
                    mac,
                    ETH_P_ARP,
                    1,
                    0x0800,
                    6,
                    4,
                    ARPOP_REQUEST,
                    mac,
                    host,
                    ZERO_MAC,
                    ip,
                )
            )
        )

    def _is_ours(self, ip: bytes) -> bool:
        slirp = self.slirp
        config = slirp.config
        if not slirp.in_vnetwork(ip):
            return False
        return ip in (config.host, config.dns) or any(
            rule.server == ip for rule in slirp.guestfwd.rules
        )
