"""``ping`` of busybox: what it sends, prints and waits for, as the real one did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from desim.ports import POLLIN
from desim.userland.errors import TEXTS, failure
from desim.userland.program import Call, Program
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.shell import ShellError, parse
from desim.wire.addresses import ip
from desim.wire.icmp import Icmp
from desim.wire.ipv4 import PROTO_ICMP, Ipv4

MS = 1_000_000
SECOND = 1000 * MS
PID = 0x583E
GATEWAY = ip("10.0.2.2")
Reply = tuple[int, bytes]
"""Nanoseconds after the request, and the packet."""


def reply(
    request: bytes, *, after_ms: float = 0.5, ttl: int = 255, ident: int | None = None
) -> Reply:
    """The echo of a request, as a raw socket gets it."""
    name = request[4:6] if ident is None else ident.to_bytes(2, "big")
    message = bytes((0, 0, 0, 0)) + name + request[6:]
    packet = Ipv4(GATEWAY, ip("10.0.2.15"), PROTO_ICMP, message, ttl=ttl).emit()
    return int(after_ms * MS), packet


class Network:
    """A guest's kernel with one raw socket, and the network that ``answer`` makes of it."""

    def __init__(self, answer: Callable[[bytes], list[Reply]]) -> None:
        self.answer = answer
        self.time = 1_234_567_890
        self.out = ""
        self.sent: list[tuple[int, bytes]] = []
        self.queue: list[Reply] = []
        self.interrupt_at: int | None = None

    def run(self, line: str) -> int:
        (command,) = parse(line, GUEST_PROGRAMS)
        program: Program = command.start()
        outcome: Any = None
        error: OSError | None = None
        while True:
            try:
                call = program.throw(error) if error else program.send(outcome)
            except StopIteration as end:
                return int(end.value)
            outcome, error = None, None
            try:
                outcome = getattr(self, "on_" + call.name, self.nothing)(call)
            except OSError as failed:
                error = failed

    def nothing(self, call: Call) -> Any:
        return {"getpid": PID, "now": self.time, "socket": 3}.get(call.name)

    def on_write(self, call: Call) -> None:
        assert call.args[0] in (1, 2)
        self.out += call.args[1].decode()

    def on_resolve(self, call: Call) -> bytes:
        if call.args[0] == "localhost":
            return ip("127.0.0.1")
        return ip(call.args[0])

    def on_sendto(self, call: Call) -> None:
        _, data, to = call.args
        if to[0][0] == 99:
            raise failure(101)
        self.sent.append((self.time, data))
        self.queue += [(self.time + delay, packet) for delay, packet in self.answer(data)]
        self.queue.sort(key=lambda entry: entry[0])

    def on_poll(self, call: Call) -> list[tuple[int, int]]:
        ((fd, _),), timeout = call.args
        until = self.time + timeout
        if self.interrupt_at is not None and self.interrupt_at <= until and not self.queue:
            self.time, self.interrupt_at = self.interrupt_at, None
            raise failure(4)
        if self.queue and self.queue[0][0] <= until:
            self.time = max(self.time, self.queue[0][0])
            return [(fd, POLLIN)]
        self.time = until
        return [(fd, 0)]

    def on_recvfrom(self, call: Call) -> tuple[bytes, tuple[bytes, int]]:
        return self.queue.pop(0)[1][: call.args[1]], (GATEWAY, 0)


def ping(line: str, answer: Callable[[bytes], list[Reply]] | None = None) -> tuple[Network, int]:
    network = Network(answer or (lambda request: [reply(request)]))
    status = network.run(line)
    return network, status


def test_three_replies() -> None:
    delays = iter((0.043, 0.067, 0.0649))
    network, status = ping(
        "ping -c 3 10.0.2.2", lambda request: [reply(request, after_ms=next(delays))]
    )
    assert network.out == (
        "PING 10.0.2.2 (10.0.2.2): 56 data bytes\n"
        "64 bytes from 10.0.2.2: seq=0 ttl=255 time=0.043 ms\n"
        "64 bytes from 10.0.2.2: seq=1 ttl=255 time=0.067 ms\n"
        "64 bytes from 10.0.2.2: seq=2 ttl=255 time=0.065 ms\n"
        "\n--- 10.0.2.2 ping statistics ---\n"
        "3 packets transmitted, 3 packets received, 0% packet loss\n"
        "round-trip min/avg/max = 0.043/0.058/0.067 ms\n"
    )
    assert status == 0
    start = network.sent[0][0]
    assert [time - start for time, _ in network.sent] == [0, SECOND, 2 * SECOND]


