"""Reasons have one code each, data by name, and are counted together."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

from desim.machine.reasons import ROOMS, all_reasons, declared
from desim.reasons import Reason, together

SOURCE = Path(__file__).parent.parent / "desim"
UNTIL = Reason("until", "wait for {what} until {until_ns} ns")


def test_a_reason_says_its_data() -> None:
    assert str(UNTIL.of(what="ARP", until_ns=5)) == "wait for ARP until 5 ns"
    assert str(Reason("plain", "no link")) == "no link"


def test_numbers_differ_within_a_group_and_names_do_not() -> None:
    one, two = UNTIL.of(what="ARP", until_ns=5), UNTIL.of(what="ARP", until_ns=70)
    other = UNTIL.of(what="NDP", until_ns=5)
    assert one.group == two.group
    assert one.group != other.group
    assert together([one]) == together([one, one]) == "wait for ARP until 5 ns"
    assert together([two, one, two]) == "wait for ARP until 5 to 70 ns"


def test_codes_are_words_and_each_stands_for_one_reason() -> None:
    codes = [reason.code for room in ROOMS for reason in declared(room)]
    assert len(codes) == len(set(codes)) == len(all_reasons())
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code) for code in codes)


def test_no_declared_reason_has_data_of_a_frame() -> None:
    assert all(not reason.data for reason in all_reasons().values())


def calls(room: str) -> list[tuple[str, ast.Call]]:
    """Every call in a room, with what is called."""
    found = []
    for path in sorted((SOURCE / room).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found.append((ast.unparse(node.func), node))
    return found


@pytest.mark.parametrize("room", [module.__name__.split(".")[1] for module in ROOMS])
def test_each_reason_of_a_room_is_used_with_the_data_that_its_text_names(room: str) -> None:
    (module,) = (m for m in ROOMS if m.__name__ == f"desim.{room}.reasons")
    given = {
        name.split(".")[1]: {keyword.arg for keyword in call.keywords}
        for name, call in calls(room)
        if name.startswith("reasons.") and name.endswith(".of")
    }
    source = "".join(
        p.read_text(encoding="utf-8")
        for p in (SOURCE / room).glob("*.py")
        if p.name != "reasons.py"
    )
    for name, reason in vars(module).items():
        if isinstance(reason, Reason):
            named = {field for _, field, _, _ in Formatter().parse(reason.text) if field}
            assert given.get(name, set()) == named, name
            assert re.search(rf"\breasons\.{name}\b", source), f"{name} is never used"


@pytest.mark.parametrize("room", [module.__name__.split(".")[1] for module in ROOMS])
def test_no_call_of_a_ledger_makes_up_a_reason(room: str) -> None:
    for name, call in calls(room):
        if name.split(".")[-1] in ("lost", "held", "made", "drop", "purge") and call.args:
            assert not isinstance(call.args[-1], (ast.Constant, ast.JoinedStr)), ast.unparse(call)
