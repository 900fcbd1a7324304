"""What conversations with the real libslirp 4.7.0 showed that the recordings did not."""

from __future__ import annotations

import struct

from desim.conform.slirp.host import RecordedHost
from desim.devices import UserNet
from desim.slirp import Slirp
from desim.testing import Ledger, NoLoop, VirtualClock
from desim.wire.addresses import ip
from desim.wire.checksum import checksum, pseudo_sum
from desim.wire.frame import Frame
from desim.wire.segment import Segment, build_segment

GUEST, HOST = ip("10.0.2.15"), ip("10.0.2.2")
GUEST_MAC = bytes.fromhex("525400123456")
HOST_MAC = bytes.fromhex("52550a000202")
SYN, FIN, ACK = 2, 1, 16


class Bed:
    """A stack, and a program that listens on port 8080."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        clock = VirtualClock(1_000_000_000)
        self.host = RecordedHost(clock, [])
        self.host.host_listen("s", (ip("127.0.0.1"), 8080))
        self.slirp = Slirp(
            clock=clock,
            net=self,
            sockets=self.host.sockets,
            loop=NoLoop(),
            ledger=Ledger(),
            config=UserNet(),
        )
        arp = bytes.fromhex("08060001080006040002") + GUEST_MAC + GUEST + HOST_MAC + HOST
        self.slirp.slirp_input(Frame(HOST_MAC + GUEST_MAC + arp))

    def send(self, frame: Frame) -> int:
        self.frames.append(frame)
        return len(frame.raw)

    def flush(self) -> None:
        """All frames are taken."""

    def loopback(self, frame: Frame) -> int:
        raise AssertionError("slirp does not loop back")

    def guest(self, frame: Frame) -> list[Frame]:
        self.frames.clear()
        self.slirp.slirp_input(frame)
        for _ in range(3):
            self.slirp.pollfds_fill()
            self.host.sockets.collect()
            self.slirp.pollfds_poll()
            self.host.run()
        return list(self.frames)

    def tcp(self, flags: int, seq: int, ack: int, payload: bytes = b"", tos: int = 0) -> Segment:
        """The one segment that answers one of the guest's."""
        (answer,) = self.guest(
            build_segment(
                HOST_MAC,
                GUEST_MAC,
                GUEST,
                HOST,
                3000,
                8080,
                seq,
                ack,
                flags,
                65535,
                payload,
                ident=1,
                ttl=64,
                tos=tos,
                df=True,
            )
        )
        assert answer.segment is not None
        return answer.segment


def test_the_tos_of_the_guests_syn_is_not_taken_over() -> None:
    assert Bed().tcp(SYN, 1000, 0, tos=0x10).tos == 0


def test_data_behind_the_guests_fin_is_acknowledged_and_discarded() -> None:
    bed = Bed()
    syn = bed.tcp(SYN, 1000, 0)
    assert bed.tcp(FIN | ACK, 1001, syn.seq + 1).ack == 1002
    bed.host.events.clear()
    assert bed.tcp(ACK, 1002, syn.seq + 1, b"late").ack == 1006
    assert bed.tcp(ACK, 1010, syn.seq + 1, b"out of order").ack == 1006
    assert bed.host.events == []


def test_dhcpv6_answers_come_from_its_port_in_the_wrong_byte_order() -> None:
    bed = Bed()
    guest, everybody = ip("fe80::5054:ff:fe12:3456"), ip("ff02::1:2")
    message = bytes.fromhex("0b123456") + bytes.fromhex("000600020017")
    udp = struct.pack("!HHHH", 546, 547, 8 + len(message), 0) + message
    total = checksum(udp, pseudo_sum(guest, everybody, 17, len(udp)))
    udp = udp[:6] + total.to_bytes(2, "big") + udp[8:]
    header = struct.pack("!IHBB16s16s", 6 << 28, len(udp), 17, 1, guest, everybody)
    solicit = bytes.fromhex("8500000000000000")
    router = struct.pack("!IHBB16s16s", 6 << 28, 8, 58, 255, guest, ip("ff02::2"))
    total = checksum(solicit, pseudo_sum(guest, ip("ff02::2"), 58, 8))
    solicit = solicit[:2] + total.to_bytes(2, "big") + solicit[4:]
    bed.guest(Frame(HOST_MAC + GUEST_MAC + b"\x86\xdd" + router + solicit))
    (reply,) = bed.guest(Frame(HOST_MAC + GUEST_MAC + b"\x86\xdd" + header + udp))
    assert struct.unpack("!HH", reply.raw[54:58]) == (0x2302, 546)
    assert reply.raw[62:66] == b"\x07\x12\x34\x56"


def test_a_datagram_to_port_zero_cannot_be_sent() -> None:
    udp = struct.pack("!HHHH", 2000, 0, 12, 0) + b"data"
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 32, 1, 0, 64, 17, 0, GUEST, HOST)
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    (reply,) = Bed().guest(Frame(HOST_MAC + GUEST_MAC + b"\x08\0" + head + udp))
    assert reply.raw[34:36] == b"\x03\x00"