def test_a_request_is_as_the_real_one_sent_it() -> None:
    network, _ = ping("busybox ping -c 2 10.0.2.2")
    for sequence, (time, request) in enumerate(network.sent):
        stamp = (time // 1000).to_bytes(4, "little")
        assert Icmp.parse(request).sum_ok
        assert request[:2] == bytes((8, 0))
        assert request[4:] == b"X>" + sequence.to_bytes(2, "big") + stamp + bytes(52)


def test_a_pattern_fills_the_code_too() -> None:
    network, _ = ping("ping -c 1 -p ab -s 6 10.0.2.2")
    request = network.sent[0][1]
    assert (request[:2], request[-2:]) == (b"\x08\xab", b"\xab\xab")


def test_too_little_data_for_a_clock() -> None:
    network, status = ping("ping -c 1 -s 3 localhost", lambda r: [reply(r, ttl=64)])
    assert network.out == (
        "PING localhost (127.0.0.1): 3 data bytes\n11 bytes from 10.0.2.2: seq=0 ttl=64\n"
        "\n--- localhost ping statistics ---\n"
        "1 packets transmitted, 1 packets received, 0% packet loss\n"
    )
    assert status == 0


def test_quiet_leaves_the_replies_out() -> None:
    network, _ = ping("ping -q -c 2 -i 0.2 10.0.2.2")
    assert network.out.splitlines()[:3] == [
        "PING 10.0.2.2 (10.0.2.2): 56 data bytes",
        "",
        "--- 10.0.2.2 ping statistics ---",
    ]
    assert network.sent[1][0] - network.sent[0][0] == SECOND // 5


@pytest.mark.parametrize(("words", "wait_s"), [("", 10), ("-W 2 ", 2)])
def test_no_reply_at_all(words: str, wait_s: int) -> None:
    network, status = ping(f"ping {words}-c 2 10.0.2.77", lambda request: [])
    assert network.out.endswith("2 packets transmitted, 0 packets received, 100% packet loss\n")
    assert status == 1
    assert network.time - network.sent[1][0] == wait_s * SECOND


def test_after_a_reply_the_last_is_waited_for_twice_the_longest_round_trip() -> None:
    answers = iter((900.0, 1100.0, None))

    def answer(request: bytes) -> list[Reply]:
        after = next(answers)
        return [] if after is None else [reply(request, after_ms=after)]

    network, _ = ping("ping -c 3 10.0.2.2", answer)
    assert network.out.endswith(
        "3 packets transmitted, 2 packets received, 33% packet loss\n"
        "round-trip min/avg/max = 900.000/1000.000/1100.000 ms\n"
    )
    assert network.time - network.sent[2][0] == SECOND * 1  # 900 ms when the wait began


def test_time_runs_out_at_a_sending() -> None:
    network, status = ping("ping -i 0.7 -w 2 10.0.2.2")
    assert len(network.sent) == 3
    assert network.time - network.sent[0][0] == SECOND * 21 // 10
    assert status == 0


def test_a_reply_that_comes_twice_is_named() -> None:
    network, _ = ping("ping -c 2 10.0.2.2", lambda r: [reply(r), reply(r, after_ms=2)])
    assert "64 bytes from 10.0.2.2: seq=0 ttl=255 time=2.000 ms (DUP!)\n" in network.out
    assert "2 packets transmitted, 2 packets received, 1 duplicates, 0% packet loss" in network.out


def test_other_packets_are_not_ours() -> None:
    def answer(request: bytes) -> list[Reply]:
        unreachable = Ipv4(GATEWAY, GATEWAY, PROTO_ICMP, b"\3\1" + bytes(70)).emit()
        return [reply(request, ident=1), (0, unreachable), (0, request[:9]), (0, request)]

    network, status = ping("ping -c 1 -W 1 10.0.2.2", answer)
    assert network.out.count("\n") == 4
    assert status == 1


def test_ctrl_c_shows_what_there_is() -> None:
    network = Network(lambda request: [reply(request)])
    network.interrupt_at = network.time + SECOND * 5 // 2
    assert network.run("ping 10.0.2.2") == 0
    assert "\n3 packets transmitted, 3 packets received, 0% packet loss\n" in network.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ping", "BusyBox v1.35.0 (Debian"),
        ("ping -c x 10.0.2.2", "ping: invalid number 'x'\n"),
        ("ping -i abc 10.0.2.2", "ping: invalid number 'abc'\n"),
        ("ping -p zz 10.0.2.2", "ping: invalid number 'zz'\n"),
        ("ping -p fff 10.0.2.2", "ping: number fff is not in 0..255 range\n"),
        ("ping -s 70000 10.0.2.2", "ping: number 70000 is not in 0..65535 range\n"),
        ("ping -z", "ping: invalid option -- 'z'\nBusyBox v1.35.0 (Debian"),
        (
            "ping 99.0.0.1",
            f"PING 99.0.0.1 (99.0.0.1): 56 data bytes\nping: sendto: {TEXTS[101]}\n",
        ),
    ],
)
def test_the_real_messages(line: str, message: str) -> None:
    network, status = ping(line)
    assert network.out.startswith(message)
    assert status == 1


@pytest.mark.parametrize("line", ["ping -6 x", "ping -A x", "ping -I lo x", "ping -t 3 x"])
def test_what_is_not_modelled_is_refused(line: str) -> None:
    with pytest.raises(ShellError, match="exists, but is not modelled"):
        parse(line, GUEST_PROGRAMS)


def test_the_host_has_no_raw_sockets() -> None:
    with pytest.raises(ShellError, match="not modelled on the host"):
        parse("ping localhost", HOST_PROGRAMS)
