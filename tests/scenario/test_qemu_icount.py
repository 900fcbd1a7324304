"""``-icount`` as QEMU reads it, and what of it matters here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from desim.cli import main
from desim.errors import UserError
from desim.scenario.loader import load_scenario
from desim.scenario.qemu_options import Network, parse_qemu_options


def parse(*words: str) -> Network:
    return parse_qemu_options(words, open_folder=lambda _: {})


@pytest.mark.parametrize(
    ("words", "shift"),
    [
        ([], None),
        (["-icount", "shift=0"], 0),
        (["-icount", "3"], 3),
        (["-icount", "0x0a"], 10),
        (["-icount", "shift=3,sleep=off"], 3),
        (["-icount", "shift=3", "-icount", "shift=5"], 5),
        (["-icount", "sleep=off"], None),
    ],
)
def test_the_shift_is_read(words: list[str], shift: int | None) -> None:
    assert parse(*words).icount_shift == shift


def test_what_is_about_real_time_is_named_as_without_effect() -> None:
    assert parse("-icount", "1,sleep=off").notes == [
        "no effect on the network, ignored: -icount sleep=off"
    ]
    with pytest.raises(UserError, match="shift=auto follows real time, which is not modelled"):
        parse("-m", "256", "-icount", "auto")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("11", "icount: Invalid shift value; shift is 0 to 10"),
        ("-1", "icount: Invalid shift value; shift is 0 to 10"),
        ("1x", "icount: Invalid shift value; shift is 0 to 10"),
        ("1,align=on,sleep=off", "align=on and sleep=off are incompatible"),
        ("align=off", "Please specify shift option when using align"),
        ("1,sleep=maybe", "Parameter 'sleep' expects 'on' or 'off' (it is 'maybe')"),
        ("1,sleeep=on", "Invalid parameter 'sleeep'; did you mean 'sleep'?"),
    ],
)
def test_mistakes_are_told_in_qemus_words(value: str, text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse("-icount", value)
    # QEMU takes a value without "=" in front for the shift's.
    assert [message.partition(": ")[2] for message in caught.value.messages] == [text]


def test_a_scenario_has_it_too(tmp_path: Path) -> None:
    file = tmp_path / "slow.toml"
    file.write_text('qemu = "-icount shift=4 -nic user"\ncosts = "zero"\n')
    assert load_scenario(str(file)).icount_shift == 4


def test_with_costs_in_ns_it_is_named_and_has_no_effect(capsys: Any) -> None:
    words = ["qemu", "-nic", "user", "--guest", "ifconfig eth0", "--json"]
    assert main(words) == 0
    expected = json.loads(capsys.readouterr().out)
    assert main([*words, "-icount", "3"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    (note,) = found.pop("notes")
    assert note.startswith("no effect, ignored: -icount shift=3: costs study-2016 are in ns")
    assert note in told.err
    for summary in (found, expected):
        summary.pop("qemu")
    assert expected.pop("notes") == []
    assert found == expected
