"""On a terminal there are colours and, for a long run, a line that says how far it is."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from desim.cli._progress import progress_line


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


def test_without_a_terminal_there_is_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with progress_line() as report:
        assert report is None


def test_a_long_run_says_how_far_it_is_and_a_short_one_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import rich.console

    clock = [100.0]
    monkeypatch.setattr(rich.console, "monotonic", lambda: clock[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_line() as report:
        assert report is not None
        for virtual, wall in ((1, 100.5), (2, 100.9)):
            clock[0] = wall
            report(virtual * 10**8)
        assert capsys.readouterr().err == ""
        clock[0] = 101.1
        report(1_234_567_890)
    assert "virtual time 1.2 s" in capsys.readouterr().err
