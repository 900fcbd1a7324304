"""Keys and changed values: whatever is asked for is done, or is a mistake that says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import desim
from desim.scenario.document import dotted, read_key, read_setting

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
KNOWN = ["seed", "qemu", "until", "guest", "guest.run", "guest.run[0]", "guest.run[0].at", "dns"]
KNOWN += ["guest.run[0].command", "guest.modprobe", "guest.ipv6", "guest.sysctl", "expect"]
KNOWN += ["host.run", "expect.guest.file", 'expect.host.file."a.b"', "dns.record", "costs"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
HELLO = desim.load("hello")


@given(NAMES, st.lists(NAMES | st.integers(0, 999_999), max_size=4))
def test_what_messages_call_a_key_is_that_key(first: str, rest: list[str | int]) -> None:
    key = (first, *rest)
    assert read_key(dotted(key)) == key
    assert read_setting(f"{dotted(key)}=x")[0] == dotted(key)


@given(st.dictionaries(st.sampled_from(KNOWN) | st.text(max_size=12), VALUES, max_size=3))
def test_any_change_is_made_or_is_a_mistake(changes: dict[str, Any]) -> None:
    messages = ["made"]
    try:
        changed = HELLO.set(changes)
        assert eval(repr(changed)) == changed
    except desim.ScenarioError as error:
        messages = error.messages
    assert messages
    assert all(message.strip() for message in messages)


@given(st.text())
def test_any_text_is_a_setting_or_a_mistake(text: str) -> None:
    message = "not a key"
    try:
        assert read_key(read_setting(text)[0])
    except ValueError as error:
        message = str(error)
    assert "not a key" in message or "KEY=VALUE" in message


@pytest.mark.parametrize("value", [object(), {1, 2}, range(3), 1j])
def test_what_no_file_could_hold_is_a_mistake(value: object) -> None:
    with pytest.raises(desim.ScenarioError):
        HELLO.set({"seed": value})
