"""IPv6 packets that reach the guest: answered, learned from, or counted."""

from __future__ import annotations

import pytest
from fakes_net import SECOND
from fakes_net import Guest as Ipv4Guest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipv6_link import (
    ALL_NODES,
    ANY,
    GROUP,
    GUEST_MAC,
    LINK_LOCAL,
    ROUTER,
    ROUTER_MAC,
    SITE_LOCAL,
    Link,
    advertisement,
)

from desim.guest.net.device import ALL_HOSTS_MAC
from desim.guest.net.ipv6.if_inet6 import (
    Inet6Dev,
    Inet6IfAddr,
    addr_scope,
    ipv6_dev_get_saddr,
)
from desim.guest.net.ipv6.ip6 import ipv6_parse_hopopts, same_prefix
from desim.guest.net.neigh import NUD_FAILED, NUD_REACHABLE, NUD_STALE, Neighbour
from desim.wire.addresses import ip, mac, multicast_mac
from desim.wire.ethernet import ETH_P_IPV6, Ethernet
from desim.wire.frame import Frame
from desim.wire.icmpv6 import Icmpv6
from desim.wire.icmpv6_nd import Neighbour as NeighbourMessage
from desim.wire.icmpv6_nd import neighbour_advertisement, neighbour_solicitation
from desim.wire.ipv6 import Ipv6

HOST = ip("fec0::2")
ECHO = Icmpv6(128, 0, bytes((1, 2, 0, 7)) + b"are you there?")
NA_ALL = 0xE0


@pytest.fixture
def link() -> Link:
    """With both addresses, and the router known by its advertisement."""
    made = Link().settled()
    made.put(advertisement())
    made.cpu.run(3 * SECOND)
    made.take()
    return made


def entry(link: Link, address: bytes) -> Neighbour:
    assert link.stack.inet6 is not None
    found = link.stack.inet6.ndisc.lookup(address, link.device)
    assert found is not None
    return found


# Solicitations


def test_a_solicitation_to_our_group_is_answered_with_our_mac(link: Link) -> None:
    link.put(neighbour_solicitation(SITE_LOCAL, lladdr=ROUTER_MAC), src=HOST, dst=GROUP)
    (na,) = link.take()
    assert (na.ip.src, na.ip.dst, na.ip.hop_limit) == (SITE_LOCAL, HOST, 255)
    said = NeighbourMessage.parse(na.icmp.body)
    assert (said.target, said.flags, said.options.target_lladdr) == (SITE_LOCAL, 0x60, GUEST_MAC)
    assert link.driver.packets[-1].head[:6] == ROUTER_MAC


def test_a_probe_is_answered_without_our_mac(link: Link) -> None:
    link.put(neighbour_solicitation(SITE_LOCAL, lladdr=ROUTER_MAC), src=HOST, dst=SITE_LOCAL)
    (na,) = link.take()
    said = NeighbourMessage.parse(na.icmp.body)
    assert (said.flags, said.options.target_lladdr) == (0x40, None)


def test_who_wants_our_address_is_told_so_before_everybody(link: Link) -> None:
    link.put(neighbour_solicitation(LINK_LOCAL, nonce=bytes(6)), src=ANY, dst=GROUP)
    (na,) = link.take()
    assert na.ip.dst == ALL_NODES
    assert NeighbourMessage.parse(na.icmp.body).flags == 0x20
    assert link.usable(LINK_LOCAL)


@pytest.mark.parametrize(
    ("message", "src", "dst"),
    [
        (neighbour_solicitation(ip("fec0::99"), lladdr=ROUTER_MAC), HOST, GROUP),
        (neighbour_solicitation(SITE_LOCAL, lladdr=ROUTER_MAC), ANY, GROUP),
        (neighbour_solicitation(SITE_LOCAL), ANY, ALL_NODES),
        (neighbour_solicitation(SITE_LOCAL), HOST, GROUP),
        (neighbour_solicitation(ALL_NODES, lladdr=ROUTER_MAC), HOST, GROUP),
        (neighbour_advertisement(ALL_NODES, 0x20), HOST, ALL_NODES),
        (neighbour_advertisement(HOST, NA_ALL, lladdr=ROUTER_MAC), HOST, ALL_NODES),
        (Icmpv6(133, 0, bytes(4)), HOST, ALL_NODES),
        (Icmpv6(135, 1, neighbour_solicitation(SITE_LOCAL).body), HOST, SITE_LOCAL),
    ],
)
def test_what_asks_for_nothing_is_not_answered(
    link: Link, message: Icmpv6, src: bytes, dst: bytes
) -> None:
    link.put(message, src=src, dst=dst)
    assert link.take() == []


def test_an_option_without_length_ends_the_message(link: Link) -> None:
    message = neighbour_solicitation(SITE_LOCAL)
    message.body += bytes(8)
    link.put(message, src=HOST, dst=SITE_LOCAL)
    assert link.take() == []
    assert link.count("InErrors") == 1


