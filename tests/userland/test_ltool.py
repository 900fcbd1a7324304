"""The measuring tool, call by call: the order that the kernel traces of the real one show."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from typing import Any

import pytest

from desim.ports import POLLIN
from desim.userland.errors import failure
from desim.userland.program import Call, Part
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.programs.ltool import SUBCOMMANDS
from desim.userland.programs.ltool_common import mbit_s
from desim.userland.programs.ltool_ping import Ping
from desim.userland.programs.ltool_report import say
from desim.userland.programs.ltool_tcp import TCP_INFO_FIELDS
from desim.userland.programs.ltool_tftp import Tftp
from desim.userland.shell import parse
from desim.userland.uapi import Message
from desim.wire.addresses import ip
from desim.wire.icmp import Icmp
from desim.wire.ipv4 import PROTO_ICMP, Ipv4

US = 1000
MS = 1_000_000
SLIRP = ip("10.0.2.2")
PID = 0x12345
LATENCY = 25 * US
SLACK = 50 * US


class Kernel:
    """Answers calls. Time passes in sleeps and polls only; ``network`` sees what is sent."""

    def __init__(
        self, network: Callable[[Kernel, bytes], None] = lambda kernel, data: None
    ) -> None:
        self.time = 5_000 * MS
        self.calls: list[str] = []
        self.out = ""
        self.network = network
        self.sent: list[tuple[int, bytes]] = []
        self.incoming: list[tuple[int, bytes]] = []
        """What comes, and when."""
        self.timeout: int | None = None
        self.answers: dict[str, Callable[..., Any]] = {}

    def run(self, line: str) -> int:
        (command,) = parse(line, GUEST_PROGRAMS)
        return int(self.run_program(command.start()))

    def run_program(self, program: Part[Any]) -> Any:
        value: Any = None
        error: OSError | None = None
        while True:
            try:
                call = program.throw(error) if error is not None else program.send(value)
            except StopIteration as end:
                return end.value
            self.calls.append(call.name)
            value, error = None, None
            try:
                value = self.answer(call)
            except OSError as raised:
                error = raised

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def answer(self, call: Call) -> Any:
        special = self.answers.get(call.name)
        if special is not None:
            return special(*call.args)
        return getattr(self, "do_" + call.name, lambda *args: None)(*call.args)

    def do_write(self, fd: int, data: bytes) -> int:
        if fd == 1 or fd == 2:
            self.out += data.decode()
        else:
            self.sent.append((self.time, data))
        return len(data)

    def do_load(self, code: type) -> object:
        return code()

    def do_getpid(self) -> int:
        return PID

    def do_resolve(self, name: str) -> bytes:
        return ip(name)

    def do_socket(self, kind: str) -> int:
        return 3

    def do_clock_gettime(self) -> int:
        return self.time

    def do_nanosleep(self, duration_ns: int) -> None:
        self.time += duration_ns + SLACK

    def do_setsockopt(self, fd: int, option: str, value: int) -> None:
        if option == "SO_RCVTIMEO":
            self.timeout = value

    def do_sendto(self, fd: int, data: bytes, to: tuple[bytes, int]) -> int:
        self.sent.append((self.time, data))
        self.network(self, data)
        return len(data)

    def do_ppoll(self, fds: list[tuple[int, int]], timeout_ns: int) -> list[tuple[int, int]]:
        if self.incoming and self.incoming[0][0] <= self.time + timeout_ns:
            self.time = max(self.time, self.incoming[0][0])
            return [(3, POLLIN)]
        self.time += timeout_ns
        return [(3, 0)]

    def do_recvmsg(self, fd: int, size: int, dontwait: bool) -> Message:
        arrived, data = self.incoming.pop(0)
        return Message(data, (SLIRP, 0), arrived - 1)

    def do_recvfrom(self, fd: int, size: int) -> tuple[bytes, tuple[bytes, int]]:
        if not self.incoming:
            assert self.timeout is not None
            self.time += self.timeout
            raise failure(errno.EAGAIN)
        arrived, data = self.incoming.pop(0)
        self.time = max(self.time, arrived)
        return data, (SLIRP, 69)


def packet(message: Icmp) -> bytes:
    return Ipv4(SLIRP, ip("10.0.2.15"), PROTO_ICMP, message.emit()).emit()


def echoes(kernel: Kernel, data: bytes) -> None:
    request = Icmp.parse(data)
    reply = Icmp.echo(request.ident, request.sequence, request.payload, reply=True)
    kernel.incoming.append((kernel.time + LATENCY, packet(reply)))


ROUND = ["clock_gettime", "nanosleep", "clock_gettime"]
SEND = ["clock_gettime", "sendto", "clock_gettime"]
RECEIVE = ["ppoll", "recvmsg", "clock_gettime"]


def test_a_ping_makes_the_calls_of_the_kernel_trace() -> None:
    kernel = Kernel(echoes)
    assert kernel.run("ltool --json ping 10.0.2.2 2 20000 56 1") == 0
    start = ["resolve", "load", "socket", "setsockopt", "setsockopt", "getpid", "clock_gettime"]
    assert kernel.calls == start + 2 * (ROUND + SEND + RECEIVE) + ["load", "write", "measured"]


def test_the_requests_are_those_of_the_recordings() -> None:
    kernel = Kernel(echoes)
    kernel.run("ltool --json ping 10.0.2.2 2 1000 5 2")
    messages = [Icmp.parse(data) for _, data in kernel.sent]
    assert [m.sequence for m in messages] == [0, 1, 2, 3]
    assert {m.ident for m in messages} == {PID & 0xFFFF}
    assert all(m.sum_ok and m.payload == b"\xa5" * 5 for m in messages)


def test_the_result_has_the_recorded_keys_and_stamps() -> None:
    kernel = Kernel(echoes)
    kernel.run("ltool --json ping 10.0.2.2 2 10000 56 1")
    assert kernel.result == {
        "test": "ping",
        "dst": "10.0.2.2",
        "n": 2,
        "interval_us": 10000,
        "size": 56,
        "train": 1,
        "t0_ns": 5_000 * MS + 2 * MS + SLACK,
        "received": 2,
        "rtt_min_ns": LATENCY,
        "rtt_mean_ns": LATENCY,
        "rtt_max_ns": LATENCY,
        "send_ns": [0, 10 * MS],
        "sent_ns": [0, 10 * MS],
        "krx_ns": [LATENCY - 1, 10 * MS + LATENCY - 1],
        "recv_ns": [LATENCY, 10 * MS + LATENCY],
    }


def test_a_train_goes_out_before_its_replies_are_read() -> None:
    kernel = Kernel(echoes)
    kernel.run("ltool --json ping 10.0.2.2 1 10000 56 3")
    assert kernel.calls[-21:] == 3 * SEND + 3 * RECEIVE + ["load", "write", "measured"]


def test_without_a_reply_the_next_train_leaves_when_it_is_due() -> None:
    kernel = Kernel()
    kernel.run("ltool --json ping 10.0.2.2 3 1000000 56 1")
    # The poll ends just when it is due: no slack of a sleep, as the recorded stamps show.
    assert kernel.result["send_ns"] == [0, 1_000 * MS - SLACK, 2_000 * MS - SLACK]
    assert kernel.result["recv_ns"] == [-1, -1, -1]
    assert kernel.result["rtt_min_ns"] == 1 << 60


def test_after_the_last_train_it_waits_for_300_ms() -> None:
    kernel = Kernel()
    kernel.run("ltool --json ping 10.0.2.2 1 1000000 56 1")
    assert kernel.time - kernel.sent[-1][0] == 300 * MS


def test_below_a_millisecond_no_request_overtakes_the_reply_before() -> None:
    kernel = Kernel(echoes)
    kernel.run("ltool --json ping 10.0.2.2 4 10 56 1")
    assert kernel.result["send_ns"] == [0, LATENCY, 2 * LATENCY, 3 * LATENCY]


def test_replies_to_others_do_not_count() -> None:
    def network(kernel: Kernel, data: bytes) -> None:
        request = Icmp.parse(data)
        for ident in (1, request.ident):
            kernel.incoming.append(
                (kernel.time, packet(Icmp.echo(ident, request.sequence, b"", reply=True)))
            )
        kernel.incoming.insert(0, (kernel.time, packet(request)))

    kernel = Kernel(network)
    kernel.run("ltool --json ping 10.0.2.2 1 1000 0 1")
    assert kernel.result["received"] == 1
    assert kernel.calls.count("recvmsg") == 3


def test_a_reply_that_comes_after_its_train_counts_for_it() -> None:
    def network(kernel: Kernel, data: bytes) -> None:
        if Icmp.parse(data).sequence:
            echoes(kernel, kernel.sent[0][1])
            echoes(kernel, data)

    kernel = Kernel(network)
    kernel.run("ltool --json ping 10.0.2.2 2 1000 0 1")
    assert kernel.result["received"] == 2
    assert kernel.result["recv_ns"][0] == kernel.result["recv_ns"][1]


def test_what_is_no_packet_is_no_reply() -> None:
    code = Ping()
    for data in (b"", b"\x45", bytes(20), bytes(60)):
        assert code.echo_reply(data, 7) is None


# TFTP


def server(blksize: int, size: int) -> Callable[[Kernel, bytes], None]:
    """slirp's TFTP server: at most 1428 bytes a block."""
    granted = min(blksize, 1428)

    def network(kernel: Kernel, data: bytes) -> None:
        if data[1] == 1:
            answer = b"\0\6blksize\0" + str(granted).encode() + b"\0"
            if b"blksize" in data:
                kernel.incoming.append((kernel.time + LATENCY, answer))
                return
            block = 1
        else:
            block = int.from_bytes(data[2:4], "big") + 1
        left = size - (block - 1) * granted
        if left < 0:
            return
        answer = b"\0\3" + block.to_bytes(2, "big") + bytes(min(left, granted))
        kernel.incoming.append((kernel.time + LATENCY, answer))

    return network


