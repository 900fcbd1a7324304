"""``--vary KEY=VALUES``: a key of a scenario with values, as the command line has them."""

from __future__ import annotations

import re

from desim.scenario.document import plain
from desim.scenario.key_names import KEY_FORM, Key, read_key
from desim.scenario.keys import kind_at
from desim.scenario.schema import Scenario
from desim.scenario.values import Axis, Ends, read_ends, read_values, values_of


def read_axis(text: str) -> Axis:
    """``KEY=VALUES``. Raises ``ValueError``."""
    name, key, values = _split(text, "guest.modprobe.InterruptThrottleRate=0,500,4000")
    return Axis(name, read_values(kind_at(Scenario, key), values))


def axis(name: str, values: object) -> Axis:
    """A key and its values, as a file or a program has them. Raises ``ValueError``."""
    return Axis(name, values_of(kind_at(Scenario, read_key(name)), plain(values)))


def read_bounds(text: str) -> tuple[str, Ends]:
    """``KEY=FROM:TO`` or ``KEY=FROM:TO:STEP``. Raises ``ValueError``."""
    name, _, values = _split(text, "guest.modprobe.RxAbsIntDelay=0:2000")
    return name, read_ends(values)


def _split(text: str, example: str) -> tuple[str, Key, str]:
    """The key as it is written, what it is, and what stands behind it."""
    for match in re.finditer("=", text):
        try:
            key = read_key(text[: match.start()])
        except ValueError:
            continue  # the sign may be inside a quoted name
        return text[: match.start()].strip(), key, text[match.end() :]
    if "=" not in text:
        raise ValueError(f"must be KEY=VALUES, such as {example}")
    raise ValueError(f"not a key: {text.partition('=')[0]}; {KEY_FORM}")
