"""What tables of a scenario file are made of: their keys, and kinds of values.

A table is a class with a key for each name that the file may use in it::

    class Host(Table):
        run: list[HostRun] = key(Tables(HostRun, at_most=64), [])

It is made from what a file holds, and has a value in the place of each key. A kind says what
a value must be, and reads what the file has. Reading goes on behind a mistake, so one
pass finds all of them: tables in the order of their keys, then what has no place in them, then
what is wrong with a table as a whole.

The classes are the only place where keys, their kinds, limits and defaults stand. They are
plain data, so that making them takes no time worth counting, and documents can be made of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, Final, Literal

from desim.data import NamedTuple
from desim.errors import UserError, nearest
from desim.scenario.key_names import Key, dotted

Form = Literal["text", "texts", "contents"]

REQUIRED: Final = object()
"""Instead of the default of a key that must be there."""

Check = Callable[[Any, "Place"], Any]
"""Takes a value and its place and returns what it stands for.

Raises ``ValueError`` if it is wrong, and ``UserError`` if the messages say by themselves which
value they are about; or notes what is wrong at the place.
"""


class Mistake(NamedTuple):
    """One mistake: where, what is wrong, and the value if the message is to repeat it."""

    key: Key
    message: str
    given: tuple[object, ...]


class Place:
    """Where a value stands while it is read, and what there is to know for that."""

    __slots__ = ("context", "found", "key", "table")

    def __init__(self, context: Any) -> None:
        """The place of a whole document."""
        self.context = context
        """What checks need to know."""
        self.key: Key = ()
        self.table: Table | None = None
        """The table around."""
        self.found: list[Mistake] = []
        """All mistakes so far, in every place of the document."""

    def said(self, name: str) -> Any:
        """What the table around says before in the key ``name``; None if that is wrong."""
        return vars(self.table).get(name)

    def inside(self, part: str | int, table: Table | None = None) -> Place:
        """The place of something inside the value here."""
        place = Place(self.context)
        place.key = (*self.key, part)
        place.table = table
        place.found = self.found
        return place

    def read(self, kind: Kind, value: Any) -> list[Any]:
        """A list of the value here as ``kind`` has it: empty if it is wrong, which is noted."""
        before = len(self.found)
        try:
            made = kind.read(value, self)
        except UserError as error:
            self.note(*error.messages)
        except ValueError as error:
            self.note(str(error), given=(value,))
        return [made] if len(self.found) == before else []

    def note(self, *messages: str, given: tuple[object, ...] = ()) -> None:
        """Mistakes of the value here; ``given`` is the value if they are to repeat it."""
        self.found += [Mistake(self.key, message, given) for message in messages]


class Kind(ABC):
    """A kind of value; each reads it in its own way."""

    @abstractmethod
    def read(self, value: Any, place: Place) -> Any:
        """What ``value`` stands for. Raises as a ``Check``, or notes what is wrong inside of it."""


class Word:
    """A setting inside of a text (:mod:`desim.scenario.settings`): a whole number, or a word. No
    kind of a file's values: it is read by whoever reads the text."""


class Text(Kind):
    """Text, in characters; ``check`` reads it further."""

    def __init__(self, *, empty: bool = True, at_most: int = 0, check: Check | None = None) -> None:
        self.empty = empty
        self.at_most = at_most
        """0: as many as there are."""
        self.check = check

    def read(self, value: Any, place: Place) -> Any:
        if not isinstance(value, str):
            raise ValueError("must be text, in quotes")
        if not value and not self.empty:
            raise ValueError("must not be empty")
        if self.at_most and len(value) > self.at_most:
            raise ValueError(f"too long; at most {self.at_most} characters are allowed")
        return value if self.check is None else self.check(value, place)


class Whole(Kind):
    """A whole number from ``least`` on: up to ``most``, or less than ``below``."""

    def __init__(self, least: int, *, most: int | None = None, below: int | None = None) -> None:
        self.least = least
        self.most = most
        self.below = below

    def read(self, value: Any, place: Place) -> int:
        if type(value) is not int:
            raise ValueError("must be a whole number")
        if value < self.least:
            raise ValueError(f"must be {self.least} or more")
        if self.most is not None and value > self.most:
            raise ValueError(f"must be {self.most} or less")
        if self.below is not None and value >= self.below:
            raise ValueError(f"must be less than {self.below}")
        return value


class Flag(Kind):
    """True or false."""

    def read(self, value: Any, place: Place) -> bool:
        if type(value) is not bool:
            raise ValueError("must be true or false")
        return value


class Choice(Kind):
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def read(self, value: Any, place: Place) -> str:
        if not isinstance(value, str) or value not in self.words:
            *others, last = (repr(word) for word in self.words)
            raise ValueError(f"allowed is {', '.join(others)} or {last}")
        return value


class Spelled(Kind):
    """A value of a form of its own, which ``check`` reads: a duration, QEMU's options.

    ``form`` is what the value may be at first sight, for editors: a ``"text"``, ``"texts"`` (one
    or a list of them), or ``"contents"`` of a file.
    """

    def __init__(self, check: Check, form: Form = "text") -> None:
        self.check = check
        self.form = form

    def read(self, value: Any, place: Place) -> Any:
        return self.check(value, place)