def test_tftp_reads_a_file_with_one_acknowledgement_per_answer() -> None:
    kernel = Kernel(server(1428, 150000))
    assert kernel.run("ltool --json tftp 10.0.2.2 f 1428 1000") == 0
    result = kernel.result
    assert (result["bytes"], result["blocks"], result["err"]) == (150000, 107, 0)
    assert result["rtt_ns"] == [LATENCY] * 107
    assert kernel.sent[0][1] == b"\0\1f\0octet\0blksize\x001428\0"
    assert [data[3] for _, data in kernel.sent[1:]] == list(range(107))


def test_tftp_of_512_bytes_asks_for_no_option() -> None:
    kernel = Kernel(server(512, 150000))
    kernel.run("ltool --json tftp 10.0.2.2 f 512 1000")
    assert (kernel.result["bytes"], kernel.result["blocks"]) == (150000, 293)
    assert kernel.sent[0][1] == b"\0\1f\0octet\0"


def test_tftp_stops_after_the_given_number_of_answers() -> None:
    kernel = Kernel(server(1428, 150000))
    kernel.run("ltool --json tftp 10.0.2.2 f 1428 60")
    assert (kernel.result["bytes"], kernel.result["blocks"]) == (84252, 60)
    assert len(kernel.sent) == 61


