"""The guest's local timer is a timer of QEMU's: when it fires, the main loop polls slirp."""

from __future__ import annotations

from pathlib import Path

from desim.experiment.run import RunResult, run
from desim.guest.cpu.context import JIFFY_NS
from desim.scenario.loader import load_scenario

TCP = 6
SYN, RST = 0x02, 0x04

LINE = """qemu = "-netdev user,id=u -device e1000,netdev=u,mitigation=off"
costs = "icount"
"""


def ran(folder: Path, text: str) -> RunResult:
    path = folder / "test.toml"
    path.write_text(LINE + text)
    return run(load_scenario(str(path)))


def tcp_frames(result: RunResult) -> list[tuple[int, int]]:
    """When, and with which flags."""
    return [
        (time, frame.raw[47])
        for time, _, frame in result.packets["slirp"]
        if frame.raw[12:14] == b"\x08\x00" and frame.raw[23] == TCP
    ]


def test_a_connection_that_slirp_opens_for_the_guest_is_answered_at_the_next_tick(
    tmp_path: Path,
) -> None:
    """Nothing else wakes the main loop: no mitigation timer, no other descriptor."""
    result = ran(tmp_path, '[[guest.run]]\ncommand = "nc 10.0.2.2 7000"\n')
    (asked, syn), (answered, rst) = tcp_frames(result)[:2]
    assert syn == SYN
    assert rst & RST
    assert 0 < answered - asked <= JIFFY_NS
    assert answered % JIFFY_NS == 0
