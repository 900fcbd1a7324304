"""What the guest does by itself when its link comes up: recorded in every run of a real one."""

from __future__ import annotations

import itertools

import pytest
from fakes_net import MS, SECOND
from hypothesis import given, settings
from hypothesis import strategies as st
from ipv6_link import (
    ANY,
    GROUP,
    LINK_LOCAL,
    ROUTER,
    SITE_LOCAL,
    Link,
    advertisement,
)

from desim.guest.cpu.context import JIFFY_NS
from desim.guest.net.device import ALL_HOSTS_MAC
from desim.guest.net.ipv6.addrconf import eui64
from desim.wire.addresses import ip, mac
from desim.wire.icmpv6_mld import GroupRecord, parse_mld2_report
from desim.wire.icmpv6_nd import (
    NdOptions,
    Neighbour,
    neighbour_advertisement,
    neighbour_solicitation,
)

REPORT, RS, NS, NA = 143, 133, 135, 136
ALL_NODES_MAC = mac("33:33:00:00:00:01")
SOMEBODY = mac("52:54:00:aa:bb:cc")


@pytest.fixture
def link() -> Link:
    return Link()


def kinds(link: Link) -> list[int]:
    return [sent.icmp.type for sent in link.take()]


# Groups


def test_all_nodes_are_joined_before_the_interface_is_opened(link: Link) -> None:
    assert link.device.mc_list == [ALL_NODES_MAC, ALL_HOSTS_MAC]
    # Once after opening, once for the group of IPv4.
    assert link.driver.rx_modes == 2


def test_link_up_joins_the_solicited_node_group_once(link: Link) -> None:
    link.plug()
    assert link.device.mc_list[-1] == mac("33:33:ff:12:34:56")
    assert link.driver.rx_modes == 3
    link.cpu.run(3 * SECOND)
    link.put(advertisement())
    link.cpu.run(3 * SECOND)
    # The address from the router's prefix has the same group.
    assert link.driver.rx_modes == 3


def test_nothing_is_sent_without_a_link(link: Link) -> None:
    link.cpu.run(10 * SECOND)
    assert link.take() == []
    assert link.addresses() == []


# The start


@settings(deadline=None)
@given(st.text("abcdef", max_size=6))
def test_the_start_is_as_recorded_whatever_is_drawn(salt: str) -> None:
    link = Link(salt).plug()
    link.cpu.run(3500 * MS)
    sent = link.take()
    reports = [s for s in sent if s.icmp.type == REPORT]
    (ns,) = (s for s in sent if s.icmp.type == NS)
    (rs,) = (s for s in sent if s.icmp.type == RS)
    assert len(sent) == 6
    assert [r.ip.src for r in reports] == [ANY, ANY, LINK_LOCAL, LINK_LOCAL] or [
        r.ip.src for r in reports
    ] == [ANY, LINK_LOCAL, LINK_LOCAL, LINK_LOCAL]
    assert all(
        parse_mld2_report(r.icmp.body) == [GroupRecord(4, GROUP)] and r.ip.hop_limit == 1
        for r in reports
    )
    # Two or three jiffies after the join; then up to a second, on the timer wheel.
    assert 2 * JIFFY_NS <= reports[0].time <= 3 * JIFFY_NS
    assert 2 * JIFFY_NS <= reports[1].time - reports[0].time <= 1048 * MS
    assert 0 <= ns.time <= 1024 * MS
    assert 1000 * MS <= rs.time - ns.time <= 1036 * MS
    # The address is ours: a report, the solicitation, and another report.
    assert any(r.time == rs.time and r.ip.src == LINK_LOCAL for r in reports)
    assert reports[-1].time - rs.time <= 1048 * MS
    assert (ns.ip.src, ns.ip.dst, ns.ip.hop_limit) == (ANY, GROUP, 255)
    asked = Neighbour.parse(ns.icmp.body)
    assert asked.target == LINK_LOCAL
    assert asked.options.nonce is not None
    assert len(asked.options.nonce) == 6
    assert (rs.ip.src, rs.ip.dst, rs.ip.hop_limit) == (LINK_LOCAL, ip("ff02::2"), 255)
    assert NdOptions.parse(rs.icmp.body[4:]).source_lladdr == link.device.dev_addr


