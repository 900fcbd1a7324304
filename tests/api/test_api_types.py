"""Type checkers see the API: mypy takes the ten lines, and refuses what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
api = pytest.importorskip("mypy.api", reason="needs mypy: pip install mypy")


def mypy(path: Path, folder: Path) -> list[tuple[int, str]]:
    """The errors of a program that has desim installed: line and code."""
    config = folder / "mypy.ini"
    config.write_text(
        "[mypy]\nstrict = true\n[mypy-desim.*]\nignore_errors = true\n", encoding="utf-8"
    )
    said, failure, _ = api.run(
        [
            f"--config-file={config}",
            f"--cache-dir={folder / 'cache'}",
            "--no-pretty",
            "--show-absolute-path",
            str(path),
        ]
    )
    assert not failure, failure
    found = re.findall(rf"^{re.escape(str(path))}:(\d+): error: .*\[([a-z-]+)\]$", said, re.M)
    return [(int(line), code) for line, code in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def test_the_ten_lines_have_types(folder: Path) -> None:
    program = folder / "ten_lines.py"
    program.write_text((HERE / "ten_lines.txt").read_text(encoding="utf-8"), encoding="utf-8")
    assert mypy(program, folder) == []


def test_what_is_wrong_is_refused(folder: Path) -> None:
    program = HERE / "wrong_types.py"
    lines = program.read_text(encoding="utf-8").splitlines()
    wrong = [
        (number, line.partition("  # ")[2])
        for number, line in enumerate(lines, 1)
        if "  # " in line
    ]
    assert len(wrong) > 10
    assert mypy(program, folder) == wrong
