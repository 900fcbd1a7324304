"""A scenario file, from its name to a configuration, or to all of its mistakes.

``tomllib`` reads values, :mod:`desim.scenario.lines` finds where they stand and
:mod:`desim.scenario.schema` judges them. A mistake is one line:
``file:line: key: what was given: what is allowed; the nearest valid spelling``.
"""

from __future__ import annotations

import json
import os
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from desim.config import Expect, MachineConfig, RunCommand, Side
from desim.costs.profile import shipped as shipped_profiles
from desim.errors import UserError, nearest
from desim.scenario.inputs import Inputs
from desim.scenario.lines import Key, Lines
from desim.scenario.modprobe import note_without_card
from desim.scenario.schema import Reading, Run, Scenario
from desim.scenario.shipped import find_scenario

MAX_FILE_BYTES = 256 << 10
MAX_NESTING = 16
MAX_SHOWN = 60
"""Characters of a wrong value that a message repeats."""

TOO_DEEP = f"nested more than {MAX_NESTING} levels deep"


def load_scenario(name: str, *, allow_read: Sequence[Path] = ()) -> MachineConfig:
    """The configuration of the scenario that ``name`` means (a path or a shipped name).

    Raises :class:`UserError` with every mistake of the file.
    """
    path, label = find_scenario(name)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"{label}: cannot be read: {error.strerror}") from None
    folder = Path(os.path.realpath(path)).parent
    return parse_scenario(raw, label, Inputs(folder, allowed=allow_read))


def parse_scenario(raw: bytes, label: str, inputs: Inputs) -> MachineConfig:
    """The configuration that the bytes of a scenario file describe."""
    if len(raw) > MAX_FILE_BYTES:
        raise UserError(f"{label}: larger than {MAX_FILE_BYTES >> 10} KiB")
    try:
        text = raw.decode()
        data = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{label}:{line}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(_toml_error(label, text, str(error))) from None
    except RecursionError:
        raise UserError(f"{label}: {TOO_DEEP}") from None
    except ValueError as error:  # a number with thousands of digits
        raise UserError(f"{label}: {str(error).partition(';')[0]}") from None
    if _nesting(data) > MAX_NESTING:
        raise UserError(f"{label}: {TOO_DEEP}")
    reading = Reading(inputs, shipped_profiles())
    try:
        scenario = Scenario.model_validate(data, context=reading)
    except ValidationError as error:
        raise UserError(*_messages(label, data, Lines(text), error)) from None
    return _configuration(scenario, reading, Path(label).stem)


def _configuration(scenario: Scenario, reading: Reading, name: str) -> MachineConfig:
    network = reading.network
    if network.nic is not None:
        network.nic.semantics = scenario.semantics
    return MachineConfig(
        name=name,
        description=scenario.description,
        qemu=shlex.join(scenario.qemu),
        user=network.user,
        nic=network.nic,
        hub=network.hub,
        filters=network.filters,
        dns=scenario.dns.made(),
        costs=scenario.costs,
        icount_shift=network.icount_shift,
        seed=scenario.seed,
        strict=scenario.strict,
        until_ns=scenario.until,
        modprobe=scenario.guest.modprobe,
        guest_ipv6=scenario.guest.ipv6,
        guest=_commands("guest", [(run, run.command) for run in scenario.guest.run]),
        host=_commands("host", [(run, run.command) for run in scenario.host.run]),
        guest_files=reading.files["guest"],
        host_files=reading.files["host"],
        expect=Expect(guest_files=scenario.expect.guest.file, host_files=scenario.expect.host.file),
        folder=reading.inputs.folder,
        notes=network.notes
        + reading.notes
        + note_without_card("guest.modprobe", scenario.guest.modprobe, network.nic)
        + note_without_card("semantics", scenario.semantics, network.nic, usual="qemu"),
    )


def _commands(side: Side, runs: Sequence[tuple[Run, str]]) -> list[RunCommand]:
    return [
        RunCommand(
            side=side,
            command=command,
            terminal=f"{side} {number}",
            at_ns=run.at,
            stop_ns=None if run.stop is None else run.stop.ns,
            stop_relative=run.stop is not None and run.stop.relative,
        )
        for number, (run, command) in enumerate(runs, 1)
    ]


# Mistakes, as one line each


def _toml_error(label: str, text: str, message: str) -> str:
    """tomllib's message, with the line where ours has it."""
    what, found, place = message.rpartition(" (at line ")
    if not found:
        what, line = message.removesuffix(" (at end of document)"), str(text.count("\n") + 1)
        return f"{label}:{line}: {what} (at the end of the file)"
    line, _, column = place.rstrip(")").partition(", column ")
    there = _shown(text.split("\n")[int(line) - 1].strip())
    return f"{label}:{line}: {there}: {what} (column {column})"


def _messages(
    label: str, data: Mapping[str, Any], lines: Lines, error: ValidationError
) -> Iterator[str]:
    found = []
    for details in error.errors(include_url=False):
        key = _existing(details["loc"], data)
        line = lines.of(key)
        for message in _texts(details, key, data):
            found.append((line, f"{label}:{line}: {_dotted(key)}: {message}"))
    # In the order of the file; what shares a line keeps pydantic's order.
    return (message for _, message in sorted(found, key=lambda entry: entry[0]))


def _existing(loc: Key, data: Any) -> Key:
    """``loc`` without what pydantic adds to name validators and keys (``"[key]"``)."""
    key: Key = ()
    for part in loc:
        if isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif isinstance(data, dict) and part in data:
            data = data[part]
        elif part == loc[-1] and isinstance(data, dict) and part != "[key]":
            data = None
        else:
            break
        key = (*key, part)
    return key


def _texts(details: Mapping[str, Any], key: Key, data: Mapping[str, Any]) -> list[str]:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "mistakes":
        given = "" if context["quoted"] else f"{_shown(details['input'])}: "
        return [given + message for message in context["messages"]]
    if kind == "extra_forbidden":
        allowed = sorted(_fields(key[:-1]))
        return [f"no such key; allowed are {', '.join(allowed)}{nearest(str(key[-1]), allowed)}"]
    if kind == "missing":
        return ["missing"]
    allowed_text = {
        "model_type": "must be a table",
        "dict_type": "must be a table",
        "list_type": f"must be an array of tables: write [[{_dotted(key)}]]",
        "string_too_long": f"too long; at most {context.get('max_length')} characters are allowed",
        "int_type": "must be a whole number",
        "bool_type": "must be true or false",
        "too_long": f"too many; at most {context.get('max_length')} are allowed",
        "too_short": "must not be empty",
        "string_too_short": "must not be empty",
        "greater_than_equal": f"must be {context.get('ge')} or more",
        "less_than": f"must be less than {context.get('lt')}",
        "literal_error": f"allowed is {context.get('expected')}",
    }.get(kind, details["msg"])
    return [f"{_shown(details['input'])}: {allowed_text}"]


def _fields(key: Key) -> list[str]:
    """The keys that the schema allows in the table at ``key``."""
    model: type[BaseModel] = Scenario
    for part in key:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = getattr(annotation, "__args__", (annotation,))[0]
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        model = inner
    return list(model.model_fields)


def _dotted(key: Key) -> str:
    """``guest.run[0].at``"""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.isascii() and part.replace("_", "").replace("-", "").isalnum()
            text += ("." if text else "") + (part if plain else json.dumps(part))
    return text


def _shown(value: Any) -> str:
    """A wrong value as its file spells it, cut to what fits a line."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 4] + "..." + text[-1]


def _nesting(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        if depth > MAX_NESTING:
            break
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth
