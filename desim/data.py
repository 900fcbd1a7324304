"""Classes of plain data, as ``dataclasses`` and ``typing.NamedTuple`` make them, without the wait.

The standard library writes the methods of each such class in Python and compiles them when the
class is made, and reads and compiles the annotations of a ``NamedTuple``. Here the methods are
functions that all classes share, and the constructor is compiled when a class makes its first
object. To type checkers these are the standard library's own; ``dataclasses.fields``,
``replace``, ``asdict`` and dataclasses that inherit from these work as ever.

NOTE: it replaces a module that everybody knows, for the start alone: importing the machine's
rooms takes 0.6 of the instructions (``desim run hello`` uses some 90 such classes, most of them
for things that do not happen in it).

Theory of operation
-------------------
``__dataclass_fields__`` is a descriptor that asks ``dataclasses`` for the real fields when it is
read. Left out is what desim does not use: ordering, ``__post_init__``, ``InitVar``, ``init=False``,
a ``field`` that is keyword-only by itself, classes without slots.
"""

from __future__ import annotations

from collections import _tuplegetter  # type: ignore[attr-defined]  # what namedtuple itself uses

TYPE_CHECKING = False

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import fields as fields
    from dataclasses import replace as replace
    from typing import Any
    from typing import NamedTuple as NamedTuple

MISSING = object()
"""No default."""


class Field:
    """What one field of a class is."""

    __slots__ = ("compare", "default", "default_factory", "name", "type")

    def __init__(self, default: Any, default_factory: Any, compare: bool) -> None:
        self.name = ""
        self.type = ""
        """The annotation, as it is written."""
        self.default = default
        self.default_factory = default_factory
        self.compare = compare


if not TYPE_CHECKING:

    def field(*, default=MISSING, default_factory=MISSING, compare=True):
        """As in ``dataclasses``."""
        return Field(default, default_factory, compare)

    def fields(made):
        """The fields of a class of data, or of an object of one, in order."""
        return tuple(made.__fields__.values())

    def replace(made, /, **changes):
        """As in ``dataclasses``."""
        return type(made)(**{name: getattr(made, name) for name in made.__fields__} | changes)

    def dataclass(*, slots, frozen=False, kw_only=False):
        """As in ``dataclasses``; ``slots`` must be true."""
        assert slots, "without slots it would be a class as any other"
        return lambda cls: _process(cls, frozen, kw_only)

    class _Meta(type):
        """Makes a tuple with names of a class that inherits from ``NamedTuple``."""

        def __new__(meta, name, bases, namespace):
            if not bases:
                return super().__new__(meta, name, bases, namespace)
            return _named_tuple(name, bases[1:], namespace)

    class NamedTuple(metaclass=_Meta):
        """As in ``typing``."""


def _named_tuple(name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
    """A tuple with the names, defaults and methods of a class's namespace."""
    names = tuple(namespace.get("__annotations__", ()))
    defaults = {name: namespace[name] for name in names if name in namespace}
    getters = {name: _tuplegetter(number, "") for number, name in enumerate(names)}
    like = {"_fields": names, "_field_defaults": defaults, "__match_args__": names, "__slots__": ()}
    made: Any = type(name, (_Tuple, *bases), {**namespace, **like, **getters})
    known = {name: Field(defaults.get(name, MISSING), MISSING, True) for name in names}

    def __new__(cls: Any, *values: Any, **named: Any) -> Any:  # noqa: N807 - it stands for it
        made.__new__ = staticmethod(_tuple_constructor(known))
        return made.__new__(cls, *values, **named)

    made.__new__ = staticmethod(__new__)
    return made


class _Tuple(tuple):  # type: ignore[type-arg]  # of anything
    """What all tuples with names have."""

    __slots__ = ()
    _fields: tuple[str, ...]

    @classmethod
    def _make(cls, values: Any) -> Any:
        return cls(*values)

    def _replace(self: Any, **changes: Any) -> Any:
        return type(self)(**self._asdict() | changes)

    def _asdict(self: Any) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def __getnewargs__(self: Any) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self: Any) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({shown})"


