"""Files: what a descriptor can stand for, on the host and in the guest.

A file never waits. Where a real one would, it raises ``BlockingIOError``, and the
kernel puts the process to sleep on the file's ``queue`` and tries again.

A name means what a program of the same side has written, else the user's file.
Who opens a file reads what it holds at that moment.

Not modelled: seeking, reading what is written after the opening, terminals
with a keyboard (nobody types), and the page granularity of a pipe's buffer: 64 KiB
are 64 KiB however they were written.
"""

from __future__ import annotations

import errno
import hashlib
from collections import deque
from collections.abc import Callable

from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, Endpoint
from desim.spool import Log, Spool
from desim.userland.errors import failure
from desim.userland.pages import PAGE_SIZE, PagePiece, Pages
from desim.userland.uapi import Message
from desim.userland.waitqueue import WaitQueue

PIPE_SIZE = 65536
PIPE_BUF = 4096
"""A write of up to this many bytes goes into a pipe in one piece."""

DEVICES = ("/dev/null", "/dev/random", "/dev/urandom", "/dev/zero")
"""What can be opened under /dev."""

MAX_NAME = 255
MAX_PATH = 4096
MAX_PARTS = 31
"""Folders below each other in a file's name, and itself: what can be written out after a run."""


class Quota:
    """How many bytes programs may leave behind; ENOSPC when it is used up."""

    __slots__ = ("left",)

    def __init__(self, limit: int) -> None:
        self.left = limit

    def take(self, size: int) -> None:
        """Account for ``size`` bytes more."""
        if size > self.left:
            raise failure(errno.ENOSPC)
        self.left -= size


class ByteQueue:
    """Bytes in the order in which they came; what comes out is copied at most once."""

    __slots__ = ("_chunks", "_offset", "size")

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._offset = 0
        self.size = 0

    def push(self, data: bytes) -> None:
        """Append ``data``."""
        if data:
            self._chunks.append(data)
            self.size += len(data)

    def pop(self, limit: int) -> bytes:
        """Take up to ``limit`` bytes off the front."""
        taken: list[bytes] = []
        wanted = min(limit, self.size)
        self.size -= wanted
        while wanted:
            chunk = self._chunks[0]
            end = self._offset + wanted
            if end < len(chunk):
                taken.append(chunk[self._offset : end])
                self._offset = end
                break
            taken.append(chunk[self._offset :] if self._offset else chunk)
            wanted -= len(chunk) - self._offset
            self._chunks.popleft()
            self._offset = 0
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def peek(self, limit: int) -> bytes:
        """Up to ``limit`` bytes off the front, which stay."""
        taken: list[bytes] = []
        wanted, offset = min(limit, self.size), self._offset
        for chunk in self._chunks:
            if not wanted:
                break
            taken.append(chunk[offset : offset + wanted])
            wanted -= len(taken[-1])
            offset = 0
        return b"".join(taken)

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._offset = self.size = 0


