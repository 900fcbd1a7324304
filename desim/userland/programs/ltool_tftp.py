"""``ltool tftp HOST FILE BLKSIZE MAXBLOCKS``: read a file by TFTP, one block at a time.

A read request with the option ``blksize`` (RFC 2348), none for the 512 bytes that need no
option; then one acknowledgement for each answer, until a block is shorter than BLKSIZE
or MAXBLOCKS answers have come (an OACK counts as one). It believes that it got the block
size it asked for: slirp grants at most 1428, so a larger one ends with the first block.
After MAXBLOCKS the last acknowledgement is sent, too, and its answer is left.

Order of calls, from the kernel trace ``tftp_e1000fn``: clock, ``sendto``, ``recvfrom`` with
SO_RCVTIMEO (no poll before it), clock. ``rtt_ns`` is from before the send to after the
receive.

Assumed: the timeout of one second, after which it gives up with ``err`` 11 (EAGAIN); a
TFTP error ends it with ``err`` 5.
"""

from __future__ import annotations

import errno

from desim.stages import GUEST, mark, stages
from desim.userland.calls import sys
from desim.userland.program import Part
from desim.userland.programs.ltool_common import BUFFER, Result, mbit_s, number
from desim.userland.uapi import SO_RCVTIMEO
from desim.wire.addresses import IP_ANY

PORT = 69
DEFAULT_BLKSIZE = 512
MAX_BLKSIZE = 65464
TIMEOUT_NS = 1_000_000_000

OP_RRQ, OP_DATA, OP_ACK, OP_OACK = 1, 3, 4, 6


class Tftp:
    """The tool's own code between the system calls."""

    STAGES = stages(
        GUEST,
        tftp_request=mark("tftp_request", file="ltool.c"),
        tftp_answer=mark("tftp_answer", file="ltool.c"),
    )

    def tftp_request(self, name: str, blksize: int) -> bytes:
        """RRQ, with the block size if it needs saying."""
        words = [name, "octet"]
        if blksize != DEFAULT_BLKSIZE:
            words += ["blksize", str(blksize)]
        return OP_RRQ.to_bytes(2, "big") + b"".join(w.encode() + b"\0" for w in words)

    def tftp_answer(self, data: bytes) -> tuple[int, int]:
        """The block that an answer is about, -1 for none, and how much it holds.

        An OACK is block 0 and holds -1 bytes: it never ends the file.
        """
        opcode = int.from_bytes(data[:2], "big")
        if opcode == OP_OACK:
            return 0, -1
        if opcode == OP_DATA and len(data) >= 4:
            return int.from_bytes(data[2:4], "big"), len(data) - 4
        return -1, 0


def tftp(argv: list[str]) -> Part[Result]:
    """Fetch, and print how long each block took."""
    blksize = number(argv[2], "BLKSIZE", low=8, high=MAX_BLKSIZE)
    most = number(argv[3], "MAXBLOCKS", low=1, high=10_000_000)
    to = (yield from sys.resolve(argv[0])), PORT
    code = yield from sys.load(Tftp)
    fd = yield from sys.socket("udp")
    yield from sys.setsockopt(fd, SO_RCVTIMEO, TIMEOUT_NS)
    yield from sys.bind(fd, IP_ANY, 0)
    message = code.tftp_request(argv[1], blksize)
    rtt_ns: list[int] = []
    size = error = 0
    t0 = yield from sys.clock_gettime()
    while len(rtt_ns) < most:
        sent = yield from sys.clock_gettime()
        yield from sys.sendto(fd, message, to)
        try:
            data, peer = yield from sys.recvfrom(fd, BUFFER)
        except BlockingIOError:
            error = errno.EAGAIN
            break
        now = yield from sys.clock_gettime()
        block, length = code.tftp_answer(data)
        if block < 0:
            error = errno.EIO
            break
        rtt_ns.append(now - sent)
        to = peer
        message = OP_ACK.to_bytes(2, "big") + block.to_bytes(2, "big")
        size += max(length, 0)
        if 0 <= length < blksize:
            break
    if rtt_ns and not error:
        yield from sys.sendto(fd, message, to)
    elapsed_ns = (yield from sys.clock_gettime()) - t0
    return {
        "test": "tftp",
        "blksize": blksize,
        "bytes": size,
        "blocks": len(rtt_ns),
        "err": error,
        "t0": t0,
        "elapsed_ns": elapsed_ns,
        "mbit_s": mbit_s(size, elapsed_ns),
        "rtt_ns": rtt_ns,
    }
