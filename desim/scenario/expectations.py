"""``[expect]`` of files: what programs were to write, compared with what they wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from desim.config import Expect
from desim.errors import nearest
from desim.spool import Log

MAX_DIFF_BYTES = 64 << 10
MAX_DIFF_LINES = 40


def wanted_files(expect: Expect) -> dict[str, bytes | Log]:
    """What is expected of files, by the names that they have in results."""
    sides = {"guest": expect.guest_files, "host": expect.host_files, **expect.other_files}
    return {f"{side}/{name}": data for side, files in sides.items() for name, data in files.items()}


def failures(expect: Expect, files: Mapping[str, Log]) -> list[str]:
    """One text for each expectation that ``files`` does not meet, with the difference.

    ``files`` are those that programs wrote, by name below ``guest/``, ``host/`` and the names of
    further machines.
    """
    found = []
    for name, data in wanted_files(expect).items():
        log = Log.of(data)
        if name not in files:
            found.append(f"{name}: was not written{nearest(name, files)}")
        elif (place := log.difference(files[name])) is not None:
            found.append("\n".join(_difference(name, place, log, files[name])))
    return found


def _difference(name: str, place: int, wanted: Log, got: Log) -> Iterator[str]:
    yield (
        f"{name}: differs from what is expected at byte {place} "
        f"({got.size} bytes, {wanted.size} expected)"
    )
    texts = _text(wanted), _text(got)
    if texts[0] is None or texts[1] is None:
        yield f"  expected  {wanted.read(place, 16).hex(' ')}"
        yield f"  written   {got.read(place, 16).hex(' ')}"
        return
    from difflib import unified_diff  # most files are as expected

    lines = unified_diff(texts[0], texts[1], "expected", "written", n=1, lineterm="")
    for number, line in enumerate(lines):
        if number == MAX_DIFF_LINES:
            yield "  ..."
            return
        yield f"  {line}"


def _text(log: Log) -> list[str] | None:
    """The lines of ``log`` with their ends visible; None if it is not short text."""
    if log.size > MAX_DIFF_BYTES:
        return None
    try:
        text = log.whole().decode()
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    if lines[-1]:
        lines[-1] += "  (no newline at the end)"
    else:
        lines.pop()
    return lines
