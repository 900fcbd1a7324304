"""Captures reduced to what repeats from run to run, so that they can be compared.

Kept: direction, kind, length, addresses, flags, options, windows, relative sequence
numbers, payload, TTL, TOS, DF, slirp's IP identification, every DHCP option. Left
out, because the recordings themselves differ in it: times, ports that were drawn,
initial sequence numbers, the DHCP transaction number and seconds, the guest's IP
identification. IPv6 is apart (``discovery``): the order of its frames is drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from desim.wire import pcapng
from desim.wire.addresses import ip_text, mac_text
from desim.wire.arp import Arp
from desim.wire.dhcp import Dhcp
from desim.wire.ethernet import ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, Ethernet
from desim.wire.icmpv6 import Icmpv6
from desim.wire.ipv4 import Ipv4
from desim.wire.ipv6 import NEXT_HOP_BY_HOP, Ipv6
from desim.wire.tcp import Tcp, flags_text
from desim.wire.udp import Udp

VECTORS = Path(__file__).parent / "vectors" / "linux"
GUEST_MAC = "52:54:00:12:34:56"


class Discovery(NamedTuple):
    """One ICMPv6 frame of a guest's start, and its time; ``content`` is without the nonce."""

    time_ns: int
    kind: int
    source: str
    content: str


def discovery(data: bytes) -> list[Discovery]:
    """The IPv6 frames of a capture: each is right, and all of it but the nonce is kept."""
    found = []
    for packet in pcapng.read(data):
        ethernet = Ethernet.parse(packet.raw)
        if ethernet.ethertype != ETH_P_IPV6:
            continue
        ip = Ipv6.parse(ethernet.payload)
        hops = 8 if ip.next_header == NEXT_HOP_BY_HOP else 0
        icmp = Icmpv6.parse(ip.payload[hops:], ip.src, ip.dst)
        assert icmp.sum_ok
        target = ip_text(icmp.body[4:20]) if icmp.type == 135 else ""
        body = icmp.body[:22] + bytes(6) if icmp.type == 135 else icmp.body
        story = (
            ethernet.dst.hex(":"), ethernet.src.hex(":"), ip_text(ip.src), ip_text(ip.dst),
            ip.hop_limit, ip.traffic_class, ip.flow_label, ip.payload[:hops].hex(),
            icmp.code, len(icmp.body), body.hex(), target,
        )  # fmt: skip
        found.append(Discovery(packet.time_ns, icmp.type, ip_text(ip.src), repr(story)))
    return found


def recording(name: str) -> bytes:
    """A recorded capture."""
    return (VECTORS / f"{name}.pcap").read_bytes()


def read(data: bytes) -> list[bytes]:
    """The frames of a capture, without IPv6."""
    frames = [packet.raw for packet in pcapng.read(data)]
    return [raw for raw in frames if Ethernet.parse(raw).ethertype != ETH_P_IPV6]


def recorded(name: str) -> list[dict[str, object]]:
    """A recorded capture, reduced."""
    return reduced(read(recording(name)))


def reduced(frames: list[bytes]) -> list[dict[str, object]]:
    """Each frame as what repeats of it."""
    starts: dict[tuple[str, int], int] = {}
    return [_reduced(raw, starts) for raw in frames]


def _reduced(raw: bytes, starts: dict[tuple[str, int], int]) -> dict[str, object]:
    eth = Ethernet.parse(raw)
    story: dict[str, object] = {
        "from": "guest" if mac_text(eth.src) == GUEST_MAC else "slirp",
        "src": mac_text(eth.src),
        "dst": mac_text(eth.dst),
        "length": len(raw),
    }
    if eth.ethertype == ETH_P_ARP:
        arp = Arp.parse(eth.payload)
        return story | {
            "kind": "ARP",
            "op": arp.op,
            "sender": (mac_text(arp.sender_mac), ip_text(arp.sender_ip)),
            "target": (mac_text(arp.target_mac), ip_text(arp.target_ip)),
        }
    assert eth.ethertype == ETH_P_IP
    ip = Ipv4.parse(eth.payload)
    assert ip.sum_ok
    story |= {
        "ip": (ip_text(ip.src), ip_text(ip.dst)),
        "ttl": ip.ttl,
        "tos": ip.tos,
        "df": ip.df,
    }
    if story["from"] == "slirp":
        story["ident"] = ip.ident
    if ip.protocol == 17:
        udp = Udp.parse(ip.payload, ip.src, ip.dst)
        assert udp.sum_ok
        dhcp = Dhcp.parse(udp.payload)
        return story | {
            "kind": "DHCP",
            "ports": (udp.sport, udp.dport),
            "size": len(udp.payload),
            "op": dhcp.op,
            "flags": dhcp.flags,
            "addresses": [ip_text(a) for a in (dhcp.ciaddr, dhcp.yiaddr, dhcp.siaddr)],
            "options": [(code, data.hex()) for code, data in dhcp.options],
        }
    tcp = Tcp.parse(ip.payload, ip.src, ip.dst)
    assert tcp.sum_ok
    sender, receiver = (ip_text(ip.src), tcp.sport), (ip_text(ip.dst), tcp.dport)
    start = starts.setdefault(sender, tcp.seq)
    return story | {
        "kind": "TCP",
        "server port": min(tcp.sport, tcp.dport),
        "flags": flags_text(tcp.flags),
        "seq": (tcp.seq - start) & 0xFFFFFFFF,
        "ack": (tcp.ack - starts.get(receiver, tcp.ack)) & 0xFFFFFFFF,
        "window": tcp.window,
        "options": tcp.options.hex(),
        "payload": tcp.payload,
    }
