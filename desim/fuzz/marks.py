"""Marks: rare branches of the models, each with a name, told from what a run records anyway.

Nothing in the models is there for a mark: it is a function that was entered, a counter of the
guest's kernel, a reason in the ledger, or what the frames of a connection show. So the path of a
packet costs what it did. A search that has not hit a mark has not tried what is behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from desim.config import SECOND_NS
from desim.data import NamedTuple
from desim.events import Held, Lost, Made, MitigationEnded
from desim.laws.endless import spins
from desim.laws.law import Run
from desim.laws.segments import Stream, streams
from desim.laws.slirps_ways import writes_in_vain
from desim.wire.tcp import ACK, FIN, RST, SYN

QUICK_NS = 150_000_000
"""slirp looks at its retransmission timer every 500 ms: what is sent again sooner is no matter of
that."""
TIME_WAIT_NS = 60 * SECOND_NS
"""How long the guest's TIME_WAIT lasts."""
DUPLICATES = 3
"""Acknowledgements of the same byte that make an end send it again at once (RFC 5681)."""


HOLDERS = ("floor", "ITR", "RADV", "TADV", "RDTR", "TIDV")
"""What may decide how long the card holds an interrupt back: a register, or QEMU's floor."""


class Evidence(NamedTuple):
    """What a run shows of where it has been."""

    entered: Callable[[str, str], bool]
    """Whether a function was entered, by its file and name."""
    reasons: frozenset[str]
    """Codes of why frames were lost, held or made."""
    counters: Mapping[str, Mapping[str, int]]
    """The guest's (``Remains.counters``)."""
    shown: frozenset[str]
    """What segments on the wire and events show (``_shown``)."""


class Mark(NamedTuple):
    """One rare branch."""

    about: str
    """What happens there, for people."""
    hit: Callable[[Evidence], bool]
    beyond: str = ""
    """Why no scenario of a search gets there, if none does."""


def _entered(file: str, name: str, about: str) -> Mark:
    return Mark(about, lambda seen: seen.entered(file, name))


def _counted(section: str, name: str, about: str) -> Mark:
    return Mark(about, lambda seen: seen.counters[section].get(name, 0) > 0)


def _reason(code: str, about: str, beyond: str = "") -> Mark:
    return Mark(about, lambda seen: code in seen.reasons, beyond)


def _wire(word: str, about: str) -> Mark:
    return Mark(about, lambda seen: word in seen.shown)


TCP = "net/ipv4/"
E1000 = "drivers/net/ethernet/intel/e1000/e1000_main.c"

