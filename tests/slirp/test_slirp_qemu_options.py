"""QEMU's options reach the stack: whole machines, looked at through their captures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runs import desim, tree

CARD = ("-device", "e1000,netdev=u")


def capture(out: Path) -> bytes:
    """All that passed slirp's end of the wire."""
    return (out / "capture-slirp.pcapng").read_bytes()


@pytest.mark.slow
def test_what_dhcp_tells_the_guest_is_what_the_options_say(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    options = (
        f"user,id=u,hostname=vm,domainname=example.org,dns=10.0.2.7,dhcpstart=10.0.2.30,"
        f"bootfile=boot,tftp={tmp_path}/root,tftp-server-name=srv,dnssearch=example.net"
    )
    done = desim(
        "qemu", "-netdev", options, *CARD, "--guest", "ifconfig eth0", "--json",
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["guest"]["address"] == "10.0.2.30"
    seen = capture(tmp_path / "out")
    for option in (
        b"\x06\x04\x0a\x00\x02\x07",
        b"\x0c\x02vm",
        b"\x0f\x0bexample.org",
        b"\x42\x03srv",
        b"\x77\x0d\x07example\x03net\x00",
        b"boot".ljust(128, b"\0"),
    ):
        assert option in seen


@pytest.mark.slow
def test_restrict_keeps_the_guest_in_and_lets_forwarded_connections_pass(tmp_path: Path) -> None:
    done = desim(
        "qemu", "-netdev", "user,id=u,restrict=on,hostfwd=tcp::5555-:5556", *CARD,
        "--guest", "nc -lvp 5556 > x", "--host", "echo hi | nc -N localhost 5555",
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "out")["guest/x"] == b"hi\n"
    # DHCP names neither a router nor a name server.
    seen = capture(tmp_path / "out")
    assert b"\x03\x04\x0a\x00\x02\x02" not in seen
    assert b"\x06\x04\x0a\x00\x02\x03" not in seen


@pytest.mark.slow
def test_each_version_of_slirp_offers_its_own_segment_size(tmp_path: Path) -> None:
    for version, mss in (("4.7", 1460), ("2.8", 1500)):
        out = tmp_path / version
        done = desim(
            "qemu", "-netdev", "user,id=u,hostfwd=tcp::5555-:5556", *CARD, "--slirp", version,
            "--guest", "nc -lvp 5556 > x", "--host", "echo hi | nc -N localhost 5555",
            "--out", str(out),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"\x02\x04" + mss.to_bytes(2, "big") in capture(out)
