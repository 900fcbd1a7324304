"""``tftp`` of busybox against scripted servers: what the real one sent, wrote and said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from host_bench import SECOND, Host, output

from desim.userland.calls import sys
from desim.userland.program import Program
from desim.wire.addresses import IP_ANY

MS = 1_000_000
Answer = Callable[[bytes], Iterator[bytes]]


def data(number: int, content: bytes) -> bytes:
    return bytes((0, 3)) + number.to_bytes(2, "big") + content


def ack(number: int) -> bytes:
    return bytes((0, 4)) + number.to_bytes(2, "big")


def oack(**options: int) -> bytes:
    return b"\0\6" + b"".join(f"{key}\0{value}\0".encode() for key, value in options.items())


class Server:
    """Port 69 of the host: gives each packet to ``answer``, sends what comes out of it."""

    def __init__(self, host: Host, answer: Answer) -> None:
        self.seen: list[bytes] = []
        self.times: list[int] = []
        self.host = host
        self.answer = answer
        host.serve(self.program())

    def program(self) -> Program:
        fd = yield from sys.socket("udp")
        yield from sys.bind(fd, IP_ANY, 69)
        while True:
            packet, client = yield from sys.recvfrom(fd, 65536)
            self.seen.append(packet)
            self.times.append(self.host.time)
            for answer in self.answer(packet):
                yield from sys.sendto(fd, answer, client)


def reader(content: bytes, block: int, *first: bytes) -> Answer:
    """A server of one file, whose answer to the request is ``first`` or the first block."""

    def answer(packet: bytes) -> Iterator[bytes]:
        if packet[1] == 1 and first:
            yield from first
        elif packet[1] in (1, 4):
            number = int.from_bytes(packet[2:4], "big") if packet[1] == 4 else 0
            if number == 0 or len(content[(number - 1) * block : number * block]) == block:
                yield data(number + 1, content[number * block : (number + 1) * block])

    return answer


def say(*answers: bytes) -> Answer:
    """A server that answers the request with these, and nothing else."""
    return lambda packet: iter(answers if packet[1] in (1, 2) else ())


def run(answer: Answer, line: str, **files: bytes) -> tuple[Host, Server, str, int | None]:
    host = Host(files=files)
    server = Server(host, answer)
    client = host.run(line)
    host.settle(60 * SECOND)
    return host, server, output(client), client.exit_status


def test_a_file_comes_in_blocks_of_512() -> None:
    content = bytes(range(250)) * 5
    host, server, said, status = run(reader(content, 512), "tftp -g -r a/file localhost")
    assert server.seen == [b"\0\1a/file\0octet\0tsize\x000\0", ack(1), ack(2), ack(3)]
    assert host.written("file") == content
    assert (said, status) == ("", 0)


def test_a_larger_block_is_asked_for_before_the_size() -> None:
    content = bytes(3000)
    answer = reader(content, 1428, oack(blksize=1428, tsize=3000))
    host, server, _, status = run(answer, "busybox tftp -g -r f -l to/it -b 2000 localhost")
    request = b"\0\1f\0octet\0blksize\x002000\0tsize\x000\0"
    assert server.seen == [request, ack(0), ack(1), ack(2), ack(3)]
    assert (host.written("to/it"), status) == (content, 0)


def test_a_last_block_may_be_empty() -> None:
    host, server, _, _ = run(reader(bytes(1024), 512), "tftp -g -r f localhost")
    assert server.seen[1:] == [ack(1), ack(2), ack(3)]
    assert host.written("f") == bytes(1024)


def test_the_file_may_go_to_the_output() -> None:
    _, _, said, status = run(reader(b"text\n", 512), "tftp -g -r f -l - localhost")
    assert (said, status) == ("text\n", 0)


def test_a_server_without_options_means_512() -> None:
    _, _, said, status = run(say(data(1, b"abc")), "tftp -g -r f -b 1000 localhost")
    assert (said, status) == ("tftp: falling back to blocksize 512\n", 0)


def test_an_oack_that_leaves_blksize_out_changes_nothing() -> None:
    answer = reader(bytes(512), 512, oack(tsize=512))
    host, _, _, status = run(answer, "tftp -g -r f -b 1000 localhost")
    assert (host.written("f"), status) == (bytes(512), 0)
    host, server, _, _ = run(
        reader(bytes(1024), 512, oack(tsize=1024)), "tftp -g -r f -b 100 localhost"
    )
    assert server.seen[1:] == [ack(0), ack(1), ack(2), ack(3)]
    assert host.written("f") == bytes(200)


def test_the_smallest_block_size_of_busybox_is_24() -> None:
    host, _, _, status = run(
        reader(bytes(30), 24, oack(blksize=24, tsize=30)), "tftp -g -r f -b 24 localhost"
    )
    assert (host.written("f"), status) == (bytes(30), 0)


@pytest.mark.parametrize("size", [9999, 3, 23])
def test_a_block_size_that_was_not_asked_for_is_an_error(size: int) -> None:
    _, server, said, status = run(say(oack(blksize=size)), "tftp -g -r f -b 1000 localhost")
    assert (said, status) == (f"tftp: bad blocksize '{size}'\n", 1)
    assert server.seen[-1] == b"\0\5\0\x08\0"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"\0\5\0\1File not found\0", "(1) File not found"),
        (b"\0\5\0\2\0", "(2) access violation"),
        (b"\0\5\0\5", "(5) unknown transfer id"),
        (b"\0\5\0\x0b\0", "(11) "),
    ],
)
def test_errors_of_the_server(answer: bytes, message: str) -> None:
    _, _, said, status = run(say(answer), "tftp -g -r f localhost")
    assert (said, status) == (f"tftp: server error: {message}\n", 1)


def test_a_transfer_that_fails_leaves_no_file() -> None:
    def answer(packet: bytes) -> Iterator[bytes]:
        yield data(1, bytes(512)) if packet[1] == 1 else b"\0\5\0\0oops\0"

    host, _, said, _ = run(answer, "tftp -g -r f localhost")
    assert said == "tftp: server error: (0) oops\n"
    assert host.tree.files == {}


def test_a_block_that_comes_again_is_acknowledged_again() -> None:
    answers = iter([data(1, bytes(512)), data(1, bytes(512)), data(2, b"q")])
    host, server, _, _ = run(lambda _: iter([*islice(answers, 1)]), "tftp -g -r f localhost")
    assert server.seen[1:] == [ack(1), ack(1), ack(2)]
    assert host.written("f") == bytes(512) + b"q"


def test_what_answers_nothing_is_ignored() -> None:
    strange = [data(7, b"abc"), ack(0), b"\0", data(1, b"abc")]
    host, server, _, status = run(say(*strange), "tftp -g -r f localhost")
    assert server.seen[1:] == [ack(1)]
    assert (host.written("f"), status) == (b"abc", 0)


def test_silence_is_asked_again_and_again() -> None:
    host = Host()
    server = Server(host, lambda _: iter(()))
    client = host.run("tftp -g -r f localhost")
    host.settle(60 * SECOND)
    waits = [100, 150, 225, 337, 505, 757, 1135, 1702, 2000, 2000, 2000, 2000]
    assert server.times == [sum(waits[:n]) * MS for n in range(12)]
    assert (output(client), client.ended_ns) == ("tftp: timeout\n", sum(waits) * MS)


def test_a_file_is_sent() -> None:
    content = bytes(512)

    def answer(packet: bytes) -> Iterator[bytes]:
        yield ack(packet[3] if packet[1] == 3 else 0)

    _, server, said, status = run(answer, "tftp -p -l src -r dst localhost", src=content)
    request = b"\0\2dst\0octet\0tsize\x00512\0"
    assert server.seen == [request, data(1, content), data(2, b"")]
    assert (said, status) == ("", 0)


def test_a_file_is_sent_after_an_oack() -> None:
    def answer(packet: bytes) -> Iterator[bytes]:
        yield oack(blksize=1000) if packet[1] == 2 else ack(packet[3])

    _, server, _, status = run(answer, "tftp -p -l src -b 1000 localhost", src=bytes(1500))
    assert server.seen[1:] == [data(1, bytes(1000)), data(2, bytes(500))]
    assert status == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tftp -g -r f -b 3 localhost", "tftp: bad blocksize '3'\n"),
        ("tftp -g -r f -b 23 localhost", "tftp: bad blocksize '23'\n"),
        ("tftp -g -r f -b 65465 localhost", "tftp: bad blocksize '65465'\n"),
        ("tftp -g -r f localhost x", "tftp: bad port 'x'\n"),
        ("tftp -g -r f -b 0000000999999 localhost", "tftp: bad blocksize '0000000999999'\n"),
        ("tftp -g -r f nosuch.example", "tftp: bad address 'nosuch.example'\n"),
        ("tftp -p -l none localhost", "tftp: can't open 'none': No such file or directory\n"),
        ("tftp -g localhost", "BusyBox v1.35.0 (Debian"),
        ("tftp -r f localhost", "BusyBox v1.35.0 (Debian"),
        ("tftp -z", "tftp: invalid option -- 'z'\nBusyBox v1.35.0 (Debian"),
    ],
)
def test_the_real_messages(line: str, message: str) -> None:
    client = Host().run(line)
    assert output(client).startswith(message)
    assert client.exit_status == 1
