"""Small programs against what the real ones answered (tests/vectors/programs)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from desim.testing.host import Host
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS

RECORDED = json.loads(
    (Path(__file__).parents[1] / "vectors" / "programs" / "recorded.json").read_text()
)
FILES = {name: text.encode() for name, text in RECORDED["files"].items()}
FILES["sub/"] = b"x\nyy\n"
RATE = re.compile(r" copied, .*")


def name_of(case: dict[str, Any]) -> str:
    return f"{'busybox ' if case['busybox'] else ''}{case['line']}"


@pytest.mark.parametrize("case", RECORDED["cases"], ids=name_of)
def test_the_program_answers_as_the_real_one(case: dict[str, Any]) -> None:
    host = Host(FILES)
    table = GUEST_PROGRAMS if case["busybox"] else HOST_PROGRAMS
    (process,) = host.start(f"{case['line']} > out. 2> err.", table)
    host.settle()
    written = {name: file.content().decode() for name, file in host.tree.files.items()}
    out, err = written.pop("out."), written.pop("err.")
    if case["line"].startswith("ls"):
        out = re.sub(r"(err|out)\.\n", "", out)
    written = {name: text for name, text in written.items() if len(text) < 5000}
    assert out == case["out"]
    assert RATE.sub("", err) == RATE.sub("", case["err"])
    assert process.exit_status == case["status"]
    assert written == case["written"]
