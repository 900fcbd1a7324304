"""Classes of plain data: fields with types, and what is the same for all such classes.

``@data()`` makes of a class with annotated fields what ``@dataclass(slots=True)`` of the standard
library would: a constructor, equality and a text. It says so to type checkers in the language's own
words (``dataclass_transform``), which check fields and calls alike.

NOTE: instead of ``dataclasses``, whose import takes as long as a bare start of Python, and which
writes and compiles up to eight methods for each class, two to four million instructions: a fifth of
all that ``desim run hello`` did. Here a constructor is written when its class makes its first
object (most classes never do in a run), and the other methods are shared. Classes that a start does
not load are dataclasses.

Left out is what nobody needs: order, ``__post_init__``, ``InitVar``, a single field that is by name
only, and what ``dataclasses`` knows of a class: ``fields`` and ``replace`` are here.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")

MISSING: Any = object()
"""No default."""
CLASS_VARIABLE = "ClassVar", "typing.ClassVar"
"""How an annotation begins that makes no field, as text and as an object."""


class Field:
    """More of a field than its default. Made by :func:`field`."""

    __slots__ = ("compare", "default", "factory", "named")

    def __init__(self, default: Any, factory: Callable[[], Any] | None, compare: bool) -> None:
        self.default = default
        self.factory = factory
        self.compare = compare
        self.named = False
        """It is given by name only."""


def field(
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    compare: bool = True,
) -> Any:
    """A field whose default is made anew for each object, or that does not count in ``==``."""
    return Field(default, default_factory, compare)


@dataclass_transform(field_specifiers=(field,))
def data(
    *, frozen: bool = False, kw_only: bool = False, eq: bool = True
) -> Callable[[type[T]], type[T]]:
    """Make a class of plain data. ``frozen``: its objects cannot change, and have a hash;
    ``kw_only``: they are made by the names of their fields alone; without ``eq`` each is equal to
    itself alone."""

    def of(cls: Any) -> Any:
        space = dict(vars(cls))
        own = {
            name: _field(space.pop(name, MISSING), kw_only)
            for name, annotation in space.get("__annotations__", {}).items()
            if not str(annotation).startswith(CLASS_VARIABLE)
        }
        inherited: dict[str, Field] = getattr(cls, "__fields__", {})
        known = {**inherited, **own}
        if eq:
            compared = (name for name, one in known.items() if one.compare)
            space["__compared__"] = attrgetter("__class__", *compared)  # so that it gives a tuple
            space |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
        if frozen:
            space |= _FROZEN
        space.setdefault("__repr__", _repr)
        space["__fields__"] = known
        space["__match_args__"] = tuple(name for name, one in known.items() if not one.named)
        # Slots cannot be added to a class, so it is made once more.
        space["__slots__"] = tuple(name for name in own if name not in inherited)
        space.pop("__dict__", None)
        space.pop("__weakref__", None)
        made: Any = type(cls)(cls.__name__, cls.__bases__, space)
        made.__init__ = _first(made, frozen)
        return made

    return of


def fields(one: Any) -> tuple[str, ...]:
    """The names of the fields of a class of plain data, or of an object of one, in order."""
    return tuple(one.__fields__)


def replace(one: T, /, **changes: Any) -> T:
    """An object as ``one`` is, with other values of some fields."""
    return type(one)(**{name: getattr(one, name) for name in fields(one)} | changes)


def _field(default: Any, named: bool) -> Field:
    made = default if type(default) is Field else Field(default, None, True)
    made.named = named
    return made


def _first(made: Any, frozen: bool) -> Callable[..., None]:
    """The constructor of ``made`` until its first call, which writes the real one."""

    def __init__(self: Any, *values: Any, **named: Any) -> None:  # noqa: N807 - it stands for it
        made.__init__ = _constructor(made.__fields__, frozen)
        made.__init__(self, *values, **named)

    return __init__


def _constructor(known: dict[str, Field], frozen: bool) -> Callable[..., None]:
    """``__init__`` of a class with these fields."""
    names: dict[str, Any] = {"_set": object.__setattr__, "_missing": MISSING}
    given, named, lines = ["self"], ["*"], []
    for name, one in known.items():
        value, default = name, ""
        if one.factory is not None:
            names[f"_{name}"] = one.factory
            value, default = f"_{name}() if {name} is _missing else {name}", "=_missing"
        elif one.default is not MISSING:
            names[f"_{name}"], default = one.default, f"=_{name}"
        (named if one.named else given).append(name + default)
        lines.append(f" _set(self, {name!r}, {value})" if frozen else f" self.{name} = {value}")
    parameters = ", ".join(given + named if len(named) > 1 else given)
    exec("\n".join([f"def __init__({parameters}):", *(lines or [" pass"])]), names)
    made: Callable[..., None] = names["__init__"]
    return made


# --- what all have


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self.__compared__(self) == self.__compared__(other)


def _hash(self: Any) -> int:
    # For dicts and sets, in which nothing is in the order of hashes.
    return hash(self.__compared__(self))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__fields__)
    return f"{type(self).__qualname__}({shown})"


def _set(self: Any, name: str, value: object) -> None:
    raise AttributeError(f"cannot assign to field {name!r}")


def _delete(self: Any, name: str) -> None:
    raise AttributeError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__fields__]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__fields__, state, strict=True):
        object.__setattr__(self, name, value)


_FROZEN = {
    "__setattr__": _set,
    "__delattr__": _delete,
    "__getstate__": _state,
    "__setstate__": _set_state,
}
