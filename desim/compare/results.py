"""A folder of results as a project keeps it: what runs have shown, and their fingerprints.

``fingerprints.toml`` has a table for each scenario. ``NAME.txt`` is what ``desim run NAME`` prints
where there is no terminal, ``NAME-vv.txt`` what ``desim run -vv NAME`` prints on 100 columns,
``NAME.html`` what ``desim report NAME`` writes; ``pages.toml`` has the hashes of more of these.
All are text, so that a change of behaviour shows in review.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from desim.engine.trace import Fingerprint
from desim.experiment.run import RunResult
from desim.report import long, terminal

FINGERPRINTS = "fingerprints.toml"
PAGES = "pages.toml"
HEAD = "# The same on every Python, machine and hash seed. Made by: nox -s results"
HEAD_OF_PAGES = "# The same on every Python and machine. Made by: nox -s results"
REPORT, LONG_REPORT, PAGE = ".txt", "-vv.txt", ".html"


def report(result: RunResult) -> str:
    """``NAME.txt``."""
    return terminal.text(result, result.config) + "\n"


def long_report(result: RunResult) -> str:
    """``NAME-vv.txt``."""
    return terminal.text(result, result.config, long.WIDTH, 2) + "\n"


def page(result: RunResult) -> str:
    """``NAME.html``."""
    from desim.report.page import run as pages  # its template takes a while to load

    return pages.page(result)


def fingerprints(found: Iterable[tuple[str, Fingerprint]]) -> str:
    """``fingerprints.toml``: for each scenario its fingerprint with the ingredients."""
    lines = [HEAD]
    for name, fingerprint in found:
        lines += ["", f"[{name}]"]
        lines += [f'{part} = "{value}"' for part, value in fingerprint._asdict().items()]
    return "\n".join(lines) + "\n"


def pages(found: Iterable[tuple[str, str]]) -> str:
    """``pages.toml``: the SHA-256 of the pages of some scenarios."""
    lines = [HEAD_OF_PAGES, *(f'{name} = "{digest(text)}"' for name, text in found)]
    return "\n".join(lines) + "\n"


def digest(page: str) -> str:
    """What ``pages.toml`` has of a page."""
    return hashlib.sha256(page.encode()).hexdigest()
