"""What a program writes: ``tcp_sendmsg`` and ``tcp_sendpage`` (net/ipv4/tcp.c).

Theory of operation
-------------------
Both fill packets in the write queue, up to 64 KiB or half of the peer's window each, while the
send buffer has room. ``tcp_sendmsg`` copies the program's bytes into pages of the kernel's own;
``tcp_sendpage`` adds pages of the page cache as they are, one at a time. Bytes that lie behind
the packet's last ones in the same pages make that piece longer; a packet of 17 pieces is full.

A full packet goes at once if it is the first of the queue, and all go when half of the peer's
window has been written since the last push. ``tcp_push`` is the end of a call: PSH, and what
Nagle lets go; with MSG_MORE no PSH, and full segments only. ``sendfile`` leaves it out between
two pages (MSG_SENDPAGE_NOTLAST).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from desim.guest.net.skbuff import MAX_TCP_HEADER
from desim.guest.net.sock import SEND_SHUTDOWN, error_of, would_block
from desim.guest.net.tcp.tcp_mem import PAGE_FRAG_BYTES
from desim.guest.net.tcp.tcp_skb import MAX_SKB_FRAGS, SndSkb
from desim.guest.net.tcp.tcp_sock import (
    GSO_MAX_SIZE,
    MSS_DEFAULT,
    NAGLE_CORK,
    NAGLE_PUSH,
    State,
    TcpSock,
)
from desim.stages import GUEST, mark, stages
from desim.userland.pages import PagePiece, Pages
from desim.userland.uapi import MSG_MORE, MSG_SENDPAGE_NOTLAST
from desim.wire.tcp import ACK, PSH

if TYPE_CHECKING:
    from desim.guest.net.tcp.tcp import Tcp


class TcpSend:
    """From a program's call to the write queue."""

    STAGES = stages(
        GUEST,
        tcp_sendmsg=mark("tcp_sendmsg", "tcp_sendmsg_locked", file="net/ipv4/tcp.c"),
        skb_copy_to_page_nocache=mark(
            "skb_copy_to_page_nocache", file="include/net/sock.h", size="piece"
        ),
        tcp_sendpage=mark(
            "tcp_sendpage", "tcp_sendpage_locked", "do_tcp_sendpages", file="net/ipv4/tcp.c"
        ),
        tcp_splice_eof=mark("tcp_splice_eof", file="net/ipv4/tcp.c"),
    )

    def __init__(self, tcp: Tcp) -> None:
        self.tcp = tcp
        self._cpu = tcp.cpu
        self._ext = tcp.snmp.tcp_ext

    def tcp_sendmsg(self, sk: TcpSock, data: bytes, more: bool = False) -> int:
        """Take as much of ``data`` as the buffer has room for; ``more`` is MSG_MORE."""
        self.tcp.lock_sock(sk)
        try:
            return self._sendmsg_locked(sk, data, more)
        finally:
            self.tcp.release_sock(sk)

    def _sendmsg_locked(self, sk: TcpSock, data: bytes, more: bool) -> int:
        self._may_write(sk)
        goal = self.tcp_xmit_size_goal(sk)
        size = len(data)
        copied = 0
        while copied < size:
            skb = self._tail(sk, goal)
            if skb is None:
                break
            frag = sk.page_frag
            self.tcp.mem.sk_page_frag_refill(frag)
            assert frag.pages is not None
            offset = PAGE_FRAG_BYTES - frag.left
            skb = self._with_room_for(sk, skb, frag.pages, offset)
            if skb is None:
                break
            room = min(goal - skb.len, frag.left)
            piece = data[copied : copied + room] if copied or room < size else data
            frag.left -= len(piece)
            self.skb_copy_to_page_nocache(piece)
            self._append(sk, skb, PagePiece(piece, frag.pages, offset), first=not copied)
            copied += len(piece)
            if copied < size and skb.len >= goal:
                self._push_full(sk, skb)
        if copied < size:
            sk.nospace = True
            if copied:
                self.tcp_push(sk, NAGLE_PUSH, goal)
            else:
                raise would_block()
        else:
            self.tcp_push(sk, sk.nonagle, goal, more)
        return copied

    def skb_copy_to_page_nocache(self, piece: bytes) -> None:
        """From the program's memory."""

    def tcp_sendpage(self, sk: TcpSock, piece: PagePiece, flags: int, copied: int | None) -> int:
        """Take a page of a file as it is, or as much of it as the buffer has room for.

        ``copied`` is what the call has taken before it had to wait; None if it begins now.
        """
        self.tcp.lock_sock(sk)
        try:
            return self._sendpage_locked(sk, piece, flags, copied)
        finally:
            self.tcp.release_sock(sk)

    def _sendpage_locked(
        self, sk: TcpSock, piece: PagePiece, flags: int, copied: int | None
    ) -> int:
        self._may_write(sk)
        goal = self.tcp_xmit_size_goal(sk)
        data, pages, offset = piece
        taken = 0
        while taken < len(data):
            skb = self._tail(sk, goal)
            if skb is not None:
                skb = self._with_room_for(sk, skb, pages, offset + taken)
            if skb is None:
                sk.nospace = True
                if taken or copied is None:
                    self.tcp_push(sk, NAGLE_PUSH, goal)
                if not taken:
                    raise would_block()
                return taken
            part = data[taken : taken + goal - skb.len]
            first = not (copied or taken)
            self._append(sk, skb, PagePiece(part, pages, offset + taken), first=first)
            taken += len(part)
            if taken < len(data) and skb.len >= goal:
                self._push_full(sk, skb)
        if not flags & MSG_SENDPAGE_NOTLAST:
            self.tcp_push(sk, sk.nonagle, goal, bool(flags & MSG_MORE))
        return taken

    def tcp_splice_eof(self, sk: TcpSock) -> None:
        """The file that was sent with MSG_MORE has ended: send what is left of it."""
        if sk.write_queue:
            self.tcp.lock_sock(sk)
            self.tcp_push(sk, sk.nonagle, self.tcp_xmit_size_goal(sk))
            self.tcp.release_sock(sk)

    # The packet that takes what is written.

    def _tail(self, sk: TcpSock, goal: int) -> SndSkb | None:
        """The last packet if it is not full, else a new one; None without memory for it."""
        if sk.write_queue and sk.write_queue[-1].len < goal:
            return sk.write_queue[-1]
        return self._new_segment(sk)

    def _with_room_for(self, sk: TcpSock, skb: SndSkb, pages: Pages, offset: int) -> SndSkb | None:
        """``skb``, or a new one if it has no piece left for byte ``offset`` of ``pages``."""
        if len(skb.pieces) < MAX_SKB_FRAGS or skb.can_coalesce(pages, offset):
            return skb
        self._mark_push(sk, skb)
        return self._new_segment(sk)

    def _new_segment(self, sk: TcpSock) -> SndSkb | None:
        if not sk.stream_memory_free():
            return None
        self._cpu.cond_resched()  # as every allocation that may sleep does
        skb = self.tcp.mem.tcp_stream_alloc_skb(sk.write_seq, ACK)
        self.tcp.output.tcp_queue_skb(sk, skb)
        sk.nonagle &= ~NAGLE_PUSH
        return skb

    def _append(self, sk: TcpSock, skb: SndSkb, piece: PagePiece, *, first: bool) -> None:
        """Add a piece, which is the ``first`` of its call or not."""
        if first:
            skb.flags &= ~PSH
        skb.append(*piece)
        sk.wmem_queued += len(piece.data)
        sk.write_seq += len(piece.data)

    def tcp_xmit_size_goal(self, sk: TcpSock) -> int:
        """Bytes of the packets that a write fills: no more than half of the peer's window."""
        size = GSO_MAX_SIZE - 1 - MAX_TCP_HEADER
        limit = sk.max_window >> 1 if sk.max_window > MSS_DEFAULT else sk.max_window
        if limit and size > limit:
            size = max(limit, 48)
        mss = sk.mss_cache
        return max(size // mss * mss, mss)

    # When it goes.

    def _push_full(self, sk: TcpSock, skb: SndSkb) -> None:
        """More will be written behind a packet that is full."""
        if sk.write_seq > sk.pushed_seq + (sk.max_window >> 1):
            # Half a window since the last push.
            self._mark_push(sk, skb)
            self.tcp.output.push(sk, NAGLE_PUSH)
        elif skb is sk.write_queue[0]:
            self.tcp.output.tcp_write_xmit(sk, NAGLE_PUSH, True)

    def _mark_push(self, sk: TcpSock, skb: SndSkb) -> None:
        skb.flags |= PSH
        sk.pushed_seq = sk.write_seq

    def tcp_push(self, sk: TcpSock, nonagle: int, goal: int, more: bool = False) -> None:
        """The end of a write: mark it with PSH unless ``more`` follows, send what may go."""
        if not sk.write_queue:
            return
        skb = sk.write_queue[-1]
        if not more or sk.write_seq > sk.pushed_seq + (sk.max_window >> 1):
            self._mark_push(sk, skb)
        self._cpu.touch("lock_sock")  # what the card is done with counts
        held = skb.len < goal and sk.rtx_queue and sk.wmem_alloc > skb.truesize
        if held and self.tcp.sysctl.tcp_autocorking:
            # Autocorking: more may be written before the card is done with the last packet.
            if not sk.tsq_throttled:
                self._ext["TCPAutoCorking"] += 1
                sk.tsq_throttled = True
            return
        self.tcp.output.push(sk, NAGLE_CORK if more else nonagle)

    # Why nothing can be written.

    def _may_write(self, sk: TcpSock) -> None:
        """Raise the error, or EAGAIN while connecting."""
        if sk.state == State.SYN_SENT:
            raise would_block()
        unconnected = sk.state not in (State.ESTABLISHED, State.CLOSE_WAIT)
        if unconnected or sk.err or sk.shutdown & SEND_SHUTDOWN:
            number, sk.err = sk.err, 0
            raise error_of(number or errno.EPIPE)
