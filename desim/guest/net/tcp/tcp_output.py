"""Sending (net/ipv4/tcp_output.c; RFC 9293, Nagle of RFC 1122 section 4.2.3.4).

Theory of operation
-------------------
``tcp_write_xmit`` takes packets from the write queue while the congestion window and
the peer's window allow. A packet may hold up to 64 KiB; it leaves as one, with
``gso_size`` set, and the card cuts it. How much of it goes now is decided by
``tcp_mss_split_point`` (whole segments within the windows), ``tcp_tso_should_defer``
(rather wait for the next ACK than send a small part of it), Nagle (a short segment
waits while a short one is unacknowledged) and ``tcp_small_queue_check`` (no more than a
bounded amount below TCP).

Sent packets wait in the retransmit queue. ``__tcp_transmit_skb`` builds the header with
a partial checksum (the pseudo header's) and the window of ``tcp_select_window``; the
payload travels as fragments, uncopied.

The window that is advertised never takes back what was promised. It stays as it is
while the room left is within one segment of it, and is a multiple of the segment size
otherwise; it closes when less than a sixteenth of the buffer is left.

Not modelled: pacing, tail loss probes and SACK (they need options that slirp does not
accept), path MTU discovery and probing, urgent data, memory pressure.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING

from desim.guest.cpu.context import HZ
from desim.guest.net.sock import RMEM_MAX
from desim.guest.net.tcp.sysctl import TcpSysctl
from desim.guest.net.tcp.tcp_cong import cwnd_validate, slow_start_after_idle_check
from desim.guest.net.tcp.tcp_skb import SndSkb
from desim.guest.net.tcp.tcp_sock import (
    ACK_PUSHED,
    ACK_SCHED,
    ACK_TIMER,
    ADVMSS,
    ATO_MIN,
    DELACK_MAX,
    DELACK_MIN,
    GSO_MAX_SIZE,
    MSS_DEFAULT,
    NAGLE_CORK,
    NAGLE_OFF,
    NAGLE_PUSH,
    RTO_MAX,
    RTO_MIN,
    TIME_PROBE0,
    TIME_RETRANS,
    CaState,
    State,
    TcpSock,
    select_initial_window,
    win_from_space,
)
from desim.guest.skb import CHECKSUM_PARTIAL, Skb
from desim.stages import GUEST, Landmark, mark, stages
from desim.wire.tcp import ACK, FIN, PSH, RST, SYN, TcpOptions

if TYPE_CHECKING:
    from desim.guest.net.tcp.tcp import Tcp

MAX_TSO_DEFERRED_MSS = 3
_HEADER = struct.Struct("!HHIIHHHH")
_EBUSY = -16
_EAGAIN = -11
_PURE_ACK_TRUESIZE = 2


class TcpOutput:
    """The sending half."""

    STAGES = stages(
        GUEST,
        tcp_write_xmit=mark("tcp_write_xmit", file="net/ipv4/tcp_output.c"),
        transmit=mark(
            "__tcp_transmit_skb", file="net/ipv4/tcp_output.c", landmark=Landmark.SENT_BY_GUEST
        ),
        tcp_send_ack=mark("tcp_send_ack", "__tcp_send_ack", file="net/ipv4/tcp_output.c"),
        tcp_send_delayed_ack=mark("tcp_send_delayed_ack", file="net/ipv4/tcp_output.c"),
        tcp_connect=mark("tcp_connect", file="net/ipv4/tcp_output.c"),
        tcp_send_fin=mark("tcp_send_fin", file="net/ipv4/tcp_output.c"),
        tcp_send_active_reset=mark("tcp_send_active_reset", file="net/ipv4/tcp_output.c"),
        tcp_send_probe0=mark("tcp_send_probe0", file="net/ipv4/tcp_output.c"),
    )

    def __init__(self, tcp: Tcp) -> None:
        self.tcp = tcp
        self._cpu = tcp.cpu
        self._mib = tcp.snmp.tcp
        self._ext = tcp.snmp.tcp_ext

    # What goes out, and when.

    def tcp_push_pending_frames(self, sk: TcpSock) -> None:
        """Send what may be sent, if anything waits."""
        if sk.write_queue:
            self.push(sk, sk.nonagle)

    def push(self, sk: TcpSock, nonagle: int) -> None:
        """``__tcp_push_pending_frames``."""
        if sk.state == State.CLOSE:
            return
        if self.tcp_write_xmit(sk, nonagle, False):
            # Nothing is in flight and nothing could go: the window is closed.
            if not sk.packets_out and not sk.pending:
                self.tcp.timer.reset_xmit_timer(sk, TIME_PROBE0, probe0_base(sk))

    def tcp_write_xmit(self, sk: TcpSock, nonagle: int, push_one: bool) -> bool:
        """Send from the write queue; True if it is stuck with nothing in flight."""
        mss = sk.mss_cache
        queue = sk.write_queue
        sent = 0
        cwnd_limited = False
        max_segs = self.tcp_tso_segs(sk)
        while queue:
            skb = queue[0]
            if not skb.pcount:
                skb.set_pcount(mss)
            in_flight = sk.packets_in_flight()
            if in_flight >= sk.snd_cwnd:
                if not (skb.flags & FIN and skb.pcount == 1):
                    break
                quota = 1
            else:
                quota = min(max(sk.snd_cwnd >> 1, 1), sk.snd_cwnd - in_flight)
            if not self.tcp_snd_wnd_test(sk, skb):
                break
            if skb.pcount == 1:
                if not self.tcp_nagle_test(sk, skb, nonagle if len(queue) == 1 else NAGLE_PUSH):
                    break
                limit = mss
            else:
                if not push_one:
                    defer = self.tcp_tso_should_defer(sk, skb, max_segs)
                    if defer:
                        cwnd_limited |= defer == 2
                        break
                limit = self.tcp_mss_split_point(sk, skb, min(quota, max_segs), nonagle)
            if skb.len > limit:
                rest = self.tcp.mem.tso_fragment(skb, limit)
                queue.popleft()
                queue.appendleft(rest)
                queue.appendleft(skb)
                skb.set_pcount(mss)
                rest.set_pcount(mss)
                self.charge_split(sk)
            if self.tcp_small_queue_check(sk, skb):
                break
            if skb.end_seq == skb.seq:
                break
            if not self.tcp_transmit_skb(sk, skb):
                break
            self.tcp_event_new_data_sent(sk, skb)
            if skb.len < skb.pcount * mss:
                sk.snd_sml = skb.end_seq
            sent += skb.pcount
            if push_one:
                break
        cwnd_limited |= sk.packets_in_flight() >= sk.snd_cwnd
        if sent or cwnd_limited:
            decays = bool(self.tcp.sysctl.tcp_slow_start_after_idle)
            cwnd_validate(sk, cwnd_limited, self._cpu.jiffies, decays=decays)
        if sent:
            if sk.in_cwnd_reduction():
                sk.prr_out += sent
            return False
        return not sk.packets_out and bool(queue)

    def tcp_snd_wnd_test(self, sk: TcpSock, skb: SndSkb) -> bool:
        """Whether the peer's window takes the first segment of a packet; a FIN counts, too."""
        end_seq = skb.end_seq if skb.len <= sk.mss_cache else skb.seq + sk.mss_cache
        return end_seq <= sk.wnd_end()

    def charge_split(self, sk: TcpSock) -> None:
        """A packet cut in two takes one more packet's memory."""
        sk.wmem_queued += SndSkb(0, 0).truesize

    def tcp_tso_segs(self, sk: TcpSock) -> int:
        """``tcp_tso_autosize``: segments of the largest packet, about a millisecond's worth."""
        size = sk.pacing_rate >> 10
        shift = sk.min_rtt_us >> self.tcp.sysctl.tcp_tso_rtt_log
        if shift < 32:
            size += GSO_MAX_SIZE >> shift
        return max(min(size, GSO_MAX_SIZE) // sk.mss_cache, self.tcp.sysctl.tcp_min_tso_segs)

    def tcp_nagle_test(self, sk: TcpSock, skb: SndSkb, nonagle: int) -> bool:
        """Whether a single segment may go now."""
        if nonagle & NAGLE_PUSH or skb.flags & FIN:
            return True
        return not self._nagle_check(sk, skb.len < sk.mss_cache, nonagle)

    def _nagle_check(self, sk: TcpSock, partial: bool, nonagle: int) -> bool:
        # Minshall's variant: only an unacknowledged short segment holds a short one back.
        return partial and bool(
            nonagle & NAGLE_CORK
            or (not nonagle and sk.packets_out and sk.snd_una < sk.snd_sml <= sk.snd_nxt)
        )

    def tcp_mss_split_point(self, sk: TcpSock, skb: SndSkb, max_segs: int, nonagle: int) -> int:
        """How many bytes of a large packet go now."""
        mss = sk.mss_cache
        window = sk.wnd_end() - skb.seq
        max_len = mss * max_segs
        if max_len <= window and skb is not sk.write_queue[-1]:
            return max_len
        needed = min(skb.len, window)
        if max_len <= needed:
            return max_len
        partial = needed % mss
        # A window's worth may end in a short segment, if Nagle lets one go.
        if self._nagle_check(sk, partial != 0, nonagle):
            return needed - partial
        return needed

    def tcp_tso_should_defer(self, sk: TcpSock, skb: SndSkb, max_segs: int) -> int:
        """Whether to wait for more to send at once: 0 no, 1 yes, 2 yes, as cwnd is the limit."""
        if sk.ca_state >= CaState.RECOVERY:
            return 0
        now_ns = self._cpu.now()
        if now_ns - sk.wstamp_ns > 1_000_000:
            return 0
        send_win = sk.wnd_end() - skb.seq
        cong_win = (sk.snd_cwnd - sk.packets_in_flight()) * sk.mss_cache
        limit = min(send_win, cong_win)
        if limit >= max_segs * sk.mss_cache:
            return 0
        if skb is not sk.write_queue[-1] and limit >= skb.len:
            return 0
        divisor = self.tcp.sysctl.tcp_tso_win_divisor
        if divisor:
            if limit >= min(sk.snd_wnd, sk.snd_cwnd * sk.mss_cache) // divisor:
                return 0
        elif limit > MAX_TSO_DEFERRED_MSS * sk.mss_cache:
            return 0
        if not sk.rtx_queue:
            return 0
        # The next ACK would come too late: in more than half a round trip, or a millisecond.
        srtt_ns = 125 * sk.srtt_us
        if sk.rtx_queue[0].sent_ns + srtt_ns - now_ns > min(srtt_ns >> 1, 1_000_000):
            return 0
        if cong_win < send_win:
            if cong_win <= skb.len:
                return 2
        elif send_win <= skb.len:
            return 1
        return 0 if skb.flags & FIN else 1

    def tcp_small_queue_check(self, sk: TcpSock, skb: SndSkb, factor: int = 0) -> bool:
        """Whether enough of this socket waits below TCP already (TSQ)."""
        most = self.tcp.sysctl.tcp_limit_output_bytes
        limit = min(max(2 * skb.truesize, sk.pacing_rate >> 10), most) << factor
        if sk.owned:
            self._cpu.touch("lock_sock")  # what the card is done with counts
        if sk.wmem_alloc <= limit or len(sk.rtx_queue) <= 1:
            return False
        sk.tsq_throttled = True
        return True

    def tcp_event_new_data_sent(self, sk: TcpSock, skb: SndSkb) -> None:
        """The packet is in flight: into the retransmit queue, timer on."""
        sk.snd_nxt = skb.end_seq
        sk.write_queue.popleft()
        sk.rtx_queue.append(skb)
        first = not sk.packets_out
        sk.packets_out += skb.pcount
        self._ext["TCPOrigDataSent"] += skb.pcount
        if first:
            self.tcp.timer.tcp_rearm_rto(sk)
        self.tcp.tcp_check_space(sk)

    def tcp_queue_skb(self, sk: TcpSock, skb: SndSkb) -> None:
        """Append to the write queue (``tcp_skb_entail`` for data)."""
        sk.write_seq = max(sk.write_seq, skb.end_seq)
        sk.write_queue.append(skb)
        sk.wmem_queued += skb.truesize
        if self.tcp.sysctl.tcp_slow_start_after_idle:
            slow_start_after_idle_check(sk, self._cpu.jiffies)

    # One segment.

    def tcp_transmit_skb(self, sk: TcpSock, skb: SndSkb) -> bool:
        """Send a packet of the queues; it stays there until it is acknowledged."""
        sk.wstamp_ns = skb.sent_ns = self._cpu.now()
        if not skb.pcount:
            skb.set_pcount(sk.mss_cache)
        if not self.transmit(sk, skb.seq, skb.end_seq, skb.flags, skb):
            # The interface dropped it. It counts as sent and as a sign of congestion.
            self.tcp.ack.tcp_enter_cwr(sk)
        return True

    def transmit(
        self, sk: TcpSock, seq: int, end_seq: int, flags: int, skb: SndSkb | None = None
    ) -> bool:
        """Build the header and hand the packet to IP; False if it was dropped here."""
        options = b""
        if flags & SYN:
            options = self.tcp_syn_options(sk, flags)
            window = min(sk.rcv_wnd, 65535)
        else:
            window = self.tcp_select_window(sk)
        ack = 0
        if flags & ACK:
            ack = sk.rcv_nxt & 0xFFFFFFFF
            self.tcp_event_ack_sent(sk)
        size = 0
        segs = 1
        if skb is not None and skb.len:
            size = skb.len
            segs = skb.pcount
            if segs > 1 and not flags & SYN:
                # So that the receiver's GRO hands it up; what is sent again has none by itself.
                flags |= PSH
            self.tcp_event_data_sent(sk)
        length = 20 + len(options) + size
        out = Skb(
            _HEADER.pack(
                sk.sport,
                sk.dport,
                seq & 0xFFFFFFFF,
                ack,
                0x5000 + (len(options) << 10) | flags,
                window,
                (sk.pseudo_sum + length) % 0xFFFF or 0xFFFF,
                0,
            )
            + options
        )
        out.ip_summed = CHECKSUM_PARTIAL
        out.csum_start = 34
        out.csum_offset = 16
        if size:
            assert skb is not None
            out.frags = skb.payload()
            if segs > 1:
                out.gso_size = sk.mss_cache
                out.gso_segs = segs
        if skb is not None:
            truesize = skb.truesize
            out.slabs = skb.fclone.get(), skb.head.get()
            skb.clones += 1
        else:
            # What a bare ACK counts for must not hold data back (skb_set_tcp_pure_ack).
            truesize = _PURE_ACK_TRUESIZE
            out.slabs = self.tcp.mem.alloc_skb()
        sk.wmem_alloc += truesize
        out.destructor = partial(self.tcp.tcp_wfree, sk, truesize, skb)
        if end_seq > sk.snd_nxt or seq == end_seq:
            self._mib["OutSegs"] += segs
        return self.tcp.ip.ip_queue_xmit(sk, out)

    def tcp_syn_options(self, sk: TcpSock, flags: int) -> bytes:
        """Everything we know in a SYN, what slirp knows (the MSS) in an answer."""
        stamp = (self._cpu.now() // 1_000_000 + sk.syn_tsval) & 0xFFFFFFFF
        sysctl = self.tcp.sysctl
        return TcpOptions(
            mss=sk.advmss,
            sack_permitted=bool(sysctl.tcp_sack),
            timestamps=(stamp, 0) if sysctl.tcp_timestamps else None,
            window_scale=rcv_wscale(sk, sysctl) if sysctl.tcp_window_scaling else None,
        ).emit()

    def tcp_event_ack_sent(self, sk: TcpSock) -> None:
        """An ACK for all that has come is on its way: nothing is owed any more."""
        if sk.ack_quick:
            if sk.ack_pending & ACK_SCHED:
                sk.ack_quick -= 1
                if not sk.ack_quick:
                    sk.ack_ato = ATO_MIN
        # The timer is left armed, as in Linux; when it fires it finds nothing to do.
        sk.ack_pending = 0

    def tcp_event_data_sent(self, sk: TcpSock) -> None:
        """Data goes out; within ato of data that came in, this is a conversation."""
        now = self._cpu.jiffies
        if sk.packets_in_flight() == 0:
            sk.ca.tx_start(sk, now)
        sk.lsndtime = now
        if now - sk.ack_lrcvtime < sk.ack_ato:
            sk.ack_pingpong = True

    # The window we advertise.

    def tcp_select_window(self, sk: TcpSock) -> int:
        """The window field of the next segment; remembers it as promised."""
        old = sk.rcv_wnd
        current = sk.receive_window()
        new = self.select_window(sk)
        if new < current:
            # Never take back what was promised.
            if not new:
                self._ext["TCPWantZeroWindowAdv"] += 1
            new = current
        sk.rcv_wnd = new
        sk.rcv_wup = sk.rcv_nxt
        if not new:
            if old:
                self._ext["TCPToZeroWindowAdv"] += 1
        elif not old:
            self._ext["TCPFromZeroWindowAdv"] += 1
        return min(new, 65535)

    def select_window(self, sk: TcpSock) -> int:
        """``__tcp_select_window``: what could be promised now, without window scaling."""
        if sk.owned:
            self._cpu.touch("lock_sock")  # the length of the backlog counts
        mss = sk.ack_rcv_mss
        free = sk.space()
        allowed = win_from_space(sk.rcvbuf)
        full = min(sk.window_clamp, allowed)
        if mss > full:
            mss = full
            if mss <= 0:
                return 0
        if free < full >> 1:
            sk.ack_quick = 0
            if free < allowed >> 4 or free < mss:
                return 0
        free = min(free, sk.rcv_ssthresh)
        window = sk.rcv_wnd
        if window <= free - mss or window > free:
            return free - free % mss
        if mss == full and free > window + (full >> 1):
            return free
        return window

    # ACKs.

    def tcp_send_ack(self, sk: TcpSock) -> None:
        """An ACK without data, now."""
        if sk.state != State.CLOSE:
            seq = self.tcp_acceptable_seq(sk)
            self.transmit(sk, seq, seq, ACK)

    def tcp_acceptable_seq(self, sk: TcpSock) -> int:
        """A sequence number that the peer will not find outside its window."""
        return min(sk.snd_nxt, sk.wnd_end())

    def tcp_send_delayed_ack(self, sk: TcpSock) -> None:
        """An ACK later, unless something else carries it first."""
        ato = sk.ack_ato
        if ato > DELACK_MIN:
            max_ato = HZ // 2
            if sk.ack_pingpong or sk.ack_pending & ACK_PUSHED:
                max_ato = DELACK_MAX
            if sk.srtt_us:
                rtt = max(-(-(sk.srtt_us >> 3) * HZ // 1_000_000), DELACK_MIN)
                max_ato = min(max_ato, rtt)
            ato = min(ato, max_ato)
        ato = min(ato, DELACK_MAX)
        now = self._cpu.jiffies
        timeout = now + ato
        if sk.ack_pending & ACK_TIMER:
            if sk.ack_timeout <= now + (ato >> 2):
                self.tcp_send_ack(sk)
                return
            timeout = min(timeout, sk.ack_timeout)
        sk.ack_pending |= ACK_SCHED | ACK_TIMER
        sk.ack_timeout = timeout
        self.tcp.timer.reset_timer(sk.delack_timer, timeout)

    # The ends of a connection.

    def tcp_connect(self, sk: TcpSock) -> None:
        """Send the SYN of an active open."""
        tcp = self.tcp
        sk.advmss = sk.mss_of_user(min(sk.route.device.mtu - 40, ADVMSS))
        sk.mss_clamp = sk.user_mss or sk.mss_clamp
        sk.rcv_wnd = select_initial_window(sk.rcvbuf, sk.advmss)
        sk.rcv_ssthresh = sk.rcv_wnd
        scaling = self.tcp.sysctl.tcp_window_scaling
        sk.window_clamp = 65535 << (rcv_wscale(sk, self.tcp.sysctl) if scaling else 0)
        if sk.rcvbuf_locked:
            sk.window_clamp = min(sk.window_clamp, win_from_space(sk.rcvbuf))
        self.tcp_sync_mss(sk)
        sk.snd_una = sk.snd_nxt = sk.snd_sml = sk.write_seq
        sk.rcv_nxt = sk.rcv_wup = sk.copied_seq = 0
        sk.err = 0
        sk.rto = HZ
        sk.retransmits = 0
        syn = self.tcp.mem.tcp_stream_alloc_skb(sk.write_seq, SYN)
        syn.end_seq += 1
        syn.pcount = 1
        sk.write_seq += 1
        sk.retrans_stamp_ns = self._cpu.now()
        sk.wmem_queued += syn.truesize
        sk.packets_out += 1
        sk.rtx_queue.append(syn)
        self.tcp_transmit_skb(sk, syn)
        sk.snd_nxt = sk.pushed_seq = sk.write_seq
        tcp.snmp.tcp["ActiveOpens"] += 1
        tcp.timer.reset_xmit_timer(sk, TIME_RETRANS, sk.rto)

    def tcp_sync_mss(self, sk: TcpSock) -> None:
        """The segment size: the path's, the peer's, and no more than half of its window."""
        mss = min(sk.route.device.mtu - 40, sk.mss_clamp)
        limit = sk.max_window >> 1 if sk.max_window > MSS_DEFAULT else sk.max_window
        if limit and mss > limit:
            mss = max(limit, 48)
        sk.mss_cache = mss

    def tcp_send_fin(self, sk: TcpSock) -> None:
        """Close the sending side, behind all data."""
        if sk.write_queue:
            tail = sk.write_queue[-1]
            tail.flags |= FIN
            tail.end_seq += 1
            sk.write_seq += 1
        else:
            skb = self.tcp.mem.tcp_stream_alloc_skb(sk.write_seq, ACK | FIN)
            skb.end_seq += 1
            self.tcp_queue_skb(sk, skb)
        self.push(sk, NAGLE_OFF)

    def tcp_send_active_reset(self, sk: TcpSock) -> None:
        """Tear the connection down at once."""
        self._mib["OutRsts"] += 1
        seq = self.tcp_acceptable_seq(sk)
        self.transmit(sk, seq, seq, ACK | RST)

    # Probes of a closed window.

    def tcp_send_probe0(self, sk: TcpSock) -> None:
        """Ask whether the window is open; wait longer each time."""
        self.tcp_write_wakeup(sk, "TCPWinProbe")
        if sk.packets_out or not sk.write_queue:
            sk.probes_out = 0
            sk.backoff = 0
            sk.probes_since = None
            return
        sk.probes_out += 1
        if sk.backoff < self.tcp.sysctl.tcp_retries2:
            sk.backoff += 1
        timer = self.tcp.timer
        when = timer.tcp_clamp_probe0_to_user_timeout(sk, probe0_when(sk))
        timer.reset_xmit_timer(sk, TIME_PROBE0, when)

    def tcp_write_wakeup(self, sk: TcpSock, counter: str) -> None:
        """Send what fits, or an old byte's worth of nothing, which ``counter`` counts."""
        if sk.state == State.CLOSE:
            return
        skb = sk.write_queue[0] if sk.write_queue else None
        if skb is not None and skb.seq < sk.wnd_end():
            size = sk.wnd_end() - skb.seq
            sk.pushed_seq = max(sk.pushed_seq, skb.end_seq)
            if size < skb.end_seq - skb.seq or skb.len > sk.mss_cache:
                rest = self.tcp.mem.tso_fragment(skb, min(size, sk.mss_cache, skb.len))
                sk.write_queue.insert(1, rest)
                self.charge_split(sk)
            skb.set_pcount(sk.mss_cache)
            skb.flags |= PSH
            self.tcp_transmit_skb(sk, skb)
            self.tcp_event_new_data_sent(sk, skb)
            return
        self._ext[counter] += 1
        self.transmit(sk, sk.snd_una - 1, sk.snd_una - 1, ACK)


def rcv_wscale(sk: TcpSock, sysctl: TcpSysctl) -> int:
    """``tcp_select_initial_window``: the scale that the largest buffer leads to, or the
    program's own (SO_RCVBUF)."""
    space = max(sysctl.tcp_rmem[2], RMEM_MAX)
    if sk.rcvbuf_locked:
        space = min(space, win_from_space(sk.rcvbuf))
    return min(max(space.bit_length() - 1 - 15, 0), 14)


def probe0_base(sk: TcpSock) -> int:
    """``tcp_probe0_base``."""
    return max(sk.rto, RTO_MIN)


def probe0_when(sk: TcpSock) -> int:
    """``tcp_probe0_when``: jiffies until the next probe."""
    return min(probe0_base(sk) << min(sk.backoff, (RTO_MAX // RTO_MIN).bit_length()), RTO_MAX)
