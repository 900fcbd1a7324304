"""TCP over IPv4: whose segment is it (net/ipv4/tcp_ipv4.c, inet_hashtables.c).

Connections, requests and TIME_WAIT entries are found by their four addresses, listeners
by their port. A segment for nobody is answered with RST. While a program owns a socket,
its segments wait in the backlog, where consecutive ones are merged.

Not modelled: SYN cookies (a full accept queue drops the SYN), SO_REUSEPORT, filters.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from desim.guest.cpu.context import HZ
from desim.guest.net.device import Device
from desim.guest.net.free import SkbFree
from desim.guest.net.icmp import meaning
from desim.guest.net.ip import DF, Route
from desim.guest.net.sock import error_of
from desim.guest.net.tcp.tcp_minisocks import RequestSock, TimewaitSock
from desim.guest.net.tcp.tcp_skb import RcvSkb, unwrap
from desim.guest.net.tcp.tcp_sock import (
    RTO_MAX,
    TIME_RETRANS,
    TIMEOUT_INIT,
    State,
    TcpSock,
)
from desim.guest.skb import CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, Skb
from desim.stages import GUEST, mark, stages
from desim.wire.addresses import IP_ANY
from desim.wire.icmp import (
    ICMP_DEST_UNREACH,
    ICMP_FRAG_NEEDED,
    ICMP_HOST_UNREACH,
    ICMP_NET_UNREACH,
)
from desim.wire.ipv4 import PROTO_TCP, Ipv4
from desim.wire.segment import Segment
from desim.wire.tcp import ACK, FIN, RST, SYN, TcpOptions

if TYPE_CHECKING:
    from desim.guest.net.tcp.tcp import Tcp

PORT_LOW, PORT_HIGH = 32768, 60999
TABLE_PERTURB_BYTES = 4 << 16
"""``INET_TABLE_PERTURB_SIZE`` numbers of 32 bits, which the first connect() draws."""

_HEADER = struct.Struct("!HHIIHHHH")
_BACKLOG_HEADROOM = 64 * 1024

Entry = TcpSock | RequestSock | TimewaitSock
Key = tuple[bytes, int, bytes, int]


class TcpIpv4(SkbFree):
    """The tables of sockets, and the segments that belong to none."""

    STAGES = stages(
        GUEST,
        tcp_v4_connect=mark("tcp_v4_connect", file="net/ipv4/tcp_ipv4.c"),
        inet_hash_connect=mark("inet_hash_connect", file="net/ipv4/inet_hashtables.c"),
        tcp_v4_rcv=mark("tcp_v4_rcv", file="net/ipv4/tcp_ipv4.c"),
        tcp_child_process=mark("tcp_child_process", file="net/ipv4/tcp_minisocks.c"),
        tcp_v4_do_rcv=mark("tcp_v4_do_rcv", file="net/ipv4/tcp_ipv4.c"),
        tcp_add_backlog=mark("tcp_add_backlog", file="net/ipv4/tcp_ipv4.c"),
        tcp_conn_request=mark(
            "tcp_v4_conn_request", "tcp_conn_request", file="net/ipv4/tcp_ipv4.c"
        ),
        tcp_v4_send_synack=mark("tcp_v4_send_synack", file="net/ipv4/tcp_ipv4.c"),
        send_ack=mark("tcp_v4_send_ack", file="net/ipv4/tcp_ipv4.c"),
        tcp_v4_send_reset=mark("tcp_v4_send_reset", file="net/ipv4/tcp_ipv4.c"),
        tcp_v4_err=mark("tcp_v4_err", file="net/ipv4/tcp_ipv4.c"),
    )

    def __init__(self, tcp: Tcp) -> None:
        self.tcp = tcp
        self._cpu = tcp.cpu
        self._mib = tcp.snmp.tcp
        self._ext = tcp.snmp.tcp_ext
        self._isn = tcp.random("tcp_isn")
        self._ident = tcp.random("tcp_ip_id")
        self._port = tcp.random("tcp_port")
        self._tsval = tcp.random("tcp_tsval")
        self._perturb = tcp.random("table_perturb")
        self._txhash = tcp.random("sk_txhash")
        self._entropy = tcp.entropy
        self._perturbed = False
        self.ehash: dict[Key, Entry] = {}
        self.listeners: dict[int, list[TcpSock]] = {}
        self.bound: dict[int, list[TcpSock]] = {}

    # Tables.

    def insert(self, entry: Entry) -> None:
        """Find it by its addresses from now on."""
        self._cpu.touch("lock_sock")
        self.ehash[(entry.saddr, entry.sport, entry.daddr, entry.dport)] = entry

    def remove(self, entry: Entry) -> None:
        """Forget it, unless somebody has taken its place."""
        self._cpu.touch("lock_sock")
        key = (entry.saddr, entry.sport, entry.daddr, entry.dport)
        if self.ehash.get(key) is entry:
            del self.ehash[key]

    def set_addresses(
        self, sk: TcpSock, saddr: bytes, sport: int, daddr: bytes, dport: int, route: Route
    ) -> None:
        """Fix both ends of a connection."""
        sk.saddr, sk.sport, sk.daddr, sk.dport = saddr, sport, daddr, dport
        sk.route = route
        sk.pseudo_sum = int.from_bytes(saddr, "big") + int.from_bytes(daddr, "big") + PROTO_TCP

    def random_ident(self) -> int:
        """Where a connection's IP identifications start."""
        return self._entropy.u16(self._ident)

    def sk_set_txhash(self) -> None:
        """What chooses among several transmit queues; there is one here, and nobody reads it."""
        self._entropy.u32(self._txhash)

    def lookup_listener(self, address: bytes, port: int) -> TcpSock | None:
        """The listener of a port: one bound to the address goes before one bound to all."""
        found = None
        for sk in self.listeners.get(port, ()):
            if sk.saddr == address:
                return sk
            if sk.saddr == IP_ANY:
                found = sk
        return found

    def bind(self, sk: TcpSock, address: bytes, port: int) -> None:
        """``inet_csk_get_port``; listeners that have gone do not hold a port (SO_REUSEADDR)."""
        if port:
            if self._conflict(address, port):
                raise error_of(errno.EADDRINUSE)
        else:
            span = (PORT_HIGH - PORT_LOW + 1) // 2
            first = self._port.below(span)
            for offset in range(span):
                # Odd ports first: connect() takes the even ones.
                port = PORT_LOW + 1 + 2 * ((first + offset) % span)
                if not self._conflict(address, port):
                    break
            else:
                raise error_of(errno.EADDRINUSE)
        sk.saddr, sk.sport = address, port
        sk.bound_saddr = address
        self.bound.setdefault(port, []).append(sk)

    def _conflict(self, address: bytes, port: int) -> bool:
        return any(
            IP_ANY in (address, sk.saddr) or sk.saddr == address for sk in self.bound.get(port, ())
        )

    def unbind(self, sk: TcpSock) -> None:
        """``inet_put_port``."""
        held = self.bound.get(sk.sport)
        if held and sk in held:
            held.remove(sk)
            if not held:
                del self.bound[sk.sport]

    def tcp_v4_connect(self, sk: TcpSock, address: bytes, port: int) -> None:
        """Choose route, port and numbers of an active open, and send the SYN."""
        route = self.tcp.ip.route_output(address)
        saddr = route.source if sk.saddr == IP_ANY else sk.saddr
        sport = sk.sport or self.inet_hash_connect(saddr, address, port)
        if (saddr, sport, address, port) in self.ehash:
            raise error_of(errno.EADDRNOTAVAIL)
        self.set_addresses(sk, saddr, sport, address, port, route)
        sk.state = State.SYN_SENT
        self.insert(sk)
        if not sk.write_seq:
            # Not again after a connect() that has failed (tcp_disconnect).
            sk.write_seq = self._isn.u32()
        sk.syn_tsval = self._tsval.u32()
        self.sk_set_txhash()
        sk.inet_id = self.random_ident()
        self.tcp.output.tcp_connect(sk)

    def inet_hash_connect(self, saddr: bytes, daddr: bytes, dport: int) -> int:
        """A free port; before the first one is chosen the table that spreads them is filled."""
        if not self._perturbed:
            self._perturbed = True
            self._entropy.get_random_bytes(range(TABLE_PERTURB_BYTES))
        sport = self._free_port(saddr, daddr, dport)
        # How far on the next search begins; here each begins anew.
        self._entropy.below(self._perturb, 8)
        return sport

    def _free_port(self, saddr: bytes, daddr: bytes, dport: int) -> int:
        span = (PORT_HIGH - PORT_LOW + 1) // 2
        first = self._port.below(span)
        for offset in range(span):
            port = PORT_LOW + 2 * ((first + offset) % span)
            if port not in self.bound and (saddr, port, daddr, dport) not in self.ehash:
                return port
        raise error_of(errno.EADDRNOTAVAIL)

    # Input.

    def tcp_v4_rcv(self, skb: Skb) -> None:
        """A segment for one of our addresses."""
        self._mib["InSegs"] += 1
        received = skb.cb
        if received is None:
            assert skb.frame is not None
            seg = skb.frame.segment
            assert seg is not None
            received = RcvSkb(seg, len(skb.head))
        seg = received.seg
        if skb.ip_summed != CHECKSUM_UNNECESSARY and not (seg.sums or seg.sums_ok):
            self._mib["InCsumErrors"] += 1
            self._mib["InErrs"] += 1
            return
        entry = self.ehash.get((seg.dst, seg.dport, seg.src, seg.sport))
        if isinstance(entry, TcpSock):
            self.deliver(entry, received)
        elif entry is None:
            listener = self.lookup_listener(seg.dst, seg.dport)
            if listener is None:
                self.tcp_v4_send_reset(received)
            else:
                self.deliver(listener, received)
        elif isinstance(entry, RequestSock):
            self._request(entry, received)
        else:
            self._timewait(entry, received)
        self.consume_skb(skb.page)

    def _request(self, request: RequestSock, skb: RcvSkb) -> None:
        if request.listener.state != State.LISTEN:
            self.tcp.minisocks.drop_request(request)
            self.tcp_v4_send_reset(skb)
            return
        child = self.tcp.minisocks.tcp_check_req(request, skb)
        if child is request.listener:
            self.tcp_v4_send_reset(skb)
        elif child is not None and self.tcp_child_process(request.listener, child, skb):
            self.tcp_v4_send_reset(skb)

    def tcp_child_process(self, parent: TcpSock, child: TcpSock, skb: RcvSkb) -> bool:
        """The new socket's first segment; then its listener's program may accept it."""
        reset = self.tcp.input.tcp_rcv_state_process(child, skb)
        if child.state != State.SYN_RECV:
            self.tcp.tcp_data_ready(parent)
        return reset

    def _timewait(self, entry: TimewaitSock, skb: RcvSkb) -> None:
        verdict = self.tcp.minisocks.tcp_timewait_state_process(entry, skb)
        if verdict == "syn":
            listener = self.lookup_listener(entry.saddr, entry.sport)
            if listener is not None:
                self.tcp.minisocks.tw_kill(entry)
                self._conn_request(listener, skb, (entry.snd_nxt + 65535 + 2) & 0xFFFFFFFF or 1)
                return
            verdict = "ack"
        if verdict == "ack":
            self.send_ack(entry, entry.snd_nxt, entry.rcv_nxt, min(entry.rcv_wnd, 65535))
        elif verdict == "rst":
            self.tcp_v4_send_reset(skb)
            self.tcp.minisocks.tw_kill(entry)

    def deliver(self, sk: TcpSock, skb: RcvSkb) -> None:
        """To the socket, or into its backlog while a program owns it."""
        skb.place(sk.rcv_nxt, sk.snd_una)
        if sk.owned and sk.state != State.LISTEN:
            self.tcp_add_backlog(sk, skb)
        else:
            self.tcp_v4_do_rcv(sk, skb)

    def tcp_v4_do_rcv(self, sk: TcpSock, skb: RcvSkb) -> None:
        """A segment for a socket that nobody else works on."""
        if sk.state == State.ESTABLISHED:
            self.tcp.input.tcp_rcv_established(sk, skb)
        elif self.tcp.input.tcp_rcv_state_process(sk, skb):
            self.tcp_v4_send_reset(skb)

    def tcp_add_backlog(self, sk: TcpSock, skb: RcvSkb) -> None:
        """Keep a segment until the program lets go of the socket."""
        backlog = sk.backlog
        if backlog:
            tail = backlog[-1]
            both = tail.flags | skb.flags
            if (
                tail.end_seq == skb.seq
                and not both & (SYN | RST)
                and tail.flags & skb.flags & ACK
                and tail.seg.options == skb.seg.options
                and not tail.flags & FIN
            ):
                delta = self.tcp.data._skb_try_coalesce(tail, skb)
                if delta >= 0:
                    self._coalesce(sk, tail, skb, delta)
                    return
        limit = sk.rcvbuf + (sk.sndbuf >> 1) + _BACKLOG_HEADROOM
        if sk.backlog_len + sk.rmem_alloc > limit:
            self._ext["TCPBacklogDrop"] += 1
            return
        backlog.append(skb)
        sk.backlog_len += skb.truesize

    def _coalesce(self, sk: TcpSock, tail: RcvSkb, skb: RcvSkb, delta: int) -> None:
        tail.gso_size = max(tail.gso_size or tail.len, skb.gso_size or skb.len)
        tail.gso_segs += skb.gso_segs
        tail.pieces += skb.pieces
        tail.len += skb.len
        tail.end_seq = skb.end_seq
        tail.flags |= skb.flags
        if skb.ack >= tail.ack:
            tail.ack = skb.ack
            tail.window = skb.window
        tail.truesize += delta
        sk.backlog_len += delta
        self._ext["TCPBacklogCoalesce"] += 1

    # Requests.

    def tcp_conn_request(self, listener: TcpSock, skb: RcvSkb) -> None:
        """A SYN for a listener."""
        self._conn_request(listener, skb, self._isn.u32())

    def _conn_request(self, listener: TcpSock, skb: RcvSkb, isn: int) -> None:
        if len(listener.accept_queue) > listener.max_ack_backlog:
            self._ext["ListenOverflows"] += 1
            self._ext["ListenDrops"] += 1
            return
        if listener.request_queue_len > listener.max_ack_backlog:
            self._ext["ListenDrops"] += 1
            return
        try:
            route = self.tcp.ip.route_output(skb.seg.src)
        except OSError:
            self._ext["ListenDrops"] += 1
            return
        self.sk_set_txhash()
        request = RequestSock(listener, skb, route, isn)
        self.tcp.minisocks.add_request(request)
        self.tcp_v4_send_synack(request)

    def rtx_syn_ack(self, request: RequestSock) -> None:
        """``inet_rtx_syn_ack``."""
        request.num_retrans += 1
        self._mib["RetransSegs"] += 1
        self._ext["TCPSynRetrans"] += 1
        self.tcp_v4_send_synack(request)

    def tcp_v4_send_synack(self, request: RequestSock) -> None:
        """Our half of the handshake; slirp's SYN offers an MSS only, and so do we."""
        request.snt_synack_ns = self._cpu.now()
        options = TcpOptions(mss=request.advmss).emit()
        self._segment(
            request, request.snt_isn, request.rcv_isn + 1, SYN | ACK, request.rcv_wnd, options
        )

    # Segments of nobody.

    def send_ack(self, mini: RequestSock | TimewaitSock, seq: int, ack: int, window: int) -> None:
        """An ACK on behalf of a small socket."""
        self._segment(mini, seq, ack, ACK, window)

    def _segment(
        self,
        mini: RequestSock | TimewaitSock,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        options: bytes = b"",
    ) -> None:
        ends = (mini.saddr, mini.sport, mini.daddr, mini.dport)
        self._send(ends, mini.route, seq, ack, flags, window, options)

    def tcp_v4_send_reset(self, skb: RcvSkb) -> None:
        """Tell the sender of ``skb`` that there is no such connection; never for a RST."""
        seg: Segment = skb.seg
        if skb.flags & RST or not self.tcp.ip.is_local(seg.dst):
            return
        flags = RST
        seq = ack = 0
        if skb.flags & ACK:
            seq = seg.ack
        else:
            flags |= ACK
            ack = seg.seq + skb.len + (skb.flags & FIN) + ((skb.flags & SYN) >> 1)
        try:
            route = self.tcp.ip.route_output(seg.src)
        except OSError:
            return
        self._mib["OutRsts"] += 1
        self._send((seg.dst, seg.dport, seg.src, seg.sport), route, seq, ack, flags, 0)

    def _send(
        self,
        ends: Key,
        route: Route,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        options: bytes = b"",
    ) -> None:
        saddr, sport, daddr, dport = ends
        length = 20 + len(options)
        pseudo = int.from_bytes(saddr, "big") + int.from_bytes(daddr, "big") + PROTO_TCP + length
        out = Skb(
            _HEADER.pack(
                sport,
                dport,
                seq & 0xFFFFFFFF,
                ack & 0xFFFFFFFF,
                0x5000 + (len(options) << 10) | flags,
                window,
                pseudo % 0xFFFF or 0xFFFF,
                0,
            )
            + options
        )
        out.ip_summed = CHECKSUM_PARTIAL
        out.csum_start = 34
        out.csum_offset = 16
        self._mib["OutSegs"] += 1
        self.tcp.ip.ip_local_out(out, route, saddr, daddr, PROTO_TCP, 0, DF)

    # Errors from the network.

    def tcp_v4_err(self, packet: Ipv4, kind: int, code: int, device: Device) -> None:
        """An ICMP error about a segment of ours: fatal while connecting, a hint later.

        While a program owns the socket it is a hint, too; but poll() shows it as long as the
        connect lasts, and SO_ERROR gives it.
        """
        payload = packet.payload
        sport = int.from_bytes(payload[:2], "big")
        dport = int.from_bytes(payload[2:4], "big")
        seq = int.from_bytes(payload[4:8], "big")
        entry = self.ehash.get((packet.src, sport, packet.dst, dport))
        unreachable = kind == ICMP_DEST_UNREACH and code in (ICMP_NET_UNREACH, ICMP_HOST_UNREACH)
        if entry is None:
            self.tcp.snmp.icmp["InErrors"] += 1
        elif isinstance(entry, RequestSock):
            self.tcp_req_err(entry, seq, unreachable or kind != ICMP_DEST_UNREACH)
        elif isinstance(entry, TcpSock):
            self._socket_err(entry, seq, kind, code, unreachable)

    def tcp_req_err(self, request: RequestSock, seq: int, abort: bool) -> None:
        """``tcp_req_err``: an error about our SYN-ACK."""
        if seq != request_isn(request):
            self._ext["OutOfWindowIcmps"] += 1
        elif abort:
            self.tcp.minisocks.drop_request(request)
            self._ext["ListenDrops"] += 1

    def _socket_err(self, sk: TcpSock, seq: int, kind: int, code: int, unreachable: bool) -> None:
        too_long = (kind, code) == (ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED)
        if sk.owned and not too_long:
            self._ext["LockDroppedIcmps"] += 1
        if sk.state == State.CLOSE:
            return
        if not sk.snd_una <= unwrap(seq, sk.snd_una) <= sk.snd_nxt:
            # About what is not under way: whoever sent it did not see our packets.
            self._ext["OutOfWindowIcmps"] += 1
            return
        if too_long:
            return  # path MTU discovery: not modelled
        if unreachable and not sk.owned:
            self.tcp_ld_RTO_revert(sk, seq)
        error = meaning(kind, code).number
        if sk.state == State.SYN_SENT:
            sk.error_queue += 1
            self.tcp.sk_state_change(sk)
            if not sk.owned:
                self.tcp.tcp_done_with_error(sk, error)
                return
        sk.err_soft = error

    def tcp_ld_RTO_revert(self, sk: TcpSock, seq: int) -> None:
        """A retransmission did not get far: that is no sign of congestion (RFC 6069).

        One doubling of the RTO is taken back, and what is then due goes out at once. A
        packet that waited for its neighbour was not sent again meanwhile, and is overdue.
        """
        if seq != sk.snd_una & 0xFFFFFFFF or not sk.retransmits or not sk.backoff:
            return
        sk.backoff -= 1
        if sk.srtt_us:
            self.tcp.ack.tcp_set_rto(sk)
        else:
            sk.rto = TIMEOUT_INIT
        sk.rto = min(sk.rto << sk.backoff, RTO_MAX)
        passed_us = (self._cpu.now() - sk.rtx_queue[0].sent_ns) // 1000
        remaining = sk.rto - -(-passed_us * HZ // 1_000_000)
        if remaining > 0:
            self.tcp.timer.reset_xmit_timer(sk, TIME_RETRANS, remaining)
        else:
            self.tcp.timer.tcp_retransmit_timer(sk)


def request_isn(request: RequestSock) -> int:
    """The sequence number that an error about a SYN-ACK has to quote."""
    return request.snt_isn & 0xFFFFFFFF
