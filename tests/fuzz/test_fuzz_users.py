"""Laws of a user's, strategies, and what pytest is given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from runs import desim

from desim.api.laws import load_laws
from desim.errors import UserError

LAWS = '''
import desim

@desim.law
def nobody_waits(result):
    """Every command ends."""
    assert all(one.ended_ns is not None for one in result.programs), "somebody waits"

@desim.law
def there_are_no_frames(result):
    """A law that every run breaks."""
    yield f"{len(result.frames['nic'])} frames"
'''
TEST = """
def test_it(desim_run, desim_machine):
    assert desim_machine("hello").now_ns == 0
    result = desim_run({"seed": 7, "until": "4s"}, record="none", capture=False)
    assert result.end_ns == 1
"""


@pytest.fixture
def laws(tmp_path: Path) -> str:
    path = tmp_path / "mylaws.py"
    path.write_text(LAWS)
    return str(path)


def test_desim_run_judges_by_laws_of_a_users(laws: str) -> None:
    done = desim("run", "hello", "--quiet", "--laws", laws)
    assert done.returncode == 1
    assert "law there-are-no-frames: 22 frames" in done.stderr
    assert "nobody-waits" not in done.stderr


def test_desim_fuzz_finds_what_breaks_them(laws: str, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    words = ("--examples", "1", "--seed", "66", "--laws", laws, "--save", str(folder))
    done = desim("fuzz", *words)
    assert done.returncode == 1
    assert "example 66 breaks there-are-no-frames" in done.stdout
    assert f"--laws {laws}" in (folder / "there-are-no-frames-66.toml").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [("x = 1", "decorated with @desim.law"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_file_without_laws_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        load_laws(path)


def test_a_law_that_fails_itself_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import desim\n@desim.law\ndef bad(result):\n    return result.nothing\n")
    done = desim("run", "hello", "--quiet", "--laws", str(path))
    assert done.returncode == 2
    assert "the law bad itself fails: AttributeError" in done.stderr
    assert "mine.py:4" in done.stderr


def test_a_test_that_fails_shows_what_it_ran(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    words = ["-q", "-p", "desim.fuzz.pytest_plugin", "-p", "no:cacheprovider", "test_it.py"]
    environ = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environ,
    )
    assert done.returncode == 1
    assert "seed = 7" in done.stdout, done.stdout
    assert "desim.run(" in done.stdout
