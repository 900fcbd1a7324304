"""``desim explain``: what a line means, without running it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import desim
from desim.cli._main import main

OLD = (
    "qemu-system-x86_64 -m 256 -enable-kvm -M pc-i440fx-2.4 -net nic,model=e1000,vlan=0 "
    "-net user,vlan=0,name=u -redir tcp:5555::5556"
)

EXPLAINED = """\
wiring
  host programs -- host kernel -- slirp u -- hub0port1 -- hub 0 -- hub0port0 --
  card e1000.0 -- e1000 driver -- guest kernel -- guest programs
  card and user network meet in a hub; -netdev with -device needs none

card
  model         e1000, the card of -machine pc-i440fx-2.4
  MAC           52:54:00:12:34:56
  extra_mac_registers off (-machine pc-i440fx-2.4)
  init-vet      off (-machine pc-i440fx-2.4)

user network
  id            u
  slirp         the slirp inside QEMU 2.8
  network       10.0.2.0/24
  gateway       10.0.2.2, which is the host for the guest
  name server   10.0.2.3
  DHCP          10.0.2.15 to 10.0.2.30; the guest gets the first
  IPv6          fec0::/64
  IPv6 gateway  fec0::2
  IPv6 DNS      fec0::3
  guest's IPv6  fec0::5054:ff:fe12:3456, made from its MAC

forwards, in the order in which QEMU sets them up
  tcp 0.0.0.0:5555 of the host -> 10.0.2.15:5556    -redir tcp:5555::5556

which QEMU takes it
  vlan=                   up to QEMU 2.12
  name=                   up to QEMU 5.0
  -redir                  up to QEMU 3.0

today's spelling
  qemu-system-x86_64 -net nic,model=e1000 \\
      -net user,id=u,hostfwd=tcp::5555-:5556 \\
      -global e1000.extra_mac_registers=off -global e1000.init-vet=off

no effect here
  -enable-kvm: how long the guest's work takes is a matter of the cost profile
    (--costs)
  -m: no part of the network

worth knowing
  -machine pc-i440fx-2.4 sets e1000.extra_mac_registers=off, e1000.init-vet=off,
    e1000.migrate_tso_props=off
  -net nic,model=e1000,vlan=0, -net user,vlan=0,name=u, -redir tcp:5555::5556:
    an old spelling, so slirp is that of QEMU 2.8

the same as a scenario file
  description = "What this experiment shows"
  qemu = [
      "-net nic,model=e1000",
      "-net user,id=u,hostfwd=tcp::5555-:5556",
      "-global e1000.extra_mac_registers=off",
      "-global e1000.init-vet=off",
  ]
  slirp = "2.8"
  guest.run = [{ command = "nc -l -p 5556 > received.txt" }]
  host.run = [{ command = "echo hello | nc -N localhost 5555" }]
"""


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["explain", *words]) == 0
    return capsys.readouterr().out


def section(text: str, title: str) -> list[str]:
    """The lines of one section, without their indent."""
    body = next(part for part in text.split("\n\n") if part.splitlines()[0] == title)
    return [line[2:] for line in body.splitlines()[1:]]


def test_an_old_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, OLD) == EXPLAINED
    assert explained(capsys, *OLD.split()) == EXPLAINED


@pytest.mark.parametrize(
    "line",
    [
        OLD,
        "-nic user,model=e1000,hostfwd=tcp:127.0.0.1:2222-:22,hostname=its",
        "-netdev user,id=n,net=192.168.76.0/24 -device e1000,netdev=n,mac=52:54:00:00:00:07",
        "-nic none",
        "-nic 'user,hostname=a\"b\\c'",
        '-nic "user,hostname=it\'s"',
    ],
)
def test_the_scenario_file_is_the_same_machine(tmp_path: Path, line: str) -> None:
    scenario = desim.from_qemu(line)
    text = "\n".join(section(scenario.explain(), "the same as a scenario file"))
    tomllib.loads(text)
    path = tmp_path / "same.toml"
    path.write_text(text, encoding="utf-8")
    made, given = desim.load(path).configuration(), scenario.configuration()
    assert (made.user, made.nic, made.hub) == (given.user, given.nic, given.hub)


def test_forwards_in_the_order_of_qemu(capsys: pytest.CaptureFixture[str]) -> None:
    line = (
        "-nic user,model=e1000,hostfwd=tcp::2222-:22,hostfwd=udp:127.0.0.1:53-10.0.2.20:53,"
        "guestfwd=tcp:10.0.2.100:80-null,guestfwd=tcp:10.0.2.101:81-cmd:cat"
    )
    assert section(
        explained(capsys, line), "forwards, in the order in which QEMU sets them up"
    ) == [
        "tcp 10.0.2.101:81 of the guest -> the host's program 'cat'",
        "tcp 10.0.2.100:80 of the guest -> the character device null",
        "udp 127.0.0.1:53 of the host -> 10.0.2.20:53    hostfwd=udp:127.0.0.1:53-10.0.2.20:53",
        "tcp 0.0.0.0:2222 of the host -> 10.0.2.15:22    hostfwd=tcp::2222-:22",
    ]


def test_every_address_is_derived(capsys: pytest.CaptureFixture[str]) -> None:
    line = "-nic user,net=192.168.76.0/24,ipv6-net=fd00:1::/64,mac=02:00:00:00:00:01"
    found = section(explained(capsys, line), "user network")
    assert found[2:] == [
        "network       192.168.76.0/24",
        "gateway       192.168.76.2, which is the host for the guest",
        "name server   192.168.76.3",
        "DHCP          192.168.76.15 to 192.168.76.30; the guest gets the first",
        "IPv6          fd00:1::/64",
        "IPv6 gateway  fd00:1::2",
        "IPv6 DNS      fd00:1::3",
        "guest's IPv6  fd00:1::ff:fe00:1, made from its MAC",
    ]


def test_a_scenario_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys, "hello-redir")
    assert "-redir                  up to QEMU 3.0" in text
    assert "the same as a scenario file" not in text


def test_no_network(capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys, "-nodefaults")
    assert section(text, "wiring") == ["no network at all: neither card nor backend"]
    assert "user network" not in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_its_words_fit_the_width(width: int) -> None:
    for line in desim.from_qemu(OLD).explain(width).splitlines():
        breakable = " -- " in line or line.startswith("    ")
        assert len(line) <= width or not breakable or len(line.split()) <= 3


def test_what_is_wrong_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-nic", "tap"]) == 2
    assert "the backend 'tap' is not modelled" in capsys.readouterr().err
    assert main(["explain"]) == 2
    assert "needs a line of QEMU's" in capsys.readouterr().err
    assert main(["explain", "helo"]) == 2
    assert "hello" in capsys.readouterr().err
    assert main(["explain", "-netdev", "help"]) == 0
