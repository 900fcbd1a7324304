"""Classes of plain data: fields with types, and what is the same for all such classes.

A subclass of ``Data`` with annotated fields is what ``@dataclass(slots=True)`` of the standard
library would make of it: it has a constructor, equality and a text. It says so to type checkers
in the language's own words (``dataclass_transform``), which check fields and calls alike. A
subclass of ``NamedTuple`` is what one of ``typing.NamedTuple`` is, and one of ``Protocol``, to a
type checker, what one of ``typing.Protocol`` is.

NOTE: instead of ``dataclasses``, whose import takes as long as a bare start of Python, and which
writes and compiles up to eight methods for each class, two to four million instructions, and of
``typing.NamedTuple``, which compiles each annotation, almost one million for a class: together a
quarter of all that ``desim run hello`` did. Here a constructor is written when its class has made
some objects (most classes make few in a run), the other methods are inherited, and a class with
slots is not made twice. Classes that a start does not load are dataclasses.

A ``typing.Protocol`` takes as long to make as two other classes, and so does each class that
derives from it: half a percent of a start. When desim runs, ``Protocol`` is a base like any other.

Left out is what nobody needs: order, ``__post_init__``, ``InitVar``, a single field that is by name
only, and what ``dataclasses`` knows of a class: ``fields`` and ``replace`` are here.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
    from typing import Protocol as Protocol

T = TypeVar("T")

MISSING: Any = object()
"""No default."""
FEW = 32
"""Objects that a class makes before its constructor is written, which takes as long as so many.
Asked for at each of them, so that who counts calls can have all constructors written at once."""
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
class _Datas(type):
    """Makes of a class with annotated fields a class of plain data."""

    def __new__(
        meta,
        name: str,
        bases: tuple[type, ...],
        space: dict[str, Any],
        *,
        frozen: bool = False,
        kw_only: bool = False,
        eq: bool = True,
    ) -> Any:
        if not bases:
            return super().__new__(meta, name, bases, space)
        own = {
            one: _field(space.pop(one, MISSING), kw_only)
            for one, annotation in space.get("__annotations__", {}).items()
            if not str(annotation).startswith(CLASS_VARIABLE)
        }
        inherited: dict[str, Field] = {}
        for base in reversed(bases):
            inherited |= getattr(base, "__fields__", {})
        known = {**inherited, **own}
        if eq:
            compared = [one for one in known if known[one].compare]
            space["__compared__"] = attrgetter("__class__", *compared)  # so that it gives a tuple
            space |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
        else:
            space |= {"__eq__": object.__eq__, "__hash__": object.__hash__}
        if frozen:
            space |= _FROZEN
        space["__fields__"] = known
        space["__match_args__"] = tuple([one for one in known if not known[one].named])
        space["__slots__"] = tuple([one for one in own if one not in inherited])
        space["__init__"] = _first(known, frozen, lambda: made)
        made: Any = super().__new__(meta, name, bases, space)
        return made


class Data(metaclass=_Datas):
    """The base of classes of plain data.

    ``class Some(Data, frozen=True)``: its objects cannot change, and have a hash; ``kw_only=True``:
    they are made by the names of their fields alone; ``eq=False``: each is equal to itself alone.
    Each subclass says so for itself.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in fields(self)])
        return f"{type(self).__qualname__}({shown})"


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


def _first(known: dict[str, Field], frozen: bool, owner: Callable[[], Any]) -> Callable[..., None]:
    """The constructor of ``owner`` for its first objects, and for calls that are wrong."""
    put = object.__setattr__ if frozen else setattr
    done = 0
    given_in: Any = None

    def __init__(self: Any, *values: Any, **named: Any) -> None:  # noqa: N807 - it stands for it
        nonlocal done, given_in
        done += 1
        if given_in is None:
            given_in = _given_in(known)
        given = given_in(values, named) if done < FEW else None
        if given is None:
            made = owner()
            made.__init__ = _constructor(known, frozen)
            made.__init__(self, *values, **named)
            return
        for name, value in given.items():
            put(self, name, value)

    return __init__


