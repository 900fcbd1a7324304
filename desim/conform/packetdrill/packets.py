"""Packets of a script: those that are put in, and those of the guest that it expects.

What the guest sends is compared as packetdrill compares it on a device that segments: packets
before they are cut (up to 64 KiB). Several in a row count as one that the script expects, if
they follow each other and make up its length; its flags are then those of the last one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from desim.conform.packetdrill.errors import NotModelled
from desim.conform.packetdrill.script import IcmpError, Packet, TcpOption
from desim.data import NamedTuple
from desim.guest.skb import Skb
from desim.wire.ethernet import ETH_P_IP, Ethernet
from desim.wire.frame import Frame
from desim.wire.icmp import (
    ICMP_DEST_UNREACH,
    ICMP_FRAG_NEEDED,
    ICMP_PARAMETERPROB,
    ICMP_TIME_EXCEEDED,
    Icmp,
)
from desim.wire.ipv4 import PROTO_ICMP, PROTO_TCP, Ipv4
from desim.wire.segment import build_segment
from desim.wire.tcp import (
    ACK,
    FIN,
    OPT_EOL,
    OPT_MSS,
    OPT_NOP,
    OPT_SACK_PERM,
    OPT_TIMESTAMP,
    OPT_WINDOW,
    PSH,
    RST,
    SYN,
    flags_text,
    split_options,
)

LETTERS = {"S": SYN, "F": FIN, "R": RST, "P": PSH, ".": ACK}
_KINDS = {
    "mss": OPT_MSS,
    "nop": OPT_NOP,
    "eol": OPT_EOL,
    "sackOK": OPT_SACK_PERM,
    "TS": OPT_TIMESTAMP,
    "wscale": OPT_WINDOW,
}
_NEEDS = {
    "sackOK": "SACK (sackOK)",
    "sack": "SACK",
    "TS": "timestamps (TS)",
    "wscale": "window scaling (wscale)",
    "FO": "TCP Fast Open (FO)",
    "FOEXP": "TCP Fast Open (FOEXP)",
    "md5": "MD5 signatures (md5)",
    "ECN": "accurate ECN (ECN)",
}
UNREACHABLE_CODES = {
    "net_unreachable": 0,
    "host_unreachable": 1,
    "protocol_unreachable": 2,
    "port_unreachable": 3,
    "frag_needed": ICMP_FRAG_NEEDED,
    "source_route_failed": 5,
    "net_unknown": 6,
    "host_unknown": 7,
    "source_host_isolated": 8,
    "net_prohibited": 9,
    "host_prohibited": 10,
    "net_unreachable_for_tos": 11,
    "host_unreachable_for_tos": 12,
    "packet_filtered": 13,
    "precedence_violation": 14,
    "precedence_cutoff": 15,
}
_HEADER = struct.Struct("!HHIIHHHH")


@dataclass(slots=True)
class Ends:
    """The connection under test, as the peer sees it, and both sides' first numbers.

    The peer's numbers are those of the script. The guest draws its own: ``iss`` stands for
    ``script_iss``; None while it has sent nothing.
    """

    guest_mac: bytes
    peer_mac: bytes
    guest: bytes
    peer: bytes
    guest_port: int
    peer_port: int
    iss: int | None = None
    script_iss: int = 0

    def live_ack(self, ack: int) -> int:
        """A number of the guest's as it is on the wire."""
        return (ack - self.script_iss + (self.iss or 0)) & 0xFFFFFFFF

    def script_seq(self, seq: int) -> int:
        """The other way about."""
        return (seq - (self.iss or 0) + self.script_iss) & 0xFFFFFFFF


def check(line: int, packet: Packet) -> None:
    """Refuse what the model has not got."""
    if packet.ip:
        raise NotModelled(line, f"the IP header's {packet.ip}")
    if packet.ports is not None:
        raise NotModelled(line, "packets of other ports")
    for letter in packet.flags:
        if letter == "U":
            raise NotModelled(line, "urgent data (U)")
        if letter not in LETTERS:
            raise NotModelled(line, f"ECN (the flag {letter})")
    if packet.urgent:
        raise NotModelled(line, "urgent data (urg)")
    for option in packet.options or ():
        refused = option.name in _NEEDS and (packet.inbound or option.name not in _KINDS)
        if refused:
            raise NotModelled(line, _NEEDS[option.name])


def check_icmp(line: int, error: IcmpError) -> None:
    """Refuse what the model has not got."""
    _icmp_type(line, error)


def _icmp_type(line: int, error: IcmpError) -> tuple[int, int]:
    if error.kind == "unreachable":
        code = UNREACHABLE_CODES.get(error.code or "net_unreachable")
        if code == ICMP_FRAG_NEEDED:
            raise NotModelled(line, "path MTU discovery (frag_needed)")
        if code is not None:
            return ICMP_DEST_UNREACH, code
    elif error.kind == "time_exceeded" and error.code in ("", "exceeded_ttl"):
        return ICMP_TIME_EXCEEDED, 0
    elif error.kind == "parameter_problem" and not error.code:
        return ICMP_PARAMETERPROB, 0
    raise NotModelled(line, f"ICMP {error.kind} {error.code}".rstrip())