def test_tftp_takes_a_smaller_block_than_it_asked_for_as_the_end() -> None:
    kernel = Kernel(server(1468, 150000))
    kernel.run("ltool --json tftp 10.0.2.2 f 1468 60")
    assert (kernel.result["bytes"], kernel.result["blocks"]) == (1428, 2)


def test_tftp_gives_up_when_nothing_comes_or_an_error_does() -> None:
    silent = Kernel()
    silent.run("ltool --json tftp 10.0.2.2 f 512 9")
    assert (silent.result["blocks"], silent.result["err"]) == (0, errno.EAGAIN)
    refused = Kernel(lambda kernel, data: kernel.incoming.append((0, b"\0\5\0\1no\0")))
    refused.run("ltool --json tftp 10.0.2.2 f 512 9")
    assert (refused.result["blocks"], refused.result["err"]) == (0, errno.EIO)


def test_a_short_answer_is_none() -> None:
    assert Tftp().tftp_answer(b"\0\3\0") == (-1, 0)
    assert Tftp().tftp_answer(b"") == (-1, 0)


# Streams


def test_source_writes_in_pieces_and_looks_every_fifth_of_a_millisecond() -> None:
    kernel = Kernel()
    left = [7, 7, 0]
    kernel.answers["outq"] = lambda fd: left.pop(0)
    shown = dict.fromkeys(TCP_INFO_FIELDS, 0) | {"snd_mss": 1460}
    kernel.answers["tcp_info"] = lambda fd: shown | {"not_shown": 1}
    kernel.run("ltool --json source 10.0.2.100 1234 2500 1000 50")
    assert [len(data) for _, data in kernel.sent] == [1000, 1000, 500]
    tail = ["shutdown", "ppoll", "clock_gettime", "close", "load", "write", "measured"]
    look = ["outq", "clock_gettime"]
    sleep = ["nanosleep"]
    assert kernel.calls[-15:] == [*look, *sleep, *look, *sleep, *look, "tcp_info", *tail][-15:]
    result = kernel.result
    assert result["acked_ns"] - result["written_ns"] == 2 * (200 * US + SLACK)
    assert result["eof_ns"] - result["acked_ns"] == 50 * MS
    assert result["tcp_info"] == shown
    assert (result["writes"], result["bytes"], result["wsize"]) == (3, 2500, 1000)