# Neighbours


def test_the_first_answer_waits_for_the_neighbours_mac(link: Link) -> None:
    link.put(ECHO, src=HOST, dst=SITE_LOCAL)
    (ns,) = link.take()
    assert (ns.icmp.type, ns.ip.src, ns.ip.dst) == (135, SITE_LOCAL, ip("ff02::1:ff00:2"))
    link.put(neighbour_advertisement(HOST, NA_ALL, lladdr=ROUTER_MAC), src=HOST, dst=SITE_LOCAL)
    (reply,) = link.take()
    assert (reply.icmp.type, reply.icmp.body) == (129, ECHO.body)
    assert entry(link, HOST).nud_state == NUD_REACHABLE


def test_nobody_answering_is_three_solicitations(link: Link) -> None:
    link.put(ECHO, src=HOST, dst=SITE_LOCAL)
    link.cpu.run(4 * SECOND)
    assert [s.icmp.type for s in link.take()] == [135] * 3
    assert entry(link, HOST).nud_state == NUD_FAILED
    assert link.stack.idle()


def test_a_stale_neighbour_is_probed_five_seconds_after_use(link: Link) -> None:
    assert entry(link, ROUTER).nud_state == NUD_STALE
    link.put(ECHO, src=ROUTER, dst=LINK_LOCAL)
    assert [s.icmp.type for s in link.take()] == [129]
    link.cpu.run(6 * SECOND)
    (probe,) = link.take()
    assert (probe.icmp.type, probe.ip.dst) == (135, ROUTER)
    # Without an address of its own and solicited, the answer confirms what is known.
    link.put(neighbour_advertisement(ROUTER, 0x40), src=ROUTER, dst=LINK_LOCAL)
    assert entry(link, ROUTER).nud_state == NUD_REACHABLE
    assert entry(link, ROUTER).ha == ROUTER_MAC


def test_another_mac_without_override_casts_doubt_and_no_more(link: Link) -> None:
    test_a_stale_neighbour_is_probed_five_seconds_after_use(link)
    other = mac("52:54:00:aa:bb:cc")
    link.put(neighbour_advertisement(ROUTER, 0x40, lladdr=other), src=ROUTER, dst=LINK_LOCAL)
    assert (entry(link, ROUTER).ha, entry(link, ROUTER).nud_state) == (ROUTER_MAC, NUD_STALE)
    link.put(neighbour_advertisement(ROUTER, 0x20, lladdr=other), src=ROUTER, dst=ALL_NODES)
    assert entry(link, ROUTER).ha == other


def test_an_answer_without_a_mac_tells_nothing_about_an_unknown_neighbour(link: Link) -> None:
    link.put(ECHO, src=HOST, dst=SITE_LOCAL)
    link.take()
    link.put(neighbour_advertisement(HOST, 0x40), src=HOST, dst=SITE_LOCAL)
    assert link.take() == []


# Echo and routes


def test_echo_from_elsewhere_is_answered_through_the_router(link: Link) -> None:
    link.put(ECHO, src=ip("2001:db8::1"), dst=SITE_LOCAL)
    (reply,) = link.take()
    assert (reply.ip.src, reply.ip.dst, reply.ip.hop_limit) == (SITE_LOCAL, ip("2001:db8::1"), 64)
    assert link.driver.packets[-1].head[:6] == ROUTER_MAC


def test_a_router_that_retires_leads_nowhere(link: Link) -> None:
    link.put(advertisement(lifetime_s=0))
    link.put(ECHO, src=ip("2001:db8::1"), dst=SITE_LOCAL)
    assert link.take() == []
    assert link.count("OutNoRoutes") == 1


def test_a_router_is_forgotten_after_its_lifetime(link: Link) -> None:
    link.put(advertisement(lifetime_s=10))
    link.cpu.run(11 * SECOND)
    link.put(ECHO, src=ip("2001:db8::1"), dst=SITE_LOCAL)
    assert link.take() == []


def test_the_flow_label_is_the_same_for_the_same_two(link: Link) -> None:
    for source in ("2001:db8::1", "2001:db8::1", "2001:db8::2"):
        link.put(ECHO, src=ip(source), dst=SITE_LOCAL)
    first, second, other = (s.ip.flow_label for s in link.take())
    assert first == second != other


def test_echo_to_everybody_is_answered_from_an_address_that_fits(link: Link) -> None:
    link.put(ECHO, src=ROUTER, dst=ALL_NODES)
    (reply,) = link.take()
    assert reply.ip.src == LINK_LOCAL


# What is not for us