class File:
    """An open file. ``users`` counts the descriptors that stand for it."""

    __slots__ = ("nonblocking", "position", "queue", "resumed", "users")

    can_poll = False
    """Whether it can be waited for; what cannot is always ready."""
    readable = writable = True
    """FMODE_READ, FMODE_WRITE."""
    seekable = False
    """FMODE_LSEEK, FMODE_PREAD."""

    def __init__(self, name: str) -> None:
        self.queue = WaitQueue(name)
        self.users = 0
        self.position = 0
        self.nonblocking = False
        self.resumed = False
        """Whether the call that writes now had to wait behind its first bytes."""

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, b"" at the end."""
        raise failure(errno.EBADF)

    def write(self, data: bytes) -> int:
        """Take at least one byte of ``data``: how many."""
        raise failure(errno.EBADF)

    def keep_error(self, error: OSError) -> None:
        """A write that had taken bytes does not tell of ``error``: the next call will."""

    def splice_read(self, start: int, size: int) -> list[PagePiece]:
        """The pages in which ``size`` bytes from ``start`` on lie; EINVAL where there are none."""
        raise failure(errno.EINVAL)

    def poll_events(self) -> int:
        """What it is ready for now (POLLIN, POLLOUT ...)."""
        return POLLIN | POLLOUT

    def sources(self) -> list[File]:
        """Whose queues are woken when ``poll_events`` changes."""
        return [self]

    def inq(self) -> int:
        """Bytes that could be read now (FIONREAD); ENOTTY where that cannot be asked for."""
        raise failure(errno.ENOTTY)

    def begin_close(self) -> int:
        """A program closes the last descriptor: for how many ns that waits while ``closing``."""
        return 0

    def closing(self) -> bool:
        """Whether something has still to happen for which a close waits."""
        return False

    def close(self) -> None:
        """The last descriptor for it has been closed."""


class Socket(File):
    """A file with the calls of sockets. A call that a kind does not have is EOPNOTSUPP.

    ``rcvtimeo_ns`` is SO_RCVTIMEO: how long a receiving call waits; None for ever.
    """

    __slots__ = ("rcvtimeo_ns",)

    can_poll = True
    is_stream = False
    """Whether it carries bytes without borders."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.rcvtimeo_ns: int | None = None

    def setsockopt(self, option: str, value: int) -> None:
        """Set an option (``sys.setsockopt``); ENOPROTOOPT for an option that it does not know."""
        raise failure(errno.ENOPROTOOPT)

    def getsockopt(self, option: str) -> int:
        """What an option is; ENOPROTOOPT for an option that it does not know."""
        raise failure(errno.ENOPROTOOPT)

    def bind(self, address: bytes, port: int) -> None:
        """Take a local endpoint; port 0 any free one."""
        raise failure(errno.EOPNOTSUPP)

    def bind_device(self, device: str) -> None:
        """Bind a packet socket to an interface."""
        raise failure(errno.EOPNOTSUPP)

    def listen(self, backlog: int) -> None:
        """Accept connections from now on."""
        raise failure(errno.EOPNOTSUPP)

    def accept(self) -> tuple[Socket, Endpoint]:
        """The next connection and its client; EAGAIN without one."""
        raise failure(errno.EOPNOTSUPP)

    def connect(self, address: bytes, port: int) -> None:
        """Start to connect: done on return, EINPROGRESS if that takes longer."""
        raise failure(errno.EOPNOTSUPP)

    def connected(self) -> None:
        """How ``connect`` went: returns when it is done, EAGAIN while it is not, or its error."""
        raise failure(errno.EOPNOTSUPP)

    def take_error(self) -> OSError | None:
        """The pending error, which is forgotten by that (SO_ERROR)."""
        return None

    def peek(self, size: int) -> bytes:
        """As ``read``, and what is read stays (MSG_PEEK)."""
        raise failure(errno.EOPNOTSUPP)

    def peekfrom(self, size: int) -> tuple[bytes, Endpoint]:
        """As ``recvfrom``, and the datagram stays (MSG_PEEK)."""
        raise failure(errno.EOPNOTSUPP)

    def send(self, data: bytes, *, more: bool = False) -> int:
        """As ``write``; with ``more``, what fills no segment may wait (MSG_MORE)."""
        if more:
            raise failure(errno.EOPNOTSUPP)
        return self.write(data)

    def sendpage(self, piece: PagePiece, flags: int, copied: int | None) -> int:
        """Send a page of a file without copying it: how much was taken, at least one byte.

        ``flags`` are MSG_MORE and MSG_SENDPAGE_NOTLAST. ``copied`` is None at first, and what has
        been taken before if this is the same call again, which had to wait.
        """
        raise failure(errno.EOPNOTSUPP)

    def splice_eof(self) -> None:
        """The file whose pages were sent with MSG_MORE has ended."""

    def sendto(self, data: bytes, to: Endpoint) -> int:
        """Send a datagram."""
        raise failure(errno.EOPNOTSUPP)

    def recvfrom(self, size: int) -> tuple[bytes, Endpoint]:
        """The next datagram and its sender."""
        raise failure(errno.EOPNOTSUPP)

    def recvmsg(self, size: int) -> Message:
        """The next datagram with its sender and its time of arrival."""
        raise failure(errno.EOPNOTSUPP)

    def inq(self) -> int:
        """Bytes that could be read now."""
        raise failure(errno.EOPNOTSUPP)

    def outq(self) -> int:
        """Bytes written and not yet acknowledged."""
        raise failure(errno.EOPNOTSUPP)

    def tcp_info(self) -> dict[str, int]:
        """The state of a connection."""
        raise failure(errno.ENOPROTOOPT)

    def shutdown(self, *, read: bool = False, write: bool = False) -> None:
        """Close one direction or both."""
        raise failure(errno.EOPNOTSUPP)

    def getsockname(self) -> Endpoint:
        """The own endpoint."""
        raise failure(errno.EOPNOTSUPP)

    def getpeername(self) -> Endpoint:
        """The peer's endpoint."""
        raise failure(errno.EOPNOTSUPP)


