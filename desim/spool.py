"""What grows with a run: kept in memory up to a bound, beyond it in a temporary file.

Theory of operation
-------------------
Records, captures and the files of programs are *logs*: bytes that are appended, read in pieces
or somewhere in the middle, and now and then cut short. The logs of one run share a *spool*. A
log hands each full block of its bytes to the spool, which keeps ``bound`` bytes of blocks in
memory and the others in a file. What a log gives back is used again.

The file has no name, so it ends with the process, however that ends. It lies in the system's
temporary folder (TMPDIR). It is read and written at places, so that a process that was forked
off and reads what there was before disturbs nobody.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NoReturn, SupportsIndex, TypeVar, overload

from desim.errors import UserError

BOUND = 16 << 20
"""How many bytes of a run's blocks stay in memory."""
BLOCK = 1 << 16
"""Bytes of a block: a multiple of 8, so that no number lies in two."""

BATCH = 1024
"""How many values make a batch, at least."""

Kept = bytes | int
"""A block: in memory, or at this place in the file."""


class Spool:
    """Keeps the blocks of all logs of one run.

    Raises ``UserError`` when the temporary folder cannot take more.
    """

    __slots__ = ("__weakref__", "_end", "_fd", "_free", "_owner", "block", "room")

    def __init__(self, bound: int | None = None) -> None:
        """``bound``: how many bytes stay in memory; None: ``BOUND``."""
        self.block = BLOCK
        self.room = BOUND if bound is None else bound
        """Bytes of blocks that memory may still take."""
        self._fd: int | None = None
        self._owner = 0
        self._end = 0
        self._free: list[int] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Spool, ()  # what lies in it is pickled with the logs

    @property
    def in_file(self) -> bool:
        """Whether there is a temporary file."""
        return self._fd is not None

    def keep(self, block: bytes) -> Kept:
        """Take a full block; what comes back stands for it."""
        if self.room >= self.block:
            self.room -= self.block
            return block
        fd = self._open() if self._fd is None else self._fd
        assert os.getpid() == self._owner, "two processes write to one temporary file"
        if self._free:
            place = self._free.pop()
        else:
            place = self._end
            self._end += self.block
        left, at = memoryview(block), place
        try:
            while left:
                written = os.pwrite(fd, left, at)
                left, at = left[written:], at + written
        except OSError as error:
            _full(error)
        return place

    def read(self, kept: Kept, first: int, last: int) -> bytes:
        """The bytes from ``first`` up to ``last`` of a block."""
        if isinstance(kept, bytes):
            return kept[first:last]
        assert self._fd is not None
        return os.pread(self._fd, last - first, kept + first)

    def give_back(self, kept: Kept) -> None:
        """A block that nobody wants any more."""
        if isinstance(kept, bytes):
            self.room += self.block
        else:
            self._free.append(kept)

    def _open(self) -> int:
        import tempfile  # costs every start what only long runs need
        import weakref

        try:
            with tempfile.TemporaryFile(prefix="desim-") as file:
                self._fd = os.dup(file.fileno())
        except OSError as error:
            _full(error)
        self._owner = os.getpid()
        weakref.finalize(self, os.close, self._fd)
        return self._fd


def _full(error: OSError) -> NoReturn:
    import tempfile

    try:
        folder = tempfile.gettempdir()
    except OSError:
        folder = "no temporary folder"
    raise UserError(
        f"{folder}: {error.strerror}; a run keeps there what it does not keep in memory: "
        "make room, or name another folder in TMPDIR"
    ) from None


