"""Records what the real programs answer: ``record.py BUSYBOX > recorded.json``.

Run on Debian 12: coreutils 9.1, and its busybox-static 1.35.0. Each line of LINES is run in a
folder of its own with the files of FILES; what came out, what went wrong, the status, and the
files that are new are kept.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

FILES = {
    "f": "".join(f"{n}\n" for n in range(1, 21)),
    "g": "no newline",
    "e": "",
    "sub/x": "x\n",
    "sub/yy": "yy\n",
}
LINES = """
head f
head -n 2 f
head -2 f
head -c 5 f
head -n 1 f g
head -n -18 f
head -n -1 g
head -n -2 g
head -c -48 f
head -n x f
head -qn1 f g
head -v -n1 f
head -n 1k g
head -n 1kb g
head -n
head -n 99999999999999999999 g
head -5q f g
head -n +2 f
head -n 0 f
head -c 3 f g e
head nofile f
head nofile
head e g
head -c 1b f
head -y f
tail f
tail -n 2 f
tail -2 f
tail +19 f
tail -n +19 f
tail -c 5 f
tail -c +48 f
tail -n 1 f g
tail -n x f
tail -qn1 f g
tail -v -n1 f
tail -n 1k g
tail -n
tail -n -1 g
tail -c 2b f
tail -n 0 f
tail -n +0 f
tail -n 1 g
tail -n 2 e f
tail nofile f g
tail nofile
tail -y f
seq 3
seq 2 5
seq 1 2 6
seq 5 -2 0
seq 0.5 0.25 1.1
seq -w 8 11
seq -s , 3
seq 3 1
seq
seq x
seq 1 2 3 4
seq -w -1 1
seq -5 -3
seq 1e3 1002
seq -w 0.5 10.5
seq 9 1.0 11
seq -y 3
seq -s
seq .5 2
seq 1 0.1 1.3
seq -- -1 0
dd if=f of=o bs=4 count=2
dd if=f of=o bs=3 skip=2 count=1
dd if=/dev/zero of=o bs=1k count=3
dd if=/dev/zero of=o bs=1M count=1
dd if=nofile
dd foo=1
dd foo
dd bs=x if=f
dd bs=0 if=f
dd count=-1 if=f
dd if=f of=o bs=4 seek=2 count=1
dd if=f of=g bs=4 seek=1 count=1
dd if=f of=g bs=4 seek=1 count=1 conv=notrunc
dd if=f of=g bs=2 count=1 conv=notrunc
dd if=f count=1 bs=1 status=none
dd if=f of=o count=1 bs=2 status=noxfer
dd if=f ibs=10 obs=7 of=o
dd if=f ibs=7 obs=10 of=o
dd if=f of=o
dd if=f of=o bs=1kB count=1
dd if=f of=o bs=4 conv=sync
dd if=/dev/null of=o
dd if=f of=o conv=foo
dd if=f of=o skip=10 bs=20
dd if=f of=o bs=2x3 count=1
dd if=f of=o bs=1 count=1
dd -y
ls
ls -1
ls -a
ls -A
ls nofile
ls sub f
ls f sub nofile
ls -d sub
ls -F
ls -p
ls -S
ls -r
ls -y
ls sub/
ls f/
""".strip().splitlines()


def run(words: list[str], folder: str) -> subprocess.CompletedProcess[bytes]:
    environ = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ["PATH"]}
    return subprocess.run(
        words, cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True
    )


def record(words: list[str], line: str, busybox: bool) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in FILES.items():
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            (Path(folder) / name).write_text(text)
        done = run(words, folder)
        written = {
            path.name: path.read_text()
            for path in sorted(Path(folder).iterdir())
            if path.is_file() and path.read_text() != FILES.get(path.name)
        }
    return {
        "line": line,
        "busybox": busybox,
        "out": done.stdout.decode(),
        "err": done.stderr.decode(),
        "status": done.returncode,
        "written": {name: text for name, text in written.items() if len(text) < 5000},
    }


def main() -> None:
    busybox = sys.argv[1]
    cases = []
    for line in LINES:
        words = shlex.split(line)
        cases.append(record(words, line, busybox=False))
        cases.append(record([busybox, *words], line, busybox=True))
    print(json.dumps({"files": FILES, "cases": cases}, indent=1))


main()
