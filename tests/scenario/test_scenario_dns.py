"""``[dns]`` in a scenario: names, their records, and the host's name servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.config import DnsRecord, HostDns
from desim.errors import UserError
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario
from desim.scenario.name_records import reverse_name
from desim.wire.addresses import ip

WEB = '[[dns.record]]\nname = "www.test"\n'


def dns(text: str) -> HostDns:
    return parse_scenario(text.encode(), "x.toml", Inputs(Path("/nonexistent"))).dns


def mistakes(text: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        dns(text)
    return caught.value.messages


def with_resolver(text: str) -> str:
    return f'[dns]\nresolver = "127.0.0.53"\n{text}'


def test_without_the_table_the_host_has_no_resolver() -> None:
    assert dns("") == HostDns()


def test_a_resolver_alone_is_where_somebody_may_listen() -> None:
    assert dns('dns.resolver = "127.0.0.1"') == HostDns(resolvers=[ip("127.0.0.1")])
    both = dns('dns.resolver = ["127.0.0.1", "::1"]')
    assert both.resolvers == [ip("127.0.0.1"), ip("::1")]


def test_every_kind_of_record_and_the_way_back() -> None:
    found = dns(
        with_resolver(
            '[[dns.record]]\nname = "www.test."\na = ["192.0.2.80", "192.0.2.81"]\n'
            'aaaa = "2001:db8::80"\nttl = "1h"\n'
            '[[dns.record]]\nname = "ftp.test"\ncname = "www.test"\n'
            '[[dns.record]]\nname = "81.2.0.192.in-addr.arpa"\nptr = "other.test"\n'
        )
    )
    assert found.resolvers == [ip("127.0.0.53")]
    assert found.records == [
        DnsRecord(name="www.test", kind="A", value=ip("192.0.2.80"), ttl_s=3600),
        DnsRecord(name="www.test", kind="A", value=ip("192.0.2.81"), ttl_s=3600),
        DnsRecord(name="www.test", kind="AAAA", value=ip("2001:db8::80"), ttl_s=3600),
        DnsRecord(name="ftp.test", kind="CNAME", value="www.test", ttl_s=300),
        DnsRecord(name="81.2.0.192.in-addr.arpa", kind="PTR", value="other.test", ttl_s=300),
        DnsRecord(name="80.2.0.192.in-addr.arpa", kind="PTR", value="www.test", ttl_s=3600),
        DnsRecord(name=reverse_name(ip("2001:db8::80")), kind="PTR", value="www.test", ttl_s=3600),
    ]


def test_the_name_of_an_address_is_the_first_that_has_it() -> None:
    records = "".join(
        f'[[dns.record]]\nname = "{name}"\na = "10.0.2.2"\n' for name in ("one.test", "two.test")
    )
    back = [record.value for record in dns(with_resolver(records)).records if record.kind == "PTR"]
    assert back == ["one.test"]


def test_the_reverse_of_an_ipv6_address_has_a_label_for_each_digit() -> None:
    assert reverse_name(ip("2001:db8::1")) == "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'dns.resolver = "8.8.8.8"',
            'x.toml:1: dns.resolver: "8.8.8.8": the host has no other network than its loopback '
            "interface; allowed are 127.0.0.0/8, such as 127.0.0.53, and ::1",
        ),
        ("dns.resolver = 1", "dns.resolver: 1: must be text, or a list of texts"),
        ("dns.resolver = []", "dns.resolver: []: must be text, or a list of texts"),
        (
            WEB + 'a = "10.0.2.2"',
            "dns: records have no effect without a resolver; add resolver = ",
        ),
        (with_resolver(WEB), "dns.record[0]: says nothing of the name; allowed are a, aaaa, cname"),
        (
            with_resolver(WEB + 'a = "::1"'),
            'dns.record[0].a: "::1": must be an IPv4 address such as 192.0.2.80',
        ),
        (
            with_resolver(WEB + 'aaaa = "10.0.2.2"'),
            'dns.record[0].aaaa: "10.0.2.2": must be an IPv6 address such as 2001:db8::80',
        ),
        (with_resolver(WEB + 'cname = "a..b"'), "dns.record[0].cname"),
        (with_resolver(WEB + f'cname = "{"x" * 64}.b"'), "labels have 1 to 63 bytes"),
        (
            with_resolver(WEB + 'a = "10.0.2.2"\nttl = "100ms"'),
            'dns.record[0].ttl: "100ms": must be whole seconds, at most 2147483647',
        ),
        (
            with_resolver(WEB + 'mx = "x"'),
            "dns.record[0].mx: no such key; allowed are a, aaaa, cname, name, ptr, ttl",
        ),
        (with_resolver('[[dns.record]]\na = "10.0.2.2"'), "dns.record[0].name: missing"),
        ('dns.record = "x"', "must be an array of tables: write [[dns.record]]"),
        ('dns.resolvr = "127.0.0.1"', "did you mean 'resolver'?"),
        (
            with_resolver(WEB + 'cname = "a.test"\na = "10.0.2.2"'),
            "dns: www.test has a CNAME record and others; an alias has nothing else",
        ),
        (
            with_resolver(
                '[[dns.record]]\nname = "a.test"\ncname = "B.test"\n'
                '[[dns.record]]\nname = "b.test"\ncname = "a.test"\n'
            ),
            "dns: a.test is an alias of itself: a.test -> b.test -> a.test",
        ),
        (
            with_resolver(2 * (WEB + 'cname = "a.test"\n')),
            "dns: www.test has two CNAME records",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_said(text: str, message: str) -> None:
    found = mistakes(text)
    assert any(message in line for line in found), found
