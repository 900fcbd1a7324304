"""The contracts at which the rooms meet. No code, only who may ask whom for what.

A core (card, slirp, net core, driver, guest kernel) is driven by method calls
and calls back through these. A scenario, a recorded vector, a fuzzer and a
test each bring their own implementations; the core cannot tell them apart.

Conventions that hold at every port
-----------------------------------
* Time is an ``int`` of virtual nanoseconds since power-on.
* Addresses are packed ``bytes``: 6 for a MAC, 4 for IPv4, 16 for IPv6.
* A frame is a :class:`desim.wire.frame.Frame`, without preamble and FCS.
* A call takes effect before it returns; nothing is deferred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from desim.data import Protocol
from desim.reasons import Reason
from desim.wire.addresses import Endpoint as Endpoint
from desim.wire.frame import Frame

Fd = int
"""A file descriptor of QEMU's process on the host; given out in ascending order."""

# What poll() can be asked for and can answer (poll(2)); ERR and HUP are always answered.
POLLIN = 0x01
POLLPRI = 0x02
POLLOUT = 0x04
POLLERR = 0x08
POLLHUP = 0x10
POLLRDHUP = 0x2000
"""The peer has closed its sending side; programs may ask for it, QEMU does not."""


class Timer(Protocol):
    """One QEMU timer (qemu-timer.c): armed at most once at a time."""

    @property
    def deadline(self) -> int | None:
        """The instant it is armed for, in ns; None while it is not armed."""

    def arm(self, deadline: int) -> None:
        """Fire at ``deadline`` ns (``timer_mod``); arming again moves it."""

    def cancel(self) -> None:
        """Forget the deadline (``timer_del``); harmless when not armed."""


class Clock(Protocol):
    """Virtual time as a core sees it: that of the thread it runs on."""

    def now(self) -> int:
        """The running thread's time, in ns."""

    def timer(self, name: str, fire: Callable[[], None], *, periodic: bool = False) -> Timer:
        """A new timer that calls ``fire`` from the main loop, under the big lock.

        ``periodic`` marks one that only keeps the machine ticking: a run in which
        nothing else is left to happen has ended.
        """


class RandomStream(Protocol):
    """One named stream of random numbers."""

    def u32(self) -> int:
        """A number of 32 bits."""

    def below(self, limit: int) -> int:
        """A number in range(limit); ``limit`` is at least 1."""


Random = Callable[[str], RandomStream]
"""The stream of a name; the same name gives the same stream. Each use has a name of its
own, so that a new use disturbs no other."""


class Ledger(Protocol):
    """Where a frame that is not delivered, or not yet, leaves its reason."""

    def lost(self, frame: Frame, where: str, why: Reason) -> None:
        """``frame`` ends here, at ``where`` ("e1000", a net client's name), because of ``why``."""

    def held(self, frame: Frame, where: str, why: Reason) -> None:
        """``frame`` has to wait at ``where`` because of ``why``."""


class CopyLedger(Ledger, Protocol):
    """A ledger that also hears of frames that nobody sent."""

    def made(self, frame: Frame, of: Frame, where: str, why: Reason) -> None:
        """``frame`` comes into being at ``where``, made from ``of``, and is under way."""


class NetPort(Protocol):
    """A core's own end of its link in the net layer: the sending side."""

    def send(self, frame: Frame) -> int:
        """Hand ``frame`` to the peer (``qemu_send_packet``): 0 queued, else its size."""

    def flush(self) -> None:
        """The core can receive again (``qemu_flush_queued_packets``)."""

    def loopback(self, frame: Frame) -> int:
        """The core gets its own ``frame`` back (``qemu_receive_packet``): 0 if not now."""


class AsyncNetPort(NetPort, Protocol):
    """The end of a client that stops reading while its frames have to wait."""

    def send_async(self, frame: Frame, sent: Callable[[int], None]) -> int:
        """As ``send`` (``qemu_send_packet_async``); of one that was queued ``sent`` is told when it
        has left, with what came of it. Such frames wait however many there are."""


