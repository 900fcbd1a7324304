"""Reassembly of IPv4 fragments (net/ipv4/ip_fragment.c, inet_fragment.c; RFC 791 section 3.2).

Theory of operation
-------------------
A fragment for us waits in the queue (``struct ipq``) of its datagram: same source,
destination, identification and protocol, whichever interface it came by. When the
first and the last fragment are there and nothing is missing between them, the datagram
goes on as if it had come in one piece, with the header of its first fragment.

* Fragments do not overlap. One that lies within a run of adjacent fragments is a
  duplicate and is ignored; any other overlap ends the whole datagram (RFC 5722 for
  IPv6, which Linux applies here too), as do two different ends, data beyond the end
  and fragments without data. A run grows at the end of the datagram only: a fragment
  that fills a gap is a run of its own.
* 30 s after its first fragment (``IP_FRAG_TIME``; the timer wheel rounds it up by as
  much as 2 s) a datagram is given up, and its sender is told so with the first fragment,
  if that is there.
* More than 64 fragments of other datagrams from the same source between two of one
  (``IP_MAX_DIST``) mean that its identification may have come round: what is there is
  dropped and the datagram starts anew, with a new timer.
* Above 4 MiB of memory (``HIGH_THRESH``) in all queues together no fragment is taken
  until datagrams have been completed or given up. What counts is the memory of the
  received buffers, not the bytes in them.
* The bits of explicit congestion notification of all fragments are combined as RFC 3168
  section 5.3 wants it; a mixture that it forbids ends the datagram.

Each fragment counts in ReasmReqds, each datagram that ends without being delivered in
ReasmFails, but for a duplicate, which counts nowhere.

Not modelled: what is above the network (conntrack, packet fanout) and would reassemble
for itself, sysctls, reassembly for a VRF.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from desim.guest.cpu.context import HZ, Cpu, KernelTimer
from desim.guest.net.skbuff import MAX_SKB_FRAGS, SKB_STRUCT, rx_room
from desim.guest.net.snmp import Snmp
from desim.guest.skb import CHECKSUM_NONE, CHECKSUM_UNNECESSARY, Skb
from desim.stages import GUEST, mark, stages
from desim.wire.frame import Frame
from desim.wire.ipv4 import HEADER_LEN, MAX_LEN, Ipv4

IP_FRAG_TIME = 30 * HZ
"""``net.ipv4.ipfrag_time``."""

IP_MAX_DIST = 64
"""``net.ipv4.ipfrag_max_dist``."""

HIGH_THRESH = 4 * 1024 * 1024
"""``net.ipv4.ipfrag_high_thresh``."""

IPQ_SIZE = 200
"""What an empty queue counts for (``sizeof(struct ipq)``)."""

IPFRAG_OK = 0
IPFRAG_DUP = 1
IPFRAG_OVERLAP = 2

_ECN_MASK = 3
_NOT_ECT = 1 << 0
_CE = 1 << 3

_ETHERNET = 14

Key = tuple[bytes, bytes, int, int]


class Peer:
    """``struct inet_peer``: counts the fragments of one source while a queue needs it."""

    __slots__ = ("refcnt", "rid")

    def __init__(self) -> None:
        self.rid = 0
        self.refcnt = 0


class Ipq:
    """``struct ipq``: the fragments of one datagram.

    ``fragments`` holds them by offset: data and length of the frame. ``run_starts`` and
    ``run_ends`` are the runs in ascending order. ``len`` is the end of the datagram as
    far as it is known, ``meat`` the bytes that are there.
    """

    __slots__ = (
        "ecn",
        "first",
        "fragments",
        "ip_summed",
        "key",
        "last_in",
        "len",
        "link",
        "max_df_size",
        "max_size",
        "meat",
        "peer",
        "rid",
        "run_ends",
        "run_starts",
        "timer",
        "truesize",
    )

    def __init__(self, key: Key, peer: Peer, timer: KernelTimer) -> None:
        self.key = key
        self.peer = peer
        self.rid = 0
        self.timer = timer
        self.max_size = 0
        self.max_df_size = 0
        """Largest fragment, and largest with DF, headers included."""
        self.flush()

    def flush(self) -> None:
        """Forget all fragments."""
        self.fragments: dict[int, tuple[bytes, int]] = {}
        self.run_starts: list[int] = []
        self.run_ends: list[int] = []
        self.first: Ipv4 | None = None
        self.link = b""
        """The Ethernet header of the first fragment."""
        self.last_in = False
        self.len = 0
        self.meat = 0
        self.truesize = 0
        self.ecn = 0
        self.ip_summed = CHECKSUM_UNNECESSARY

    def inet_frag_queue_insert(self, offset: int, end: int) -> int:
        """Find the place of a fragment among the runs: IPFRAG_OK, _DUP or _OVERLAP."""
        starts, ends = self.run_starts, self.run_ends
        if not ends or ends[-1] < end:
            if ends and offset < ends[-1]:
                return IPFRAG_OVERLAP
            if ends and offset == ends[-1]:
                ends[-1] = end
            else:
                starts.append(offset)
                ends.append(end)
            return IPFRAG_OK
        after = bisect_right(starts, offset)
        if after and offset < ends[after - 1]:
            return IPFRAG_DUP if end <= ends[after - 1] else IPFRAG_OVERLAP
        if after < len(starts) and starts[after] < end:
            return IPFRAG_OVERLAP
        starts.insert(after, offset)
        ends.insert(after, end)
        return IPFRAG_OK


class IpFragments:
    """``struct fqdir``: all datagrams that are not complete."""

    STAGES = stages(
        GUEST,
        ip_defrag=mark("ip_defrag", file="net/ipv4/ip_fragment.c"),
        ip_frag_queue=mark("ip_frag_queue", file="net/ipv4/ip_fragment.c"),
        ip_frag_reasm=mark("ip_frag_reasm", file="net/ipv4/ip_fragment.c"),
        ip_expire=mark("ip_expire", file="net/ipv4/ip_fragment.c"),
    )

    def __init__(self, *, cpu: Cpu, snmp: Snmp) -> None:
        self._cpu = cpu
        self._mib = snmp.ip
        self._ext = snmp.ip_ext
        self.queues: dict[Key, Ipq] = {}
        self.peers: dict[bytes, Peer] = {}
        self.mem = 0
        self.time_exceeded: Callable[[Ipv4, int], None] = _nobody_to_tell

    def ip_defrag(self, skb: Skb, packet: Ipv4) -> tuple[Skb, Ipv4] | None:
        """Keep the fragment ``packet``; the whole datagram if it was the missing one."""
        self._mib["ReasmReqds"] += 1
        queue = self.ip_find(packet)
        if queue is None:
            self._mib["ReasmFails"] += 1
            return None
        return self.ip_frag_queue(queue, skb, packet)

    def ip_find(self, packet: Ipv4) -> Ipq | None:
        """The queue of a fragment's datagram, new or old; None while memory is short."""
        if self.mem > HIGH_THRESH:
            return None
        key = (packet.src, packet.dst, packet.ident, packet.protocol)
        queue = self.queues.get(key)
        if queue is None:
            peer = self.peers.get(packet.src)
            if peer is None:
                peer = self.peers[packet.src] = Peer()
            peer.refcnt += 1
            timer = self._cpu.timer("ip_expire", lambda: self.ip_expire(key))
            queue = self.queues[key] = Ipq(key, peer, timer)
            self.mem += IPQ_SIZE
            timer.mod(self._cpu.jiffies + IP_FRAG_TIME)
        return queue

    def ip_frag_queue(self, queue: Ipq, skb: Skb, packet: Ipv4) -> tuple[Skb, Ipv4] | None:
        """Put a fragment in its place; see ``ip_defrag``."""
        if self.ip_frag_too_far(queue):
            self.ip_frag_reinit(queue)
        offset = packet.offset
        end = offset + len(packet.payload)
        if packet.mf:
            end &= ~7
            corrupt = end > queue.len and queue.last_in
            queue.len = max(queue.len, end)
        else:
            corrupt = end < queue.len or (queue.last_in and end != queue.len)
            queue.len = end
            queue.last_in = True
        if corrupt or end == offset:
            self._discard(queue)
            return None
        found = queue.inet_frag_queue_insert(offset, end)
        if found == IPFRAG_DUP:
            return None
        if found == IPFRAG_OVERLAP:
            self._ext["ReasmOverlaps"] += 1
            self._discard(queue)
            return None
        data = packet.payload[: end - offset]
        truesize, _ = rx_room(len(skb))
        queue.fragments[offset] = data, len(skb)
        queue.meat += len(data)
        queue.ecn |= 1 << (packet.tos & _ECN_MASK)
        queue.truesize += truesize
        self.mem += truesize
        if skb.ip_summed != CHECKSUM_UNNECESSARY:
            queue.ip_summed = CHECKSUM_NONE
        if offset == 0:
            queue.first = packet
            queue.link = skb.head[:_ETHERNET]
        size = HEADER_LEN + len(data)
        queue.max_size = max(queue.max_size, size)
        if packet.df:
            queue.max_df_size = max(queue.max_df_size, size)
        if queue.first is not None and queue.last_in and queue.meat == queue.len:
            return self.ip_frag_reasm(queue, queue.first, skb)
        return None

    def _discard(self, queue: Ipq) -> None:
        self.inet_frag_kill(queue)
        self._mib["ReasmFails"] += 1

    def ip_frag_too_far(self, queue: Ipq) -> bool:
        """Whether too many fragments of other datagrams came since this one's last."""
        peer = queue.peer
        peer.rid += 1
        start, queue.rid = queue.rid, peer.rid
        if not queue.fragments or queue.rid - start <= IP_MAX_DIST:
            return False
        self._mib["ReasmFails"] += 1
        return True

    def ip_frag_reinit(self, queue: Ipq) -> None:
        """Start a datagram anew."""
        queue.timer.mod(self._cpu.jiffies + IP_FRAG_TIME)
        self.mem -= queue.truesize
        queue.flush()

    def inet_frag_kill(self, queue: Ipq) -> None:
        """Forget a datagram."""
        queue.timer.delete()
        del self.queues[queue.key]
        self.mem -= IPQ_SIZE + queue.truesize
        queue.peer.refcnt -= 1
        if not queue.peer.refcnt:
            del self.peers[queue.key[0]]

    def ip_frag_reasm(self, queue: Ipq, first: Ipv4, last: Skb) -> tuple[Skb, Ipv4] | None:
        """Build the datagram from its fragments; ``last`` is the one that completed it."""
        length = HEADER_LEN + queue.len
        mixed = queue.ecn & _NOT_ECT and queue.ecn != _NOT_ECT
        if mixed or length > MAX_LEN:
            self._discard(queue)
            return None
        self.inet_frag_kill(queue)
        in_order = [queue.fragments[offset] for offset in sorted(queue.fragments)]
        packet = Ipv4(
            first.src,
            first.dst,
            first.protocol,
            b"".join([data for data, _ in in_order]),
            first.ident,
            first.ttl,
            first.tos | (_ECN_MASK if queue.ecn & _CE else 0),
            df=queue.max_df_size == queue.max_size,
        )
        head = queue.link + packet.emit()
        skb = Skb(head, Frame(head, 0 if last.frame is None else last.frame.number))
        skb.ip_summed = queue.ip_summed
        skb.tstamp = last.tstamp
        skb.truesize = coalesced_truesize(in_order)
        self._mib["ReasmOKs"] += 1
        return skb, packet

    def ip_expire(self, key: Key) -> None:
        """The datagram has not become complete in time; from the timer softirq."""
        queue = self.queues[key]
        self.inet_frag_kill(queue)
        self._mib["ReasmFails"] += 1
        self._mib["ReasmTimeout"] += 1
        if queue.first is not None:
            # Bytes that are no multiple of eight are gone, though the header counts them.
            self.time_exceeded(queue.first, HEADER_LEN + len(queue.fragments[0][0]))


def coalesced_truesize(in_order: list[tuple[bytes, int]]) -> int:
    """What a reassembled packet counts for (``skb_try_coalesce``).

    What follows the first fragment is copied behind it while it fits into its buffer,
    else its page becomes a fragment of the packet; with all ``MAX_SKB_FRAGS`` in use,
    the rest stays a list of whole buffers.
    """
    truesize, room = rx_room(in_order[0][1])
    room -= in_order[0][1]
    nr_frags = 0
    for data, frame_len in in_order[1:]:
        if not nr_frags and len(data) <= room:
            room -= len(data)
            continue
        size, _ = rx_room(frame_len)
        truesize += size
        if nr_frags < MAX_SKB_FRAGS:
            nr_frags += 1
            truesize -= SKB_STRUCT
    return truesize


def _nobody_to_tell(packet: Ipv4, size: int) -> None:
    raise AssertionError("reassembly has no ICMP above it")
