"""``Data`` and ``NamedTuple`` do what ``@dataclass(slots=True)`` and typing's tuples do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import typing
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from desim.data import FEW, Data, NamedTuple, field, fields, replace

T = TypeVar("T")


class Ours(Data):
    kind: ClassVar[str] = "point"
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False)

    def both(self) -> int:
        return self.x + self.y


@dataclasses.dataclass(slots=True)
class Theirs:
    kind: ClassVar[str] = "point"
    x: int
    y: int = 2
    names: list[str] = dataclasses.field(default_factory=list)
    note: str = dataclasses.field(default="", compare=False)

    def both(self) -> int:
        return self.x + self.y


class OursFrozen(Data, frozen=True):
    x: int
    name: str = "a"


@dataclasses.dataclass(slots=True, frozen=True)
class TheirsFrozen:
    x: int
    name: str = "a"


class OursNamed(OursFrozen, frozen=True, kw_only=True):
    z: int = 3


@dataclasses.dataclass(slots=True, frozen=True, kw_only=True)
class TheirsNamed(TheirsFrozen):
    z: int = 3


class OursItself(Data, eq=False):
    x: int


@dataclasses.dataclass(slots=True, eq=False)
class TheirsItself:
    x: int


class OursEqualAgain(OursItself):
    name: str = "a"


@dataclasses.dataclass(slots=True)
class TheirsEqualAgain(TheirsItself):
    name: str = "a"


class OursBoth(Generic[T], OursFrozen, frozen=True):
    z: int = 3


@dataclasses.dataclass(slots=True, frozen=True)
class TheirsBoth(Generic[T], TheirsFrozen):
    z: int = 3


class OursTuple(NamedTuple, Generic[T]):
    x: T
    name: str = "a"

    def both(self) -> str:
        return f"{self.x}{self.name}"


class TheirsTuple(typing.NamedTuple, Generic[T]):
    x: T
    name: str = "a"

    def both(self) -> str:
        return f"{self.x}{self.name}"


PAIRS: list[tuple[Any, Any]] = [
    (Ours, Theirs),
    (OursFrozen, TheirsFrozen),
    (OursNamed, TheirsNamed),
    (OursItself, TheirsItself),
    (OursEqualAgain, TheirsEqualAgain),
    (OursBoth, TheirsBoth),
]
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((), {"x": 1}),
    ((1, 5), {}),
    ((1, 5, ["b"]), {}),
    ((1, 5), {"note": "n"}),
    ((1,), {"x": 1}),
    ((1,), {"other": 1}),
    ((1, 2, 3, 4, 5, 6), {}),
    ((), {"x": 1, "name": "b", "z": 4}),
]
USES: dict[str, Callable[[Any], Any]] = {
    "text": lambda one: repr(one).replace("Theirs", "Ours"),
    "fields": lambda one: [getattr(one, name) for name in names(one)],
    "equal": lambda one: one == copy.copy(one),
    "of another kind": lambda one: one == 3 or one == OursItself(1),
    "hash": lambda one: hash(one) == hash(copy.copy(one)) if type(one).__eq__ else None,
    "pickled": lambda one: repr(pickle.loads(pickle.dumps(one))).replace("Theirs", "Ours"),
    "deep": lambda one: repr(copy.deepcopy(one)).replace("Theirs", "Ours"),
    "set": lambda one: setattr(one, "x", 9) or one.x,
    "deleted": lambda one: delattr(one, "x") or hasattr(one, "x"),
    "matched": lambda one: type(one).__match_args__,
    "has a dict": lambda one: hasattr(one, "__dict__"),
    "replaced": lambda one: (replace if is_ours(one) else dataclasses.replace)(one, x=7).x,
    "replaced by what is not there": lambda one: (replace if is_ours(one) else dataclasses.replace)(
        one, unknown=7
    ),
}


def is_ours(one: Any) -> bool:
    return type(one).__name__.startswith("Ours")


def names(one: Any) -> list[str]:
    return list(fields(one)) if is_ours(one) else [each.name for each in dataclasses.fields(one)]


def outcome(does: Callable[[], Any]) -> Any:
    """What came of it, or the kind of error."""
    try:
        return does()
    except Exception as error:
        kind = type(error)
        return AttributeError if issubclass(kind, AttributeError) else kind


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_class_of_data_is_used_like_a_dataclass(ours: Any, theirs: Any) -> None:
    for values, named in CALLS:
        for what, use in USES.items():
            mine = outcome(lambda: use(ours(*values, **named)))  # noqa: B023 - it is called here
            other = outcome(lambda: use(theirs(*values, **named)))  # noqa: B023 - so is this
            assert mine == other, (what, values, named)


def test_what_does_not_count_does_not_count() -> None:
    assert Ours(1, note="a") == Ours(1, note="b") != Ours(2, note="a")
    assert OursFrozen(1) != OursFrozen(1, "b")
    assert OursItself(1) != OursItself(1)
    assert (Ours.kind, Ours(1).both()) == ("point", 3)


def test_a_default_that_can_change_is_made_anew() -> None:
    first, second = Ours(1), Ours(1)
    first.names.append("b")
    assert second.names == []


def test_a_class_without_fields_has_equal_objects() -> None:
    class Nothing(Data, frozen=True):
        """Nothing."""

    assert Nothing() == Nothing()
    assert len({Nothing(), Nothing()}) == 1
    assert Nothing.__doc__ == "Nothing."


TUPLE_USES: dict[str, Callable[[Any], Any]] = {
    "items": tuple,
    "equal": lambda one: one == tuple(one),
    "hash": hash,
    "unpacked": lambda one: {**dict(zip("ab", one, strict=True))},
    "of fields": lambda one: (one.x, one.name, one.both(), one[1], len(one)),
    "text": lambda one: repr(one).replace("Theirs", "Ours"),
    "known": lambda one: (one._fields, type(one)._field_defaults, type(one).__match_args__),
    "made": lambda one: tuple(type(one)._make([*one])),
    "made of too few": lambda one: type(one)._make([1]),
    "replaced": lambda one: tuple(one._replace(x=7)),
    "as a dict": lambda one: one._asdict(),
    "pickled": lambda one: tuple(pickle.loads(pickle.dumps(one))),
    "copied": lambda one: (type(copy.copy(one)) is type(one), copy.deepcopy(one) == one),
    "set": lambda one: setattr(one, "x", 9),
    "given more": lambda one: setattr(one, "other", 9),
    "has a dict": lambda one: hasattr(one, "__dict__"),
    "of a kind": lambda one: (type(one).__mro__[1:], type(one)[int](1) == (1, "a")),
}


def test_a_class_of_tuples_is_used_like_one_of_typing() -> None:
    ours: Any = OursTuple
    theirs: Any = TheirsTuple
    for _ in range(2 * FEW):  # the constructor is written on the way
        for values, named in CALLS:
            for what, use in TUPLE_USES.items():
                mine = outcome(lambda: use(ours(*values, **named)))  # noqa: B023 - it is called here
                other = outcome(lambda: use(theirs(*values, **named)))  # noqa: B023 - it is called here
                assert mine == other, (what, values, named)


def test_no_field_of_a_tuple_is_replaced_that_is_not_there() -> None:
    with pytest.raises(TypeError, match="unexpected field names: \\['unknown'\\]"):
        OursTuple(1)._replace(unknown=7)  # typing's raises that since Python 3.13


def test_a_constructor_is_the_same_before_and_after_it_is_written() -> None:
    for each in (Ours, OursFrozen, OursNamed):
        made = [outcome(lambda: each(x=3)) for _ in range(2 * FEW)]  # noqa: B023 - it is called here
        assert all(one == made[0] for one in made)
        assert outcome(lambda: each(*(3,), x=3)) is TypeError  # noqa: B023 - it is called here
