"""The page with a study in a notebook: it does what it shows, and makes the picture in it."""

from __future__ import annotations

from pathlib import Path

import needs
import notebook_page
import pytest
from documents import read

pytestmark = [needs.matplotlib, pytest.mark.slow]


def test_the_page_does_what_it_shows_and_makes_its_picture(tmp_path: Path) -> None:
    assert notebook_page.run(tmp_path) == ""
    assert f"](_static/{notebook_page.PICTURE})" in read(notebook_page.PAGE)
    made = (tmp_path / notebook_page.PICTURE).read_bytes()
    assert made.startswith(b"<?xml")
    import matplotlib

    if matplotlib.__version__ == notebook_page.pinned():
        shown = (notebook_page.PICTURES / notebook_page.PICTURE).read_bytes()
        assert made == shown, "stale: nox -s pages makes it anew"
