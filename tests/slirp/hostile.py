"""What the tests of hostile input share: a stack with everything switched on, and frames."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from desim.conform.slirp.host import RecordedHost
from desim.conform.slirp.recordings import frame_bytes, read_recordings
from desim.devices import GuestFwd, HostFwd, UserNet
from desim.slirp.slirp import Slirp
from desim.slirp.version import VERSION_2_8, VERSION_4_7, Version
from desim.testing import Ledger, NoLoop, VirtualClock, Wire
from desim.wire.addresses import ip
from desim.wire.checksum import checksum, pseudo_sum
from desim.wire.frame import Frame
from desim.wire.segment import build_segment

VECTORS = Path(__file__).parent.parent / "vectors" / "slirp"
GUEST = ip("10.0.2.15")
HOST = ip("10.0.2.2")
GUEST_MAC = bytes.fromhex("525400123456")
HOST_MAC = bytes.fromhex("52550a000202")
SECOND = 1_000_000_000

versions = pytest.mark.parametrize("version", [VERSION_4_7, VERSION_2_8], ids=lambda v: v.name)


FORWARD = [HostFwd(host_addr=ip("127.0.0.1"), host_port=5555, guest_addr=GUEST, guest_port=22)]


class Bed:
    """A stack with everything switched on, on a host with listening programs."""

    def __init__(
        self, version: Version = VERSION_4_7, *, hostfwd: list[HostFwd] | None = None
    ) -> None:
        self.clock = VirtualClock(SECOND)
        self.wire = Wire()
        self.host = RecordedHost(self.clock, [ip("127.0.0.1"), ip("::1")])
        self.host.host_listen("s", (ip("127.0.0.1"), 80))
        self.host.host_listen("s6", (ip("::1"), 80))
        self.host.udp_bind("u", (ip("127.0.0.1"), 9000))
        self.host.udp_bind("u6", (ip("::1"), 9000))
        self.ledger = Ledger()
        self.slirp = Slirp(
            clock=self.clock,
            net=self.wire,
            sockets=self.host.sockets,
            loop=NoLoop(),
            ledger=self.ledger,
            config=UserNet(tftp={"a.txt": b"x" * 2000}, bootfile="a.txt", version=version.name),
        )
        for rule in FORWARD if hostfwd is None else hostfwd:
            self.slirp.add_hostfwd(rule)
        self.slirp.add_guestfwd(GuestFwd(server=ip("10.0.2.100"), port=1234))
        self.slirp.guestfwd.output = lambda rule, data: self.host.note("gfwd_data", data=data)
        self.poll()

    def poll(self, rounds: int = 3) -> None:
        for _ in range(rounds):
            self.slirp.pollfds_fill()
            self.host.sockets.collect()
            self.slirp.pollfds_poll()
            self.host.run()

    def guest(self, raw: bytes) -> list[Frame]:
        """What comes back for a frame of the guest."""
        before = len(self.wire.sent)
        self.slirp.slirp_input(Frame(raw))
        self.poll()
        return self.wire.sent[before:]

    def wait(self, duration_s: int) -> None:
        """Let time pass, with a poll each half second."""
        for _ in range(2 * duration_s):
            self.clock.pass_by(SECOND // 2)
            self.poll(1)

    def held(self) -> dict[str, int]:
        """How much the stack holds on to, by kind."""
        slirp = self.slirp
        return {
            "frames": slirp.interface.queued(),
            "fragments": sum(len(queue.fragments) for queue in slirp.ip.ipq.values()),
            "TCP": len(slirp.tcp_subr.tcb),
            "UDP": len(slirp.udp.udb),
            "ping": len(slirp.icmp.icmp),
            "ARP": len(slirp.arp.macs),
            "NDP": len(slirp.icmp6._macs),
            "TFTP": sum(session is not None for session in slirp.tftp._sessions),
            "buffered": sum(so.so_snd.cc + so.so_rcv.cc for so in slirp.tcp_subr.tcb),
            "descriptors": len(self.host.sockets._sockets),
        }

    def delivered(self) -> list[bytes]:
        """All that the host's programs got, in order."""
        return [event["data"] for event in self.host.events if "data" in event]

    def stuck(self) -> bool:
        """Whether the older stack has left frames behind for good (interface.py, ``next_m``)."""
        interface = self.slirp.interface
        return self.slirp.version.next_m and bool(interface.batchq) and not interface.next_m

    def works(self) -> bool:
        """Whether the stack still answers an echo request."""
        message = b"\x08\0\0\0\0\1\0\1ping"
        message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
        # What waits for neighbours that will never answer blocks what is behind it in the
        # older stack, each frame for its own second.
        for _ in range(self.slirp.interface.queued() + 2):
            self.clock.pass_by(SECOND + 1_000_000)
            self.guest(arp_reply())
            if not self.slirp.interface.queued():
                break
        if self.slirp.interface.queued():
            return False
        before = len(self.wire.sent)
        self.guest(ipv4(1, message))
        reply = b"\0\0" + checksum(b"\0\0" + message[4:]).to_bytes(2, "big") + message[4:]
        return any(frame.raw[34:] == reply for frame in self.wire.sent[before:])


