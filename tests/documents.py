"""The documents, taken apart for tests: pages, blocks, tables, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
AT_ROOT = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = [
    *(ROOT / name for name in AT_ROOT),
    # Pages of the same names in docs/ only include those at the root.
    *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in AT_ROOT),
]

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", flags=re.M | re.S)


class Block(NamedTuple):
    """One fenced block."""

    page: Path
    line: int
    language: str
    text: str
    remark: str
    """The comment on the line above it, without its marks; ``""`` if there is none."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The fenced blocks of a page that are in one of ``languages``, in order."""
    text = read(page)
    for found in _FENCE.finditer(text):
        if found[1] in languages:
            line = text.count("\n", 0, found.start()) + 1
            above = text[: found.start()].rstrip("\n").rpartition("\n")[2]
            comment = re.fullmatch(r"<!-- (.*) -->", above)
            yield Block(page, line, found[1], found[2], comment[1] if comment else "")


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", read(page))


def first_cells(text: str) -> list[str]:
    """The first cell of each row of each table, without the tables' heads."""
    cells = []
    rows = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.startswith("|")]
    for number, cell in enumerate(rows):
        is_head = number + 1 < len(rows) and set(rows[number + 1]) <= set("-|")
        if not is_head and not set(cell) <= set("-|"):
            cells.append(cell)
    return cells


def section(text: str, heading: str) -> str:
    """What is below a heading, up to the next one of the same level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    lines = text.splitlines()
    start = lines.index(heading) + 1
    end = start
    while end < len(lines) and not re.match(rf"#{{1,{level}}} ", lines[end]):
        end += 1
    return "\n".join(lines[start:end])


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may end in, as GitHub makes it of the heading."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), flags=re.M):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.strip().replace(" ", "-"))
    return found
