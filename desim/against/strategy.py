"""What inputs are drawn from: pieces that are put together, in hypothesis's words.

Hypothesis itself draws other examples in its next version, and remembers; here one number is one
input for ever (``Draw``), and the names mean what they mean there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from desim.engine.draw import Draw

T = TypeVar("T")
U = TypeVar("U")

SIZE_MAX = 8
"""How long a list is at most if nobody says."""


class Strategy(Generic[T]):
    """Draws values of one kind."""

    __slots__ = ("draw",)

    def __init__(self, draw: Callable[[Draw], T]) -> None:
        self.draw = draw
        """One value."""

    def map(self, function: Callable[[T], U]) -> Strategy[U]:
        """What ``function`` makes of each value."""
        return Strategy(lambda draw: function(self.draw(draw)))

    def flatmap(self, function: Callable[[T], Strategy[U]]) -> Strategy[U]:
        """A value of the strategy that ``function`` makes of each value."""
        return Strategy(lambda draw: function(self.draw(draw)).draw(draw))

    def __or__(self, other: Strategy[Any]) -> Strategy[Any]:
        return one_of(self, other)


def just(value: T) -> Strategy[T]:
    """This value."""
    return Strategy(lambda draw: value)


def none() -> Strategy[None]:
    """None."""
    return just(None)


def booleans() -> Strategy[bool]:
    """False or True."""
    return Strategy(lambda draw: draw.chance(2))


def integers(first: int, last: int) -> Strategy[int]:
    """A whole number from ``first`` to ``last``, both possible."""
    return Strategy(lambda draw: draw.between(first, last))


def sampled_from(things: Sequence[T]) -> Strategy[T]:
    """One of ``things``; one that is there twice comes twice as often."""
    return Strategy(lambda draw: draw.pick(things))


def one_of(*strategies: Strategy[Any] | Sequence[Strategy[Any]]) -> Strategy[Any]:
    """A value of one of them."""
    known: list[Strategy[Any]] = []
    for one in strategies:
        known += [one] if isinstance(one, Strategy) else one
    return Strategy(lambda draw: draw.pick(known).draw(draw))


def binary(*, min_size: int = 0, max_size: int) -> Strategy[bytes]:
    """Bytes."""

    def made(draw: Draw) -> bytes:
        return bytes(draw.between(0, 255) for _ in range(draw.between(min_size, max_size)))

    return Strategy(made)


def tuples(*parts: Strategy[Any]) -> Strategy[tuple[Any, ...]]:
    """One value of each."""
    return Strategy(lambda draw: tuple(part.draw(draw) for part in parts))


def lists(item: Strategy[T], *, min_size: int = 0, max_size: int = SIZE_MAX) -> Strategy[list[T]]:
    """So many values of one."""

    def made(draw: Draw) -> list[T]:
        return [item.draw(draw) for _ in range(draw.between(min_size, max_size))]

    return Strategy(made)


def builds(function: Callable[..., T], *parts: Strategy[Any]) -> Strategy[T]:
    """What ``function`` makes of one value of each."""
    return Strategy(lambda draw: function(*(part.draw(draw) for part in parts)))


def fixed_dictionaries(parts: Mapping[str, Strategy[Any]]) -> Strategy[dict[str, Any]]:
    """A value for each key."""
    return Strategy(lambda draw: {key: part.draw(draw) for key, part in parts.items()})
