"""On a terminal there are colours and, for a long run, a line that says how far it is."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import desim
from desim.api.scenario import Scenario
from desim.cli._progress import known_end
from desim.cli._running import progress_line


def on_a_terminal(*words: str) -> str:
    """What ``desim`` shows on a terminal of its own, 80 columns wide."""
    ours, its = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment |= {"TERM": "xterm", "COLUMNS": "80"}
    running = subprocess.Popen(
        [sys.executable, "-m", "desim", *words], stdout=its, stderr=its, env=environment
    )
    os.close(its)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end has gone
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert running.wait() == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "s.toml"
    path.write_text('costs = "zero"\n[[host.run]]\ncommand = "echo Hello"\n')
    return str(path)


@pytest.mark.slow
def test_colours_change_no_word(scenario: str) -> None:
    from desim.experiment.run import run
    from desim.report import terminal
    from desim.scenario.loader import load_scenario

    shown = on_a_terminal("run", scenario)
    assert "\x1b[1m" in shown
    config = load_scenario(scenario)
    plain = terminal.text(run(config), config, 80)
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == plain + "\n"


@pytest.mark.slow
def test_colours_can_be_asked_for_and_refused(scenario: str) -> None:
    def coloured(*words: str, **environment: str) -> bool:
        done = subprocess.run(
            [sys.executable, "-m", "desim", "run", scenario, *words],
            env={k: v for k, v in os.environ.items() if k not in COLOURS} | environment,
            capture_output=True,
            check=True,
        )
        return b"\x1b[" in done.stdout

    assert not coloured()
    assert coloured("--color", "always")
    assert coloured("--color", "always", TERM="dumb")
    assert coloured(FORCE_COLOR="1")
    assert coloured(FORCE_COLOR="1", TERM="dumb")
    assert not coloured(FORCE_COLOR="1", NO_COLOR="1")
    assert not coloured("--color", "never", FORCE_COLOR="1")
    assert coloured("--color", "always", NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal("run", scenario, "--color", "never")


COLOURS = ("NO_COLOR", "FORCE_COLOR")


def made() -> Scenario:
    return desim.from_qemu("-nic user", host=["echo Hello"])


def test_without_a_terminal_there_is_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with progress_line(made()) as report:
        assert report is None


def test_a_long_run_says_how_far_it_is_and_a_short_one_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import rich.console

    clock = [100.0]
    monkeypatch.setattr(rich.console, "monotonic", lambda: clock[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with progress_line(made().set({"until": "8500ms"})) as report:
        assert report is not None
        for virtual, wall in ((1, 100.5), (2, 100.9)):
            clock[0] = wall
            report(virtual * 10**8)
        report.writing("out")
        assert capsys.readouterr().err == ""
        clock[0] = 102.0
        report(2_400_000_000)
        shown = capsys.readouterr().err
        assert "qemu  virtual time 2.4 of 8.5 s, 1.2 s per second" in shown
        report.writing("out")
        assert "qemu  writing out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, None),
        ({"until": "5s"}, 5 * 10**9),
        ({"host.run[0].at": "1s"}, None),
        ({"host.run[0].stop": "9s"}, 9 * 10**9),
        ({"host.run[0].stop": "9s", "until": "5s"}, 5 * 10**9),
        ({"host.run[0].stop": "9s", "until": "12s"}, 9 * 10**9),
        ({"host.run[0].stop": "+3s"}, None),
        ({"host.run[0].at": "2s", "host.run[0].stop": "+3s"}, 5 * 10**9),
    ],
)
def test_when_a_run_is_over_at_the_latest(changes: dict[str, object], end: int | None) -> None:
    assert known_end(made().set(changes).configuration()) == end


@pytest.mark.slow
def test_ctrl_c_is_answered_at_once(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(200_000_000))
    scenario = tmp_path / "long.toml"
    scenario.write_text(
        'costs = "zero"\n'
        'qemu = "-nic user,model=e1000,hostfwd=tcp::5555-:5556"\n'
        'guest.run = [{ command = "nc -l -p 5556 > copy" }]\n'
        'host.run = [{ command = "nc -N localhost 5555 < data" }]\n'
        'expect.guest.file.copy = "something else"\n'
    )
    running = subprocess.Popen(
        [sys.executable, "-c", FOREGROUND, "run", str(scenario), "--set", "until=1h"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline() == "begun\n"
    running.send_signal(signal.SIGINT)
    assert running.stderr.readline() == "desim: finishing; again to stop at once\n"
    out, err = running.communicate()
    assert running.returncode == 130
    assert "expected otherwise" not in err
    assert "interrupted at" in err
    assert out.splitlines()[0].endswith("interrupted")


FOREGROUND = """
import signal, sys
from desim.cli import main
from desim.machine import Machine

signal.signal(signal.SIGINT, signal.default_int_handler)
before = Machine.run

def run(self, progress=None, interrupted=None):
    self.env.call_at(4_000_000_000, lambda _: print("begun", flush=True))
    before(self, progress, interrupted)

Machine.run = run
sys.exit(main(sys.argv[1:]))
"""
"""A run that says when it is under way; Ctrl-C is handled as in the foreground."""
