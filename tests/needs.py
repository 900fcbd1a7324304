"""What some tests need of the machine that they run on, and why it may be missing there."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

dev_full = pytest.mark.skipif(
    not Path("/dev/full").exists(),
    reason="needs /dev/full, which Linux, FreeBSD and NetBSD have, macOS and OpenBSD do not",
)
"""A device that takes no byte."""

fork = pytest.mark.skipif(
    not hasattr(os, "fork"),
    reason="needs os.fork, which Windows does not have: runs are made in one process there",
)
"""Processes that a booted machine goes on in."""


def program(name: str) -> pytest.MarkDecorator:
    """A program that pip cannot install, and whose package has its name."""
    return pytest.mark.skipif(
        shutil.which(name) is None, reason=f"needs {name} (Debian: apt install {name})"
    )


tshark = program("tshark")
"""Wireshark's own reading of a capture."""
zsh, fish = program("zsh"), program("fish")
"""The shells themselves."""
matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="needs matplotlib (pip install 'desim[plots]')"
)
"""What draws the pictures of the notebook's page."""