def test_source_without_a_linger_time_waits_for_three_seconds() -> None:
    kernel = Kernel()
    kernel.answers["outq"] = lambda fd: 0
    kernel.answers["tcp_info"] = no_info
    kernel.run("ltool --json source 10.0.2.100 1234 1 65536")
    assert kernel.result["eof_ns"] - kernel.result["acked_ns"] == 3_000 * MS
    assert "tcp_info" not in kernel.result


def no_info(fd: int) -> dict[str, int]:
    raise failure(errno.ENOPROTOOPT)


def test_a_connection_that_fails_is_a_result() -> None:
    kernel = Kernel()

    def connect(fd: int, address: bytes, port: int) -> None:
        kernel.time += 6 * MS
        raise failure(errno.ECONNREFUSED)

    kernel.answers["connect"] = connect
    assert kernel.run("ltool --json drip 10.0.2.2 9 1 1 0") == 1
    assert kernel.result == {"test": "drip", "connect_errno": 111, "connect_ns": 6 * MS}


def test_sink_counts_what_it_reads() -> None:
    kernel = Kernel()
    pieces = [b"x" * 1460, b"x" * 2920, b"x" * 1460, b""]

    def read(fd: int, size: int) -> bytes:
        assert size == 65536
        kernel.time += MS
        return pieces.pop(0)

    kernel.answers |= {"read": read, "accept": lambda fd: (4, (SLIRP, 5)), "tcp_info": no_info}
    kernel.run("ltool --json sink 5604")
    result = kernel.result
    assert result["read_sizes"] == {"1460": 2, "2920": 1}
    assert result["read_size"] == [1460, 2920, 1460]
    assert (result["first_ns"], result["last_ns"], result["eof_ns"]) == (MS, 3 * MS, 4 * MS)
    assert result["mbit_s"] == 15.573


def test_the_rate_has_three_places() -> None:
    assert str(mbit_s(65536, 626459)) == "836.907"
    assert str(mbit_s(1, 0)) == "0.000"


# Mistakes


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "ltool",
            "N INTERVAL_US SIZE TRAIN\n       ltool [--json] tftp HOST ",
        ),
        (
            "ltool pnig 1",
            "ltool: there is no 'pnig'; did you mean 'ping'?\nusage: ltool [--json] ping",
        ),
        ("ltool ping 10.0.2.2 1001 1 1 1000", "1001 trains of 1000 are more than 1000000 packets"),
        ("ltool ping 10.0.2.2", "usage: ltool [--json] ping DST N INTERVAL_US SIZE TRAIN\n"),
        ("ltool spin 1", "usage: ltool [--json] spin\n"),
        ("ltool source 10.0.2.2 1 1 1 1 1", "[LINGER_MS]\n"),
        ("ltool usleep fast", "ltool usleep: US: 'fast' is not a whole number from 0 to"),
        (f"ltool usleep {'9' * 5000}", "is not a whole number from 0 to"),
        ("ltool sink 0", "ltool sink: PORT: '0' is not a whole number from 1 to 65535\n"),
        ("ltool ping 10.0.2.2 1 1 70000 1", "ltool ping: SIZE: '70000' is not a whole number"),
    ],
)
def test_mistakes_are_said_and_end_with_1(line: str, said: str) -> None:
    kernel = Kernel()
    assert kernel.run(line) == 1
    assert said in kernel.out


def test_an_error_of_the_kernel_ends_it_with_1() -> None:
    kernel = Kernel()

    def no_socket(kind: str) -> int:
        raise failure(errno.EPERM)

    kernel.answers["socket"] = no_socket
    assert kernel.run("ltool ping 10.0.2.2 1 1 1 1") == 1
    assert kernel.out == "ltool ping: Operation not permitted\n"


# The line for people


