"""The timers of a connection (net/ipv4/tcp_timer.c, RTO of RFC 6298).

Two kernel timers serve a socket: one for retransmission or, while the peer's window is
closed, for probing it; one for the delayed ACK. Both are often left armed when their
reason has gone and look for it when they fire. If the program owns the socket at that
moment, the work is left to ``tcp_release_cb``.

A third serves those that a program wants to be kept alive (SO_KEEPALIVE): when nothing has
come for ``keepalive_time`` it sends an old number for the peer to answer.

A program may say how long what it has sent may stay unanswered (TCP_USER_TIMEOUT). That
takes the place of the number of tries, also of probes; the last timer fires when it is over.

Not modelled: thin streams, TCP_DEFER_ACCEPT; a probe that the own machine
drops counts as sent.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from desim.guest.cpu.context import HZ, KernelTimer
from desim.guest.net.tcp.tcp_skb import SndSkb
from desim.guest.net.tcp.tcp_sock import (
    ACK_SCHED,
    ACK_TIMER,
    ATO_MIN,
    RTO_MAX,
    RTO_MIN,
    TIME_RETRANS,
    TIMEOUT_INIT,
    TIMEOUT_MIN,
    State,
    TcpSock,
)
from desim.stages import GUEST, mark, stages

if TYPE_CHECKING:
    from desim.guest.net.tcp.tcp import Tcp


class TcpTimer:
    """What happens when time has passed."""

    STAGES = stages(
        GUEST,
        tcp_delack_timer=mark("tcp_delack_timer", file="net/ipv4/tcp_timer.c"),
        tcp_write_timer=mark("tcp_write_timer", file="net/ipv4/tcp_timer.c"),
        tcp_retransmit_timer=mark("tcp_retransmit_timer", file="net/ipv4/tcp_timer.c"),
        tcp_write_err=mark("tcp_write_err", file="net/ipv4/tcp_timer.c"),
        tcp_probe_timer=mark("tcp_probe_timer", file="net/ipv4/tcp_timer.c"),
    )

    def __init__(self, tcp: Tcp) -> None:
        self.tcp = tcp
        self._cpu = tcp.cpu
        self._ext = tcp.snmp.tcp_ext

    def reset_timer(self, timer: KernelTimer, expires: int) -> None:
        """``sk_reset_timer``; arming for the same jiffy again changes nothing."""
        if not timer.pending or timer.expires != expires:
            timer.mod(expires)

    def reset_xmit_timer(self, sk: TcpSock, what: int, when: int) -> None:
        """``inet_csk_reset_xmit_timer`` for retransmission and probes."""
        sk.pending = what
        sk.timeout = self._cpu.jiffies + min(when, RTO_MAX)
        self.reset_timer(sk.retransmit_timer, sk.timeout)

    def tcp_rearm_rto(self, sk: TcpSock) -> None:
        """The retransmission timer starts anew, or stops when all is acknowledged."""
        if not sk.packets_out:
            sk.pending = 0
        else:
            self.reset_xmit_timer(sk, TIME_RETRANS, sk.rto)

    def clear_xmit_timers(self, sk: TcpSock) -> None:
        """``tcp_clear_xmit_timers``: the connection is over."""
        sk.pending = 0
        sk.ack_pending = 0
        for timer in (sk.retransmit_timer, sk.delack_timer, sk.keepalive_timer):
            if timer is not None and timer.pending:
                timer.delete()

    # The delayed ACK.

    def tcp_delack_timer(self, sk: TcpSock) -> None:
        """The timer of the delayed ACK has fired."""
        if sk.owned:
            self._ext["DelayedACKLocked"] += 1
            sk.delack_deferred = True
        else:
            self.tcp_delack_timer_handler(sk)

    def tcp_delack_timer_handler(self, sk: TcpSock) -> None:
        """Send the ACK, if one is still owed."""
        if sk.state in (State.CLOSE, State.LISTEN) or not sk.ack_pending & ACK_TIMER:
            return
        if sk.ack_timeout > self._cpu.jiffies:
            self.reset_timer(sk.delack_timer, sk.ack_timeout)
            return
        sk.ack_pending &= ~ACK_TIMER
        if sk.ack_pending & ACK_SCHED:
            if not sk.ack_pingpong:
                # It was too early: nothing to carry the ACK has come.
                sk.ack_ato = min(sk.ack_ato << 1, sk.rto)
            else:
                sk.ack_pingpong = False
                sk.ack_ato = ATO_MIN
            self._ext["DelayedACKs"] += 1
            self.tcp.output.tcp_send_ack(sk)

    # Retransmission and probes.

    def tcp_write_timer(self, sk: TcpSock) -> None:
        """The other timer has fired."""
        if sk.owned:
            sk.write_timer_deferred = True
        else:
            self.tcp_write_timer_handler(sk)

    def tcp_write_timer_handler(self, sk: TcpSock) -> None:
        """Retransmit or probe, if it is time."""
        if sk.state in (State.CLOSE, State.LISTEN) or not sk.pending:
            return
        if sk.timeout > self._cpu.jiffies:
            self.reset_timer(sk.retransmit_timer, sk.timeout)
            return
        what, sk.pending = sk.pending, 0
        if what == TIME_RETRANS:
            self.tcp_retransmit_timer(sk)
        else:
            self.tcp_probe_timer(sk)

    def tcp_retransmit_timer(self, sk: TcpSock) -> None:
        """Nothing was acknowledged for an RTO: send the first segment again, back off."""
        tcp = self.tcp
        if not sk.packets_out:
            return
        head = sk.rtx_queue[0]
        if not sk.snd_wnd and not sk.dead and sk.state != State.SYN_SENT:
            # The peer took its window back although data was under way.
            if self.tcp_rtx_probe0_timed_out(sk, head):
                self.tcp_write_err(sk)
                return
            tcp.ack.tcp_enter_loss(sk)
            tcp.retransmit.tcp_retransmit_skb(sk, head, 1)
        else:
            self._ext["TCPTimeouts"] += 1
            if self.tcp_write_timeout(sk):
                return
            tcp.ack.tcp_enter_loss(sk)
            sk.retransmits += 1
            tcp.retransmit.tcp_retransmit_skb(sk, head, 1)
            sk.backoff += 1
        sk.rto = min(sk.rto << 1, RTO_MAX)
        self.reset_xmit_timer(sk, TIME_RETRANS, self.tcp_clamp_rto_to_user_timeout(sk))

    def tcp_clamp_rto_to_user_timeout(self, sk: TcpSock) -> int:
        """The RTO, or what is left of the time that the program gives."""
        if not sk.user_timeout_ms or sk.retrans_stamp_ns is None:
            return sk.rto
        left_ms = sk.user_timeout_ms - self._passed_ms(sk.retrans_stamp_ns)
        return 1 if left_ms <= 0 else min(sk.rto, msecs_to_jiffies(left_ms))

    def tcp_clamp_probe0_to_user_timeout(self, sk: TcpSock, when: int) -> int:
        """``when``, or sooner: when the program's time for a closed window is over."""
        if not sk.user_timeout_ms or sk.probes_since is None:
            return when
        left = msecs_to_jiffies(sk.user_timeout_ms) - (self._cpu.jiffies - sk.probes_since)
        return min(max(left, TIMEOUT_MIN), when)

    def _passed_ms(self, since_ns: int) -> int:
        """By the clock of ``tcp_time_stamp``, which counts whole milliseconds."""
        return self._cpu.now() // 1_000_000 - since_ns // 1_000_000

    def tcp_rtx_probe0_timed_out(self, sk: TcpSock, head: SndSkb) -> bool:
        """Whether a window that was taken back has been tried for four minutes, unanswered.

        With TCP_USER_TIMEOUT answers that keep the window closed do not help.
        """
        began_ns = head.sent_ns if sk.retrans_stamp_ns is None else sk.retrans_stamp_ns
        tried_ms = self._passed_ms(began_ns)
        limit = 2 * RTO_MAX
        if sk.user_timeout_ms:
            if tried_ms > sk.user_timeout_ms:
                return True
            limit = min(limit, msecs_to_jiffies(sk.user_timeout_ms))
        if sk.timeout - sk.rcv_tstamp <= limit:
            return False
        return msecs_to_jiffies(tried_ms) > limit

    def tcp_write_timeout(self, sk: TcpSock) -> bool:
        """Whether the connection has been tried for long enough; then it is given up."""
        if sk.state == State.SYN_SENT:
            boundary = self.tcp.sysctl.tcp_syn_retries
            expired = sk.retransmits >= boundary
        else:
            boundary = self.tcp.sysctl.tcp_retries2
            expired = False
            if sk.dead:
                boundary = self.tcp_orphan_retries(sk, sk.rto < RTO_MAX)
        expired = expired or self.retransmits_timed_out(sk, boundary)
        if expired:
            self.tcp_write_err(sk)
        return expired

    def tcp_orphan_retries(self, sk: TcpSock, alive: bool) -> int:
        """How long to try for a connection that no program holds."""
        retries = self.tcp.sysctl.tcp_orphan_retries
        if sk.err_soft and not alive:
            retries = 0
        # Eight are more than a hundred seconds.
        return 8 if not retries and alive else retries

    def retransmits_timed_out(self, sk: TcpSock, boundary: int) -> bool:
        """Whether as much time has passed as ``boundary`` retransmissions would take, or as
        the program gives."""
        if not sk.retransmits or sk.retrans_stamp_ns is None:
            return False
        passed_ms = self._passed_ms(sk.retrans_stamp_ns)
        if sk.user_timeout_ms:
            return passed_ms >= sk.user_timeout_ms
        base_ms = (TIMEOUT_INIT if sk.state == State.SYN_SENT else RTO_MIN) * 1000 // HZ
        max_ms = RTO_MAX * 1000 // HZ
        linear_from = (max_ms // base_ms).bit_length() - 1
        if boundary <= linear_from:
            timeout_ms = ((2 << boundary) - 1) * base_ms
        else:
            timeout_ms = ((2 << linear_from) - 1) * base_ms + (boundary - linear_from) * max_ms
        return passed_ms >= timeout_ms

    def tcp_write_err(self, sk: TcpSock) -> None:
        """Give the connection up."""
        self._ext["TCPAbortOnTimeout"] += 1
        self.tcp.tcp_done_with_error(sk, sk.err_soft or errno.ETIMEDOUT)

    def tcp_probe_timer(self, sk: TcpSock) -> None:
        """The peer's window is still closed as far as we know."""
        if sk.packets_out or not sk.write_queue:
            sk.probes_out = 0
            sk.probes_since = None
            return
        now = self._cpu.jiffies
        if sk.probes_since is None:
            sk.probes_since = now
        elif sk.user_timeout_ms:
            if now - sk.probes_since >= msecs_to_jiffies(sk.user_timeout_ms):
                self.tcp_write_err(sk)
                return
        most = self.tcp.sysctl.tcp_retries2
        if sk.dead:
            alive = min(sk.rto << sk.backoff, RTO_MAX) < RTO_MAX
            most = self.tcp_orphan_retries(sk, alive)
            if not alive and sk.backoff >= most:
                self.tcp_write_err(sk)
                return
        if sk.probes_out >= most:
            self.tcp_write_err(sk)
        else:
            self.tcp.output.tcp_send_probe0(sk)

    # Keepalive.

    def keepalive_time_when(self, sk: TcpSock) -> int:
        """Jiffies of silence before the first probe."""
        return sk.keepalive_time or self.tcp.sysctl.tcp_keepalive_time * HZ

    def keepalive_intvl_when(self, sk: TcpSock) -> int:
        """Jiffies between probes."""
        return sk.keepalive_intvl or self.tcp.sysctl.tcp_keepalive_intvl * HZ

    def keepalive_probes(self, sk: TcpSock) -> int:
        """After how many unanswered probes the peer is given up."""
        return sk.keepalive_probes or self.tcp.sysctl.tcp_keepalive_probes

    def tcp_set_keepalive(self, sk: TcpSock, on: bool) -> None:
        """SO_KEEPALIVE."""
        if sk.state not in (State.CLOSE, State.LISTEN):
            if on and not sk.keepalive:
                self.reset_keepalive_timer(sk, self.keepalive_time_when(sk))
            elif not on and sk.keepalive_timer is not None and sk.keepalive_timer.pending:
                sk.keepalive_timer.delete()
        sk.keepalive = on

    def tcp_set_keepidle(self, sk: TcpSock, when: int) -> None:
        """TCP_KEEPIDLE: probe when nothing has come for ``when`` jiffies."""
        sk.keepalive_time = when
        if sk.keepalive and sk.state not in (State.CLOSE, State.LISTEN):
            self.reset_keepalive_timer(sk, max(when - self._idle_time(sk), 0))

    def reset_keepalive_timer(self, sk: TcpSock, when: int) -> None:
        """``inet_csk_reset_keepalive_timer``: in ``when`` jiffies."""
        if sk.keepalive_timer is None:
            sk.keepalive_timer = self._cpu.timer(
                "tcp keepalive", lambda: self.tcp_keepalive_timer(sk)
            )
        self.reset_timer(sk.keepalive_timer, self._cpu.jiffies + when)

    def tcp_keepalive_timer(self, sk: TcpSock) -> None:
        """Is the peer still there?"""
        if sk.owned:
            self.reset_keepalive_timer(sk, HZ // 20)
            return
        if not sk.keepalive or sk.state in (State.CLOSE, State.LISTEN, State.SYN_SENT):
            return
        when = self.keepalive_time_when(sk)
        # What is under way, or waits for a window, has timers of its own.
        if not sk.packets_out and not sk.write_queue:
            idle = self._idle_time(sk)
            if idle < when:
                when -= idle
            elif self._was_silent_for_too_long(sk, idle):
                self.tcp.output.tcp_send_active_reset(sk)
                self.tcp_write_err(sk)
                return
            else:
                self.tcp.output.tcp_write_wakeup(sk, "TCPKeepAlive")
                sk.probes_out += 1
                when = self.keepalive_intvl_when(sk)
        self.reset_keepalive_timer(sk, when)

    def _was_silent_for_too_long(self, sk: TcpSock, idle: int) -> bool:
        """Whether no more probes follow: after the program's time, else their number."""
        if sk.user_timeout_ms:
            return sk.probes_out > 0 and idle >= msecs_to_jiffies(sk.user_timeout_ms)
        return sk.probes_out >= self.keepalive_probes(sk)

    def _idle_time(self, sk: TcpSock) -> int:
        """``keepalive_time_elapsed``: jiffies without data or an acknowledgement."""
        now = self._cpu.jiffies
        return min(now - sk.ack_lrcvtime, now - sk.rcv_tstamp)


def msecs_to_jiffies(ms: int) -> int:
    """Rounded up."""
    return -(-ms * HZ // 1000)