def test_the_address_is_tentative_until_nobody_has_answered(link: Link) -> None:
    link.plug()
    assert link.addresses() == [LINK_LOCAL]
    assert not link.usable(LINK_LOCAL)
    link.cpu.run(3 * SECOND)
    assert link.usable(LINK_LOCAL)


def test_a_run_waits_for_the_start_but_not_for_a_router(link: Link) -> None:
    link.plug()
    assert not link.stack.idle()
    link.cpu.run(3500 * MS)
    assert link.stack.idle()
    assert not link.cpu.wheel.waiting()


def test_the_log_says_that_the_link_is_ready(link: Link) -> None:
    link.plug()
    assert link.log == ["IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready"]


@given(st.binary(min_size=6, max_size=6))
def test_an_interface_identifier_gives_its_mac_back(address: bytes) -> None:
    identifier = eui64(address)
    assert identifier[3:5] == b"\xff\xfe"
    assert bytes((identifier[0] ^ 2,)) + identifier[1:3] + identifier[5:] == address


# Somebody has the address


@pytest.mark.parametrize("answer", [NA, NS])
def test_an_address_that_somebody_else_has_is_never_used(link: Link, answer: int) -> None:
    link.plug().cpu.run(1020 * MS)
    if answer == NA:
        link.put(neighbour_advertisement(LINK_LOCAL, 0x20, lladdr=SOMEBODY), src=LINK_LOCAL)
    else:
        link.put(neighbour_solicitation(LINK_LOCAL, nonce=bytes(6)), src=ANY, dst=GROUP)
    link.take()
    link.cpu.run(20 * SECOND)
    assert RS not in kinds(link)
    assert not link.usable(LINK_LOCAL)
    assert "duplicate address fe80::5054:ff:fe12:3456 used by 52:56:00:00:00:02" in link.log[-1]


def test_our_own_solicitation_coming_back_is_no_duplicate(link: Link) -> None:
    link.plug().cpu.run(1020 * MS)
    (ns,) = (s for s in link.take() if s.icmp.type == NS)
    link.put(ns.icmp, src=ANY, dst=GROUP)
    link.cpu.run(3 * SECOND)
    assert link.usable(LINK_LOCAL)


# Routers


def test_without_a_router_solicitations_go_on_at_growing_distances(link: Link) -> None:
    """``tcp_syn_timeout``: after 3.8, 7.7, 15.9, 33.5, 65.5 s."""
    link.plug().cpu.run(170 * SECOND)
    times = [s.time for s in link.take() if s.icmp.type == RS]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(gaps) >= 5
    assert 3.6 * SECOND <= gaps[0] <= 4.7 * SECOND
    assert all(1.8 * last <= gap <= 2.25 * last for last, gap in itertools.pairwise(gaps))


def test_an_answer_ends_the_solicitations(link: Link) -> None:
    link.settled()
    link.put(advertisement())
    link.cpu.run(100 * SECOND)
    assert RS not in kinds(link)


def test_an_answer_inside_the_solicitation_comes_too_early() -> None:
    """As in ``det_itr0_nomit``: used, but asked again; the second answer counts."""
    link = Link()
    xmit = link.driver.start_xmit

    def answered(skb: object, more: bool) -> int:
        done = xmit(skb, more)
        if link.driver.sent[-1].raw[54] == RS:
            link.put(advertisement())
        return done

    link.driver.start_xmit = answered
    link.plug().cpu.run(100 * SECOND)
    sent = kinds(link)
    assert sent.count(RS) == 2
    assert link.usable(SITE_LOCAL)