RESULTS = [
    (
        {"test": "ping", "received": 2, "send_ns": [0, 10, 20], "recv_ns": [251_123, 262_010, -1]},
        "2 of 3 answered, rtt min/avg/max 251.123/256.561/262.000 us",
    ),
    ({"test": "ping", "received": 0, "send_ns": [0], "recv_ns": [-1]}, "0 of 1 answered"),
    (
        {
            "test": "tftp",
            "bytes": 1428,
            "blocks": 1,
            "elapsed_ns": 1_500_499,
            "mbit_s": 7,
            "err": 5,
        },
        "1428 bytes in 1 block, 1.500 ms, 7 Mbit/s, Input/output error",
    ),
    (
        {
            "test": "source",
            "bytes": 10,
            "writes": 2,
            "acked_ns": 12_345_678,
            "mbit_s": mbit_s(10, 1),
        },
        "10 bytes in 2 writes, acknowledged after 12.346 ms, 80000.000 Mbit/s",
    ),
    (
        {"test": "source", "connect_errno": errno.ECONNREFUSED, "connect_ns": 1},
        "connect: Connection refused",
    ),
    (
        {"test": "sink", "bytes": 0, "reads": 0, "last_ns": 0, "mbit_s": mbit_s(0, 0)},
        "0 bytes in 0 reads, the last after 0.000 ms, 0.000 Mbit/s",
    ),
    (
        {"test": "tcpcli", "n": 3, "send_ns": [0, 9], "recv_ns": [1001]},
        "1 of 3 answered, rtt min/avg/max 1.001/1.001/1.001 us",
    ),
    (
        {"test": "tcpsrv", "msg": 100, "read_ns": [1, 2_000_000]},
        "2 messages of 100 bytes, the last after 2.000 ms",
    ),
    ({"test": "slowsrv", "msg": 1, "read_ns": []}, "0 messages of 1 bytes, the last after no time"),
    (
        {"test": "drip", "size": 9, "send_ns": [0], "acked_ns": 500, "outq": 0, "errno": 0},
        "1 write of 9 bytes, acknowledged after 0.001 ms",
    ),
    (
        {"test": "drip", "size": 9, "send_ns": [0, 1], "acked_ns": 5, "outq": 18, "errno": 32},
        "2 writes of 9 bytes, 18 bytes not acknowledged, Broken pipe",
    ),
    (
        {"test": "udpsend", "size": 64, "send_ns": [0, 1], "sent_ns": [1, 1000], "received": 0},
        "2 datagrams of 64 bytes in 0.001 ms",
    ),
    (
        {
            "test": "udpsend",
            "size": 64,
            "send_ns": [0, 10],
            "sent_ns": [1, 1000],
            "recv_ns": [2000, -1],
            "received": 1,
        },
        "2 datagrams of 64 bytes in 0.001 ms, 1 came back, rtt min/avg/max 2.000/2.000/2.000 us",
    ),
    (
        {"test": "udprecv", "n": 4, "seq": [0, 4, 2, 2], "recv_ns": [0, 1, 2, 3_000_000]},
        "4 datagrams in 3.000 ms, 2 missing before number 4, 1 twice",
    ),
    ({"test": "udpecho", "n": 1, "port": 7}, "1 datagram sent back"),
]


@pytest.mark.parametrize(("result", "line"), RESULTS)
def test_without_json_there_is_one_line_for_people(result: dict[str, Any], line: str) -> None:
    kernel = Kernel()
    kernel.run_program(say(result, as_json=False))
    assert kernel.out == line + "\n"


def test_every_subcommand_that_finds_something_has_a_line() -> None:
    assert {result["test"] for result, _ in RESULTS} == set(SUBCOMMANDS) - {"usleep", "spin"}


def test_the_figures_are_the_same_whatever_is_printed() -> None:
    kernels = []
    for option in ("", "--json "):
        kernel = Kernel(echoes)
        measured: list[Any] = []
        kernel.answers["measured"] = measured.append
        kernel.run(f"ltool {option}ping 10.0.2.2 40 10000 56 1")
        kernels.append((measured, len(kernel.out)))
    (told, short), (told_too, long) = kernels
    assert told == told_too
    assert short < 80 < long


def test_both_sides_have_it() -> None:
    assert "ltool" in HOST_PROGRAMS
    assert "ltool" in GUEST_PROGRAMS
    assert next(iter(SUBCOMMANDS)) == "ping"
