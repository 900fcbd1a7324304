"""``trace.jsonl``: a trace as lines of JSON; ``docs/trace.md`` says what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import chain, islice
from typing import Any

from desim.data import fields
from desim.engine.marks import Codes
from desim.engine.trace import ThreadRecord, Trace
from desim.events import KINDS
from desim.reasons import Reason
from desim.wire.addresses import ip_text

LINES = 1000
"""How many make a piece."""


@cache
def fields_of(kind: str) -> tuple[str, ...]:
    """The names of the data of a kind of event, in order."""
    return fields(KINDS[kind])


def named(event: tuple[Any, ...]) -> dict[str, Any]:
    """The data of an event as a trace keeps it (time, position, kind, data...), ready for JSON."""
    names = fields_of(event[2])
    return {name: _plain(value) for name, value in zip(names, event[3:], strict=True)}


def lines(trace: Trace) -> Iterator[bytes]:
    """The lines in pieces, thread by thread: spans in order of entry, then events."""
    for record in sorted(trace.threads.values(), key=lambda record: record.rank):
        line = chain(_spans(trace, record), _events(record))
        while piece := "".join(islice(line, LINES)):
            yield piece.encode()


def _spans(trace: Trace, record: ThreadRecord) -> Iterator[str]:
    # NOTE: what all lines of a stage have in common is made once (these lines are most of what
    # ``--out`` writes, and ``json.dumps`` for each takes five times as long).
    begin = f'{{"thread": {json.dumps(record.name)}, "begin": '
    ends: dict[int, str] = {}
    for span in trace.spans(record):
        end = ends.get(span.code)
        if end is None:
            end = ends[span.code] = _of_stage(trace.codes, span.code)
        still = '"open": true, ' if span.is_open else ""
        yield f'{begin}{span.begin}, "end": {span.end}, "depth": {span.depth}, {still}{end}'


def _of_stage(codes: Codes, code: int) -> str:
    """The end of a span's line: what the stage or wait is."""
    name = codes.name(code).strip("()")
    said = {"wait": name} if codes.is_wait(code) else {"stage": name, "file": codes.file(code)}
    return json.dumps(said).removeprefix("{") + "\n"


def _events(record: ThreadRecord) -> Iterator[str]:
    for event in record.events:
        head = {"thread": record.name, "at": event[0], "position": event[1], "event": event[2]}
        yield json.dumps(head | named(event)) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Reason):
        return {"code": value.code, "text": str(value), "data": dict(value.data)}
    if isinstance(value, tuple):
        # An endpoint, or a list of names.
        return [ip_text(part) if isinstance(part, bytes) else part for part in value]
    return value
