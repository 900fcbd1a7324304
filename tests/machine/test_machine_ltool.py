"""The measuring tool in whole machines: in the guest against slirp, and against the host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from runs import random_profile

from desim.config import MachineConfig
from desim.experiment.run import run
from desim.machine import Machine
from desim.scenario.loader import load_scenario

US = 1000
MS = 1_000_000

QEMU = """
qemu = '''-netdev user,id=u,tftp=tftp,guestfwd=tcp:10.0.2.100:1234-chardev:nul,\
hostfwd=tcp::21001-:5601,hostfwd=tcp::21004-:5604,hostfwd=udp::21020-:5620
-chardev null,id=nul -device e1000,netdev=u'''
"""
ALL = """
guest.run = [
  {at = "4s", command = "ltool --json ping 10.0.2.2 3 1000 56 3 > ping"},
  {at = "4.1s", command = "ltool --json tftp 10.0.2.2 f 1428 20 > tftp"},
  {at = "4.2s", command = "ltool --json source 10.0.2.100 1234 65536 16384 50 > up"},
  {at = "4.3s", command = "ltool --json tcpsrv 5601 100 4 > tcpsrv"},
  {at = "4.3s", command = "ltool --json sink 5604 > sink"},
  {at = "4.3s", command = "ltool --json udprecv 5620 6 500 > udprecv"},
  {at = "4.7s", command = "ltool --json udpsend 10.0.2.2 21065 2 3 200 0 5000 1 > udpsend"},
  {at = "4.8s", command = "ltool --json source 10.0.2.2 21061 100000 65536 > g2h"},
]
host.run = [
  {at = "4.4s", command = "ltool --json tcpcli 127.0.0.1 21001 100 4 0 > tcpcli"},
  {at = "4.5s", command = "ltool --json source 127.0.0.1 21004 100000 65536 > h2g"},
  {at = "4.6s", command = "ltool --json udpsend 127.0.0.1 21020 2 3 64 0 5000 0 > urecv"},
  {at = "4.6s", command = "ltool --json udpecho 21065 6 > udpecho"},
  {at = "4.6s", command = "ltool --json sink 21061 > hsink"},
]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tftp").mkdir()
    (tmp_path / "tftp" / "f").write_bytes(bytes(150_000))
    return tmp_path


def scenario(folder: Path, text: str, **changes: Any) -> MachineConfig:
    path = folder / "test.toml"
    path.write_text(QEMU + text)
    config = load_scenario(str(path))
    config.costs = "zero"
    for field, value in changes.items():
        setattr(config, field, value)
    return config


def results(config: MachineConfig) -> dict[str, dict[str, Any]]:
    return {name: json.loads(data) for name, data in run(config).files.items()}


def test_every_conversation_goes_through(folder: Path) -> None:
    found = results(scenario(folder, ALL))
    assert found["guest/ping"]["received"] == 9
    assert found["guest/tftp"]["bytes"] == 19 * 1428
    assert found["guest/up"]["eof_ns"] - found["guest/up"]["acked_ns"] == 50 * MS + 50 * US
    assert len(found["guest/tcpsrv"]["wrote_ns"]) == len(found["host/tcpcli"]["recv_ns"]) == 4
    assert found["guest/sink"]["bytes"] == found["host/h2g"]["bytes"] == 100_000
    assert found["guest/udprecv"]["seq"] == list(range(6))
    assert found["guest/udpsend"]["received"] == found["host/udpecho"]["n"] == 6
    assert found["host/hsink"]["bytes"] == found["guest/g2h"]["bytes"] == 100_000


def test_the_guests_connection_state_is_that_of_the_recordings(folder: Path) -> None:
    info = results(scenario(folder, ALL))["guest/up"]["tcp_info"]
    recorded = {
        "snd_mss": 1460,
        "rcv_mss": 536,
        "advmss": 1460,
        "rto_us": 204000,
        "ato_us": 0,
        "rcv_space": 14600,
        "rcv_ssthresh": 64076,
        "pmtu": 1500,
        "reordering": 3,
        "unacked": 0,
        "total_retrans": 0,
    }
    assert {field: info[field] for field in recorded} == recorded


def test_only_the_first_reply_of_a_train_comes_at_once(folder: Path) -> None:
    text = 'guest.run = [{command = "ltool --json ping 10.0.2.2 3 20000 56 4 > ping"}]'
    krx = results(scenario(folder, text))["guest/ping"]["krx_ns"]
    # The card's mitigation holds the others back for 128 us.
    trains = [[krx[at + k] - 20 * MS * (at // 4) for k in range(4)] for at in range(4, 12, 4)]
    assert trains == 2 * [[0, 128 * US, 128 * US, 128 * US]]


def test_the_tools_own_code_takes_the_time_of_the_profile(folder: Path) -> None:
    (folder / "costs.toml").write_text(
        'description = "x"\n["ltool.c"]\n'
        'echo_request = { enter = 100, per_1000_bytes = 2000, source = "test" }\n'
        '["lib/vdso/gettimeofday.c"]\n'
        '__vdso_clock_gettime = { enter = 30, leave = 60, source = "test" }\n'
        '["arch/x86/entry/common.c"]\n'
        'do_syscall_64 = { enter = 500, source = "test" }\n'
    )
    text = 'guest.run = [{command = "ltool --json ping 10.0.2.2 1 20000 1000 3 > ping"}]'
    found = results(scenario(folder, text, costs=str(folder / "costs.toml")))["guest/ping"]
    # From the clock's reading after one call to the reading before the next: no system call.
    gaps = [found["send_ns"][k + 1] - found["sent_ns"][k] for k in range(2)]
    assert gaps == [60 + 100 + 2000 + 30] * 2


def test_a_spinner_keeps_the_cpu_busy_until_it_is_stopped(folder: Path) -> None:
    text = """
    guest.run = [{at = "4s", stop = "+1s", command = "ltool spin"},
                 {at = "4.2s", command = "ltool --json ping 10.0.2.2 3 10000 56 1 > ping"}]
    """
    machine = Machine(scenario(folder, text))
    machine.run()
    assert machine.ended == "all programs have ended"
    assert json.loads(machine.files()["guest/ping"])["received"] == 3
    # It ticks all the while: 250 times in the second of the spinner.
    assert machine.vcpu.timer_interrupts >= 250


def test_a_spinner_that_is_stopped_before_it_spins_leaves_the_cpu_idle(folder: Path) -> None:
    costs = folder / "costs.toml"
    costs.write_text(
        'description = "x"\n["fs/exec.c"]\n'
        'do_execveat_common = { enter = 10000000, source = "test" }\n'
    )
    text = """
    guest.run = [{at = "4s", stop = "+5ms", command = "ltool spin"},
                 {at = "5s", command = "ltool --json ping 10.0.2.2 3 10000 56 1 > ping"}]
    """
    machine = Machine(scenario(folder, text, costs=str(costs), until_ns=6_000 * MS))
    machine.run()
    assert machine.ended == "all programs have ended"
    assert machine.vcpu.timer_interrupts < 250


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_the_law_of_threads_holds_whatever_things_cost(seed: int, folder: Path) -> None:
    costs = random_profile(seed, folder)
    traces = []
    for strict in (False, True):
        machine = Machine(scenario(folder, ALL, costs=costs, strict=strict, until_ns=6_000 * MS))
        machine.run()
        traces.append((machine.trace.fingerprint(), machine.end_ns, machine.files()))
    assert traces[0] == traces[1]