@pytest.mark.parametrize(
    ("packet", "counter"),
    [
        (Ipv6(HOST, ip("fec0::99"), 58, ECHO.emit(HOST, ip("fec0::99"))), "InAddrErrors"),
        (Ipv6(HOST, ip("ff02::99"), 58, b""), "InDiscards"),
        (Ipv6(HOST, ip("ff01::1"), 58, b""), "InDiscards"),
        (Ipv6(ALL_NODES, SITE_LOCAL, 58, b""), "InHdrErrors"),
        (Ipv6(ip("::1"), SITE_LOCAL, 58, b""), "InHdrErrors"),
        (Ipv6(HOST, SITE_LOCAL, 44, bytes(8)), "InHdrErrors"),
        (Ipv6(HOST, SITE_LOCAL, 0, bytes((58, 9)) + bytes(6)), "InHdrErrors"),
        (Ipv6(HOST, SITE_LOCAL, 0, bytes((58, 0, 0xC2, 4)) + bytes(4)), "InHdrErrors"),
        (Ipv6(HOST, SITE_LOCAL, 6, bytes(20)), "InUnknownProtos"),
        (Ipv6(HOST, SITE_LOCAL, 58, b"\x80"), "InErrors"),
        (Ipv6(HOST, SITE_LOCAL, 58, bytes((128, 0, 1, 2))), "InCsumErrors"),
    ],
)
def test_what_ends_here_is_counted(link: Link, packet: Ipv6, counter: str) -> None:
    before = link.count(counter)
    link.put_packet(packet)
    assert link.count(counter) == before + 1
    assert link.take() == []


def test_a_packet_for_another_mac_is_not_ours(link: Link) -> None:
    link.put(ECHO, src=HOST, dst=SITE_LOCAL, to_mac=ROUTER_MAC)
    assert link.take() == []
    assert link.count("InDiscards") == 1


def test_no_next_header_is_the_end_of_a_good_packet(link: Link) -> None:
    link.put_packet(Ipv6(HOST, SITE_LOCAL, 59, b""))
    assert link.count("InUnknownProtos") == link.count("InHdrErrors") == 0


def test_a_guest_without_ipv6_joins_none_of_its_groups_and_knows_none_of_its_frames() -> None:
    guest = Ipv4Guest()
    assert guest.device.mc_list == [ALL_HOSTS_MAC]
    assert guest.stack.inet6 is None
    packet = Ipv6(HOST, ALL_NODES, 58, ECHO.emit(HOST, ALL_NODES)).emit()
    guest.put(Frame(Ethernet(multicast_mac(ALL_NODES), ROUTER_MAC, ETH_P_IPV6, packet).emit()))
    assert guest.stack.snmp.softnet["unhandled"] == 1


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 255), st.binary(max_size=80), st.booleans())
def test_no_message_is_too_odd(kind: int, body: bytes, to_group: bool) -> None:
    link = Link().settled()
    link.put(Icmpv6(kind, 0, body), src=ROUTER, dst=ALL_NODES if to_group else LINK_LOCAL)
    link.cpu.run(SECOND)
    assert link.usable(LINK_LOCAL)


# Laws of the parts


@given(st.binary(max_size=40))
def test_options_are_read_to_their_end_or_refused(options: bytes) -> None:
    assert ipv6_parse_hopopts(options) in (True, False)


def test_router_alert_and_padding_are_known_options() -> None:
    assert ipv6_parse_hopopts(bytes((5, 2, 0, 0, 1, 0)))
    assert ipv6_parse_hopopts(bytes((0, 0x1E, 1, 9)))
    assert not ipv6_parse_hopopts(bytes((1, 4, 0)))


@given(st.binary(min_size=16, max_size=16), st.integers(0, 128), st.integers(0, 127))
def test_a_prefix_is_shared_up_to_the_first_bit_that_differs(a: bytes, n: int, bit: int) -> None:
    b = (int.from_bytes(a, "big") ^ 1 << (127 - bit)).to_bytes(16, "big")
    assert same_prefix(a, b, n) == (n <= bit)


def test_scopes() -> None:
    texts = ("::1", "fe80::1", "fec0::1", "2001:db8::1", "ff02::1", "ff05::2")
    assert [addr_scope(ip(text)) for text in texts] == [1, 2, 5, 14, 2, 5]


@pytest.mark.parametrize(
    ("dst", "chosen"),
    [
        ("fe80::2", "fe80::1"),
        ("fec0::2", "fec0::1"),
        ("2001:db8:2::1", "2001:db8::1"),
        ("2001:db9::1", "2001:db9::7"),
        ("ff02::1", "fe80::1"),
    ],
)
def test_a_source_reaches_as_far_as_its_destination(dst: str, chosen: str) -> None:
    idev = Inet6Dev(Ipv4Guest().device)
    for text in ("2001:db8::1", "2001:db9::7", "fec0::1", "fe80::1"):
        ifp = Inet6IfAddr(idev, ip(text), 64)
        ifp.tentative = False
        idev.addr_list.append(ifp)
    assert ipv6_dev_get_saddr(idev, ip(dst), 0) == ip(chosen)
    idev.addr_list[0].preferred_until = 10
    assert ipv6_dev_get_saddr(idev, ip("2001:db8:2::1"), 10) == ip("2001:db9::7")
