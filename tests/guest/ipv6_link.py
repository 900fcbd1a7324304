"""A guest with IPv6 on a link, what it sends, and what a router behind it may say."""

from __future__ import annotations

from typing import NamedTuple

from fakes_net import SECOND, FakeCpu, FakeDriver, FakeRandom

from desim.guest.cpu.context import NET_RX_SOFTIRQ, NET_TX_SOFTIRQ
from desim.guest.net.stack import NetStack
from desim.wire.addresses import ip, mac, multicast_mac
from desim.wire.ethernet import ETH_P_IPV6, Ethernet
from desim.wire.frame import Frame
from desim.wire.icmpv6 import Icmpv6
from desim.wire.ipv6 import NEXT_HOP_BY_HOP, NEXT_ICMPV6, Ipv6

GUEST_MAC = mac("52:54:00:12:34:56")
ROUTER_MAC = mac("52:56:00:00:00:02")
LINK_LOCAL = ip("fe80::5054:ff:fe12:3456")
SITE_LOCAL = ip("fec0::5054:ff:fe12:3456")
GROUP = ip("ff02::1:ff12:3456")
ROUTER = ip("fe80::2")
ALL_NODES = ip("ff02::1")
ANY = bytes(16)


class Sent(NamedTuple):
    """One ICMPv6 message of the guest, and when it left."""

    time: int
    ip: Ipv6
    icmp: Icmpv6


class Link:
    """A guest whose interface is open; ``plug`` puts the cable in."""

    def __init__(self, salt: str = "") -> None:
        self.cpu = FakeCpu()
        self.log: list[str] = []
        self.stack = NetStack(cpu=self.cpu, random=FakeRandom(salt), ipv6=True, log=self.log.append)
        self.cpu.softirqs[NET_RX_SOFTIRQ] = self.stack.net_rx_action
        self.cpu.softirqs[NET_TX_SOFTIRQ] = self.stack.net_tx_action
        self.device = self.stack.attach("eth0", GUEST_MAC, FakeDriver)
        driver = self.device.driver
        assert isinstance(driver, FakeDriver)
        self.driver = driver
        driver.clock = self.cpu.now
        self.stack.dev_open("eth0")

    def plug(self) -> Link:
        self.device.netif_carrier_on()
        self.cpu.run(0)
        return self

    def settled(self) -> Link:
        """With its link-local address, three seconds after; what it sent is forgotten."""
        self.plug().cpu.run(3 * SECOND)
        self.take()
        return self

    def take(self) -> list[Sent]:
        """What it has sent since the last time; every checksum is right."""
        found = []
        for time, frame in zip(self.driver.sent_at, self.driver.sent, strict=True):
            ethernet = Ethernet.parse(frame.raw)
            assert ethernet.ethertype == ETH_P_IPV6
            assert ethernet.src == GUEST_MAC
            packet = Ipv6.parse(ethernet.payload)
            if packet.dst[0] == 0xFF:
                assert ethernet.dst == multicast_mac(packet.dst)
            hops = 8 if packet.next_header == NEXT_HOP_BY_HOP else 0
            icmp = Icmpv6.parse(packet.payload[hops:], packet.src, packet.dst)
            assert icmp.sum_ok
            found.append(Sent(time, packet, icmp))
        self.driver.sent.clear()
        self.driver.sent_at.clear()
        return found

    def put(
        self,
        message: Icmpv6,
        *,
        src: bytes = ROUTER,
        dst: bytes = ALL_NODES,
        hop_limit: int = 255,
        to_mac: bytes | None = None,
    ) -> None:
        """The card receives a message."""
        packet = Ipv6(src, dst, NEXT_ICMPV6, message.emit(src, dst), hop_limit)
        self.put_packet(packet, to_mac=to_mac)

    def put_packet(self, packet: Ipv6, *, to_mac: bytes | None = None) -> None:
        """The card receives a packet."""
        group = packet.dst[0] == 0xFF
        to = to_mac or (multicast_mac(packet.dst) if group else GUEST_MAC)
        self.driver.received.append(
            Frame(Ethernet(to, ROUTER_MAC, ETH_P_IPV6, packet.emit()).emit())
        )
        self.driver.interrupt()
        self.cpu.serve()

    def addresses(self) -> list[bytes]:
        """Of the interface, tentative ones too."""
        assert self.stack.inet6 is not None
        return [address for address, _ in self.stack.inet6.addresses(self.device)]

    def usable(self, address: bytes) -> bool:
        assert self.stack.inet6 is not None
        return self.stack.inet6.devs.ipv6_chk_addr(address)

    def count(self, name: str) -> int:
        """A counter of ICMPv6 or IPv6."""
        snmp = self.stack.snmp
        return snmp.icmp6[name] + snmp.ip6[name]


def advertisement(
    *,
    lifetime_s: int = 1800,
    prefix: bytes = ip("fec0::"),
    prefix_len: int = 64,
    flags: int = 0xC0,
    valid_s: int = 86400,
    preferred_s: int = 14400,
) -> Icmpv6:
    """What slirp advertises."""
    body = bytes((64, 0)) + lifetime_s.to_bytes(2, "big") + bytes(8)
    body += b"\x01\x01" + ROUTER_MAC
    body += bytes((3, 4, prefix_len, flags)) + valid_s.to_bytes(4, "big")
    body += preferred_s.to_bytes(4, "big") + bytes(4) + prefix
    return Icmpv6(134, 0, body)
