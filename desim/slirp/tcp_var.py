"""TCP's states, timers, constants and control block (slirp/tcp.h, tcp_timer.h, tcp_var.h).

Sequence numbers are ints modulo 2**32. Timers count ticks: runs of the slow
timer, nominally 500 ms. Fields that are C shorts wrap as C shorts do; after four
and a half idle hours ``t_idle`` is negative in the real slirp, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.wire.frame import Frame

if TYPE_CHECKING:
    from desim.slirp.datagram import Datagram
    from desim.slirp.socket import Socket

TH_FIN = 0x01
TH_SYN = 0x02
TH_RST = 0x04
TH_PUSH = 0x08
TH_ACK = 0x10
TH_URG = 0x20

TCPS_CLOSED = 0
TCPS_LISTEN = 1
TCPS_SYN_SENT = 2
TCPS_SYN_RECEIVED = 3
TCPS_ESTABLISHED = 4
TCPS_CLOSE_WAIT = 5
TCPS_FIN_WAIT_1 = 6
TCPS_CLOSING = 7
TCPS_LAST_ACK = 8
TCPS_FIN_WAIT_2 = 9
TCPS_TIME_WAIT = 10

TCPSTATES = (
    "CLOSED",
    "LISTEN",
    "SYN_SENT",
    "SYN_RCVD",
    "ESTABLISHED",
    "CLOSE_WAIT",
    "FIN_WAIT_1",
    "CLOSING",
    "LAST_ACK",
    "FIN_WAIT_2",
    "TIME_WAIT",
)

TCPT_REXMT = 0
TCPT_PERSIST = 1
TCPT_KEEP = 2
TCPT_2MSL = 3

PR_SLOWHZ = 2
TCPTV_MSL = 5 * PR_SLOWHZ
TCPTV_SRTTDFLT = 3 * PR_SLOWHZ
TCPTV_PERSMIN = 5 * PR_SLOWHZ
TCPTV_PERSMAX = 60 * PR_SLOWHZ
TCPTV_KEEP_INIT = 75 * PR_SLOWHZ
TCPTV_KEEP_IDLE = 120 * 60 * PR_SLOWHZ
TCPTV_KEEPINTVL = 75 * PR_SLOWHZ
TCP_MAXIDLE = 8 * TCPTV_KEEPINTVL
TCPTV_MIN = 1 * PR_SLOWHZ
TCPTV_REXMTMAX = 12 * PR_SLOWHZ
TCP_MAXRXTSHIFT = 12
TCP_BACKOFF = (1, 2, 4, 8, 16, 32, 64, 64, 64, 64, 64, 64, 64)
TCPREXMTTHRESH = 3
TCP_MAXWIN = 65535
TCP_MAX_WINSHIFT = 14
TCP_MAXSEG_MAX = 32768
TCP_MINSEG = 32
TCP_ISSINCR = 125 * 1024

TF_ACKNOW = 0x01
TF_DELACK = 0x02
TF_SENTFIN = 0x10

SEQ = 0xFFFFFFFF
"""Sequence numbers are taken modulo this plus one."""


def seq_lt(a: int, b: int) -> bool:
    """Whether ``a`` comes before ``b`` in sequence space."""
    return (a - b) & 0x80000000 != 0


def seq_gt(a: int, b: int) -> bool:
    """Whether ``a`` comes after ``b`` in sequence space."""
    return (b - a) & 0x80000000 != 0


def seq_diff(a: int, b: int) -> int:
    """``a - b`` as a signed number."""
    return ((a - b + 0x80000000) & SEQ) - 0x80000000


def short(value: int) -> int:
    """``value`` as a C short holds it."""
    return ((value + 0x8000) & 0xFFFF) - 0x8000


def rangeset(value: int, low: int, high: int) -> int:
    """``value`` as a short, kept between ``low`` and ``high`` (``TCPT_RANGESET``)."""
    return max(low, min(high, short(value)))


class Ti:
    """A segment that is being worked on (``struct tcpiphdr``): its edges get trimmed."""

    __slots__ = (
        "ack",
        "data",
        "datagram",
        "dport",
        "dst",
        "first_char",
        "flags",
        "frame",
        "options",
        "seq",
        "sport",
        "src",
        "tiflags",
        "urp",
        "win",
    )

    def __init__(
        self,
        frame: Frame,
        datagram: Datagram | None,
        src: bytes,
        dst: bytes,
        sport: int,
        dport: int,
        seq: int,
        ack: int,
        flags: int,
        win: int,
        urp: int,
        options: bytes,
        data: bytes,
    ) -> None:
        self.frame = frame
        self.datagram = datagram
        """What it came in; None while it is the frame as it is."""
        self.src = src
        self.dst = dst
        self.sport = sport
        self.dport = dport
        self.seq = seq
        self.ack = ack
        self.flags = flags
        """As they came. Whether there is a FIN is asked here, even if ``tiflags`` lost it."""
        self.tiflags = flags
        """What is left of them after trimming."""
        self.win = win
        self.urp = urp
        self.options = options
        self.data = data
        # slirp looks at the byte behind a header of 20 bytes, be it data or an option.
        self.first_char = options[0] if options else data[0] if data else -1


class TcpCb:
    """``struct tcpcb``: one TCP connection, from the side of the guest."""

    __slots__ = (
        "irs",
        "iss",
        "max_sndwnd",
        "rcv_adv",
        "rcv_nxt",
        "rcv_up",
        "rcv_wnd",
        "reass",
        "snd_cwnd",
        "snd_max",
        "snd_nxt",
        "snd_ssthresh",
        "snd_una",
        "snd_up",
        "snd_wl1",
        "snd_wl2",
        "snd_wnd",
        "t_dupacks",
        "t_flags",
        "t_force",
        "t_idle",
        "t_maxseg",
        "t_rtseq",
        "t_rtt",
        "t_rttvar",
        "t_rxtcur",
        "t_rxtshift",
        "t_socket",
        "t_srtt",
        "t_state",
        "t_template",
        "t_timer",
    )

    def __init__(self, so: Socket, t_maxseg: int) -> None:
        self.t_socket = so
        self.t_state = TCPS_CLOSED
        self.t_timer = [0, 0, 0, 0]
        self.t_rxtshift = 0
        self.t_rxtcur = rangeset((TCPTV_SRTTDFLT << 2) >> 1, TCPTV_MIN, TCPTV_REXMTMAX)
        self.t_dupacks = 0
        self.t_maxseg = t_maxseg
        self.t_force = False
        self.t_flags = 0
        self.t_template: tuple[bytes, bytes, int, int] = (b"", b"", 0, 0)
        """Source and destination of what it sends: addresses, then ports."""
        self.reass: list[Ti] = []
        """Segments that wait for what comes before them, in order."""
        self.snd_una = 0
        self.snd_nxt = 0
        self.snd_max = 0
        self.snd_up = 0
        self.snd_wl1 = 0
        self.snd_wl2 = 0
        self.iss = 0
        self.snd_wnd = 0
        self.rcv_wnd = 0
        self.rcv_nxt = 0
        self.rcv_up = 0
        self.irs = 0
        self.rcv_adv = 0
        self.snd_cwnd = TCP_MAXWIN << TCP_MAX_WINSHIFT
        self.snd_ssthresh = TCP_MAXWIN << TCP_MAX_WINSHIFT
        self.t_idle = 0
        self.t_rtt = 0
        self.t_rtseq = 0
        self.t_srtt = 0
        self.t_rttvar = TCPTV_SRTTDFLT << 2
        self.max_sndwnd = 0

    def sendseqinit(self) -> None:
        """Start sending at ``iss`` (``tcp_sendseqinit``)."""
        self.snd_una = self.snd_nxt = self.snd_max = self.snd_up = self.iss

    def rcvseqinit(self) -> None:
        """Start receiving behind the SYN at ``irs`` (``tcp_rcvseqinit``)."""
        self.rcv_adv = self.rcv_nxt = (self.irs + 1) & SEQ

    def rexmtval(self) -> int:
        """The retransmission time by what has been measured, in ticks (``TCP_REXMTVAL``)."""
        return (self.t_srtt >> 3) + self.t_rttvar

    def canceltimers(self) -> None:
        """Stop all four timers (``tcp_canceltimers``)."""
        self.t_timer = [0, 0, 0, 0]
