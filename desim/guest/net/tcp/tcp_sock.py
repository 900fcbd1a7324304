"""The state of a TCP connection (``struct tcp_sock`` with the parts it embeds) and its constants.

Field names are those of include/linux/tcp.h, inet_connection_sock.h and sock.h without
their prefixes. Times are in jiffies unless the name says otherwise; sequence numbers are
unwrapped (see ``tcp_skb``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

from desim.guest.cpu.context import HZ, Cpu, KernelTimer
from desim.guest.net.tcp.sysctl import TcpSysctl
from desim.guest.net.tcp.tcp_mem import PageFrag
from desim.guest.net.tcp.tcp_skb import RcvSkb, SndSkb
from desim.wire.addresses import IP_ANY

if TYPE_CHECKING:
    from desim.guest.net.ip import Route
    from desim.guest.net.tcp.tcp_cong import Cubic


class State(IntEnum):
    """``include/net/tcp_states.h``."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12


class CaState(IntEnum):
    """``enum tcp_ca_state``."""

    OPEN = 0
    DISORDER = 1
    CWR = 2
    RECOVERY = 3
    LOSS = 4


MSS_DEFAULT = 536
MIN_MSS = 88
ADVMSS = 1460
INIT_CWND = 10
INFINITE_SSTHRESH = 0x7FFFFFFF
MAX_QUICKACKS = 16
RTO_MIN = HZ // 5
RTO_MAX = 120 * HZ
TIMEOUT_INIT = HZ
TIMEOUT_FALLBACK = 3 * HZ
"""The first RTO where the handshake gave no sample (RFC 6298 section 5.7)."""
TIMEOUT_MIN = 2
ATO_MIN = HZ // 25
DELACK_MIN = HZ // 25
DELACK_MAX = HZ // 5
TIMEWAIT_LEN = 60 * HZ
SOMAXCONN = 4096
"""``net.core.somaxconn``."""

GSO_MAX_SIZE = 65536

ACK_SCHED = 1
ACK_TIMER = 2
ACK_PUSHED = 4
ACK_PUSHED2 = 8
ACK_NOW = 16

TIME_RETRANS = 1
TIME_PROBE0 = 3

NAGLE_OFF = 1
NAGLE_CORK = 2
NAGLE_PUSH = 4


def win_from_space(space: int) -> int:
    """``tcp_win_from_space`` with ``tcp_adv_win_scale`` 1: half of the memory is for payload."""
    return space - (space >> 1)


def select_initial_window(rcvbuf: int, mss: int) -> int:
    """``tcp_select_initial_window``: the first window, of whole segments if it holds one."""
    space = win_from_space(rcvbuf)
    return min(space - space % mss if space > mss else space, 65535)


