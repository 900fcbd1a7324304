"""The figures of a run, and what a scenario expects of them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

import desim
from desim.cli import main
from desim.errors import UserError
from desim.experiment.metric_values import VALUES
from desim.scenario.metrics import METRICS

EXPECTS = """
description = "Everything that can be expected"
qemu = "-nic user,model=e1000,hostfwd=tcp::5555-:5556"

[[guest.run]]
command = "ping -c 3 10.0.2.2"
expect = { exit = 0, output = "3 packets received", time = "2s .. 3s" }

[[guest.run]]
command = "nc -l -p 5556 > copy"

[[host.run]]
at = "10s"
command = "curl -s http://localhost:1"
expect.exit = 7

[[host.run]]
at = "11s"
command = "echo hello | nc -N localhost 5555"

[expect]
"""


def run(tmp_path: Path, expect: str, **options: object) -> desim.Result:
    path = tmp_path / "s.toml"
    path.write_text(EXPECTS + expect, encoding="utf-8")
    return desim.run(desim.load(path), **options)  # type: ignore[arg-type]  # of the one test


def test_every_figure_is_worked_out() -> None:
    assert VALUES.keys() == METRICS.keys()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> desim.Result:
    return run(tmp_path_factory.mktemp("metrics"), "")


def test_the_figures_are_what_the_reports_say(result: desim.Result) -> None:
    output = next(t.output for t in result.programs if "ping" in t.command).decode()
    low, mean, high = output.rsplit("= ", 1)[1].split(" ")[0].split("/")
    assert result.metric("ping.min") == Fraction(low) * 10**6
    assert result.metric("ping.max") == Fraction(high) * 10**6
    found = result.metric("ping.mean")
    assert found is not None
    assert abs(found - Fraction(mean) * 10**6) < 1000
    assert (
        result.metric("ping.p50")
        == sorted(
            Fraction(line.split("time=")[1].split(" ")[0]) * 10**6
            for line in output.splitlines()
            if "time=" in line
        )[1]
    )
    assert (result.metric("ping.sent"), result.metric("ping.lost")) == (3, 0)
    assert result.metric("message.time") == result.journey.total_ns
    assert result.metric("end") == result.end_ns
    assert (result.metric("transfers"), result.metric("transfer.bytes")) == (1, 6)
    assert result.metric("transfer.rate") == result.metric("transfer.slowest")
    frames = result.summary["frames"]
    assert result.metric("irq") == frames["interrupts"]
    assert result.metric("frames.to_guest") == frames["points"]["nic"]["to_guest"]
    assert (result.metric("irq_busy"), result.metric("irq_rate")) == (0, 0)
    assert result.metric("irq_frames") is None  # a short transfer, and no interrupt in it


def test_interrupts_are_counted_in_the_time_of_transfers(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(300_000))
    result = desim.run(
        desim.from_qemu(
            "-nic user,model=e1000,hostfwd=tcp::5555-:5556",
            guest=["nc -l -p 5556 > copy"],
            host=[f"nc -N localhost 5555 < {tmp_path}/data"],
        )
    )
    busy, taken = result.metric("transfer.time"), result.metric("irq_busy")
    rate, each = result.metric("irq_rate"), result.metric("irq_frames")
    assert busy
    assert taken
    assert rate == Fraction(taken * 10**9, int(busy))
    assert rate < 7813
    assert each is not None
    assert each > 1
    assert result.metric("transfer.bytes") == 300_000


def test_a_figure_that_is_not_there_is_none() -> None:
    result = desim.run(desim.from_qemu("-nic user", host=["echo hello"]))
    for name in ("message.time", "ping.p99", "ping.sent", "transfer.rate", "transfer.time"):
        assert result.metric(name) is None
    result = desim.run(desim.from_qemu("-nic none", host=["echo hello"]))
    assert result.metric("irq") is None
    with pytest.raises(UserError, match=r"no such figure; there are .* did you mean 'ping\.p99'"):
        result.metric("ping.p98")


def test_the_percentiles_are_those_of_the_nearest_rank(tmp_path: Path) -> None:
    result = desim.run(desim.from_qemu("-nic user", guest=["ping -c 20 -i 0.1 10.0.2.2"]))
    output = next(t.output for t in result.programs if "ping" in t.command).decode()
    trips = sorted(
        int(Fraction(line.split("time=")[1].split(" ")[0]) * 10**6)
        for line in output.splitlines()
        if "time=" in line
    )
    assert len(trips) == 20
    for share, rank in ((50, 10), (90, 18), (95, 19), (99, 20)):
        assert result.metric(f"ping.p{share}") == trips[rank - 1]


def test_ltool_pings_to_the_nanosecond() -> None:
    result = desim.run(
        desim.from_qemu("-nic user", guest=["ltool --json ping 10.0.2.2 5 10000 56 1"])
    )
    told = json.loads(next(t.output for t in result.programs if "ltool" in t.command))
    assert result.metric("ping.min") == told["rtt_min_ns"]
    assert result.metric("ping.max") == told["rtt_max_ns"]
    assert result.metric("ping.sent") == 5


@pytest.mark.slow
def test_what_holds_passes(tmp_path: Path, result: desim.Result) -> None:
    good = """
    ping.p99 = "< 1ms"
    ping.lost = "0"
    message.time = "> 1us"
    transfers = "1"
    transfer.rate = "> 1 kB/s"
    irq_rate = "<= 7813"
    frames.lost = "0"
    guest.file.copy = "hello\\n"
    """
    assert run(tmp_path, good).expectations == ()
    assert main(["run", str(tmp_path / "s.toml"), "--quiet", "--strict-exit"]) == 0


@pytest.mark.slow
def test_what_does_not_hold_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = """
    ping.p99 = "< 10us"
    message.time = "> 5s"
    irq = "0"
    fingerprint = "00000000"
    """
    text = EXPECTS.replace("exit = 0", "exit = 1").replace("3 packets", "4 packets")
    text = text.replace("2s .. 3s", "< 1s").replace("expect.exit = 7", "")
    path = tmp_path / "s.toml"
    path.write_text(text + bad, encoding="utf-8")
    assert main(["run", str(path), "--strict-exit"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0].endswith("FAILED")
    told = [line.removeprefix("desim: ") for line in err.splitlines()]
    assert [line.split(" (")[0].split(": ", 2)[-1] for line in told[:3]] == [
        "exit 0, expected exit 1",
        "its output has no '4 packets received'",
        "took 2.055s, expected < 1s",
    ]
    assert [line.split(": ")[1] for line in told[3:7]] == [
        "message.time",
        "ping.p99",
        "irq",
        "fingerprint",
    ]
    assert told[-1] == "host 'curl -s http://localhost:1': exit 7 (--strict-exit)"
    assert main(["run", str(path), "--quiet", "--set", "expect.fingerprint=xyz"]) == 2


def test_what_was_not_recorded_cannot_be_judged(tmp_path: Path) -> None:
    result = run(
        tmp_path, 'irq_rate = "< 1"\nping.lost = "0"\nfingerprint = "00000000"', record="none"
    )
    first, second = result.expectations
    assert first.startswith("irq_rate: cannot be judged: ")
    assert second.startswith("fingerprint: cannot be judged: ")


def test_an_expected_failure_is_none(tmp_path: Path) -> None:
    result = run(tmp_path, "")
    assert result.failed_programs == ()
    assert "exit 7" in result.report()
    assert "failed      " not in result.report()
