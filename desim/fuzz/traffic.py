"""The traffic of one example: who connects when, says how much, pauses, and closes in which order.

All of it is command lines, so that a finding is a file that anybody can read and change. Most
conversations are a few packets: a hundred small runs meet more than one large one, and take no
longer.
"""

from __future__ import annotations

from typing import Any

from desim.engine.draw import Draw
from desim.fuzz.bench import OUTSIDE, TCP_FORWARDS, TCP_SERVED, UDP_FORWARDS, UDP_SERVED
from desim.fuzz.commands import CLIENTS_MS, SERVERS_MS, Commands
from desim.fuzz.odd import ODD, Way, flood, pour

RARE = 8
"""One conversation in so many is an odd one, of a kind that is not switched off."""
MANY = 1_000
"""Bytes."""
PATIENT_S = 40
"""Who waits so long sees the end of fragments that never become a datagram."""
LINGERS = 256
"""One in so many examples of a bench that has the time for it goes on until all ends gave up."""
FLOODS = 256
"""One in so many of those is flooded, unless a fault makes more frames of them, and one pours out
bytes."""


def traffic_of(
    number: int, kinds: frozenset[str], *, long: bool, later_ms: int = 0
) -> dict[str, Any]:
    """The commands of example ``number``: the tables ``guest`` and ``host`` of its file.

    ``long``: the run goes on until every connection has been given up. ``later_ms``: how much
    later all of it is.
    """
    draw = Draw(number, "fuzz traffic")
    commands = Commands(later_ms)
    ways: list[Way] = [_tcp, _tcp]
    if "ping" in kinds:
        ways.append(_ping)
    if "udp" in kinds:
        ways.append(_udp)
    odd = [way for kind, way in ODD.items() if kind in kinds]
    conversations = draw.pick([1, 1, 1, 2, 3]) if "several" in kinds else 1
    for slot in range(conversations):
        way = draw.pick(odd) if odd and draw.chance(RARE) else draw.pick(ways)
        way(draw, kinds, commands, slot)
    if "noise" in kinds and draw.chance(4):
        _noise(draw, commands)
    if long and number % LINGERS == 0:
        commands.linger()
    if long and "faults" not in kinds:
        if number % FLOODS == 1:
            flood(commands)
        if number % FLOODS == 2:
            pour(commands)
    return {side: {"run": commands.of[side]} for side in ("guest", "host") if commands.of[side]}


# What a program sends, and what it does with what it gets


def _source(draw: Draw, kinds: frozenset[str], slot: int) -> str:
    """A pipeline whose output is known, and other than that of another slot; "" for nothing."""
    size = draw.pick([0, 1, 17, 100, 536, 1460, 1461, draw.between(1, 3_000)])
    if "large" in kinds and draw.chance(8):
        size = draw.pick([5_000, 5_000, 12_000, 20_000, 65_536, draw.between(3_000, 80_000)])
    if not size:
        return ""
    # Long lines where there are many bytes: seq has to make each.
    first = 1_000 * (slot + 1) if size < MANY else 10**14 * (slot + 1)
    return f"seq {first} {first + size // len(f'{first} ')} | head -c {size} | "


def _sink(draw: Draw, kinds: frozenset[str], name: str) -> str:
    """Where the output of a program goes: a file, or a reader that is slow or stops early."""
    if "slow readers" in kinds and draw.chance(3):
        return draw.pick(
            [f" | sleep {draw.pick(['0.2', '1', '8'])}", f" | head -c {draw.between(1, 3000)}"]
        )
    return f" > {name}"


def _stop(draw: Draw, kinds: frozenset[str]) -> str:
    """When a program is interrupted; "" for never."""
    if "resets" in kinds and draw.chance(3):
        return f"+{draw.pick([1, 10, 100, 1_000, 30_000])}ms"
    return ""


# Kinds of conversations


