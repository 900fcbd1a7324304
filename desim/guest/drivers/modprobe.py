"""``modprobe MODULE PARAMETER=VALUE...``: which driver is loaded, and with which parameters.

Models: ``parse_args`` and ``parse_one`` (kernel/params.c), ``unknown_module_param_cb``
(kernel/module/main.c) and ``kstrtoint`` (lib/kstrtox.c) of Linux 6.1.

Theory of operation
-------------------
A line is the module's name and then words ``NAME=VALUE``. ``-`` and ``_`` are the same
letter in names; of a parameter given twice the last one counts. Numbers are decimal,
``0x`` hexadecimal or, with a leading 0, octal.

What the kernel does with a mistake depends on its kind, and so it does here:

    an unknown name       the module is loaded; the log says "unknown parameter 'X' ignored"
    a value of a wrong    the module is not loaded, and the guest would have no network:
    form                  ``ModuleError``, with the kernel's line

Whether a number is in the range that the driver wants is the driver's own matter.

A parameter that is an array takes up to 32 values with commas between them, one for each
card (``param_array``); the first card, which is the only one here, takes the first.

Not modelled: quotes, modprobe's configuration files and options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from desim.data import NamedTuple
from desim.errors import nearest

INT = range(-(1 << 31), 1 << 31)
UINT = range(1 << 32)

MAX_CARDS = 32
"""``E1000_MAX_NIC``: how many values an array of the e1000 driver holds."""


class Parameter(NamedTuple):
    """One parameter of a module."""

    numbers: range
    """What it can hold."""
    per_card: bool = False
    """Whether it is an array with a value for each card."""


_NUMBER = r"[-+]?(?:0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,24}|[1-9][0-9]{0,20})"


class ModuleError(ValueError):
    """The kernel would not load the module; one text for each reason."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class Arguments(NamedTuple):
    """What ``parse_args`` makes of the words behind a module's name."""

    values: dict[str, int]
    unknown: list[str]
    """Names that the module does not have, as they were written."""


def kstrtoint(text: str) -> int | None:
    """The number that ``text`` spells; None if it spells none."""
    if re.fullmatch(_NUMBER, text) is None:
        return None
    digits = text.lstrip("+-")
    octal = digits[0] == "0" and digits[1:].isdigit()
    value = int(digits, 8 if octal else 0)
    return -value if text[0] == "-" else value


def parse_args(module: str, words: Sequence[str], known: Mapping[str, Parameter]) -> Arguments:
    """Read ``NAME=VALUE`` words; ``known`` is what the module takes."""
    values: dict[str, int] = {}
    unknown = []
    reasons = []
    for word in words:
        name, _, value = word.partition("=")
        name_found = name.replace("-", "_")
        if name_found not in known:
            unknown.append(name)
            continue
        parameter = known[name_found]
        texts = value.split(",") if parameter.per_card else [value]
        numbers = [kstrtoint(text) for text in texts]
        if any(number is None or number not in parameter.numbers for number in numbers):
            reasons.append(f"{module}: `{value}' invalid for parameter `{name}'")
        elif len(texts) > MAX_CARDS:
            reasons.append(f"{name}: can only take {MAX_CARDS} arguments")
        else:
            values[name_found] = numbers[0] or 0
    if reasons:
        raise ModuleError(*reasons)
    return Arguments(values, unknown)


class Modprobe(NamedTuple):
    """A line, read: the module, its arguments, and the line as the guest's log shows it."""

    module: str
    values: dict[str, int]
    unknown: list[str]
    words: list[str]

    def log_lines(self) -> list[str]:
        """What the kernel says of parameters that it ignores."""
        return [f"{self.module}: unknown parameter '{name}' ignored" for name in self.unknown]


def read_modprobe(line: str, modules: Mapping[str, Mapping[str, Parameter]]) -> Modprobe:
    """Read ``line``; ``modules`` are those there are, with their parameters."""
    words = line.split()
    if not words:
        raise ModuleError(f"names no module; there are {', '.join(modules)}")
    module = words[0].replace("-", "_")
    if module not in modules:
        if "=" in module:
            known = ", ".join(modules)
            raise ModuleError(f"the module's name comes first; there are {known}")
        raise ModuleError(
            f"modprobe: FATAL: Module {words[0]} not found; there are "
            f"{', '.join(modules)}{nearest(module, list(modules))}"
        )
    values, unknown = parse_args(module, words[1:], modules[module])
    return Modprobe(module, values, unknown, words)
