"""What is talked about with the library: strategies for scripts (player.py).

A script is a few *scenes*, each some moves that belong together (open a connection, move
data, close it in some order; a DHCP handshake), with stray moves in between. Scenes are
flattened, so shrinking may take any move out.
"""

from __future__ import annotations

from typing import Any

from desim.against import strategy as st
from desim.against.libslirp.guest import ACK, FIN, GUEST, GUEST6, GUEST_MAC, PSH, RST, SYN, URG
from desim.against.libslirp.player import CONFIG
from desim.against.strategy import Strategy

Move = list[Any]
Scene = list[Move]

numbers = st.integers(0, 3)
"""Which of the connections there are; taken modulo their number."""
rules = st.integers(0, 9)
sizes = st.sampled_from([0, 1, 2, 5, 20, 100, 536, 1440, 1460])
large = st.sampled_from([1472, 1473, 1480, 3000, 9000, 20_000])
"""Datagrams that fill a frame, and that need several."""
windows = st.sampled_from([65535, 65535, 65535, 32120, 4096, 1460, 500, 1, 0])
segment_sizes = st.sampled_from([None, None, 1460, 1440, 536, 100, 20, 0, 9000, 65535])
tos = st.sampled_from([0, 0, 0, 8, 16, 255])
# fmt: off
waits = st.sampled_from(
    [500, 1_000, 2_000, 3_000, 100_000, 498_000, 499_000, 500_000, 1_000_000, 1_001_000,
     1_500_000, 3_000_000, 6_000_000, 12_000_000, 30_000_000, 76_000_000, 300_000_000]
)
# fmt: on
"""Microseconds: around the fast and slow timers, the time to resolve, retransmissions."""
expiries = st.sampled_from([9_500_000, 10_500_000, 239_500_000, 240_500_000])
"""Around the lives of UDP and ping sockets."""
quiet = st.sampled_from([2_000, 3_000, 100_000, 500_000])

hosts = st.sampled_from(
    ["10.0.2.2"] * 6
    + ["10.0.2.3", "127.0.0.1", "10.0.2.9", "10.0.2.15", "10.0.2.255"]
    + ["255.255.255.255", "0.0.0.0", "192.0.2.1", "224.0.0.1"]
)
guest_rules = st.sampled_from(
    [("10.0.2.100", 1234)] * 3
    + [("10.0.2.101", 80)] * 2
    + [("10.0.2.100", 80), ("10.0.2.101", 1234), ("10.0.2.102", 80)]
)
hosts6 = st.sampled_from(["fec0::2"] * 4 + ["fec0::3", "fec0::9", "2001:db8::1", "ff02::1"])
neighbours = st.sampled_from(
    ["10.0.2.2", "10.0.2.3", "10.0.2.15", "10.0.2.9", "10.0.3.1", "0.0.0.0", "10.0.2.255"]
)
payloads = st.one_of(
    st.binary(max_size=40), st.sampled_from([100, 548, 1472]).map(lambda size: bytes(size))
).map(bytes.hex)


def move(name: str, *arguments: object) -> Strategy[Move]:
    """``name`` with arguments drawn from those that are strategies."""
    return st.tuples(
        st.just(name),
        *(a if isinstance(a, Strategy) else st.just(a) for a in arguments),
    ).map(list)


def scene(*moves: Strategy[Move]) -> Strategy[Scene]:
    return st.tuples(*moves).map(list)


# -- datagrams and what goes with them ---------------------------------------------------

