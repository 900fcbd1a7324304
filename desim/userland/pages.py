"""Pages of memory, and the pipe of pages by which ``sendfile`` hands a file's to a socket.

A file's pages are those of the page cache: a socket that sends them holds on to them and
copies nothing.
"""

from __future__ import annotations

from desim.data import NamedTuple

PAGE_SIZE = 4096


class Pages:
    """A block of pages, and how many packets (and tasks or files that fill it) hold on to it."""

    __slots__ = ("users",)

    def __init__(self) -> None:
        self.users = 1


class PagePiece(NamedTuple):
    """A slot of a pipe: ``data`` lies in ``pages`` from byte ``offset`` on."""

    data: bytes
    pages: Pages
    offset: int


class SplicePipe:
    """The pipe inside a task (``current->splice_pipe``), which is empty between two calls.

    ``copied`` belongs to the first piece's ``sendpage``: how much that has taken before it had
    to wait; None if it has not begun.
    """

    __slots__ = ("copied", "pieces")

    def __init__(self) -> None:
        self.pieces: list[PagePiece] = []
        self.copied: int | None = None

    def __len__(self) -> int:
        """Bytes."""
        return sum(len(piece.data) for piece in self.pieces)

    def take(self, size: int) -> None:
        """Drop the first ``size`` bytes."""
        while size:
            data, pages, offset = self.pieces[0]
            if size < len(data):
                self.pieces[0] = PagePiece(data[size:], pages, offset + size)
                return
            size -= len(data)
            del self.pieces[0]

    def clear(self) -> None:
        """Give back what has not been taken."""
        self.pieces.clear()
        self.copied = None