class Log:
    """Bytes in the order in which they were appended; ``size`` of them."""

    __slots__ = ("_at_hand", "_blocks", "_number", "_spool", "_tail", "size")

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._blocks: list[Kept] = []
        self._tail = bytearray()
        self._number = -1
        self._at_hand = b""
        """The block of that number, at which ``unpack`` looked last."""
        self.size = 0

    @classmethod
    def of(cls, data: bytes | Log) -> Log:
        """One that holds ``data``, in memory; ``data`` itself if it is one."""
        if isinstance(data, Log):
            return data
        log = cls(Spool(len(data)))
        log.append(data)
        return log

    def __del__(self) -> None:
        for kept in self._blocks:
            self._spool.give_back(kept)

    def __reduce__(self) -> tuple[Any, ...]:
        return Log.of, (self.whole(),)

    def append(self, data: bytes | array[int]) -> None:
        """Append bytes, or numbers as they lie in memory."""
        tail = self._tail
        before = len(tail)
        tail += data  # of an array: its bytes
        after = len(tail)
        self.size += after - before
        size = self._spool.block
        if after >= size:
            whole = after - after % size
            for first in range(0, whole, size):
                self._blocks.append(self._spool.keep(bytes(tail[first : first + size])))
            del tail[:whole]

    def read(self, at: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``at`` on, fewer at the end."""
        end = min(at + size, self.size)
        if at >= end:
            return b""
        block = self._spool.block
        full = len(self._blocks) * block
        if at >= full:
            return bytes(self._tail[at - full : end - full])
        number, first = divmod(at, block)
        if end <= (number + 1) * block:
            return self._spool.read(self._blocks[number], first, end - number * block)
        return b"".join(self.pieces(at, end))

    def __repr__(self) -> str:
        return f"<Log of {self.size} bytes>"

    def __deepcopy__(self, memo: object) -> Log:
        """Copies of what holds logs, as configurations do, share them."""
        return self

    def __eq__(self, other: object) -> bool:
        return self.difference(other) is None if isinstance(other, Log) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it grows

    def difference(self, other: Log) -> int | None:
        """The first byte at which two logs differ; None if they hold the same."""
        at = 0
        for piece in self.pieces():
            others = other.read(at, len(piece))
            if piece != others:
                pairs = enumerate(zip(piece, others, strict=False))
                return at + next((n for n, (a, b) in pairs if a != b), len(others))
            at += len(piece)
        return None if at == other.size else at

    def pieces(self, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from ``begin`` up to ``end``, or all that are there now, block by block."""
        end = self.size if end is None else min(end, self.size)
        block = self._spool.block
        while begin < end:
            size = min(end - begin, block - begin % block)
            yield self.read(begin, size)
            begin += size

    def unpack(self, of: struct.Struct, at: int) -> tuple[Any, ...]:
        """What ``of`` finds at ``at``; it must not lie in two blocks."""
        block = self._spool.block
        full = len(self._blocks) * block
        if at >= full:
            return of.unpack_from(self._tail, at - full)
        number, offset = divmod(at, block)
        if number != self._number:
            self._number = number
            self._at_hand = self._spool.read(self._blocks[number], 0, block)
        return of.unpack_from(self._at_hand, offset)

    def sha256(self) -> str:
        """Its hash, in hexadecimal."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    def whole(self) -> bytes:
        """All bytes at once."""
        return b"".join(self.pieces())

    def cut(self, size: int) -> None:
        """Forget everything behind the first ``size`` bytes."""
        if size >= self.size:
            return
        block = self._spool.block
        number = size // block
        if number < len(self._blocks):
            self._tail = bytearray(self.read(number * block, size - number * block))
            self._number = -1
            for kept in self._blocks[number:]:
                self._spool.give_back(kept)
            del self._blocks[number:]
        else:
            del self._tail[size - number * block :]
        self.size = size


class Column(Sequence[int]):
    """Whole numbers of one size (``typecode`` as in ``array``), one behind the other in a log.

    It grows at its end, or is cut there. To go through it takes memory for one block.
    """

    __slots__ = ("_log", "_one", "_size", "typecode")

    def __init__(self, spool: Spool, typecode: str) -> None:
        self.typecode = typecode
        self._log = Log(spool)
        self._one = struct.Struct(f"={typecode}")
        self._size = self._one.size

    def __reduce__(self) -> tuple[Any, ...]:
        return _column, (self.typecode, self._log)

    def extend(self, values: Iterable[int]) -> None:
        """Append numbers."""
        self._log.append(array(self.typecode, values))

    def append(self, numbers: bytes | array[int]) -> None:
        """Append numbers as they lie in memory."""
        self._log.append(numbers)

    def cut(self, length: int) -> None:
        """Forget all but the first ``length`` numbers."""
        self._log.cut(length * self._size)

    def chunks(self, begin: int = 0) -> Iterator[array[int]]:
        """The numbers from ``begin`` on, an array at a time."""
        for piece in self._log.pieces(begin * self._size):
            yield array(self.typecode, piece)

    def __len__(self) -> int:
        return self._log.size // self._size

    def since(self, begin: int) -> Iterator[int]:
        """The numbers from ``begin`` on."""
        return chain.from_iterable(self.chunks(begin))

    def __iter__(self) -> Iterator[int]:
        return self.since(0)

    def count(self, value: int) -> int:
        """How many of the numbers are ``value``."""
        return sum(1 for _ in self.places(value))

    def places(self, value: int) -> Iterator[int]:
        """Where ``value`` stands, one place behind the other."""
        # NOTE: sought among the bytes, where comparing the numbers takes fifty times as long.
        sought, size, before = self._one.pack(value), self._size, 0
        for piece in self._log.pieces():
            at = piece.find(sought)
            while at >= 0:
                if not at % size:
                    yield (before + at) // size
                at = piece.find(sought, at + 1)
            before += len(piece)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> array[int]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> int | array[int]:
        """One number, or those of a slice (without a step) as an array."""
        if isinstance(index, slice):
            begin, end, step = index.indices(len(self))
            assert step == 1, "a column is read in its order"
            size = max(0, end - begin) * self._size
            return array(self.typecode, self._log.read(begin * self._size, size))
        place = _place(index, len(self))
        return int(self._log.unpack(self._one, place * self._size)[0])


def _column(typecode: str, log: Log) -> Column:
    """The column whose numbers lie in ``log``."""
    column = Column(Spool(0), typecode)
    column._log = log
    return column


T = TypeVar("T")


class Batches(Sequence[T]):
    """Values in the order in which they were appended, put away many at a time.

    It grows at its end, or is cut there. To go through it takes memory for one batch. What is
    appended consists of built-in types, or ``_put_away`` makes it so; what is read are ``_shown``
    values.
    """

    __slots__ = ("_at_hand", "_batches", "_log", "_number", "_room", "_size", "_tail")

    def __init__(self, spool: Spool, size: int | None = None) -> None:
        """``size``: how many values make a batch, at least; None: ``BATCH``."""
        self._size = self._room = BATCH if size is None else size
        self._log = Log(spool)
        self._batches: list[tuple[int, int]] = []
        """For each batch: how many values, and how many bytes of the log, come before its end."""
        self._tail: list[Any] = []
        self._number = -1
        self._at_hand: list[T] = []
        """The values of the batch of that number, from which one was taken last."""

    def append(self, value: Any) -> None:
        """Append a value."""
        self._tail.append(value)
        self._room -= 1
        if not self._room:
            self._end_batch()

    def extend(self, values: Collection[Any]) -> None:
        """Append values."""
        self._tail += values
        self._room -= len(values)
        if self._room <= 0:
            self._end_batch()

    def cut(self, length: int) -> None:
        """Forget all but the first ``length`` values."""
        while self._batches and length < self._before(len(self._batches))[0]:
            self._tail = self._load(len(self._batches) - 1)
            self._batches.pop()
            self._log.cut(self._before(len(self._batches))[1])
        del self._tail[max(0, length - self._before(len(self._batches))[0]) :]
        self._room = max(1, self._size - len(self._tail))
        self._number = -1

    def _put_away(self, values: list[Any]) -> Any:
        """What stands for appended values, of nothing but built-in types."""
        return values

    def _taken_out(self, away: Any) -> list[Any]:
        """The appended values for which ``away`` stands."""
        values: list[Any] = away
        return values

    def _shown(self, values: list[Any]) -> list[T]:
        """Appended values as they are read."""
        return values

    def _end_batch(self) -> None:
        length = len(self)
        self._log.append(marshal.dumps(self._put_away(self._tail)))
        self._batches.append((length, self._log.size))
        self._tail = []
        self._room = self._size

    def _before(self, number: int) -> tuple[int, int]:
        """How many values and bytes come before a batch."""
        return self._batches[number - 1] if number else (0, 0)

    def _load(self, number: int) -> list[Any]:
        """The appended values of a batch."""
        if number == len(self._batches):
            return self._tail
        first, last = self._before(number)[1], self._batches[number][1]
        return self._taken_out(marshal.loads(self._log.read(first, last - first)))

    def __len__(self) -> int:
        return self._before(len(self._batches))[0] + len(self._tail)

    def __iter__(self) -> Iterator[T]:
        for number in range(len(self._batches) + 1):
            yield from self._shown(self._load(number))

    def appended(self) -> Iterator[Any]:
        """The values as they were appended."""
        for number in range(len(self._batches) + 1):
            yield from self._load(number)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> T: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[T]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> T | list[T]:
        """One value, or those of a slice."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = _place(index, len(self))
        number = bisect_right(self._batches, place, key=lambda batch: batch[0])
        place -= self._before(number)[0]
        if number == len(self._batches):
            return self._shown(self._tail[place : place + 1])[0]
        if number != self._number:
            self._number, self._at_hand = number, self._shown(self._load(number))
        return self._at_hand[place]


def _place(index: SupportsIndex, length: int) -> int:
    """Where in a sequence of ``length`` an index points, which may be counted from its end."""
    place = index.__index__()
    if place < 0:
        place += length
    if not 0 <= place < length:
        raise IndexError(f"index {index} of a sequence of {length}")
    return place


class Blobs(Mapping[str, bytes]):
    """Logs by name, seen as their bytes: those of one are put together when they are asked for."""

    __slots__ = ("logs",)

    def __init__(self, logs: Mapping[str, Log]) -> None:
        self.logs = logs

    def __getitem__(self, name: str) -> bytes:
        return self.logs[name].whole()

    def __iter__(self) -> Iterator[str]:
        return iter(self.logs)

    def __len__(self) -> int:
        return len(self.logs)

    def __repr__(self) -> str:
        return f"Blobs({dict(self.logs)!r})"
