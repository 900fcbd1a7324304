"""Which law, test or recording notices each fault of the list, and after how many examples.

    nox -s mutants                          all of them
    nox -s mutants -- NAME ...              only these

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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from mutants.faults import Copy, Fault, load

TESTS_S = 1200
"""How long the tests of a fault's rooms may take; a run that hangs has noticed it."""
_FAILED = re.compile(r"^(?:FAILED|ERROR) tests/(\S+)", re.MULTILINE)


class Noticed(NamedTuple):
    """What one way of looking has found."""

    by: str
    """A law or a test; empty if nothing was noticed."""
    after: str
    """How much it took."""


def by_tests(copy: Copy, fault: Fault, seconds: int) -> Noticed:
    """The first test of the fault's rooms that fails."""
    begun = time.monotonic()
    paths = [f"tests/{one}" for one in fault.tests]
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header"]
    try:
        done = copy.run(["pytest", *options, *paths], TESTS_S)
    except subprocess.TimeoutExpired:
        return Noticed(f"tests/{fault.tests[0]}: hangs", f"{TESTS_S} s")
    after = f"{time.monotonic() - begun:.0f} s"
    if done.returncode == 0:
        return Noticed("", after)
    failed = _FAILED.search(done.stdout)
    if failed is None:
        raise RuntimeError(f"{fault.name}: pytest ended strangely\n{done.stdout}{done.stderr}")
    return Noticed(failed[1], after)


WAYS: dict[str, Callable[[Copy, Fault, int], Noticed]] = {"tests": by_tests}


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="*", help="only these faults")
    parser.add_argument("--by", choices=WAYS, action="append", help="how to look (both)")
    parser.add_argument("--time", type=int, default=60, metavar="S", help="of each search (60)")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="faults at a time (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there")
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

        found = {}
        for fault, noticed in zip(chosen, pool.map(look, chosen), strict=True):
            found[fault.name] = noticed
            print(f"{fault.name}: {fault.says}")
            for way, one in noticed.items():
                print(f"  {way:<5}  {one.by or 'NOT NOTICED'}  ({one.after})", flush=True)

    if words.json:
        words.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    lived = [name for name, one in found.items() if not any(way.by for way in one.values())]
    for way in ways:
        count = sum(bool(one[way].by) for one in found.values())
        print(f"{way}: {count} of {len(found)} noticed")
    if lived:
        print("not noticed:", *lived)
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main())
