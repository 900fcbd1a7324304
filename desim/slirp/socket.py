"""One session of slirp and the host socket behind it (slirp/socket.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.ports import POLLERR, POLLHUP, POLLIN, Endpoint, Fd
from desim.slirp.sbuf import Sbuf

if TYPE_CHECKING:
    from desim.devices import GuestFwd
    from desim.slirp.datagram import Datagram
    from desim.slirp.tcp_var import TcpCb, Ti

SS_NOFDREF = 0x001
"""There is no descriptor, or it is not to be polled."""
SS_ISFCONNECTING = 0x002
SS_ISFCONNECTED = 0x004
SS_FCANTRCVMORE = 0x008
"""The host will send no more."""
SS_FCANTSENDMORE = 0x010
"""Nothing more can be sent to the host."""
SS_FWDRAIN = 0x040
"""The guest has closed: FCANTSENDMORE as soon as so_rcv is empty."""
SS_CTL = 0x080
"""A guestfwd session that is not established yet."""
SS_FACCEPTCONN = 0x100
"""A listening socket."""
SS_HOSTFWD = 0x1000
SS_INCOMING = 0x2000
"""The host opened this connection."""

SS_PERSISTENT_MASK = 0xF000

SO_EXPIRE = 240_000
"""Milliseconds that a UDP or ICMP session lives."""
SO_EXPIREFAST = 10_000
"""Milliseconds that a UDP session lives after an answer from port 53."""

IPTOS_LOWDELAY = 0x10
IPTOS_THROUGHPUT = 0x08

UDP_QUEUED_MAX = 4
"""With more frames of a UDP session waiting, its host socket is not read."""

NEWS = POLLIN | POLLHUP | POLLERR
"""What a descriptor that is to be read from, or accepted from, is watched for."""

NOWHERE: Endpoint = (b"", 0)


class Socket:
    """``struct socket``: ``lhost`` is the guest's end, ``fhost`` the other as the guest sees it."""

    __slots__ = (
        "closed",
        "fd",
        "fhost",
        "guestfwd",
        "lhost",
        "number",
        "so_expire",
        "so_ffamily",
        "so_iptos",
        "so_m",
        "so_nqueued",
        "so_queued",
        "so_rcv",
        "so_snd",
        "so_state",
        "so_syn",
        "so_tcpcb",
        "so_urgc",
        "watched",
    )

    def __init__(self) -> None:
        self.fd: Fd = -1
        self.number = 0
        """Counts the sockets of its protocol in the order in which they came onto the list."""
        self.closed = False
        """It has been freed (``sofree``); whoever still holds it must let go."""
        self.watched = False
        """It was handed to the last poll."""
        self.so_state = SS_NOFDREF
        self.lhost = NOWHERE
        self.fhost = NOWHERE
        self.so_ffamily = 0
        """4, 6, or 0 while nobody knows."""
        self.so_iptos = 0
        self.so_m: Datagram | None = None
        """UDP and ICMP: the datagram to quote in an ICMP error."""
        self.so_syn: Ti | None = None
        """TCP: the SYN that waits for ``connect`` on the host."""
        self.so_urgc = 0
        """Bytes of so_rcv up to the end of the urgent data."""
        self.so_tcpcb: TcpCb
        self.so_expire = 0
        """Milliseconds of ``curtime``; 0: it never expires."""
        self.so_queued = 0
        """Frames of this session that wait in an output queue."""
        self.so_nqueued = 0
        """Frames queued since ``so_queued`` was last 0."""
        self.so_rcv = Sbuf()
        self.so_snd = Sbuf()
        self.guestfwd: GuestFwd | None = None
