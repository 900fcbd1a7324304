"""TCP's two timers (slirp/tcp_timer.c): the fast one sends delayed ACKs, the slow one counts.

Each connection has four counters of slow ticks: retransmit, persist, keep-alive and
2MSL, looked at in this order. Before a connection is established the keep-alive
counter is the time limit for that (75 s); afterwards it does nothing, because
slirp sends no keep-alive probes.

After 12 retransmissions the segment size is halved and 7 more follow, until it would
fall below 32 bytes; only then is the connection dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.slirp.tcp_var import (
    PR_SLOWHZ,
    SEQ,
    TCP_BACKOFF,
    TCP_ISSINCR,
    TCP_MAXIDLE,
    TCP_MAXRXTSHIFT,
    TCP_MINSEG,
    TCPS_ESTABLISHED,
    TCPS_TIME_WAIT,
    TCPT_2MSL,
    TCPT_KEEP,
    TCPT_PERSIST,
    TCPT_REXMT,
    TCPTV_KEEP_IDLE,
    TCPTV_KEEPINTVL,
    TCPTV_MIN,
    TCPTV_REXMTMAX,
    TF_ACKNOW,
    TF_DELACK,
    TcpCb,
    rangeset,
    short,
)
from desim.stages import QEMU, mark, stages

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp


class TcpTimer:
    """``tcp_fasttimo`` and ``tcp_slowtimo``."""

    STAGES = stages(
        QEMU,
        tcp_fasttimo=mark("tcp_fasttimo", file="slirp/tcp_timer.c"),
        tcp_slowtimo=mark("tcp_slowtimo", file="slirp/tcp_timer.c"),
        tcp_timers=mark("tcp_timers", file="slirp/tcp_timer.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp

    def tcp_fasttimo(self) -> None:
        """Send every ACK that was delayed."""
        for so in self.slirp.newest_first(self.slirp.tcp_subr.connections):
            tp = so.so_tcpcb
            if not so.closed and tp.t_flags & TF_DELACK:
                tp.t_flags = tp.t_flags & ~TF_DELACK | TF_ACKNOW
                self.slirp.tcp_output.tcp_output(tp)

    def tcp_slowtimo(self) -> None:
        """One tick for every connection; a listener's counters mean nothing."""
        subr = self.slirp.tcp_subr
        for so in self.slirp.newest_first(subr.connections):
            if not so.closed:
                self._tick(so.so_tcpcb)
        subr.tcp_iss = (subr.tcp_iss + TCP_ISSINCR // PR_SLOWHZ) & SEQ

    def _tick(self, tp: TcpCb) -> None:
        so = tp.t_socket
        for timer in range(4):
            left = tp.t_timer[timer]
            if left:
                tp.t_timer[timer] = left - 1
                if left == 1:
                    self.tcp_timers(tp, timer)
                    if so.closed:
                        return
        tp.t_idle = short(tp.t_idle + 1)
        if tp.t_rtt:
            tp.t_rtt = short(tp.t_rtt + 1)

    def tcp_timers(self, tp: TcpCb, timer: int) -> None:
        """``timer`` of ``tp`` has run down."""
        slirp = self.slirp
        if timer == TCPT_REXMT:
            self._retransmit(tp)
        elif timer == TCPT_PERSIST:
            slirp.tcp_output.tcp_setpersist(tp)
            tp.t_force = True
            slirp.tcp_output.tcp_output(tp)
            tp.t_force = False
        elif timer == TCPT_KEEP:
            if tp.t_state < TCPS_ESTABLISHED:
                slirp.tcp_subr.tcp_drop(tp)
            else:
                tp.t_timer[TCPT_KEEP] = TCPTV_KEEP_IDLE
        elif timer == TCPT_2MSL:
            if tp.t_state != TCPS_TIME_WAIT and tp.t_idle <= TCP_MAXIDLE:
                tp.t_timer[TCPT_2MSL] = TCPTV_KEEPINTVL
            else:
                slirp.tcp_subr.tcp_close(tp)

    def _retransmit(self, tp: TcpCb) -> None:
        tp.t_rxtshift += 1
        if tp.t_rxtshift > TCP_MAXRXTSHIFT:
            tp.t_maxseg >>= 1
            if tp.t_maxseg < TCP_MINSEG:
                tp.t_rxtshift = TCP_MAXRXTSHIFT
                self.slirp.tcp_subr.tcp_drop(tp)
                return
            tp.t_rxtshift = 6
        ticks = tp.rexmtval() * TCP_BACKOFF[tp.t_rxtshift]
        tp.t_rxtcur = rangeset(ticks, TCPTV_MIN, TCPTV_REXMTMAX)
        tp.t_timer[TCPT_REXMT] = tp.t_rxtcur
        if tp.t_rxtshift > TCP_MAXRXTSHIFT // 4:
            # The estimate is probably wrong: take the next sample as it comes.
            tp.t_rttvar = short(tp.t_rttvar + (tp.t_srtt >> 3))
            tp.t_srtt = 0
        tp.snd_nxt = tp.snd_una
        tp.t_rtt = 0
        segments = max(2, min(tp.snd_wnd, tp.snd_cwnd) // 2 // tp.t_maxseg)
        tp.snd_cwnd = tp.t_maxseg
        tp.snd_ssthresh = segments * tp.t_maxseg
        tp.t_dupacks = 0
        self.slirp.tcp_output.tcp_output(tp)
