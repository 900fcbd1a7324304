"""What every socket is made of: a queue to sleep on, errors, the calls of a program.

Operations never block. One that would raises ``BlockingIOError``; the program then
sleeps on ``sock.queue`` and tries again when woken. Errors are ``OSError`` with their
``errno``, so that ``ConnectionRefusedError`` and its like can be caught by name.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod

from desim.guest.context import Cpu
from desim.kernel.stages import stage
from desim.ports import Endpoint
from desim.userland.waitqueue import WaitQueue

SHUT_RD = 0
SHUT_WR = 1
SHUT_RDWR = 2

RCV_SHUTDOWN = 1
SEND_SHUTDOWN = 2

RMEM_DEFAULT = 212992
"""``net.core.rmem_default``: the receive buffer of datagram sockets."""


def error_of(number: int) -> OSError:
    """The exception of an error number."""
    return OSError(number, os.strerror(number))


def would_block() -> BlockingIOError:
    """The operation cannot go on now."""
    return BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


class Socket(ABC):
    """The part of a socket that does not depend on its protocol."""

    family = "inet"
    type = ""

    def __init__(self, cpu: Cpu, name: str) -> None:
        self._cpu = cpu
        self.queue = WaitQueue(name)
        self.sk_err = 0
        self.closed = False

    def _take_error(self) -> None:
        """``sock_error``: raise a pending error, once."""
        self._cpu.touch("lock_sock")
        number, self.sk_err = self.sk_err, 0
        if number:
            raise error_of(number)

    @stage("sock_def_readable", file="net/core/sock.c")
    def sock_def_readable(self) -> None:
        """Wake who waits for this socket."""
        self._cpu.wake_up(self.queue)

    @abstractmethod
    def poll_events(self) -> int:
        """What poll(2) would report now (POLLIN, POLLOUT, POLLERR, POLLHUP)."""

    @abstractmethod
    def close(self) -> None:
        """close(2)."""

    def getsockname(self) -> Endpoint:
        """Address and port of this end."""
        raise error_of(errno.EOPNOTSUPP)

    def getpeername(self) -> Endpoint:
        """Address and port of the other end."""
        raise error_of(errno.EOPNOTSUPP)
