"""``udhcpc`` of busybox 1.35 (networking/udhcp/dhcpc.c): the DHCP client of the recorded guest.

Theory of operation
-------------------
It talks through packet sockets, because it has no address yet: one that listens
(with a filter for UDP port 68), and a new one for each message it sends. DISCOVER is
sent up to ``-t`` times, ``-T`` seconds apart; an OFFER makes it send REQUEST up to three
times; an ACK ends the exchange, a NAK starts it again. Waiting is counted in whole
seconds of the clock, as the real one does, so a message that is ignored can make a
wait up to a second longer. The ``secs`` field is the difference of such whole seconds.

With a lease it does what the usual script does: sets the address and the default
route, and writes name servers and domain to /etc/resolv.conf (all in the two calls that
set address and route: the script's own processes are not there).

Not modelled: renewing (``-q``, exit with the lease, is required), background operation,
scripts, ARP probes and extra options (refused when a line is read).
"""

from __future__ import annotations

from desim.ports import POLLIN
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.busybox import BANNER
from desim.userland.programs.getopt import GetoptError, getopt, unmodelled
from desim.userland.programs.output import err
from desim.userland.uapi import SO_ATTACH_FILTER
from desim.wire import dhcp
from desim.wire.addresses import BROADCAST_MAC, IP_ANY, IP_BROADCAST, ip_text, prefix_from_mask
from desim.wire.dhcp import Dhcp, Option
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_IP
from desim.wire.ipv4 import PROTO_UDP, Ipv4
from desim.wire.udp import Udp

NS = 1_000_000_000
VERSION = "1.35.0"
MAX_MESSAGE = 576
PARAMETERS = bytes((1, 3, 6, 12, 15, 28, 42))
REQUESTS = 3
DEFAULT_LEASE_S = 3600

SPEC = "CV:F:i:np:qRr:s:T:t:SA:O:ox:fBba:"
MODELLED = "AfinqtT"
NUMBERS = "tTA"


class Options:
    """The command line."""

    def __init__(self, argv: list[str]) -> None:
        options, operands = getopt(argv, SPEC)
        if operands:
            raise GetoptError("")
        values = dict(options)
        self.device = values.get("i", "eth0")
        self.once = "n" in values
        self.retries = int(values.get("t", "3"))
        self.pause_s = int(values.get("T", "3"))
        self.again_s = int(values.get("A", "20"))


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    problem = unmodelled(argv, SPEC, MODELLED)
    if problem:
        return problem
    try:
        options, _ = getopt(argv, SPEC)
    except GetoptError:
        return None
    for letter, value in options:
        if letter in NUMBERS and not (value.isascii() and value.isdigit() and len(value) < 10):
            return f"udhcpc: -{letter} {value!r} is not a number"
    if not any(letter == "q" for letter, _ in options):
        return "udhcpc: renewing a lease is not modelled; -q (exit with the lease) is required"
    return None


def udhcpc(argv: list[str]) -> Program:
    """``udhcpc_main``."""
    try:
        options = Options(argv)
    except GetoptError as error:
        yield from err((f"udhcpc: {error}\n" if str(error) else "") + BANNER)
        return 1
    return (yield from Client(options).run())


