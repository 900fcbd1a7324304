"""The small sockets: connection requests and TIME_WAIT (net/ipv4/tcp_minisocks.c).

A SYN leaves a request; the ACK of our SYN-ACK makes a full socket of it. A closed
connection leaves a TIME_WAIT entry for 60 s, or, if the peer has not closed yet, a
FIN_WAIT2 entry that may become one. The timer of such an entry only cleans up and is
marked periodic: a run does not wait for it.

Not modelled: SYN cookies, fast open, timestamps (so PAWS and the faster reuse of
TIME_WAIT), TCP_DEFER_ACCEPT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.guest.cpu.context import HZ, KernelTimer
from desim.guest.net.tcp.tcp_skb import RcvSkb
from desim.guest.net.tcp.tcp_sock import (
    ADVMSS,
    MSS_DEFAULT,
    RTO_MAX,
    TIMEOUT_INIT,
    TIMEWAIT_LEN,
    State,
    TcpSock,
    select_initial_window,
)
from desim.stages import GUEST, mark, stages
from desim.wire.tcp import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from desim.guest.net.ip import Route
    from desim.guest.net.tcp.tcp import Tcp


class RequestSock:
    """``struct tcp_request_sock``: half of a handshake."""

    __slots__ = (
        "advmss",
        "daddr",
        "dport",
        "last_oow_ack_time",
        "listener",
        "mss",
        "num_retrans",
        "num_timeout",
        "rcv_isn",
        "rcv_wnd",
        "route",
        "saddr",
        "snt_isn",
        "snt_synack_ns",
        "sport",
        "state",
        "timer",
    )

    timer: KernelTimer

    def __init__(self, listener: TcpSock, skb: RcvSkb, route: Route, snt_isn: int) -> None:
        seg = skb.seg
        self.state = State.NEW_SYN_RECV
        self.listener = listener
        self.saddr = seg.dst
        self.sport = seg.dport
        self.daddr = seg.src
        self.dport = seg.sport
        self.route = route
        self.rcv_isn = seg.seq
        self.snt_isn = snt_isn
        self.mss = listener.mss_of_user(seg.mss) if seg.mss else MSS_DEFAULT
        self.advmss = listener.mss_of_user(min(route.device.mtu - 40, ADVMSS))
        self.rcv_wnd = select_initial_window(listener.rcvbuf, self.advmss)
        self.snt_synack_ns = 0
        self.num_retrans = 0
        self.num_timeout = 0
        self.last_oow_ack_time = -HZ

    def timeout(self) -> int:
        """``reqsk_timeout``: jiffies until our answer is sent again."""
        return min(TIMEOUT_INIT << self.num_timeout, RTO_MAX)


class TimewaitSock:
    """``struct tcp_timewait_sock``: what is left of a connection."""

    __slots__ = (
        "daddr",
        "dport",
        "last_oow_ack_time",
        "rcv_nxt",
        "rcv_wnd",
        "route",
        "saddr",
        "snd_nxt",
        "sport",
        "state",
        "substate",
        "timer",
    )

    timer: KernelTimer

    def __init__(self, sk: TcpSock, substate: State) -> None:
        self.state = State.TIME_WAIT
        self.substate = substate
        self.saddr, self.sport = sk.saddr, sk.sport
        self.daddr, self.dport = sk.daddr, sk.dport
        self.route = sk.route
        self.rcv_nxt = sk.rcv_nxt
        self.snd_nxt = sk.snd_nxt
        self.rcv_wnd = sk.receive_window()
        self.last_oow_ack_time = -HZ


class TcpMinisocks:
    """Requests becoming sockets, sockets becoming TIME_WAIT entries."""

    STAGES = stages(
        GUEST,
        reqsk_timer_handler=mark("reqsk_timer_handler", file="net/ipv4/inet_connection_sock.c"),
        tcp_check_req=mark("tcp_check_req", file="net/ipv4/tcp_minisocks.c"),
        tcp_create_openreq_child=mark(
            "tcp_v4_syn_recv_sock", "tcp_create_openreq_child", file="net/ipv4/tcp_ipv4.c"
        ),
        tcp_time_wait=mark("tcp_time_wait", file="net/ipv4/tcp_minisocks.c"),
        tcp_timewait_state_process=mark(
            "tcp_timewait_state_process", file="net/ipv4/tcp_minisocks.c"
        ),
    )

    def __init__(self, tcp: Tcp) -> None:
        self.tcp = tcp
        self._cpu = tcp.cpu
        self._ext = tcp.snmp.tcp_ext

    # Requests.

    def add_request(self, request: RequestSock) -> None:
        """``inet_csk_reqsk_queue_hash_add``: wait a second for the answer to our SYN-ACK."""
        request.timer = self._cpu.timer(
            f"tcp request {request.sport}", lambda: self.reqsk_timer_handler(request)
        )
        request.timer.mod(self._cpu.jiffies + TIMEOUT_INIT)
        request.listener.request_queue_len += 1
        self.tcp.ipv4.insert(request)

    def drop_request(self, request: RequestSock) -> None:
        """``inet_csk_reqsk_queue_drop``."""
        if request.timer.pending:
            request.timer.delete()
        request.listener.request_queue_len -= 1
        self.tcp.ipv4.remove(request)

    def reqsk_timer_handler(self, request: RequestSock) -> None:
        """No answer: send the SYN-ACK again, five times at most."""
        retries = self.tcp.sysctl.tcp_synack_retries
        if request.listener.state != State.LISTEN or request.num_timeout >= retries:
            self.drop_request(request)
            return
        self.tcp.ipv4.rtx_syn_ack(request)
        request.num_timeout += 1
        request.timer.mod(self._cpu.jiffies + request.timeout())

    def tcp_check_req(self, request: RequestSock, skb: RcvSkb) -> TcpSock | None:
        """A segment for a request: the new socket, the listener if it is to reset, or None."""
        seg = skb.seg
        flags = seg.flags & (RST | SYN | ACK)
        if seg.seq == request.rcv_isn and flags == SYN:
            # The SYN again: so is our answer, if it is not too soon, and its timer starts anew.
            if not self._limited(request, skb):
                self.tcp.ipv4.rtx_syn_ack(request)
                if request.timer.pending:
                    request.timer.mod(self._cpu.jiffies + request.timeout())
            return None
        if flags & ACK and seg.ack != (request.snt_isn + 1) & 0xFFFFFFFF:
            return request.listener
        skb.place(request.rcv_isn + 1, request.snt_isn + 1)
        if not _in_window(skb.seq, skb.end_seq, request.rcv_isn + 1, request.rcv_wnd):
            if not flags & RST and not self._limited(request, skb):
                self.tcp.ipv4.send_ack(
                    request, request.snt_isn + 1, request.rcv_isn + 1, request.rcv_wnd
                )
            return None
        if skb.seq == request.rcv_isn:
            flags &= ~SYN
        if flags & (RST | SYN):
            self._ext["EmbryonicRsts"] += 1
            self.drop_request(request)
            return request.listener if not flags & RST else None
        if not flags & ACK:
            return None
        listener = request.listener
        if len(listener.accept_queue) > listener.max_ack_backlog:
            self._ext["ListenOverflows"] += 1
            self._ext["ListenDrops"] += 1
            if not self.tcp.sysctl.tcp_abort_on_overflow:
                return None
            self._ext["EmbryonicRsts"] += 1
            self.drop_request(request)
            return listener
        self.drop_request(request)
        child = self.tcp_create_openreq_child(request, skb)
        listener.accept_queue.append(child)
        return child

    def _limited(self, mini: RequestSock | TimewaitSock, skb: RcvSkb) -> bool:
        if skb.len and not skb.flags & SYN:
            return False
        now = self._cpu.jiffies
        if 0 <= now - mini.last_oow_ack_time < self.tcp.invalid_ratelimit:
            which = "SynRecv" if isinstance(mini, RequestSock) else "TimeWait"
            self._ext[f"TCPACKSkipped{which}"] += 1
            return True
        mini.last_oow_ack_time = now
        return False

    def tcp_create_openreq_child(self, request: RequestSock, skb: RcvSkb) -> TcpSock:
        """The full socket of a request; still SYN_RECV."""
        tcp = self.tcp
        sk = tcp.new_sock()
        sk.state = State.SYN_RECV
        tcp.ipv4.set_addresses(
            sk, request.saddr, request.sport, request.daddr, request.dport, request.route
        )
        sk.inet_id = tcp.ipv4.random_ident()
        sk.listener = request.listener
        sk.rcv_nxt = sk.rcv_wup = sk.copied_seq = request.rcv_isn + 1
        sk.snd_una = sk.snd_nxt = sk.snd_sml = sk.write_seq = request.snt_isn + 1
        sk.pushed_seq = sk.write_seq
        sk.rcv_wnd = sk.rcv_ssthresh = request.rcv_wnd
        sk.window_clamp = 65535
        sk.snd_wnd = sk.max_window = skb.window
        sk.mss_clamp = request.mss
        sk.user_mss = request.listener.user_mss
        sk.advmss = request.advmss
        sk.rcvbuf, sk.rcvbuf_locked = request.listener.rcvbuf, request.listener.rcvbuf_locked
        sk.sndbuf, sk.sndbuf_locked = request.listener.sndbuf, request.listener.sndbuf_locked
        sk.nonagle = request.listener.nonagle
        sk.linger_s = request.listener.linger_s
        sk.keepalive = request.listener.keepalive
        sk.keepalive_time = request.listener.keepalive_time
        sk.keepalive_intvl = request.listener.keepalive_intvl
        sk.keepalive_probes = request.listener.keepalive_probes
        sk.user_timeout_ms = request.listener.user_timeout_ms
        if sk.keepalive:
            tcp.timer.reset_keepalive_timer(sk, tcp.timer.keepalive_time_when(sk))
        if skb.len >= MSS_DEFAULT:
            sk.ack_last_seg_size = skb.len
        tcp.output.tcp_sync_mss(sk)
        tcp.data.tcp_initialize_rcv_mss(sk)
        sk.total_retrans = request.num_retrans
        if request.num_timeout:
            sk.undo_marker = True
            sk.retrans_stamp_ns = request.snt_synack_ns
        if not request.num_retrans:
            # The handshake is the first sample of the round trip.
            tcp.ack.tcp_ack_update_rtt(sk, request.snt_synack_ns, request.snt_synack_ns)
        tcp.ipv4.insert(sk)
        tcp.snmp.tcp["PassiveOpens"] += 1
        return sk

    # TIME_WAIT.

    def tcp_time_wait(self, sk: TcpSock, substate: State, timeout: int) -> None:
        """Replace a connection by its TIME_WAIT (or FIN_WAIT2) entry."""
        entry = TimewaitSock(sk, substate)
        timeout = max(timeout, (sk.rto << 2) - (sk.rto >> 1))
        if substate == State.TIME_WAIT:
            timeout = TIMEWAIT_LEN
        entry.timer = self._cpu.timer(
            f"tcp time-wait {entry.sport}", lambda: self.tw_timer_handler(entry), periodic=True
        )
        self.tcp.tcp_done(sk)
        self.tcp.ipv4.insert(entry)
        entry.timer.mod(self._cpu.jiffies + timeout)

    def tw_timer_handler(self, entry: TimewaitSock) -> None:
        """``tw_timer_handler``: the entry has been kept for long enough."""
        self._ext["TW"] += 1
        self.tcp.ipv4.remove(entry)

    def tw_kill(self, entry: TimewaitSock) -> None:
        """``inet_twsk_deschedule_put``."""
        entry.timer.delete()
        self.tcp.ipv4.remove(entry)

    def tcp_timewait_state_process(self, entry: TimewaitSock, skb: RcvSkb) -> str:
        """A segment for a closed connection: "success", "ack", "rst" or "syn"."""
        skb.place(entry.rcv_nxt, entry.snd_nxt)
        flags = skb.flags
        if entry.substate == State.FIN_WAIT2:
            return self._fin_wait2(entry, skb)
        if skb.seq == entry.rcv_nxt and (skb.seq == skb.end_seq or flags & RST):
            if flags & RST:
                # TIME_WAIT assassination, which Linux allows by default.
                if not self.tcp.sysctl.tcp_rfc1337:
                    self.tw_kill(entry)
            else:
                self._reschedule(entry)
            return "success"
        if flags & (SYN | RST | ACK) == SYN and skb.seq > entry.rcv_nxt:
            return "syn"
        if not flags & RST:
            if flags & ACK:
                self._reschedule(entry)
            return "success" if self._limited(entry, skb) else "ack"
        return "success"

    def _fin_wait2(self, entry: TimewaitSock, skb: RcvSkb) -> str:
        flags = skb.flags
        if not _in_window(skb.seq, skb.end_seq, entry.rcv_nxt, entry.rcv_wnd):
            return "success" if self._limited(entry, skb) else "ack"
        if flags & RST:
            self.tw_kill(entry)
            return "success"
        if flags & SYN and skb.seq >= entry.rcv_nxt:
            return "rst"
        if not flags & ACK or skb.end_seq <= entry.rcv_nxt or skb.end_seq == skb.seq:
            return "success"
        if not flags & FIN or skb.end_seq != entry.rcv_nxt + 1:
            # Data for nobody.
            return "rst"
        entry.substate = State.TIME_WAIT
        entry.rcv_nxt = skb.end_seq
        self._reschedule(entry)
        return "ack"

    def _reschedule(self, entry: TimewaitSock) -> None:
        entry.timer.mod(self._cpu.jiffies + TIMEWAIT_LEN)


def _in_window(seq: int, end_seq: int, start: int, size: int) -> bool:
    """``tcp_in_window``."""
    end = start + size
    if seq == start:
        return True
    if end_seq > start and seq < end:
        return True
    return seq == end and seq == end_seq
