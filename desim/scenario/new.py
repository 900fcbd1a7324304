"""A scenario file to begin with: another one's text, and what else could be said, as comments."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import wrap

from desim.config import InputFile
from desim.data import replace
from desim.errors import UserError
from desim.scenario.document import Document
from desim.scenario.inputs import Inputs
from desim.scenario.key_texts import KEYS
from desim.scenario.loader import load_document
from desim.scenario.metrics import METRICS

WIDTH = 78
_BELOW = re.compile(r" \(\[[^]]*\]\([^)]*\)\)")
"""A link in parentheses, which leads to another place of the page."""
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


def name_of(name: str) -> str:
    """``NAME.toml`` of ``NAME``; raises ``UserError`` if that is no file of the current folder."""
    stem = name.removesuffix(".toml")
    if not stem or stem in (".", "..") or "/" in stem or "\0" in stem or stem.startswith("-"):
        raise UserError(f"new: {name}: must be the name of a file in the current folder")
    return f"{stem}.toml"


def commented(path: str, label: str) -> str:
    """The text of the scenario in ``path``, and behind it the keys that it has not, as comments."""
    document = load_document(path)
    document.read()  # what cannot be run is nothing to begin with
    text = Path(path).read_text(encoding="utf-8").removeprefix("#:schema scenario.schema.json\n")
    begin = f"# Made from {label}. desim schema prints the schema that editors can check it by.\n"
    lines = [begin, text.strip("\n"), "", "# What else can be said:"]
    for key, about in KEYS.items():
        of_figure, of_machine = key.removeprefix("expect.") in METRICS, key.startswith("machine.")
        if not (_says(document, key) or of_figure or of_machine):
            without = f" Without it: {about.without}." if about.without else ""
            text_only = _BELOW.sub("", f"{about.text}.{without}")
            said = _LINK.sub(r"\1", text_only).replace("`", "")
            lines += ["#", *(f"# {line}" for line in wrap(f"{key}: {said}", WIDTH))]
    lines += [
        "#",
        "# [machine.NAME]: one more QEMU, with the keys qemu, slirp, semantics, guest, monitor,",
    ]
    lines += ["# inject and expect.file of its own."]
    figures = f'expect.NAME: a condition, such as "< 400us", on {", ".join(METRICS)}.'
    lines += ["#", *(f"# {line}" for line in wrap(figures, WIDTH, break_on_hyphens=False))]
    return "\n".join(lines) + "\n"


def _says(document: Document, key: str) -> bool:
    """Whether a file says ``key``, in one of its tables at least."""
    found: list[object] = [document.data]
    for part in key.split("."):
        inner = [table[part] for table in found if isinstance(table, dict) and part in table]
        found = [one for value in inner for one in (value if isinstance(value, list) else [value])]
    return bool(found)


class _Seen(Inputs):
    """Inputs that remember what was read, by the names that the scenario has for it."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs.folder)
        self.files: dict[str, bytes] = {}

    def file(self, name: str) -> InputFile:
        found = super().file(name)
        self.files[name] = found.data
        return found

    def tree(self, name: str) -> dict[str, InputFile]:
        found = super().tree(name)
        self.files |= {f"{name.rstrip('/')}/{below}": file.data for below, file in found.items()}
        return found


def inputs_of(name: str) -> dict[str, bytes]:
    """The real files that the scenario ``name`` reads, by the names that it has for them."""
    document = load_document(name)
    seen = _Seen(document.inputs)
    replace(document, inputs=seen).read()
    return seen.files
