"""What objects hold is put back into the same objects, and an object of an unknown kind refuses."""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest

from desim.machine.state import CannotRestore, State


class Named:
    __module__ = "desim.made_up"

    def __init__(self, **names: Any) -> None:
        vars(self).update(names)


class Slotted:
    __module__ = "desim.made_up"
    __slots__ = ("first", "second")

    first: Any
    second: Any


class SlottedMore(Slotted):
    __module__ = "desim.made_up"
    __slots__ = ("third",)

    third: Any


def test_every_kind_of_container_holds_what_it_held_in_the_same_order() -> None:
    one: list[Any] = [
        [3, 1], {"b": 1, "a": [2]}, {1, 2}, deque([1, 2], maxlen=2), bytearray(b"ab"),
        array("q", [1, 2]), defaultdict(list, x=[1]), Counter("aab"),
    ]  # fmt: skip
    before = repr(one)
    parts = [*one, one[1]["a"], one[6]["x"]]
    state = State(one)
    for change in ("first", "second"):
        one[0][:] = [change]
        del one[1]["b"]
        one[1]["c"] = [*one[1].pop("a"), change]
        one[2].add(change)
        one[3].append(change)
        one[4] += b"more"
        one[5].append(7)
        one[6]["y"].append(change)
        one[6]["x"].clear()
        one[7]["a"] += 1
        one.append(change)
        assert repr(one) != before
        state.restore()
        assert repr(one) == before
        assert all(a is b for a, b in zip(parts, [*one, one[1]["a"], one[6]["x"]], strict=True))


def test_attributes_are_put_back_and_those_that_are_new_are_gone() -> None:
    one, other = Named(a=1, b=[2]), SlottedMore()
    other.first, other.third = one, one.b
    state = State(other)
    del one.a
    one.c, one.b = 3, []
    other.second = 5
    del other.first
    other.third.append(9)
    state.restore()
    assert vars(one) == {"a": 1, "b": [2]}
    assert other.third is one.b
    assert other.first is one
    assert not hasattr(other, "second")


def test_equal_is_not_the_same() -> None:
    one = Slotted()
    one.first = kept = [1]
    one.second = True
    state = State(one)
    one.first = [1]
    one.second = 1
    state.restore()
    assert one.first is kept
    assert one.second is True


def test_closures_and_what_is_bound_or_partial_are_looked_into() -> None:
    def counter() -> Callable[[], int]:
        number = 0

        def step() -> int:
            nonlocal number
            number += 1
            return number

        return step

    step, found = counter(), [1]
    state = State([partial(step), found.append, partial(map, str, [found])])
    assert [step(), step()] == [1, 2]
    found.append(2)
    state.restore()
    assert step() == 1
    assert found == [1]


def test_a_count_goes_on_from_where_it_was() -> None:
    one = Named(number=count(5))
    state = State(one)
    assert [next(one.number), next(one.number)] == [5, 6]
    state.restore()
    state.restore()
    assert next(one.number) == 5


def test_what_is_left_out_keeps_what_it_has_learned() -> None:
    known: dict[str, int] = {}
    one = Named(known=known, other={})
    state = State(one, but=[known])
    one.known["a"] = one.other["a"] = 1
    state.restore()
    assert (one.known, one.other) == ({"a": 1}, {})


def endless() -> Iterator[int]:
    yield from count()


class NotOurs:
    pass


class Ours(NotOurs):
    __module__ = "desim.made_up"


class OursInOrder(OrderedDict[str, int]):
    __module__ = "desim.made_up"


@pytest.mark.parametrize(
    "kind",
    [endless, lambda: iter([1]), count, NotOurs, Ours, OursInOrder, OrderedDict, ValueError],
    ids=["generator", "iterator", "count", "class", "base", "ordered", "OrderedDict", "error"],
)
def test_an_unknown_kind_is_refused(kind: Callable[[], object]) -> None:
    one = kind()
    with pytest.raises(CannotRestore) as caught:
        State([[one]])
    assert caught.value.args == (one,)


def test_a_generator_that_is_over_holds_nothing() -> None:
    over = endless()
    over.close()  # type: ignore[attr-defined]  # it is a generator
    State(over).restore()
