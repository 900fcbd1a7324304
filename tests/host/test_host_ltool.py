"""The measuring tool on the host: both ends of a conversation over loopback."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from host_bench import SECOND, Host, output

from desim.userland.process import Process

MS = 1_000_000


@pytest.fixture
def host() -> Host:
    return Host()


def result(process: Process) -> dict[str, Any]:
    assert process.exit_status == 0, output(process)
    found: dict[str, Any] = json.loads(output(process))
    return found


def test_ping_pong(host: Host) -> None:
    (server,) = host.start("ltool --json tcpsrv 5601 1000 3")
    (client,) = host.start("ltool --json tcpcli 127.0.0.1 5601 1000 3 2000")
    host.settle()
    assert len(result(server)["wrote_ns"]) == 3
    sent = result(client)["send_ns"]
    assert [b - a for a, b in pairwise(sent)] == [2_050_000] * 2
    assert len(result(client)["recv_ns"]) == 3


def test_a_stream_arrives_whole(host: Host) -> None:
    (sink,) = host.start("ltool --json sink 5604")
    (source,) = host.start("ltool --json source 127.0.0.1 5604 4194304 65536")
    host.settle()
    assert result(sink)["bytes"] == result(source)["bytes"] == 4194304
    assert result(source)["writes"] == 64
    assert "tcp_info" not in result(source)


def test_unread_bytes_beyond_the_receivers_buffer_are_not_acknowledged(host: Host) -> None:
    host.start("ltool --json slowsrv 5643 400000 1 500000 1")
    (drip,) = host.start("ltool --json drip 127.0.0.1 5643 1 400000 0")
    host.settle()
    assert 500 * MS <= result(drip)["acked_ns"] < SECOND
    assert result(drip)["outq"] == 0


def test_trains_are_echoed(host: Host) -> None:
    (echo,) = host.start("ltool --json udpecho 21065 8")
    (send,) = host.start("ltool --json udpsend 127.0.0.1 21065 2 4 200 0 20000 1")
    host.settle()
    assert result(echo)["n"] == 8
    assert result(send)["received"] == 8
    assert result(send)["krx_ns"][4:] == [20 * MS] * 4


def test_trains_are_collected(host: Host) -> None:
    (receiver,) = host.start("ltool --json udprecv 5620 100 500")
    (sender,) = host.start("ltool --json udpsend 127.0.0.1 5620 2 3 64 1000 20000 0")
    host.settle()
    assert result(receiver)["seq"] == [0, 1, 2, 3, 4, 5]
    gaps = result(sender)["send_ns"][:3]
    assert gaps == [0, 1 * MS + 50_000, 2 * MS + 100_000]
    assert result(sender)["received"] == 0


def test_usleep_sleeps_with_its_slack(host: Host) -> None:
    host.start("ltool usleep 300000")
    host.settle()
    assert host.time == 300 * MS + 50_000


def test_spin_never_ends_and_never_waits_for_input(host: Host) -> None:
    (spin,) = host.start("ltool spin")
    host.settle(SECOND)
    assert spin.exit_status is None
    assert not spin.waits_for_input
    host.kernel.kill(spin, "SIGTERM")
    assert spin.exit_status == -15


def test_raw_sockets_need_a_privilege(host: Host) -> None:
    (ping,) = host.start("ltool ping 127.0.0.1 1 1000 56 1")
    host.settle()
    assert output(ping) == "ltool ping: Operation not permitted\n"
    assert ping.exit_status == 1