class Duration(Spelled):
    """A length of virtual time, as text."""


class Several(Kind):
    """A list of values of one kind."""

    def __init__(self, each: Kind, *, at_most: int) -> None:
        self.each = each
        self.at_most = at_most

    def read(self, value: Any, place: Place) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(self.form(place))
        if len(value) > self.at_most:
            raise ValueError(f"too many; at most {self.at_most} are allowed")
        return [
            made
            for number, one in enumerate(value)
            for made in place.inside(number).read(self.each, one)
        ]

    def form(self, place: Place) -> str:
        """How it is written."""
        return "must be a list, in brackets"


class Inner(Kind):
    """A table in a table: its class or, of one that few files have, ``"MODULE:CLASS"``."""

    def __init__(self, made: type[Table] | str) -> None:
        self._made = made

    @property
    def made(self) -> type[Table]:
        """The class, whose module is imported by the first who asks."""
        if isinstance(self._made, str):
            module, _, name = self._made.partition(":")
            made: type[Table] = getattr(import_module(module), name)
            self._made = made
        return self._made

    def read(self, value: Any, place: Place) -> Table:
        if not isinstance(value, dict):
            raise ValueError("must be a table")
        return self.made(value, place)


class Tables(Several):
    """An array of tables."""

    each: Inner

    def __init__(self, made: type[Table] | str, *, at_most: int) -> None:
        super().__init__(Inner(made), at_most=at_most)

    @property
    def made(self) -> type[Table]:
        """The class of each."""
        return self.each.made

    def form(self, place: Place) -> str:
        return f"must be an array of tables: write [[{dotted(place.key)}]]"


class Named(Kind):
    """A table whose names are the writer's own; ``name`` checks one of them."""

    def __init__(self, name: Kind, each: Kind, *, at_most: int = 0) -> None:
        self.name = name
        self.each = each
        self.at_most = at_most
        """0: as many as there are."""

    def read(self, value: Any, place: Place) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError("must be a table")
        if self.at_most and len(value) > self.at_most:
            raise ValueError(f"too many; at most {self.at_most} are allowed")
        made: dict[str, Any] = {}
        for word, one in value.items():
            inside = place.inside(word)
            names = list(inside.read(self.name, word))
            contents = list(inside.read(self.each, one))
            made.update(zip(names, contents, strict=False))  # if both are right
        return made


class Entry:
    """One key of a table."""

    __slots__ = ("default", "kind", "nothing", "stands")

    def __init__(self, kind: Kind, default: Any, judged: bool) -> None:
        self.kind = kind
        self.default = default
        self.nothing = default is None
        """Whether a None that is given is the default."""
        self.stands = not (judged or default is REQUIRED)
        """Whether the default is the value where nothing is given, and nobody reads it."""


def key(kind: Kind, default: Any = REQUIRED, *, judged: bool = False) -> Any:
    """A key of a table, and what it is where the file does not say it.

    None is a default that stands for itself: a program may give it, too. Defaults are copied, and
    inner tables without one are read as empty ones if they are not there. ``judged``: the default
    is read as if it stood in the file, because its check has something to do.
    """
    return Entry(kind, default, judged)


class Table:
    """What a file says in one table, by key. ``KEYS`` is what it may say, in order."""

    KEYS: ClassVar[Mapping[str, Entry]] = {}
    REFUSED: ClassVar[Mapping[str, str]] = {}
    """Keys that people look for and that there are not, with what to do instead."""

    def __init_subclass__(cls) -> None:
        own = {name: entry for name, entry in vars(cls).items() if isinstance(entry, Entry)}
        cls.KEYS = {**cls.KEYS, **own}

    def __init__(self, given: Mapping[str, Any], place: Place) -> None:
        """Read ``given``; what is wrong with it is noted at ``place``."""
        before = len(place.found)
        for name, entry in self.KEYS.items():
            if entry.stands and given.get(name) is None and (name not in given or entry.nothing):
                default = entry.default
                setattr(self, name, default.copy() if isinstance(default, list | dict) else default)
            else:
                self._read(name, entry, given, place.inside(name, self))
        for name in given:
            if name in self.REFUSED:
                place.inside(name).note(self.REFUSED[name])
            elif name not in self.KEYS:
                allowed = sorted(self.KEYS)
                hint = nearest(name, allowed)
                place.inside(name).note(f"no such key; allowed are {', '.join(allowed)}{hint}")
        if len(place.found) == before:
            place.note(*self.contradictions())

    def _read(self, name: str, entry: Entry, given: Mapping[str, Any], place: Place) -> None:
        if name in given and not (given[name] is None and entry.nothing):
            value = given[name]
        elif isinstance(entry.kind, Inner):
            value = {}
        elif entry.default is REQUIRED:
            place.note("missing")
            return
        else:
            value = entry.default
        for made in place.read(entry.kind, value):
            setattr(self, name, made)

    def contradictions(self) -> Sequence[str]:
        """What is wrong with the table as a whole, if each of its keys is right."""
        return ()