arps = move("arp", st.integers(1, 2) | st.sampled_from([0, 3, 9]), neighbours)
ttls = st.sampled_from([64, 64, 64, 2, 1, 0, 255])
pings = st.one_of(
    move("ping", hosts | st.just("127.0.0.1"), sizes, ttls, tos),
    move("ping", hosts6, sizes, ttls, 0),
)
udps = st.one_of(
    move("udp", st.integers(3000, 3002), hosts, st.sampled_from([9000, 9000, 9001, 53, 0, 69]),
         payloads, ttls, tos),
    move("udp", 3003, hosts6, st.sampled_from([9000, 9001, 53]), payloads, ttls, 0),
)  # fmt: skip
answers = st.one_of(
    move("udp_answer", st.sampled_from(["u", "u6", "dns", "c", "c6"]), sizes | large),
    move("udp_in", st.sampled_from(["c", "c", "c6"]), sizes | large),
)
fragments = move(
    "fragments",
    st.booleans(),
    st.sampled_from([8, 100, 1480, 3000, 8000]),
    st.integers(1, 185),
    st.integers(0, 3),
    st.integers(1, 60),
)
scattered = move(
    "scattered",
    st.booleans(),
    st.sampled_from([100, 500, 1480, 3000]),
    st.sampled_from([1, 3, 12, 25, 60, 100]),
    st.integers(0, 3),
    st.lists(
        st.tuples(
            st.integers(0, 5), st.sampled_from([0, 0, 0, 1, 4]), st.sampled_from([0, 0, 0, 1, 4])
        ).map(list),
        min_size=1,
        max_size=9,
    ).map(sorted)
    | st.lists(
        st.tuples(st.integers(0, 5), st.just(0), st.sampled_from([0, 1, 4])).map(list), max_size=5
    ),
)
quotes = st.sampled_from(
    [b"", bytes(8), bytes.fromhex("4500001c00000000401162c30a0002020a00020f0fa01f9000080000")]
)
icmps = st.builds(
    lambda dst, kind, code, head, quote, ttl: [
        "icmp",
        dst,
        (bytes((kind, code, 0, 0)) + head + quote).hex(),
        ttl,
    ],
    hosts,
    st.sampled_from([3, 3, 11, 5, 4, 12, 0, 8, 13, 14, 17, 255]),
    st.integers(0, 5),
    st.sampled_from([bytes(4), b"\0\7\0\1", b"\0", b""]),
    quotes,
    ttls,
)
"""Messages that are no echo request: errors, timestamps, too short, unknown."""
ip_options = move(
    "ip_options",
    st.sampled_from(
        [b"\1", b"\1\1\1\0", b"\7\7\4\0\0\0\0", b"\x83\7\4\x0a\0\2\2", b"\x44\x0c\5" + bytes(9),
         b"\x94\4\0\0", b"\7\0", b"\7\xff", bytes(40)]
    ).map(bytes.hex) | st.binary(min_size=1, max_size=40).map(bytes.hex),
)  # fmt: skip
tcp_options = move(
    "tcp_options",
    st.sampled_from(
        [b"\2\4\5\xb4", b"\1\1\4\2", b"\3\3\7\1", b"\x08\x0a" + bytes(8) + b"\1\1", b"\2\3\5",
         b"\2\4\0\0", b"\2\4\0\1", b"\2\0", b"\2", b"\0\2\4\2\0", b"\x22\xff", b"\1\2\4\1\0"]
    ).map(bytes.hex) | st.binary(min_size=1, max_size=40).map(bytes.hex),
)  # fmt: skip
EXTENSION = {
    0: bytes((58, 0, 5, 2, 0, 0, 1, 0)),
    44: bytes((17, 0, 0, 1, 0, 0, 0, 9)),
    43: bytes((17, 0, 0, 0, 0, 0, 0, 0)),
    59: b"",
    17: b"\x0b\xb8\x23\x28\0\x08\0\0",
    6: bytes(20),
    58: b"\x80\0\0\0",
    132: bytes(8),
}
packets6 = st.builds(
    lambda dst, kind, data, ttl: ["ipv6", dst, kind, (EXTENSION[kind] + data).hex(), ttl],
    hosts6,
    st.sampled_from(sorted(EXTENSION)),
    st.binary(max_size=20),
    ttls,
)
"""Extension headers and protocols that the stack knows nothing of; wrong checksums."""
NEIGHBOUR = {
    "solicitation": b"\x87\0\0\0\0\0\0\0",
    "advertisement": b"\x88\0\0\0\x60\0\0\0",
    "router solicitation": b"\x85\0\0\0\0\0\0\0",
}
neighbour_discovery = st.builds(
    lambda dst, kind, target, option: [
        "icmp6",
        dst,
        (NEIGHBOUR[kind] + (b"" if kind.startswith("router") else target) + option).hex(),
    ],
    st.sampled_from(["ff02::1:ff00:2", "fec0::2", "fe80::2", "ff02::2", "ff02::1"]),
    st.sampled_from(sorted(NEIGHBOUR)),
    st.sampled_from([GUEST6, bytes.fromhex("fec0" + "00" * 13 + "02"), b"\xfe\x80" + bytes(14)]),
    st.sampled_from([b"", b"\1\1" + GUEST_MAC, b"\2\1" + GUEST_MAC, b"\1\0"]),
)


