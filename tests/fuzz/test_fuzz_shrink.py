"""Shrinking: what is left fails in the same way, and without any of its parts it would not."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from runs import desim

from desim.errors import UserError
from desim.fuzz.finding import Finding
from desim.fuzz.judge import Breach
from desim.fuzz.scenario import BENCH, document_of
from desim.fuzz.shrink import Failure, shrink
from desim.guest.drivers.e1000.rx import RxRing
from desim.guest.skb import Skb
from desim.scenario.document import Document, Spoken
from desim.scenario.durations import parse_duration
from desim.scenario.inputs import Inputs
from desim.wire.frame import Frame
from desim.wire.segment import build_segment

PLANTED: dict[str, Any] = {
    "description": "an example of desim fuzz",
    "qemu": [
        "-netdev user,id=u,hostfwd=tcp::5000-:5000,hostfwd=tcp::5002-:5002,hostfwd=udp::5100-:5100",
        "-device e1000,netdev=u",
        "-object filter-duplicate,id=f1,netdev=u,queue=tx,probability=40%,first=20",
    ],
    "until": "7s",
    "semantics": "datasheet",
    "seed": 254,
    "guest": {
        "modprobe": "e1000 InterruptThrottleRate=3 TxIntDelay=64 TxAbsIntDelay=60000",
        "ipv6": False,
        "sysctl": ["net.ipv4.tcp_orphan_retries=1", "net.ipv4.tcp_rfc1337=1"],
        "run": [
            {"at": "4000ms", "command": "nc -N -l -p 5002 < /dev/null > got2"},
        ],
    },
    "monitor": {"run": [{"at": "5045ms", "command": "set_link u on"}]},
    "host": {
        "run": [
            {
                "at": "4500ms",
                "command": "seq 3000 3730 | head -c 2920 | nc -N localhost 5002 > back2",
            },
        ]
    },
}
LAW = "what-arrives-is-a-prefix"


def example_with(*texts: str) -> dict[str, Any]:
    """The first bench's first example that has all of some texts."""
    drawn = map(document_of, count(0, BENCH))
    return next(data for data in drawn if all(text in repr(data) for text in texts))


def fails_with(*needed: str) -> Any:
    """Fails as long as all of some texts are in the scenario."""

    def failing(data: Mapping[str, Any]) -> Breach | None:
        said = repr(data)
        return Breach("a-law", "so") if all(text in said for text in needed) else None

    return failing


def spoils(ring: RxRing, frame: Frame) -> Skb:
    """The planted fault: the driver hands up long segments with one byte changed."""
    one = frame.segment
    if one is not None and len(one.payload) > 1000:
        payload = one.payload[:999] + b"!" + one.payload[1000:]
        ends = one.dst_mac, one.src_mac, one.src, one.dst, one.sport, one.dport
        rest = {"ident": one.ident, "ttl": one.ttl, "tos": one.tos, "df": one.df}
        made = build_segment(*ends, one.seq, one.ack, one.flags, one.window, payload, **rest)
        frame = Frame(made.raw, frame.number)
    return Skb(frame.raw, frame)


def test_only_what_is_needed_is_left() -> None:
    needed = "hubid=0,netdev=u", "tcp_autocorking", "ping"
    shrunk = shrink(example_with(*needed), fails_with(*needed))
    assert shrunk.data == {
        "qemu": ["hubid=0,netdev=u"],
        "guest": {
            "run": [{"command": "ping"}],
            "sysctl": ["net.ipv4.tcp_autocorking=0"],
        },
        "until": "10ms",
    }


def test_numbers_and_durations_get_smaller() -> None:
    def failing(data: Mapping[str, Any]) -> Breach | None:
        return Breach("a-law", "so") if data.get("seed", 0) >= 100 else None

    assert shrink({"seed": 730}, failing).data == {"seed": 100}


def test_a_run_ends_as_early_as_it_fails_and_that_is_tried_first() -> None:
    ends: list[str] = []

    def failing(data: Mapping[str, Any]) -> Breach | None:
        ends.append(data["until"])
        late = parse_duration(data["until"]) > parse_duration("6s")
        return Breach("a-law", "so") if late and data.get("seed", 0) >= 100 else None

    assert shrink({"seed": 730, "until": "1h"}, failing).data == {"seed": 100, "until": "10s"}
    assert ends[:7] == ["1h", "10ms", "100ms", "1s", "2s", "5s", "10s"]
    assert "1h" not in ends[1:]


def test_it_is_the_same_each_time() -> None:
    needed = "u", "nc", "host"
    one, two = (shrink(example_with(*needed), fails_with(*needed)) for _ in range(2))
    assert one == two


def test_what_does_not_fail_cannot_be_made_smaller() -> None:
    with pytest.raises(UserError, match="does not fail"):
        shrink({"seed": 1}, lambda data: None)


@pytest.mark.slow
def test_a_planted_fault_is_at_most_fifteen_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(RxRing, "build_skb", spoils)
    failing = Failure(Document("planted", PLANTED, Spoken({}), Inputs(tmp_path)), LAW)
    try:
        shrunk = shrink(PLANTED, failing)
    finally:
        failing.close()
    text = Finding(None, shrunk.data, shrunk.breach).short("planted")
    assert len(text.splitlines()) <= 15, text
    assert tomllib.loads(text)["expect"]["laws"] == [LAW]


def test_desim_shrink_makes_a_file_that_fails_in_the_same_way(tmp_path: Path) -> None:
    path, out = tmp_path / "mine.toml", tmp_path / "small.toml"
    path.write_text(
        'extends = "hello"\ndescription = "no pings"\nuntil = "5s"\n[expect]\nping.sent = "1"\n'
    )
    done = desim("shrink", str(path), "--expect", "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert 'sent = "1"' in out.read_text()
    assert "description" not in out.read_text()
    assert desim("run", str(out), "--quiet").returncode == 1


def test_desim_shrink_refuses_what_does_not_fail() -> None:
    done = desim("shrink", "hello", "--law", "the-run-ends")
    assert done.returncode == 2
    assert "it does not fail" in done.stderr
