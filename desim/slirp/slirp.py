"""User-mode networking: the whole stack, as QEMU's main loop and net layer see it.

Models slirp/slirp.c of QEMU 2.8 and libslirp 4.7.0; which of the two is a matter of
``version`` (see version.py).

Theory of operation
-------------------
The stack has no thread and no timer of its own. It is entered from two sides:

* ``slirp_input``: a frame of the guest. Whatever it causes, towards the guest and
  towards the host's sockets, happens before it returns.
* ``pollfds_fill`` and ``pollfds_poll``: the main loop asks which descriptors to watch
  and how long it may sleep, sleeps, and then lets the stack look at them.

``curtime``, in milliseconds, is set by ``pollfds_poll`` only. Whatever a guest's frame
starts, starts by the clock of the last poll. The slow timer (499 ms) runs in a poll at
least that long after it last ran, if there is anything to time; the fast one (2 ms) is
armed by ``pollfds_fill`` when it meets a delayed ACK.

One poll goes over all TCP sockets, newest first: one accept for each listener,
reading where so_snd is less than half full, writing where so_rcv holds something;
then UDP, then ping sockets, and last the output queues.

Layout: interface (queues to the guest), arp, ip, icmp, udp, tcp_input, tcp_output,
tcp_subr, tcp_timer, bootp, tftp, guestfwd; ip6, icmp6, udp6, dhcpv6; ncsi; socket_io is the
host's side.

Not modelled: SMB, state saving.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from desim.data import NamedTuple
from desim.devices import GuestFwd, HostFwd, UserNet
from desim.ports import (
    POLLERR,
    POLLOUT,
    POLLPRI,
    Clock,
    Endpoint,
    HostSockets,
    Ledger,
    MainLoop,
    NetPort,
)
from desim.reasons import Reason
from desim.slirp import reasons
from desim.slirp.arp import Arp, special_ethaddr
from desim.slirp.bootp import Bootp
from desim.slirp.datagram import Datagram, Mbuf
from desim.slirp.guestfwd import GuestForwarding
from desim.slirp.icmp import ICMP_UNREACH, ICMP_UNREACH_HOST, ICMP_UNREACH_NET, Icmp
from desim.slirp.icmp6 import (
    ICMP6_UNREACH,
    ICMP6_UNREACH_ADDRESS,
    ICMP6_UNREACH_NO_ROUTE,
    Icmp6,
    special_ethaddr6,
)
from desim.slirp.interface import Interface
from desim.slirp.ip import Ip
from desim.slirp.ip6 import Ip6
from desim.slirp.socket import (
    NEWS,
    SS_FACCEPTCONN,
    SS_FCANTRCVMORE,
    SS_FCANTSENDMORE,
    SS_HOSTFWD,
    SS_INCOMING,
    SS_ISFCONNECTED,
    SS_ISFCONNECTING,
    SS_NOFDREF,
    SS_PERSISTENT_MASK,
    UDP_QUEUED_MAX,
    Socket,
)
from desim.slirp.socket_io import SocketIo
from desim.slirp.tcp_input import TcpInput
from desim.slirp.tcp_output import TcpOutput
from desim.slirp.tcp_subr import TcpSubr
from desim.slirp.tcp_timer import TcpTimer
from desim.slirp.tcp_var import (
    TCPSTATES,
    TCPT_2MSL,
    TCPT_PERSIST,
    TCPT_REXMT,
    TF_DELACK,
    Ti,
)
from desim.slirp.udp import Udp
from desim.slirp.version import VERSIONS
from desim.stages import QEMU, Build, bare, mark, stages
from desim.wire.addresses import IP6_ANY, IP_ANY, ZERO_MAC
from desim.wire.frame import Frame
from desim.wire.segment import segment_frame

if TYPE_CHECKING:
    from desim.slirp.dhcpv6 import Dhcpv6
    from desim.slirp.ncsi import Ncsi
    from desim.slirp.tftp import Tftp
    from desim.slirp.udp6 import Udp6

TIMEOUT_FAST_MS = 2
TIMEOUT_SLOW_MS = 499
TIMEOUT_DEFAULT_MS = 1000
RESOLUTION_NS = 1_000_000_000
"""How long a frame waits for its receiver's MAC."""
ETH_HLEN = 14


