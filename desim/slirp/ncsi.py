"""NC-SI over Ethernet: the answers of a network controller that has nothing to manage.

Models slirp/ncsi.c of libslirp 4.7.0 (DSP0222: the Network Controller Sideband Interface):
a machine's management controller looks for a controller with commands in frames of type
0x88f8, and each is answered at once, with "completed" and data that is all zero but for the
link's status and the counts of "get capabilities". Nothing that a command sets is kept.

The header of an answer is the command's: whoever sent it (the first byte), its number and
its channel; then the type with 0x80 added, the length of what follows, that, and a sum.

Not modelled: that of later versions (commands of manufacturers, the MAC they set).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from desim.slirp import reasons
from desim.stages import QEMU, mark, stages
from desim.wire.addresses import BROADCAST_MAC
from desim.wire.frame import Frame

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

ETH_P_NCSI = 0x88F8
ETH_HLEN = 14
_HEADER = struct.Struct("!BBBBBBH8x")

# Commands, and the bytes that answers to them have behind the header.
GLS = 0x0A
"""Get link status."""
GC = 0x16
"""Get capabilities."""
SIZES = dict.fromkeys((*range(15), *range(16, 21)), 4)
SIZES |= {0x15: 40, 0x17: 40, 0x18: 172, 0x19: 172, 0x1A: 172, 0x1B: 8, 0x52: 20}
LINK_UP = struct.pack("!IIII", 0, 1, 0, 0)
CAPABILITIES = struct.pack("!I20sII", 0, b"\xff" * 20, 2, 0xFF00)
"""Everything can be done; two filters of each kind, one channel."""
CONTENTS = {GLS: LINK_UP, GC: CAPABILITIES}


class Ncsi:
    """The controller."""

    STAGES = stages(QEMU, ncsi_input=mark("ncsi_input", file="slirp/ncsi.c"))

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp

    def ncsi_input(self, frame: Frame) -> None:
        """A frame of type 0x88f8 from the guest."""
        raw = frame.raw
        if len(raw) < ETH_HLEN + _HEADER.size:
            self.slirp.drop(frame, reasons.TOO_SHORT)
            return
        controller, _, _, number, command, channel, _ = _HEADER.unpack_from(raw, ETH_HLEN)
        data = CONTENTS.get(command) or bytes(SIZES.get(command, 0))
        answer = _HEADER.pack(controller, 1, 0, number, command + 0x80 & 0xFF, channel, len(data))
        answer += data
        head = BROADCAST_MAC * 2 + ETH_P_NCSI.to_bytes(2, "big")
        self.slirp.net.send(Frame(head + answer + _sum(answer)))


def _sum(answer: bytes) -> bytes:
    """What makes the sum of all 16-bit words zero, in 32 bits."""
    total: int = sum(struct.unpack(f"!{len(answer) // 2}H", answer))
    return (-total & 0xFFFFFFFF).to_bytes(4, "big")
