"""Sending again (net/ipv4/tcp_output.c, the part about the retransmit queue).

A packet is sent again up to the peer's window, a large one cut so that its first segments
can go. Short neighbours join the first one, while none of their copies is still in the card.
What counts as lost is sent again as far as the congestion window goes.

Not modelled: failures of memory and of routes, path MTU probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.guest.net.tcp.tcp_skb import SndSkb
from desim.guest.net.tcp.tcp_sock import TIME_RETRANS, CaState, TcpSock
from desim.stages import GUEST, mark, stages
from desim.wire.tcp import FIN, SYN

if TYPE_CHECKING:
    from desim.guest.net.tcp.tcp import Tcp

_EBUSY = -16
_EAGAIN = -11


class TcpRetransmit:
    """What has been sent once already."""

    STAGES = stages(
        GUEST,
        tcp_retransmit_skb=mark("tcp_retransmit_skb", file="net/ipv4/tcp_output.c"),
        tcp_xmit_retransmit_queue=mark("tcp_xmit_retransmit_queue", file="net/ipv4/tcp_output.c"),
    )

    def __init__(self, tcp: Tcp) -> None:
        self.tcp = tcp
        self._cpu = tcp.cpu
        self._mib = tcp.snmp.tcp
        self._ext = tcp.snmp.tcp_ext

    def tcp_retransmit_skb(self, sk: TcpSock, skb: SndSkb, segs: int) -> int:
        """Send a packet of the retransmit queue again, up to ``segs`` segments of it."""
        failed = self._retransmit_skb(sk, skb, segs)
        if not failed:
            skb.retrans = True
            sk.retrans_out += skb.pcount
        if sk.retrans_stamp_ns is None:
            # The first that was sent again, or would have been.
            sk.retrans_stamp_ns = skb.sent_ns
        return failed

    def _retransmit_skb(self, sk: TcpSock, skb: SndSkb, segs: int) -> int:
        if sk.owned:
            self._cpu.touch("lock_sock")  # what the card is done with counts
        if skb.clones:
            # Its last copy has not even left the card.
            sk.tsq_throttled = True
            self._ext["TCPSpuriousRtxHostQueues"] += 1
            return _EBUSY
        if skb.seq < sk.snd_una:
            self.tcp.ack.trim_head(sk, skb, sk.snd_una - skb.seq)
        mss = sk.mss_cache
        window = sk.wnd_end() - skb.seq
        if window <= 0:
            if skb.seq != sk.snd_una:
                return _EAGAIN
            # One segment then serves as a probe of the window.
            window = mss
        room = mss * segs
        if room > window:
            room = window - window % mss or window
        if skb.len > room:
            self.tcp_fragment(sk, skb, room)
        else:
            self._adjust_pcount(sk, skb)
            window = min(window, mss)
            if skb.len < window:
                self.tcp_retrans_try_collapse(sk, skb, window)
        self._mib["RetransSegs"] += skb.pcount
        sk.total_retrans += skb.pcount
        if skb.flags & SYN:
            self._ext["TCPSynRetrans"] += 1
        self.tcp.output.tcp_transmit_skb(sk, skb)
        skb.ever_retrans = True
        return 0

    def _adjust_pcount(self, sk: TcpSock, skb: SndSkb) -> None:
        old = skb.pcount
        skb.set_pcount(sk.mss_cache)
        less = old - skb.pcount
        if less:
            sk.packets_out -= less
            if skb.retrans:
                sk.retrans_out -= less
            if skb.lost:
                sk.lost_out -= less

    def tcp_fragment(self, sk: TcpSock, skb: SndSkb, size: int) -> None:
        """Cut a packet of the retransmit queue in two."""
        old = skb.pcount
        rest = self.tcp.mem.tcp_fragment(skb, size)
        skb.set_pcount(sk.mss_cache)
        rest.set_pcount(sk.mss_cache)
        queue = sk.rtx_queue
        queue.insert(queue.index(skb) + 1, rest)
        self.tcp.output.charge_split(sk)
        more = skb.pcount + rest.pcount - old
        if more:
            sk.packets_out += more
            if skb.retrans:
                sk.retrans_out += more
            if skb.lost:
                sk.lost_out += more

    def tcp_retrans_try_collapse(self, sk: TcpSock, into: SndSkb, space: int) -> None:
        """Append the short packets behind ``into`` that fit into one segment with it."""
        if into.flags & SYN or not self.tcp.sysctl.tcp_retrans_collapse:
            return
        queue = sk.rtx_queue
        at = queue.index(into) + 1
        space -= into.len
        while at < len(queue):
            skb = queue[at]
            if skb.pcount > 1 or skb.clones or skb.flags & SYN or into.flags & FIN:
                return
            space -= skb.len
            if space < 0 or skb.end_seq > sk.wnd_end():
                return
            if not into.shift(skb):
                return
            del queue[at]
            self.tcp.mem.tcp_wmem_free_skb(skb)
            into.end_seq = skb.end_seq
            into.flags |= skb.flags
            into.ever_retrans |= skb.ever_retrans
            sk.wmem_queued -= skb.truesize - skb.len
            sk.packets_out -= skb.pcount
            if skb.retrans:
                sk.retrans_out -= skb.pcount
            if skb.lost:
                sk.lost_out -= skb.pcount
            if sk.sacked_out:
                sk.sacked_out = max(sk.sacked_out - skb.pcount, 0)

    def tcp_xmit_retransmit_queue(self, sk: TcpSock) -> None:
        """Send again what counts as lost, as far as the window goes."""
        if not sk.packets_out:
            return
        rearm = False
        at = 0
        max_segs = self.tcp.output.tcp_tso_segs(sk)
        # By index: sending one may cut it in two, or swallow those behind it.
        while at < len(sk.rtx_queue):
            skb = sk.rtx_queue[at]
            at += 1
            segs = sk.snd_cwnd - sk.packets_in_flight()
            if segs <= 0 or sk.retrans_out >= sk.lost_out:
                break
            if not skb.lost or skb.retrans:
                continue
            if self.tcp.output.tcp_small_queue_check(sk, skb, 1):
                break
            if self.tcp_retransmit_skb(sk, skb, min(segs, max_segs)):
                break
            slow = sk.ca_state == CaState.LOSS
            self._ext["TCPSlowStartRetrans" if slow else "TCPFastRetrans"] += skb.pcount
            if sk.in_cwnd_reduction():
                sk.prr_out += skb.pcount
            if skb is sk.rtx_queue[0]:
                rearm = True
        if rearm:
            self.tcp.timer.reset_xmit_timer(sk, TIME_RETRANS, sk.rto)
