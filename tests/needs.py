"""What some tests need of the machine that they run on, and why it may be missing there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

tshark = pytest.mark.skipif(
    shutil.which("tshark") is None,
    reason="needs tshark, a program of Wireshark that pip cannot install (Debian: apt install "
    "tshark)",
)
"""Wireshark's own reading of a capture."""

dev_full = pytest.mark.skipif(
    not Path("/dev/full").exists(),
    reason="needs /dev/full, which Linux, FreeBSD and NetBSD have, macOS and OpenBSD do not",
)
"""A device that takes no byte."""
