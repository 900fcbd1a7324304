"""QEMU's options, in every spelling, against what QEMU makes of them."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.config import InputFile
from desim.devices import HostFwd
from desim.errors import UserError
from desim.scenario.qemu_options import Network, parse_qemu_options
from desim.scenario.qemu_words import cut_parts
from desim.wire.addresses import IP_ANY

DIRECT = "-netdev user,id=user.0{} -device e1000,netdev=user.0"
FORWARD = HostFwd(host_port=5555, guest_port=5556)


def no_folder(name: str) -> dict[str, InputFile]:
    raise ValueError("no such folder")


def parse(line: str) -> Network:
    return parse_qemu_options(shlex.split(line), open_folder=no_folder)


def user_of(extra: str):
    user = parse(DIRECT.format(extra)).user
    assert user is not None
    return user


def mistakes(line: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        parse(line)
    return caught.value.messages


def mistake(line: str) -> str:
    found = mistakes(line)
    assert len(found) == 1, found
    return found[0]


# Spellings


@pytest.mark.parametrize(
    ("line", "hub"),
    [
        ("-netdev user,id=user.0,hostfwd=tcp::5555-:5556 -device e1000,netdev=user.0", False),
        ("-device e1000,netdev=u -netdev user,id=u,hostfwd=tcp::5555-:5556", False),
        ("-nic user,model=e1000,hostfwd=tcp::5555-:5556", False),
        ("-nic model=e1000,hostfwd=tcp::5555-:5556", False),
        ("-net nic,model=e1000 -net user,hostfwd=tcp::5555-:5556", True),
        ("-net user,vlan=3,hostfwd=:0.0.0.0:5555-0.0.0.0:5556 -net nic,vlan=3", True),
        ("-redir tcp:5555::5556", True),
        ("-redir tcp:5555::5556 -net nic -net user", True),
        ("-redir :5555::5556", True),
        ("-redir tcp:5555::5556 -nic user", False),
        (
            "-netdev user,id=u,hostfwd=tcp::0x15b3-:5556 -netdev hubport,id=p,hubid=0,netdev=u"
            " -netdev hubport,id=q,hubid=0 -device e1000,netdev=q",
            True,
        ),
        (
            "-netdev user,id=u,hostfwd=tcp::5555-:5556 -netdev hubport,id=p,hubid=0,netdev=u"
            " -nic hubport,hubid=0,model=e1000",
            True,
        ),
    ],
)
def test_every_spelling_forwards_the_port_to_one_card(line: str, hub: bool) -> None:
    network = parse(line)
    assert network.user is not None
    assert network.nic is not None
    assert network.user.hostfwd == [FORWARD]
    assert network.hub is hub
    assert network.notes == []


def test_no_option_means_qemus_default_through_a_hub() -> None:
    network = parse("")
    assert network.user is not None
    assert network.nic is not None
    assert network.hub
    assert network.nic.mac.hex(":") == "52:54:00:12:34:56"
    assert network.user.hostfwd == []


@pytest.mark.parametrize("line", ["-net none", "-nic none", "-nodefaults"])
def test_a_machine_without_a_network(line: str) -> None:
    network = parse(line)
    assert network.user is None
    assert network.nic is None


def test_a_whole_pasted_line_says_in_one_note_what_has_no_effect() -> None:
    network = parse(
        "./x86_64-softmmu/qemu-system-x86_64 images/cirros-d161007-x86_64-disk.img -m 256"
        " -enable-kvm -netdev user,id=user.0,hostfwd=tcp::5555-:5556 -device e1000,netdev=user.0"
        " -device isa-debugcon,chardev=dbg -object rng-builtin,id=r"
    )
    assert network.user is not None
    assert network.user.hostfwd == [FORWARD]
    assert len(network.notes) == 1
    for word in ("images/cirros", "-m", "-enable-kvm", "-device isa-debugcon", "rng-builtin"):
        assert word in network.notes[0]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (
            DIRECT.format("") + ",romfile=,bus=pci.0",
            "-device e1000,romfile=, -device e1000,bus=pci.0",
        ),
        ("-net nic,addr=5,vectors=0 -net user", "-net nic,addr=5, -net nic,vectors=0"),
        ("-nic user -global e1000-82545em.mitigation=off", "-global e1000-82545em.mitigation"),
    ],
)
def test_what_a_card_takes_without_effect_is_in_the_note(line: str, named: str) -> None:
    assert parse(line).notes == [f"no effect on the network, ignored: {named}"]


# -netdev user: values


def test_user_network_has_qemus_defaults() -> None:
    user = user_of("")
    assert (user.net, user.mask) == (bytes([10, 0, 2, 0]), bytes([255, 255, 255, 0]))
    assert user.host == bytes([10, 0, 2, 2])
    assert user.dns == bytes([10, 0, 2, 3])
    assert user.dhcpstart == bytes([10, 0, 2, 15])
    assert user.ipv6_host.hex() == "fec0" + "00" * 13 + "02"
    assert not user.restrict


@pytest.mark.parametrize(
    ("net", "mask", "host"),
    [
        ("192.168.76.0/24", "255.255.255.0", "192.168.76.2"),
        ("192.168.76.9/255.255.255.0", "255.255.255.0", "192.168.76.2"),
        ("10.0.0.0", "255.0.0.0", "10.0.2.2"),
        ("172.20.0.0", "255.240.0.0", "172.16.2.2"),
        ("150.1.0.0", "255.255.0.0", "150.1.2.2"),
        ("192.168.0.0", "255.255.0.0", "192.168.2.2"),
        ("198.18.0.0", "255.254.0.0", "198.18.2.2"),
        ("230.0.0.0", "255.255.255.0", "230.0.0.2"),
        ("10/8", "255.0.0.0", "0.0.2.2"),
    ],
)
def test_defaults_follow_from_net(net: str, mask: str, host: str) -> None:
    user = user_of(f",net={net}")
    assert ".".join(map(str, user.mask)) == mask
    assert ".".join(map(str, user.host)) == host


def test_an_old_class_c_network_gets_the_mask_of_a_reserved_one() -> None:
    assert user_of(",net=200.1.2.0").mask == bytes([255, 255, 255, 240])


def test_a_doubled_comma_is_a_comma() -> None:
    assert user_of(",bootfile=a,,b").bootfile == "a,b"
    assert cut_parts("user,tftp=/a,,b,restrict,noipv6", "type") == [
        ("type", "user"),
        ("tftp", "/a,b"),
        ("restrict", "on"),
        ("ipv6", "off"),
    ]


def test_lists_keep_their_order_and_single_values_take_the_last() -> None:
    user = user_of(",dnssearch=a.org,dnssearch=b.org,hostname=x,hostname=y")
    assert user.dnssearch == ["a.org", "b.org"]
    assert user.hostname == "y"


def test_hostfwd_names_all_four_parts() -> None:
    user = user_of(",hostfwd=udp:127.0.0.1:53-10.0.2.20:5353")
    assert user.hostfwd == [
        HostFwd(
            proto="udp",
            host_addr=bytes([127, 0, 0, 1]),
            host_port=53,
            guest_addr=bytes([10, 0, 2, 20]),
            guest_port=5353,
        )
    ]


def test_an_address_left_out_is_any() -> None:
    rule = user_of(",hostfwd=tcp::22-:22").hostfwd[0]
    assert (rule.host_addr, rule.guest_addr) == (IP_ANY, IP_ANY)


def test_the_same_port_may_be_forwarded_on_two_addresses() -> None:
    user = user_of(",hostfwd=tcp:127.0.0.1:22-:22,hostfwd=tcp:127.0.0.2:22-:23")
    assert len(user.hostfwd) == 2


@pytest.mark.parametrize(
    ("extra", "ipv4", "ipv6"),
    [("", True, True), (",ipv4=on", True, False), (",ipv6", False, True), (",noipv6", True, False)],
)
def test_naming_one_family_switches_the_other_off(extra: str, ipv4: bool, ipv6: bool) -> None:
    user = user_of(extra)
    assert (user.ipv4, user.ipv6) == (ipv4, ipv6)


def test_ipv6_net_sets_host_and_dns() -> None:
    user = user_of(",ipv6-net=fd00::/48")
    assert user.ipv6_prefixlen == 48
    assert user.ipv6_dns.hex() == "fd00" + "00" * 13 + "03"


# -device e1000: properties


def test_card_properties() -> None:
    nic = parse(
        "-netdev user,id=u -device e1000-82545em,netdev=u,mac=52:54:00:aa:bb:cc,mitigation=off,"
        "autonegotiation=off,extra_mac_registers=off,init-vet=off,addr=05.0"
    ).nic
    assert nic is not None
    assert nic.model == "e1000-82545em"
    assert nic.mac.hex() == "525400aabbcc"
    switches = (nic.mitigation, nic.autonegotiation, nic.extra_mac_registers, nic.init_vet)
    assert not any(switches)


def test_a_global_property_holds_unless_the_card_says_otherwise() -> None:
    line = "-global e1000.mitigation=off -netdev user,id=u -device e1000,netdev=u"
    nic, own = parse(line).nic, parse(line + ",mitigation=on").nic
    assert nic is not None
    assert own is not None
    assert not nic.mitigation
    assert own.mitigation


def test_macaddr_of_net_nic_may_be_a_number() -> None:
    nic = parse("-net nic,macaddr=0x1234 -net user").nic
    assert nic is not None
    assert nic.mac.hex() == "525400001234"


def test_host_port_0_takes_any_free_port_more_than_once() -> None:
    forwarded = user_of(",hostfwd=tcp::0-:22,hostfwd=tcp::0-:80").hostfwd
    assert [(rule.host_port, rule.guest_port) for rule in forwarded] == [(0, 22), (0, 80)]


# Mistakes, in QEMU's words


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("tcp", "No : separators"),
        ("sctp::1-:2", "Bad protocol name"),
        ("unix:/tmp/s-:22", "Unix sockets are not modelled"),
        ("tcp:5555", "Missing : separator"),
        ("tcp:localhost:5555-:22", "Bad host address"),
        ("tcp::5555:22", "Bad host port separator"),
        ("tcp::x-:22", "Bad host port"),
        ("tcp::99999-:22", "Bad host port"),
        ("tcp::-1-:22", "Bad host port"),
        ("tcp::22-:0", "Bad guest port"),
        ("tcp::22x-:22", "Bad host port"),
        ("tcp::5555-22", "Missing guest address"),
        ("tcp::5555-1.2.3.256:22", "Bad guest address"),
        ("tcp::5555-:", "Bad guest port"),
    ],
)
def test_a_bad_hostfwd_rule_is_answered_as_qemu_does(rule: str, reason: str) -> None:
    option = f"-netdev user,id=user.0,hostfwd={rule}"
    expected = f"{option}: Invalid host forwarding rule '{rule}' ({reason}"
    assert mistake(f"{option} -device e1000,netdev=user.0").startswith(expected)


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ("host=10.0.3.2", "Host doesn't belong to network"),
        ("host=10.0.2.3", "DNS must be different from host (dns is 10.0.2.3 by default)"),
        ("dhcpstart=10.0.2.2", "DHCP must be different from host and DNS"),
        ("dhcpstart=10.0.9.9", "DHCP doesn't belong to network"),
        ("restrict=on,dns=1.1.1.1", "DNS doesn't belong to network"),
        ("restrict=maybe", "Parameter 'restrict' expects 'on' or 'off'"),
        ("net=10.0.2.0/33", "Invalid netmask provided (must be in range 4-32)"),
        ("net=10.0.2.0/x", "Failed to parse netmask (trailing chars)"),
        ("net=ten", "Failed to parse netmask"),
        ("dns=dns", "Failed to parse DNS"),
        ("ipv4=off,net=10.0.2.0/24", "IPv4 disabled but netmask/host/dns provided"),
        ("ipv4=off,ipv6=off", "IPv4 and IPv6 disabled"),
        ("ipv6-prefixlen=127", "Invalid IPv6 prefix provided"),
        ("ipv6-host=fe80::1", "IPv6 Host doesn't belong to network"),
        ("domainname=", "'domainname' parameter cannot be empty"),
        ("hostname=" + "x" * 256, "'vhostname' parameter cannot exceed 255 bytes"),
        ("smb=/tmp", "the SMB server is not modelled"),
        ("hostforward=tcp::1-:1", "Invalid parameter 'hostforward'; did you mean 'hostfwd'?"),
        (
            "hostfwd=tcp::1-:1,hostfwd=tcp:127.0.0.1:1-:2",
            "'tcp::1-:1' (tcp port 1 of the host is already forwarded by 'tcp:127.0.0.1:1-:2')",
        ),
    ],
)
def test_a_bad_user_option_is_answered_as_qemu_does(extra: str, text: str) -> None:
    assert text in mistake(DIRECT.format("," + extra))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("-netdev tap,id=t -device e1000,netdev=t", "the backend 'tap' is not modelled"),
        ("-netdev usr,id=u", "Parameter 'type' expects a netdev backend type"),
        ("-netdev user", "Parameter 'id' is missing"),
        ("-netdev user,id=9", "Parameter 'id' expects an identifier"),
        ("-netdev user,id=u -netdev user,id=u -device e1000,netdev=u", "Duplicate ID 'u'"),
        (
            "-netdev user,id=u -device virtio-net-pci,netdev=u",
            "is not modelled; modelled are e1000",
        ),
        ("-netdev user,id=u -device e1000-82544gc,netdev=u", "is not modelled; modelled are e1000"),
        ("-netdev user,id=u -device e100,netdev=u", "did you mean 'e1000'?"),
        ("-netdev user,id=user.0 -device e1000,netdev=user0", "did you mean 'user.0'?"),
        ("-netdev user,id=u -device e1000,netdev=u,mtigation=on", "did you mean 'mitigation'?"),
        ("-netdev user,id=u -device e1000,netdev=u,mac=1:2", "'e1000.mac' doesn't take value"),
        ("-netdev user,id=u -device e1000,netdev=u,mac=01:00:00:00:00:01", "multicast"),
        ("-netdev user,id=u", "netdev has no peer"),
        ("-netdev user,id=u -device e1000", "the card has no way to u"),
        ("-netdev user,id=u -net nic", "the card has no way to u"),
        ("-net nic -net nic -net user", "more than one is not modelled"),
        ("-device e1000", "2 network cards (one is QEMU's own, as there is no -netdev"),
        ("-netdev user,id=u -device e1000,netdev=u,mac=1", "'e1000.mac' doesn't take value '1'"),
        ("-netdev user,id=u -device e1000,netdev=u,mac=2:0:0:0:0:1", "allowed are six bytes"),
        ("-netdev user,id=u,zzz=1 -device e1000,netdev=u", "'zzz'; allowed are bootfile, dhcp"),
        ("-netdev user,id=u -device e1000,netdev=u,zzz=1", "not found; allowed are autoneg"),
        ("-global e1000.zzz=on", "not found; allowed are autonegotiation, extra_mac_registers"),
        ("'-netdev user,id=u'", "an option and its value are two words: -netdev user,id=u"),
        ("-netdev=user,id=u", "an option and its value are two words: -netdev user,id=u"),
        ("-net nic,model=virtio -net user", "network card 'virtio' is not modelled"),
        ("-net nic,model=e1001 -net user", "Unsupported NIC model: e1001"),
        ("-net nic,vlan= -net user", "Parameter 'vlan' expects a number (it is '')"),
        ("-net none,vlan=0,id=x", "Invalid parameter 'id'"),
        ("-nic none,model=e1000", "Invalid parameter 'model'; allowed are type"),
        ("-nic user,id=9", "Parameter 'id' expects an identifier"),
        ("-nic user,id=u -nic user,id=u", "Duplicate ID 'u'"),
        ("-nic tap", "the backend 'tap' is not modelled"),
        ("-netdv user", "-netdv: invalid option; did you mean '-netdev'?"),
        ("-m", "-m: requires an argument"),
        ("-readconfig x", "option files are not read"),
        ("-redir tcp:5555:5556", "Invalid host forwarding rule 'tcp:5555:5556'"),
        ("-net none -redir tcp:1::2", "user mode network stack not in use"),
        ("-object filter-mirror,id=f,netdev=u,outdev=c", "filter is not modelled"),
        ("a.img b.img", "only one disk image"),
    ],
)
def test_what_cannot_be_is_refused_and_said(line: str, text: str) -> None:
    assert any(text in message for message in mistakes(line)), mistakes(line)


def test_all_mistakes_of_a_line_are_reported_at_once() -> None:
    line = DIRECT.format(",hostfwd=tcp::x-:1,hostfwd=udp:1,dns=x,foo=1") + ",mac=q -netdv x"
    assert len(mistakes(line)) >= 6


@pytest.mark.parametrize(
    "line",
    [
        "-netdev tap,id=a -device e1000,netdev=a",
        "-netdev usr,id=a -device e1000,netdev=a -object filter-loss,id=f,netdev=a,every=3",
        "-netdev hubport,id=a -device e1000,netdev=a",
        "-netdev hubport,id=a,hubid=x -device e1000,netdev=a",
        "-netdev tap,id=a -netdev hubport,id=h,hubid=0,netdev=a -device e1000",
    ],
)
def test_a_refused_backend_is_one_mistake_whoever_names_it(line: str) -> None:
    assert "-netdev" in mistake(line)


# Whatever is typed


PIECES = """-netdev -net -device -nic -redir -global -object -m user nic user,id=u none
e1000,netdev=u user,id=u,hostfwd=tcp::1-:2 hubport,id=h,hubid=0 hubport,id=g,hubid=0,netdev=u
tcp:1::2 e1000.mitigation=off ,"""
words = st.sampled_from(PIECES.split()) | st.text(max_size=30)


@given(st.lists(words, max_size=8))
def test_any_words_give_a_network_or_a_user_error(line: list[str]) -> None:
    try:
        network = parse_qemu_options(line, open_folder=no_folder)
    except UserError:
        return
    assert (network.user is None) == (network.nic is None)


@given(st.text(alphabet="tcpudp:-.0123456789x,", max_size=30))
def test_any_rule_is_taken_or_refused_with_its_text(rule: str) -> None:
    doubled = rule.replace(",", ",,")
    try:
        user = user_of(f",hostfwd={doubled}")
    except UserError as error:
        shown = error.messages[0]
    else:
        shown = rule
        assert 1 <= user.hostfwd[0].guest_port <= 65535
    assert rule in shown


def test_a_cards_property_takes_dashes_between_its_bytes() -> None:
    nic = parse("-netdev user,id=u -device e1000,netdev=u,mac=52-54-00-AB-cd-01").nic
    assert nic is not None
    assert nic.mac == bytes.fromhex("525400abcd01")
