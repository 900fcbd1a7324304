"""``sendfile``: a file's pages to a socket, without a copy (fs/read_write.c, fs/splice.c).

Theory of operation
-------------------
The call fills the task's own pipe, 16 pages at most, from the page cache
(``generic_file_splice_read``), and empties it into the other file. A socket is given one page
at a time (``sendpage``): with MSG_SENDPAGE_NOTLAST as long as another is in the pipe, and with
MSG_MORE if the pipe does not hold all that was asked for. So a program that asks for more than
the file has leaves MSG_MORE set to the end, and ``splice_eof`` (Linux 6.1.72 and later) sends
what is left. Other files are written to, a pipe's worth at a time.

A blocking socket makes the call wait inside a page. A non-blocking one ends it, with what has
been taken so far, or with EAGAIN. An error behind bytes that have been taken is lost: the call
says how many, as Linux does, though SIGPIPE comes all the same.

Not modelled: a datagram socket that is sent to (EOPNOTSUPP), a socket that is read (EINVAL), the
EINVAL of a file that is open for appending, the granularity of a pipe that is sent to, and
``splice``, ``tee`` and ``vmsplice`` themselves.
"""

from __future__ import annotations

import errno

from desim.userland.errors import failure
from desim.userland.files import PIPE_SIZE, File, OutputFile, PipeWriter, Socket
from desim.userland.pages import PAGE_SIZE, PagePiece
from desim.userland.process import Process
from desim.userland.processes import Processes
from desim.userland.uapi import MSG_MORE, MSG_SENDPAGE_NOTLAST

MAX_RW_COUNT = 0x7FFFF000
"""One call moves no more (include/linux/fs.h)."""
LLONG_MAX = (1 << 63) - 1
PIPE_PAGES = PIPE_SIZE // PAGE_SIZE
"""PIPE_DEF_BUFFERS."""


class Splices(Processes):
    """The call, for both kernels."""

    def sys_sendfile(
        self, process: Process, out_fd: int, in_fd: int, offset: int | None, count: int
    ) -> int:
        source = self.file(process, in_fd)
        if not source.readable:
            raise failure(errno.EBADF)
        if offset is not None and not source.seekable:
            raise failure(errno.ESPIPE)
        start = source.position if offset is None else offset
        if start < 0 or count < 0 or start + count > LLONG_MAX:
            raise failure(errno.EINVAL)
        out = self.file(process, out_fd)
        if not out.writable:
            raise failure(errno.EBADF)
        count = min(count, MAX_RW_COUNT)
        if isinstance(out, PipeWriter):
            done = self.wait_for(
                process, out, lambda: self._splice_file_to_pipe(source, out, start, count)
            )
        elif not source.seekable:
            raise failure(errno.EINVAL)
        else:
            done = self._splice_direct(process, source, out, start, count)
        if offset is None and done:
            source.position = start + done
        return done

    def _splice_file_to_pipe(self, source: File, out: PipeWriter, start: int, count: int) -> int:
        """What fits now; EAGAIN if nothing does."""
        self.meet()
        room = out.room()
        pieces = self.generic_file_splice_read(source, start, min(count, room))
        return out.write(b"".join(piece.data for piece in pieces))

    def _splice_direct(
        self, process: Process, source: File, out: File, start: int, count: int
    ) -> int:
        """``splice_direct_to_actor``. When it has slept it goes on with what is in the pipe."""
        pipe = process.splice_pipe
        try:
            while process.progress < count:
                left = count - process.progress
                if not pipe.pieces:
                    pipe.pieces = self.generic_file_splice_read(source, start + count - left, left)
                    if not pipe.pieces:
                        if process.progress and isinstance(out, Socket):
                            out.splice_eof()
                        break
                flags = MSG_MORE if len(pipe) < left else 0
                if isinstance(out, Socket):
                    self.splice_from_pipe(process, out, flags)
                else:
                    self._iter_file_splice_write(process, out)
        except BlockingIOError:
            if not out.nonblocking:
                raise self.block(process, (out,)) from None
            if not process.progress:
                raise
        except BrokenPipeError:
            if not (process.progress and process.ignores_sigpipe):
                raise
        except OSError:
            if not process.progress:
                raise
        return process.progress

    def generic_file_splice_read(self, source: File, start: int, size: int) -> list[PagePiece]:
        """The pages of ``size`` bytes of a file, of as many as a pipe takes; none at its end."""
        size = min(size, PIPE_SIZE)
        return source.splice_read(start, size)[:PIPE_PAGES]

    def splice_from_pipe(self, process: Process, out: Socket, flags: int) -> None:
        """Page by page, until the pipe is empty (``pipe_to_sendpage`` for each)."""
        pipe = process.splice_pipe
        while pipe.pieces:
            last = len(pipe.pieces) == 1
            out.resumed = process.progress > 0
            begun = pipe.copied
            if begun is None and not out.nonblocking:
                pipe.copied = 0  # from now on it may have to wait
            taken = out.sendpage(
                pipe.pieces[0], flags if last else flags | MSG_SENDPAGE_NOTLAST, begun
            )
            whole = taken == len(pipe.pieces[0].data)
            pipe.take(taken)
            process.progress += taken
            if whole:
                pipe.copied = None
            elif pipe.copied is not None:
                pipe.copied += taken

    def _iter_file_splice_write(self, process: Process, out: File) -> None:
        pipe = process.splice_pipe
        self.meet()
        if isinstance(out, OutputFile):
            out.modified_ns = self.now()
        taken = out.write(b"".join(piece.data for piece in pipe.pieces))
        pipe.take(taken)
        process.progress += taken
