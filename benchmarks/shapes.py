"""The shapes of wrappers that a run of ``hello`` needs, written to ``desim/engine/written.py``.

    python -m benchmarks.shapes            whether the file is as it would be written
    python -m benchmarks.shapes --write    write it

Without it a run would compile the text of each shape, a twentieth of a start.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

import desim
from desim.engine import wrappers, written
from desim.engine.wrappers import Maker, Shape

FILE = written.__file__

HEAD = '''\
"""The wrappers of the shapes that a run of ``hello`` needs: see ``desim.engine.wrappers``.

``python -m benchmarks.shapes --write`` writes this file, and the gate holds it.
"""
'''


def needed() -> list[Shape]:
    """The shapes that a run of ``hello`` asks for, in order."""
    found: dict[Shape, None] = {}

    def noted(shape: Shape) -> Maker:
        found[shape] = None
        return written_already(shape)

    written_already = wrappers.maker_of
    with patch.object(wrappers, "maker_of", noted):
        desim.run(desim.load("hello"))
    return sorted(found)


def text() -> str:
    """The file."""
    lines, table = [HEAD], ["", "MAKERS = {"]
    for number, shape in enumerate(needed()):
        name = f"maker_{number}"
        lines += ["", *wrappers.text(shape, name), ""]
        table.append(f"    {_plain(shape)!r}: {name},")
    return "\n".join([*lines, *table, "}", ""])


def _plain(value: object) -> object:
    """Tuples without names."""
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def main(words: list[str]) -> int:
    """Write, or compare."""
    wanted = text()
    if "--write" in words:
        with open(FILE, "w", encoding="utf-8") as file:
            file.write(wanted)
        return 0
    with open(FILE, encoding="utf-8") as file:
        same = file.read() == wanted
    print("as it would be written" if same else "differs: python -m benchmarks.shapes --write")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
