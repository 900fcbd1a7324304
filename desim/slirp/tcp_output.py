"""TCP output: what to send and when (slirp/tcp_output.c, RFC 9293 section 3.8, 4.4BSD).

A segment goes out if it is full or empties so_snd (there is no Nagle algorithm),
if it is forced or a retransmission, if the window can be opened by two segments or
half of so_rcv, or if an ACK, SYN, FIN, RST or urgent pointer is owed. If data waits
and nothing of this holds, the persist timer runs.

The window is what is free in so_rcv: never scaled, never taken back, and 0 rather
than silly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.slirp.ip import IPDEFTTL
from desim.slirp.tcp_var import (
    SEQ,
    TCP_BACKOFF,
    TCP_MAXRXTSHIFT,
    TCP_MAXWIN,
    TCPT_PERSIST,
    TCPT_REXMT,
    TCPTV_PERSMAX,
    TCPTV_PERSMIN,
    TF_ACKNOW,
    TF_DELACK,
    TF_SENTFIN,
    TH_ACK,
    TH_FIN,
    TH_PUSH,
    TH_RST,
    TH_SYN,
    TH_URG,
    TcpCb,
    rangeset,
    seq_gt,
    seq_lt,
)
from desim.stages import QEMU, Landmark, mark, stages
from desim.wire.addresses import ZERO_MAC
from desim.wire.segment import Segment

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

TCP_OUTFLAGS = (
    TH_RST | TH_ACK,  # CLOSED
    0,  # LISTEN
    TH_SYN,  # SYN_SENT
    TH_SYN | TH_ACK,  # SYN_RECEIVED
    TH_ACK,  # ESTABLISHED
    TH_ACK,  # CLOSE_WAIT
    TH_FIN | TH_ACK,  # FIN_WAIT_1
    TH_FIN | TH_ACK,  # CLOSING
    TH_FIN | TH_ACK,  # LAST_ACK
    TH_ACK,  # FIN_WAIT_2
    TH_ACK,  # TIME_WAIT
)
"""The flags that go with a segment, by state."""

_SYN_FIN = TH_SYN | TH_FIN
_NO_ACK_OWED = ~(TF_ACKNOW | TF_DELACK)


class TcpOutput:
    """``tcp_output`` and the persist timer."""

    STAGES = stages(
        QEMU,
        tcp_output=mark("tcp_output", file="slirp/tcp_output.c", landmark=Landmark.SENT_BY_SLIRP),
        tcp_setpersist=mark("tcp_setpersist", file="slirp/tcp_output.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp

    def tcp_output(self, tp: TcpCb) -> None:
        """Send all segments that are due."""
        if tp.snd_max == tp.snd_una and tp.t_idle >= tp.t_rxtcur:
            # Nothing is under way that could clock out what follows: start slowly again.
            tp.snd_cwnd = tp.t_maxseg
        while self._send_one(tp):
            pass

    def _send_one(self, tp: TcpCb) -> bool:
        """Send one segment, if one is due; whether there may be another."""
        so = tp.t_socket
        cc = len(so.so_snd.data)
        # NOTE: seq_diff and seq_gt are written out here and below (4 calls a segment).
        off = ((tp.snd_nxt - tp.snd_una + 0x80000000) & SEQ) - 0x80000000
        win = tp.snd_wnd if tp.snd_wnd < tp.snd_cwnd else tp.snd_cwnd
        flags = TCP_OUTFLAGS[tp.t_state]
        if tp.t_force:
            if win == 0:
                # A probe of one byte; the FIN only where no byte is left.
                if off < cc:
                    flags &= ~TH_FIN
                win = 1
            else:
                tp.t_timer[TCPT_PERSIST] = 0
                tp.t_rxtshift = 0
        length = (cc if cc < win else win) - off
        if length < 0:
            # Either the FIN is under way (-1) or the window shrank below what is.
            length = 0
            if win == 0:
                tp.t_timer[TCPT_REXMT] = 0
                tp.snd_nxt = tp.snd_una
        maxseg = tp.t_maxseg
        again = length > maxseg
        if again:
            length = maxseg
        if flags & TH_FIN and seq_lt(tp.snd_nxt + length, tp.snd_una + cc):
            flags &= ~TH_FIN
        rcv = so.so_rcv
        room = rcv.datalen - len(rcv.data)
        if room > TCP_MAXWIN:
            room = TCP_MAXWIN
        if not (
            length == maxseg
            or tp.t_flags & TF_ACKNOW
            or self._due(tp, length, off, cc, room, flags)
        ):
            if cc and not tp.t_timer[TCPT_REXMT] and not tp.t_timer[TCPT_PERSIST]:
                tp.t_rxtshift = 0
                self.tcp_setpersist(tp)
            return False

        options = b""
        if flags & TH_SYN:
            tp.snd_nxt = tp.iss
            mss = self.slirp.tcp_input.tcp_mss(tp, 0)
            maxseg = tp.t_maxseg
            options = b"\x02\x04" + (mss & 0xFFFF).to_bytes(2, "big")
            if length > maxseg - len(options):
                length = maxseg - len(options)
                again = True
        if length:
            payload = so.so_snd.copy(off, length)
            if off + length == cc:
                flags |= TH_PUSH
        else:
            payload = b""
        if flags & TH_FIN and tp.t_flags & TF_SENTFIN and tp.snd_nxt == tp.snd_max:
            # The FIN again, at its old place.
            tp.snd_nxt = (tp.snd_nxt - 1) & SEQ
        # An empty ACK carries the first number that was never sent, even in the midst of
        # a retransmission; while probing, snd_max may lie beyond the window.
        if length or flags & _SYN_FIN or tp.t_timer[TCPT_PERSIST]:
            seq = tp.snd_nxt
        else:
            seq = tp.snd_max
        # What was promised stays promised. (If the guest has sent more than that, the
        # difference is a huge unsigned number, as in the real slirp.)
        window = promised = (tp.rcv_adv - tp.rcv_nxt) & SEQ
        if room > promised and (room >= maxseg or room >= rcv.datalen // 4):
            window = room
        urgent = 0
        if (tp.snd_una - tp.snd_up) & 0x80000000:
            urgent = (tp.snd_up - seq) & 0xFFFF
            flags |= TH_URG
        else:
            tp.snd_up = tp.snd_una
        # Advance over what is being sent; start timing it and its retransmission.
        if tp.t_force and tp.t_timer[TCPT_PERSIST]:
            if seq_gt(tp.snd_nxt + length, tp.snd_max):
                tp.snd_max = (tp.snd_nxt + length) & SEQ
        else:
            start = tp.snd_nxt
            end = start + length
            if flags & _SYN_FIN:
                if flags & TH_SYN:
                    end += 1
                if flags & TH_FIN:
                    end += 1
                    tp.t_flags |= TF_SENTFIN
            tp.snd_nxt = end = end & SEQ
            if (tp.snd_max - end) & 0x80000000:
                tp.snd_max = end
                if not tp.t_rtt:
                    tp.t_rtt = 1
                    tp.t_rtseq = start
            if not tp.t_timer[TCPT_REXMT] and end != tp.snd_una:
                tp.t_timer[TCPT_REXMT] = tp.t_rxtcur
                if tp.t_timer[TCPT_PERSIST]:
                    tp.t_timer[TCPT_PERSIST] = 0
                    tp.t_rxtshift = 0

        src, dst, sport, dport = tp.t_template
        ip = self.slirp.ip if len(src) == 4 else self.slirp.ip6
        ip.ip_output_tcp(
            so,
            # As the parameters of Segment stand: by name it costs three times as much.
            Segment(
                ZERO_MAC,
                ZERO_MAC,
                src,
                dst,
                sport,
                dport,
                seq,
                tp.rcv_nxt,
                flags,
                window & 0xFFFF,
                urgent,
                options,
                payload,
                0,
                IPDEFTTL,
                so.so_iptos,
                False,
                b"",
                True,
            ),
        )
        if window > promised:
            tp.rcv_adv = (tp.rcv_nxt + window) & SEQ
        tp.t_flags &= _NO_ACK_OWED
        return again

    def _due(self, tp: TcpCb, length: int, off: int, cc: int, room: int, flags: int) -> bool:
        """Whether to send ``length`` bytes from ``off``, though they fill no segment and no ACK is
        owed (see above)."""
        if length and (
            length + off >= cc
            or tp.t_force
            or (tp.max_sndwnd > 0 and length >= tp.max_sndwnd // 2)
            or seq_lt(tp.snd_nxt, tp.snd_max)
        ):
            return True
        if room > 0:
            growth = room - ((tp.rcv_adv - tp.rcv_nxt) & SEQ)
            if growth >= 2 * tp.t_maxseg or 2 * growth >= tp.t_socket.so_rcv.datalen:
                return True
        if flags & (TH_SYN | TH_RST) or seq_gt(tp.snd_up, tp.snd_una):
            return True
        return bool(flags & TH_FIN) and (not tp.t_flags & TF_SENTFIN or tp.snd_nxt == tp.snd_una)

    def tcp_setpersist(self, tp: TcpCb) -> None:
        """Start the persist timer, each time for longer."""
        ticks = ((tp.t_srtt >> 2) + tp.t_rttvar) >> 1
        tp.t_timer[TCPT_PERSIST] = rangeset(
            ticks * TCP_BACKOFF[tp.t_rxtshift], TCPTV_PERSMIN, TCPTV_PERSMAX
        )
        if tp.t_rxtshift < TCP_MAXRXTSHIFT:
            tp.t_rxtshift += 1