class Null(File):
    """/dev/null."""

    __slots__ = ()

    seekable = True

    def __init__(self) -> None:
        super().__init__("/dev/null")

    def read(self, size: int) -> bytes:
        return b""

    def write(self, data: bytes) -> int:
        return len(data)


class Zero(Null):
    """/dev/zero."""

    __slots__ = ()

    def read(self, size: int) -> bytes:
        return bytes(size)


class RandomBytes(Null):
    """/dev/urandom and /dev/random: bytes that follow from ``key`` and nothing else."""

    __slots__ = ("_counter", "_held", "_key")

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key
        self._counter = 0
        self._held = b""

    def read(self, size: int) -> bytes:
        made = [self._held]
        missing = size - len(self._held)
        while missing > 0:
            block = hashlib.sha512(self._key + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
            made.append(block)
            missing -= len(block)
        data = b"".join(made)
        self._held = data[size:]
        return data[:size]


class Terminal(File):
    """What the user sees: every write with its time. Reading waits for ever."""

    __slots__ = ("_now", "_quota", "writes")

    can_poll = True

    def __init__(self, name: str, *, now: Callable[[], int], quota: Quota) -> None:
        super().__init__(name)
        self._now = now
        self._quota = quota
        self.writes: list[tuple[int, bytes]] = []

    def read(self, size: int) -> bytes:
        raise failure(errno.EAGAIN)

    def write(self, data: bytes) -> int:
        self._quota.take(len(data))
        self.writes.append((self._now(), data))
        return len(data)

    def poll_events(self) -> int:
        return POLLOUT

    def inq(self) -> int:
        return 0

    def output(self) -> bytes:
        """All that was written so far."""
        return b"".join(data for _, data in self.writes)


class InputFile(File):
    """A file that is only read (``< FILE``): what ``log`` holds when it is opened."""

    __slots__ = ("_cache", "_log", "_size")

    writable = False
    seekable = True

    def __init__(self, name: str, log: Log) -> None:
        super().__init__(name)
        self._log = log
        self._size = log.size
        self._cache: dict[int, Pages] = {}
        """The pages of the page cache that somebody has asked for, by number."""

    def read(self, size: int) -> bytes:
        data = self._log.read(self.position, min(size, self._size - self.position))
        self.position += len(data)
        return data

    def splice_read(self, start: int, size: int) -> list[PagePiece]:
        end = min(start + size, self._size)
        pieces = []
        while start < end:
            number, offset = divmod(start, PAGE_SIZE)
            data = self._log.read(start, min(end, (number + 1) * PAGE_SIZE) - start)
            pages = self._cache.get(number)
            if pages is None:
                pages = self._cache[number] = Pages()
            pieces.append(PagePiece(data, pages, offset))
            start += len(data)
        return pieces

    def inq(self) -> int:
        return self._size - self.position


class OutputFile(File):
    """A file that programs write (``> FILE``); ``log`` is what they have written so far."""

    __slots__ = ("_quota", "_spool", "log", "modified_ns")

    readable = False
    seekable = True

    def __init__(self, name: str, quota: Quota, spool: Spool) -> None:
        super().__init__(name)
        self._quota = quota
        self._spool = spool
        self.modified_ns = 0
        self.log = Log(spool)

    def write(self, data: bytes) -> int:
        self._quota.take(len(data))
        self.log.append(data)
        return len(data)

    def content(self) -> bytes:
        """All that was written so far, at once."""
        return self.log.whole()

    def truncate(self) -> None:
        """Forget everything (``> FILE`` on a file that exists); who has it open still reads it."""
        self._quota.left += self.log.size
        self.log = Log(self._spool)


class VirtualTree:
    """The files that the programs of one side have written, by normalised name.

    Nothing leaves it here: whoever maps it to a folder finds only names that are
    relative, without ``..``, and with components of at most 255 bytes.
    """

    def __init__(self, quota: Quota, spool: Spool | None = None) -> None:
        """``spool``: where their content lies; None: one of their own."""
        self.files: dict[str, OutputFile] = {}
        self._quota = quota
        self._spool = spool or Spool()

    def open(self, name: str, *, append: bool = False) -> OutputFile:
        """Open ``name`` for writing; ValueError for a name that is not allowed."""
        path = normalise(name)
        file = self.files.get(path)
        if file is None:
            parents = [path[:at] for at, letter in enumerate(path) if letter == "/"]
            if any(parent in self.files for parent in parents):
                raise failure(errno.ENOTDIR)
            if any(other.startswith(path + "/") for other in self.files):
                raise failure(errno.EISDIR)
            file = self.files[path] = OutputFile(path, self._quota, self._spool)
        elif not append:
            file.truncate()
        return file

    def remove(self, name: str) -> None:
        """Forget what was written there; ENOENT if nothing was."""
        file = self.files.pop(plain(name), None)
        if file is None:
            raise failure(errno.ENOENT)
        file.truncate()


def normalise(name: str) -> str:
    """``name`` inside a tree: without ``.`` and double slashes. ValueError if it may lead out."""
    if not name or "\0" in name:
        raise ValueError(f"{name!r} is not a file name")
    if name.startswith("/"):
        raise ValueError(f"{name!r} is absolute; files are written below the run's own folder")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{name!r} leads out of the run's own folder (..)")
    if not parts or name.endswith("/"):
        raise ValueError(f"{name!r} is a folder; expected the name of a file")
    path = "/".join(parts)
    if len(parts) > MAX_PARTS:
        raise ValueError(
            f"{name[:40]!r}... is in {len(parts) - 1} folders; at most {MAX_PARTS - 1}"
        )
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise ValueError(f"{name!r} is not valid Unicode") from None
    if max(sizes) > MAX_NAME or len(path.encode()) > MAX_PATH:
        raise ValueError(
            f"{name[:40]!r}... is too long; a component has at most {MAX_NAME} bytes, "
            f"a name {MAX_PATH}"
        )
    return path


def plain(name: str) -> str:
    """``name`` without ``.`` and double slashes, as an opening would find it; "" for a root."""
    path = "/".join(part for part in name.split("/") if part not in ("", "."))
    return "/" + path if name.startswith("/") and path else path


class Pipe:
    """A pipe between two programs: ``reader`` and ``writer`` are its two ends."""

    __slots__ = ("buffer", "queue", "reader", "wake_up", "writer")

    def __init__(self, wake_up: Callable[[WaitQueue], None]) -> None:
        self.wake_up = wake_up
        self.buffer = ByteQueue()
        self.queue = WaitQueue("pipe")
        self.reader: PipeReader | None = PipeReader(self)
        self.writer: PipeWriter | None = PipeWriter(self)


class PipeReader(File):
    """The end that is read."""

    __slots__ = ("_pipe",)

    can_poll = True
    writable = False

    def __init__(self, pipe: Pipe) -> None:
        super().__init__("pipe")
        self.queue = pipe.queue
        self._pipe = pipe

    def read(self, size: int) -> bytes:
        pipe = self._pipe
        if not pipe.buffer.size:
            if pipe.writer is None:
                return b""
            raise failure(errno.EAGAIN)
        data = pipe.buffer.pop(size)
        pipe.wake_up(pipe.queue)
        return data

    def poll_events(self) -> int:
        pipe = self._pipe
        return (POLLIN if pipe.buffer.size else 0) | (POLLHUP if pipe.writer is None else 0)

    def inq(self) -> int:
        return self._pipe.buffer.size

    def close(self) -> None:
        self._pipe.reader = None
        self._pipe.wake_up(self._pipe.queue)


class PipeWriter(File):
    """The end that is written."""

    __slots__ = ("_pipe",)

    can_poll = True
    readable = False

    def __init__(self, pipe: Pipe) -> None:
        super().__init__("pipe")
        self.queue = pipe.queue
        self._pipe = pipe

    def write(self, data: bytes) -> int:
        pipe = self._pipe
        if pipe.reader is None:
            raise failure(errno.EPIPE)
        if not data:
            return 0
        room = self.room()
        if room < len(data) <= PIPE_BUF:
            raise failure(errno.EAGAIN)
        pipe.buffer.push(data[:room])
        pipe.wake_up(pipe.queue)
        return min(room, len(data))

    def room(self) -> int:
        """Bytes that it takes now; EAGAIN if none, EPIPE if nobody reads."""
        pipe = self._pipe
        if pipe.reader is None:
            raise failure(errno.EPIPE)
        if pipe.buffer.size == PIPE_SIZE:
            raise failure(errno.EAGAIN)
        return PIPE_SIZE - pipe.buffer.size

    def poll_events(self) -> int:
        pipe = self._pipe
        room = PIPE_SIZE - pipe.buffer.size
        return (POLLOUT if room >= PIPE_BUF else 0) | (POLLERR if pipe.reader is None else 0)

    def inq(self) -> int:
        return self._pipe.buffer.size

    def close(self) -> None:
        self._pipe.writer = None
        self._pipe.wake_up(self._pipe.queue)
