"""What makes ``desim run hello`` slow to start, counted: modules, and texts that are compiled.

    python -m benchmarks.start            count, and compare with ``benchmarks/start.toml``
    python -m benchmarks.start --write    write what is counted
    python -m benchmarks.start --names    the modules and the texts, with who compiles them

Both counts are exact, and the gate holds them (``tests/test_budget.py``). A module takes a million
instructions, a class that writes its methods as text (a dataclass, say) two to four, a bare start
of Python 40.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = Path(__file__).with_name("start.toml")

HEAD = """\
# What `desim run hello` loads and compiles on Python 3.11. The gate fails if it becomes more.
# `python -m benchmarks.start --names` says what it is; `--write` writes this file.

"""

WATCH = """
import sys

texts = []


def watch(event, arguments):
    if event == "compile":
        name = arguments[1]
    elif event == "exec":
        name = arguments[0].co_filename
    else:
        return
    if isinstance(name, bytes):
        name = name.decode()
    if name.startswith("<") and not name.startswith("<frozen"):
        frame = sys._getframe(1)
        while not frame.f_globals["__name__"].startswith("desim."):
            frame = frame.f_back
            if frame is None:
                return
        texts.append(frame.f_globals["__name__"])


sys.addaudithook(watch)
sys.argv = ["desim", "run", "hello"]
from desim.cli import main

main()
modules = sorted(name for name in sys.modules if name.partition(".")[0] == "desim")
import json

print(json.dumps([modules, texts]), file=sys.stderr)
"""


def names() -> dict[str, list[str]]:
    """The modules of desim that are loaded, and for each text the module that has it compiled.

    Counted is a second start, which finds compiled what the first has left in a folder of theirs:
    what a start that compiles does beyond is none of desim's, and not every machine keeps it.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", WATCH],
                cwd=ROOT,
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
    modules, texts = json.loads(done.stderr)
    return {"modules": modules, "texts": texts}


def allowed() -> dict[str, int]:
    """How many there may be."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def main(words: list[str]) -> None:
    """Count, compare, write."""
    found = names()
    for what, limit in allowed().items():
        if "--names" in words:
            print(*found[what], sep="\n")
        print(f"{what:8} {limit:4} -> {len(found[what]):4}")
    if "--write" in words:
        lines = (f"{what} = {len(here)}\n" for what, here in found.items())
        FILE.write_text(HEAD + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