MARKS: Mapping[str, Mark] = MappingProxyType(
    {
        # The card and its driver
        "ring-empty": _reason("ring-empty", "the card has no free descriptor: frames wait"),
        "ring-overrun": _reason("no-descriptors", "a frame is lost for want of descriptors (RXO)"),
        "hold-off": _reason("hold-off", "RCTL was written: the card takes nothing for a second"),
        "hold-off-ends": _entered("hw/net/e1000.c", "e1000_flush_queue_timer", "it does again"),
        **{
            f"held-by-{by}": _wire(f"held {by}", f"an interrupt waited; {by} decided how long")
            for by in HOLDERS
        },
        "link-down": _reason("link-down", "the card's link is down: frames wait"),
        "link-down-in-flush": _reason("link-down-in-flush", "a waiting frame meets a link down"),
        "no-link": _reason("no-link", "who sends has no link"),
        "link-changes": _entered("hw/net/e1000.c", "e1000_set_link_status", "somebody pulls it"),
        "wire-busy": _reason("wire-busy", "datasheet: another frame is on the wire"),
        "fifo": _reason("in-fifo", "datasheet: a frame waits in the card's FIFO"),
        "fifo-full": _reason("fifo-full", "datasheet: the FIFO is full"),
        "tx-stuck": _entered(
            E1000, "e1000_reset_task", "the link goes while packets wait: the driver starts anew"
        ),
        "segmentation": _entered(E1000, "e1000_tso", "the card cuts a large packet"),
        "copybreak": _entered(E1000, "e1000_copybreak", "a short frame is copied"),
        # The net layer
        "queue-flush": _entered(
            "net/queue.c", "qemu_net_queue_flush", "a queue is emptied into its receiver"
        ),
        "queue-full": _reason("queue-full", "a queue is full, and a frame is lost"),
        "nested": _reason(
            "delivering-another",
            "a frame comes while another is delivered",
            "two user networks on a hub answer each other in one call, and a machine has one",
        ),
        "not-now": _reason("not-now", "a receiver says: not now, as a hub of one port does"),
        "filter-buffer": _reason("filter-buffer", "a filter keeps frames for its interval"),
        "filter-corrupt": _reason("filter-corrupted", "a filter spoils a frame"),
        "filter-delay": _reason("filter-delay", "a filter delays one"),
        "filter-duplicate": _reason("filter-duplicate", "a filter copies one"),
        "filter-loss": _reason("filter-loss", "a filter loses one"),
        "filter-reorder": _reason("filter-reorder", "a filter lets others pass one"),
        # slirp
        "slirp-arp-waits": _reason("resolving", "slirp asks who has the guest's address"),
        "slirp-drops-bad-tcp": _reason("tcp-refused", "slirp gets a segment with a bad sum"),
        "slirp-drops-bad-ip": _reason("ip-checksum", "slirp gets a header with a bad sum"),
        "slirp-persist": _entered("slirp/tcp_output.c", "tcp_setpersist", "a closed window"),
        "slirp-reassembly": _entered("slirp/tcp_input.c", "tcp_reass", "segments out of order"),
        "slirp-gives-up": _entered("slirp/tcp_subr.c", "tcp_drop", "slirp drops a connection"),
        "slirp-fragments": _entered("slirp/ip_input.c", "ip_reass", "fragments become a datagram"),
        "slirp-retransmits": _wire("slirp again", "slirp sends a segment again"),
        "slirp-fast-retransmit": _wire(
            "slirp fast", "slirp sends one again after three duplicate acknowledgements"
        ),
        "slirp-zero-window": _wire("slirp zero window", "slirp closes its window"),
        "slirp-spins": _wire("slirp spins", "slirp of QEMU 2.8 reads an end again and again"),
        "slirp-writes-in-vain": _wire("slirp in vain", "the host's program takes nothing more"),
        "slirp-restricted": _reason("restricted", "restrict=on keeps a packet in"),
        "slirp-no-udp-socket": _reason(
            "no-udp-socket",
            "slirp has nowhere to put a datagram",
            "the host has 28,232 ports for sessions, and an example is a few conversations",
        ),
        # The guest
        "fast-retransmit": _counted(
            "TcpExt", "TCPRenoRecovery", "the guest recovers after duplicate acknowledgements"
        ),
        "retransmission-timer": _counted("TcpExt", "TCPTimeouts", "the guest's timer goes off"),
        "lost-again": _counted("TcpExt", "TCPLostRetransmit", "a retransmission is lost, too"),
        "spurious-timeout": _counted("TcpExt", "TCPSpuriousRTOs", "a timer was too early (F-RTO)"),
        "undo": Mark(
            "the guest takes a reduction of its window back",
            lambda seen: any(
                seen.counters["TcpExt"].get(name, 0) for name in ("TCPLossUndo", "TCPPartialUndo")
            ),
        ),
        "reordering": _counted("TcpExt", "TCPRenoReorder", "the guest sees reordering"),
        "out-of-order": _counted("TcpExt", "TCPOFOQueue", "a segment comes ahead of its turn"),
        "out-of-order-twice": _counted("TcpExt", "TCPOFOMerge", "and again"),
        "persist": _entered(TCP + "tcp_output.c", "tcp_send_probe0", "the guest asks for a window"),
        "zero-window": _counted("TcpExt", "TCPToZeroWindowAdv", "the guest closes its window"),
        "zero-window-drop": _counted("TcpExt", "TCPZeroWindowDrop", "data comes all the same"),
        "pruned": _counted("TcpExt", "PruneCalled", "the guest's receive buffer is full"),
        "syn-again": _counted("TcpExt", "TCPSynRetrans", "the guest's SYN goes out again"),
        "time-wait": _entered(TCP + "tcp_minisocks.c", "tcp_time_wait", "a connection is closed"),
        "time-wait-reuse": _wire("time-wait reused", "ports come again while one end waits"),
        "time-wait-segment": _entered(
            TCP + "tcp_minisocks.c", "tcp_timewait_state_process", "one in TIME_WAIT gets a segment"
        ),
        "accept-overflow": _counted("TcpExt", "ListenOverflows", "a listener's queue is full"),
        "abort-on-data": _counted("TcpExt", "TCPAbortOnData", "closed with data unread or coming"),
        "abort-on-close": _counted("TcpExt", "TCPAbortOnClose", "closed with data unread"),
        "abort-on-timeout": _counted("TcpExt", "TCPAbortOnTimeout", "the guest gives up"),
        "challenge-ack": _counted("TcpExt", "TCPChallengeACK", "an odd segment is challenged"),
        "delayed-ack": _counted("TcpExt", "DelayedACKs", "an acknowledgement is delayed"),
        "backlog": _entered(TCP + "tcp_ipv4.c", "tcp_add_backlog", "a segment comes while locked"),
        "bad-sum": _counted("Tcp", "InErrs", "the guest gets a segment with a bad sum"),
        "guest-resets": _entered(TCP + "tcp_ipv4.c", "tcp_v4_send_reset", "a segment for nobody"),
        "guest-reset": _entered(TCP + "tcp_input.c", "tcp_reset", "a reset ends a connection"),
        "guest-fragments": _entered(TCP + "ip_fragment.c", "ip_frag_reasm", "fragments are joined"),
        "fragments-expire": _entered(TCP + "ip_fragment.c", "ip_expire", "one never comes"),
        "neighbour-fails": _counted("Softnet", "arp_dropped", "nobody has an address"),
        "ksoftirqd": _entered("kernel/softirq.c", "run_ksoftirqd", "too many soft interrupts"),
        "time-squeeze": _counted("Softnet", "time_squeeze", "the budget of NAPI is used up"),
        "qdisc-restart": _entered("net/core/dev.c", "net_tx_action", "sending goes on later"),
        "tsq": _entered(TCP + "tcp_output.c", "tcp_tasklet_func", "TCP waits for the card (TSQ)"),
        "fq-codel": _entered(
            "net/sched/sch_fq_codel.c", "fq_codel_dequeue", "a packet waits for the card"
        ),
    }
)
"""All marks, by name."""


