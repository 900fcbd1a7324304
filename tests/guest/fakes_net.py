"""The guest's stack alone (``desim.testing.guest``) and its peers, in the words of its tests."""

from __future__ import annotations

from desim.testing import Connection
from desim.testing.guest import (
    GUEST,
    GUEST_MAC,
    MS,
    SLIRP,
    SLIRP_MAC,
    Guest,
    wire_frames,
)
from desim.testing.guest import GuestCard as FakeDriver
from desim.testing.guest import GuestCpu as FakeCpu
from desim.testing.guest import Numbers as FakeStream
from desim.testing.guest import Streams as FakeRandom
from desim.wire.arp import ARPOP_REPLY, Arp
from desim.wire.ethernet import ETH_P_ARP, ETH_P_IP, Ethernet
from desim.wire.frame import Frame
from desim.wire.segment import Segment
from desim.wire.tcp import ACK, flags_text

SECOND = 1_000_000_000


def answer_arp(guest: Guest, frame: Frame, mac_of: bytes = SLIRP_MAC) -> Frame:
    """The answer of a neighbour to a request that the guest has sent."""
    request = Arp.parse(frame.raw[14:])
    reply = Arp(ARPOP_REPLY, mac_of, request.target_ip, request.sender_mac, request.sender_ip)
    return Frame(Ethernet(request.sender_mac, mac_of, ETH_P_ARP, reply.emit()).emit())


class Peer(Connection):
    """One TCP connection as slirp would lead it; what is acknowledged is set by hand."""

    def __init__(self, guest: Guest, *, sport: int, dport: int, iss: int = 1000) -> None:
        super().__init__(
            guest.put,
            guest.take,
            mac=SLIRP_MAC,
            to_mac=GUEST_MAC,
            source=(SLIRP, sport),
            to=(GUEST, dport),
            iss=iss,
        )
        self.guest = guest

    def segments(self) -> list[Segment]:
        """All that the guest answers."""
        return self.guest.segments()


def story(segments: list[Segment], *, iss: int = 0, irs: int = 0) -> list[str]:
    """Segments as text, with numbers relative to both ends' first."""
    return [
        f"{flags_text(s.flags)} {(s.seq - iss) & 0xFFFFFFFF}:+{len(s.payload)} "
        f"ack {(s.ack - irs) & 0xFFFFFFFF if s.flags & ACK else 0} win {s.window}"
        for s in segments
    ]


__all__ = [
    "ETH_P_IP",
    "GUEST",
    "GUEST_MAC",
    "MS",
    "SECOND",
    "SLIRP",
    "SLIRP_MAC",
    "FakeCpu",
    "FakeDriver",
    "FakeRandom",
    "FakeStream",
    "Guest",
    "Peer",
    "answer_arp",
    "story",
    "wire_frames",
]