def _dhcp(
    operation: int, kind: int | None, address: bytes, options: list[tuple[int, bytes]], cut: int
) -> Move:
    fixed = bytes((operation, 1, 6, 0)) + b"\x12\x34\x56\x78" + bytes(4) + bytes(16)
    body = fixed + GUEST_MAC + bytes(10 + 64 + 128) + b"\x63\x82\x53\x63"
    if kind is not None:
        body += bytes((53, 1, kind))
    if address:
        body += b"\x32\x04" + address
    for code, data in options:
        body += bytes((code, len(data))) + data
    body += b"\xff"
    body += bytes(max(0, 300 - len(body)))
    return ["udp", 68, "255.255.255.255", 67, body[: len(body) - cut].hex(), 64, 0]


dhcps = st.builds(
    _dhcp,
    st.sampled_from([1, 1, 1, 1, 2, 0]),
    st.sampled_from([1, 3, 1, 3, 4, 7, 8, 0, None]),
    st.sampled_from([b"", GUEST, b"\x0a\0\2\x10", b"\x0a\0\2\2", b"\xc0\0\2\1"]),
    st.lists(
        st.tuples(st.sampled_from([0, 12, 50, 53, 54, 55, 57, 60]), st.binary(max_size=6)),
        max_size=3,
    ),
    st.sampled_from([0, 0, 0, 1, 60, 250]),
)


def _dhcpv6(kind: int, dst: str, options: list[tuple[int, bytes]], cut: int) -> Move:
    body = bytes((kind,)) + b"\x12\x34\x56"
    for code, data in options:
        body += code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
    return ["udp", 546, dst, 547, body[: len(body) - cut].hex(), 1, 0]


dhcpv6s = st.builds(
    _dhcpv6,
    st.sampled_from([11, 11, 11, 1, 3]),
    st.sampled_from(["ff02::1:2", "ff02::1:2", "fec0::2"]),
    st.lists(
        st.tuples(
            st.sampled_from([6, 6, 1, 5, 8, 25]),
            st.sampled_from([b"\0\x17", b"\0\x17\0\x3b", b"\0\x3b", b"", b"\0", b"clientid"]),
        ),
        max_size=3,
    ),
    st.sampled_from([0, 0, 0, 1, 4]),
)


tftp_hosts = st.sampled_from(["10.0.2.2"] * 4 + ["fec0::2", "10.0.2.3"])
tftp_ports = st.sampled_from([3010, 3010, 3010, 3011])


def _tftp(
    host: str, sport: int, operation: int, name: str, mode: str, options: list[tuple[str, str]],
    cut: int,
) -> Move:  # fmt: skip
    words = [name, mode, *(word for option in options for word in option)]
    body = operation.to_bytes(2, "big") + b"".join(word.encode() + b"\0" for word in words)
    return ["udp", sport, host, 69, body[: len(body) - cut].hex(), 64, 0]


tftp_requests = st.builds(
    _tftp,
    tftp_hosts,
    tftp_ports,
    st.sampled_from([1, 1, 1, 1, 1, 2, 3, 4, 5, 9]),
    # No folders: their size is a matter of the host's file system.
    st.sampled_from(["boot", "/boot", "pxe/menu", "kernel", "empty", "nothing", "../boot",
                     "pxe/../boot", "x" * 600, ""]),
    st.sampled_from(["octet", "octet", "octet", "OCTET", "netascii", ""]),
    st.lists(
        st.tuples(
            st.sampled_from(["tsize", "blksize", "timeout", "BLKSIZE", "windowsize"]),
            st.sampled_from(["0", "512", "1428", "1429", "8", "7", "9000", "-1", "x", "", " 600"]),
        ),
        max_size=4,
    ),
    st.sampled_from([0, 0, 0, 0, 1, 3, 8]),
)  # fmt: skip
tftp_acks = st.builds(
    lambda host, sport, operation, block, cut: [
        "udp", sport, host, 69,
        (bytes((0, operation)) + block.to_bytes(2, "big"))[: 4 - cut].hex(), 64, 0,
    ],
    tftp_hosts,
    tftp_ports,
    st.sampled_from([4, 4, 4, 4, 4, 5, 3]),
    st.integers(0, 4) | st.just(65535),
    st.sampled_from([0, 0, 0, 0, 0, 1, 2]),
)  # fmt: skip
tftp_waits = move("wait", st.sampled_from([1_000, 4_000_000, 4_900_000, 5_100_000, 6_500_000]))