class Client:
    """One run: the state that dhcpc.c keeps in ``client_data`` and its main function."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.mac = b""
        self.xid = 0
        self.listener = -1
        self.first_secs: int | None = None
        self.server = IP_ANY
        self.requested = IP_ANY

    def run(self) -> Program:
        """Until there is a lease: 0; with ``-n`` until there is none: 1."""
        if not (yield from self._read_interface()):
            yield from err("udhcpc: SIOCGIFINDEX: No such device\n")
            return 1
        yield from err(f"udhcpc: started, v{VERSION}\n")
        while True:
            lease = yield from self._select()
            if lease is not None:
                return (yield from self._bound(lease))
            if self.listener >= 0:
                yield from sys.close(self.listener)
                self.listener = -1
            if self.options.once:
                yield from err("udhcpc: no lease, failing\n")
                return 1
            yield from sys.sleep_ns(self.options.again_s * NS)

    def _read_interface(self) -> Part[bool]:
        interfaces = yield from sys.interfaces()
        for interface in interfaces:
            if interface.name == self.options.device:
                self.mac = interface.hardware
                return True
        return False

    def _select(self) -> Part[Dhcp | None]:
        """DISCOVER until there is an offer, then REQUEST it. None if that failed."""
        sent = 0
        while not self.options.retries or sent < self.options.retries:
            if sent == 0:
                yield from self._change_listen_mode_raw()
                self.xid = yield from sys.random("udhcpc", 1 << 31)
            yield from err("udhcpc: broadcasting discover\n")
            yield from self._send(dhcp.DHCPDISCOVER)
            sent += 1
            offer = yield from self._receive((dhcp.DHCPOFFER,))
            if offer is None:
                continue
            server = offer.option(dhcp.OPT_SERVER_ID)
            if server is None or len(server) != 4:
                yield from err("udhcpc: no server ID, using 0.0.0.0\n")
                server = IP_ANY
            self.server, self.requested = server, offer.yiaddr
            answer = yield from self._request()
            if answer is None:
                return None
            if answer.message_type == dhcp.DHCPACK:
                return answer
            yield from err("udhcpc: received DHCP NAK\n")
            yield from sys.close(self.listener)
            self.listener = -1
            self.requested, self.first_secs = IP_ANY, None
            yield from sys.sleep_ns(3 * NS)  # avoids a storm of requests, as the real one does
            sent = 0
        return None

    def _request(self) -> Part[Dhcp | None]:
        for _ in range(REQUESTS):
            yield from err(
                f"udhcpc: broadcasting select for {ip_text(self.requested)}, "
                f"server {ip_text(self.server)}\n"
            )
            yield from self._send(dhcp.DHCPREQUEST)
            answer = yield from self._receive((dhcp.DHCPACK, dhcp.DHCPNAK))
            if answer is not None:
                return answer
        return None

    def _bound(self, lease: Dhcp) -> Program:
        yield from sys.close(self.listener)
        raw = lease.option(dhcp.OPT_LEASE_TIME)
        given = raw is not None and len(raw) == 4
        seconds = int.from_bytes(raw, "big") if raw is not None and given else DEFAULT_LEASE_S
        yield from err(
            f"udhcpc: lease of {ip_text(lease.yiaddr)} obtained from {ip_text(self.server)}, "
            f"lease time {seconds}{'' if given else ' (default)'}\n"
        )
        device = self.options.device
        try:
            yield from sys.set_address(device, lease.yiaddr, _prefix(lease), _resolv_conf(lease))
            router = lease.option(dhcp.OPT_ROUTER)
            if router is not None and len(router) >= 4:
                yield from sys.add_route(IP_ANY, 0, router[:4], device)
        except OSError as error:
            # The script's own message; udhcpc does not look at how it ended.
            yield from err(f"ifconfig: SIOCSIFADDR: {error.strerror}\n")
        return 0

    def _packet_socket(self) -> Part[int]:
        fd = yield from sys.socket("packet")
        yield from sys.bind_device(fd, self.options.device)
        return fd

    def _change_listen_mode_raw(self) -> Part[None]:
        self.listener = yield from self._packet_socket()
        yield from sys.setsockopt(self.listener, SO_ATTACH_FILTER, dhcp.CLIENT_PORT)

    def _send(self, kind: int) -> Part[None]:
        """``udhcp_send_raw_packet``: through a socket of its own."""
        yield from self._read_interface()
        packet = yield from self._message(kind)
        segment = Udp(dhcp.CLIENT_PORT, dhcp.SERVER_PORT, packet.emit(size=dhcp.UDHCPC_LEN))
        datagram = segment.emit(IP_ANY, IP_BROADCAST)
        fd = -1
        try:
            fd = yield from self._packet_socket()
            data = Ipv4(IP_ANY, IP_BROADCAST, PROTO_UDP, datagram).emit()
            yield from sys.sendto(fd, data, (BROADCAST_MAC, ETH_P_IP))
        except OSError as error:
            yield from err(f"udhcpc: sendto: {error.strerror}\n")
        if fd >= 0:
            yield from sys.close(fd)

    def _message(self, kind: int) -> Part[Dhcp]:
        now = yield from _monotonic_s()
        if self.first_secs is None:
            self.first_secs = now
        options: list[Option] = [(dhcp.OPT_MESSAGE_TYPE, bytes((kind,)))]
        if kind == dhcp.DHCPREQUEST:
            options.append((dhcp.OPT_REQUESTED_IP, self.requested))
            if self.server != IP_ANY:
                options.append((dhcp.OPT_SERVER_ID, self.server))
        options += [
            (dhcp.OPT_MAX_SIZE, MAX_MESSAGE.to_bytes(2, "big")),
            (dhcp.OPT_PARAMETERS, PARAMETERS),
            (dhcp.OPT_VENDOR_CLASS, f"udhcp {VERSION}".encode()),
            (dhcp.OPT_CLIENT_ID, b"\x01" + self.mac),
        ]
        secs = min(now - self.first_secs, 0xFFFF)
        return Dhcp(dhcp.BOOTREQUEST, self.xid, self.mac, options, secs=secs)

    def _receive(self, kinds: tuple[int, ...]) -> Part[Dhcp | None]:
        """The answer to what was sent last, of one of ``kinds``; None at the timeout."""
        timeout_s = self.options.pause_s
        while timeout_s > 0:
            before = yield from _monotonic_s()
            found = yield from sys.poll([(self.listener, POLLIN)], timeout_s * NS)
            if not found[0][1]:
                return None
            after = yield from _monotonic_s()
            timeout_s -= after - before
            try:
                data, _ = yield from sys.recvfrom(self.listener, 2048)
            except OSError as error:
                yield from err(f"udhcpc: read error: {error.strerror}, reopening socket\n")
                yield from sys.sleep_ns(self.options.pause_s * NS)
                yield from sys.close(self.listener)
                yield from self._change_listen_mode_raw()
                continue
            message = self._parse(data)
            if message is not None and message.message_type in kinds:
                return message
        return None

    def _parse(self, data: bytes) -> Dhcp | None:
        """The message in an IP packet, if it is whole and for this client."""
        try:
            packet = Ipv4.parse(data)
            if packet.protocol != PROTO_UDP or packet.fragment or not packet.sum_ok:
                return None
            datagram = Udp.parse(packet.payload, packet.src, packet.dst)
            if datagram.dport != dhcp.CLIENT_PORT or not datagram.sum_ok:
                return None
            message = Dhcp.parse(datagram.payload, lenient=True)
        except WireError:
            return None
        return message if message.xid == self.xid and message.chaddr == self.mac else None


def _monotonic_s() -> Part[int]:
    now = yield from sys.now()
    return now // NS


def _prefix(lease: Dhcp) -> int:
    mask = lease.option(dhcp.OPT_NETMASK)
    try:
        return prefix_from_mask(mask) if mask is not None else 24
    except WireError:
        return 24


def _resolv_conf(lease: Dhcp) -> str:
    """What the script writes to /etc/resolv.conf."""
    domain = (lease.option(dhcp.OPT_DOMAIN) or b"").rstrip(b"\0").decode("ascii", "replace")
    servers = lease.option(dhcp.OPT_DNS) or b""
    lines = [f"search {domain}\n"] if domain else []
    for at in range(0, len(servers) - 3, 4):
        lines.append(f"nameserver {ip_text(servers[at : at + 4])}\n")
    return "".join(lines)
