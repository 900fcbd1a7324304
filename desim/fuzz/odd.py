"""Odd conversations: each kind steers to branches that ordinary ones seldom meet.

They come rarely, and larger than the others. Most are no pairs of programs of which one knows what
must arrive; the laws about segments, frames, rings and time judge them all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from desim.engine.draw import Draw
from desim.fuzz.bench import OUTSIDE, TCP_FORWARDS, TCP_SERVED, UDP_FORWARDS
from desim.fuzz.commands import CLIENTS_MS, SERVERS_MS, Commands

Way = Callable[[Draw, frozenset[str], Commands, int], None]
"""Draws a conversation: from where, which kinds there are, whose commands, which slot."""

DRIPS = "+400ms"
"""When who drips is stopped: it looks 4,000 times a second whether all has been taken."""


def _ports(slot: int) -> tuple[int, int]:
    """A forwarded port of the slot's, and one that the host's programs may listen on."""
    return list(TCP_FORWARDS)[slot % len(TCP_FORWARDS)], TCP_SERVED + slot


def _burst(draw: Draw, kinds: frozenset[str], commands: Commands, slot: int) -> None:
    """Datagrams faster than the driver takes them: the ring runs empty, and over."""
    port = list(UDP_FORWARDS)[1]
    count, rounds = draw.pick([(60, 1), (100, 2), (150, 1), (300, 1)])
    size = draw.pick([4, 200, 1400])
    commands.run("guest", f"ltool udprecv {port} {count * rounds} 300", SERVERS_MS)
    commands.run(
        "host",
        f"ltool udpsend localhost {port} {rounds} {count} {size} {draw.pick([0, 0, 5])} 30000 0",
        CLIENTS_MS,
    )


def _rush(draw: Draw, kinds: frozenset[str], commands: Commands, slot: int) -> None:
    """More clients than a listener's queue holds."""
    forwarded, served = _ports(slot)
    times = draw.between(3, 7)
    every = draw.pick(["10us", "1ms", "20ms", "exponential 2ms"])
    if draw.chance(3):
        commands.run("host", f"nc -l -k -p {served} > got{slot}", SERVERS_MS, "+9s")
        side, to = "guest", f"{OUTSIDE} {served}"
    else:
        commands.run("guest", f"nc -l -k -p {forwarded} > got{slot}", SERVERS_MS, "+9s")
        side, to = "host", f"localhost {forwarded}"
    commands.run(side, f"sleep 2 | nc -N {to}", CLIENTS_MS - 10)
    commands.run(side, f"echo hello | nc -N -w 3 {to}", CLIENTS_MS, every=every, times=times)


def _reuse(draw: Draw, kinds: frozenset[str], commands: Commands, slot: int) -> None:
    """The same ports again, while one end is still in TIME_WAIT, or has not closed yet."""
    forwarded, served = _ports(slot)
    later = CLIENTS_MS + draw.pick([5, 60, 1_000, 3_000])
    if draw.chance(2):
        server = "-l -k" if draw.chance(2) else "-N -l"
        commands.run("guest", f"echo a | nc {server} -p {forwarded} > got{slot}", SERVERS_MS, "+9s")
        if server == "-N -l":
            commands.run("guest", f"nc -l -p {forwarded} > got{slot}b", later - 1, "+9s")
        asks = f"nc -p {47_000 + slot} -w {draw.pick([1, 2])} localhost {forwarded}"
        commands.run("host", f"{asks} < /dev/null", CLIENTS_MS)
        commands.run("host", f"echo hello | {asks}", later)
    else:
        commands.run("host", f"nc -l -k -p {served} > got{slot}", SERVERS_MS, "+9s")
        asks = f"nc -N -p {47_000 + slot} {OUTSIDE} {served}"
        commands.run("guest", f"echo hello | {asks}", CLIENTS_MS, "+2s")
        commands.run("guest", f"echo hello | {asks}", later)


def _chat(draw: Draw, kinds: frozenset[str], commands: Commands, slot: int) -> None:
    """Small messages in turns, or many small ones in one direction."""
    forwarded, served = _ports(slot)
    size, count = draw.pick([1, 17, 100, 1_461]), draw.between(2, 12)
    pause_us = draw.pick([0, 100, 5_000, 45_000])
    from_host = draw.chance(2)
    port = forwarded if from_host else served
    server, client = ("guest", "host") if from_host else ("host", "guest")
    to = f"localhost {port}" if from_host else f"{OUTSIDE} {port}"
    if draw.chance(2):
        commands.run(server, f"ltool tcpsrv {port} {size} {count}", SERVERS_MS, "+9s")
        commands.run(client, f"ltool tcpcli {to} {size} {count} {pause_us}", CLIENTS_MS, "+8s")
    else:
        commands.run(server, f"ltool sink {port}", SERVERS_MS, "+9s")
        commands.run(client, f"ltool drip {to} {count} {size} {pause_us}", CLIENTS_MS, DRIPS)


