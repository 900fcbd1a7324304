"""TCP's connections: opening, closing, resetting (slirp/tcp_subr.c).

A connection from the host (hostfwd) is accepted first; then the guest is asked
with a SYN, and if it refuses, the host sees its connection closed. A connection from
the guest is answered only when ``connect`` on the host has succeeded.

Not modelled: payload emulation for FTP, IRC and others (``tcp_emu``; off in libslirp
unless asked for), keep-alive probes (never sent), accept-once sockets (only emulation
makes them).
"""

from __future__ import annotations

import errno
from operator import attrgetter
from typing import TYPE_CHECKING

from desim.ports import Endpoint, Fd
from desim.slirp.ip import MAXTTL
from desim.slirp.socket import (
    IPTOS_LOWDELAY,
    IPTOS_THROUGHPUT,
    SS_FACCEPTCONN,
    SS_HOSTFWD,
    SS_INCOMING,
    Socket,
)
from desim.slirp.tcp_var import (
    SEQ,
    TCP_ISSINCR,
    TCP_MAXSEG_MAX,
    TCPS_CLOSE_WAIT,
    TCPS_CLOSED,
    TCPS_ESTABLISHED,
    TCPS_FIN_WAIT_1,
    TCPS_LAST_ACK,
    TCPS_SYN_RECEIVED,
    TCPS_SYN_SENT,
    TCPT_KEEP,
    TCPTV_KEEP_INIT,
    TH_ACK,
    TH_RST,
    TH_SYN,
    TcpCb,
    Ti,
)
from desim.stages import QEMU, mark, stages
from desim.wire.addresses import ZERO_MAC
from desim.wire.segment import Segment

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

FPORT_TOS = {
    20: IPTOS_THROUGHPUT,
    23: IPTOS_LOWDELAY,
    80: IPTOS_THROUGHPUT,
    113: IPTOS_LOWDELAY,
    513: IPTOS_LOWDELAY,
    543: IPTOS_LOWDELAY,
    544: IPTOS_LOWDELAY,
    6667: IPTOS_THROUGHPUT,
    6668: IPTOS_THROUGHPUT,
    7070: IPTOS_LOWDELAY,
}
"""Type of service by remote port (``tcptos``); port 21 counts on either side."""

FTP_CONTROL = 21


