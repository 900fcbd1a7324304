"""``tftp`` of busybox 1.35 (networking/tftp.c; RFC 1350, 2347, 2348, 2349).

Theory of operation
-------------------
One loop: send a packet, wait for what answers it, take it in, make the next one. The request
carries the option blksize if ``-b`` names another size than 512, and then tsize. The first
answer's sender is the peer from then on (the socket is connected to it). What answers
nothing (another block, an ACK to a reader) is ignored and the waiting goes on; silence makes
the packet go out again, after 100 ms, then half as much longer each time up to 2 s, twelve
times. The block before the one expected means that the ACK was lost, which goes out again.

An OACK without blksize leaves the size at what was asked for, as in the real one: with a
server that ignores the option only (slirp of QEMU 2.8, below 512), files come out wrong.

The local file is opened when the first block is here, and removed if the transfer fails.
slirp's server only reads: what ``-p`` sends is never answered there.
"""

from __future__ import annotations

from desim.ports import POLLIN, Endpoint
from desim.userland.calls import sys
from desim.userland.files import normalise
from desim.userland.program import Part, Program
from desim.userland.programs.busybox import BANNER, Fatal, applet
from desim.userland.programs.getopt import GetoptError, getopt, whole
from desim.userland.programs.output import STDIN, STDOUT, Step, err
from desim.userland.programs.resolver import getaddrinfo
from desim.userland.uapi import (
    O_CREAT,
    O_TRUNC,
    O_WRONLY,
    SO_REUSEADDR,
)

SPEC = "gpl:r:b:"
USAGE = (
    BANNER
    + """
Usage: tftp [OPTIONS] HOST [PORT]

Transfer a file from/to tftp server

\t-l FILE\tLocal FILE
\t-r FILE\tRemote FILE
\t-g\tGet file
\t-p\tPut file
\t-b SIZE\tTransfer blocks in bytes
"""
)

PORT = 69
RRQ, WRQ, DATA, ACK, ERROR, OACK = 1, 2, 3, 4, 5, 6
BLKSIZE_DEFAULT = 512
BLKSIZE_MIN, BLKSIZE_MAX = 24, 65464
"""busybox's own limit below: RFC 2348 allows 8 bytes, and its buffers have no room for so few."""
TIMEOUT_MS = 100
MAXTIMEOUT_MS = 2000
NUM_RETRIES = 12
DISK_FULL, BAD_OPTION = 3, 8
MS = 1_000_000

ERRORS = (
    "",
    "file not found",
    "access violation",
    "disk full",
    "bad operation",
    "unknown transfer id",
    "file already exists",
    "no such user",
    "bad option",
)


class Options:
    """The command line."""

    def __init__(self, argv: list[str]) -> None:
        options, operands = getopt(argv, SPEC)
        values = dict(options)
        self.get = "g" in values
        remote, local = values.get("r"), values.get("l")
        if self.get == ("p" in values) or not 1 <= len(operands) <= 2:
            raise GetoptError("")
        if remote is None:
            remote = local
        if not remote:
            raise GetoptError("")
        self.remote = remote
        self.local = remote.rpartition("/")[2] if local is None else local
        self.blksize = blksize(values.get("b", str(BLKSIZE_DEFAULT)), BLKSIZE_MAX)
        self.host = operands[0]
        self.port = _port(operands[1]) if len(operands) > 1 else PORT


def blksize(text: str, most: int) -> int:
    """A block size up to ``most`` (``tftp_blksize_check``)."""
    size = whole(text, BLKSIZE_MIN, most)
    if size is None:
        raise Fatal(f"bad blocksize '{text}'")
    return size


def _port(text: str) -> int:
    port = whole(text, 1, 65535)
    if port is None:
        raise Fatal(f"bad port '{text}'")
    return port


def _options(argv: list[str]) -> Options | None:
    try:
        return Options(argv)
    except (GetoptError, Fatal):
        return None


def check(argv: list[str]) -> str | None:
    """Refuse local names outside of the run's own folder."""
    options = _options(argv)
    if options is not None and options.get and options.local not in ("-", ""):
        try:
            normalise(options.local)
        except ValueError as error:
            return f"tftp: {error}"
    return None


def reads(argv: list[str]) -> list[str]:
    """The file that ``-p`` sends."""
    options = _options(argv)
    sends = options is not None and not options.get and options.local != "-"
    return [options.local] if options is not None and sends else []


def tftp(argv: list[str]) -> Program:
    """``tftp_main``."""
    return applet("tftp", USAGE, _main(argv))


def _main(argv: list[str]) -> Program:
    options = Options(argv)
    try:
        address = yield from getaddrinfo(options.host)
    except OSError:
        raise Fatal(f"bad address '{options.host}'") from None
    return (yield from Transfer(options, (address, options.port)).run())


