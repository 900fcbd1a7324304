"""The ring buffers so_snd and so_rcv of a TCP socket (slirp/sbuf.c, slirp/socket.c).

The bytes are a bytearray. Where they would lie in the ring is kept as well: a
read or write that crosses the end of the ring takes two system calls.
"""

from __future__ import annotations


class Sbuf:
    """``sb_cc`` bytes of at most ``datalen``; ``rpos`` is where in the ring they begin."""

    __slots__ = ("data", "datalen", "rpos")

    def __init__(self) -> None:
        self.data = bytearray()
        self.datalen = 0
        self.rpos = 0

    @property
    def cc(self) -> int:
        """How many bytes wait (``sb_cc``)."""
        return len(self.data)

    def space(self) -> int:
        """Free bytes (``sbspace``)."""
        return self.datalen - len(self.data)

    def reserve(self, size: int) -> None:
        """A new, empty ring (``sbreserve``): what was in the old one is gone."""
        self.data.clear()
        self.datalen = size
        self.rpos = 0

    def append(self, data: bytes) -> None:
        """Add ``data`` as far as there is room (``sbappendsb``)."""
        self.data += data[: self.datalen - len(self.data)]

    def copy(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on, which stay in the buffer (``sbcopy``)."""
        return bytes(memoryview(self.data)[offset : offset + size])

    def drop(self, count: int) -> bool:
        """Remove ``count`` bytes in front; whether that took it below half full (``sbdrop``)."""
        before = len(self.data)
        count = min(count, before)
        del self.data[:count]
        if self.datalen:
            self.rpos = (self.rpos + count) % self.datalen
        limit = self.datalen // 2
        return before - count < limit <= before

    def readable(self) -> tuple[int, int]:
        """The bytes that wait: up to the end of the ring, and from its start on."""
        count = len(self.data)
        first = min(count, self.datalen - self.rpos)
        return first, count - first

    def writable(self, mss: int) -> tuple[int, int]:
        """The room to read into (``sopreprbuf``): whole segments, if there is room for one."""
        count = len(self.data)
        room = self.datalen - count
        if not room:
            return 0, 0
        wpos = (self.rpos + count) % self.datalen
        # Free bytes up to the end of the ring, unless the data itself wraps around.
        first = room if wpos < self.rpos else min(room, self.datalen - wpos)
        if room > mss:
            room -= room % mss
            first = min(first, room)
        return first, room - first
