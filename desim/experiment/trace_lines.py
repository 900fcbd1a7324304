"""An event of a trace as a line of ``trace.jsonl``; ``docs/trace.md`` says what is in it."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any

from desim.events import KINDS
from desim.reasons import Reason
from desim.wire.addresses import ip_text


@cache
def fields_of(kind: str) -> tuple[str, ...]:
    """The names of the data of a kind of event, in order."""
    return tuple(field.name for field in fields(KINDS[kind]))


def named(event: tuple[Any, ...]) -> dict[str, Any]:
    """The data of an event as a trace keeps it (time, position, kind, data...), ready for JSON."""
    names = fields_of(event[2])
    return {name: _plain(value) for name, value in zip(names, event[3:], strict=True)}


def _plain(value: Any) -> Any:
    if isinstance(value, Reason):
        return {"code": value.code, "text": str(value), "data": dict(value.data)}
    if isinstance(value, tuple):
        address, port = value
        return [ip_text(address), port]
    return value