class Connection(NamedTuple):
    """One line of ``info usernet``."""

    protocol: str
    """``TCP[ESTABLISHED]``, ``UDP[239 sec]``, ``TCP[HOST_FORWARD]`` ..."""
    fd: int
    source: Endpoint
    destination: Endpoint
    recvq: int
    sendq: int


class Slirp:
    """One virtual network: ``Slirp`` of libslirp."""

    STAGES = stages(
        QEMU,
        slirp_input=mark("slirp_input", file="slirp/slirp.c", size="frame.raw"),
        if_encap=mark("if_encap", file="slirp/slirp.c"),
        pollfds_fill=mark("slirp_pollfds_fill", file="slirp/slirp.c"),
        pollfds_poll=mark("slirp_pollfds_poll", file="slirp/slirp.c"),
    )

    def __init__(
        self,
        *,
        clock: Clock,
        net: NetPort,
        sockets: HostSockets,
        loop: MainLoop,
        ledger: Ledger,
        config: UserNet,
        ra_interval_ms: Callable[[], int] | None = None,
        build: Build = bare,
    ) -> None:
        """``config`` says which addresses and services; its rules are set up one by one, by
        ``add_hostfwd`` and ``add_guestfwd`` (``net_slirp_init`` does).

        ``ra_interval_ms`` draws the pause before each unsolicited router advertisement
        (``desim.slirp.icmp6.ra_interval_ms`` as the real one does); None: there are none.
        """
        self.clock = clock
        self.net = net
        self.sockets = sockets
        self.loop = loop
        self.ledger = ledger
        self.config = config
        self.version = VERSIONS[config.version]
        self.vnetwork = int.from_bytes(config.net, "big")
        self.vnetwork_mask = int.from_bytes(config.mask, "big")
        self.ethaddr = special_ethaddr(config.host)
        """The source of every IPv4 frame, whatever its IP source."""
        self.ra_interval_ms = ra_interval_ms
        self.curtime = 0
        self.time_fasttimo = 0
        self.last_slowtimo = 0
        self.do_slowtimo = False
        self.fresh: list[Socket] = []
        """Forwarded ports that are watched from the next ``pollfds_fill`` on."""
        self.arp = build(Arp)(slirp=self)
        self.interface = build(Interface)(slirp=self)
        self.ip = build(Ip)(slirp=self)
        self.ip6 = build(Ip6)(slirp=self)
        self.icmp = build(Icmp)(slirp=self)
        self.icmp6 = build(Icmp6)(slirp=self)
        self.udp = build(Udp)(slirp=self)
        self.tcp_input = build(TcpInput)(slirp=self)
        self.tcp_output = build(TcpOutput)(slirp=self)
        self.tcp_subr = build(TcpSubr)(slirp=self)
        self.tcp_timer = build(TcpTimer)(slirp=self)
        self.socket_io = build(SocketIo)(slirp=self)
        self.bootp = build(Bootp)(slirp=self)
        self.guestfwd = build(GuestForwarding)(slirp=self)
        self._build = build

    # Parts that few guests talk to: each is made, and its module imported, for the first frame.

    @cached_property
    def udp6(self) -> Udp6:
        from desim.slirp.udp6 import Udp6

        return self._build(Udp6)(slirp=self)

    @cached_property
    def dhcpv6(self) -> Dhcpv6:
        from desim.slirp.dhcpv6 import Dhcpv6

        return self._build(Dhcpv6)(slirp=self)

    @cached_property
    def tftp(self) -> Tftp:
        from desim.slirp.tftp import Tftp

        return self._build(Tftp)(slirp=self)

    @cached_property
    def ncsi(self) -> Ncsi:
        from desim.slirp.ncsi import Ncsi

        return self._build(Ncsi)(slirp=self)

    # -- frames ------------------------------------------------------------------------

    def slirp_input(self, frame: Frame) -> None:
        """A frame from the guest."""
        kind = frame.raw[12:ETH_HLEN]
        if kind == b"\x08\x00":
            self.ip.ip_input(frame)
        elif kind == b"\x86\xdd":
            self.ip6.ip6_input(frame)
        elif kind == b"\x08\x06":
            self.arp.arp_input(frame)
        elif kind == b"\x88\xf8" and self.version.ncsi:
            self.ncsi.ncsi_input(frame)
        else:
            self.drop(
                frame,
                reasons.ETHERTYPE.of(ethertype=kind.hex()) if len(kind) == 2 else reasons.TOO_SHORT,
            )

    def if_encap(self, ifm: Mbuf) -> bool:
        """Send a packet; False if it has to wait for its receiver's MAC."""
        dst = ifm.dst
        mac: bytes | None
        try:
            mac = self.arp.macs[dst]
        except KeyError:
            if dst == IP_ANY and self.version.arp_drops_any:
                self.ledger.lost(self._unsent(ifm), "slirp", reasons.TO_ANY)
                return True
            ipv4 = len(dst) == 4
            mac = self.arp.arp_table_search(dst) if ipv4 else self.icmp6.ndp_table_search(dst)
            if mac is None:
                self._resolve(ifm, ipv4)
                return False
        tcp = ifm.tcp
        if tcp is not None:
            tcp.dst_mac = mac
            tcp.src_mac = self.ethaddr
            frame = segment_frame(tcp)
        else:
            frame = self._frame(ifm, mac)
        if len(frame.raw) > self.version.frame_max:
            self.ledger.lost(frame, "slirp", reasons.TOO_LONG)
        else:
            self.net.send(frame)
        return True

    def _resolve(self, ifm: Mbuf, ipv4: bool) -> None:
        """Ask for a packet's receiver, once; it waits for the answer."""
        if not ifm.resolution_requested:
            if ipv4:
                self.arp.request(ifm.dst)
            else:
                self.icmp6.ndp_send_ns(ifm.dst)
            ifm.resolution_requested = True
            ifm.expiration_date = self.clock.now() + RESOLUTION_NS
            self.ledger.held(self._unsent(ifm), "slirp", reasons.RESOLVING)

    def _frame(self, ifm: Mbuf, mac: bytes) -> Frame:
        """The frame of a packet that is bytes already."""
        if len(ifm.dst) == 16:
            source = special_ethaddr6(ifm.ip[8:24])
            return Frame(b"".join((mac, source, b"\x86\xdd", ifm.ip)))
        return Frame(b"".join((mac, self.ethaddr, b"\x08\x00", ifm.ip)))

    def _unsent(self, ifm: Mbuf) -> Frame:
        """A packet without a receiver's MAC, to tell the ledger of."""
        if ifm.tcp is None:
            return self._frame(ifm, ZERO_MAC)
        ifm.tcp.dst_mac = ZERO_MAC
        ifm.tcp.src_mac = self.ethaddr
        # The bytes alone: its segment belongs to the frame that may yet be sent.
        return Frame(segment_frame(ifm.tcp).raw)

    def expired(self, ifm: Mbuf) -> None:
        """A packet's receiver did not answer in time."""
        self.ledger.lost(self._unsent(ifm), "slirp", reasons.UNRESOLVED)

    def drop(self, frame: Frame, why: Reason) -> None:
        """A frame of the guest that ends here."""
        self.ledger.lost(frame, "slirp", why)

    def datagram_output(
        self,
        so: Socket | None,
        src: Endpoint,
        dst: Endpoint,
        data: bytes,
        iptos: int,
    ) -> None:
        """A UDP datagram for the guest."""
        if len(dst[0]) == 4:
            self.udp.udp_output(so, src, dst, data, iptos)
        else:
            self.udp6.udp6_output(so, src, dst, data)

    def tcp_unreachable(self, ti: Ti, host: bool) -> None:
        """The host side of a guest's SYN cannot be reached at all."""
        datagram = ti.datagram
        if datagram is not None and len(datagram.src) == 16:
            # slirp forgets to put the length of the packet it quotes back in wire order.
            header = datagram.header
            datagram.header = header[:4] + header[5:3:-1] + header[6:]
            datagram.payload = ti.frame.raw[ETH_HLEN + len(header) :]
            code = ICMP6_UNREACH_ADDRESS if host else ICMP6_UNREACH_NO_ROUTE
            self.icmp6.icmp6_send_error(datagram, ICMP6_UNREACH, code)
            return
        if datagram is None:
            raw = ti.frame.raw
            end = ETH_HLEN + int.from_bytes(raw[16:18], "big")
            datagram = Datagram(ti.frame, raw[14:34], ti.src, ti.dst, raw[15], raw[22], raw[34:end])
        code = ICMP_UNREACH_HOST if host else ICMP_UNREACH_NET
        self.icmp.icmp_send_error(datagram, ICMP_UNREACH, code)

    # -- addresses ---------------------------------------------------------------------

    def in_vnetwork(self, address: bytes) -> bool:
        """Whether an IPv4 address belongs to the virtual network."""
        return int.from_bytes(address, "big") & self.vnetwork_mask == self.vnetwork

    def in_vprefix(self, address: bytes) -> bool:
        """Whether an IPv6 address belongs to the virtual network."""
        shift = 128 - self.config.ipv6_prefixlen
        prefix = int.from_bytes(self.config.ipv6_prefix, "big")
        return int.from_bytes(address, "big") >> shift == prefix >> shift

    def assign_guest_address(self, so: Socket) -> bool:
        """Fill in the guest's address of a forwarded port; False if nobody knows it yet."""
        if so.so_state & SS_HOSTFWD and so.lhost[0] == IP6_ANY:
            guest = self.icmp6.guest
            if guest is None:
                return False
            ends = (guest, so.lhost[1])
            if so in self.udp.udb:
                self.udp.rename(so, ends)
            else:
                self.tcp_subr.name(so, ends, so.fhost)
        return True

    # -- forwarding --------------------------------------------------------------------

    def add_hostfwd(self, rule: HostFwd) -> None:
        """Forward a port of the host (``hostfwd=``); raises OSError if it cannot be bound."""
        host = (rule.host_addr, rule.host_port)
        known = rule.guest_addr != IP_ANY
        guest = (rule.guest_addr if known else self.config.dhcpstart, rule.guest_port)
        if rule.proto == "udp":
            self.udp.udp_listen(host, guest)
        else:
            self.tcp_subr.tcp_listen(host, guest)

    def remove_hostfwd(self, protocol: str, host: Endpoint) -> bool:
        """Stop forwarding; False if there is no such rule. Open connections stay."""
        table = self.udp.udb if protocol == "udp" else self.tcp_subr.tcb
        for so in self.newest_first(table):
            if so.so_state & SS_HOSTFWD and self.sockets.sockname(so.fd) == host:
                if protocol == "udp":
                    self.udp.udp_detach(so)
                else:
                    self.tcp_subr.remove(so)
                return True
        return False

    def add_guestfwd(self, rule: GuestFwd) -> bool:
        """Add a ``guestfwd=`` rule; False if its address is not free."""
        return self.guestfwd.add(rule)

    def remove_guestfwd(self, address: bytes, port: int) -> bool:
        """Remove a rule; False if there is none. Open connections stay."""
        return self.guestfwd.remove(address, port)

    # -- the main loop -----------------------------------------------------------------

    @staticmethod
    def newest_first(table: dict[Socket, None]) -> list[Socket]:
        """slirp puts a new socket in front of its list; what one pass adds it does not visit."""
        return [*reversed(table)]

    def pollfds_fill(self) -> int:
        """Have descriptors watched; how long the main loop may sleep at most, in ms."""
        tcb = self.tcp_subr.tcb
        self.do_slowtimo = bool(tcb) or bool(self.ip.ipq)
        if self.fresh:
            self._watch_fresh()
        # NOTE: ``newest_first``, written out here and in ``pollfds_poll``: many polls of a quiet
        # machine do nothing else (6 calls a poll).
        for so in [*reversed(self.tcp_subr.connections)]:
            self._fill_tcp(so)
        self.udp.watch_forwards()
        for so in [*reversed(self.udp.sessions)]:
            if self._expired(so, self.udp.udp_detach):
                continue
            so.watched = bool(so.so_state & SS_ISFCONNECTED) and so.so_queued <= UDP_QUEUED_MAX
            if so.watched:
                self.sockets.watch(so.fd, NEWS)
        for so in [*reversed(self.icmp.icmp)]:
            if self._expired(so, self.icmp.icmp_detach):
                continue
            so.watched = True
            self.sockets.watch(so.fd, NEWS)
        if self.time_fasttimo:
            return TIMEOUT_FAST_MS
        return TIMEOUT_SLOW_MS if self.do_slowtimo else TIMEOUT_DEFAULT_MS

    def _watch_fresh(self) -> None:
        for so in self.fresh:
            if not so.closed:
                so.watched = True
                self.sockets.watch_always(so.fd, NEWS)
        self.fresh.clear()

    def _expired(self, so: Socket, detach: Callable[[Socket], None]) -> bool:
        if so.so_expire:
            if so.so_expire <= self.curtime:
                detach(so)
                return True
            self.do_slowtimo = True
        return False

    def _fill_tcp(self, so: Socket) -> None:
        if not self.time_fasttimo and so.so_tcpcb.t_flags & TF_DELACK:
            self.time_fasttimo = self.curtime
        state = so.so_state
        events = 0
        if state & SS_NOFDREF or so.fd == -1:
            pass
        elif state & SS_ISFCONNECTING:
            events = POLLOUT | POLLERR
        elif state & SS_ISFCONNECTED:
            if not state & SS_FCANTSENDMORE and so.so_rcv.data:
                events = POLLOUT | POLLERR
            snd = so.so_snd
            if not state & SS_FCANTRCVMORE and len(snd.data) < snd.datalen // 2:
                events |= NEWS | POLLPRI
        so.watched = events != 0
        if events:
            self.sockets.watch(so.fd, events)

    def pollfds_poll(self) -> None:
        """The main loop has slept: run timers, look at descriptors, send what waits."""
        self.curtime = now = self.clock.now() // 1_000_000
        if self.time_fasttimo and now - self.time_fasttimo >= TIMEOUT_FAST_MS:
            self.tcp_timer.tcp_fasttimo()
            self.time_fasttimo = 0
        if self.do_slowtimo and now - self.last_slowtimo >= TIMEOUT_SLOW_MS:
            self.ip.ip_slowtimo()
            self.tcp_timer.tcp_slowtimo()
            self.last_slowtimo = now
        revents = self.sockets.revents
        ready = self.sockets.ready_always()
        subr, udp = self.tcp_subr, self.udp
        for so in subr.to_look_at(ready) if ready else [*reversed(subr.connections)]:
            if so.watched and not so.closed and not so.so_state & SS_NOFDREF:
                found = revents(so.fd)
                if found:
                    self._poll_tcp(so, found)
        for so in udp.to_look_at(ready) if ready else [*reversed(udp.sessions)]:
            if so.watched and not so.closed and revents(so.fd) & NEWS:
                self.socket_io.sorecvfrom(so)
        for so in [*reversed(self.icmp.icmp)]:
            if so.watched and not so.closed and revents(so.fd) & NEWS:
                self.icmp.icmp_receive(so)
        self.interface.if_start()

    def _poll_tcp(self, so: Socket, found: int) -> None:
        if found & POLLPRI:
            if self.socket_io.sorecvoob(so) < 0:
                return
        elif found & NEWS:
            if so.so_state & SS_FACCEPTCONN:
                self.tcp_subr.tcp_connect(so)
                return
            count = self.socket_io.soread(so)
            if count < 0:
                return
            if count > 0:
                self.tcp_output.tcp_output(so.so_tcpcb)
        if so.so_state & SS_NOFDREF or not found & (POLLOUT | POLLERR):
            return
        if so.so_state & SS_ISFCONNECTING:
            so.so_state &= ~SS_ISFCONNECTING
            try:
                self.sockets.send(so.fd, b"")
            except BlockingIOError:
                return
            except OSError:
                so.so_state = so.so_state & SS_PERSISTENT_MASK | SS_NOFDREF
            self.tcp_input.tcp_input(None, None, None, so)
        elif self.socket_io.sowrite(so) > 0 and self.version.output_after_sowrite:
            self.tcp_output.tcp_output(so.so_tcpcb)

    # -- sockets -----------------------------------------------------------------------

    def sofree(self, so: Socket) -> None:
        """``so`` has left its list: close its descriptor and let go of its frames."""
        self.interface.forget(so)
        so.closed = True
        so.so_m = None
        so.so_syn = None
        if so.fd != -1:
            self.sockets.close(so.fd)

    def connections(self) -> list[Connection]:
        """What ``info usernet`` lists, in its order."""
        rows = []
        for so in self.newest_first(self.tcp_subr.tcb):
            state = "HOST_FORWARD" if so.so_state & SS_HOSTFWD else TCPSTATES[so.so_tcpcb.t_state]
            if so.so_state & (SS_HOSTFWD | SS_INCOMING):
                ends = (self.sockets.sockname(so.fd), so.lhost)
            else:
                ends = (so.lhost, so.fhost)
            rows.append(Connection(f"TCP[{state}]", so.fd, *ends, so.so_rcv.cc, so.so_snd.cc))
        for so in self.newest_first(self.udp.udb):
            if so.so_state & SS_HOSTFWD:
                name, ends = "UDP[HOST_FORWARD]", (self.sockets.sockname(so.fd), so.lhost)
            else:
                name, ends = self._seconds("UDP", so), (so.lhost, so.fhost)
            rows.append(Connection(name, so.fd, *ends, 0, 0))
        for so in self.newest_first(self.icmp.icmp):
            rows.append(Connection(self._seconds("ICMP", so), so.fd, so.lhost, so.fhost, 0, 0))
        return rows

    def _seconds(self, protocol: str, so: Socket) -> str:
        return f"{protocol}[{(so.so_expire - self.curtime) // 1000} sec]"

    def quiet(self) -> bool:
        """Whether there is nothing that grows old: no session, no fragment, no frame that waits."""
        grows = self.tcp_subr.connections or self.udp.sessions or self.icmp.icmp or self.ip.ipq
        return not (grows or self.time_fasttimo or self.interface.queued())

    def idle(self) -> bool:
        """Whether nothing is left that would happen by itself, without guest or host.

        Sessions that will expire and half-assembled datagrams do not count: no frame
        comes of them.
        """
        if self.time_fasttimo or self.interface.queued():
            return False
        return not any(
            so.so_tcpcb.t_flags & TF_DELACK
            or so.so_tcpcb.t_timer[TCPT_REXMT]
            or so.so_tcpcb.t_timer[TCPT_PERSIST]
            or so.so_tcpcb.t_timer[TCPT_2MSL]
            for so in self.tcp_subr.connections
        )
