"""TCP's view of a packet: ``TCP_SKB_CB`` with what the stack knows of its memory.

Sequence numbers are unwrapped: once a segment has met its socket they are plain
integers that grow beyond 32 bits, so that before and after are ``<`` and ``>``.
``unwrap`` does it at the door, ``& 0xFFFFFFFF`` undoes it on the way out.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.guest.net.skbuff import SEND_SKB_TRUESIZE, rx_room
from desim.userland.pages import Pages
from desim.wire.segment import Segment
from desim.wire.tcp import FIN, SYN

MAX_SKB_FRAGS = 17
"""So many pieces a packet has at most (include/linux/skbuff.h, pages of 4 KiB)."""


def unwrap(number: int, near: int) -> int:
    """The sequence number ``number`` (32 bits) as the integer closest to ``near``."""
    return near + ((number - near + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class RcvSkb:
    """A received segment, or several that GRO or the receive queue has merged.

    ``pieces`` is the payload, one entry per segment. ``seq``, ``end_seq`` and ``ack``
    are as on the wire until ``place`` has unwrapped them. The first ``read_pieces`` pieces lie
    joined in ``read_data``, from byte ``read_from`` of the payload on.
    """

    __slots__ = (
        "ack",
        "end_seq",
        "flags",
        "gso_segs",
        "gso_size",
        "has_frag_list",
        "headers_len",
        "last_frags",
        "len",
        "nr_frags",
        "pieces",
        "read_data",
        "read_from",
        "read_pieces",
        "seg",
        "seq",
        "tailroom",
        "truesize",
        "window",
    )

    def __init__(self, seg: Segment, frame_len: int) -> None:
        payload, options = seg.payload, seg.options
        self.seg = seg
        self.seq = seg.seq
        self.end_seq = 0
        self.ack = seg.ack
        self.flags = seg.flags
        self.window = seg.window
        self.pieces = [payload]
        self.len = size = len(payload)
        self.headers_len = 54 + len(options) if options else 54
        self.truesize, room = rx_room(frame_len)
        self.tailroom = room - self.headers_len - size
        self.read_pieces = self.read_from = 0
        self.read_data = b""
        self.nr_frags = 0
        self.last_frags = 0
        self.has_frag_list = False
        self.gso_size = 0
        self.gso_segs = 1

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes of the payload from ``offset`` on, which never goes back.

        NOTE: a reader that takes less than a packet finds its bytes at once, however many
        segments were merged into it (4 calls a segment less, 25 for reads of 1 KiB).
        """
        start = offset - self.read_from
        data = self.read_data
        known = len(data)
        if start + size > known:
            pieces = self.pieces[self.read_pieces :]
            rest = data[start:]
            self.read_from += min(start, known)
            start = offset - self.read_from
            data = pieces[0] if not rest and len(pieces) == 1 else b"".join((rest, *pieces))
            self.read_data = data
            self.read_pieces = len(self.pieces)
        return data[start : start + size]

    def place(self, rcv_nxt: int, snd_una: int) -> None:
        """Unwrap the sequence numbers near those of a connection."""
        self.seq = unwrap(self.seg.seq, rcv_nxt)
        self.ack = unwrap(self.seg.ack, snd_una)
        flags = self.flags
        self.end_seq = self.seq + self.len + (flags & FIN) + ((flags & SYN) >> 1)


class SharedMemory:
    """Memory that goes back when the last who has it is done."""

    __slots__ = ("_give_back", "_users")

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._users = 1

    @property
    def shared(self) -> bool:
        return self._users > 1

    def get(self) -> SharedMemory:
        """One more has it."""
        self._users += 1
        return self

    def free(self) -> None:
        """One less."""
        self._users -= 1
        if not self._users:
            self._give_back()