def _given_in(
    known: dict[str, Field],
) -> Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any] | None]:
    """What gives the value of each field in a call of a constructor; None if the call is wrong."""
    places = [name for name, one in known.items() if not one.named]
    defaults = {name: one.default for name, one in known.items() if one.default is not MISSING}
    factories = {name: one.factory for name, one in known.items() if one.factory is not None}

    def given_in(values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any] | None:
        count = len(values)
        if count > len(places) or (named and not named.keys().isdisjoint(places[:count])):
            return None
        given = {**defaults, **dict(zip(places, values, strict=False)), **named}
        for name, factory in factories.items():
            if name not in given:
                given[name] = factory()
        return given if given.keys() == known.keys() else None

    return given_in


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


# --- what only some have


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self.__compared__(self) == self.__compared__(other)


def _hash(self: Any) -> int:
    # For dicts and sets, in which nothing is in the order of hashes.
    return hash(self.__compared__(self))


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


# --- tuples with names


if not TYPE_CHECKING:

    class Protocol:
        """The base of contracts, which are there to be read and checked."""

        __slots__ = ()

        def __class_getitem__(cls, parameters):
            return cls

    # What reads an item by its name, in C: the standard library has no public name for it.
    _Place = type(namedtuple("One", "one").one)
    _PLACES = []
    """The same for all classes, each made once."""

    class _Tuples(type):
        """Makes of a class with annotated fields a class of tuples."""

        def __new__(meta, name, bases, space):
            if not bases:
                return super().__new__(meta, name, bases, space)
            names = tuple(space.get("__annotations__", ()))
            defaults = {one: space.pop(one) for one in names if one in space}
            while len(_PLACES) < len(names):
                _PLACES.append(_Place(len(_PLACES), None))
            space.update(zip(names, _PLACES, strict=False))
            space |= _TUPLE
            space.setdefault("__repr__", _tuple_repr)
            space["_fields"] = space["__match_args__"] = names
            space["_field_defaults"] = defaults
            space["__new__"] = _first_tuple(names, defaults, lambda: made)
            made = type(name, (tuple, *bases[1:]), space)
            return made

    class NamedTuple(metaclass=_Tuples):
        """The base of tuples with names, to be read like a class of data."""


def _first_tuple(
    names: tuple[str, ...], defaults: dict[str, Any], owner: Callable[[], Any]
) -> Callable[..., Any]:
    """What ``_first`` is for a class of data."""
    count, done = len(names), 0
    known: dict[str, Field] = {}
    given_in: Any = None

    def __new__(cls: Any, *values: Any, **named: Any) -> Any:  # noqa: N807 - it stands for it
        nonlocal done, known, given_in
        done += 1
        if len(values) == count and done < FEW and not named:
            return tuple.__new__(cls, values)
        if given_in is None:
            known = {one: _field(defaults.get(one, MISSING), named=False) for one in names}
            given_in = _given_in(known)
        given = given_in(values, named) if done < FEW else None
        if given is None:
            made = owner()
            made.__new__ = staticmethod(_tuple_constructor(known))
            return made.__new__(cls, *values, **named)
        return tuple.__new__(cls, map(given.__getitem__, names))

    return __new__


def _tuple_constructor(known: dict[str, Field]) -> Callable[..., Any]:
    """``__new__`` of a class of tuples with these fields."""
    names: dict[str, Any] = {"_tuple_new": tuple.__new__}
    given = ["_cls"]
    for name, one in known.items():
        default = "" if one.default is MISSING else f"=_{name}"
        names[f"_{name}"] = one.default
        given.append(name + default)
    items = "".join(f"{name}, " for name in known)
    exec(f"def __new__({', '.join(given)}): return _tuple_new(_cls, ({items}))", names)
    made: Callable[..., Any] = names["__new__"]
    return made


def _make(cls: Any, values: Iterable[Any]) -> Any:
    made = tuple.__new__(cls, values)
    if len(made) != len(cls._fields):
        raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
    return made


def _replace(self: Any, /, **changes: Any) -> Any:
    changed = [changes.pop(name, value) for name, value in zip(self._fields, self, strict=True)]
    if changes:
        raise TypeError(f"Got unexpected field names: {list(changes)!r}")
    return self._make(changed)


def _as_dict(self: Any) -> dict[str, Any]:
    return dict(zip(self._fields, self, strict=True))


def _tuple_repr(self: Any) -> str:
    shown = ", ".join(f"{name}={value!r}" for name, value in _as_dict(self).items())
    return f"{type(self).__name__}({shown})"


_TUPLE: dict[str, Any] = {
    "__slots__": (),
    "__getnewargs__": lambda self: tuple(self),
    "_make": classmethod(_make),
    "_replace": _replace,
    "_asdict": _as_dict,
}