# -- TCP -----------------------------------------------------------------------------------

syns = st.one_of(
    move("syn", hosts, st.sampled_from([8080, 8080, 8080, 8081, 80, 23]),
         st.integers(4000, 4003) | st.just(21), segment_sizes, windows, tos),
    move("syn", hosts6, st.sampled_from([8080, 8080, 8081]), st.integers(4004, 4005),
         segment_sizes, windows, 0),
)  # fmt: skip
guest_openings = move("syn", "10.0.2.2", st.sampled_from([8080] * 6 + [8081]),
                      st.integers(4000, 4003) | st.sampled_from([21, 4000]),
                      segment_sizes, windows, tos)  # fmt: skip
host_openings = move("host_connect", rules, st.sampled_from([None, None, None, 80, 23]))
service_openings = guest_rules.flatmap(
    lambda rule: move("syn", rule[0], rule[1], st.integers(4010, 4012), segment_sizes, windows, tos)
)
data = move("data", numbers, sizes, st.sampled_from([0, PSH, PSH, PSH, FIN]), windows)
acks = move("data", numbers, 0, 0, windows)
sends = move("host_send", numbers, st.sampled_from([1, 2, 100, 1460, 3000, 10000, 20000]),
             st.sampled_from([False] * 9 + [True]))  # fmt: skip
offsets = st.sampled_from([0, 0, 0, 1, -1, 5, -5, 100, -100, 1460, -1460, 70000, -70000])
# fmt: off
flags = st.sampled_from(
    [ACK, ACK, ACK, ACK | PSH, ACK | FIN, RST, RST | ACK, SYN, SYN | ACK, FIN, 0, 63, ACK | URG,
     PSH, SYN | FIN, SYN | RST]
)
# fmt: on
segments = move(
    "segment", numbers, flags, sizes, offsets, offsets, windows, st.sampled_from([0, 0, 1, 5, 100])
)
ends = st.one_of(
    move("host_close", numbers, st.booleans()),
    move("host_shutdown", numbers),
    move("data", numbers, st.sampled_from([0, 5]), FIN, windows),
    move("rst", numbers),
)
traffic = st.one_of(data, data, data, sends, sends, acks, segments, move("wait", quiet))


def _flat(scenes: list[Scene]) -> Scene:
    return [one for each in scenes for one in each]


connections: Strategy[Scene] = st.tuples(
    st.one_of(
        scene(guest_openings),
        scene(guest_openings),
        scene(syns),
        scene(syns),
        scene(host_openings),
        scene(host_openings, move("synack", numbers, segment_sizes, windows)),
    ),
    st.lists(traffic, min_size=2, max_size=14),
    st.lists(st.one_of(ends, ends, traffic), max_size=5),
    st.lists(move("wait", waits), max_size=1),
).map(lambda parts: _flat(list(parts)))

silences: Strategy[Scene] = st.tuples(
    scene(move("habits", st.booleans(), True, False)),
    scene(st.one_of(guest_openings, host_openings)),
    st.lists(sends, min_size=1, max_size=3),
    st.lists(st.one_of(move("wait", waits), acks), min_size=1, max_size=6),
).map(lambda parts: _flat(list(parts)))
"""Data that nobody acknowledges for a while: retransmission, persist, giving up."""

late = st.sampled_from([0, -1460, -2920, -100])
bulk: Strategy[Scene] = st.tuples(
    scene(move("habits", True, True, False)),
    scene(st.one_of(guest_openings, host_openings)),
    st.lists(move("host_send", numbers, st.sampled_from([1460, 10000, 20000]), False),
             min_size=1, max_size=3),
    st.lists(
        st.one_of(
            acks,
            move("segment", numbers, ACK, 0, 0, late, windows, 0),
            move("data", numbers, sizes, PSH, windows),
            move("wait", quiet | waits),
        ),
        min_size=4,
        max_size=20,
    ),
    st.lists(ends, max_size=3),
).map(lambda parts: _flat(list(parts)))  # fmt: skip
"""Much data for a guest that acknowledges late, partly, twice, with windows of all sizes."""

