"""Plays a script of moves against the real library, which makes it a recording.

A script is plain data, so that it can be generated, shrunk, and sent to another process:
``{"config": {...}, "guest": {...}, "moves": [[name, argument...], ...]}``. A move that
makes no sense at its moment (data on a connection that is not there) is left out, so any
part of a script is a script.

Not played: what the library is known to do wrong, by the four names below. Such frames are
left out and counted by name, also those that the guest would send by itself.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

from desim.against.libslirp.guest import (
    ACK,
    FIN,
    HOST,
    ICMP,
    ICMP6,
    ISN,
    RST,
    SYN,
    TCP,
    URG,
    Connection,
    Guest,
    arp,
    datagram,
    ipv4,
    ipv6,
    mangled,
    packet,
    with_ip_options,
)
from desim.against.libslirp.recorder import START_NS, Recorder
from desim.conform.slirp.recordings import Recording
from desim.slirp.tcp_var import seq_gt
from desim.wire.addresses import ip

ANSWERS_MAX = 200
"""Frames that the guest sends by itself in answer to one move."""

FRAGMENT_ORDER = "a fragment out of order (Debian's library is miscompiled: it crashes)"
URGENT_BEYOND_DATA = "an urgent pointer beyond the data (the library reads beyond its buffer)"
URGENT_TO_UNIX = "urgent data for a Unix socket (a matter of how the kernel is configured)"
RULE_IN_USE = "a guestfwd rule removed under its connections (the library uses it after free)"

FRAGMENT_MAX = 1480
FRAGMENT_LIFE_NS = 20_000_000_000
"""Less than the library keeps an incomplete datagram: later its next fragment is a first one."""

TFTP_FILES: dict[str, dict[str, Any]] = {
    "boot": {"pattern": [5, 0, 1300]},
    "pxe/menu": {"pattern": [6, 0, 512]},
    "kernel": {"pattern": [7, 0, 70_000]},
    "empty": {"hex": ""},
}
RESOLVERS = ["127.0.0.1", "::1"]

CONFIG: dict[str, Any] = {
    "net": "10.0.2.0",
    "mask": "255.255.255.0",
    "host": "10.0.2.2",
    "dns": "10.0.2.3",
    "dhcp_start": "10.0.2.15",
    "in_enabled": True,
    "in6_enabled": True,
    "prefix6": "fec0::",
    "prefix6_len": 64,
    "host6": "fec0::2",
    "dns6": "fec0::3",
    "restricted": False,
    "hostname": None,
    "domainname": None,
    "dnssearch": [],
    "tftp_server_name": None,
    "bootfile": None,
    "tftp": True,
    "tftp_files": TFTP_FILES,
    "if_mtu": 0,
    "if_mru": 0,
    "disable_host_loopback": False,
    "disable_dns": False,
    "disable_dhcp": False,
    "clock_start_ns": START_NS,
    "host_resolvers": RESOLVERS,
    "ra_interval_ms": None,
    "kick": True,
    "guestfwd": [
        {"addr": "10.0.2.100", "port": 1234, "kind": "callback"},
        {"addr": "10.0.2.101", "port": 80, "kind": "unix", "listener": "w"},
    ],
    "hostfwd": [
        {"proto": "tcp", "host": ["127.0.0.1", 2222], "guest": ["10.0.2.15", 22]},
        {"proto": "tcp", "host": ["127.0.0.1", 2121], "guest": ["10.0.2.15", 21]},
        {"proto": "udp", "host": ["127.0.0.1", 5000], "guest": ["10.0.2.15", 7]},
        {"proto": "tcp", "host": ["::1", 2222], "guest": ["fec0::5054:ff:fe12:3456", 22]},
        {"proto": "udp", "host": ["::1", 5000], "guest": ["fec0::5054:ff:fe12:3456", 7]},
    ],
}
"""QEMU's defaults, with everything switched on that can be."""

