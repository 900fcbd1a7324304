"""One line for any frame, in the manner of tcpdump: for reports, and for diffs between runs.

The line says what a reader compares: who, to whom, what, how long. Checksums
that are wrong are said, right ones are not. Whatever cannot be read is said at the
end of what could.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.wire import dhcp, dns, icmp, tcp
from desim.wire.addresses import BROADCAST_MAC, ZERO_MAC, ip_text, mac_text
from desim.wire.arp import ARPOP_REPLY, ARPOP_REQUEST, Arp
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, Ethernet
from desim.wire.icmp import Icmp
from desim.wire.icmpv6 import Icmpv6
from desim.wire.ipv4 import PROTO_ICMP, PROTO_TCP, PROTO_UDP, Ipv4
from desim.wire.ipv6 import NEXT_HOP_BY_HOP, NEXT_ICMPV6, Ipv6
from desim.wire.tcp import Tcp
from desim.wire.udp import Udp

_BAD_SUM = " (bad checksum)"

_UNREACHABLE = {
    icmp.ICMP_NET_UNREACH: "net",
    icmp.ICMP_HOST_UNREACH: "host",
    icmp.ICMP_PROT_UNREACH: "protocol",
    icmp.ICMP_PORT_UNREACH: "port",
    icmp.ICMP_PKT_FILTERED: "filtered",
}

_ICMPV6 = {
    1: "destination unreachable",
    2: "packet too big",
    128: "echo request",
    129: "echo reply",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbor solicitation",
    136: "neighbor advertisement",
    143: "multicast listener report v2",
}


def describe(raw: bytes) -> str:
    """One line about the frame ``raw``, without a newline; never fails."""
    try:
        frame = Ethernet.parse(raw)
    except WireError as error:
        return f"malformed: {error}"
    vlan = "" if frame.vlan_tci is None else f"vlan {frame.vlan_tci & 0xFFF}, "
    layer = _LAYERS.get(frame.ethertype)
    if layer is None:
        return (
            f"{vlan}{mac_text(frame.src)} > {mac_text(frame.dst)}, "
            f"ethertype {frame.ethertype:#06x}, length {len(raw)}"
        )
    try:
        return vlan + layer(frame.payload)
    except WireError as error:
        return (
            f"{vlan}{mac_text(frame.src)} > {mac_text(frame.dst)}, "
            f"length {len(raw)}, malformed: {error}"
        )


def _arp(data: bytes) -> str:
    arp = Arp.parse(data)
    sender, target = ip_text(arp.sender_ip), ip_text(arp.target_ip)
    if arp.op == ARPOP_REQUEST:
        known = arp.target_mac not in (ZERO_MAC, BROADCAST_MAC)
        at = f" ({mac_text(arp.target_mac)})" if known else ""
        return f"ARP, Request who-has {target}{at} tell {sender}"
    if arp.op == ARPOP_REPLY:
        return f"ARP, Reply {sender} is-at {mac_text(arp.sender_mac)}"
    return f"ARP, op {arp.op}, {sender} ({mac_text(arp.sender_mac)}) > {target}"


def _ipv4(data: bytes) -> str:
    packet = Ipv4.parse(data)
    bad = "" if packet.sum_ok else _BAD_SUM
    if packet.fragment:
        more = "+" if packet.mf else ""
        return (
            f"IP {ip_text(packet.src)} > {ip_text(packet.dst)}: protocol {packet.protocol}, "
            f"fragment {packet.ident}:{len(packet.payload)}@{packet.offset}{more}{bad}"
        )
    return "IP " + _transport(packet.src, packet.dst, packet.protocol, packet.payload) + bad


def _ipv6(data: bytes) -> str:
    packet = Ipv6.parse(data)
    protocol, payload = packet.next_header, packet.payload
    if protocol == NEXT_HOP_BY_HOP and len(payload) >= 8:
        protocol, payload = payload[0], payload[8 + payload[1] * 8 :]
    return "IP6 " + _transport(packet.src, packet.dst, protocol, payload)


def _transport(src: bytes, dst: bytes, protocol: int, payload: bytes) -> str:
    pair = f"{ip_text(src)} > {ip_text(dst)}: "
    try:
        if protocol == PROTO_TCP:
            return _tcp(src, dst, Tcp.parse(payload, src, dst))
        if protocol == PROTO_UDP:
            return _udp(src, dst, Udp.parse(payload, src, dst))
        if protocol == PROTO_ICMP and len(src) == 4:
            return pair + _icmp(Icmp.parse(payload))
        if protocol == NEXT_ICMPV6 and len(src) == 16:
            return pair + _icmpv6(Icmpv6.parse(payload, src, dst))
    except WireError as error:
        return f"{pair}malformed: {error}"
    return f"{pair}protocol {protocol}, length {len(payload)}"


def _ends(src: bytes, sport: int, dst: bytes, dport: int) -> str:
    return f"{ip_text(src)}.{sport} > {ip_text(dst)}.{dport}: "


def _tcp(src: bytes, dst: bytes, segment: Tcp) -> str:
    size = len(segment.payload)
    words = [f"Flags [{tcp.flags_text(segment.flags)}]"]
    if size:
        words.append(f"seq {segment.seq}:{segment.seq + size & 0xFFFFFFFF}")
    elif segment.flags & (tcp.SYN | tcp.FIN | tcp.RST):
        words.append(f"seq {segment.seq}")
    if segment.flags & tcp.ACK:
        words.append(f"ack {segment.ack}")
    words.append(f"win {segment.window}")
    if segment.flags & tcp.URG:
        words.append(f"urg {segment.urgent}")
    if segment.options:
        words.append(f"options [{_tcp_options(segment.options)}]")
    words.append(f"length {size}")
    bad = "" if segment.sum_ok else _BAD_SUM
    return _ends(src, segment.sport, dst, segment.dport) + ", ".join(words) + bad


def _tcp_options(raw: bytes) -> str:
    try:
        options = tcp.split_options(raw)
    except WireError:
        return "malformed"
    return ",".join(_tcp_option(kind, value) for kind, value in options)


def _tcp_option(kind: int, value: bytes) -> str:
    number = int.from_bytes(value, "big")
    if kind == tcp.OPT_NOP:
        return "nop"
    if kind == tcp.OPT_MSS and len(value) == 2:
        return f"mss {number}"
    if kind == tcp.OPT_WINDOW and len(value) == 1:
        return f"wscale {number}"
    if kind == tcp.OPT_SACK_PERM and not value:
        return "sackOK"
    if kind == tcp.OPT_TIMESTAMP and len(value) == 8:
        return f"TS val {number >> 32} ecr {number & 0xFFFFFFFF}"
    if kind == tcp.OPT_SACK and value and len(value) % 8 == 0:
        blocks = tcp.TcpOptions.parse(bytes((kind, len(value) + 2)) + value).sack
        return "sack " + " ".join(f"{{{left}:{right}}}" for left, right in blocks)
    return f"opt {kind} 0x{value.hex()}"


def _udp(src: bytes, dst: bytes, datagram: Udp) -> str:
    ports = {datagram.sport, datagram.dport}
    text = f"UDP, length {len(datagram.payload)}"
    if ports == {dhcp.SERVER_PORT, dhcp.CLIENT_PORT}:
        text = _or(text, _dhcp, datagram.payload)
    elif dns.PORT in ports:
        text = _or(text, _dns, datagram.payload)
    bad = "" if datagram.sum_ok else _BAD_SUM
    return _ends(src, datagram.sport, dst, datagram.dport) + text + bad


def _or(text: str, read: Callable[[bytes], str], payload: bytes) -> str:
    try:
        return read(payload)
    except WireError as error:
        return f"{text}, malformed: {error}"


def _dhcp(payload: bytes) -> str:
    message = dhcp.Dhcp.parse(payload)
    side = "Request" if message.op == dhcp.BOOTREQUEST else "Reply"
    words = [f"BOOTP/DHCP, {side}", f"length {len(payload)}"]
    if message.message_type is not None:
        kind = message.message_type
        words.insert(1, dhcp.MESSAGE_NAMES.get(kind, f"type {kind}"))
    if len(message.chaddr) == 6:
        words.append(f"from {mac_text(message.chaddr)}")
    words.append(f"xid {message.xid:#010x}")
    if any(message.ciaddr):
        words.append(f"Client-IP {ip_text(message.ciaddr)}")
    if any(message.yiaddr):
        words.append(f"Your-IP {ip_text(message.yiaddr)}")
    codes = " ".join(str(code) for code, _ in message.options)
    words.append(f"options [{codes}]")
    return ", ".join(words)


def _dns(payload: bytes) -> str:
    message = dns.Dns.parse(payload)
    asked = " ".join(f"{_dns_type(each.qtype)}? {each.name}." for each in message.questions)
    if not message.flags & dns.QR:
        return f"DNS, {message.ident}, {asked}, length {len(payload)}"
    told = [_dns_record(each) for each in message.answers] or [f"rcode {message.rcode}"]
    return f"DNS, {message.ident}, {asked}, {', '.join(told)}, length {len(payload)}"


_DNS_TYPES = {
    dns.TYPE_A: "A",
    dns.TYPE_NS: "NS",
    dns.TYPE_CNAME: "CNAME",
    dns.TYPE_SOA: "SOA",
    dns.TYPE_PTR: "PTR",
    dns.TYPE_MX: "MX",
    dns.TYPE_TXT: "TXT",
    dns.TYPE_AAAA: "AAAA",
}


def _dns_type(number: int) -> str:
    return _DNS_TYPES.get(number, f"TYPE{number}")


def _dns_record(record: dns.Record) -> str:
    kind = _dns_type(record.rtype)
    if (record.rtype, len(record.rdata)) in ((dns.TYPE_A, 4), (dns.TYPE_AAAA, 16)):
        return f"{kind} {ip_text(record.rdata)}"
    if record.rtype in (dns.TYPE_CNAME, dns.TYPE_NS, dns.TYPE_PTR):
        return f"{kind} {dns.read_name(record.rdata, 0)[0]}."
    return f"{kind} ({len(record.rdata)} bytes)"


def _icmp(message: Icmp) -> str:
    size = 8 + len(message.payload)
    bad = "" if message.sum_ok else _BAD_SUM
    if message.type in (icmp.ICMP_ECHO, icmp.ICMP_ECHOREPLY):
        side = "request" if message.type == icmp.ICMP_ECHO else "reply"
        text = f"echo {side}, id {message.ident}, seq {message.sequence}"
    elif message.type == icmp.ICMP_DEST_UNREACH:
        text = _unreachable(message)
    elif message.type == icmp.ICMP_TIME_EXCEEDED:
        text = f"time exceeded, code {message.code}{_quoted(message.payload)}"
    else:
        text = f"type {message.type}, code {message.code}"
    return f"ICMP {text}, length {size}{bad}"


def _unreachable(message: Icmp) -> str:
    quoted = _quoted(message.payload)
    if message.code == icmp.ICMP_FRAG_NEEDED:
        return f"unreachable, need to frag (mtu {message.mtu}){quoted}"
    return f"{_UNREACHABLE.get(message.code, f'code {message.code}')} unreachable{quoted}"


def _quoted(payload: bytes) -> str:
    try:
        packet = Ipv4.parse(payload, quoted=True)
    except WireError:
        return ", malformed quote"
    src, dst = ip_text(packet.src), ip_text(packet.dst)
    start = packet.payload[:4]
    if packet.protocol in (PROTO_TCP, PROTO_UDP) and len(start) == 4 and packet.offset == 0:
        src += f".{int.from_bytes(start[:2], 'big')}"
        dst += f".{int.from_bytes(start[2:], 'big')}"
    return f" for {src} > {dst} protocol {packet.protocol}"


def _icmpv6(message: Icmpv6) -> str:
    text = _ICMPV6.get(message.type, f"type {message.type}, code {message.code}")
    bad = "" if message.sum_ok else _BAD_SUM
    return f"ICMP6, {text}, length {4 + len(message.body)}{bad}"


_LAYERS: dict[int, Callable[[bytes], str]] = {
    ETH_P_ARP: _arp,
    ETH_P_IP: _ipv4,
    ETH_P_IPV6: _ipv6,
}