holes: Strategy[Scene] = st.tuples(
    scene(st.one_of(guest_openings, host_openings)),
    st.lists(
        move("segment", numbers, st.sampled_from([ACK, ACK | PSH, ACK | FIN]),
             st.sampled_from([1, 100, 500, 1460]),
             st.sampled_from([0, 50, 100, 200, 500, 1000, 1460, 2920]), 0, windows, 0),
        min_size=1,
        max_size=8,
    ),
    st.lists(move("data", numbers, sizes, PSH, windows), min_size=1, max_size=4),
    st.lists(ends, max_size=3),
).map(lambda parts: _flat(list(parts)))  # fmt: skip
"""The guest's segments out of order, twice, overlapping."""

concurrent: Strategy[Scene] = st.tuples(
    st.lists(
        st.one_of(syns, guest_openings, host_openings, service_openings), min_size=2, max_size=5
    ),
    st.lists(st.one_of(traffic, traffic, answers, udps), min_size=4, max_size=16),
    st.lists(ends, max_size=5),
).map(lambda parts: _flat(list(parts)))
"""Several connections at once, whose frames share the queues."""

unresolved: Strategy[Scene] = st.tuples(
    scene(move("habits", False, True, True)),
    st.lists(
        st.one_of(
            host_openings,
            answers,
            sends,
            udps,
            move("wait", st.sampled_from([500_000, 998_000, 999_000, 1_000_000, 1_001_000])),
        ),
        min_size=2,
        max_size=8,
    ),
    scene(arps | neighbour_discovery, move("habits", True, True, True)),
    st.lists(st.one_of(sends, answers, traffic, move("wait", waits)), max_size=4),
).map(lambda parts: _flat(list(parts)))
"""Frames that wait for a neighbour that answers late or never."""

slow_hosts: Strategy[Scene] = st.tuples(
    scene(st.one_of(guest_openings, guest_openings, host_openings)),
    scene(move("accept_bytes", numbers, st.sampled_from([0, 0, 1, 100, 1460, 5000]))),
    st.lists(
        st.one_of(
            move("data", numbers, st.sampled_from([1, 100, 1000, 1460]),
                 st.sampled_from([0, PSH, PSH, FIN]), windows),
            move("accept_bytes", numbers, st.sampled_from([None, 0, 1, 50, 1460])),
            segments,
            sends,
            move("wait", quiet | waits),
        ),
        min_size=3,
        max_size=14,
    ),
    st.lists(move("accept_bytes", numbers, st.none()) | ends, max_size=3),
).map(lambda parts: _flat(list(parts)))  # fmt: skip
"""Programs that take only so much of what the guest sends."""

service_moves = st.one_of(
    move("guestfwd_send", numbers, st.sampled_from([0, 1, 5, 100, 1460, 5000, 70_000])),
    move("guestfwd_send", 0, st.sampled_from([1, 100, 1460, 5000])),
    data,
    data,
    sends,
    acks,
    segments,
    move("wait", quiet),
)
services: Strategy[Scene] = st.tuples(
    scene(service_openings),
    st.lists(service_moves, min_size=2, max_size=10),
    st.lists(
        st.one_of(ends, ends, move("guestfwd_remove", numbers), service_openings, service_moves),
        max_size=4,
    ),
    st.lists(move("wait", waits), max_size=1),
).map(lambda parts: _flat(list(parts)))
"""``guestfwd=``: a program of QEMU's own behind an address, and a Unix socket."""

advertised: Strategy[Scene] = scene(
    neighbour_discovery, move("wait", st.sampled_from([199_000_000, 200_000_000, 600_000_000]))
)
"""Router advertisements come by themselves (``ra_interval_ms``)."""

