"""The one layout of a scenario file: comments, order and values stay."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomlkit
from hypothesis import example, given, settings
from hypothesis import strategies as st
from runs import SHIPPED

from desim.scenario.layout import formatted
from desim.scenario.shipped import shipped_scenarios

BEFORE = """

#:schema scenario.schema.json
description="one"   # why
  qemu   =   [ '-a',"b" ]


guest . "odd name".x=1
[ other ]

modprobe = "e1000"
# about the first
[[ other.run ]]
command = '''
  two
lines '''
at=5   #now
# the last of it


# about the second
[[other.run]]
expect={exit=0,output="x" , more = [1,2]}
long=["an array that is too long for one line of it","because it has so very many words in it",1]
list = [  # first
   1 ,
   # two
     2

   ,[ 3
   ],{}, [
   ],
   # behind
]
"""
AFTER = """\
#:schema scenario.schema.json
description = "one"  # why
qemu = ['-a', "b"]

guest."odd name".x = 1

[other]
modprobe = "e1000"

# about the first
[[other.run]]
command = '''
  two
lines '''
at = 5  #now
# the last of it

# about the second
[[other.run]]
expect = { exit = 0, output = "x", more = [1, 2] }
long = [
    "an array that is too long for one line of it",
    "because it has so very many words in it",
    1,
]
list = [
    # first
    1,
    # two
    2,

    [
        3,
    ],
    {},
    [],
    # behind
]
"""


def test_the_layout() -> None:
    assert formatted(BEFORE) == AFTER
    assert formatted(AFTER) == AFTER


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("\n\n", ""),
        ("# only this  ", "# only this\n"),
        ("a=1\r\nb=2", "a = 1\nb = 2\n"),
        ("[a]\n\n\n[b]", "[a]\n\n[b]\n"),
        ("[a]\n# of b\n[b]", "[a]\n\n# of b\n[b]\n"),
        ("[a]\n\n# of a\n\n[b]", "[a]\n# of a\n\n[b]\n"),
        ("x=1979-05-27 07:32:00 # then", "x = 1979-05-27 07:32:00  # then\n"),
        ("x=[1]#a", "x = [1]  #a\n"),
        ("x=[1 # a # b\n,2]", "x = [\n    1,  # a # b\n    2,\n]\n"),
        ("x=[\n1,\n\n\n2,\n\n]", "x = [\n    1,\n\n    2,\n]\n"),
        ("x=[ ]\ny=[\n#c\n]", "x = []\ny = [\n    #c\n]\n"),
        ('x=["""a\n b""",1]', 'x = [\n    """a\n b""",\n    1,\n]\n'),
        ("x = {a=[\n1],b={}}", "x = { a = [\n    1,\n], b = {} }\n"),
        ("x=[{a=[\n1\n]}]", "x = [\n    { a = [\n        1,\n    ] },\n]\n"),
        ('x="#[{="', 'x = "#[{="\n'),
        ("x=[nan,inf,0x1F,1_000]", "x = [nan, inf, 0x1F, 1_000]\n"),
    ],
)
def test_each_rule(before: str, after: str) -> None:
    assert formatted(before) == after
    assert formatted(after) == after


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_are_laid_out(name: str) -> None:
    text = Path(shipped_scenarios()[name]).read_text(encoding="utf-8")
    assert text == formatted(text)


values = st.recursive(
    st.integers(-5, 5) | st.booleans() | st.text(max_size=30) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
blanks = st.sampled_from(["", " ", "\t", "  "])
gaps = st.sampled_from(["", "\n", "\n\n\n", '# a [comment] = "x\n', " \n  # another\n"])


@settings(max_examples=40)
@given(st.dictionaries(st.text(min_size=1, max_size=6), values, max_size=5))
def test_values_and_order_stay(data: dict[str, object]) -> None:
    text = tomlkit.dumps(data)
    made = formatted(text)
    assert repr(tomllib.loads(made)) == repr(tomllib.loads(text))
    assert formatted(made) == made


@given(st.lists(st.tuples(blanks, gaps), min_size=12, max_size=12))
@example([("", '# a [comment] = "x\n')] * 12)
def test_comments_stay_wherever_they_are(drawn: list[tuple[str, str]]) -> None:
    (a, one), (b, two), (c, three), (d, four), (e, five), (f, six), *rest = drawn
    text = (
        f"{one}{a}x{b}={c}1{d}\n{two}[{a}t{b}.{c}u{d}]{e}# of t\n{three}"
        f"y{a}={b}[{four}{c}1{f}{five},{six}{d}2{e}]{f}# end\n{rest[0][1]}[[{a}v{b}]]\n{rest[1][1]}"
    )
    made = formatted(text)
    assert tomllib.loads(made) == tomllib.loads(text)
    assert _comments(made) == _comments(text)
    assert formatted(made) == made


def _comments(text: str) -> list[str]:
    return [line[line.index("#") :].rstrip() for line in text.splitlines() if "#" in line]
