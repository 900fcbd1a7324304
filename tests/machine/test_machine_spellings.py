"""Every spelling of QEMU's options leads to a machine that carries what it is given."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from runs import HELLO, desim, tree

NC = "nc -lvp 5556 > hello.txt"
SEND = "echo 'Hello qemu Geust' | nc -N localhost 5555"
BUSYBOX = "busybox nc -l -p 5556 < /dev/null > copy"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "-netdev user,id=user.0,hostfwd=tcp::5555-:5556 -device e1000,netdev=user.0",
        "-redir tcp:5555::5556",
        "-net user,hostfwd=tcp::5555-:5556 -net nic",
        "-nic user,model=e1000,hostfwd=tcp::5555-:5556",
    ],
)
def test_the_line_arrives_in_every_spelling(options: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = desim("qemu", *options.split(), "--guest", NC, "--host", SEND, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert tree(out)["guest/hello.txt"] == HELLO


@pytest.mark.slow
def test_without_a_network_option_the_default_card_gets_its_address(tmp_path: Path) -> None:
    # QEMU's default forwards no port, so nothing can be sent from the host.
    done = desim("qemu", "--guest", "ifconfig eth0", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["guest"]["mac"] == "52:54:00:12:34:56"
    assert summary["guest"]["address"] == "10.0.2.15"
    backtrace = desim("backtrace", "hello-redir", "--break", "e1000_receive_iov", "--json")
    names = [frame["function"] for frame in json.loads(backtrace.stdout)["frames"]]
    assert "net_hub_receive_iov" in names


@pytest.mark.slow
def test_ten_megabytes_arrive_byte_for_byte(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(10_000_000)
    (tmp_path / "FILE").write_bytes(data)
    done = desim(
        "qemu",
        *("-netdev", "user,id=user.0,hostfwd=tcp::5555-:5556", "-device", "e1000,netdev=user.0"),
        *("--guest", BUSYBOX, "--host", f"nc -N localhost 5555 < {tmp_path}/FILE", "--json"),
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    sha256 = hashlib.sha256(data).hexdigest()
    assert summary["files"]["guest/copy"] == {"bytes": len(data), "sha256": sha256}
    assert list(summary["inputs"].values()) == [sha256]
    assert summary["ended"] == "all programs have ended"