def flags_of(packet: Packet) -> int:
    """The flags as bits."""
    return sum(bit for letter, bit in LETTERS.items() if letter in packet.flags)


def frame(ends: Ends, packet: Packet, ident: int) -> Frame:
    """A segment of the peer's."""
    flags = flags_of(packet)
    raw = b"".join(_option(option) for option in packet.options or ())
    return build_segment(
        ends.guest_mac,
        ends.peer_mac,
        ends.peer,
        ends.guest,
        ends.peer_port,
        ends.guest_port,
        packet.seq,
        ends.live_ack(packet.ack or 0) if flags & ACK else 0,
        flags,
        packet.window or 0,
        bytes(packet.length),
        ident=ident & 0xFFFF,
        ttl=64,
        tos=0,
        df=False,
        options=raw + bytes(-len(raw) % 4),
    ).padded()


def _option(option: TcpOption) -> bytes:
    if option.name == "mss":
        return struct.pack("!BBH", OPT_MSS, 4, *option.values)
    return bytes((_KINDS[option.name],))


def icmp_frame(ends: Ends, line: int, error: IcmpError) -> Frame:
    """An ICMP error of the peer's about a segment that the guest is said to have sent."""
    seq = ends.live_ack(error.seq)
    tcp = _HEADER.pack(ends.guest_port, ends.peer_port, seq, 0, 0x5010, 0, 0, 0)
    quoted = Ipv4(ends.guest, ends.peer, PROTO_TCP, tcp + bytes(error.length)).emit()
    # As much of it as an error quotes (RFC 1122 section 3.2.2).
    message = Icmp(*_icmp_type(line, error), 0, quoted[:28]).emit()
    packet = Ipv4(ends.peer, ends.guest, PROTO_ICMP, message)
    return Frame(Ethernet(ends.guest_mac, ends.peer_mac, ETH_P_IP, packet.emit()).emit()).padded()


class Sent(NamedTuple):
    """A packet of the guest's, before the card has cut it."""

    at_ns: int
    sport: int
    dport: int
    dst: bytes
    seq: int
    ack: int
    flags: int
    window: int
    options: bytes
    length: int

    @classmethod
    def of(cls, at_ns: int, skb: Skb) -> Sent | None:
        """Read it; None if it is no TCP."""
        head = skb.head
        if head[12:14] != b"\x08\x00" or head[23] != PROTO_TCP:
            return None
        sport, dport, seq, ack, offset_flags, window, _, _ = _HEADER.unpack_from(head, 34)
        end = 34 + (offset_flags >> 12) * 4
        length = len(head) - end + sum(map(len, skb.frags))
        return cls(
            at_ns,
            sport,
            dport,
            bytes(head[30:34]),
            seq,
            ack,
            offset_flags & 0x3F,
            window,
            bytes(head[54:end]),
            length,
        )

    def follows(self, before: Sent) -> bool:
        """Whether it can be the next piece of what ``before`` begins."""
        return (
            self.seq == (before.seq + before.length) & 0xFFFFFFFF
            and self.length > 0
            and (self.ack, self.window) == (before.ack, before.window)
            and (self.flags | before.flags) & ~(PSH | FIN) == self.flags & ~(PSH | FIN)
        )

    def text(self, ends: Ends, first: Sent, length: int) -> str:
        """As the script would write it, with ``first`` and what follows up to this one."""
        seq = ends.script_seq(first.seq)
        shown = f"{flags_text(self.flags).replace('none', '-')} {seq}:{seq + length}({length})"
        if self.flags & ACK:
            shown += f" ack {self.ack}"
        return f"> {shown} win {self.window}"


def differences(ends: Ends, expected: Packet, first: Sent, last: Sent, length: int) -> list[str]:
    """What of a packet is not as expected, by name."""
    wrong = []
    flags = flags_of(expected)
    if last.flags != flags:
        wrong.append("flags")
    if ends.script_seq(first.seq) != expected.seq:
        wrong.append("sequence number")
    if length != expected.length:
        wrong.append("length")
    if flags & last.flags & ACK and last.ack != (expected.ack or 0):
        wrong.append("acknowledgement")
    if expected.window is not None and last.window != expected.window:
        wrong.append("window")
    if expected.options is not None and not _same_options(expected.options, last.options):
        wrong.append("options")
    return wrong


def _same_options(expected: tuple[TcpOption, ...], raw: bytes) -> bool:
    found = split_options(raw)
    if [kind for kind, _ in found] != [_KINDS[option.name] for option in expected]:
        return False
    for option, (_, value) in zip(expected, found, strict=True):
        # A timestamp's value is the kernel's own.
        if option.name in ("mss", "wscale") and int.from_bytes(value, "big") != option.values[0]:
            return False
    return True