def _tcp(draw: Draw, kinds: frozenset[str], commands: Commands, slot: int) -> None:
    """A connection in either direction, and who closes it how."""
    from_host = not ("down" in kinds and draw.chance(2))
    server, client = ("guest", "host") if from_host else ("host", "guest")
    port = list(TCP_FORWARDS)[slot % len(TCP_FORWARDS)] if from_host else TCP_SERVED + slot
    address = "localhost" if from_host else OUTSIDE
    ends = ["-N"]
    if "closing" in kinds:
        ends += ["", "-q 1", "-w 2"]
    asks = f"nc {draw.pick(ends)} {address} {port}".replace("  ", " ")
    serves = f"nc {draw.pick(['', '-N', '-N'])} -l -p {port}".replace("  ", " ")
    if "closing" in kinds and draw.chance(4):
        asks = asks.replace("nc -N", "busybox nc") if client == "guest" else asks
        serves = f"busybox nc -l -p {port}" if server == "guest" else serves
    start = CLIENTS_MS + (draw.pick([0, 1, 7, 150, 2_000]) if "late" in kinds else 0)
    if "late" in kinds and draw.chance(8):
        start = SERVERS_MS - draw.between(0, 20)  # before anybody listens
    both = draw.chance(4)
    up = draw.chance(2) or both
    says = _source(draw, kinds, slot) if up else ""
    answers = _source(draw, kinds, slot + 3) if both or not up else ""
    commands.run(
        server,
        _line(answers, serves, _sink(draw, kinds, f"got{slot}")),
        SERVERS_MS,
        _stop(draw, kinds),
    )
    commands.run(
        client, _line(says, asks, _sink(draw, kinds, f"back{slot}")), start, _stop(draw, kinds)
    )


def _line(source: str, program: str, sink: str) -> str:
    """Without a source the program reads /dev/null, so that it closes at once."""
    return f"{source}{program}{sink}" if source else f"{program} < /dev/null{sink}"


def _udp(draw: Draw, kinds: frozenset[str], commands: Commands, slot: int) -> None:
    """One datagram, and one back if there is somebody who answers."""
    size = draw.pick([1, 18, 100, 1472, 1473, 2000])
    first = 10**14 * (slot + 1)
    source = f"seq {first} {first + size // 16} | head -c {size} | "
    start = CLIENTS_MS + draw.pick([0, 3, 250])
    wait_s = draw.pick([5, PATIENT_S])
    if draw.chance(2):
        port = next(iter(UDP_FORWARDS))
        commands.run("guest", f"nc -u -l -p {port} -w {wait_s} > got{slot}", SERVERS_MS)
        commands.run("host", f"{source}nc -u -w 2 localhost {port} > back{slot}", start)
    else:
        port = UDP_SERVED + slot
        commands.run("host", f"nc -u -l -p {port} -w {wait_s} > got{slot}", SERVERS_MS)
        commands.run("guest", f"{source}nc -u -w 2 {OUTSIDE} {port} > back{slot}", start)


def _ping(draw: Draw, kinds: frozenset[str], commands: Commands, slot: int) -> None:
    size = draw.pick([0, 56, 1472, 1473, 4_000, 9_000])
    target = draw.pick([OUTSIDE, OUTSIDE, "10.0.2.3", "10.0.2.77"])
    commands.run(
        "guest",
        f"ping -c {draw.between(1, 2)} -s {size} -W {draw.pick([1, PATIENT_S])} {target}",
        CLIENTS_MS + draw.between(0, 400),
    )


def _noise(draw: Draw, commands: Commands) -> None:
    """Something else that keeps the guest or the wire busy meanwhile."""
    if draw.chance(2):
        commands.run("guest", "ltool spin", CLIENTS_MS - draw.between(1, 20), "+100ms")
    else:
        count, gap_us = draw.pick([3, 3, 8, 25, 100]), draw.pick([0, 50, 400])
        commands.run(
            "guest",
            f"ltool udpsend {OUTSIDE} 6999 1 {count} 200 {gap_us} 1000 0",
            CLIENTS_MS + draw.between(0, 20),
        )