edits = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([0, 1, 255]) | st.integers(0, 255)).map(list),
    max_size=3,
)
mangles = move("mangle", edits, st.none() | st.integers(0, 100), st.booleans())
frames = st.one_of(
    arps,
    pings,
    udps,
    icmps,
    packets6,
    dhcpv6s,
    neighbour_discovery,
    dhcps,
    tftp_requests,
    segments,
    syns,
)
ncsi = st.builds(
    lambda kind, data: ["raw", (b"\xff" * 6 + GUEST_MAC + b"\x88\xf8" + kind + data).hex()],
    st.sampled_from([0, 1, 2, 3, 5, 8, 9, 21, 24, 80, 255]).map(
        lambda kind: bytes((0, 1, 0, 7, kind, 0, 0, 0)) + bytes(8)
    ),
    st.binary(max_size=30),
)
"""Commands for the network controller (NC-SI)."""
malformed = st.one_of(
    scene(ncsi),
    scene(mangles, frames),
    scene(mangles, move("data", numbers, sizes, PSH, windows)),
    scene(st.binary(min_size=14, max_size=80).map(lambda raw: ["raw", raw.hex()])),
)

SCENES: list[Strategy[Scene]] = [
    connections,
    connections,
    silences,
    bulk,
    bulk,
    holes,
    st.lists(st.one_of(arps, pings, udps, answers, fragments, neighbour_discovery), max_size=5),
    concurrent,
    unresolved,
    slow_hosts,
    slow_hosts,
    services,
    services,
    advertised,
    scene(ip_options, st.one_of(pings, udps, syns, dhcps, segments)),
    st.lists(ip_options | scattered | fragments, min_size=2, max_size=5),
    scene(tcp_options, st.one_of(syns, guest_openings, data, segments), data),
    st.lists(icmps | packets6 | pings, min_size=1, max_size=3),
    st.lists(dhcps, min_size=1, max_size=3),
    st.lists(dhcpv6s | neighbour_discovery, min_size=1, max_size=3),
    st.tuples(tftp_requests, st.lists(tftp_acks | tftp_waits | tftp_requests, max_size=6)).map(
        lambda t: [t[0], *t[1]]
    ),
    scene(fragments | scattered, move("wait", st.sampled_from([1_000, 31_000_000]))),
    st.lists(scattered | fragments, min_size=1, max_size=4),
    scene(udps, answers),
    scene(udps, udps, answers),
    scene(udps, answers, move("wait", expiries), udps, answers),
    scene(pings, move("wait", expiries)),
    malformed,
    scene(move("forward", st.booleans(), rules), host_openings),
    scene(move("forward", False, rules), move("forward", True, rules), host_openings),
    scene(move("habits", st.booleans(), st.booleans(), st.booleans())),
    scene(move("wait", waits)),
]
mixed = st.lists(st.one_of(SCENES), min_size=2, max_size=10)
focused = st.lists(st.sampled_from(SCENES), min_size=1, max_size=3).flatmap(
    lambda few: st.lists(st.one_of(few), min_size=2, max_size=10)
)
"""Few kinds of scenes, again and again: they come to states that a mixture never reaches."""

CHANGES: list[tuple[str, Any]] = [
    ("kick", False),
    ("kick", False),
    ("in6_enabled", False),
    ("restricted", True),
    ("restricted", True),
    ("ra_interval_ms", 200_000),
    ("ra_interval_ms", 599_999),
    ("ra_interval_ms", 1_000),
    ("ra_interval_ms", 333),
    ("hostname", "vm"),
    ("domainname", "example.org"),
    ("bootfile", "boot"),
    ("tftp_server_name", "10.0.2.2"),
    ("dnssearch", ["example.org", "a.example.org"]),
    ("if_mtu", 1400),
    ("if_mtu", 600),
    ("if_mtu", 9000),
    ("disable_host_loopback", True),
    ("disable_dns", True),
    ("disable_dhcp", True),
    ("tftp", False),
    ("clock_start_ns", 0),
    ("clock_start_ns", 100_000_000),
    ("clock_start_ns", 5_000_000_000),
    # Without a listening socket the slow timer rests, which shows in when the loop wakes.
    ("hostfwd", []),
    ("hostfwd", CONFIG["hostfwd"][:1]),
    ("guestfwd", []),
    ("guestfwd", CONFIG["guestfwd"][:1]),
]
configs = st.lists(st.sampled_from(CHANGES), max_size=3).map(dict)
habits = st.fixed_dictionaries(
    {
        "resolves": st.sampled_from([True, True, True, True, True, False]),
        "opens": st.sampled_from([True, True, True, True, True, False]),
        "acks": st.sampled_from([True, True, False]),
    }
)
scripts: Strategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "config": configs,
        "guest": habits,
        "moves": (mixed | focused).map(_flat),
    }
)
