"""ICMP: echo, and the errors that slirp makes or forwards (slirp/ip_icmp.c, RFC 792).

An echo request for the host or the DNS address is turned around on the spot. Any
other goes out through an unprivileged ping socket of its own; the answer's bytes
are laid over the request, which was kept, and that is sent back. Everything else
that the guest sends is ignored.

An error quotes at most 548 bytes of the datagram. It keeps the datagram's DF flag.

Not modelled: the UDP echo that stands in where the host forbids ping sockets; such
a request is dropped and counted.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from desim.slirp import reasons
from desim.slirp.datagram import Datagram
from desim.slirp.ip import IP_DF, IP_OFFMASK, IPPROTO_ICMP, MAXTTL
from desim.slirp.socket import SO_EXPIRE, SS_ISFCONNECTED, Socket
from desim.stages import QEMU, mark, stages
from desim.wire.checksum import checksum, ones_sum

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

ICMP_ECHOREPLY = 0
ICMP_UNREACH = 3
ICMP_ECHO = 8
ICMP_TIMXCEED = 11

ICMP_UNREACH_NET = 0
ICMP_UNREACH_HOST = 1
ICMP_UNREACH_PORT = 3

ICMP_MINLEN = 8
ICMP_MAXDATALEN = 576 - 28

ANSWERABLE = frozenset((0, 8, 13, 14, 15, 16, 17, 18))
"""The ICMP types that an error may be sent about; the others are errors themselves."""

RECV_SIZE = 65536


class Icmp:
    """ICMP over IPv4, and the ping sockets."""

    STAGES = stages(
        QEMU,
        icmp_input=mark("icmp_input", file="slirp/ip_icmp.c"),
        icmp_reflect=mark("icmp_reflect", file="slirp/ip_icmp.c"),
        icmp_receive=mark("icmp_receive", file="slirp/ip_icmp.c"),
        icmp_send_error=mark("icmp_send_error", file="slirp/ip_icmp.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        self.icmp: dict[Socket, None] = {}
        """The sessions (``slirp->icmp``), oldest first."""

    def icmp_input(self, datagram: Datagram) -> None:
        """An ICMP message from the guest."""
        slirp = self.slirp
        message = datagram.message
        if len(datagram.payload) < ICMP_MINLEN or ones_sum(message) != 0xFFFF:
            slirp.drop(datagram.frame, reasons.ICMP_REFUSED)
            return
        if message[0] != ICMP_ECHO:
            slirp.drop(datagram.frame, reasons.ICMP_TYPE.of(type=str(message[0])))
            return
        config = slirp.config
        if datagram.dst == config.host or (datagram.dst == config.dns and slirp.version.echo_dns):
            if len(datagram.payload) + datagram.hlen - len(datagram.header) < ICMP_MINLEN:
                # The real one answers with what its memory holds beyond the buffer.
                slirp.drop(datagram.frame, reasons.ICMP_REFUSED)
                return
            self.icmp_reflect(datagram, datagram.payload)
        elif config.restrict:
            slirp.drop(datagram.frame, reasons.RESTRICTED)
        else:
            self._ping(datagram)

    def _ping(self, datagram: Datagram) -> None:
        slirp = self.slirp
        so = Socket()
        try:
            so.fd = slirp.sockets.open_ping(4)
        except OSError:
            slirp.drop(datagram.frame, reasons.NO_PING_SOCKET)
            return
        so.so_m = datagram
        so.fhost = (datagram.dst, 0)
        so.lhost = (datagram.src, 0)
        so.so_ffamily = 4
        so.so_iptos = datagram.tos
        so.so_state = SS_ISFCONNECTED
        so.so_expire = slirp.curtime + SO_EXPIRE
        self.icmp[so] = None
        try:
            slirp.sockets.sendto(so.fd, self._sent(datagram), so.fhost)
        except OSError:
            self.icmp_send_error(datagram, ICMP_UNREACH, ICMP_UNREACH_NET)
            self.icmp_detach(so)

    @staticmethod
    def _sent(datagram: Datagram) -> bytes:
        """What the host is to answer: all of the buffer from where the message begins."""
        if datagram.hlen == len(datagram.header):
            return datagram.payload
        return (datagram.header + datagram.payload)[datagram.hlen :]

    def icmp_reflect(self, datagram: Datagram, message: bytes) -> None:
        """Send ``message`` back to who sent ``datagram``, as an echo reply.

        It begins behind the header that there is, but its length is counted with the header
        that slirp was told of. Of fragments with different headers, the sum is that of a
        part of it, and the length in the header is not that of the frame.
        """
        length = len(datagram.payload) + datagram.hlen - len(datagram.header)
        head = bytes((ICMP_ECHOREPLY, message[1])) + b"\0\0" + message[4:]
        reply = head[:2] + checksum(head[:length]).to_bytes(2, "big") + head[4:]
        df = datagram.header[6] & (IP_DF >> 8) != 0
        self.slirp.ip.ip_output(
            None,
            datagram.dst,
            datagram.src,
            IPPROTO_ICMP,
            MAXTTL,
            datagram.tos,
            df,
            reply,
            (20 + length) & 0xFFFF,
        )

    def icmp_receive(self, so: Socket) -> None:
        """The ping socket ``so`` has an answer, or an error."""
        datagram = so.so_m
        assert datagram is not None
        try:
            reply, _ = self.slirp.sockets.recvfrom(so.fd, RECV_SIZE)
            code = ICMP_UNREACH_HOST
        except OSError as error:
            reply = b""
            code = ICMP_UNREACH_NET if error.errno == errno.ENETUNREACH else ICMP_UNREACH_HOST
        if reply:
            request = datagram.payload
            message = reply[: len(request)] + request[len(reply) :]
            # The identifier is the guest's; the kernel had put its own in its place.
            self.icmp_reflect(datagram, message[:4] + request[4:6] + message[6:])
        else:
            self.icmp_send_error(datagram, ICMP_UNREACH, code)
        self.icmp_detach(so)

    def icmp_detach(self, so: Socket) -> None:
        """The session is over."""
        del self.icmp[so]
        self.slirp.sofree(so)

    def icmp_send_error(
        self, datagram: Datagram | None, kind: int, code: int, src: bytes | None = None
    ) -> None:
        """Tell the guest what became of ``datagram``, in the name of ``src`` (the host)."""
        if datagram is None or kind not in (ICMP_UNREACH, ICMP_TIMXCEED):
            return
        header = datagram.header
        flags = header[6] << 8 | header[7]
        if flags & IP_OFFMASK or int.from_bytes(datagram.src, "big") & 0x0FFFFFFF == 0:
            return
        if (
            header[9] == IPPROTO_ICMP
            and datagram.payload[:1]
            and (datagram.payload[0] not in ANSWERABLE)
        ):
            return
        message = bytes((kind, code)) + bytes(6) + datagram.wire[:ICMP_MAXDATALEN]
        self.slirp.ip.ip_output(
            None,
            src or self.slirp.config.host,
            datagram.src,
            IPPROTO_ICMP,
            MAXTTL,
            (datagram.tos & 0x1E) | 0xC0,
            flags & IP_DF != 0,
            message[:2] + checksum(message).to_bytes(2, "big") + message[4:],
        )
