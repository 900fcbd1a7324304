"""A guest that can be told what to do, and that answers by itself what it is told to answer.

It speaks in literal frames: they become the recording's stimuli. What it knows of the
stack it reads from the stack's frames (``saw``). Nothing here checks that the stack is
right; sequence numbers are followed as far as is needed to say something sensible next.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from desim.wire.addresses import ip, mac
from desim.wire.checksum import checksum, pseudo_sum

GUEST_MAC = mac("52:54:00:12:34:56")
ROUTER_MAC = mac("52:55:0a:00:02:02")
GUEST, GUEST6 = ip("10.0.2.15"), ip("fec0::5054:ff:fe12:3456")
HOST, HOST6 = ip("10.0.2.2"), ip("fec0::2")
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
ISN = 1000
WINDOW = 65535


def ethernet(kind: int, body: bytes) -> bytes:
    return ROUTER_MAC + GUEST_MAC + kind.to_bytes(2, "big") + body


def ipv4(
    dst: bytes,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    ident: int = 0,
    offset: int = 0,
) -> bytes:
    """A frame; ``offset`` is the whole field, flags and all."""
    size = 20 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, tos, size, ident, offset, ttl, protocol, 0) + GUEST + dst
    return ethernet(0x0800, head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload)


def ipv6(dst: bytes, protocol: int, payload: bytes, *, ttl: int = 64) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl)
    return ethernet(0x86DD, head + GUEST6 + dst + payload)


def packet(dst: bytes, protocol: int, payload: bytes, *, ttl: int = 64, tos: int = 0) -> bytes:
    """A frame of the family of ``dst``, with the transport's checksum filled in."""
    six = len(dst) == 16
    at = {TCP: 16, UDP: 6, ICMP: 2, ICMP6: 2}[protocol]
    pseudo = 0
    if protocol != ICMP:
        pseudo = pseudo_sum(GUEST6 if six else GUEST, dst, protocol, len(payload))
    payload = payload[:at] + b"\0\0" + payload[at + 2 :]
    payload = payload[:at] + checksum(payload, pseudo).to_bytes(2, "big") + payload[at + 2 :]
    if six:
        return ipv6(dst, protocol, payload, ttl=ttl)
    return ipv4(dst, protocol, payload, ttl=ttl, tos=tos)


def datagram(sport: int, dst: bytes, dport: int, data: bytes, *, ttl: int, tos: int) -> bytes:
    """A UDP datagram."""
    header = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    return packet(dst, UDP, header + data, ttl=ttl, tos=tos)


def arp(operation: int, target: bytes, *, sender: bytes = GUEST) -> bytes:
    body = bytes.fromhex("000108000604") + operation.to_bytes(2, "big")
    return ethernet(0x0806, body + GUEST_MAC + sender + bytes(6) + target)


def mangled(raw: bytes, edits: list[tuple[int, int]], cut: int | None, mend: bool) -> bytes:
    """``raw`` with bytes behind the MACs changed and the end cut off.

    With ``mend`` the IPv4 header's checksum is right again, so that the lie is looked at.
    """
    frame = bytearray(raw)
    for at, value in edits:
        frame[12 + at % (len(frame) - 12)] = value
    if cut is not None:
        del frame[12 + cut % (len(frame) - 11) :]
    size = (frame[14] & 15) * 4 if len(frame) > 14 else 0
    if mend and frame[12:14] == b"\x08\0" and 20 <= size <= len(frame) - 14:
        frame[24:26] = b"\0\0"
        frame[24:26] = checksum(bytes(frame[14 : 14 + size])).to_bytes(2, "big")
    return bytes(frame)