class NetClient(Protocol):
    """What the net layer calls on a core: the receiving side."""

    def can_receive(self) -> bool:
        """Whether a frame sent now would be taken."""

    def blocked_by(self) -> Reason | None:
        """Why ``can_receive`` says no; None if it says yes."""

    def receive(self, frame: Frame) -> int:
        """Take ``frame``: > 0 taken, 0 not now (the queue keeps it), < 0 lost."""

    def set_link(self, up: bool) -> None:
        """The link of this client went up or down from outside (``set_link``)."""


class Dma(Protocol):
    """The guest's memory as a device reaches it."""

    def read(self, address: int, size: int) -> bytes:
        """Read ``size`` bytes; zeros where there is no memory."""

    def write(self, address: int, data: bytes) -> None:
        """Write; what goes where there is no memory disappears."""

    def write_frame(self, address: int, data: bytes, frame: Frame) -> None:
        """Write ``data``, the whole of ``frame``, so that a reader can have the Frame back."""


class PciBus(Protocol):
    """The bus as the card sees it: memory by DMA, and its interrupt pin."""

    def dma(self) -> Dma:
        """The guest's memory, for all that the card does there at this instant."""

    def set_irq(self, level: bool) -> None:
        """Drive INTA# (level triggered): it has changed."""


class Mmio(Protocol):
    """The card's registers as the driver sees them (BAR0) and its configuration space."""

    def read(self, offset: int) -> int:
        """A 32-bit read."""

    def write(self, offset: int, value: int) -> None:
        """A 32-bit write."""

    def read_all(self, offsets: tuple[int, ...]) -> list[int]:
        """32-bit reads, one behind the other, with nothing in between."""
        return [self.read(offset) for offset in offsets]

    def write_all(
        self, offsets: tuple[int, ...], values: Sequence[int], flush: int | None = None
    ) -> None:
        """32-bit writes, one behind the other; if ``flush`` is given, it is read behind each."""
        for offset, value in zip(offsets, values, strict=True):
            self.write(offset, value)
            if flush is not None:
                self.read(flush)

    def strobe(self, offset: int, values: Sequence[int], flush: int, delay_ns: int) -> None:
        """Levels of pins, one after the other: write each, read ``flush``, wait ``delay_ns``."""

    def clock_in(
        self, offset: int, level: int, clock: int, keep: int, count: int, flush: int, delay_ns: int
    ) -> list[int]:
        """What the pins read as, ``count`` times, each time with ``clock`` high beside ``level``.

        Then come the bits of ``keep`` of what was read, as the next ``level``.
        """
        values = []
        for _ in range(count):
            self.strobe(offset, (level | clock,), flush, delay_ns)
            value = self.read(offset)
            values.append(value)
            level = value & keep
            self.strobe(offset, (level,), flush, delay_ns)
        return values

    def config_read(self, offset: int) -> int:
        """A 32-bit read of PCI configuration space."""

    def config_write(self, offset: int, value: int) -> None:
        """A 32-bit write of PCI configuration space."""


class MainLoop(Protocol):
    """QEMU's main loop, to be told that there is something to look at."""

    def notify(self) -> None:
        """End a sleep in poll (``qemu_notify_event``); a pending one is not lost."""


class FdHandlers(Protocol):
    """Who is called when a descriptor of QEMU's process is ready (``qemu_set_fd_handler``)."""

    def set_fd_handler(
        self, fd: Fd, read: Callable[[], None] | None, write: Callable[[], None] | None
    ) -> None:
        """From the next poll on; with neither nobody is called."""


class FrameSockets(Protocol):
    """The host kernel as ``-netdev socket`` and its like see it; errors as in ``HostSockets``."""

    def listen_stream(self, address: bytes, port: int) -> Fd:
        """A listening TCP socket with room for one client."""

    def listen_unix(self, path: str) -> Fd:
        """A listening Unix socket; what was there by that name is gone."""

    def accept(self, fd: Fd) -> tuple[Fd, Endpoint]:
        """The next connection of a listener and the address of its client."""

    def open_stream(self, address: bytes, port: int) -> Fd:
        """Start a TCP connection; its outcome shows in poll."""

    def connect_unix(self, path: str) -> Fd:
        """A connection to a listening Unix socket."""

    def open_datagram(self, address: bytes, port: int, group: bytes | None = None) -> Fd:
        """A UDP socket (SO_REUSEADDR), as a member of a multicast ``group`` or of none."""

    def recv(self, fd: Fd, size: int) -> bytes:
        """Up to ``size`` bytes, or the next datagram; b"" is end of stream."""

    def send(self, fd: Fd, data: bytes) -> int:
        """Give ``data`` to the kernel: the number of bytes it took."""

    def send_datagram(self, fd: Fd, data: bytes, to: Endpoint) -> tuple[int, int]:
        """Send a datagram: its size, and how often it found nobody, or nobody with room."""

    def close(self, fd: Fd) -> None:
        """Close the socket."""


