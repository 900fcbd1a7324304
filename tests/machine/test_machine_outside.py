"""What the modelled host cannot reach: what slirp tells, what Linux makes of it, and the report.

Measured: Debian 12's Linux 6.1 and busybox 1.35 in QEMU 7.2 with libslirp 4.7, on a host
whose network is its loopback.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.config import MachineConfig
from desim.experiment.run import RunResult, run
from desim.report import terminal
from desim.scenario.command_line import machine_from_options

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
PORT_53 = (53).to_bytes(2, "big")
TIMED_OUT = ";; connection timed out; no servers could be reached"


def config(*commands: str) -> MachineConfig:
    options = ["-netdev", "user,id=n0", "-device", "e1000,netdev=n0"]
    made = machine_from_options(options, guest=list(commands), host=[], folder=Path())
    made.costs = "zero"
    for number, command in enumerate(made.guest):
        command.at_ns = (10 + 20 * number) * SECOND
    return made


def shown(result: RunResult, name: str) -> str:
    return next(t.output.decode() for t in result.transcripts if t.name == name)


def length(result: RunResult, name: str) -> int:
    """How long a program ran, in nanoseconds."""
    found = next(t for t in result.transcripts if t.name == name)
    assert found.ended_ns is not None
    return found.ended_ns - found.started_ns


def sent(result: RunResult, protocol: int, to_port: bytes) -> list[int]:
    """When the guest sent packets of a protocol to a port."""
    return [
        packet.time
        for packet in result.packets["slirp"]
        if not packet.to_guest
        and packet.frame.raw[12:14] == b"\x08\x00"
        and packet.frame.raw[23] == protocol
        and packet.frame.raw[36:38] == to_port
    ]


@pytest.mark.parametrize("server", ["", " 8.8.8.8"], ids=["slirp's name server", "one outside"])
def test_a_net_that_is_unreachable_is_no_error_of_a_udp_socket(server: str) -> None:
    result = run(config(f"nslookup example.org{server}"))
    assert TIMED_OUT in shown(result, "guest 1")
    assert "unreachable" not in shown(result, "guest 1")
    first, *others = sent(result, 17, PORT_53)
    assert [round((at - first) / (100 * MILLISECOND)) for at in others] == [0, 25, 25]
    assert 0 <= length(result, "guest 1") - 5 * SECOND < 10 * MILLISECOND


def test_a_port_that_is_unreachable_at_the_gateway_is_told_by_a_martian() -> None:
    """libslirp 4.7 sends the error from 127.0.0.1, and Linux believes no such address."""
    result = run(config("nslookup example.org 10.0.2.2"))
    errors = [
        packet.frame.raw
        for packet in result.packets["slirp"]
        if packet.to_guest and packet.frame.raw[12:14] == b"\x08\x00" and packet.frame.raw[23] == 1
    ]
    assert len(errors) == 4
    assert {raw[26:30] for raw in errors if raw[34:36] == b"\3\3"} == {b"\x7f\0\0\1"}
    assert TIMED_OUT in shown(result, "guest 1")
    assert "refused" not in shown(result, "guest 1")
    assert 0 <= length(result, "guest 1") - 5 * SECOND < 10 * MILLISECOND


def test_a_connect_that_polls_ends_with_the_error_and_one_that_sleeps_with_the_next_syn() -> None:
    """``poll`` shows an error that is still soft; a sleeping ``connect`` goes on until a timer."""
    result = run(config("curl -sS -m 10 http://93.184.216.34/", "busybox nc 93.184.216.34 81"))
    assert "curl: (7) Failed to connect" in shown(result, "guest 1")
    assert length(result, "guest 1") < 20 * MILLISECOND
    assert len(sent(result, 6, (80).to_bytes(2, "big"))) == 1
    first, second = sent(result, 6, (81).to_bytes(2, "big"))
    assert 0 <= second - first - SECOND < 40 * MILLISECOND


def test_the_report_and_the_summary_say_once_what_is_outside() -> None:
    result = run(config("ping -c 3 -W 2 8.8.8.8", "curl -sS -m 10 http://93.184.216.34/"))
    assert result.summary["outside"] == ["8.8.8.8", "93.184.216.34"]
    report = terminal.text(result, result.config)
    assert (
        report.count("outside     8.8.8.8, 93.184.216.34:\n            no TCP, UDP or ping leaves")
        == 1
    )


def test_of_many_addresses_outside_the_report_counts_the_rest() -> None:
    commands = [f"ping -c 1 -W 1 10.1.0.{n}" for n in range(1, 7)]
    result = run(config(*commands))
    assert len(result.summary["outside"]) == 6
    report = terminal.text(result, result.config)
    assert "outside     10.1.0.1, 10.1.0.2, 10.1.0.3 and 3 more:\n" in report


def test_what_answers_is_not_outside() -> None:
    result = run(config("ping -c 1 10.0.2.2"))
    assert result.summary["outside"] == []
    assert "\noutside" not in terminal.text(result, result.config)