def with_ip_options(raw: bytes, options: bytes) -> bytes:
    """``raw`` with options in its IPv4 header; other frames as they are."""
    if raw[12:14] != b"\x08\0" or raw[14] != 0x45:
        return raw
    options = (options + bytes(-len(options) % 4))[:40]
    size = int.from_bytes(raw[16:18], "big") + len(options)
    head = bytes((0x45 + len(options) // 4, raw[15])) + size.to_bytes(2, "big") + raw[18:24]
    head += b"\0\0" + raw[26:34] + options
    return raw[:14] + head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + raw[34:]


@dataclass(slots=True)
class Connection:
    """One TCP connection as the guest sees it."""

    port: int
    remote: tuple[bytes, int]
    snd_nxt: int = ISN
    rcv_nxt: int = 0
    mss: int | None = None
    acked: int = ISN + 1
    """Up to where the stack has acknowledged what the guest sent."""
    asked: bool = False
    """The stack's SYN waits for an answer."""

    def segment(
        self,
        flags: int,
        *,
        data: bytes = b"",
        seq: int | None = None,
        ack: int | None = None,
        window: int = WINDOW,
        urgent: int = 0,
        tos: int = 0,
        options: bytes = b"",
    ) -> bytes:
        """A frame; ``seq`` and ``ack`` are the next ones unless they are given.

        ``options`` come behind the MSS and are filled up to whole words.
        """
        if flags & SYN and self.mss is not None:
            options = b"\x02\x04" + self.mss.to_bytes(2, "big") + options
        options = (options + bytes(-len(options) % 4))[:40]
        header = struct.pack(
            "!HHIIBBHHH",
            self.port,
            self.remote[1],
            (self.snd_nxt if seq is None else seq) & 0xFFFFFFFF,
            (self.rcv_nxt if ack is None else ack) & 0xFFFFFFFF if flags & ACK else 0,
            (20 + len(options)) << 2,
            flags,
            window,
            0,
            urgent,
        )
        return packet(self.remote[0], TCP, header + options + data, tos=tos)


class Guest:
    """One network card's worth of guest."""

    def __init__(self, *, resolves: bool, opens: bool, acks: bool) -> None:
        """``resolves``: answers ARP and neighbour solicitations. ``opens``: answers SYNs on
        its port 22 and completes its own openings. ``acks``: acknowledges all data at once."""
        self.resolves = resolves
        self.opens = opens
        self.acks = acks
        self.connections: list[Connection] = []
        self.answers: deque[bytes] = deque()
        """What it wants to send by itself."""

    def saw(self, raw: bytes) -> None:
        """A frame of the stack."""
        if raw[12:14] == b"\x08\6" and raw[20:22] == b"\0\1" and raw[38:42] == GUEST:
            if self.resolves:
                self.answers.append(arp(2, HOST))
        elif raw[12:14] == b"\x08\0" and raw[23] == TCP and raw[30:34] == GUEST:
            self._tcp(raw[26:30], raw[34 : 14 + int.from_bytes(raw[16:18], "big")])
        elif raw[12:14] == b"\x86\xdd" and raw[20] == TCP and raw[38:54] == GUEST6:
            self._tcp(raw[22:38], raw[54:])
        elif raw[12:14] == b"\x86\xdd" and raw[20] == ICMP6 and raw[54] == 135 and self.resolves:
            advert = b"\x88\0\0\0\x60\0\0\0" + GUEST6 + b"\2\1" + GUEST_MAC
            self.answers.append(packet(raw[22:38], ICMP6, advert, ttl=255))

    def _tcp(self, source: bytes, tcp: bytes) -> None:
        sport, dport, seq, ack, length, flags = struct.unpack("!HHIIBB", tcp[:14])
        data = tcp[length >> 4 << 2 :]
        remote = (source, sport)
        known = [c for c in self.connections if c.port == dport and c.remote == remote]
        if flags & (SYN | ACK) == SYN and not known:
            known = [Connection(dport, remote, rcv_nxt=seq + 1, asked=True)]
            self.connections += known
            if self.opens:
                self.answers.append(self.opened(known[0]))
            return
        if not known or flags & RST:
            return
        conn = known[-1]
        if flags & ACK:
            conn.acked = ack
        if flags & SYN and flags & ACK:
            conn.rcv_nxt = seq + 1
            if self.opens:
                self.answers.append(conn.segment(ACK))
            return
        if seq == conn.rcv_nxt & 0xFFFFFFFF:
            conn.rcv_nxt += len(data) + (flags & FIN)
        if self.acks and (data or flags & FIN):
            self.answers.append(conn.segment(ACK))

    def opened(self, conn: Connection, window: int = WINDOW) -> bytes:
        """The SYN-ACK that answers the stack's SYN."""
        conn.asked = False
        conn.snd_nxt = ISN + 1
        return conn.segment(SYN | ACK, seq=ISN, window=window)
