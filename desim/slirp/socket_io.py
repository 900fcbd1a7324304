"""Between slirp's buffers and the host's sockets (slirp/socket.c, slirp/sbuf.c).

Data from the host is read into so_snd while that is less than half full, in whole
segments where there is room for one. Data from the guest goes straight to the
host's socket; only what the host does not take waits in so_rcv.

Addresses are translated on the way: the host's address stands for the loopback
interface, the DNS address for the host's resolver.

Not modelled: urgent data beyond what has arrived; the real slirp sends
uninitialised memory then.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from desim.slirp.icmp import ICMP_UNREACH, ICMP_UNREACH_HOST, ICMP_UNREACH_NET, ICMP_UNREACH_PORT
from desim.slirp.icmp6 import (
    ALLNODES_MULTICAST,
    ICMP6_UNREACH,
    ICMP6_UNREACH_ADDRESS,
    ICMP6_UNREACH_NO_ROUTE,
    ICMP6_UNREACH_PORT,
    LINKLOCAL_ADDR,
)
from desim.slirp.socket import (
    SO_EXPIRE,
    SO_EXPIREFAST,
    SS_FCANTRCVMORE,
    SS_FCANTSENDMORE,
    SS_FWDRAIN,
    SS_HOSTFWD,
    SS_ISFCONNECTED,
    SS_ISFCONNECTING,
    SS_NOFDREF,
    SS_PERSISTENT_MASK,
    Socket,
)
from desim.stages import QEMU, Landmark, mark, stages
from desim.wire.addresses import IP6_ANY, IP6_LOOPBACK, IP_ANY, IP_BROADCAST, LOOPBACK

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

RESET_ERRORS = frozenset(
    (errno.ECONNABORTED, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOTCONN, errno.EPIPE)
)
"""Errors of ``recv`` that reset the connection; after others it is closed."""

OOB_MAX = 2048
"""Urgent bytes that are sent to the host at once."""

DATAGRAM_MAX = 65536
RESOLVER_AGE_MS = 1000


class SocketIo:
    """Reading, writing, translating."""

    STAGES = stages(
        QEMU,
        soread=mark("soread", file="slirp/socket.c", landmark=Landmark.READ_INTO_SLIRP),
        sorecvoob=mark("sorecvoob", file="slirp/socket.c"),
        sowrite=mark("sowrite", file="slirp/socket.c"),
        sbappend=mark("sbappend", file="slirp/sbuf.c", size="data"),
        sosendoob=mark("sosendoob", file="slirp/socket.c"),
        slirp_send=mark("slirp_send", file="slirp/slirp.c", size="data"),
        sosendto=mark("sosendto", file="slirp/socket.c", size="data"),
        sorecvfrom=mark("sorecvfrom", file="slirp/socket.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        self._resolvers: list[bytes] = []
        self._resolvers_read_ms = -RESOLVER_AGE_MS

    # -- TCP ---------------------------------------------------------------------------

    def soread(self, so: Socket) -> int:
        """Read from the host into so_snd: the bytes read, 0 for none yet, -1 at the end.

        After -1 the connection may be gone.
        """
        slirp = self.slirp
        sockets = slirp.sockets
        tp = so.so_tcpcb
        first, second = so.so_snd.writable(tp.t_maxseg)
        reset = False
        try:
            data = sockets.recv(so.fd, first)
        except BlockingIOError:
            return 0
        except OSError as error:
            data = b""
            reset = error.errno in RESET_ERRORS
        else:
            if not data and slirp.version.soread_checks_peer:
                reset = self._was_reset(so)
        if not data:
            self.sofcantrcvmore(so)
            if reset:
                slirp.tcp_subr.tcp_drop(tp)
            else:
                slirp.tcp_subr.tcp_sockclosed(tp)
            return -1
        snd = so.so_snd.data
        snd += data
        count = len(data)
        if second and count == first:
            try:
                data = sockets.recv(so.fd, second)
            except OSError:
                # An error or the end will be there at the next poll as well.
                data = b""
            snd += data
            count += len(data)
        return count

    def _was_reset(self, so: Socket) -> bool:
        """Whether the connection whose stream has ended has been reset meanwhile, too.

        The host's kernel still gives the end then, and keeps the error. Of a socket that slirp has
        shut itself it asks for nothing else.
        """
        sockets = self.slirp.sockets
        if not so.so_state & SS_FCANTSENDMORE and sockets.peer_gone(so.fd):
            return True
        error = sockets.take_error(so.fd)
        return error is not None and error.errno in RESET_ERRORS

    def sorecvoob(self, so: Socket) -> int:
        """As ``soread``; all that then waits for the guest is urgent, and is sent at once."""
        count = self.soread(so)
        if count > 0:
            tp = so.so_tcpcb
            tp.snd_up = (tp.snd_una + so.so_snd.cc) & 0xFFFFFFFF
            tp.t_force = True
            self.slirp.tcp_output.tcp_output(tp)
            tp.t_force = False
        return count

    def sowrite(self, so: Socket) -> int:
        """Write so_rcv to the host: the bytes it took, 0 for none now, -1 if it is gone."""
        rcv = so.so_rcv
        if so.so_urgc:
            expected = so.so_urgc
            sent = self.sosendoob(so)
            if 0 <= sent < expected:
                return self._disconnected(so)
            if not rcv.cc:
                return 0
        first, second = rcv.readable()
        count = self.slirp_send(so, rcv.copy(0, first))
        if count == -errno.EAGAIN:
            return 0
        if count <= 0:
            return self._disconnected(so)
        if second and count == first:
            # What does not go now goes with the next poll.
            count += max(0, self.slirp_send(so, rcv.copy(first, second)))
        rcv.drop(count)
        if so.so_state & SS_FWDRAIN and not rcv.cc:
            self.sofcantsendmore(so)
        return count

    def _disconnected(self, so: Socket) -> int:
        self.sofcantsendmore(so)
        self.slirp.tcp_subr.tcp_sockclosed(so.so_tcpcb)
        return -1

    def sbappend(self, so: Socket, data: bytes) -> None:
        """Data from the guest: to the host, or into so_rcv as far as the host takes none."""
        if not data:
            return
        rcv = so.so_rcv
        if so.so_urgc:
            rcv.append(data)
            self.sosendoob(so)
            return
        # A host that is gone is noticed by soread.
        count = 0 if rcv.data else self.slirp_send(so, data)
        if count < len(data):
            rcv.append(data[count:] if count > 0 else data)

    def sosendoob(self, so: Socket) -> int:
        """Send so_rcv up to the urgent mark to the host as urgent data; negative on an error."""
        rcv = so.so_rcv
        so.so_urgc = min(so.so_urgc, OOB_MAX)
        data = rcv.copy(0, so.so_urgc)
        count = self.slirp_send(so, data, oob=True)
        if count < 0:
            return count
        so.so_urgc -= count
        rcv.drop(count)
        return count

    def slirp_send(self, so: Socket, data: bytes, oob: bool = False) -> int:
        """``send()``, or the callback of a guestfwd rule: the bytes taken, or minus an errno."""
        if so.fd == -1:
            if so.guestfwd is None:
                return -errno.EBADF
            try:
                self.slirp.guestfwd.write(so.guestfwd, data)
            except OSError as error:
                return -(error.errno or errno.EIO)
            return len(data)
        sockets = self.slirp.sockets
        try:
            return sockets.send_oob(so.fd, data) if oob else sockets.send(so.fd, data)
        except OSError as error:
            return -(error.errno or errno.EIO)

    def soisfconnecting(self, so: Socket) -> None:
        """A non-blocking connect is under way."""
        so.so_state &= ~(
            SS_NOFDREF | SS_ISFCONNECTED | SS_FCANTRCVMORE | SS_FCANTSENDMORE | SS_FWDRAIN
        )
        so.so_state |= SS_ISFCONNECTING

    def soisfconnected(self, so: Socket) -> None:
        """Both sides are connected: data may flow."""
        so.so_state &= ~(SS_ISFCONNECTING | SS_FWDRAIN | SS_NOFDREF)
        so.so_state |= SS_ISFCONNECTED

    def sofcantrcvmore(self, so: Socket) -> None:
        """The host will send no more."""
        self._shut(so, SS_FCANTRCVMORE, SS_FCANTSENDMORE)

    def sofcantsendmore(self, so: Socket) -> None:
        """Nothing more can go to the host; it sees the end of the stream."""
        self._shut(so, SS_FCANTSENDMORE, SS_FCANTRCVMORE)

    def _shut(self, so: Socket, this: int, other: int) -> None:
        if not so.so_state & SS_NOFDREF and so.fd != -1:
            try:
                self.slirp.sockets.shutdown(
                    so.fd, read=this == SS_FCANTRCVMORE, write=this == SS_FCANTSENDMORE
                )
            except OSError:
                # Not connected any more: there is nothing left to shut.
                pass
        so.so_state &= ~SS_ISFCONNECTING
        if so.so_state & other:
            so.so_state = so.so_state & SS_PERSISTENT_MASK | SS_NOFDREF
        else:
            so.so_state |= this

    def sofwdrain(self, so: Socket) -> None:
        """The guest has closed: tell the host, once so_rcv is empty."""
        if so.so_rcv.cc:
            so.so_state |= SS_FWDRAIN
        else:
            self.sofcantsendmore(so)

    def sodrop(self, so: Socket, count: int) -> None:
        """The guest has acknowledged ``count`` bytes; at half full the host is polled again."""
        if so.so_snd.drop(count):
            self.slirp.loop.notify()

    # -- UDP ---------------------------------------------------------------------------

    def sosendto(self, so: Socket, data: bytes, ttl: int | None) -> bool:
        """Send a datagram to the host's side; False if that fails at once."""
        slirp = self.slirp
        address = self.sotranslate_out(so)
        if address is None:
            return False
        if not self._reports_errors(so):
            self._forget_errors(so)
        try:
            slirp.sockets.sendto(so.fd, data, (address, so.fhost[1]), ttl=ttl)
        except OSError:
            return False
        slirp.udp.sent(so)
        return True

    def sorecvfrom(self, so: Socket) -> None:
        """One datagram, or one error, from the host to the guest."""
        slirp = self.slirp
        if not self._reports_errors(so):
            if self._forget_errors(so):
                return
        else:
            error = slirp.sockets.recv_error(so.fd)
            if error is not None:
                kind, code, source = error
                self._error(so, kind, code, source)
                return
        try:
            data, sender = slirp.sockets.recvfrom(so.fd, DATAGRAM_MAX)
        except OSError as error_:
            self._recv_failed(so, error_.errno)
            return
        if so.so_expire:
            age = SO_EXPIREFAST if so.fhost[1] == 53 else SO_EXPIRE
            so.so_expire = slirp.curtime + age
        src = (self.sotranslate_in(so, sender[0]), sender[1])
        if not slirp.assign_guest_address(so):
            return
        slirp.datagram_output(so, src, so.lhost, data, so.so_iptos)

    def _reports_errors(self, so: Socket) -> bool:
        """Whether slirp asked the host's kernel for the ICMP errors of ``so`` (IP_RECVERR)."""
        return self.slirp.version.udp_errors and not so.so_state & SS_HOSTFWD

    def _forget_errors(self, so: Socket) -> bool:
        """Drop errors that the kernel would not have reported; whether there were any."""
        found = False
        while self.slirp.sockets.recv_error(so.fd) is not None:
            found = True
        return found

    def _recv_failed(self, so: Socket, number: int | None) -> None:
        ipv6 = len(so.lhost[0]) == 16
        kind = ICMP6_UNREACH if ipv6 else ICMP_UNREACH
        if number == errno.EHOSTUNREACH:
            code = ICMP6_UNREACH_ADDRESS if ipv6 else ICMP_UNREACH_HOST
        elif number == errno.ENETUNREACH:
            code = ICMP6_UNREACH_NO_ROUTE if ipv6 else ICMP_UNREACH_NET
        else:
            code = ICMP6_UNREACH_PORT if ipv6 else ICMP_UNREACH_PORT
        self._error(so, kind, code, None)

    def _error(self, so: Socket, kind: int, code: int, src: bytes | None) -> None:
        if len(so.lhost[0]) == 16:
            self.slirp.icmp6.icmp6_send_error(so.so_m, kind, code, src or LINKLOCAL_ADDR)
        else:
            self.slirp.icmp.icmp_send_error(so.so_m, kind, code, src)

    # -- addresses ---------------------------------------------------------------------

    def sotranslate_out(self, so: Socket) -> bytes | None:
        """The real address for so's foreign one; None if the guest may not go there."""
        slirp = self.slirp
        config = slirp.config
        version = slirp.version
        address, port = so.fhost
        if len(address) == 16:
            return self._translate_out6(address, port)
        if address == config.dns and not config.disable_dns:
            if version.dns_port_only and port != 53:
                return None
            resolver = self._resolver(4)
            if resolver is None and not version.dns_needs_resolver:
                return LOOPBACK
            return resolver
        if (
            address == config.host
            or (version.broadcast_aliases_loopback and address == IP_BROADCAST)
            or (version.net_aliases_loopback and slirp.in_vnetwork(address))
        ):
            return None if config.disable_host_loopback else LOOPBACK
        return address

    def _translate_out6(self, address: bytes, port: int) -> bytes | None:
        slirp = self.slirp
        config = slirp.config
        if address == config.ipv6_dns and not config.disable_dns:
            if slirp.version.dns_port_only and port != 53:
                return None
            resolver = self._resolver(16)
            if resolver is None and not slirp.version.dns_needs_resolver:
                return IP6_LOOPBACK
            return resolver
        if slirp.in_vprefix(address) or (
            address == ALLNODES_MULTICAST and slirp.version.allnodes_aliases_loopback
        ):
            return None if config.disable_host_loopback else IP6_LOOPBACK
        return address

    def has_resolver6(self) -> bool:
        """Whether the host is configured with a name server that has an IPv6 address."""
        return self._resolver(16) is not None

    def _resolver(self, size: int) -> bytes | None:
        slirp = self.slirp
        if slirp.curtime - self._resolvers_read_ms >= RESOLVER_AGE_MS:
            self._resolvers = slirp.sockets.resolvers()
            self._resolvers_read_ms = slirp.curtime
        return next((a for a in self._resolvers if len(a) == size), None)

    def sotranslate_in(self, so: Socket, address: bytes) -> bytes:
        """How the sender ``address`` of an answer is shown to the guest."""
        slirp = self.slirp
        config = slirp.config
        asked = so.fhost[0]
        if len(asked) == 16:
            if slirp.in_vprefix(asked) and (address == IP6_LOOPBACK or asked != config.ipv6_host):
                return asked
            return address
        if slirp.in_vnetwork(asked):
            local = ~slirp.vnetwork_mask & 0xFFFFFFFF
            if int.from_bytes(asked, "big") & local == local:
                return config.host
            if address == LOOPBACK or asked != config.host:
                return asked
        return address

    def sotranslate_accept(self, so: Socket) -> None:
        """The host's own programs appear to the guest under the host's address."""
        config = self.slirp.config
        address, port = so.fhost
        if len(address) == 16:
            if address in (IP6_ANY, IP6_LOOPBACK):
                so.fhost = (config.ipv6_host, port)
        elif address == IP_ANY or address[0] == LOOPBACK[0]:
            so.fhost = (config.host, port)
