"""What every socket is made of: a queue to sleep on, errors, the calls of a program.

Operations never block. One that would raises ``BlockingIOError``; the program then
sleeps on ``sock.queue`` and tries again when woken. Errors are ``OSError`` with their
``errno``, so that ``ConnectionRefusedError`` and its like can be caught by name.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from desim.guest.cpu.context import Cpu
from desim.guest.net.free import SkbFree
from desim.guest.skb import Skb, truesize_of
from desim.ports import Endpoint
from desim.stages import GUEST, mark, stages
from desim.userland.errors import failure
from desim.userland.uapi import (
    SO_BROADCAST,
    SO_RCVBUF,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SO_TIMESTAMP,
    Message,
)
from desim.userland.waitqueue import WaitQueue

RCV_SHUTDOWN = 1
SEND_SHUTDOWN = 2

RMEM_DEFAULT = 212992
"""``net.core.rmem_default``: the receive buffer of datagram sockets."""
RMEM_MAX = 212992
"""``net.core.rmem_max``: SO_RCVBUF takes no more, and doubles it."""
WMEM_MAX = 212992
"""``net.core.wmem_max``."""
SOCK_MIN_RCVBUF = 2304
SOCK_MIN_SNDBUF = 2 * SOCK_MIN_RCVBUF


error_of = failure
"""The exception of an error number."""


def rcvbuf_of(size: int) -> int:
    """The receive buffer for SO_RCVBUF with ``size`` (``sock_setsockopt``), which has no sign."""
    return max(min(size & 0xFFFFFFFF, RMEM_MAX) * 2, SOCK_MIN_RCVBUF)


def sndbuf_of(size: int) -> int:
    """The same for SO_SNDBUF."""
    return max(min(size & 0xFFFFFFFF, WMEM_MAX) * 2, SOCK_MIN_SNDBUF)


def would_block() -> OSError:
    """The operation cannot go on now."""
    return failure(errno.EAGAIN)


class Socket(ABC):
    """The part of a socket that does not depend on its protocol.

    A call that a protocol does not have is EOPNOTSUPP (``sock_no_bind`` and its like).
    """

    STAGES = stages(
        GUEST,
        sock_def_readable=mark("sock_def_readable", file="net/core/sock.c"),
    )

    family = "inet"
    type = ""

    def __init__(self, cpu: Cpu, name: str) -> None:
        self._cpu = cpu
        self.queue = WaitQueue(name)
        self.sk_err = 0
        self.closed = False
        self._flags: dict[str, int] = {}
        """Options that are on or off, and that nothing here asks for."""

    def _take_error(self) -> None:
        """``sock_error``: raise a pending error, once."""
        self._cpu.touch("lock_sock")
        number, self.sk_err = self.sk_err, 0
        if number:
            raise error_of(number)

    def sock_def_readable(self) -> None:
        """Wake who waits for this socket."""
        self._cpu.wake_up(self.queue)

    @abstractmethod
    def poll_events(self) -> int:
        """What poll(2) would report now (POLLIN, POLLOUT, POLLERR, POLLHUP)."""

    @abstractmethod
    def close(self) -> None:
        """close(2)."""

    def take_error(self) -> int:
        """SO_ERROR: the pending error number, cleared; 0 without."""
        self._cpu.touch("lock_sock")
        number, self.sk_err = self.sk_err, 0
        return number

    def setsockopt(self, option: str, value: int) -> None:
        """setsockopt(2); ENOPROTOOPT for an option that it does not have."""
        if option not in (SO_REUSEADDR, SO_REUSEPORT, SO_BROADCAST):
            raise error_of(errno.ENOPROTOOPT)
        self._flags[option] = int(bool(value))

    def getsockopt(self, option: str) -> int:
        """getsockopt(2); ENOPROTOOPT for an option that it does not have."""
        if option not in (SO_REUSEADDR, SO_REUSEPORT, SO_BROADCAST):
            raise error_of(errno.ENOPROTOOPT)
        return self._flags.get(option, 0)

    def bind(self, address: bytes, port: int) -> None:
        """bind(2); port 0 takes a free one."""
        raise error_of(errno.EOPNOTSUPP)

    def bind_device(self, name: str) -> None:
        """bind(2) of a packet socket to an interface; ENODEV for an unknown one."""
        raise error_of(errno.EOPNOTSUPP)

    def listen(self, backlog: int) -> None:
        """listen(2)."""
        raise error_of(errno.EOPNOTSUPP)

    def connect(self, address: bytes, port: int) -> None:
        """connect(2): EINPROGRESS if that takes longer."""
        raise error_of(errno.EOPNOTSUPP)

    def finish_connect(self) -> None:
        """How ``connect`` goes on: EAGAIN or EINPROGRESS while it is under way."""
        raise error_of(errno.EOPNOTSUPP)

    def send(self, data: bytes) -> int:
        """To the peer: how much was taken."""
        raise error_of(errno.EDESTADDRREQ)

    @abstractmethod
    def sendto(self, data: bytes, to: Endpoint) -> int:
        """One datagram to ``to``."""

    @abstractmethod
    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes."""

    def peek(self, size: int) -> bytes:
        """As ``recv``, and what is read stays."""
        raise error_of(errno.EOPNOTSUPP)

    def peekfrom(self, size: int) -> tuple[bytes, Endpoint]:
        """As ``recvfrom``, and what is read stays."""
        raise error_of(errno.EOPNOTSUPP)

    @abstractmethod
    def recvfrom(self, size: int) -> tuple[bytes, Endpoint]:
        """Up to ``size`` bytes, and who sent them."""

    def recvmsg(self, size: int) -> Message:
        """As ``recvfrom``, with the time of arrival."""
        raise error_of(errno.EOPNOTSUPP)

    def inq(self) -> int:
        """Bytes that could be read now (SIOCINQ)."""
        raise error_of(errno.EOPNOTSUPP)

    def shutdown(self, how: int) -> None:
        """shutdown(2)."""
        raise error_of(errno.EOPNOTSUPP)

    def getsockname(self) -> Endpoint:
        """Address and port of this end."""
        raise error_of(errno.EOPNOTSUPP)

    def getpeername(self) -> Endpoint:
        """Address and port of the other end."""
        raise error_of(errno.EOPNOTSUPP)


