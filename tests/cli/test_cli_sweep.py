"""``desim sweep`` from the command line: what it shows, writes and refuses."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from desim.cli import main
from desim.cli._sweeping import how_far, how_long
from desim.sweeps.database import Database
from desim.sweeps.sweep import Progress

PINGS = """
description = "Pings"
qemu = "-nic user,model=e1000"
costs = "zero"
guest.ipv6 = false
guest.run = [{ command = "ping -c 2 -i 0.001 10.0.2.2" }]
"""
VARY = (
    "--vary",
    "guest.modprobe.RxAbsIntDelay=0,100",
    "--seeds",
    "1:2",
    "--metrics",
    "irq,ping.sent",
)


@pytest.fixture
def pings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pings.toml").write_text(PINGS, encoding="utf-8")
    return "pings.toml"


def test_a_sweep_shows_a_table_and_leaves_files(pings: str, capsys: Any) -> None:
    assert main(["sweep", pings, *VARY, "-j", "1", "--csv", "runs.csv"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (name,) = [path.name for path in Path().glob("pings-*.db")]
    assert out.splitlines() == [
        "pings: Pings",
        "  guest.modprobe.RxAbsIntDelay (2) x seed (2): 4 runs",
        "  costs zero",
        "",
        "RxAbsIntDelay  irq  ping.sent",
        "            0    9          2",
        "          100    9          2",
        "",
        "each figure is the median of 2 runs",
        "",
        f"results in {name}",
    ]
    with open("runs.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["guest.modprobe.RxAbsIntDelay"], row["seed"], row["irq"]) for row in rows] == [
        ("0", "1", "9"), ("0", "2", "9"), ("100", "1", "9"), ("100", "2", "9"),
    ]  # fmt: skip
    assert {len(row["fingerprint"]) for row in rows} == {64}
    assert main(["sweep", pings, *VARY, "--csv", "-"]) == 0
    assert capsys.readouterr().out == Path("runs.csv").read_text(encoding="utf-8")
    assert main(["sweep", pings, *VARY, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_runs_that_fail_are_told_and_exit_1(pings: str, capsys: Any) -> None:
    words = ["sweep", pings, "--vary", "run.limits.events=300,1000000", "-j", "1"]
    assert main([*words, "--show", "ping.sent", "--set", 'expect.ping.sent="3"']) == 1
    shown = capsys.readouterr().out
    assert "1 run failed:\n  run 0 (run.limits.events=300, seed=1): stopped: more than 300" in shown
    assert "2 of 2 runs did not come to what the scenario expects" in shown
    assert "   300          -\n1000000          2\n" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "pings: nothing varies; give --vary KEY=VALUES or --seeds 1:5, or a table"),
        (["--vary", "seed"], "argument --vary: 'seed': must be KEY=VALUES"),
        (
            ["--vary", "guest.modprobe.RxDelay=1"],
            "--vary guest.modprobe.RxDelay: e1000 has no such parameter",
        ),
        (["--vary", "until=5"], '--vary until 5: a duration is text such as "250ms"'),
        (["--seeds", "x"], "argument --seeds: 'x': x: a seed is a whole number from 0 on"),
        (["--seeds", "1:3", "--repeat", "2"], "--seeds and --repeat: one of them"),
        (["--seeds", "1:3", "--metrics", "pings"], "pings: no such metric; there are"),
        (["--seeds", "1:3", "--executor", "slurm://x"], "must be dask://HOST:PORT"),
        (["--seeds", "1:3", "-o", "pings.toml"], "pings.toml: not a database, or a broken one"),
        (["--zip", "slirp=4.7,2.8", "until=5s"], "slirp has 2, until has 1"),
        (["--zip", "seed=1,2", "until=5s,6s"], "--zip seed: seeds are given twice, or change"),
    ],
)
def test_what_cannot_be_is_one_line(pings: str, words: list[str], told: str, capsys: Any) -> None:
    before = sorted(Path().iterdir())
    assert main(["sweep", pings, *words]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
    assert sorted(Path().iterdir()) == before


def test_what_cannot_be_written_is_told_and_devices_stay(
    pings: str, tmp_path: Path, capsys: Any
) -> None:
    words = ["sweep", pings, "--vary", "until=8s,9s", "--metrics", "irq"]
    assert main([*words, "--csv", "no/where.csv"]) == 2
    assert "no/where.csv: cannot be written: No such file or directory" in capsys.readouterr().err
    os.mkfifo("pipe")
    with open(os.open("pipe", os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as reader:
        assert main([*words, "--csv", "pipe"]) == 0
        assert reader.read().count("\n") == 3
    assert Path("pipe").is_fifo()


def test_a_million_runs_are_not_begun_by_mistake(pings: str, capsys: Any) -> None:
    assert main(["sweep", pings, "--seeds", "1:1000000", "-j", "2"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("desim: 1,000,000 runs, about ")
    assert told.endswith(" for 2 at a time: --yes begins\n")
    assert sorted(path.name for path in Path().iterdir()) == ["pings.toml"]


FOREGROUND = """
import signal, sys
from desim.cli import main

# A shell without job control puts what it starts in the background with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_ctrl_c_keeps_what_there_is(pings: str) -> None:
    words = [sys.executable, "-c", FOREGROUND, "sweep", pings, "--seeds", "1:1000", "-o", "a.db"]
    running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not Path("a.db-wal").exists() or Path("a.db-wal").stat().st_size < 60_000:
        assert running.poll() is None
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    _, err = running.communicate()
    assert running.returncode == 130
    database = Database.read("a.db")
    assert f"interrupted: {len(database):,} of 1,000 runs are in a.db; the same command" in err
    assert "Traceback" not in err
    assert 0 < len(database) < 1000
    database.close()
    assert not Path("a.db-wal").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (99, "99 s"), (600, "10 min"), (7200, "2.0 h"), (1e6, "12 days")],
)
def test_how_long_in_words(seconds: float, text: str) -> None:
    assert how_long(seconds) == text


def test_how_far_in_words() -> None:
    step = Progress(120, 400, 2, 0.1, 2, (17, 65.0))
    assert how_far(step, 100, 5) == "120 of 400 runs, 20.0/s, 14 s left, run 17 for 65 s, 2 failed"
    assert how_far(Progress(0, 9, 0, None, 2, None), 0, 2) == "0 of 9 runs"