def evidence(run: Run) -> Evidence:
    """What ``run`` shows of where it has been."""
    known, records = run.trace.codes.known, run.trace.threads.values()

    def entered(file: str, name: str) -> bool:
        code = known(name, file)
        return code is not None and any(record.counts().get(code) for record in records)

    reasons = {one.event.why.code for one in run.trace.happened(Lost)}
    reasons |= {one.event.why.code for one in run.trace.happened(Held)}
    reasons |= {one.event.why.code for one in run.trace.happened(Made)}
    return Evidence(entered, frozenset(reasons), run.remains.counters, frozenset(_shown(run)))


def hit(run: Run) -> frozenset[str]:
    """The marks that ``run`` hit."""
    seen = evidence(run)
    return frozenset(name for name, mark in MARKS.items() if mark.hit(seen))


def _shown(run: Run) -> Iterator[str]:
    for ended in run.trace.happened(MitigationEnded):
        if ended.event.causes and not ended.event.cut:
            yield f"held {ended.event.by}"
    if run.failed and spins(run):
        yield "slirp spins"
    if writes_in_vain(run):
        yield "slirp in vain"
    if _reused(streams(run)):
        yield "time-wait reused"
    for stream in streams(run):
        sent: dict[int, int] = {}
        acks: dict[int, int] = {}
        for time, ours, segment in stream.events:
            if segment.flags & (RST | SYN):
                continue
            if not ours:
                if segment.flags & ACK and not segment.payload:
                    acks[segment.ack] = acks.get(segment.ack, 0) + 1
                continue
            if not segment.window:
                yield f"{stream.end} zero window"
            if not segment.payload:
                continue
            if segment.seq in sent:
                yield f"{stream.end} again"
                if acks.get(segment.seq, 0) > DUPLICATES and time - sent[segment.seq] < QUICK_NS:
                    yield f"{stream.end} fast"
            sent[segment.seq] = time


def _reused(of: list[Stream]) -> bool:
    """Whether the guest has taken a connection of ports that are still in its TIME_WAIT."""
    closed: dict[object, int] = {}
    for stream in of:
        if stream.end != "guest":
            continue
        began = stream.events[0][0]
        answers = any(segment.flags & (SYN | ACK) == SYN | ACK for _, segment in stream.sent)
        if answers and began - closed.get(stream.key, began - TIME_WAIT_NS) < TIME_WAIT_NS:
            return True
        first = next((e for e in stream.events if e[2].flags & FIN), None)
        if first is not None and first[1] and not stream.sent[-1][1].flags & RST:
            closed[stream.key] = stream.events[-1][0]
    return False
