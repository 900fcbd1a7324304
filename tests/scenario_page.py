"""``docs/scenario.md``: its tables of keys, made from the keys' texts; and the schema.

The page says by hand which keys a table has and in which order. Run as a program (``nox -s
pages``) this writes both anew, and tests compare.
"""

from __future__ import annotations

import json
import re

from documents import ROOT, read

from desim.scenario.json_schema import json_schema
from desim.scenario.key_texts import KEYS

PAGE = ROOT / "docs" / "scenario.md"
SCHEMA = ROOT / "scenarios" / "scenario.schema.json"

_ROW = re.compile(r"^\| `([a-z0-9_.]+)` \|.*\|$", flags=re.M)


def row(found: re.Match[str]) -> str:
    """One row of a table of keys; a row of another table stays as it is."""
    about = KEYS.get(found[1])
    if about is None:
        return found[0]
    text, without = (part.replace("|", "\\|") for part in about)
    return f"| `{found[1]}` | {text} | {without} |".replace("|  |", "| |")


def page(old: str) -> str:
    """The page, with the rows of its keys made anew."""
    keys, heading, rest = old.partition("## QEMU's options")
    assert heading, f"{PAGE.name} has lost a heading"
    return _ROW.sub(row, keys) + heading + rest


def schema() -> str:
    """The schema as its file has it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write page and schema anew."""
    PAGE.write_text(page(read(PAGE)), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
