"""``results/``: what the shipped scenarios show and their fingerprints, to be compared bit for bit.

A change of behaviour shows up in review as a change of these files; its commit says why.
Run as a program (``nox -s results``) this writes them anew.
"""

from __future__ import annotations

from pathlib import Path

from runs import SHIPPED, shipped_run

from desim.compare import results
from desim.compare.results import FINGERPRINTS, PAGES

FOLDER = Path(__file__).resolve().parent.parent / "results"
PAGE = "hello"
"""The scenario whose page is there as a whole, so that a change of it can be read."""
DRAWN = ("burst", "hello", "lossy", "refused", "services", "upload")
"""Scenarios whose pages have their hashes in ``PAGES``."""


def report(name: str) -> str:
    """What ``desim run`` prints for a shipped scenario where there is no terminal."""
    return results.report(shipped_run(name))


def long_report(name: str) -> str:
    """What ``desim run -vv`` prints on a terminal of 100 columns."""
    return results.long_report(shipped_run(name))


def fingerprints() -> str:
    """The fingerprint of every shipped scenario, with its ingredients."""
    return results.fingerprints((name, shipped_run(name).fingerprint) for name in SHIPPED)


def page(name: str) -> str:
    """What ``desim report`` makes of a shipped scenario."""
    return results.page(shipped_run(name))


def pages() -> str:
    """The SHA-256 of some pages, all of which have other pictures."""
    return results.pages((name, page(name)) for name in DRAWN)


def files() -> dict[str, str]:
    """Every file of the folder, by name."""
    made = {FINGERPRINTS: fingerprints(), PAGES: pages(), f"{PAGE}.html": page(PAGE)}
    for name in SHIPPED:
        made |= {f"{name}.txt": report(name), f"{name}-vv.txt": long_report(name)}
    return made


def main() -> None:
    """Write the folder."""
    made = files()
    for path in FOLDER.iterdir():
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
