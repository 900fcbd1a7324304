"""IPv6 of the guest in whole machines: its switch, slirp's, and what chance decides."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from recorded import discovery
from runs import config, desim

from desim.config import MachineConfig
from desim.experiment.run import run
from desim.scenario.command_line import machine_from_options
from desim.scenario.loader import load_scenario

RS, RA, NS, REPORT = 133, 134, 135, 143


def kinds(made: MachineConfig) -> Counter[int]:
    """How often the guest and slirp have sent each kind of ICMPv6."""
    capture = run(made).captures["capture-slirp.pcapng"]
    return Counter(message.kind for message in discovery(capture))


def idle(options: str = "-nic user") -> MachineConfig:
    """A guest that sleeps for half a minute."""
    return machine_from_options(options.split(), guest=["sleep 30"], host=[], folder=Path())


def test_a_guest_without_ipv6_sends_none_of_it() -> None:
    made = idle()
    made.guest_ipv6 = False
    assert kinds(made) == {}


def test_the_switch_of_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "quiet.toml"
    path.write_text("[guest]\nipv6 = false\n[[guest.run]]\ncommand = 'sleep 9'\n")
    assert kinds(load_scenario(str(path))) == {}
    path.write_text("[[guest.run]]\ncommand = 'sleep 9'\n")
    assert kinds(load_scenario(str(path)))[REPORT] == 4


@pytest.mark.slow
def test_the_switch_of_the_command_line(tmp_path: Path) -> None:
    for word, reports in (("off", 0), ("on", 4)):
        out = tmp_path / word
        words = ("-nic", "user", "--guest", "sleep 9", "--ipv6", word, "--out", str(out))
        assert desim("qemu", *words).returncode == 0
        sent = discovery((out / "capture-slirp.pcapng").read_bytes())
        assert sum(message.kind == REPORT for message in sent) == reports


def test_without_slirps_ipv6_nobody_answers() -> None:
    """``tcp_syn_timeout``: 0, 3.8, 11.5, 27.4 s after the first."""
    found = kinds(idle("-nic user,ipv6=off"))
    assert found == {REPORT: 4, NS: 1, RS: 3} or found == {REPORT: 4, NS: 1, RS: 4}


def test_another_prefix_makes_another_address() -> None:
    capture = run(idle("-nic user,ipv6-net=2001:db8::/64")).captures["capture-slirp.pcapng"]
    targets = [m.content.split("'")[-2] for m in discovery(capture) if m.kind == NS]
    assert targets == ["fe80::5054:ff:fe12:3456", "2001:db8::5054:ff:fe12:3456"]


@pytest.mark.slow
def test_times_and_nonces_are_drawn() -> None:
    starts = [
        discovery(run(config("hello", seed=seed)).captures["capture-slirp.pcapng"])
        for seed in (1, 2, 3)
    ]
    assert len({tuple(m.time_ns for m in start) for start in starts}) == 3
    assert len({frozenset(m[1:] for m in start) for start in starts}) == 1


def test_ifconfig_shows_the_addresses() -> None:
    made = idle()
    made.guest[0].command = "ifconfig"
    made.guest[0].at_ns = 20 * 10**9
    shown = run(made).transcripts[-1].output.decode()
    assert "inet6 addr: fec0::5054:ff:fe12:3456/64 Scope:Site\n" in shown
    assert "inet6 addr: fe80::5054:ff:fe12:3456/64 Scope:Link\n" in shown
    assert "inet6 addr: ::1/128 Scope:Host\n" in shown
