"""``docs/trace.md``: what stands in ``trace.jsonl``, made from the definitions themselves.

What stands above the mark is written by hand; everything below it is made, from
``desim.events`` and the rooms' reasons. Run as a program (``nox -s pages``) this writes it
anew, and a test compares.
"""

from __future__ import annotations

import ast
import inspect
import re

from documents import ROOT, read

import desim.events
from desim.events import EVENTS, Event
from desim.machine.reasons import ROOMS, declared

PAGE = ROOT / "docs" / "trace.md"
MARK = "<!-- Below this line: nox -s pages -->\n"


def field_docs() -> dict[str, dict[str, str]]:
    """The text behind each field of each class of events, by class and field."""
    tree = ast.parse(inspect.getsource(desim.events))
    found: dict[str, dict[str, str]] = {}
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        docs = found.setdefault(cls.name, {})
        for node, behind in zip(cls.body, cls.body[1:], strict=False):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(behind, ast.Expr)
                and isinstance(behind.value, ast.Constant)
            ):
                docs[node.target.id] = " ".join(str(behind.value.value).split())
    return found


def markdown(text: str) -> str:
    """A docstring's text: its code spans have one backtick, and ``|`` ends no cell."""
    return re.sub(r"``([^`]+)``", r"`\1`", text).replace("|", "\\|")


def entry(event: type[Event]) -> str:
    """A kind of event: its word, what it is, and its data."""
    rows = [
        f"| `{name}` | {markdown(text)} |" for name, text in field_docs()[event.__name__].items()
    ]
    head = f"### `{event.kind}`\n\n{markdown(inspect.getdoc(event) or '')}"
    return head + "\n\n" + "\n".join(("| field | is |", "|---|---|", *rows))


def reasons() -> str:
    """All reasons, room by room."""
    rows = [
        f"| `{reason.code}` | `desim/{room.__name__.split('.')[1]}` | {markdown(reason.text)} |"
        for room in ROOMS
        for reason in declared(room)
    ]
    return "\n".join(("| code | whose | text |", "|---|---|---|", *rows))


def page(old: str) -> str:
    """The page, with what stands above the mark in ``old``."""
    head, mark, _ = old.partition(MARK)
    assert mark, f"{PAGE.name} has lost its mark"
    parts = ["## Events", *map(entry, EVENTS), "## Reasons", reasons()]
    return head + mark + "\n" + "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(page(read(PAGE)), encoding="utf-8")


if __name__ == "__main__":
    main()