def _process(cls: Any, frozen: bool, kw_only: bool) -> Any:
    """A class of data with the annotations, defaults and methods of ``cls``."""
    namespace = dict(vars(cls))
    inherited = getattr(cls, "__fields__", {})
    own = {}
    for name, annotation in namespace.get("__annotations__", {}).items():
        if annotation.startswith("ClassVar"):
            continue
        default = namespace.pop(name, MISSING)
        entry = default if type(default) is Field else Field(default, MISSING, True)
        entry.name, entry.type = name, annotation
        own[name] = entry
    known = {**inherited, **own}
    namespace.pop("__dict__", None)
    namespace.pop("__weakref__", None)
    namespace["__slots__"] = tuple(name for name in own if name not in inherited)
    namespace["__fields__"] = known
    namespace["__match_args__"] = () if kw_only else tuple(known)
    namespace["__dataclass_fields__"] = _StandardFields()
    namespace["__dataclass_params__"] = _Parameters(frozen)
    compared = tuple(name for name, entry in known.items() if entry.compare)
    namespace["__eq__"] = _equality(compared)
    namespace["__hash__"] = _hashing(compared) if frozen else None
    namespace.setdefault("__repr__", _repr)
    if frozen:
        namespace["__setattr__"] = _refuse_to_set
        namespace["__delattr__"] = _refuse_to_delete
        namespace["__getstate__"] = _state
        namespace["__setstate__"] = _set_state
    made = type(cls)(cls.__name__, cls.__bases__, namespace)
    made.__init__ = _first(made, frozen, kw_only)
    made.__qualname__ = cls.__qualname__
    return made


def _first(made: Any, frozen: bool, kw_only: bool) -> Any:
    """The constructor of ``made`` until its first call, which writes the real one."""

    def __init__(self: Any, *values: Any, **named: Any) -> None:  # noqa: N807 - it stands for it
        made.__init__ = _constructor(made.__fields__, frozen, kw_only)
        made.__init__(self, *values, **named)

    return __init__


def _constructor(known: dict[str, Field], frozen: bool, kw_only: bool) -> Any:
    """``__init__`` of a class with these fields."""
    names: dict[str, Any] = {"_set": object.__setattr__}
    parameters, values = _parameters(known, names)
    lines = [
        f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}"
        for name, value in zip(known, values, strict=True)
    ]
    shown = ", ".join(["self", *(["*"] if kw_only and parameters else []), *parameters])
    exec(f"def __init__({shown}):\n " + "\n ".join(lines or ["pass"]), names)
    return names["__init__"]


def _tuple_constructor(known: dict[str, Field]) -> Any:
    """``__new__`` of a tuple with these names."""
    names: dict[str, Any] = {"_new": tuple.__new__}
    parameters, values = _parameters(known, names)
    shown = ", ".join(["_cls", *parameters])
    exec(f"def __new__({shown}):\n return _new(_cls, ({''.join(v + ', ' for v in values)}))", names)
    return names["__new__"]


def _parameters(known: dict[str, Field], names: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The parameters of a constructor, and each field's value; ``names`` gets what they need."""
    names["_missing"] = MISSING
    parameters, values = [], []
    for name, entry in known.items():
        value, default = name, ""
        if entry.default_factory is not MISSING:
            names[f"_{name}"] = entry.default_factory
            value, default = f"_{name}() if {name} is _missing else {name}", "=_missing"
        elif entry.default is not MISSING:
            names[f"_{name}"], default = entry.default, f"=_{name}"
        parameters.append(name + default)
        values.append(value)
    return parameters, values


def _equality(names: tuple[str, ...]) -> Any:
    def __eq__(self: Any, other: object) -> Any:  # noqa: N807 - it stands for it
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in names)

    return __eq__


def _hashing(names: tuple[str, ...]) -> Any:
    def __hash__(self: Any) -> int:  # noqa: N807 - it stands for it
        # For dicts and sets, in which nothing is in the order of hashes.
        return tuple(getattr(self, name) for name in names).__hash__()

    return __hash__


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__fields__)
    return f"{type(self).__qualname__}({shown})"


def _refuse_to_set(self: Any, name: str, value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: Any, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__fields__]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__fields__, state, strict=True):
        object.__setattr__(self, name, value)


class _Parameters:
    """What ``dataclasses`` asks of a class that another one inherits from."""

    __slots__ = ("frozen",)

    def __init__(self, frozen: bool) -> None:
        self.frozen = frozen


class _StandardFields:
    """The fields of a class as ``dataclasses`` has them, for who asks for them there."""

    __slots__ = ()

    def __get__(self, made: object, cls: Any) -> Any:
        import dataclasses

        def standard(entry: Field) -> Any:
            given = {
                key: value
                for key in ("default", "default_factory")
                if (value := getattr(entry, key)) is not MISSING
            }
            return dataclasses.field(compare=entry.compare, **given)

        like = dataclasses.make_dataclass(
            cls.__name__,
            [(entry.name, entry.type, standard(entry)) for entry in cls.__fields__.values()],
            kw_only=not cls.__match_args__,
        )
        return like.__dataclass_fields__  # type: ignore[attr-defined]  # no checker knows it