class DatagramSocket(SkbFree, Socket):
    """The part of a datagram socket that does not depend on its protocol: what it receives.

    ``net_enable_timestamp`` is told when one socket more (1) or less (-1) wants received
    packets stamped.
    """

    STAGES = stages(
        GUEST,
        skb_copy_datagram_iter=mark(
            "skb_copy_datagram_iter", file="net/core/datagram.c", size="data"
        ),
    )

    def __init__(self, cpu: Cpu, name: str, net_enable_timestamp: Callable[[int], None]) -> None:
        super().__init__(cpu, name)
        self.receive_queue: deque[tuple[Message, int, list[int] | None, int]] = deque()
        """Messages, each with the memory that it counts for, the page that it lies in, and the
        number of its frame."""
        self.last_read: tuple[Endpoint, int] | None = None
        """Sender and frame (0 for one of our own) of the message that was read last."""
        self.rcvbuf = RMEM_DEFAULT
        self.rmem_alloc = 0
        self.drops = 0
        self.timestamp = False
        self._net_enable_timestamp = net_enable_timestamp

    def set_rcvbuf(self, size: int) -> None:
        """SO_RCVBUF."""
        self._cpu.touch("lock_sock")
        self.rcvbuf = rcvbuf_of(size)

    def sock_enable_timestamp(self, on: bool) -> None:
        """SO_TIMESTAMP."""
        self._cpu.touch("lock_sock")
        if on != self.timestamp:
            self.timestamp = on
            self._net_enable_timestamp(1 if on else -1)

    def sock_queue_rcv_skb(self, data: bytes, sender: Endpoint, skb: Skb) -> bool:
        """Keep ``data`` of a packet; False if there is no room for it."""
        truesize = truesize_of(skb)
        if self.rmem_alloc + truesize > self.rcvbuf:
            self.drops += 1
            return False
        self.rmem_alloc += truesize
        stamp = skb.tstamp if self.timestamp else None
        number = 0 if skb.frame is None else skb.frame.number
        self.receive_queue.append((Message(data, sender, stamp), truesize, skb.page, number))
        self.sock_def_readable()
        return True

    def skb_recv_datagram(self, size: int) -> Message | None:
        """The oldest message that waits, cut to ``size``; None without one."""
        self._take_error()
        self._cpu.local_bh_disable()
        if not self.receive_queue:
            self._cpu.local_bh_enable()
            return None
        message, truesize, page, frame = self.receive_queue.popleft()
        self.last_read = message.sender, frame
        self.rmem_alloc -= truesize
        self._cpu.local_bh_enable()
        if len(message.data) > size:
            message = message._replace(data=message.data[:size])
        self.skb_copy_datagram_iter(message.data)
        self.consume_skb(page)
        return message

    def skb_copy_datagram_iter(self, data: bytes) -> None:
        """To the program's memory."""

    @abstractmethod
    def recvmsg(self, size: int) -> Message:
        """The oldest message that waits, cut to ``size``."""

    def setsockopt(self, option: str, value: int) -> None:
        if option == SO_TIMESTAMP:
            self.sock_enable_timestamp(bool(value))
        elif option == SO_RCVBUF:
            self.set_rcvbuf(value)
        else:
            super().setsockopt(option, value)

    def getsockopt(self, option: str) -> int:
        if option == SO_TIMESTAMP:
            return int(self.timestamp)
        if option == SO_RCVBUF:
            return self.rcvbuf
        return super().getsockopt(option)

    def peek(self, size: int) -> bytes:
        return self.peekfrom(size)[0]

    def peekfrom(self, size: int) -> tuple[bytes, Endpoint]:
        self._take_error()
        if not self.receive_queue:
            raise would_block()
        message = self.receive_queue[0][0]
        data = message.data[:size]
        self.skb_copy_datagram_iter(data)
        return data, message.sender

    def inq(self) -> int:
        """Bytes of the oldest message (``first_packet_length``)."""
        self._cpu.touch("lock_sock")
        return len(self.receive_queue[0][0].data) if self.receive_queue else 0

    def recvfrom(self, size: int) -> tuple[bytes, Endpoint]:
        """As ``recvmsg``, without the stamp."""
        message = self.recvmsg(size)
        return message.data, message.sender

    def recv(self, size: int) -> bytes:
        """The oldest message that waits."""
        return self.recvmsg(size).data
