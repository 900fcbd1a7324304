"""``docs/notebook.md``: its examples make the picture that it shows.

Run as a program (``nox -s pages``) this makes the picture anew. It is the same to the byte under
the matplotlib that ``constraints.txt`` names, and under no other.
"""

from __future__ import annotations

import doctest
import io
import os
import re
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from documents import ROOT, blocks

PAGE = ROOT / "docs" / "notebook.md"
PICTURES = ROOT / "docs" / "_static"
PICTURE = "itr-study.svg"
SETTINGS = "svg.hashsalt: desim\nbackend: Agg\n"
"""What makes a picture depend on nothing but what is drawn."""


def pinned() -> str:
    """The version of matplotlib with which the picture was made."""
    found = re.search(r"^matplotlib==(.*)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert found is not None
    return found[1]


def run(folder: Path) -> str:
    """Execute the page in ``folder``; what was printed otherwise than it says."""
    (folder / "matplotlibrc").write_text(SETTINGS)
    text = "".join("\n" * 2 + block.text for block in blocks(PAGE, "pycon"))
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    said = io.StringIO()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    with chdir(folder), mock.patch.dict(os.environ, SOURCE_DATE_EPOCH="0"):
        import matplotlib

        with matplotlib.rc_context(fname="matplotlibrc"):
            doctest.DocTestRunner(verbose=False, optionflags=flags).run(test, out=said.write)
    return said.getvalue()


def main() -> None:
    """Make the picture anew."""
    with TemporaryDirectory() as folder:
        print(run(Path(folder)), end="")
        (PICTURES / PICTURE).write_bytes((Path(folder) / PICTURE).read_bytes())


if __name__ == "__main__":
    main()
