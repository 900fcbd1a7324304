"""What the README says is what there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/desim run hello"
TEST = "python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox"


def test_its_two_commands_stand_alone_on_their_lines() -> None:
    assert f"\n{RUN}\n" in README
    assert f"\n{TEST}\n" in README


def test_the_gate_runs_the_second_one_word_for_word() -> None:
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == TEST


def test_every_folder_it_names_is_there() -> None:
    tree = README.partition("## Where things are")[2]
    for name in re.findall(r"^(desim/\S+|\w+/)  ", tree, flags=re.M):
        assert (ROOT / name).exists(), name


def test_the_pinned_versions_name_no_address() -> None:
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line)
