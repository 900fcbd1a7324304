"""Hypothesis strategies for headers and frames."""

from __future__ import annotations

from hypothesis import strategies as st

from desim.wire import dhcp, dns
from desim.wire.arp import Arp
from desim.wire.ethernet import ETH_P_8021Q, Ethernet
from desim.wire.frame import Frame
from desim.wire.icmp import Icmp
from desim.wire.icmpv6 import Icmpv6
from desim.wire.ipv4 import Ipv4
from desim.wire.ipv6 import Ipv6
from desim.wire.segment import build_segment
from desim.wire.tcp import Tcp, TcpOptions
from desim.wire.udp import Udp

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
macs = st.binary(min_size=6, max_size=6)
ips = st.binary(min_size=4, max_size=4)
ip6s = st.binary(min_size=16, max_size=16)
payloads = st.binary(max_size=100)
in_fours = st.integers(0, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))

ethernets = st.builds(
    Ethernet,
    macs,
    macs,
    u16.filter(lambda kind: kind != ETH_P_8021Q),
    payloads,
    st.none() | u16,
)
arps = st.builds(Arp, u16, macs, ips, macs, ips)
ipv4s = st.builds(
    Ipv4,
    ips,
    ips,
    u8,
    payloads,
    u16,
    u8,
    u8,
    st.booleans(),
    st.booleans(),
    st.integers(0, 0x1FFF).map(lambda n: n * 8),
    in_fours,
)
icmps = st.builds(Icmp, u8, u8, u32, payloads)
udps = st.builds(Udp, u16, u16, payloads)
tcps = st.builds(Tcp, u16, u16, u32, u32, u8, u16, u16, in_fours, payloads)
tcp_options = st.builds(
    TcpOptions,
    st.none() | u16,
    st.booleans(),
    st.none() | st.tuples(u32, u32),
    st.none() | u8,
    st.lists(st.tuples(u32, u32), max_size=2).map(tuple),
)
ipv6s = st.builds(Ipv6, ip6s, ip6s, u8, payloads, u8, u8, st.integers(0, 0xFFFFF))
icmpv6s = st.builds(Icmpv6, u8, u8, payloads)

dhcp_options = st.lists(st.tuples(st.integers(1, 254), st.binary(max_size=30)), max_size=6)
texts = st.binary(max_size=20).map(lambda text: text.rstrip(b"\0"))
dhcps = st.builds(
    dhcp.Dhcp,
    u8,
    u32,
    st.binary(max_size=16),
    dhcp_options,
    u16,
    u16,
    ips,
    ips,
    ips,
    ips,
    texts,
    texts,
    u8,
    u8,
)

labels = st.sampled_from([b"a", b"www", b"qemu", b"org", b"x" * 63, b"do.t", b"\\", b"\0 \xff"])
names = st.lists(labels, max_size=3).map(
    lambda parts: dns.read_name(b"".join(bytes((len(p),)) + p for p in parts) + b"\0", 0)[0]
)
questions = st.builds(dns.Question, names, u16, u16)
opaque_types = u16.filter(lambda kind: kind not in (2, 5, 6, 12, 15))
records = st.builds(dns.Record, names, opaque_types, st.binary(max_size=20), u32, u16) | st.builds(
    dns.Record,
    names,
    st.sampled_from([dns.TYPE_NS, dns.TYPE_CNAME, dns.TYPE_PTR]),
    names.map(dns.encode_name),
    u32,
    u16,
)
dnses = st.builds(
    dns.Dns,
    u16,
    u16,
    st.lists(questions, max_size=3),
    st.lists(records, max_size=3),
    st.lists(records, max_size=2),
    st.lists(records, max_size=2),
)


@st.composite
def segment_frames(draw: st.DrawFn) -> Frame:
    """A frame as ``build_segment`` makes it, from any values."""
    return build_segment(
        *(draw(macs), draw(macs), draw(ips), draw(ips), draw(u16), draw(u16)),
        *(draw(u32), draw(u32), draw(u8), draw(u16), draw(payloads)),
        ident=draw(u16),
        ttl=draw(u8),
        tos=draw(u8),
        df=draw(st.booleans()),
        urgent=draw(u16),
        options=draw(in_fours),
    )