def test_a_prefix_gives_an_address_after_a_solicitation_of_its_own(link: Link) -> None:
    link.settled()
    link.put(advertisement())
    link.cpu.run(3 * SECOND)
    (ns,) = link.take()
    assert Neighbour.parse(ns.icmp.body).target == SITE_LOCAL
    assert (ns.ip.src, ns.ip.dst) == (ANY, GROUP)
    assert link.addresses() == [SITE_LOCAL, LINK_LOCAL]
    assert link.usable(SITE_LOCAL)


def test_an_advertisement_from_beyond_the_link_is_ignored(link: Link) -> None:
    link.settled()
    link.put(advertisement(), src=ip("fec0::2"))
    link.put(advertisement(), hop_limit=254)
    assert link.addresses() == [LINK_LOCAL]


@pytest.mark.parametrize(
    "offer",
    [
        advertisement(flags=0x80),
        advertisement(prefix_len=48),
        advertisement(valid_s=0, preferred_s=0),
        advertisement(valid_s=10, preferred_s=11),
        advertisement(prefix=ip("fe80::")),
        advertisement(prefix=ip("ff0e::")),
    ],
)
def test_a_prefix_that_is_not_for_addresses_gives_none(link: Link, offer: object) -> None:
    link.settled()
    link.put(offer)
    assert link.addresses() == [LINK_LOCAL]


def test_an_address_ends_with_its_lifetime_and_its_group_is_left_when_it_was_the_last(
    link: Link,
) -> None:
    link.settled()
    link.put(advertisement(valid_s=100, preferred_s=50))
    link.cpu.run(99 * SECOND)
    assert SITE_LOCAL in link.addresses()
    link.cpu.run(10 * SECOND)
    assert link.addresses() == [LINK_LOCAL]
    assert link.device.mc_list[-1] == mac("33:33:ff:12:34:56")


def test_an_address_lives_on_with_each_advertisement(link: Link) -> None:
    link.settled()
    for _ in range(4):
        link.put(advertisement(valid_s=100, preferred_s=50))
        link.cpu.run(90 * SECOND)
    assert SITE_LOCAL in link.addresses()


def test_no_advertisement_ends_an_address_within_two_hours(link: Link) -> None:
    link.settled()
    link.put(advertisement())
    link.put(advertisement(valid_s=1, preferred_s=1))
    link.cpu.run(7190 * SECOND)
    assert SITE_LOCAL in link.addresses()
    link.cpu.run(60 * SECOND)
    assert SITE_LOCAL not in link.addresses()


def test_at_most_sixteen_addresses_are_taken(link: Link) -> None:
    link.settled()
    for number in range(40):
        link.put(advertisement(prefix=ip(f"fec0:0:0:{number:x}::")))
    assert len(link.addresses()) == 16


# Down and up again


def test_closing_forgets_everything_and_opening_starts_anew(link: Link) -> None:
    link.settled()
    link.put(advertisement())
    link.stack.dev_close("eth0")
    link.cpu.run(30 * SECOND)
    assert link.addresses() == []
    assert link.take() == []
    assert link.device.mc_list == [ALL_HOSTS_MAC]
    link.stack.dev_open("eth0")
    link.plug().cpu.run(4 * SECOND)
    assert sorted(kinds(link)) == [RS, NS, REPORT, REPORT, REPORT, REPORT]


def test_a_link_that_comes_back_reports_the_groups_again(link: Link) -> None:
    link.settled()
    link.device.netif_carrier_off()
    link.cpu.run(3 * SECOND)
    link.plug().cpu.run(3 * SECOND)
    sent = link.take()
    assert [s.icmp.type for s in sent] == [REPORT, REPORT]
    assert [s.ip.src for s in sent] == [LINK_LOCAL] * 2
    assert link.usable(LINK_LOCAL)


def test_a_second_router_of_the_same_prefix_adds_no_address(link: Link) -> None:
    link.settled()
    link.put(advertisement(), src=ROUTER)
    link.put(advertisement(), src=ip("fe80::3"))
    assert link.addresses() == [SITE_LOCAL, LINK_LOCAL]
