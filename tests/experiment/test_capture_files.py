"""Comments of captures: the frame's number, the function that passed it on, what became of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import needs
from runs import config, shipped_run

from desim.events import FramePassed, Lost
from desim.experiment.run import run
from desim.wire import pcapng


def comments(name: str, point: str) -> list[str]:
    return [p.comment for p in pcapng.read(shipped_run(name).captures[f"capture-{point}.pcapng"])]


def test_each_packet_says_its_number_and_the_function_that_passed_it_on() -> None:
    found = comments("hello", "nic")
    result = shipped_run("hello")
    numbers = [packet.frame.number for packet in result.packets["nic"]]
    assert [comment.splitlines()[0] for comment in found] == [f"frame {n}" for n in numbers]
    for comment, packet in zip(found, result.packets["nic"], strict=True):
        function = "qemu_deliver_packet_iov" if packet.to_guest else "e1000_send_packet"
        assert re.search(
            rf"^span {function} at .*\.c, on (main|vcpu) since \d+\.\d{{9}} s",
            comment[comment.index("\n") + 1 :],
        )


def test_where_a_frame_was_lost_and_why() -> None:
    found = comments("lossy", "slirp") + comments("lossy", "nic")
    told = sum("\nlost at " in comment for comment in found)
    lost = {one.event.frame for one in shipped_run("lossy").trace.happened(Lost)}
    passed = [one.event.frame for one in shipped_run("lossy").trace.happened(FramePassed)]
    assert told == sum(frame in lost for frame in passed) > 0
    assert any(comment.endswith("\nlost at wire: filter-loss") for comment in found)


def test_a_run_that_keeps_less_says_less() -> None:
    kept = run(config("hello", record="none", until_ns=5 * 10**9))
    for packet in pcapng.read(kept.captures["capture-nic.pcapng"]):
        assert re.fullmatch(r"frame \d+", packet.comment)
    kept = run(config("hello", record="counters", until_ns=5 * 10**9))
    said = [packet.comment for packet in pcapng.read(kept.captures["capture-nic.pcapng"])]
    assert any("\nlost at slirp: IPv6 hop-by-hop header" in comment for comment in said)
    assert not any("span" in comment for comment in said)


@needs.tshark
def test_tshark_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    path.write_bytes(shipped_run("hello").captures["capture-slirp.pcapng"])
    words = ["tshark", "-n", "-r", str(path), "-T", "fields", "-e", "frame.comment"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(shipped_run("hello").packets["slirp"])
    assert done.stdout.startswith("frame 1\\nspan qemu_deliver_packet_iov at net/net.c, on vcpu")