class TcpSock:
    """One connection or listener. It holds state; the parts of ``Tcp`` act on it."""

    __slots__ = (
        "accept_queue",
        "ack_ato",
        "ack_last_seg_size",
        "ack_lrcvtime",
        "ack_pending",
        "ack_pingpong",
        "ack_quick",
        "ack_rcv_mss",
        "ack_timeout",
        "advmss",
        "backlog",
        "backlog_len",
        "backoff",
        "bound_saddr",
        "bytes_acked",
        "ca",
        "ca_state",
        "copied_seq",
        "cwnd_usage_seq",
        "daddr",
        "dead",
        "delack_deferred",
        "delack_timer",
        "delivered",
        "done",
        "dport",
        "dst_pending_confirm",
        "err",
        "err_soft",
        "error_queue",
        "frto",
        "high_seq",
        "inet_id",
        "is_cwnd_limited",
        "keepalive",
        "keepalive_intvl",
        "keepalive_probes",
        "keepalive_time",
        "keepalive_timer",
        "last_oow_ack_time",
        "linger_s",
        "listener",
        "lost",
        "lost_out",
        "lsndtime",
        "max_ack_backlog",
        "max_packets_out",
        "max_window",
        "mdev_max_us",
        "mdev_us",
        "min_rtt_us",
        "mss_cache",
        "mss_clamp",
        "nonagle",
        "nospace",
        "ofo_queue",
        "owned",
        "pacing_rate",
        "packets_out",
        "page_frag",
        "pending",
        "prior_cwnd",
        "prior_ssthresh",
        "probes_out",
        "probes_since",
        "prr_delivered",
        "prr_out",
        "pseudo_sum",
        "pushed_seq",
        "rcv_nxt",
        "rcv_rtt_seq",
        "rcv_rtt_time_ns",
        "rcv_rtt_us",
        "rcv_ssthresh",
        "rcv_tstamp",
        "rcv_wnd",
        "rcv_wup",
        "rcvbuf",
        "rcvbuf_locked",
        "rcvq_seq",
        "rcvq_space",
        "rcvq_time_ns",
        "receive_queue",
        "reordering",
        "request_queue_len",
        "retrans_out",
        "retrans_stamp_ns",
        "retransmit_timer",
        "retransmits",
        "rmem_alloc",
        "route",
        "rto",
        "rtt_seq",
        "rttvar_us",
        "rtx_queue",
        "sacked_out",
        "saddr",
        "shutdown",
        "snd_cwnd",
        "snd_cwnd_cnt",
        "snd_cwnd_stamp",
        "snd_cwnd_used",
        "snd_nxt",
        "snd_sml",
        "snd_ssthresh",
        "snd_una",
        "snd_wl1",
        "snd_wnd",
        "sndbuf",
        "sndbuf_locked",
        "sport",
        "srtt_us",
        "state",
        "syn_tsval",
        "timeout",
        "total_retrans",
        "tsq_deferred",
        "tsq_queued",
        "tsq_throttled",
        "undo_marker",
        "user_mss",
        "user_timeout_ms",
        "wake",
        "window_clamp",
        "wmem_alloc",
        "wmem_queued",
        "write_queue",
        "write_seq",
        "write_timer_deferred",
        "wstamp_ns",
    )

    retransmit_timer: KernelTimer
    delack_timer: KernelTimer
    route: Route
    ca: Cubic

    def __init__(self, cpu: Cpu, sysctl: TcpSysctl) -> None:
        """``tcp_init_sock``; ``Tcp.new_sock`` adds timers and congestion control."""
        now = cpu.jiffies
        self.state = State.CLOSE
        self.saddr = IP_ANY
        self.sport = 0
        self.bound_saddr: bytes | None = None
        """What bind() has chosen; None without one."""
        self.daddr = IP_ANY
        self.dport = 0
        self.inet_id = 0
        self.dst_pending_confirm = False
        self.pseudo_sum = 0
        """The pseudo header's sum but for the length."""
        # The socket.
        self.owned = False
        self.backlog: list[RcvSkb] = []
        self.backlog_len = 0
        self.err = 0
        self.err_soft = 0
        self.error_queue = 0
        """ICMP errors that came while connecting, which nobody takes out; poll shows them."""
        self.shutdown = 0
        self.done = False
        """SOCK_DONE: the peer's FIN has been received."""
        self.dead = False
        """SOCK_DEAD: no program has it open (an orphan)."""
        self.nospace = False
        """SOCK_NOSPACE: a program waits for room to write."""
        self.wake: Callable[[], None] | None = None
        self.rcvbuf = sysctl.tcp_rmem[1]
        self.sndbuf = sysctl.tcp_wmem[1]
        self.rcvbuf_locked = self.sndbuf_locked = False
        """SOCK_RCVBUF_LOCK, SOCK_SNDBUF_LOCK: the program has chosen, and nothing changes it."""
        self.keepalive = False
        """SO_KEEPALIVE, with its times in jiffies; each is 0 if ``net.ipv4.tcp_keepalive_*``
        counts."""
        self.keepalive_time = 0
        self.keepalive_intvl = 0
        self.keepalive_probes = 0
        self.keepalive_timer: KernelTimer | None = None
        """Made when it is first needed."""
        self.user_mss = 0
        """TCP_MAXSEG: no segment is larger, either way; 0 for as large as the path's."""
        self.user_timeout_ms = 0
        """TCP_USER_TIMEOUT: how long what is sent may stay unanswered; 0 for the usual tries."""
        self.linger_s = -1
        """SO_LINGER: how long close() waits, 0 to reset the connection, -1 for neither."""
        self.rmem_alloc = 0
        self.wmem_queued = 0
        self.wmem_alloc = 0
        # Listening.
        self.accept_queue: deque[TcpSock] = deque()
        self.max_ack_backlog = 0
        self.request_queue_len = 0
        self.listener: TcpSock | None = None
        # Queues.
        self.receive_queue: deque[RcvSkb] = deque()
        self.ofo_queue: list[RcvSkb] = []
        self.write_queue: deque[SndSkb] = deque()
        self.rtx_queue: deque[SndSkb] = deque()
        self.page_frag = PageFrag()
        """That of the program (``sk_page_frag``), which has one socket that it writes to."""
        # Sending.
        self.write_seq = 0
        self.snd_una = 0
        self.bytes_acked = 0
        self.snd_nxt = 0
        self.snd_sml = 0
        self.snd_wnd = 0
        self.snd_wl1 = 0
        self.max_window = 0
        self.pushed_seq = 0
        self.mss_clamp = MSS_DEFAULT
        self.mss_cache = MSS_DEFAULT
        self.advmss = ADVMSS
        self.nonagle = 0
        self.packets_out = 0
        self.retrans_out = 0
        self.lost_out = 0
        self.sacked_out = 0
        self.lsndtime = now
        self.wstamp_ns = 0
        self.syn_tsval = 0
        # Congestion control.
        self.snd_cwnd = INIT_CWND
        self.snd_cwnd_cnt = 0
        self.snd_cwnd_used = 0
        self.snd_cwnd_stamp = now
        self.snd_ssthresh = INFINITE_SSTHRESH
        self.is_cwnd_limited = False
        self.max_packets_out = 0
        self.cwnd_usage_seq = 0
        self.ca_state = CaState.OPEN
        self.high_seq = 0
        self.undo_marker = False
        """Whether the last reduction could still turn out to have been wrong."""
        self.prior_cwnd = 0
        self.prior_ssthresh = 0
        self.frto = False
        self.reordering = sysctl.tcp_reordering
        """``dupthresh``: so many duplicate ACKs are no sign of loss."""
        self.delivered = 0
        self.lost = 0
        """Segments ever marked as lost; ``lost_out`` are those that still are."""
        self.prr_delivered = 0
        self.prr_out = 0
        self.pacing_rate = (1 << 64) - 1
        # Round-trip time and retransmission.
        self.srtt_us = 0
        self.mdev_us = 1_000_000
        self.mdev_max_us = 0
        self.rttvar_us = 0
        self.rtt_seq = 0
        self.min_rtt_us = 1 << 32
        self.rto = TIMEOUT_INIT
        self.backoff = 0
        self.retransmits = 0
        self.total_retrans = 0
        self.retrans_stamp_ns: int | None = None
        self.probes_out = 0
        self.probes_since: int | None = None
        """``icsk_probes_tstamp``: the jiffy since which a closed window is probed."""
        self.pending = 0
        self.timeout = 0
        # Receiving.
        self.rcv_nxt = 0
        self.rcv_wup = 0
        self.copied_seq = 0
        self.rcv_wnd = 0
        self.rcv_ssthresh = 0
        self.window_clamp = 0
        self.rcv_tstamp = now
        self.rcv_rtt_us = 0
        self.rcv_rtt_seq = 0
        self.rcv_rtt_time_ns: int | None = None
        self.rcvq_space = 0
        self.rcvq_seq = 0
        self.rcvq_time_ns = 0
        self.last_oow_ack_time = -HZ
        # Acknowledging (icsk_ack).
        self.ack_pending = 0
        self.ack_quick = 0
        self.ack_pingpong = False
        self.ack_ato = 0
        self.ack_timeout = 0
        self.ack_lrcvtime = now
        self.ack_last_seg_size = 0
        self.ack_rcv_mss = 0
        # What a soft interrupt leaves to the program that owns the socket (tsq_flags).
        self.tsq_throttled = False
        self.tsq_queued = False
        self.tsq_deferred = False
        self.write_timer_deferred = False
        self.delack_deferred = False

    def begin_anew(self, now: int) -> None:
        """The part of ``tcp_disconnect`` that makes the socket as it was before connect()."""
        self.dport = 0
        if self.bound_saddr is None:
            self.sport = 0
        self.saddr = self.bound_saddr or IP_ANY
        self.shutdown = 0
        self.done = False
        self.copied_seq = self.rcv_nxt
        self.write_seq += self.max_window + 2
        self.mss_clamp = MSS_DEFAULT
        self.srtt_us = 0
        self.mdev_us = 1_000_000
        self.rto = TIMEOUT_INIT
        self.backoff = self.probes_out = self.total_retrans = 0
        self.probes_since = None
        self.snd_ssthresh = INFINITE_SSTHRESH
        self.snd_cwnd = INIT_CWND
        self.snd_cwnd_cnt = 0
        self.is_cwnd_limited = False
        self.max_packets_out = 0
        self.window_clamp = 0
        self.delivered = self.bytes_acked = 0
        self.ca_state = CaState.OPEN
        self.undo_marker = False
        self.ack_pending = self.ack_quick = self.ack_ato = self.ack_last_seg_size = 0
        self.ack_pingpong = False
        self.ack_lrcvtime = now
        self.ack_rcv_mss = MIN_MSS
        self.last_oow_ack_time = -HZ

    def mss_of_user(self, mss: int) -> int:
        """``tcp_mss_clamp``: ``mss``, or the program's if that is smaller."""
        return min(self.user_mss, mss) if self.user_mss else mss

    def receive_window(self) -> int:
        """``tcp_receive_window``: how much more the peer may send, by our last word."""
        return max(self.rcv_wup + self.rcv_wnd - self.rcv_nxt, 0)

    def wnd_end(self) -> int:
        """``tcp_wnd_end``: the first sequence number that the peer would not take."""
        return self.snd_una + self.snd_wnd

    def packets_in_flight(self) -> int:
        """``tcp_packets_in_flight``."""
        return self.packets_out - self.sacked_out - self.lost_out + self.retrans_out

    def in_slow_start(self) -> bool:
        """``tcp_in_slow_start``."""
        return self.snd_cwnd < self.snd_ssthresh

    def in_cwnd_reduction(self) -> bool:
        """``tcp_in_cwnd_reduction``."""
        return self.ca_state in (CaState.CWR, CaState.RECOVERY)

    def space(self) -> int:
        """``tcp_space``: bytes that may be promised, from the memory that is left."""
        return win_from_space(max(self.rcvbuf - self.backlog_len - self.rmem_alloc, 0))

    def in_quickack_mode(self) -> bool:
        """``tcp_in_quickack_mode``."""
        return self.ack_quick > 0 and not self.ack_pingpong

    def stream_memory_free(self) -> bool:
        """``sk_stream_memory_free``."""
        return self.wmem_queued < self.sndbuf

    def stream_is_writeable(self) -> bool:
        """``sk_stream_is_writeable``: a third of the buffer is free."""
        return self.sndbuf - self.wmem_queued >= self.wmem_queued >> 1