class TcpSubr:
    """The connections (``slirp->tcb``) and what happens to them as a whole."""

    STAGES = stages(
        QEMU,
        tcp_respond=mark("tcp_respond", file="slirp/tcp_subr.c"),
        tcp_drop=mark("tcp_drop", file="slirp/tcp_subr.c"),
        tcp_close=mark("tcp_close", file="slirp/tcp_subr.c"),
        tcp_sockclosed=mark("tcp_sockclosed", file="slirp/tcp_subr.c"),
        tcp_fconnect=mark("tcp_fconnect", file="slirp/tcp_subr.c"),
        tcp_connect=mark("tcp_connect", file="slirp/tcp_subr.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        self.tcb: dict[Socket, None] = {}
        """All TCP sockets, listening ones too, oldest first."""
        self.connections: dict[Socket, None] = {}
        """Those that do not listen, oldest first: all that timers and polls have to go over."""
        self._listeners: dict[Fd, Socket] = {}
        self._attached = 0
        self._by_ends: dict[tuple[Endpoint, Endpoint], list[Socket]] = {}
        """Sockets by their two ends, which several may share; the newest last."""
        self.tcp_last_so: Socket | None = None
        """What the last lookup that found something found."""
        self.tcp_iss = 1

    def solookup(self, lhost: Endpoint, fhost: Endpoint) -> Socket | None:
        """The socket between these two: of several the one found last time, or the newest."""
        last = self.tcp_last_so
        if last is not None and last.lhost == lhost and last.fhost == fhost:
            return last
        found = self._by_ends.get((lhost, fhost))
        if not found:
            return None
        self.tcp_last_so = found[-1]
        return found[-1]

    def tcp_attach(self, so: Socket) -> TcpCb:
        """A control block for ``so`` (``tcp_newtcpcb``), and its place in the list."""
        # The family is not known yet in most cases, and slirp takes that for IPv6.
        headers = 40 if so.so_ffamily == 4 else 60
        tp = TcpCb(so, min(self.slirp.config.if_mtu - headers, TCP_MAXSEG_MAX))
        so.so_tcpcb = tp
        self._attached += 1
        so.number = self._attached
        self.tcb[so] = self.connections[so] = None
        return tp

    def to_look_at(self, ready: list[Fd]) -> list[Socket]:
        """The connections, and the listeners that are ``ready``, newest first."""
        listeners = self._listeners
        found = [*self.connections, *(listeners[fd] for fd in ready if fd in listeners)]
        return sorted(found, key=attrgetter("number"), reverse=True)

    def name(self, so: Socket, lhost: Endpoint, fhost: Endpoint) -> None:
        """Give ``so`` its two ends."""
        self._forget_ends(so)
        so.lhost = lhost
        so.fhost = fhost
        self._by_ends.setdefault((lhost, fhost), []).append(so)

    def _forget_ends(self, so: Socket) -> None:
        ends = (so.lhost, so.fhost)
        known = self._by_ends.get(ends)
        if known and so in known:
            known.remove(so)
            if not known:
                del self._by_ends[ends]

    def tcp_template(self, tp: TcpCb) -> None:
        """Fix the addresses of what the connection sends."""
        so = tp.t_socket
        tp.t_template = (so.fhost[0], so.lhost[0], so.fhost[1], so.lhost[1])

    def next_iss(self) -> int:
        """The initial sequence number for a new connection."""
        iss = self.tcp_iss
        self.tcp_iss = (iss + TCP_ISSINCR // 2) & SEQ
        return iss

    def tcp_tos(self, so: Socket) -> int:
        """The type of service that a connection's ports ask for; 0: none."""
        if so.lhost[1] == FTP_CONTROL or so.fhost[1] == FTP_CONTROL:
            return IPTOS_LOWDELAY
        if so.fhost[1] in self.slirp.version.noconnect_ports:
            return IPTOS_LOWDELAY
        return FPORT_TOS.get(so.fhost[1], 0)

    def tcp_respond(self, tp: TcpCb | None, ti: Ti, ack: int, seq: int, flags: int) -> None:
        """Answer ``ti`` with an empty segment, a reset that is, in nobody's name."""
        window = 0 if tp is None else tp.t_socket.so_rcv.space()
        ip = self.slirp.ip if len(ti.src) == 4 else self.slirp.ip6
        ip.ip_output_tcp(
            None,
            Segment(
                dst_mac=ZERO_MAC,
                src_mac=ZERO_MAC,
                src=ti.dst,
                dst=ti.src,
                sport=ti.dport,
                dport=ti.sport,
                seq=seq & SEQ,
                ack=ack & SEQ,
                flags=flags,
                window=window & 0xFFFF,
                urgent=0,
                options=b"",
                payload=b"",
                ident=0,
                ttl=MAXTTL,
                tos=0,
                df=False,
                raw=b"",
                sums_ok=True,
            ),
            self.slirp.version.respond_length,
        )

    def drop_with_reset(self, tp: TcpCb | None, ti: Ti) -> None:
        """Refuse ``ti`` (RFC 9293 section 3.5.2)."""
        if ti.tiflags & TH_ACK:
            self.tcp_respond(tp, ti, 0, ti.ack, TH_RST)
        else:
            length = len(ti.data) + (1 if ti.tiflags & TH_SYN else 0)
            self.tcp_respond(tp, ti, ti.seq + length, 0, TH_RST | TH_ACK)

    def tcp_drop(self, tp: TcpCb) -> None:
        """Give the connection up, with a reset if the guest knows of it."""
        if tp.t_state >= TCPS_SYN_RECEIVED:
            tp.t_state = TCPS_CLOSED
            self.slirp.tcp_output.tcp_output(tp)
        self.tcp_close(tp)

    def tcp_close(self, tp: TcpCb) -> None:
        """Free the connection and close its descriptor."""
        tp.reass.clear()
        self.remove(tp.t_socket)

    def remove(self, so: Socket) -> None:
        """Take ``so`` off the list and free it."""
        del self.tcb[so]
        self.connections.pop(so, None)
        self._listeners.pop(so.fd, None)
        self._forget_ends(so)
        if self.tcp_last_so is so:
            self.tcp_last_so = None
        self.slirp.sofree(so)

    def tcp_sockclosed(self, tp: TcpCb) -> None:
        """The host's side is done: send what is left, then a FIN."""
        if tp.t_state <= TCPS_SYN_SENT:
            tp.t_state = TCPS_CLOSED
            self.tcp_close(tp)
            return
        if tp.t_state in (TCPS_SYN_RECEIVED, TCPS_ESTABLISHED):
            tp.t_state = TCPS_FIN_WAIT_1
        elif tp.t_state == TCPS_CLOSE_WAIT:
            tp.t_state = TCPS_LAST_ACK
        self.slirp.tcp_output.tcp_output(tp)

    def tcp_fconnect(self, so: Socket) -> int:
        """Start connecting to the host's side: 0, or the errno if that fails at once."""
        slirp = self.slirp
        address = slirp.socket_io.sotranslate_out(so)
        if address is None:
            return errno.EPERM
        try:
            so.fd = slirp.sockets.connect(address, so.fhost[1])
        except OSError as error:
            return error.errno or errno.EIO
        slirp.socket_io.soisfconnecting(so)
        return 0

    def tcp_connect(self, inso: Socket) -> None:
        """Accept one connection of the listening socket ``inso`` and send the guest a SYN."""
        slirp = self.slirp
        if not slirp.assign_guest_address(inso):
            self._turn_away(inso)
            return
        so = Socket()
        tp = self.tcp_attach(so)
        so.so_ffamily = inso.so_ffamily
        slirp.tcp_input.tcp_mss(tp, 0)
        try:
            so.fd, client = slirp.sockets.accept(inso.fd)
        except OSError:
            self.tcp_close(tp)
            return
        so.fhost = client
        slirp.socket_io.sotranslate_accept(so)
        self.name(so, inso.lhost, so.fhost)
        so.so_state |= SS_INCOMING
        so.so_iptos = self.tcp_tos(so)
        self.tcp_template(tp)
        tp.t_state = TCPS_SYN_SENT
        tp.t_timer[TCPT_KEEP] = TCPTV_KEEP_INIT
        tp.iss = self.next_iss()
        tp.sendseqinit()
        slirp.tcp_output.tcp_output(tp)

    def _turn_away(self, inso: Socket) -> None:
        """Nobody knows the guest's address yet: accept, and close at once."""
        try:
            fd, _ = self.slirp.sockets.accept(inso.fd)
        except OSError:
            return
        self.slirp.sockets.close(fd)

    def tcp_listen(self, host: Endpoint, guest: Endpoint) -> Socket:
        """Forward a TCP port of the host; raises OSError."""
        slirp = self.slirp
        fd = slirp.sockets.listen(host[0], host[1], backlog=1)
        so = Socket()
        so.fd = fd
        so.so_ffamily = 4 if len(host[0]) == 4 else 6
        so.fhost = slirp.sockets.sockname(fd)
        slirp.socket_io.sotranslate_accept(so)
        self.tcp_attach(so)
        self.name(so, guest, so.fhost)
        so.so_state = SS_FACCEPTCONN | SS_HOSTFWD
        del self.connections[so]
        self._listeners[fd] = so
        slirp.fresh.append(so)
        return so
