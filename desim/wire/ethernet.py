"""Ethernet II frames (IEEE 802.3 section 3, 802.1Q section 9), without preamble and FCS."""

from __future__ import annotations

import struct

from desim.data import Data
from desim.wire.errors import WireError

HEADER_LEN = 14
VLAN_HEADER_LEN = 18
MTU = 1500
ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
ETH_P_8021Q = 0x8100
ETH_P_IPV6 = 0x86DD

_HEADER = struct.Struct("!6s6sH")
_TAG = struct.Struct("!HH")


class Ethernet(Data):
    """One frame; ``vlan_tci`` is the tag's priority and number, None without a tag."""

    dst: bytes
    src: bytes
    ethertype: int
    payload: bytes = b""
    vlan_tci: int | None = None

    @classmethod
    def parse(cls, data: bytes) -> Ethernet:
        """Read a frame; padding stays in the payload, which only the next layer can tell."""
        if len(data) < HEADER_LEN:
            raise WireError(f"Ethernet: {len(data)} bytes; the header alone has {HEADER_LEN}")
        dst, src, ethertype = _HEADER.unpack_from(data)
        if ethertype != ETH_P_8021Q:
            return cls(dst, src, ethertype, data[HEADER_LEN:])
        if len(data) < VLAN_HEADER_LEN:
            raise WireError(f"Ethernet: {len(data)} bytes; with a VLAN tag {VLAN_HEADER_LEN}")
        tci, ethertype = _TAG.unpack_from(data, HEADER_LEN)
        return cls(dst, src, ethertype, data[VLAN_HEADER_LEN:], tci)

    def emit(self) -> bytes:
        """The bytes of the frame; nothing is padded (see ``Frame.padded``)."""
        if len(self.dst) != 6 or len(self.src) != 6:
            raise WireError(f"Ethernet: addresses have 6 bytes, not {self.dst!r}, {self.src!r}")
        try:
            if self.vlan_tci is None:
                return _HEADER.pack(self.dst, self.src, self.ethertype) + self.payload
            header = _HEADER.pack(self.dst, self.src, ETH_P_8021Q)
            return header + _TAG.pack(self.vlan_tci, self.ethertype) + self.payload
        except struct.error:
            raise WireError(f"Ethernet: a field does not fit in 16 bits: {self!r}") from None