GUEST6, HOST6 = ip("fec0::5054:ff:fe12:3456"), ip("fec0::2")


def ipv6(
    protocol: int, payload: bytes, *, dst: bytes = HOST6, hop_limit: int = 64, length: int = -1
) -> bytes:
    """A frame; ``length`` is what its header says, if that is a lie."""
    said = len(payload) if length < 0 else length
    head = struct.pack("!IHBB16s16s", 6 << 28, said, protocol, hop_limit, GUEST6, dst)
    return HOST_MAC + GUEST_MAC + b"\x86\xdd" + head + payload


def udp(data: bytes, *, sport: int = 3000, dport: int = 9000) -> bytes:
    """The payload of an IPv4 packet, without a checksum."""
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


SUM_AT = {6: 16, 17: 6, 1: 2, 58: 2}


def repaired(raw: bytes, *, lengths: bool = True) -> bytes:
    """``raw`` with all checksums right, and with lengths that fit, so that it is looked at.

    What is too short to be repaired stays as it is.
    """
    kind, body = raw[12:14], bytearray(raw[14:])
    if kind == b"\x08\0" and len(body) >= 20 and len(body) >= (size := (body[0] & 15) * 4) >= 20:
        if lengths:
            body[2:4] = len(body).to_bytes(2, "big")
        body[10:12] = b"\0\0"
        body[10:12] = checksum(bytes(body[:size])).to_bytes(2, "big")
        if body[6] & 0x3F or body[7]:
            return raw[:14] + bytes(body)
        protocol, src, dst = body[9], bytes(body[12:16]), bytes(body[16:20])
        end = min(len(body), max(size, int.from_bytes(body[2:4], "big")))
    elif kind == b"\x86\xdd" and len(body) >= 40:
        size = 40
        if lengths:
            body[4:6] = (len(body) - 40).to_bytes(2, "big")
        protocol, src, dst = body[6], bytes(body[8:24]), bytes(body[24:40])
        end = min(len(body), 40 + int.from_bytes(body[4:6], "big"))
    else:
        return raw
    data = body[size:end]
    at = SUM_AT.get(protocol)
    if at is not None and len(data) >= at + 2:
        if protocol == 17 and lengths and len(data) >= 6:
            data[4:6] = len(data).to_bytes(2, "big")
        data[at : at + 2] = b"\0\0"
        pseudo = 0 if protocol == 1 else pseudo_sum(src, dst, protocol, len(data))
        data[at : at + 2] = (checksum(bytes(data), pseudo) or 0xFFFF).to_bytes(2, "big")
    return raw[:14] + bytes(body[:size] + data + body[end:])


def arp_reply() -> bytes:
    return (
        HOST_MAC
        + GUEST_MAC
        + bytes.fromhex("08060001080006040002")
        + GUEST_MAC
        + GUEST
        + HOST_MAC
        + HOST
    )


def ipv4(protocol: int, payload: bytes, **fields: int) -> bytes:
    length = fields.get("length", 20 + len(payload))
    head = struct.pack(
        "!BBHHHBBH4s4s",
        fields.get("first", 0x45),
        0,
        length & 0xFFFF,
        fields.get("ident", 1),
        fields.get("offset", 0),
        fields.get("ttl", 64),
        protocol,
        0,
        GUEST,
        HOST,
    )
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return HOST_MAC + GUEST_MAC + b"\x08\0" + head + payload


def tcp(payload: bytes = b"", **fields: int) -> bytes:
    return build_segment(
        HOST_MAC,
        GUEST_MAC,
        GUEST,
        HOST,
        fields.get("sport", 3000),
        fields.get("dport", 80),
        fields.get("seq", 1000),
        fields.get("ack", 0),
        fields.get("flags", 2),
        fields.get("window", 65535),
        payload,
        ident=1,
        ttl=64,
        tos=0,
        df=False,
        urgent=fields.get("urgent", 0),
    ).raw


def recorded_frames() -> Iterator[bytes]:
    """One frame of each size and kind that the recordings' guests send."""
    seen = set()
    for family in ("tcp_guest", "udp", "dhcp", "icmp", "ipv6", "tftp", "arp"):
        for _, recording in read_recordings(VECTORS / f"v470-{family}.tar.xz"):
            for step in recording["steps"]:
                if step["do"]["op"] == "guest_frame":
                    raw = frame_bytes(step["do"])
                    if (kind := (raw[12:14], raw[23:24], len(raw))) not in seen:
                        seen.add(kind)
                        yield raw


FRAMES = list(recorded_frames())


def mended(raw: bytes) -> bytes:
    """``raw`` with its IPv4 header's checksum right again, if there is a header."""
    size = (raw[14] & 15) * 4
    if raw[12:14] != b"\x08\0" or size < 20 or len(raw) < 14 + size:
        return raw
    head = raw[14:24] + b"\0\0" + raw[26 : 14 + size]
    return raw[:24] + checksum(head).to_bytes(2, "big") + raw[26:]
