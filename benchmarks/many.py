"""Many small runs, one at a time: how long one waits for each that is not the first.

``python -m benchmarks.many``, on a machine that has nothing else to do; the table's row ``tiny``
is CPU time, which other work disturbs less.
"""

from __future__ import annotations

import time
from itertools import repeat

import desim


def tiny() -> desim.Scenario:
    """One byte from the host to the guest."""
    return desim.from_qemu(
        "-netdev user,id=u,hostfwd=tcp::5555-:5556 -device e1000,netdev=u",
        guest="nc -lp 5556",
        host="echo -n x | nc -N localhost 5555",
        changes={"costs": "study-2016"},
    )


def waits(scenario: desim.Scenario, count: int) -> list[float]:
    """How long one has to wait for each of ``count`` results, in seconds of the wall's clock."""
    found = []
    last = time.perf_counter()
    for _ in desim.run_many(repeat(scenario, count), workers=1):
        now = time.perf_counter()
        found.append(now - last)
        last = now
    return found


def main() -> None:
    """Print what is waited for the first result, and for the others."""
    for name, scenario in (("one byte", tiny()), ("hello", desim.load("hello"))):
        first, *others = sorted(waits(scenario, 60), reverse=True)
        middle = others[len(others) // 2]
        print(f"{name}: first {first * 1000:.1f} ms, then {middle * 1000:.1f} ms (median)")


if __name__ == "__main__":
    main()
