"""Everything put into the template: one file of HTML that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from desim.data import NamedTuple
from desim.report.page.figure import TRUST, Figure, Table
from desim.report.page.places import Place
from desim.version import __version__

FOLDER = Path(__file__).parent
GENERATOR = "desim report"
"""What a page says that it was made by: such a file may be replaced."""


class Missing(NamedTuple):
    """A picture that the page has not, and why."""

    kind: str
    why: str


class Part(NamedTuple):
    """A table below the pictures."""

    name: str
    title: str
    table: Table


@dataclass(frozen=True)
class Document:
    """What a page says."""

    title: str
    figures: Sequence[Figure]
    lead: str = ""
    verdict: str = ""
    good: bool = True
    command: str = ""
    failures: Sequence[str] = ()
    missing: Sequence[Missing] = ()
    parts: Sequence[Part] = field(default=())
    made: str = ""
    """How it was made: what a reader needs to make it again."""

    @property
    def verdict_css(self) -> str:
        """The look of the verdict."""
        return "good" if self.good else "bad"


def html(document: Document) -> str:
    """The page. The same document gives the same bytes, always."""
    style, script = _file("page.css") + _file("picture.css"), _file("page.js")
    return _template().render(
        doc=document,
        trust=TRUST,
        generator=f"{GENERATOR} {__version__}",
        policy=_policy(style, script),
        style=style,
        script=script,
        places=[place.css for place in Place],
    )


def _policy(style: str, script: str) -> str:
    """Only what is in the file, and of that only our own style and script, may be used."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _file(name: str) -> Markup:
    """A file of the page's, which is markup: nothing from elsewhere is in it."""
    return Markup((FOLDER / name).read_text(encoding="utf-8"))


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html")
