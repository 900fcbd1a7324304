"""Words of a line are those of ``shlex``, and long lines are no trouble."""

from __future__ import annotations

import shlex

from hypothesis import example, given
from hypothesis import strategies as st

from desim.scenario.qemu_words import shell_words


def outcome(split: object, line: str) -> list[str] | str:
    try:
        return split(line)  # type: ignore[operator,no-any-return]
    except ValueError as error:
        return str(error)


@given(st.text(alphabet="ab '\"\\\n\t,=", max_size=20) | st.text(max_size=20))
@example("")
@example("''")
@example("a'b c'\"d e\"\\ f")
@example('"a\\"b\\\\c\\d"')
@example('"a\\')
@example("a\\")
def test_words_are_those_of_shlex(line: str) -> None:
    assert outcome(shell_words, line) == outcome(shlex.split, line)


def test_a_long_word_is_one_match_per_piece() -> None:
    line = "-netdev user," + ",".join(f"hostfwd=tcp::{n}-:80" for n in range(1, 10_001))
    assert [len(word) for word in shell_words(line)] == [7, len(line) - 8]
