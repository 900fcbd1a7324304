"""Other simulators beside us: each is a program of its own, for an interpreter that has it.

Where a peer is not installed its row says so. ``--peers DIR`` names a folder with an environment
for each; ``build/peers`` if it is not given:

    python3.12 -m venv build/peers/ns3   &&  build/peers/ns3/bin/pip install ns3
    python3.12 -m venv build/peers/nspy  &&  build/peers/nspy/bin/pip install ns.py

(Both packages are imported as ``ns``, so they cannot share one. ns-3's wheel is for CPython 3.12
on Linux.)
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple


class Peer(NamedTuple):
    """Another simulator."""

    name: str
    package: str
    program: str
    models: str
    """What it models of what we model."""


NS3 = Peer(
    "ns-3",
    "ns3",
    "ns3_bulk.py",
    "C++: TCP, IP and one link, with real headers; payload of zeros, sums off; no host, no NIC",
)
NSPY = Peer(
    "ns.py",
    "ns.py",
    "nspy_tcp.py",
    "Python on SimPy: TCP Reno over wires and a switch; packets without bytes or headers",
)

folder = Path(__file__).resolve().parents[2] / "build" / "peers"
"""Where the peers are installed; ``--peers`` sets it."""


def python_of(peer: Peer) -> Path:
    """The interpreter that is to have the peer."""
    return folder / Path(peer.program).stem.split("_")[0] / "bin" / "python"


def missing(peer: Peer) -> str:
    """Why a peer cannot run, or nothing."""
    python = python_of(peer)
    return "" if python.exists() else f"not installed: pip install {peer.package}, --peers"


def rate(peer: Peer, size: int | float) -> float:
    """Data segments per CPU second of one run of ``size`` (see the program)."""
    program = Path(__file__).with_name(peer.program)
    done = subprocess.run(
        [python_of(peer), program, str(size)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    return float(said["segments"] / said["cpu_s"])
