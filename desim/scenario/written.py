"""A scenario as a run's folder keeps it (``scenario.json``), so that it can be run again.

It is what was run: with the files that it extends, with ``--set``, seed and end. Names of files
stay as they were written; the files themselves are not in it, their hashes are in the summary.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from desim.disk import FileName
from desim.errors import ScenarioError
from desim.scenario.document import Document, Spoken
from desim.scenario.inputs import Inputs

FORMAT = "desim-scenario/1"
MAX_BYTES = 1 << 20
BYTES = "bytes in hexadecimal"
"""The only key of a table that stands for what no JSON can say."""


def text(document: Document) -> str:
    """A document as JSON: keys in their order, ASCII only."""
    data = dict(document.data)
    if isinstance(data.get("qemu"), tuple):  # words that were split already
        data["qemu"] = shlex.join(data["qemu"])
    made = {"format": FORMAT, "name": document.name, "scenario": _plain(data)}
    return json.dumps(made, indent=2, allow_nan=False) + "\n"


def read(
    written: str, label: str, *, folder: FileName, allowed: tuple[FileName, ...] = ()
) -> Document:
    """The document again; the files that it names are looked for below ``folder``.

    Raises ``ScenarioError`` for what is none.
    """
    try:
        made = json.loads(written[: MAX_BYTES + 1])
        name, data = made["name"], _value(made["scenario"])
        if made["format"] != FORMAT or not isinstance(name, str) or not isinstance(data, dict):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ScenarioError(f"{label}: not a scenario that desim has written") from None
    return Document(name, data, Spoken({}), Inputs(folder, allowed=allowed))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {BYTES: value.hex()}
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        if list(value) == [BYTES]:
            return bytes.fromhex(value[BYTES])
        return {name: _value(inner) for name, inner in value.items()}
    return [_value(inner) for inner in value] if isinstance(value, list) else value
