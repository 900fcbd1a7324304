"""What becomes of output when nobody takes it, or only ASCII; and of Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import needs
import pytest

from desim.cli import _main


def shell(line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, with ``desim`` in it."""
    environment = {**os.environ, **more}
    script = f'desim() {{ "{sys.executable}" -m desim "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_are_no_mistake(closed: str) -> None:
    done = shell(f"desim scenarios {closed}")
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_mistake_with_a_closed_stderr_still_exits_2() -> None:
    done = shell("desim run nosuch 2>&-")
    assert (done.returncode, done.stdout) == (2, "")


@needs.dev_full
def test_a_full_device_is_one_line() -> None:
    done = shell("desim scenarios > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "desim: standard output: No space left on device\n"


@pytest.mark.slow
def test_a_reader_that_wants_one_line_gets_it() -> None:
    done = shell("desim run hello | head -1")
    assert done.stdout.startswith("hello: One line of text")
    assert done.stderr == ""


@pytest.mark.slow
def test_a_terminal_that_knows_only_ascii_gets_escapes(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('description = "caf\\u00e9"\ncosts = "zero"\n')
    done = shell(f"desim run {tmp_path}/s.toml --until 1ms", PYTHONIOENCODING="ascii")
    assert done.stdout.startswith("s: caf\\xe9  ")


@pytest.mark.slow
def test_the_report_does_not_depend_on_the_environment(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('costs = "zero"\n')
    line = f"desim run {tmp_path}/s.toml --until 1ms"
    plain = shell(line).stdout
    assert shell(line, COLUMNS="40", LC_ALL="C", TERM="dumb").stdout == plain
    assert shell(line, HOME="/nonexistent").stdout == plain


@pytest.mark.slow
def test_words_from_a_scenario_are_never_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        'description = "\\u001b]0;owned\\u0007"\ncosts = "zero"\n'
        "[[host.run]]\ncommand = \"echo '\\u001b c\\u202e'\"\n"
    )
    for line in (f"run {path}", f"topology {path}", f"topology {path} --dot"):
        done = shell(f"desim {line}")
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert "\u202e" not in done.stdout


def test_a_second_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(_main, "_dispatch", interrupted)
    monkeypatch.setattr(_main, "complain", interrupted)
    assert _main.main(["run", "hello"]) == 130


def python(text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What Python says to a program, whose streams are pipes."""
    return subprocess.run([sys.executable, "-c", text, *words], capture_output=True, text=True)


def test_what_was_asked_for_at_the_end_still_happens() -> None:
    text = "import atexit\nfrom desim.cli import process\natexit.register(print, 'bye')\nprocess()"
    assert python(text, "--version").stdout.splitlines()[1:] == ["bye"]
    done = python("from desim.cli import process\nprocess()\nprint('behind')", "--version")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)  # it has ended by itself


def test_who_has_called_a_command_hears_of_its_end() -> None:
    called = "from desim.cli import process\ndef called():\n    process()\n    print('back')\n"
    text = f"space = {{'__name__': 'other'}}\nexec({called!r}, space)\nspace['called']()"
    assert python(text, "--version").stdout.splitlines()[1:] == ["back"]
    done = shell(f'"{sys.executable}" -m cProfile -m desim --version')
    assert "function calls" in done.stdout, done.stderr


def test_what_was_printed_before_a_mistake_is_not_lost() -> None:
    text = (
        "import desim.cli._main as cli\nfrom desim.errors import UserError\n"
        "def printed(words):\n    print('before')\n    raise UserError('a mistake')\n"
        "cli._dispatch = printed\ncli.process()"
    )
    done = python(text)
    assert (done.returncode, done.stdout, done.stderr) == (2, "before\n", "desim: a mistake\n")