FORWARDED = (
    ("127.0.0.1", 2222),
    ("127.0.0.1", 2121),
    ("::1", 2222),
    ("127.0.0.1", 4444),
    ("::1", 4444),
)
"""What a program connects to; nothing listens on the last two until a move adds it."""
GUEST_RULES = (("10.0.2.100", 1234), ("10.0.2.101", 80), ("10.0.2.102", 80))
"""Addresses with something behind them, and one without."""
UNIX_RULE = ip("10.0.2.101")


class Player:
    """One script on its way to being a recording."""

    def __init__(self, script: dict[str, Any], tftp_path: str) -> None:
        self.script = script
        self.guest = Guest(**script["guest"])
        self.recorder = Recorder({**CONFIG, **script["config"]}, tftp_path)
        self.excluded: Counter[str] = Counter()
        self._mangle: list[Any] | None = None
        self._ip_options = b""
        self._tcp_options = b""
        self._fragments: dict[bytes, tuple[list[tuple[int, int, bool]], int]] = {}
        """Start, end and "more" of what the library has of each datagram; since when."""
        self._clients = 0
        self._sources: set[int] = set()
        self._sent: dict[str, int] = {}

    def play(self) -> Recording:
        """Play all of it."""
        recorder = self.recorder
        for listener, address in (("s", "127.0.0.1"), ("s6", "::1")):
            self._look(recorder.host_listen(listener, (address, 8080)))
        for sock, address, port in (
            ("u", "127.0.0.1", 9000),
            ("u6", "::1", 9000),
            ("dns", "127.0.0.1", 53),
            ("c", "127.0.0.1", 61000),
            ("c6", "::1", 61000),
        ):
            self._look(recorder.udp_bind(sock, (address, port)))
        for move, *arguments in self.script["moves"]:
            getattr(self, f"_do_{move}")(*arguments)
        return recorder.recording("conversation", "Found by desim fuzz --against libslirp.")

    # -- the guest's frames ------------------------------------------------------------

    def _send(self, raw: bytes) -> None:
        defect = None
        if self._ip_options:
            raw = with_ip_options(raw, self._ip_options)
            self._ip_options = b""
        if self._mangle is not None:
            raw = mangled(raw, *self._mangle)
            self._mangle = None
            if raw[12:14] == b"\x08\0" and int.from_bytes(raw[20:22], "big") & 0x3FFF:
                # Nobody knows whether the library takes it, and so which is the next one.
                defect = FRAGMENT_ORDER
        self._look(self._answered(raw, defect))

    def _answered(self, raw: bytes, defect: str | None = None) -> list[bytes]:
        """What the library sends for ``raw``; nothing if that is left out."""
        defect = defect or self._defect(raw)
        if defect is None:
            return self.recorder.guest_frame(raw)
        self.excluded[defect] += 1
        return []

    def _look(self, frames: list[bytes]) -> None:
        """The guest sees ``frames``, answers, sees what comes of that, and so on."""
        for raw in frames:
            self.guest.saw(raw)
        for _ in range(ANSWERS_MAX):
            if not self.guest.answers:
                return
            for answer in self._answered(self.guest.answers.popleft()):
                self.guest.saw(answer)
        self.guest.answers.clear()

    def _defect(self, raw: bytes) -> str | None:
        """What the library is known to do wrong with ``raw``."""
        if raw[12:14] == b"\x08\0" and len(raw) >= 34:
            field = int.from_bytes(raw[20:22], "big")
            if field & 0x3FFF and self._out_of_order(raw, field):
                return FRAGMENT_ORDER
            protocol, tcp = raw[23], raw[14 + (raw[14] & 15) * 4 :]
            tcp = tcp[: max(0, int.from_bytes(raw[16:18], "big") - (raw[14] & 15) * 4)]
        elif raw[12:14] == b"\x86\xdd" and len(raw) >= 54:
            protocol, tcp = raw[20], raw[54 : 54 + int.from_bytes(raw[18:20], "big")]
        else:
            return None
        if protocol == TCP and len(tcp) >= 20 and tcp[13] & URG:
            if self._beyond(tcp):
                return URGENT_BEYOND_DATA
            if raw[30:34] == UNIX_RULE:
                return URGENT_TO_UNIX
        return None

    def _beyond(self, tcp: bytes) -> bool:
        """Whether urgent data is announced before all data up to it has arrived."""
        sport, dport, seq = struct.unpack("!HHI", tcp[:8])
        if int.from_bytes(tcp[18:20], "big") > len(tcp) - (tcp[12] >> 4 << 2):
            return True
        return any(
            seq_gt(seq, conn.acked)
            for conn in self.guest.connections
            if conn.port == sport and conn.remote[1] == dport
        )

    def _out_of_order(self, raw: bytes, field: int) -> bool:
        """Whether a fragment is a last one alone, or begins before one that the library has.

        A datagram that may be complete counts as forgotten, as does an old one.
        """
        key = raw[18:20] + raw[23:24] + raw[26:34]
        size = int.from_bytes(raw[16:18], "big") - (raw[14] & 15) * 4
        start = (field & 0x1FFF) * 8
        now = self.recorder.time_ns
        parts, since = self._fragments.get(key, ([], now))
        if now - since > FRAGMENT_LIFE_NS:
            parts, since = [], now
        more = field & 0x2000 != 0
        if start < parts[-1][0] if parts else not more:
            return True
        parts = [*parts, (start, start + size, more)]
        self._fragments[key] = (parts, since)
        if _may_be_whole(parts):
            del self._fragments[key]
        return False

    def _do_mangle(self, edits: list[list[int]], cut: int | None, mend: bool) -> None:
        """The guest's next frame of a move has these bytes changed."""
        self._mangle = [[(at, value) for at, value in edits], cut, mend]

    def _do_ip_options(self, options: str) -> None:
        """The guest's next frame of a move has these options in its IPv4 header."""
        self._ip_options = bytes.fromhex(options)

    def _do_tcp_options(self, options: str) -> None:
        """So has the guest's next segment of a move in its TCP header."""
        self._tcp_options = bytes.fromhex(options)

    def _do_raw(self, data: str) -> None:
        self._send(bytes.fromhex(data))

    def _do_arp(self, operation: int, target: str) -> None:
        self._send(arp(operation, ip(target)))

    def _do_ping(self, dst: str, size: int, ttl: int, tos: int) -> None:
        echo = (b"\x80" if ":" in dst else b"\x08") + bytes.fromhex("00000000070001") + bytes(size)
        protocol = ICMP6 if ":" in dst else ICMP
        self._send(packet(ip(dst), protocol, echo, ttl=ttl, tos=tos))

    def _do_icmp(self, dst: str, message: str, ttl: int) -> None:
        self._send(packet(ip(dst), ICMP, bytes.fromhex(message), ttl=ttl))

    def _do_ipv6(self, dst: str, protocol: int, payload: str, ttl: int) -> None:
        """Whatever follows an IPv6 header: extension headers, fragments, no protocol of ours."""
        self._send(ipv6(ip(dst), protocol, bytes.fromhex(payload), ttl=ttl))

    def _do_icmp6(self, dst: str, message: str) -> None:
        self._send(packet(ip(dst), ICMP6, bytes.fromhex(message), ttl=255))

    def _do_udp(self, sport: int, dst: str, dport: int, data: str, ttl: int, tos: int) -> None:
        self._send(datagram(sport, ip(dst), dport, bytes.fromhex(data), ttl=ttl, tos=tos))

    def _do_fragments(self, udp: bool, size: int, cut: int, ident: int, count: int) -> None:
        """The first ``count`` of the fragments of a datagram, ``8 * cut`` bytes in each."""
        whole = _whole(udp, size)
        for start in range(0, len(whole), 8 * cut)[:count]:
            self._fragment(udp, ident, whole, start, start + 8 * cut)

    def _do_scattered(
        self, udp: bool, size: int, cut: int, ident: int, order: list[list[int]]
    ) -> None:
        """Some fragments, some twice; each begins and ends some words off its place."""
        whole = _whole(udp, size)
        starts = range(0, len(whole), 8 * cut)
        for number, before, behind in order:
            start = starts[number % len(starts)]
            end = start + 8 * (cut + behind)
            self._fragment(udp, ident, whole, max(0, start - 8 * before), end)

    def _fragment(self, udp: bool, ident: int, whole: bytes, start: int, end: int) -> None:
        more = 0x2000 if end < len(whole) else 0
        protocol = 17 if udp else ICMP
        part = whole[start:end][:FRAGMENT_MAX]
        self._send(ipv4(HOST, protocol, part, ident=ident, offset=more | start // 8))

    # -- the guest's TCP ---------------------------------------------------------------

    def _options(self) -> bytes:
        options, self._tcp_options = self._tcp_options, b""
        return options

    def _connection(self, number: int) -> Connection | None:
        known = self.guest.connections
        return known[number % len(known)] if known else None

    def _do_syn(
        self, dst: str, dport: int, sport: int, mss: int | None, window: int, tos: int
    ) -> None:
        conn = Connection(sport, (ip(dst), dport), mss=mss, snd_nxt=ISN + 1)
        self.guest.connections.append(conn)
        options = self._options()
        self._send(conn.segment(SYN, seq=ISN, window=window, tos=tos, options=options))

    def _do_synack(self, number: int, mss: int | None, window: int) -> None:
        asked = [conn for conn in self.guest.connections if conn.asked]
        if asked:
            conn = asked[number % len(asked)]
            conn.mss = mss
            self._send(self.guest.opened(conn, window))

    def _do_data(self, number: int, size: int, flags: int, window: int) -> None:
        """The next ``size`` bytes of a connection, and perhaps its end (FIN)."""
        conn = self._connection(number)
        if conn is not None:
            data = bytes((conn.snd_nxt + i) & 255 for i in range(size))
            options = self._options()
            raw = conn.segment(flags | ACK, data=data, window=window, options=options)
            conn.snd_nxt += size + (flags & FIN)
            self._send(raw)

    def _do_segment(
        self,
        number: int,
        flags: int,
        size: int,
        seq: int,
        ack: int,
        window: int,
        urgent: int,
    ) -> None:
        """Any segment, ``seq`` and ``ack`` bytes beside the right place."""
        conn = self._connection(number)
        if conn is not None:
            self._send(
                conn.segment(
                    flags,
                    data=bytes((conn.snd_nxt + seq + i) & 255 for i in range(size)),
                    seq=conn.snd_nxt + seq,
                    ack=conn.rcv_nxt + ack,
                    window=window,
                    urgent=urgent,
                    options=self._options(),
                )
            )

    def _do_rst(self, number: int) -> None:
        conn = self._connection(number)
        if conn is not None:
            self._send(conn.segment(RST))

    def _do_habits(self, resolves: bool, opens: bool, acks: bool) -> None:
        """From now on the guest answers this by itself."""
        self.guest.resolves, self.guest.opens, self.guest.acks = resolves, opens, acks

    # -- time, and the host's programs -------------------------------------------------

    def _do_wait(self, duration_us: int) -> None:
        self._look(self.recorder.advance(duration_us * 1000))

    def _do_host_connect(self, which: int, source: int | None) -> None:
        self._clients += 1
        # A port of its own choice is free only once: the kernel remembers old connections.
        port = 61000 + self._clients
        if source and source not in self._sources:  # 0: whichever the kernel likes
            self._sources.add(source)
            port = source
        to = FORWARDED[which % len(FORWARDED)]
        source_address = "::1" if to[0] == "::1" else "127.0.0.1"
        conn = f"c{self._clients}"
        self._look(self.recorder.host_connect(conn, (source_address, port), to))

    def _program(self, number: int) -> str | None:
        names = self.recorder.open_connections()
        return names[number % len(names)] if names else None

    def _do_host_send(self, number: int, size: int, oob: bool) -> None:
        conn = self._program(number)
        if conn is not None:
            sent = self._sent.get(conn, 0)
            # Beyond that, the kernel's own flow control would show.
            if sent + size <= 60_000:
                self._sent[conn] = sent + size
                self._look(
                    self.recorder.host_send(
                        conn, {"pattern": [1, sent, size]}, oob=oob and not _is_unix(conn)
                    )
                )

    def _do_host_shutdown(self, number: int) -> None:
        conn = self._program(number)
        if conn is not None:
            self._look(self.recorder.host_shutdown(conn))

    def _do_host_close(self, number: int, reset: bool) -> None:
        conn = self._program(number)
        if conn is not None:
            # A Unix socket has no reset that a program could ask for.
            self._look(self.recorder.host_close(conn, reset=reset and not _is_unix(conn)))

    def _do_udp_answer(self, sock: str, size: int) -> None:
        self._look(self.recorder.udp_send(sock, None, {"pattern": [2, 0, size]}))

    def _do_udp_in(self, sock: str, size: int) -> None:
        """A datagram to the forwarded port."""
        to = ("::1" if sock == "c6" else "127.0.0.1", 5000)
        self._look(self.recorder.udp_send(sock, to, {"pattern": [3, 0, size]}))

    def _do_accept_bytes(self, number: int, count: int | None) -> None:
        conn = self._program(number)
        if conn is not None and not _is_unix(conn):
            self._look(self.recorder.host_accept_bytes(conn, count))

    def _do_guestfwd_send(self, which: int, size: int) -> None:
        address, port = GUEST_RULES[which % len(GUEST_RULES)]
        self._look(self.recorder.guestfwd_send(address, port, {"pattern": [4, 0, size]}))

    def _do_guestfwd_remove(self, which: int) -> None:
        address, port = GUEST_RULES[which % len(GUEST_RULES)]
        if any(conn.remote == (ip(address), port) for conn in self.guest.connections):
            self.excluded[RULE_IN_USE] += 1
        else:
            self._look(self.recorder.guestfwd_remove(address, port))

    def _do_forward(self, add: bool, which: int) -> None:
        rules: list[dict[str, Any]] = [
            *CONFIG["hostfwd"],
            {"proto": "tcp", "host": ["127.0.0.1", 4444], "guest": ["10.0.2.15", 22]},
            {"proto": "tcp", "host": ["127.0.0.1", 4444], "guest": ["0.0.0.0", 22]},
            {"proto": "tcp", "host": ["::1", 4444], "guest": ["fec0::5054:ff:fe12:3456", 22]},
            {"proto": "tcp", "host": ["::1", 4444], "guest": ["::", 22]},
        ]
        rule = rules[which % len(rules)]
        self._look(self.recorder.hostfwd_add(rule) if add else self.recorder.hostfwd_remove(rule))


def _is_unix(conn: str) -> bool:
    return conn.startswith("w.")


def _whole(udp: bool, size: int) -> bytes:
    """The datagram that is sent in fragments, without its IP header."""
    data = bytes(n & 255 for n in range(size))
    if udp:
        return datagram(3000, HOST, 9000, data, ttl=64, tos=0)[34:]
    return packet(HOST, ICMP, bytes.fromhex("0800000000070001") + data)[34:]


def _may_be_whole(parts: list[tuple[int, int, bool]]) -> bool:
    """Whether the fragments leave no gap up to a last one."""
    end = 0
    for start, stop, more in sorted(parts):
        if start > end:
            return False
        end = max(end, stop)
        if not more:
            return True
    return False
