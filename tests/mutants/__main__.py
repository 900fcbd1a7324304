"""Which law, test or recording notices each fault of the list, and after how many examples.

    nox -s mutants                          all of them
    nox -s mutants -- NAME ...              only these
    nox -s mutants -- --by laws             by the laws alone

Exit status 0: each fault was noticed; 1: some were not; 2: a fault does not fit the source.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from mutants.faults import Copy, Fault, load
from mutants.search import Found

TESTS_S = 1200
"""How long the tests of a fault's rooms may take; a run that hangs has noticed it."""
SLOWDOWN = 30
"""How much longer than its processor time a search may take, where others want the processor."""
REPLAYS = "conform/"
"""Rooms of the tests that replay recordings."""
_FAILED = re.compile(r"^(?:FAILED|ERROR) tests/(\S+)", re.MULTILINE)


class Noticed(NamedTuple):
    """What one way of looking has found."""

    by: str
    """A law or a test; empty if nothing was noticed."""
    after: str
    """How much it took."""


def by_laws(copy: Copy, fault: Fault, seconds: int) -> Noticed:
    """The first law that a search breaks (``mutants.search``)."""
    done = copy.run(["mutants.search", "--time", str(seconds)], SLOWDOWN * seconds)
    if done.returncode:
        raise RuntimeError(f"{fault.name}: the search ended strangely\n{done.stdout}{done.stderr}")
    found = Found(*json.loads(done.stdout))
    after = f"{found.examples} examples, {found.seconds:.0f} s"
    return Noticed(found.law, after)


def by_tests(copy: Copy, fault: Fault, seconds: int) -> Noticed:
    """The first test of the fault's rooms that fails."""
    return _by_pytest(copy, fault, [one for one in fault.tests if not one.startswith(REPLAYS)])


def by_recordings(copy: Copy, fault: Fault, seconds: int) -> Noticed:
    """The first recording of the fault's rooms whose replay differs."""
    return _by_pytest(copy, fault, [one for one in fault.tests if one.startswith(REPLAYS)])


def _by_pytest(copy: Copy, fault: Fault, rooms: Sequence[str]) -> Noticed:
    if not rooms:
        return Noticed("", "nothing to ask")
    begun = time.monotonic()
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header"]
    try:
        done = copy.run(["pytest", *options, *(f"tests/{one}" for one in rooms)], TESTS_S)
    except subprocess.TimeoutExpired:
        return Noticed(f"{rooms[0]}: hangs", f"{TESTS_S} s")
    after = f"{time.monotonic() - begun:.0f} s"
    if done.returncode == 0:
        return Noticed("", after)
    failed = _FAILED.search(done.stdout)
    if failed is None:
        raise RuntimeError(f"{fault.name}: pytest ended strangely\n{done.stdout}{done.stderr}")
    return Noticed(failed[1], after)


Known = dict[str, dict[str, Noticed]]
"""By fault and by way."""
HEAD = """\
What notices each fault of tests/mutants/faults.toml, put into the models one at a time: a law
(the first that a search by desim fuzz breaks within 60 s of processor time, and behind how many
examples), a test of its room, a recording; and the test that the gate asks.
Made by: nox -s mutants -- --json build/mutants.json --list tests/mutants/noticed.txt"""
WAYS: dict[str, Callable[[Copy, Fault, int], Noticed]] = {
    "laws": by_laws,
    "tests": by_tests,
    "recordings": by_recordings,
}


def merged(path: Path | None, found: Known) -> Known:
    """What a file has, and what was found now."""
    known: Known = {}
    if path and path.is_file():
        for name, ways in json.loads(path.read_text(encoding="utf-8")).items():
            known[name] = {way: Noticed(*one) for way, one in ways.items()}
    for name, noticed in found.items():
        known[name] = known.get(name, {}) | noticed
    return known


def listed(faults: Sequence[Fault], known: Known) -> str:
    """The list of faults, each with what has noticed it: the gate's test, and what was found."""
    lines = [*HEAD.splitlines(), ""]
    for way in WAYS:
        ones = [known[fault.name][way] for fault in faults if way in known.get(fault.name, {})]
        if ones:
            lines.append(f"{way}: {sum(bool(one.by) for one in ones)} of {len(ones)} noticed")
    for fault in faults:
        lines += ["", fault.name, f"    {fault.says}"]
        if fault.hidden:
            lines.append(f"    {'hidden':<11} {fault.hidden}")
        for way, one in known.get(fault.name, {}).items():
            lines.append(f"    {way:<11} {one.by or 'not noticed'} ({one.after})")
        if fault.gate:
            lines.append(f"    {'gate':<11} tests/{fault.gate}")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="*", help="only these faults")
    parser.add_argument("--by", choices=WAYS, action="append", help="how to look (all)")
    parser.add_argument(
        "--time", type=int, default=60, metavar="S", help="of each search, by laws (60)"
    )
    parser.add_argument("-j", type=int, default=1, metavar="N", help="faults at a time (1)")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write what was found there; what it has of other faults and ways stays",
    )
    parser.add_argument("--list", type=Path, metavar="FILE", help="write all of that as text")
    words = parser.parse_args()

    faults = load()
    unknown = set(words.name).difference(fault.name for fault in faults)
    problems = [f"there is no fault {name!r}" for name in sorted(unknown)]
    chosen = [fault for fault in faults if not words.name or fault.name in words.name]
    problems += [problem for fault in chosen if (problem := fault.problem())]
    if problems:
        print(*problems, sep="\n", file=sys.stderr)
        return 2
    ways = words.by or list(WAYS)

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(words.j) as pool:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(words.j):
            copies.put(Copy(Path(folder) / str(number)))

        def look(fault: Fault) -> dict[str, Noticed]:
            copy = copies.get()
            try:
                with copy.having(fault):
                    return {way: WAYS[way](copy, fault, words.time) for way in ways}
            finally:
                copies.put(copy)

        found: Known = {}
        for fault, noticed in zip(chosen, pool.map(look, chosen), strict=True):
            found[fault.name] = noticed
            print(f"{fault.name}: {fault.says}")
            for way, one in noticed.items():
                print(f"  {way:<10}  {one.by or 'NOT NOTICED'}  ({one.after})", flush=True)

    known = merged(words.json, found)
    if words.json:
        words.json.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    if words.list:
        words.list.write_text(listed(faults, known), encoding="utf-8")
    lived = [name for name, one in found.items() if not any(way.by for way in one.values())]
    for way in ways:
        count = sum(bool(one[way].by) for one in found.values())
        print(f"{way}: {count} of {len(found)} noticed")
    if lived:
        print("not noticed:", *lived)
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main())
