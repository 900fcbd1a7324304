"""Scripts for tests of packetdrill's language, short of what every script has."""

from __future__ import annotations

from pathlib import Path

from desim.conform.packetdrill.suite import Outcome, outcome

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "packetdrill"

SERVED = """
   +0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 32000 <mss 1000>
   +0 > S. 0:0(0) ack 1 <mss 1460>
 +.05 < . 1:1(0) ack 1 win 32000
   +0 accept(3, ..., ...) = 4
"""
"""A connection that the peer has opened: descriptor 4, lines 2 to 8."""


def played(folder: Path, text: str) -> Outcome:
    """What comes of a script."""
    path = folder / "script.pkt"
    path.write_text(text, encoding="utf-8")
    return outcome(path)
