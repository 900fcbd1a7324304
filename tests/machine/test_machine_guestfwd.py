"""``guestfwd=`` in whole machines: devices take bytes, programs answer them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from desim.config import MachineConfig
from desim.errors import UserError
from desim.experiment.run import run
from desim.machine import Machine
from desim.scenario.command_line import machine_from_options
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario

CARD = ["-device", "e1000,netdev=u"]
NULL = "guestfwd=tcp:10.0.2.100:1234-chardev:null"


def pattern(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(size))


def machine(
    rules: str, *guest: str, chardevs: tuple[str, ...] = (), folder: Path = Path(), **more: Any
) -> MachineConfig:
    options = ["-netdev", f"user,id=u,{rules}", *CARD]
    for chardev in chardevs:
        options += ["-chardev", chardev]
    config = machine_from_options(options, guest=guest, host=(), folder=folder, **more)
    config.costs = "zero"
    return config


@pytest.mark.parametrize("version", ["4.7", "2.8"])
def test_a_program_is_started_for_each_connection_and_echoes(version: str) -> None:
    config = machine(
        "guestfwd=tcp::7-cmd:cat",
        "echo one | nc -N 10.0.2.4 7 > one",
        "echo two | nc -N 10.0.2.4 7 > two",
        version=version,
    )
    done = Machine(config)
    done.run()
    assert done.files() == {"guest/one": b"one\n", "guest/two": b"two\n"}
    assert done.ended == "all programs have ended"
    assert [(p.name, p.exit_status) for p in done.host.processes] == [("cat", 0), ("cat", 0)]


def test_a_program_that_says_its_piece_closes_the_connection() -> None:
    result = run(machine("guestfwd=tcp:10.0.2.7:17-cmd:echo qotd", "nc 10.0.2.7 17 > quote"))
    assert result.files == {"guest/quote": b"qotd\n"}


def test_a_program_that_sleeps_keeps_the_run_going() -> None:
    config = machine("guestfwd=tcp::7-cmd:sleep 30", "nc 10.0.2.4 7 < /dev/null")
    result = run(config)
    assert result.end_ns > 30_000_000_000
    assert result.ended == "all programs have ended"


def test_a_null_device_takes_everything_and_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(pattern(300_000))
    line = "nc -N 10.0.2.100 1234 < data > said"
    config = machine(NULL, line, chardevs=("null,id=null",), folder=tmp_path)
    done = Machine(config)
    done.run()
    assert done.files() == {"guest/said": b""}
    # The device never closes; the guest's program waits for its end.
    assert done.ended == "all programs wait and only periodic timers remain"
    assert done.qemu.slirp is not None
    (session,) = done.qemu.slirp.connections()
    assert (session[0], session[-2:]) == ("TCP[CLOSE_WAIT]", (0, 0))


def test_a_file_holds_what_the_guest_sent(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(pattern(50_000))
    config = machine(
        "guestfwd=tcp:10.0.2.100:9-chardev:f",
        "nc 10.0.2.100 9 < data",
        chardevs=("file,id=f,path=logs/got",),
        folder=tmp_path,
    )
    assert run(config).files == {"host/logs/got": pattern(50_000)}


def test_a_log_has_what_the_device_has_taken() -> None:
    config = machine(
        "guestfwd=tcp::7-chardev:null,guestfwd=tcp::8-chardev:file,guestfwd=tcp::9-chardev:idle",
        "echo one | nc -N 10.0.2.4 7",
        "echo two | nc -N 10.0.2.4 8",
        chardevs=(
            "null,id=null,logfile=null.log",
            "file,id=file,path=file,logfile=file.log",
            "null,id=idle,logfile=idle.log",
        ),
    )
    assert run(config).files == {
        "host/null.log": b"one\n",
        "host/file": b"two\n",
        "host/file.log": b"two\n",
        "host/idle.log": b"",
    }


def test_a_file_is_there_even_if_nothing_arrives() -> None:
    assert run(machine("guestfwd=tcp::9-file:got", "true")).files == {"host/got": b""}


def test_restrict_lets_the_guest_reach_its_forwarded_services_only() -> None:
    result = run(
        machine(
            "restrict=on,guestfwd=tcp::7-cmd:cat",
            "echo in | nc -N 10.0.2.4 7 > inside",
            "nc -v 10.0.2.4 8 2> outside",
        )
    )
    assert result.files["guest/inside"] == b"in\n"
    assert b"Connection refused" in result.files["guest/outside"]


@pytest.mark.slow
def test_a_full_quota_stops_the_stream_and_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(pattern(500_000))
    config = machine("guestfwd=tcp::9-file:got", "nc 10.0.2.4 9 < data", folder=tmp_path)
    config.limits.output_bytes = 100_000
    result = run(config)
    assert 90_000 < len(result.files["host/got"]) <= 100_000
    assert pattern(500_000).startswith(result.files["host/got"])


@pytest.mark.parametrize("costs", ["zero", "study-2016"])
def test_strict_and_lazy_runs_agree(costs: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(pattern(20_000))

    def trace(*, strict: bool) -> object:
        config = machine(
            "guestfwd=tcp::7-cmd:cat,guestfwd=tcp::9-file:got",
            "nc -N 10.0.2.4 7 < data > back",
            "nc -N 10.0.2.4 9 < data",
            folder=tmp_path,
        )
        config.costs, config.strict = costs, strict
        done = Machine(config)
        done.run()
        return done.trace.fingerprint(), done.ended, done.end_ns, done.files()

    assert trace(strict=False) == trace(strict=True)


def test_a_program_reads_the_users_files_as_those_of_commands_do(tmp_path: Path) -> None:
    (tmp_path / "motd").write_bytes(b"be excellent\n")
    rule = "guestfwd=tcp::17-cmd:cat motd"
    config = machine(rule, "nc 10.0.2.4 17 > said", folder=tmp_path)
    assert config.host_files["motd"].data == b"be excellent\n"
    assert run(config).files == {"guest/said": b"be excellent\n"}


def test_a_scenarios_services_stay_in_its_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    line = "qemu = '-net nic -net \"user,guestfwd=tcp::17-cmd:cat ../secret\"'"
    with pytest.raises(UserError, match=r"qemu: cmd:cat \.\./secret: .*outside the scenario"):
        parse_scenario(line.encode(), "x.toml", Inputs(inside))