class HostSockets(Protocol):
    """The host kernel as QEMU's process sees it. Every socket is non-blocking.

    Each call returns or raises at once: ``BlockingIOError`` for EAGAIN, the other
    built-in subclasses of ``OSError`` or an ``OSError`` with its ``errno``
    (EADDRINUSE, ENETUNREACH, EHOSTUNREACH, ENOTCONN ...).
    """

    def listen(self, address: bytes, port: int, *, backlog: int = 1) -> Fd:
        """A listening TCP socket bound to ``address``:``port`` (SO_REUSEADDR)."""

    def accept(self, fd: Fd) -> tuple[Fd, Endpoint]:
        """The next connection of a listener and the address of its client."""

    def connect(self, address: bytes, port: int) -> Fd:
        """Start a TCP connection; its outcome shows in ``poll`` (OUT, or ERR and HUP)."""

    def connect_unix(self, path: str) -> Fd:
        """Start a connection to a listening Unix socket (``guestfwd=...-unix:``)."""

    def spawn(self, command: str) -> Fd:
        """Start a program whose descriptors 0, 1 and 2 are one end of a connection: the other."""

    def recv(self, fd: Fd, size: int) -> bytes:
        """Up to ``size`` bytes, from the start of what has arrived; b"" is end of stream."""

    def send(self, fd: Fd, data: bytes) -> int:
        """Give ``data`` to the kernel: the number of bytes it took. b"" probes for errors."""

    def send_oob(self, fd: Fd, data: bytes) -> int:
        """As ``send``, the last byte being urgent data."""

    def peer_gone(self, fd: Fd) -> bool:
        """Whether ``getpeername`` fails: the connection has been reset."""

    def take_error(self, fd: Fd) -> OSError | None:
        """The pending error, which is forgotten by that (SO_ERROR)."""

    def shutdown(self, fd: Fd, *, read: bool = False, write: bool = False) -> None:
        """Close one direction or both."""

    def close(self, fd: Fd) -> None:
        """Close the socket; unread data turns the FIN into a RST."""

    def bind_udp(self, address: bytes, port: int) -> Fd:
        """A UDP socket; port 0 takes a free one."""

    def sendto(self, fd: Fd, data: bytes, to: Endpoint, *, ttl: int | None = None) -> int:
        """Send a datagram (or, on a ping socket, an ICMP echo request)."""

    def recvfrom(self, fd: Fd, size: int) -> tuple[bytes, Endpoint]:
        """The next datagram and its sender."""

    def recv_error(self, fd: Fd) -> tuple[int, int, bytes] | None:
        """ICMP type, code and source from the error queue of a UDP socket, if any."""

    def open_ping(self, family: int) -> Fd:
        """An unprivileged ICMP echo socket for ``family`` 4 or 6."""

    def sockname(self, fd: Fd) -> Endpoint:
        """The local address of a socket."""

    def resolvers(self) -> list[bytes]:
        """The name servers that the host is configured with, in order."""

    def watch(self, fd: Fd, events: int) -> None:
        """Watch ``fd`` for ``events`` in the next poll; watches last for one poll."""

    def watch_always(self, fd: Fd, events: int) -> None:
        """Watch ``fd`` for ``events``, none of them POLLOUT, in every poll until it is closed."""

    def stop_watching(self, fd: Fd) -> None:
        """Undo ``watch_always``."""

    def ready_always(self) -> list[Fd]:
        """Those of ``watch_always`` for which the last poll has found something."""

    def revents(self, fd: Fd) -> int:
        """What the last poll found for ``fd``: 0 if it was not watched."""
