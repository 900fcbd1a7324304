"""Congestion control: CUBIC with HyStart (net/ipv4/tcp_cubic.c; RFC 9438) and its calls
(``tcp_cong_control`` and what it needs in net/ipv4/tcp_input.c, tcp_cong.c).

Theory of operation
-------------------
Slow start adds one segment per acknowledged segment until the threshold. HyStart ends
it early: from 16 segments on, a round whose ACKs arrive closely spaced for longer than
half the smallest round trip (ACK train), or whose smallest round trip has grown by an
eighth, at least 4 ms (delay), sets the threshold to where the window is.

After the threshold the window follows a cubic of the time since the last reduction, in
units of 1/1024 s as Linux computes them, but never below what Reno would give. A loss
reduces to 717/1024. Arithmetic is Linux's integer arithmetic throughout.

While the window is being reduced, what may be sent follows proportional rate reduction
(RFC 6937). The pacing rate is kept up to date because packet sizes depend on it, but
nothing is paced.

Not modelled: ECN, other algorithms.
"""

from __future__ import annotations

from desim.guest.cpu.context import HZ
from desim.guest.net.tcp.sysctl import TcpSysctl
from desim.guest.net.tcp.tcp_sock import INFINITE_SSTHRESH, CaState, TcpSock

BETA = 717
BETA_SCALE = 1024
_CUBE_RTT_SCALE = 410
_CUBE_FACTOR = (1 << 40) // _CUBE_RTT_SCALE
_RENO_SCALE = 8 * (BETA_SCALE + BETA) // 3 // (BETA_SCALE - BETA)
_BICTCP_HZ = 10
_HYSTART_LOW_WINDOW = 16
_HYSTART_MIN_SAMPLES = 8
_HYSTART_ACK_DELTA_US = 2000
_HYSTART_DELAY_MIN_US = 4000
_HYSTART_DELAY_MAX_US = 16000
_GSO_MAX_SIZE = 65536
_NEVER = 1 << 62


