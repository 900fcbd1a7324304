"""The table of lines, asked of the real QEMU where one is installed: cards, and words of refusal.

Of a line the network's options are given to it, with a monitor and without a guest that runs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_qemu_lines import LINES, outcome

from desim.devices import CARD_SWITCHES
from desim.scenario.qemu_machine import read_board
from desim.scenario.qemu_options import parse_qemu_options
from desim.scenario.qemu_today import todays_words
from desim.scenario.qemu_words import Line, read_words, split_line

PROGRAM = "qemu-system-x86_64"
ASK = "info network\ninfo qtree\nquit\n"
QUIET = ["-S", "-display", "none", "-serial", "none", "-parallel", "none", "-monitor", "stdio"]
OURS = re.compile("filter-(loss|delay|duplicate|reorder|corrupt)")
PASSED_OVER = ("-accel", "-icount")
"""What depends on the machine that QEMU runs on, and does nothing to the network."""


def installed() -> str:
    """The version of the QEMU that is installed, such as ``7.2``; "" if there is none."""
    if shutil.which(PROGRAM) is None:
        return ""
    told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+\.\d+)", told.stdout)
    return found[1] if found else ""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        installed() != "7.2", reason="needs QEMU 7.2 (Debian 12: apt install qemu-system-x86)"
    ),
]


def read(line: str) -> Line:
    return read_words(split_line(line), [])


def for_x86(line: str) -> bool:
    return read(line).program.arch in ("x86_64", "i386")


def asked(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What the real one says to the network's options of a line."""
    options = [option for option in read(line).options if option.flag not in PASSED_OVER]
    words = [word for option in options for word in (option.flag, option.value) if word]
    return told(words, folder)


def told(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """What the real one says to ``words``."""
    return subprocess.run(
        [PROGRAM, *QUIET, *words],
        cwd=folder,
        input=ASK,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )


def card(told: str) -> str:
    """The card in what the monitor printed, as the table has it."""
    model = re.search(r"type=nic,model=([\w-]+)", told)
    if model is None:
        return "no card"
    device = re.search(rf"^ *dev: {model[1]}, .*?(?=^ *dev: |^ *bus: |\Z)", told, re.S | re.M)
    assert device is not None
    off = [
        name
        for key, name in CARD_SWITCHES.items()
        if re.search(rf"^ *{key} = false", device[0], re.M)
    ]
    return " ".join([model[1], *sorted(f"{name}=off" for name in off)])


RUN = [line for what, _, line in LINES if what == "run" and for_x86(line) and not OURS.search(line)]
REFUSED = [line for what, _, line in LINES if what == "refuse" and for_x86(line)]


@pytest.mark.parametrize("line", RUN)
def test_a_line_that_runs_has_the_card_of_the_real_one(line: str, tmp_path: Path) -> None:
    (tmp_path / "tftp").mkdir()
    network = parse_qemu_options(split_line(line), open_folder=lambda name: {})
    done = asked(line, tmp_path)
    if network.spellings.gone:
        assert done.returncode == 1
        assert any(spelling.refusal in done.stderr for spelling in network.spellings.gone)
        return
    if done.returncode == 1 and re.search("-M pc-1[.]3", line):
        assert "unsupported machine type" in done.stderr  # 7.2 has it no more
        return
    assert done.returncode == 0, done.stderr
    assert card(done.stdout) == outcome(line)[1]


@pytest.mark.parametrize("line", RUN)
def test_todays_words_are_the_same_card_there(line: str, tmp_path: Path) -> None:
    found = read(line)
    machines = [option for option in found.options if option.flag in ("-M", "-machine")]
    options = [option for option in found.options if option.flag not in PASSED_OVER]
    done = told(todays_words(options, read_board(found.program, machines, [])), tmp_path)
    assert done.returncode == 0, done.stderr
    assert card(done.stdout) == outcome(line)[1]


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_that_both_refuse_is_refused_in_the_same_words(line: str, tmp_path: Path) -> None:
    mistakes: list[str] = []
    read_words(split_line(line), mistakes)
    said = outcome(line)[1]
    done = asked(line, tmp_path)
    if mistakes:
        return  # what cannot be read is not asked of it
    if done.returncode == 0 or re.search("not modelled|has no card|is none that is", said):
        return  # it runs there, or what keeps it from running there is something else
    text = done.stderr.splitlines()[0].removeprefix(f"{PROGRAM}: ")
    # Of some mistakes the real one does not say in which option they are.
    assert text in said, (said, text)
