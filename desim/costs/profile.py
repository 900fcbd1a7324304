"""Cost profiles: what each stage takes, as data with a source for every figure.

A profile is a TOML file with one table per source file of the real code::

    description = "..."
    status = "assumed"            # or "measured"
    unit = "ns"                   # or "instructions", of which -icount says how long they last

    ["slirp/tcp_output.c"]
    tcp_output = { enter = 400, per_1000_bytes = 180, leave = 50, source = "..." }

All figures are whole numbers of the unit. A stage that is not named costs nothing. A name
that no model marks is a mistake, and said so with the nearest known one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from desim.data import NamedTuple
from desim.disk import kind_of, stem_of
from desim.errors import ProfileError, nearest
from desim.shipped_toml import tables
from desim.stages import Known, known_stages
from desim.toml_limits import LONG_KEY, MAX_BYTES, TOO_DEEP, TOO_LARGE, long_key, shown, too_deep

FOLDER = os.path.join(os.path.dirname(__file__), "profiles")
"""Those that come with desim."""

NS, INSTRUCTIONS = UNITS = ("ns", "instructions")


class Cost(NamedTuple):
    """What one stage takes: at entry, per 1000 bytes (also at entry), at exit."""

    enter: int = 0
    per_1000_bytes: int = 0
    leave: int = 0


FREE = Cost()


class Profile:
    """The costs of all stages under one name."""

    def __init__(
        self,
        name: str,
        description: str,
        status: str,
        costs: dict[tuple[str, str], Cost],
        unit: str = NS,
    ) -> None:
        self.name = name
        self.description = description
        self.status = status
        self.costs = costs
        self.unit = unit

    def cost(self, file: str, name: str) -> Cost:
        """What stage ``name`` of ``file`` takes."""
        return self.costs.get((file, name), FREE)

    def in_ns(self, icount_shift: int) -> Profile:
        """The same in ns, an instruction lasting ``2 ** icount_shift`` of them."""
        if self.unit == NS:
            return self
        costs = {
            stage: Cost(*(figure << icount_shift for figure in cost))
            for stage, cost in self.costs.items()
        }
        return Profile(self.name, self.description, self.status, costs)

    @property
    def is_free(self) -> bool:
        """Whether nothing costs anything: a run shows function, not time."""
        return not self.costs


@cache
def shipped() -> tuple[str, ...]:
    """The names of the profiles that come with desim, looked up once for all runs of a process."""
    return tuple(sorted(stem_of(file) for file in os.listdir(FOLDER) if file.endswith(".toml")))


def load(name: str) -> Profile:
    """A shipped profile by name, or one from a TOML file (a name with a dot or slash).

    Raises ``ProfileError`` with all mistakes at once.
    """
    if "/" in name or name.endswith(".toml"):
        # A FIFO must not keep us waiting.
        kind = kind_of(name)
        if kind != "file":
            what = "no such file" if kind is None else "not a regular file"
            raise ProfileError(f"costs {name}: {what}")
        return parse(stem_of(name), _read(name), name)
    known = shipped()
    if name not in known:
        raise ProfileError(
            f"costs {name}: no such cost profile; there are {', '.join(known)}"
            f"{nearest(name, known)}"
        )
    return _shipped(name)


@cache
def _shipped(name: str) -> Profile:
    # A test has looked up its stages; looking here would load all models.
    return _profile(name, _tables(name), f"{name}.toml", known={})


def _read(name: str) -> str:
    """The text of a user's file."""
    try:
        with open(name, "rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        text = raw.decode()
    except OSError as error:
        raise ProfileError(f"{name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ProfileError(f"{name}: cannot be read as a cost profile: not UTF-8 text") from None
    if len(raw) > MAX_BYTES:
        raise ProfileError(f"{name}: {TOO_LARGE}")
    if (line := long_key(text)) is not None:
        raise ProfileError(f"{name}:{line}: {LONG_KEY}")
    return text


def head(name: str) -> dict[str, str]:
    """What the shipped profile ``name`` says of itself: its keys that are no tables of figures.

    The figures are not looked at; they are checked when a run loads them.
    """
    return {key: value for key, value in _tables(name).items() if type(value) is str}


def _tables(name: str) -> dict[str, Any]:
    return tables(os.path.join(FOLDER, f"{name}.toml"))


def parse(
    name: str, text: str, where: str, known: Mapping[tuple[str, str], Known] | None = None
) -> Profile:
    """A profile from the text of a user's file; ``where`` is what messages call the file.

    ``known`` is which stages there are, by name and file; None: those of all models; none at
    all: they are not looked up.
    """
    import tomllib

    if known is None:
        known = known_stages()
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise ProfileError(f"{where}: {TOO_DEEP}") from None
    except ValueError as error:  # no TOML, or a number with thousands of digits
        raise ProfileError(f"{where}: {str(error).partition(';')[0]}") from None
    if too_deep(document):
        raise ProfileError(f"{where}: {TOO_DEEP}")
    return _profile(name, document, where, known)


def _profile(
    name: str, document: dict[str, Any], where: str, known: Mapping[tuple[str, str], Known]
) -> Profile:
    """A profile from the tables of its file."""
    mistakes: list[str] = []
    costs: dict[tuple[str, str], Cost] = {}
    description = document.pop("description", "")
    status = document.pop("status", "assumed")
    if status not in ("assumed", "measured"):
        mistakes.append(f'{where}: status: {status!r} is neither "assumed" nor "measured"')
    unit = document.pop("unit", NS)
    if unit not in UNITS:
        mistakes.append(f'{where}: unit: {unit!r} is neither "ns" nor "instructions"')
    files = sorted({file for _, file in known})
    for file, table in document.items():
        if not isinstance(table, dict) or (known and file not in files):
            mistakes.append(
                f"{where}: {file}: no stage is marked in this file{nearest(file, files)}"
            )
            continue
        names = sorted(name for name, its_file in known if its_file == file)
        for stage, entry in table.items():
            if known and stage not in names:
                near = nearest(stage, names)
                mistakes.append(f"{where}: {file}: {stage}: no such stage in this file{near}")
            else:
                cost = _cost(f"{where}: {file}: {stage}", entry, mistakes)
                if cost.per_1000_bytes and known and not known[stage, file].sized:
                    mistakes.append(
                        f"{where}: {file}: {stage}: per_1000_bytes: this stage has no bytes"
                    )
                if cost != FREE:
                    costs[file, stage] = cost
    if mistakes:
        raise ProfileError(*mistakes)
    return Profile(name, description, status, costs, unit)


def _cost(where: str, entry: Any, mistakes: list[str]) -> Cost:
    if not isinstance(entry, dict):
        mistakes.append(
            f"{where}: {shown(entry)} is not a table like {{ enter = 400, source = ... }}"
        )
        return FREE
    figures = {field: entry.get(field, 0) for field in Cost._fields}
    for field, figure in figures.items():
        if type(figure) is not int or not 0 <= figure <= 10**12:
            mistakes.append(f"{where}: {field}: {shown(figure)} is not a whole number from 0 on")
    if not isinstance(entry.get("source"), str) or not entry["source"]:
        mistakes.append(f"{where}: source: missing; every figure says where it comes from")
    known = [*Cost._fields, "source"]
    for key in entry:
        if key not in known:
            mistakes.append(f"{where}: {key}: unknown{nearest(key, known)}")
    return Cost(**figures)