def _stall(draw: Draw, kinds: frozenset[str], commands: Commands, slot: int) -> None:
    """A reader that reads nothing until its window is closed, and for long after that.

    Or a listener that is busy with somebody else, and who is next says one small thing after the
    other.
    """
    forwarded, served = _ports(slot)
    size = draw.pick([20_000, 60_000, 140_000])
    source = f"seq {10**14} {10**14 + size // 16} | "
    wait_s = draw.pick([1, 3, 8])
    if draw.chance(2):
        server, client, port, to = "guest", "host", forwarded, f"localhost {forwarded}"
    else:
        server, client, port, to = "host", "guest", served, f"{OUTSIDE} {served}"
    if draw.chance(2):
        commands.run(server, f"nc -l -p {port} | sleep {wait_s}", SERVERS_MS)
        commands.run(client, f"{source}nc -N {to}", CLIENTS_MS, "+12s")
    else:
        small, pause_us = draw.pick([17, 100, 100, 400]), draw.pick([100, 1_000, 5_000])
        commands.run(server, f"nc -l -k -p {port} > got{slot}", SERVERS_MS, "+12s")
        commands.run(client, f"sleep {wait_s} | nc -N {to}", CLIENTS_MS - 10)
        commands.run(client, f"ltool drip {to} 25 {small} {pause_us}", CLIENTS_MS, DRIPS)


def _interface(draw: Draw, kinds: frozenset[str], commands: Commands, slot: int) -> None:
    """The guest's interface goes down and up, or gets another lease, in a transfer."""
    forwarded, _ = _ports(slot)
    line = draw.pick(
        [
            "ifconfig eth0 down; sleep 0.2; ifconfig eth0 up",
            "ip link set eth0 down; ip link set eth0 up",
            "udhcpc -n -q -i eth0",
            "ethtool -G eth0 rx 64",
        ]
    )
    commands.run("guest", f"nc -l -p {forwarded} > got{slot}", SERVERS_MS, "+9s")
    commands.run("host", f"seq 1000 1400 | nc -N localhost {forwarded}", CLIENTS_MS, "+9s")
    commands.run("guest", line, CLIENTS_MS + draw.pick([0, 1, 2, 50]))


def _services(draw: Draw, kinds: frozenset[str], commands: Commands, slot: int) -> None:
    """What slirp itself answers: TFTP, names."""
    line = draw.pick(
        [
            f"tftp -g -r {draw.pick(['a', 'no/such'])} -b {draw.pick([8, 512, 1428])} {OUTSIDE}",
            "nslookup a.lan 10.0.2.3",
            f"ltool tftp {OUTSIDE} a {draw.pick([512, 1428])} 4",
        ]
    )
    commands.run("guest", line, CLIENTS_MS, "+3s")


def flood(commands: Commands) -> None:
    """More datagrams than a queue of QEMU's holds, while the guest's interface is down."""
    port = list(UDP_FORWARDS)[1]
    commands.run("guest", "ip link set eth0 down; sleep 5; ip link set eth0 up", CLIENTS_MS)
    start = CLIENTS_MS + 1_500  # when the card has negotiated: then it loses what waits
    commands.run("host", f"ltool udpsend localhost {port} 108 100 4 0 10000 0", start)


def pour(commands: Commands) -> None:
    """More bytes of the guest than slirp and the host's kernel hold, to a listener that is busy."""
    port = TCP_SERVED + 9
    commands.run("host", f"nc -l -k -p {port} > poured", SERVERS_MS, "+12s")
    commands.run("guest", f"sleep 8 | nc -N {OUTSIDE} {port}", CLIENTS_MS - 10)
    commands.run("guest", f"ltool source {OUTSIDE} {port} 8000000 65536", CLIENTS_MS, "+12s")


ODD: Mapping[str, Way] = MappingProxyType(
    {
        "bursts": _burst,
        "chats": _chat,
        "interface": _interface,
        "reuse": _reuse,
        "rushes": _rush,
        "services": _services,
        "stalls": _stall,
    }
)
"""By the name of their kind."""