class SndSkb:
    """A packet in a socket's write queue or retransmit queue.

    The payload is ``pieces``, its fragments, of which the first ``skip`` bytes have been
    acknowledged already; ``len`` is what is left. Each piece lies in the block of ``pages`` of
    the same index, and ends there at the byte that ``ends`` says. ``fclone`` and ``head`` are
    what clones share with it.
    """

    __slots__ = (
        "clones",
        "end_seq",
        "ends",
        "ever_retrans",
        "fclone",
        "flags",
        "head",
        "len",
        "lost",
        "pages",
        "pcount",
        "pieces",
        "retrans",
        "sent_ns",
        "seq",
        "skip",
    )

    fclone: SharedMemory
    head: SharedMemory

    def __init__(self, seq: int, flags: int) -> None:
        self.seq = seq
        self.end_seq = seq
        self.flags = flags
        self.pieces: list[bytes] = []
        self.pages: list[Pages] = []
        self.ends: list[int] = []
        self.skip = 0
        self.len = 0
        self.pcount = 0
        """Segments it makes (``tcp_skb_pcount``); 0 while not known."""
        self.sent_ns = 0
        self.lost = False
        self.retrans = False
        self.ever_retrans = False
        self.clones = 0
        """Copies that are still in the device's queue (``skb_still_in_host_queue``)."""

    @property
    def truesize(self) -> int:
        return SEND_SKB_TRUESIZE + self.len

    def set_pcount(self, mss: int) -> None:
        """``tcp_set_skb_tso_segs``."""
        size = self.len
        self.pcount = 1 if size <= mss else (size + mss - 1) // mss

    def can_coalesce(self, pages: Pages, offset: int) -> bool:
        """``skb_can_coalesce``: whether byte ``offset`` of ``pages`` is behind the last piece."""
        return bool(self.pages) and self.pages[-1] is pages and self.ends[-1] == offset

    def append(self, data: bytes, pages: Pages, offset: int) -> None:
        """Add payload at the end, which begins at byte ``offset`` of ``pages``."""
        if self.can_coalesce(pages, offset):
            self.pieces[-1] += data
            self.ends[-1] += len(data)
        else:
            self.pieces.append(data)
            self.pages.append(pages)
            self.ends.append(offset + len(data))
            pages.users += 1
        self.len += len(data)
        self.end_seq += len(data)
        self.pcount = 0

    def shift(self, other: SndSkb) -> bool:
        """``skb_shift``: take over all payload of ``other``; False if that is too many pieces."""
        joins = bool(other.pages) and self.can_coalesce(
            other.pages[0], other.ends[0] - len(other.pieces[0]) + other.skip
        )
        if len(self.pieces) + len(other.pieces) - joins > MAX_SKB_FRAGS:
            return False
        pcount = self.pcount
        for data, pages, end in zip(other.payload(), other.pages, other.ends, strict=True):
            self.append(data, pages, end - len(data))
        self.pcount = pcount
        return True

    def trim_head(self, size: int) -> list[Pages]:
        """Forget ``size`` bytes of acknowledged payload: the pages that they were in."""
        self.seq += size
        self.len -= size
        self.skip += size
        pieces = self.pieces
        done = 0
        while done < len(pieces) and self.skip >= len(pieces[done]):
            self.skip -= len(pieces[done])
            done += 1
        freed = self.pages[:done]
        del pieces[:done], self.pages[:done], self.ends[:done]
        return freed

    def payload(self) -> list[bytes]:
        """The payload as slices, without what has been trimmed."""
        if not self.skip:
            return list(self.pieces)
        return [self.pieces[0][self.skip :], *self.pieces[1:]]

    def split(self, size: int, rest: SndSkb) -> None:
        """``skb_split``: keep ``size`` bytes, put the others into the new packet ``rest``."""
        rest.end_seq = self.end_seq
        rest.len = self.len - size
        rest.sent_ns = self.sent_ns
        rest.lost = self.lost
        rest.retrans = self.retrans
        rest.ever_retrans = self.ever_retrans
        # PSH and FIN belong to the last byte.
        self.flags &= ~(FIN | 0x08)
        self.end_seq = self.seq + size
        self.len = size
        room = size + self.skip
        pieces, pages, ends = self.pieces, self.pages, self.ends
        at = 0
        while at < len(pieces) and room >= len(pieces[at]):
            room -= len(pieces[at])
            at += 1
        rest.pieces[:], rest.pages[:], rest.ends[:] = pieces[at:], pages[at:], ends[at:]
        del pieces[at:], pages[at:], ends[at:]
        if room:
            # One piece is in both.
            piece = rest.pieces[0]
            pieces.append(piece[:room])
            rest.pieces[0] = piece[room:]
            ends.append(rest.ends[0] - len(rest.pieces[0]))
            pages.append(rest.pages[0])
            rest.pages[0].users += 1
        self.pcount = 0
