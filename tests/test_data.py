"""``@data()`` does what ``@dataclass(slots=True)`` of the standard library does."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from desim.data import data, field, fields, replace


@data()
class Ours:
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


@data(frozen=True)
class OursFrozen:
    x: int
    name: str = "a"


@dataclasses.dataclass(slots=True, frozen=True)
class TheirsFrozen:
    x: int
    name: str = "a"


@data(frozen=True, kw_only=True)
class OursNamed(OursFrozen):
    z: int = 3


@dataclasses.dataclass(slots=True, frozen=True, kw_only=True)
class TheirsNamed(TheirsFrozen):
    z: int = 3


@data(eq=False)
class OursItself:
    x: int


@dataclasses.dataclass(slots=True, eq=False)
class TheirsItself:
    x: int


PAIRS: list[tuple[Any, Any]] = [
    (Ours, Theirs),
    (OursFrozen, TheirsFrozen),
    (OursNamed, TheirsNamed),
    (OursItself, TheirsItself),
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
    @data(frozen=True)
    class Nothing:
        """Nothing."""

    assert Nothing() == Nothing()
    assert len({Nothing(), Nothing()}) == 1
    assert Nothing.__doc__ == "Nothing."
