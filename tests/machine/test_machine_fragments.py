"""Datagrams above the MTU through a whole machine: cut and put together on both sides."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import pytest
from runs import random_profile

from desim.config import MachineConfig
from desim.experiment.run import RunResult, run
from desim.machine import Machine
from desim.scenario.command_line import machine_from_options
from desim.wire.ethernet import ETH_P_IP, Ethernet
from desim.wire.ipv4 import PROTO_ICMP, Ipv4

RECORDED = {
    2000: [1514, 562],
    2952: [1514, 1514],
    4000: [1514, 1514, 1082],
    8000: [1514, 1514, 1514, 1514, 1514, 642],
}
"""Frames of a request and of its reply in the recorded ``ping_size`` tests, 12 times each."""


def config(command: str, *options: str) -> MachineConfig:
    made = machine_from_options(
        ["-netdev", "user,id=u", "-device", "e1000,netdev=u", *options],
        guest=[f"{command} > out"],
        host=[],
        folder=Path(),
    )
    made.costs = "zero"
    return made


def pings(result: RunResult) -> list[tuple[bool, int, Ipv4]]:
    """Direction, length and packet of every ICMP frame at slirp, in order."""
    found = []
    for seen in result.packets["slirp"]:
        frame = Ethernet.parse(seen.frame.raw)
        if frame.ethertype == ETH_P_IP:
            packet = Ipv4.parse(frame.payload)
            if packet.protocol == PROTO_ICMP:
                found.append((seen.to_guest, len(seen.frame.raw), packet))
    return found


def received(result: RunResult) -> int:
    """Replies that the tool says it has got."""
    said = json.loads(result.files["guest/out"])
    count = said["received"]
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize("size", RECORDED)
def test_large_pings_are_the_recorded_frames(size: int) -> None:
    result = run(config(f"ltool --json ping 10.0.2.2 3 10000 {size} 1"))
    assert received(result) == 3
    seen = pings(result)
    bursts = [
        (to_guest, [length for _, length, _ in burst])
        for to_guest, burst in groupby(seen, key=lambda each: each[0])
    ]
    assert bursts == [(False, RECORDED[size]), (True, RECORDED[size])] * 3
    offsets = [at * 1480 for at in range(len(RECORDED[size]))]
    assert [packet.offset for _, _, packet in seen] == offsets * 6
    assert not any(packet.df for _, _, packet in seen)


def test_a_lost_fragment_costs_its_datagram_and_no_other() -> None:
    command = "ltool --json ping 10.0.2.2 3 10000 4000 1"
    whole = run(config(command))
    frames = [seen for seen in whole.packets["slirp"] if seen.to_guest]
    ours = [
        number
        for number, seen in enumerate(frames, 1)
        if seen.frame.raw[12:14] == b"\x08\x00" and seen.frame.raw[23] == PROTO_ICMP
    ]
    # The third is the last of the first reply.
    loss = ("-object", f"filter-loss,id=f,netdev=u,queue=tx,frames={ours[2]}")
    assert received(run(config(command, *loss))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_the_law_of_threads_holds_for_fragments(seed: int, tmp_path: Path) -> None:
    traces = []
    for strict in (False, True):
        made = config("ltool --json ping 10.0.2.2 3 3000 4000 2")
        made.costs = random_profile(seed, tmp_path)
        made.strict = strict
        made.until_ns = 6_000_000_000
        machine = Machine(made)
        machine.run()
        traces.append((machine.trace.fingerprint(), machine.end_ns, machine.files()))
        machine.close()
    assert traces[0] == traces[1]
