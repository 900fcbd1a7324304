"""Classes of plain data are what the standard library's are, but for the time they take to make."""

from __future__ import annotations

import ast
import dataclasses
import pickle
import typing
from copy import deepcopy
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim import data


@data.dataclass(frozen=True, slots=True)
class Frozen:
    kind: ClassVar[str] = "frozen"
    x: int
    label: str = data.field(default="", compare=False)
    more: list[int] = data.field(default_factory=list)

    def twice(self) -> int:
        return 2 * self.x


@data.dataclass(slots=True, kw_only=True)
class Base:
    a: int = 3


@data.dataclass(slots=True, kw_only=True)
class Child(Base):
    b: int


class Pair(data.NamedTuple):
    """Two."""

    left: int
    right: str = "r"

    def both(self) -> str:
        return f"{self.left}{self.right}"


class StandardPair(typing.NamedTuple):
    left: int
    right: str = "r"


@dataclasses.dataclass(frozen=True, slots=True)
class StandardFrozen:
    x: int
    label: str = dataclasses.field(default="", compare=False)
    more: list[int] = dataclasses.field(default_factory=list)


values = st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.lists(st.integers(0, 2)))


@given(values, values)
def test_objects_are_equal_where_the_standard_librarys_are(one, other) -> None:
    mine, theirs = (Frozen(*one), Frozen(*other)), (StandardFrozen(*one), StandardFrozen(*other))
    assert (mine[0] == mine[1]) == (theirs[0] == theirs[1])
    assert repr(mine[0]) == repr(theirs[0]).replace("Standard", "")


def test_frozen_ones_hash_and_do_not_change() -> None:
    first = Frozen(1, "a", [2])
    with pytest.raises(TypeError, match="unhashable"):
        dict.fromkeys([first])
    assert len({Frozen(1, "a", ()), Frozen(1, "b", ())}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        first.x = 3
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del first.x
    with pytest.raises(AttributeError):
        Child(b=1).c = 3  # it has slots
    with pytest.raises(TypeError, match="unhashable"):
        dict.fromkeys([Child(b=1)])


def test_they_are_called_as_they_are_declared() -> None:
    assert (Frozen(1).more, Frozen(1).more is Frozen(1).more) == ([], False)
    assert Child(b=1) == Child(a=3, b=1) != Base()
    assert repr(Child(b=1)) == "Child(a=3, b=1)"
    with pytest.raises(TypeError, match="positional"):
        Child(1, 2)
    with pytest.raises(TypeError, match="missing 1 required"):
        Frozen()
    assert (Frozen.kind, Frozen(4).twice()) == ("frozen", 8)
    assert Frozen.__match_args__ == ("x", "label", "more")


def test_copies_and_what_dataclasses_offers_work() -> None:
    made = Frozen(1, "a", [2])
    for copied in (deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert repr(copied) == repr(made)
    assert dataclasses.replace(made, x=5) == data.replace(made, x=5) == Frozen(5, "", [2])
    assert dataclasses.replace(Child(b=1), b=2) == data.replace(Child(b=1), b=2) == Child(b=2)
    assert dataclasses.asdict(made) == {"x": 1, "label": "a", "more": [2]}
    assert [f.name for f in dataclasses.fields(Child)] == ["a", "b"]
    assert [f.name for f in data.fields(Child)] == ["a", "b"]


def test_the_standard_library_inherits_from_them() -> None:
    @dataclasses.dataclass(frozen=True)
    class More(Frozen):
        y: int = 5

    assert repr(More(1, y=2)).endswith("More(x=1, label='', more=[], y=2)")


@given(st.tuples(st.integers(0, 3), st.sampled_from("ab")))
def test_a_tuple_with_names_is_a_tuple(pair) -> None:
    mine, theirs = Pair(*pair), StandardPair(*pair)
    assert mine == theirs == pair
    assert mine._asdict() == theirs._asdict()
    assert mine._replace(left=7) == theirs._replace(left=7)
    assert repr(mine) == repr(theirs).removeprefix("Standard")
    assert (mine.left, mine.right, mine.both()) == (*pair, f"{pair[0]}{pair[1]}")
    assert type(pickle.loads(pickle.dumps(mine))) is type(deepcopy(mine)) is Pair


def test_a_tuple_with_names_is_called_and_described_as_it_is_declared() -> None:
    assert Pair(1) == Pair(left=1) == (1, "r")
    for wrong in ({}, {"left": 1, "wrong": 2}):
        with pytest.raises(TypeError):
            Pair(**wrong)
    assert (Pair._fields, Pair._field_defaults) == (("left", "right"), {"right": "r"})
    assert (Pair.__doc__, Pair.__match_args__, Pair._make([1, 2])) == ("Two.", Pair._fields, (1, 2))
    with pytest.raises(AttributeError):
        Pair(1).left = 2


def test_no_class_of_desim_is_made_by_the_standard_library() -> None:
    """It would be compiled at the start of every run, 0.4 ms each."""
    room = Path(data.__file__).parent
    found = [
        f"{path.relative_to(room)}:{node.lineno}: {node.module}"
        for path in sorted(room.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        if node.module == "dataclasses" or "NamedTuple" in [name.name for name in node.names]
        if path != Path(data.__file__) and node.module != "desim.data"
    ]
    assert not found, "\n".join(["take these from desim.data:", *found])
