"""The JSON Schema of scenario files, for editors: made from the tables that read them.

It says what can be said without reading anything else: keys, kinds, limits, words. That a
command exists or an option is modelled only desim itself says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from desim.scenario.durations import UNITS
from desim.scenario.key_texts import KEYS
from desim.scenario.schema import Scenario
from desim.scenario.sweep_table import Varied
from desim.scenario.tables import (
    REQUIRED,
    Choice,
    Duration,
    Flag,
    Inner,
    Kind,
    Named,
    Several,
    Spelled,
    Table,
    Text,
    Whole,
)

NAME = "NAME"
"""In a key, what stands for a name of the writer's own."""

DRAFT = "http://json-schema.org/draft-07/schema#"

Schema = dict[str, Any]

_DURATION = rf"^\s*\+?[0-9]+(\.[0-9]+)?\s*({'|'.join(UNITS)}|µs|μs)\s*$"
_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_CONTENTS: Schema = {
    "anyOf": [
        _TEXT,
        {
            "type": "object",
            "properties": {"same_as": _TEXT},
            "required": ["same_as"],
            "additionalProperties": False,
        },
    ]
}
_FORMS = {"text": _TEXT, "texts": _TEXTS, "contents": _CONTENTS}


def json_schema() -> Schema:
    """The schema of a whole file (draft 7), ready for JSON."""
    return {"$schema": DRAFT, "title": "A scenario of desim", **_table(Scenario, "")}


def keys(table: type[Table] = Scenario, way: str = "") -> Iterator[str]:
    """Every key that holds a value, as ``--set`` takes it but without numbers: ``guest.run.at``."""
    for name, entry in table.KEYS.items():
        inner = entry.kind.each if isinstance(entry.kind, (Several, Named)) else entry.kind
        if isinstance(inner, Inner):
            below = f"{name}.{NAME}" if isinstance(entry.kind, Named) else name
            yield from keys(inner.made, f"{way}{below}.")
        else:
            yield way + name


def _table(table: type[Table], way: str) -> Schema:
    made: Schema = {
        "type": "object",
        "properties": {
            name: _described(entry.kind, way + name) for name, entry in table.KEYS.items()
        },
        "additionalProperties": False,
    }
    required = [
        name
        for name, entry in table.KEYS.items()
        if entry.default is REQUIRED and not isinstance(entry.kind, Inner)
    ]
    return {**made, "required": required} if required else made


def _described(kind: Kind, way: str) -> Schema:
    made = _kind(kind, way)
    about = KEYS.get(way)
    if about is None:
        return made
    without = f". Without it: {about.without}" if about.without else ""
    return {**made, "description": re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", about.text + without)}


def _kind(kind: Kind, way: str) -> Schema:
    if isinstance(kind, Inner):
        return _table(kind.made, f"{way}.")
    if isinstance(kind, Several):
        return {"type": "array", "items": _kind(kind.each, way), "maxItems": kind.at_most}
    if isinstance(kind, Named):
        below = f"{way}.{NAME}" if isinstance(kind.each, Inner) else way
        return {"type": "object", "additionalProperties": _kind(kind.each, below)}
    if isinstance(kind, Text):
        made = dict(_TEXT)
        if not kind.empty:
            made["minLength"] = 1
        if kind.at_most:
            made["maxLength"] = kind.at_most
        return made
    if isinstance(kind, Whole):
        most = kind.most if kind.below is None else kind.below - 1
        made = {"type": "integer", "minimum": kind.least}
        return made if most is None else {**made, "maximum": most}
    if isinstance(kind, Flag):
        return {"type": "boolean"}
    if isinstance(kind, Choice):
        return {"enum": list(kind.words)}
    if isinstance(kind, Duration):
        return {"type": "string", "pattern": _DURATION}
    if isinstance(kind, Varied):
        return {"type": "object"}
    assert isinstance(kind, Spelled), f"{way}: a kind of value that the schema has no word for"
    return _FORMS[kind.form]
