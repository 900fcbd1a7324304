"""Is a run what it was? What lies in a folder is run again, and compared.

Two kinds of folders can be verified, and folders of such folders:

* one that ``desim run --out`` has written: that it holds what its summary says (nobody has changed
  a byte), and that its scenario, run again, does the same. If it does not, where the two part is
  told as ``desim diff`` does;
* one with ``fingerprints.toml`` (``desim.compare.results``), as desim's own ``results``: the
  scenarios in it are run again, and fingerprints and reports compared.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from difflib import unified_diff
from pathlib import Path

from desim.compare import results
from desim.compare.report import lines as differences
from desim.compare.results import FINGERPRINTS, LONG_REPORT, PAGE, PAGES, REPORT
from desim.data import NamedTuple
from desim.disk import kind_of
from desim.engine.trace import Fingerprint
from desim.errors import UserError
from desim.experiment.run import RunResult
from desim.experiment.saved import Saved, is_run
from desim.toml_limits import MAX_BYTES
from desim.version import __version__

INGREDIENTS = {
    "times": "something happened at another time",
    "names": "other functions, waits or events, or in another order",
    "bytes": "other bytes on the wire or in a file",
}
"""What it means that an ingredient of a fingerprint is another one."""
SHOWN = 8
"""Lines of a difference between two texts that are shown."""

RunAgain = Callable[[Saved], RunResult | None]
"""Runs what a folder's run was again; None if the folder does not tell what it was."""
RunShipped = Callable[[str], RunResult]
"""Runs a scenario by its name."""


class Verdict(NamedTuple):
    """What became of one thing that was verified."""

    name: str
    wrong: tuple[str, ...] = ()
    """Lines that say what differs; none if all is as it was."""


def verify(path: Path, again: RunAgain, shipped: RunShipped) -> Iterator[Verdict]:
    """Verify what is in a folder, one verdict after the other.

    Raises ``UserError`` if there is nothing that can be verified.
    """
    if is_run(path):
        yield _run(path, again)
        return
    if kind_of(path) != "folder":
        raise UserError(f"{path}: is no folder")
    if kind_of(path / FINGERPRINTS) == "file":
        yield from _results(path, shipped)
        return
    runs = sorted(below for below in path.iterdir() if is_run(below))
    if not runs:
        raise UserError(
            f"{path}: holds nothing that can be verified: no {FINGERPRINTS}, and no folder of a run"
        )
    for run in runs:
        yield _run(run, again)


# --- the folder of a run


def _run(path: Path, again: RunAgain) -> Verdict:
    saved = Saved(path)
    wrong = list(_changed(saved))
    if wrong:
        return Verdict(str(path), tuple(wrong))
    if saved.summary["ended"] == "interrupted":
        return Verdict(str(path), ("was interrupted, so it cannot be run again",))
    new = again(saved)
    if new is None:
        return Verdict(str(path), ("does not say what was run (no scenario.json)",))
    if new.fingerprint == saved.fingerprint:
        return Verdict(str(path))
    by = saved.summary["desim"]
    version = "" if by == __version__ else f" (it was written by desim {by}, this is {__version__})"
    told = differences(saved, new, (f"{path}, as it is", "run again"))
    return Verdict(str(path), (f"does something else when it is run again{version}", "", *told))


def _changed(saved: Saved) -> Iterator[str]:
    """What is not as the run has left it."""
    summary = saved.summary
    said = {name: file["sha256"] for name, file in summary["files"].items()}
    there = {name: log.sha256() for name, log in saved.files.items()}
    for name in sorted({*said, *there}):
        if name not in there:
            yield f"{name}: is missing"
        elif name not in said:
            yield f"{name}: is not the run's"
        elif said[name] != there[name]:
            yield f"{name}: somebody has changed it"
    if summary["fingerprint"] is None:
        yield "holds no trace or no frames, so it has no fingerprint"
        return
    found, expected = saved.fingerprint, Fingerprint(**summary["fingerprint"])
    if found != expected:
        for line in _ingredients(expected, found):
            yield f"trace or captures are not those of the summary: {line}"


def _ingredients(expected: Fingerprint, found: Fingerprint) -> Iterator[str]:
    for part, means in INGREDIENTS.items():
        if getattr(expected, part) != getattr(found, part):
            yield f"{part} ({means})"


# --- a folder of results


def _results(folder: Path, shipped: RunShipped) -> Iterator[Verdict]:
    pages = _pages(folder / PAGES)
    for name, expected in _fingerprints(folder / FINGERPRINTS).items():
        try:
            result = shipped(name)
        except UserError as error:
            yield Verdict(name, tuple(error.messages))
            continue
        yield Verdict(name, tuple(_against(folder, name, expected, pages.get(name), result)))


def _fingerprints(path: Path) -> Mapping[str, Fingerprint]:
    """The fingerprints in a file. Raises ``UserError`` if they are none."""
    try:
        with path.open("rb") as file:
            data = tomllib.loads(file.read(MAX_BYTES).decode())
        return {name: Fingerprint(**table) for name, table in data.items()}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not a file of fingerprints: {error}") from None


def _pages(path: Path) -> Mapping[str, str]:
    """The hashes of pages, by scenario. Raises ``UserError`` if the file has something else."""
    if kind_of(path) != "file":
        return {}
    try:
        with path.open("rb") as file:
            data = tomllib.loads(file.read(MAX_BYTES).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a file of pages' hashes: {error}") from None
    return {name: str(value) for name, value in data.items()}


def _against(
    folder: Path, name: str, expected: Fingerprint, page: str | None, result: RunResult
) -> Iterator[str]:
    """What differs from a folder; ``page`` is the hash of the run's page, if it has one there."""
    found = result.fingerprint
    if found != expected:
        yield f"{FINGERPRINTS}: other " + "; ".join(_ingredients(expected, found))
    for ending, made in (
        (REPORT, results.report),
        (LONG_REPORT, results.long_report),
        (PAGE, results.page),
    ):
        path = folder / f"{name}{ending}"
        if kind_of(path) == "file":
            yield from _text(path, made(result))
    if page is not None and page != results.digest(results.page(result)):
        yield f"{PAGES}: the page of this run is another (desim report {name})"


def _text(path: Path, new: str) -> Iterator[str]:
    old = path.read_text(encoding="utf-8", errors="backslashreplace")
    if old == new:
        return
    compared = list(unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0))[2:]
    found = [line for line in compared if not line.startswith("@@ ")]
    yield f"{path.name}: {len(found)} lines differ" if found else f"{path.name}: ends otherwise"
    yield from (f"  {line}" for line in found[:SHOWN])
    if len(found) > SHOWN:
        yield f"  ... {len(found) - SHOWN} more"
