"""A scenario file, from its name to a document, and from there to a configuration.

``tomllib`` reads values, :mod:`desim.scenario.lines` finds where they stand;
:mod:`desim.scenario.document` has them judged. A mistake is one line:
``file:line: key: what was given: what is allowed; the nearest valid spelling``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from desim.config import MachineConfig
from desim.data import replace
from desim.disk import FileName, stem_of
from desim.errors import ScenarioError, nearest
from desim.scenario.document import Document, Extended, InFile, as_in_a_file, merged
from desim.scenario.inputs import Inputs
from desim.scenario.shipped import find_scenario, shipped_folder, shipped_scenarios
from desim.shipped_toml import tables
from desim.toml_limits import LONG_KEY, MAX_BYTES, TOO_DEEP, TOO_LARGE, long_key, too_deep

EXTENDS = "extends"
MAX_EXTENDED = 8
"""Files that may extend each other, one behind the other."""


def load_scenario(name: str, *, allow_read: Sequence[FileName] = ()) -> MachineConfig:
    """The configuration of the scenario that ``name`` means (a path or a shipped name).

    Raises :class:`ScenarioError` with every mistake of the file.
    """
    return load_document(name, allow_read=allow_read).read()


def load_document(name: str, *, allow_read: Sequence[FileName] = ()) -> Document:
    """What the file of the scenario ``name`` says. Raises ``ScenarioError`` if it is no TOML."""
    return _load(*find_scenario(name), allow_read, ())


def _load(
    path: str, label: str, allow_read: Sequence[FileName], extending: tuple[str, ...]
) -> Document:
    """``extending`` are the files on whose behalf this one is read, innermost last."""
    real = os.path.realpath(path)
    inputs = Inputs(os.path.dirname(real), allowed=allow_read)
    document = _compiled(path, label, inputs) or _parsed(path, label, inputs)
    wanted = document.data.get(EXTENDS)
    if not isinstance(wanted, str):
        return document
    own = {key: value for key, value in document.data.items() if key != EXTENDS}
    chain = (*extending, real)
    try:
        other, other_label = _extended(wanted, document.inputs)
        if os.path.realpath(other) in chain:
            raise ValueError("the file would extend itself")
        if len(chain) > MAX_EXTENDED:
            raise ValueError(f"more than {MAX_EXTENDED} files one behind the other")
    except ValueError as error:
        raise ScenarioError(document.source.tell((EXTENDS,), str(error), wanted)) from None
    base = _load(other, other_label, allow_read, chain)
    return replace(
        document,
        data=merged(base.data, own),
        source=Extended(document.source, own, base.source),
        inputs=document.inputs.beside(base.inputs),
    )


def _compiled(path: str, label: str, inputs: Inputs) -> Document | None:
    """What a scenario that ships says; None for a user's, and if there is a mistake to tell of.

    NOTE: ``tomllib`` and what it imports are 2 % of a start.
    """
    if os.path.dirname(path) != shipped_folder():
        return None
    try:
        return Document(stem_of(label), tables(path), InFile(label, None, path), inputs)
    except (OSError, ValueError):
        return None


def _parsed(path: str, label: str, inputs: Inputs) -> Document:
    try:
        with open(path, "rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ScenarioError(f"{label}: cannot be read: {error.strerror}") from None
    return parse_document(raw, label, inputs)


def _extended(name: str, inputs: Inputs) -> tuple[str, str]:
    """The file that ``extends = name`` means: one beside it, or else one that ships."""
    shipped = shipped_scenarios()
    path = inputs.path(name)
    if inputs.kind(path) == "file":
        return path, name
    if name in shipped:
        return shipped[name], f"{name}.toml"
    raise ValueError(
        f"neither a file in the scenario's folder nor a shipped scenario{nearest(name, shipped)}"
    )


def parse_scenario(raw: bytes, label: str, inputs: Inputs) -> MachineConfig:
    """The configuration that the bytes of a scenario file describe."""
    return parse_document(raw, label, inputs).read()


def parse_document(raw: bytes, label: str, inputs: Inputs) -> Document:
    """What the bytes of a scenario file say; ``label`` is what messages call the file."""
    text, data = _read(raw, label)
    return Document(stem_of(label), data, InFile(label, text), inputs)


def read_text(raw: bytes, label: str) -> str:
    """The text of a scenario file. Raises ``ScenarioError`` if it is no TOML."""
    return _read(raw, label)[0]


def _read(raw: bytes, label: str) -> tuple[str, dict[str, Any]]:
    import tomllib

    if len(raw) > MAX_BYTES:
        raise ScenarioError(f"{label}: {TOO_LARGE}")
    try:
        text = raw.decode()
        if (line := long_key(text)) is not None:
            raise ScenarioError(f"{label}:{line}: {LONG_KEY}")
        data = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ScenarioError(f"{label}:{line}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(_toml_error(label, text, str(error))) from None
    except RecursionError:
        raise ScenarioError(f"{label}: {TOO_DEEP}") from None
    except ValueError as error:  # a number with thousands of digits
        raise ScenarioError(f"{label}: {str(error).partition(';')[0]}") from None
    if too_deep(data):
        raise ScenarioError(f"{label}: {TOO_DEEP}")
    return text, data


def _toml_error(label: str, text: str, message: str) -> str:
    """tomllib's message, with the line where ours has it."""
    what, found, place = message.rpartition(" (at line ")
    if not found:
        what, line = message.removesuffix(" (at end of document)"), str(text.count("\n") + 1)
        return f"{label}:{line}: {what} (at the end of the file)"
    line, _, column = place.rstrip(")").partition(", column ")
    there = as_in_a_file(text.split("\n")[int(line) - 1].strip())
    return f"{label}:{line}: {there}: {what} (column {column})"
