"""Every key of a TOML file is found on the line where it stands."""

from __future__ import annotations

import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from desim.scenario.lines import Lines

TEXT = '''# a comment with [brackets] and = signs
description = "one # not a comment"
qemu = [
    "-netdev user,id=u",  # first
    '-device e1000,netdev=u',
]
text = """
[[not.a.table]]
key = 1
"""
[[guest.run]]
command = "a"
at = "1s"

[[guest.run]]
command = "b"
[guest.run.more]
x = {y = 1, z = [1, {w = 2}]}
[expect]
guest.file."hello.txt" = """a"b""c\\""""
guest . file . 'odd name' = 'x'
last = 1'''


def test_keys_of_every_kind() -> None:
    lines = Lines(TEXT)
    assert lines.of(("description",)) == 2
    assert lines.of(("qemu",)) == 3
    assert lines.of(("qemu", 0)) == 4
    assert lines.of(("qemu", 1)) == 5
    assert lines.of(("guest", "run", 0)) == 11
    assert lines.of(("guest", "run", 0, "at")) == 13
    assert lines.of(("guest", "run", 1, "command")) == 16
    assert lines.of(("guest", "run", 1, "more", "x", "z", 1, "w")) == 18
    assert lines.of(("expect", "guest", "file", "hello.txt")) == 20
    assert lines.of(("expect", "guest", "file", "odd name")) == 21
    assert lines.of(("expect", "last")) == 22


def test_a_key_that_is_not_there_is_looked_for_in_the_table_around_it() -> None:
    lines = Lines(TEXT)
    assert lines.of(("guest", "run", 1, "stop")) == 15
    assert lines.of(("nothing",)) == 1


values = st.recursive(
    st.integers(-5, 5) | st.booleans() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1, max_size=6), values, max_size=5))
def test_a_unique_key_is_on_the_line_that_names_it(data: dict[str, object]) -> None:
    text = tomlkit.dumps(data)
    lines = Lines(text)
    rows = text.split("\n")
    for key in data:
        quoted = tomlkit.dumps({key: 0}).partition(" =")[0]
        assert quoted in rows[lines.of((key,)) - 1] or isinstance(data[key], (dict, list))
