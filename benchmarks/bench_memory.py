"""Peak memory of a run with ``--out``, by the length of its transfer: it should not grow.

    python benchmarks/bench_memory.py [MEBIBYTES ...]

A file goes from a host program to a guest program, which writes it; every frame is captured
at both ends of the wire, and everything is traced and written. Each run is a process of its
own, and its peak is the largest resident set (``ru_maxrss``). Lengths are 16, 64 and 256 MiB
unless they are given. What is counted is memory, not time: one run of each is enough.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

SCENARIO = """\
qemu = "-nic user,model=e1000,hostfwd=tcp::5555-:5556"
costs = "zero"
until = "24h"
[[guest.run]]
command = "busybox nc -l -p 5556 < /dev/null > copy"
[[host.run]]
command = "nc -N localhost 5555 < data"
[run.limits]
frames = 10_000_000
marks = 1_000_000_000
notes = 100_000_000
events = 10_000_000_000
"""
PIECE = bytes(range(256)) * 4096


def peak_kib(folder: Path, mebibytes: int) -> int:
    """The largest resident set of one run, in KiB."""
    with open(folder / "data", "wb") as data:
        for _ in range(mebibytes):
            data.write(PIECE)
    (folder / "bulk.toml").write_text(SCENARIO)
    out = folder / "out"
    words = ["run", str(folder / "bulk.toml"), "--out", str(out), "--force", "--quiet"]
    # A child begins with the peak of its parent, so this one imports nothing that is large.
    child = os.posix_spawn(sys.executable, [sys.executable, "-m", "desim", *words], os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"desim run with {mebibytes} MiB: wait status {status}")
    size = (out / "guest" / "copy").stat().st_size
    if size != mebibytes << 20:
        raise SystemExit(f"{size} bytes arrived of {mebibytes} MiB")
    return usage.ru_maxrss


def main() -> None:
    lengths = [int(word) for word in sys.argv[1:]] or [16, 64, 256]
    first = None
    with tempfile.TemporaryDirectory() as folder:
        for mebibytes in lengths:
            peak = peak_kib(Path(folder), mebibytes)
            first = first or peak
            print(
                f"{mebibytes:5} MiB  peak {peak / 1024:8.1f} MiB  {peak / first:5.2f} of the first",
                flush=True,
            )


if __name__ == "__main__":
    main()
