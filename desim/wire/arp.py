"""ARP for IPv4 over Ethernet (RFC 826)."""

from __future__ import annotations

import struct

from desim.data import Data
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_IP

ARP_LEN = 28
ARPHRD_ETHER = 1
ARPOP_REQUEST = 1
ARPOP_REPLY = 2

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_KIND = (ARPHRD_ETHER, ETH_P_IP, 6, 4)


class Arp(Data):
    """One request or reply. What follows its 28 bytes is padding and is not read."""

    op: int
    sender_mac: bytes
    sender_ip: bytes
    target_mac: bytes
    target_ip: bytes

    @classmethod
    def parse(cls, data: bytes) -> Arp:
        """Read a packet that is about IPv4 over Ethernet; others are refused."""
        if len(data) < ARP_LEN:
            raise WireError(f"ARP: {len(data)} bytes; expected at least {ARP_LEN}")
        (hardware, protocol, hardware_len, protocol_len, op, *addresses) = _ARP.unpack_from(data)
        if (hardware, protocol, hardware_len, protocol_len) != _KIND:
            raise WireError(
                f"ARP: hardware type {hardware}, protocol {protocol:#06x}, address lengths "
                f"{hardware_len} and {protocol_len}; expected 1, 0x0800, 6 and 4"
            )
        return cls(op, *addresses)

    def emit(self) -> bytes:
        """The 28 bytes."""
        lengths = tuple(
            map(len, (self.sender_mac, self.sender_ip, self.target_mac, self.target_ip))
        )
        if lengths != (6, 4, 6, 4) or not 0 <= self.op <= 0xFFFF:
            raise WireError(
                f"ARP: expected addresses of 6, 4, 6 and 4 bytes and a 16-bit op: {self!r}"
            )
        return _ARP.pack(
            *_KIND, self.op, self.sender_mac, self.sender_ip, self.target_mac, self.target_ip
        )