def cubic_root(value: int) -> int:
    """The integer cube root that the curve's starting point is computed with."""
    root = 1 << (value.bit_length() + 2) // 3
    while root * root * root > value:
        # Newton's step, from above.
        root = min((2 * root + value // (root * root)) // 3, root - 1)
    return root


class Cubic:
    """``struct bictcp``: the state of one connection."""

    __slots__ = (
        "ack_cnt",
        "bic_K",
        "bic_origin_point",
        "cnt",
        "curr_rtt",
        "delay_min",
        "end_seq",
        "epoch_start",
        "found",
        "last_ack_us",
        "last_cwnd",
        "last_max_cwnd",
        "last_time",
        "round_start_us",
        "sample_cnt",
        "tcp_cwnd",
    )

    def __init__(self, now_us: int, snd_nxt: int) -> None:
        self.reset()
        self.hystart_reset(now_us, snd_nxt)

    def reset(self) -> None:
        """``bictcp_reset``."""
        self.cnt = 0
        self.last_max_cwnd = 0
        self.last_cwnd = 0
        self.last_time = 0
        self.bic_origin_point = 0
        self.bic_K = 0
        self.delay_min = 0
        self.epoch_start: int | None = None
        self.ack_cnt = 0
        self.tcp_cwnd = 0
        self.found = False

    def hystart_reset(self, now_us: int, snd_nxt: int) -> None:
        """``bictcp_hystart_reset``: a new round begins."""
        self.round_start_us = self.last_ack_us = now_us
        self.end_seq = snd_nxt
        self.curr_rtt = _NEVER
        self.sample_cnt = 0

    def recalc_ssthresh(self, sk: TcpSock) -> int:
        """``cubictcp_recalc_ssthresh``: where a loss puts the threshold."""
        self.epoch_start = None
        cwnd = sk.snd_cwnd
        if cwnd < self.last_max_cwnd:
            self.last_max_cwnd = cwnd * (BETA_SCALE + BETA) // (2 * BETA_SCALE)
        else:
            self.last_max_cwnd = cwnd
        return max(cwnd * BETA // BETA_SCALE, 2)

    def tx_start(self, sk: TcpSock, now: int) -> None:
        """``CA_EVENT_TX_START``: time without traffic does not count."""
        delta = now - sk.lsndtime
        if self.epoch_start is not None and delta > 0:
            self.epoch_start = min(self.epoch_start + delta, now)

    def acked(self, sk: TcpSock, rtt_us: int, now: int, now_us: int) -> int:
        """``cubictcp_acked``: a round-trip sample; 1 or 2 if the train or the delay ended
        slow start, else 0."""
        if self.epoch_start is not None and now - self.epoch_start < HZ:
            return 0
        delay = rtt_us or 1
        if self.delay_min == 0 or self.delay_min > delay:
            self.delay_min = delay
        if self.found or not sk.in_slow_start():
            return 0
        return self.hystart_update(sk, delay, now_us)

    def hystart_update(self, sk: TcpSock, delay: int, now_us: int) -> int:
        """Both detectors of HyStart."""
        if sk.snd_una > self.end_seq:
            self.hystart_reset(now_us, sk.snd_nxt)
        if sk.snd_cwnd < _HYSTART_LOW_WINDOW:
            return 0
        why = 0
        if now_us - self.last_ack_us <= _HYSTART_ACK_DELTA_US:
            self.last_ack_us = now_us
            slack = min(1000, _GSO_MAX_SIZE * 4 * 1_000_000 // max(sk.pacing_rate, 1))
            if now_us - self.round_start_us > (self.delay_min + slack) >> 1:
                why = 1
        if not why:
            self.curr_rtt = min(self.curr_rtt, delay)
            if self.sample_cnt < _HYSTART_MIN_SAMPLES:
                self.sample_cnt += 1
            else:
                threshold = min(
                    max(self.delay_min >> 3, _HYSTART_DELAY_MIN_US), _HYSTART_DELAY_MAX_US
                )
                if self.curr_rtt > self.delay_min + threshold:
                    why = 2
        if why:
            self.found = True
            sk.snd_ssthresh = sk.snd_cwnd
        return why

    def update(self, cwnd: int, acked: int, now: int) -> None:
        """``bictcp_update``: segments to be acknowledged per increase of the window."""
        self.ack_cnt += acked
        if self.last_cwnd == cwnd and now - self.last_time <= HZ // 32:
            return
        if self.epoch_start is None or now != self.last_time:
            self.last_cwnd = cwnd
            self.last_time = now
            if self.epoch_start is None:
                self.epoch_start = now
                self.ack_cnt = acked
                self.tcp_cwnd = cwnd
                if self.last_max_cwnd <= cwnd:
                    self.bic_K = 0
                    self.bic_origin_point = cwnd
                else:
                    self.bic_K = cubic_root(_CUBE_FACTOR * (self.last_max_cwnd - cwnd))
                    self.bic_origin_point = self.last_max_cwnd
            elapsed = now - self.epoch_start + -(-self.delay_min * HZ // 1_000_000)
            t = (elapsed << _BICTCP_HZ) // HZ
            offs = abs(t - self.bic_K)
            delta = (_CUBE_RTT_SCALE * offs * offs * offs) >> (10 + 3 * _BICTCP_HZ)
            below = t < self.bic_K
            target = self.bic_origin_point - delta if below else self.bic_origin_point + delta
            self.cnt = cwnd // (target - cwnd) if target > cwnd else 100 * cwnd
            if self.last_max_cwnd == 0 and self.cnt > 20:
                self.cnt = 20
        # At least as fast as Reno.
        per_reno_segment = (cwnd * _RENO_SCALE) >> 3
        while self.ack_cnt > per_reno_segment:
            self.ack_cnt -= per_reno_segment
            self.tcp_cwnd += 1
        if self.tcp_cwnd > cwnd:
            self.cnt = min(self.cnt, cwnd // (self.tcp_cwnd - cwnd))
        self.cnt = max(self.cnt, 2)


def is_cwnd_limited(sk: TcpSock) -> bool:
    """``tcp_is_cwnd_limited``: whether the window was what held the sender back."""
    if sk.is_cwnd_limited:
        return True
    return sk.in_slow_start() and sk.snd_cwnd < 2 * sk.max_packets_out


def cong_avoid(sk: TcpSock, acked: int, now: int) -> None:
    """``cubictcp_cong_avoid`` for ``acked`` segments."""
    sk.snd_cwnd_stamp = now
    if not is_cwnd_limited(sk):
        return
    if sk.snd_cwnd < sk.snd_ssthresh:
        cwnd = min(sk.snd_cwnd + acked, sk.snd_ssthresh)
        acked -= cwnd - sk.snd_cwnd
        sk.snd_cwnd = cwnd
        if not acked:
            return
    ca = sk.ca
    ca.update(sk.snd_cwnd, acked, now)
    every = ca.cnt
    if sk.snd_cwnd_cnt >= every:
        sk.snd_cwnd_cnt = 0
        sk.snd_cwnd += 1
    sk.snd_cwnd_cnt += acked
    if sk.snd_cwnd_cnt >= every:
        delta = sk.snd_cwnd_cnt // every
        sk.snd_cwnd_cnt -= delta * every
        sk.snd_cwnd += delta


def cwnd_reduction(sk: TcpSock, acked: int, newly_lost: int, advanced: bool) -> None:
    """``tcp_cwnd_reduction``: proportional rate reduction."""
    if acked <= 0 or not sk.prior_cwnd:
        return
    in_flight = sk.packets_in_flight()
    delta = sk.snd_ssthresh - in_flight
    sk.prr_delivered += acked
    if delta < 0:
        dividend = sk.snd_ssthresh * sk.prr_delivered + sk.prior_cwnd - 1
        count = dividend // sk.prior_cwnd - sk.prr_out
    else:
        count = max(sk.prr_delivered - sk.prr_out, acked)
        if advanced and not newly_lost:
            count += 1
        count = min(delta, count)
    sk.snd_cwnd = in_flight + max(count, 0 if sk.prr_out else 1)


def end_cwnd_reduction(sk: TcpSock, now: int) -> None:
    """``tcp_end_cwnd_reduction``."""
    if sk.snd_ssthresh < INFINITE_SSTHRESH and (sk.ca_state == CaState.CWR or sk.undo_marker):
        sk.snd_cwnd = sk.snd_ssthresh
        sk.snd_cwnd_stamp = now


def current_ssthresh(sk: TcpSock) -> int:
    """``tcp_current_ssthresh``: what the threshold is worth while it is not being reduced."""
    if sk.in_cwnd_reduction():
        return sk.snd_ssthresh
    return max(sk.snd_ssthresh, (sk.snd_cwnd >> 1) + (sk.snd_cwnd >> 2))


def update_pacing_rate(sk: TcpSock, sysctl: TcpSysctl) -> None:
    """``tcp_update_pacing_rate``: bytes per second that the window amounts to."""
    rate = sk.mss_cache * (1_000_000 // 100 << 3)
    starting = sk.snd_cwnd < sk.snd_ssthresh >> 1
    rate *= sysctl.tcp_pacing_ss_ratio if starting else sysctl.tcp_pacing_ca_ratio
    rate *= max(sk.snd_cwnd, sk.packets_out)
    if sk.srtt_us:
        rate //= sk.srtt_us
    sk.pacing_rate = rate


def cwnd_validate(sk: TcpSock, limited: bool, now: int, *, decays: bool) -> None:
    """``tcp_cwnd_validate``: note whether the window or the program limits the sender.

    ``decays``: a window that was not used grows old (tcp_slow_start_after_idle).
    """
    if (
        sk.snd_una >= sk.cwnd_usage_seq
        or limited
        or (not sk.is_cwnd_limited and sk.packets_out > sk.max_packets_out)
    ):
        sk.is_cwnd_limited = limited
        sk.max_packets_out = sk.packets_out
        sk.cwnd_usage_seq = sk.snd_nxt
    if is_cwnd_limited(sk):
        sk.snd_cwnd_used = 0
        sk.snd_cwnd_stamp = now
        return
    sk.snd_cwnd_used = max(sk.snd_cwnd_used, sk.packets_out)
    if decays and now - sk.snd_cwnd_stamp >= sk.rto:
        _application_limited(sk, now)


def _application_limited(sk: TcpSock, now: int) -> None:
    if sk.ca_state == 0 and not sk.dead and not sk.nospace:
        used = max(sk.snd_cwnd_used, 10)
        if used < sk.snd_cwnd:
            sk.snd_ssthresh = current_ssthresh(sk)
            sk.snd_cwnd = (sk.snd_cwnd + used) >> 1
        sk.snd_cwnd_used = 0
    sk.snd_cwnd_stamp = now


def slow_start_after_idle_check(sk: TcpSock, now: int) -> None:
    """``tcp_slow_start_after_idle_check``: a window that was not used for an RTO is old."""
    if sk.packets_out:
        return
    delta = now - sk.lsndtime
    if delta <= sk.rto:
        return
    restart = min(10, sk.snd_cwnd)
    sk.snd_ssthresh = current_ssthresh(sk)
    cwnd = sk.snd_cwnd
    delta -= sk.rto
    while delta > 0 and cwnd > restart:
        cwnd >>= 1
        delta -= sk.rto
    sk.snd_cwnd = max(cwnd, restart)
    sk.snd_cwnd_stamp = now
    sk.snd_cwnd_used = 0