class Transfer:
    """One file (``tftp_protocol``)."""

    def __init__(self, options: Options, peer: Endpoint) -> None:
        self.options = options
        self.get = options.get
        self.blksize = options.blksize
        self.peer = peer
        self.connected = False
        self.fd = -1
        self.file = -1
        self.block_nr = 1 if self.get else 0
        """The DATA that is waited for, or the ACK."""
        self.first = True
        self.last = False
        """The last block has been sent or received."""

    def run(self) -> Program:
        """Transfer: 0, or 1 after a message."""
        size = 0 if self.get else (yield from self._open_input())
        self.fd = yield from sys.socket("udp")
        yield from sys.setsockopt(self.fd, SO_REUSEADDR, 1)
        try:
            yield from self._transfer(self._request(size))
        except Fatal:
            if self.get and self.file > STDOUT:
                yield from sys.unlink(self.options.local)
            raise
        return 0

    def _open_input(self) -> Part[int]:
        name = self.options.local
        if name == "-":
            self.file = STDIN
            return 0
        try:
            self.file = yield from sys.open(name)
            status = yield from sys.stat(name)
        except OSError as error:
            raise Fatal(f"can't open '{name}': {error.strerror}") from None
        return status.size

    def _request(self, size: int) -> bytes:
        options = self.options
        words = [options.remote, "octet"]
        if self.blksize != BLKSIZE_DEFAULT:
            words += ["blksize", str(self.blksize)]
        if self.get or options.local != "-":
            words += ["tsize", str(size)]
        body = "".join(f"{word}\0" for word in words)
        opcode = RRQ if self.get else WRQ
        return opcode.to_bytes(2, "big") + body.encode("utf-8", "surrogateescape")

    def _transfer(self, packet: bytes) -> Step:
        while True:
            answer = yield from self._exchange(packet)
            opcode, block = _words(answer)
            if opcode == ERROR:
                raise Fatal(f"server error: ({block}) {_message(answer, block)}")
            if self.first:
                self.first = False
                if opcode == OACK:
                    yield from self._take_options(answer)
                elif self.blksize != BLKSIZE_DEFAULT:
                    yield from err(f"tftp: falling back to blocksize {BLKSIZE_DEFAULT}\n")
                    self.blksize = BLKSIZE_DEFAULT
            if not self.get:
                if self.last:
                    return
                packet = yield from self._next_block()
                continue
            if opcode == DATA and block == self.block_nr:
                yield from self._store(answer[4:])
                self.block_nr = (block + 1) & 0xFFFF
            packet = _packet(ACK, 0 if opcode == OACK else block)
            if self.last:
                yield from self._send(packet)
                return

    def _exchange(self, packet: bytes) -> Part[bytes]:
        """Send ``packet`` until something answers it."""
        wait_ms = TIMEOUT_MS
        for _ in range(NUM_RETRIES):
            yield from self._send(packet)
            while True:
                found = yield from sys.poll([(self.fd, POLLIN)], wait_ms * MS)
                if not found[0][1]:
                    break
                answer = yield from self._receive()
                if self._is_answer(answer):
                    return answer
            wait_ms = min(wait_ms + wait_ms // 2, MAXTIMEOUT_MS)
        raise Fatal("timeout")

    def _send(self, packet: bytes) -> Step:
        try:
            yield from sys.sendto(self.fd, packet, self.peer)
        except OSError as error:
            raise Fatal(f"sendto: {error.strerror}") from None

    def _receive(self) -> Part[bytes]:
        size = self.blksize + 4
        try:
            if self.connected:
                data = yield from sys.read(self.fd, size)
            else:
                data, self.peer = yield from sys.recvfrom(self.fd, size)
                yield from sys.connect(self.fd, *self.peer)
                self.connected = True
        except OSError as error:
            raise Fatal(f"read: {error.strerror}") from None
        return data

    def _is_answer(self, answer: bytes) -> bool:
        if len(answer) < 4:
            return False
        opcode, block = _words(answer)
        if opcode == OACK:
            return self.first
        if self.get and opcode == DATA:
            return block in (self.block_nr, (self.block_nr - 1) & 0xFFFF)
        return opcode == ERROR or (not self.get and opcode == ACK and block == self.block_nr)

    def _take_options(self, answer: bytes) -> Step:
        """What an OACK says of the block size."""
        words = answer[2:].split(b"\0")
        given = {key.lower(): value for key, value in zip(words[::2], words[1::2], strict=False)}
        size = given.get(b"blksize")
        if size is None:
            return
        try:
            self.blksize = blksize(size.decode("ascii", "replace"), self.blksize)
        except Fatal:
            yield from self._send(_packet(ERROR, BAD_OPTION) + b"\0")
            raise

    def _store(self, data: bytes) -> Step:
        """Write one block of the local file."""
        if self.file < 0:
            self.file = yield from self._create()
        try:
            yield from sys.write(self.file, data)
        except OSError:
            yield from self._send(_packet(ERROR, DISK_FULL) + b"write error\0")
            raise Fatal("write error") from None
        self.last = len(data) < self.blksize

    def _create(self) -> Part[int]:
        name = self.options.local
        if name == "-":
            return STDOUT
        try:
            fd = yield from sys.open(name, O_WRONLY | O_CREAT | O_TRUNC)
        except OSError as error:
            raise Fatal(f"can't open '{name}': {error.strerror}") from None
        return fd

    def _next_block(self) -> Part[bytes]:
        """The next block of the local file, as a packet."""
        data = b""
        while len(data) < self.blksize:
            more = yield from sys.read(self.file, self.blksize - len(data))
            if not more:
                break
            data += more
        self.last = len(data) < self.blksize
        self.block_nr = (self.block_nr + 1) & 0xFFFF
        return _packet(DATA, self.block_nr) + data


def _packet(opcode: int, number: int) -> bytes:
    return opcode.to_bytes(2, "big") + number.to_bytes(2, "big")


def _words(packet: bytes) -> tuple[int, int]:
    return int.from_bytes(packet[:2], "big"), int.from_bytes(packet[2:4], "big")


def _message(answer: bytes, code: int) -> str:
    """The text of an ERROR, or the usual one for its code."""
    text = answer[4:].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return text or (ERRORS[code] if code < len(ERRORS) else "")
