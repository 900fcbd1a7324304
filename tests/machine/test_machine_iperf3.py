"""iperf3 through slirp, the card and the guest, both ways, over TCP and UDP."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from desim.experiment.run import RunResult, run
from desim.scenario.command_line import machine_from_options

SECOND = 1_000_000_000
COUNTED = re.compile(r"([0-9.]+) ([KM])Bytes .* (sender|receiver)")


def made(guest: str, host: str, qemu: str = "", stop: str = "guest") -> RunResult:
    config = machine_from_options(
        ["-nic", "user" + qemu], guest=[guest], host=[host], folder=Path()
    )
    config.costs = "tcg"
    server, client = config.guest[0], config.host[0]
    if stop == "host":
        server, client = client, server
    server.at_ns, client.at_ns = 5 * SECOND, 6 * SECOND
    server.stop_ns = 12 * SECOND
    return run(config)


def shown(result: RunResult, terminal: str) -> str:
    return next(t.output.decode() for t in result.transcripts if t.name == terminal)


def counted(text: str) -> dict[str, str]:
    """What each side has counted, by its role, of the last test."""
    return {role: number + unit for number, unit, role in COUNTED.findall(text)}


def test_the_guest_sends_and_knows_its_retransmissions() -> None:
    result = made("iperf3 -c 10.0.2.2 -n 1M", "iperf3 -s", stop="host")
    client, server = shown(result, "guest 1"), shown(result, "host 1")
    assert counted(client) == {"sender": "1.00M", "receiver": "1.00M"}
    assert counted(server) == {"receiver": "1.00M"}
    assert re.search(r"Retr  Cwnd\n\[  5\] .* 1.00 MBytes .*    0    [0-9. ]+ KBytes    ", client)
    assert client.endswith("\niperf Done.\n")
    assert server.endswith("^C\niperf3: interrupt - the server has terminated\n")


def test_the_guest_receives() -> None:
    result = made("iperf3 -c 10.0.2.2 -n 1M -R -P 2", "iperf3 -s", stop="host")
    client = shown(result, "guest 1")
    assert "Reverse mode, remote host 10.0.2.2 is sending\n" in client
    assert len(re.findall(r"\[SUM\].*receiver\n", client)) == 1


@pytest.mark.parametrize("reverse", ["", " -R"])
def test_the_host_measures_udp_to_the_guest(reverse: str) -> None:
    ports = ",hostfwd=tcp::5201-:5201,hostfwd=udp::5201-:5201"
    line = f"iperf3 -c localhost -u -b 1M -l 1000 -t 2{reverse}"
    result = made("iperf3 -s", line, ports)
    client, server = shown(result, "host 1"), shown(result, "guest 1")
    assert re.search(r"0/250 \(0%\)  sender\n", client)
    assert re.search(r"0/250 \(0%\)  receiver\n", client)
    assert re.search(r"0/250 \(0%\)  (sender|receiver)\n", server)
    assert "connected to 10.0.2.2 port" in server
