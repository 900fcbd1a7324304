"""``-netdev socket`` and ``stream`` on a hub, the same conversation with the real QEMU where it is
installed: what is written into one socket comes out of the other, byte for byte."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from desim.config import InputFile
from desim.experiment.run import run
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario

PROGRAM = "qemu-system-x86_64"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which(PROGRAM) is None, reason="needs QEMU (apt install qemu-system-x86)"
    ),
]

SIZES = (60, 14, 1514, 1, 9000)
FRAMES = [bytes((place % 251,)) * size for place, size in enumerate(SIZES)]
STREAM = b"".join(len(frame).to_bytes(4, "big") + frame for frame in FRAMES)
CUTS = (1, 3, 70, 200, 1000)
"""Where the stream is cut into pieces: within a length, within a frame, at its end."""

WAYS = {
    "socket": "socket,id={name},listen=127.0.0.1:{port}",
    "stream": "stream,id={name},server=on,addr.type=inet,addr.host=127.0.0.1,addr.port={port}",
}


def options(way: str, ports: tuple[int, int]) -> list[str]:
    words = []
    for name, port in zip("ab", ports, strict=True):
        words += ["-netdev", WAYS[way].format(name=name, port=port)]
        words += ["-netdev", f"hubport,id=h{name},hubid=0,netdev={name}"]
    return [*words, "-nodefaults"]


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def connected(port: int) -> socket.socket:
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port), 10)
        except OSError:
            time.sleep(0.05)
    raise AssertionError("nobody listens")


def real(way: str) -> bytes:
    ports = free_ports()
    words = [PROGRAM, "-machine", "none", "-display", "none", *options(way, ports)]
    with ExitStack() as stack:
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        sends, hears = (stack.enter_context(connected(port)) for port in ports)
        time.sleep(0.2)  # it has accepted both
        begin = 0
        for cut in (*CUTS, len(STREAM)):
            sends.sendall(STREAM[begin:cut])
            begin = cut
            time.sleep(0.02)
        got = b""
        while len(got) < len(STREAM):
            got += hears.recv(1 << 16)
        return got


def modelled(way: str) -> bytes:
    words = " ".join(options(way, (1234, 1235)))
    text = f"""
        qemu = "{words}"
        host.run = [
            {{command = "nc localhost 1235 > got", at = "1s", stop = "+3s"}},
            {{command = "nc -N localhost 1234", at = "2s"}},
        ]
    """
    config = parse_scenario(text.encode(), "s.toml", Inputs(Path()))
    config.host[1].command = "cat frames | nc -N localhost 1234"
    config.host_files["frames"] = InputFile(name="frames", data=STREAM)
    return run(config).files["host/got"]


@pytest.mark.parametrize("way", WAYS)
def test_frames_come_out_of_the_hub_as_they_do_from_the_real_one(way: str) -> None:
    assert modelled(way) == STREAM
    assert real(way) == STREAM
