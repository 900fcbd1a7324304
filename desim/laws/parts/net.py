"""Laws about the net layer's queues, its hub and its filters."""

from __future__ import annotations

from collections.abc import Iterator

from desim.engine.draw import Draw
from desim.laws.law import Run, stated
from desim.laws.parts.draw import drawn
from desim.net.client import Net, NetClientState
from desim.net.hub import NetHub
from desim.reasons import Reason
from desim.testing import Ledger, NoLoop
from desim.wire.frame import Frame

NQ_MAXLEN = 10_000
"""net/queue.c. A law takes no figure from what it judges."""


class Handler:
    """A model behind a client: takes as many packets as it has room for.

    ``late``: it finds out only when it is given one, and answers 0.
    """

    def __init__(self, name: str, log: list[tuple[str, bytes]]) -> None:
        self.name = name
        self.room = 0
        self.late = False
        self.asked = 0
        self._log = log

    def can_receive(self) -> bool:
        return self.late or self.room > 0

    def blocked_by(self) -> Reason | None:
        return None if self.can_receive() else Reason("no-room", "no room")

    def receive(self, frame: Frame) -> int:
        self.asked += 1
        if not self.room:
            return 0
        self.room -= 1
        self._log.append((self.name, frame.raw))
        return len(frame.raw)

    def set_link(self, up: bool) -> None:
        """Nobody pulls it."""


class Pair:
    """Two clients that are each other's peers, and what ought to have arrived."""

    def __init__(self) -> None:
        self.log: list[tuple[str, bytes]] = []
        self.net = Net(loop=NoLoop(), ledger=Ledger())
        self.sender = self.net.client("user")
        self.back = self.sender.handler = Handler("user", self.log)
        self.receiver = self.net.client("nic", is_nic=True)
        self.handler = self.receiver.handler = Handler("nic", self.log)
        self.sender.connect(self.receiver)
        self.waiting: list[bytes] = []
        self.arrived: list[bytes] = []
        self.refused = False
        """Whether the receiver has said "not now", and has not flushed since."""
        self.room = 0

    def give(self, room: int) -> None:
        """The receiver has so much room, and says nothing of it."""
        self.handler.room = self.room = room

    def send(self, raw: bytes) -> None:
        """One packet: it is taken, and takes those along that wait; or it waits behind them."""
        self.sender.send(Frame(raw))
        if self.refused or not (self.handler.late or self.room):
            self.waiting.append(raw)
        elif not self.room:
            self.refused = True
            self.waiting.append(raw)
        else:
            self._arrives(raw)
            self._push()

    def flush(self) -> None:
        """The receiver says that it can receive again."""
        self.receiver.flush()
        self.refused = False
        self._push()

    def _push(self) -> None:
        while self.waiting:
            if not self.room:
                self.refused = True
                return
            self._arrives(self.waiting.pop(0))

    def _arrives(self, raw: bytes) -> None:
        self.room -= 1
        self.arrived.append(raw)

    def wrong(self) -> str:
        """How what has arrived, or waits, differs from what should; empty if it does not."""
        arrived = [raw for _, raw in self.log]
        waiting = [frame.raw for _, frame, _ in self.receiver.incoming_queue.packets]
        if arrived != self.arrived:
            return f"{_names(arrived)} arrived, not {_names(self.arrived)}"
        if waiting != self.waiting:
            return f"{_names(waiting)} wait, not {_names(self.waiting)}"
        return ""


def _names(raws: list[bytes]) -> str:
    return " ".join(raw.decode() for raw in raws) or "none"


@stated(
    test="tests/net/test_net_core.py",
    recording="net/queue.c, net/net.c; tests/vectors/e1000 (rx)",
)
def a_queue_keeps_the_order(run: Run) -> Iterator[str]:
    """Packets that had to wait leave in their order, and all that there is room for leave.

    A flush pushes them until the receiver says "not now"; the one that was refused keeps its place.
    A packet that gets through takes those along that wait. Who has said "not now" is not asked
    again before it flushes. A drawn sequence of packets, room and flushes, beside a list.
    """
    draw = drawn(run, "queue")
    pair = Pair()
    for step in range(40):
        what = draw.between(0, 5)
        if what < 3:
            pair.send(str(step).encode())
        elif what == 3:
            pair.give(draw.between(0, 4))
        elif what == 4:
            pair.handler.late = draw.chance(2)
        else:
            pair.flush()
        wrong = pair.wrong()
        if wrong:
            yield f"step {step}: {wrong}"
            return


@stated(test="tests/net/test_net_core.py", recording="net/queue.c, nq_maxlen")
def a_queue_has_an_end(run: Run) -> Iterator[str]:
    """A queue keeps 10,000 packets whose sender does not ask for their fate, and no more."""
    draw = drawn(run, "full queue")
    if not draw.chance(4):
        return  # it takes as long as a small run
    pair = Pair()
    frame = Frame(b"full")
    queue = pair.receiver.incoming_queue
    entry = pair.sender, frame, None
    queue.packets.extend([entry] * (NQ_MAXLEN - 2))
    for _ in range(4):
        pair.sender.send(frame)
    if len(queue) != NQ_MAXLEN:
        yield f"{len(queue)} packets wait"


class Hub:
    """A hub with some stations at its ports."""

    def __init__(self, count: int) -> None:
        self.log: list[tuple[str, bytes]] = []
        ledger = Ledger()
        self.net = Net(loop=NoLoop(), ledger=ledger)
        self.hub = NetHub(self.net, ledger=ledger)
        self.stations: list[NetClientState] = []
        self.handlers: list[Handler] = []
        for number in range(count):
            station = self.net.client(f"s{number}")
            handler = Handler(station.name, self.log)
            station.handler = handler
            self.hub.add_port(station)
            self.stations.append(station)
            self.handlers.append(handler)


@stated(
    test="tests/net/test_net_core.py",
    recording="net/hub.c; tests/vectors/e1000 (hub)",
)
def a_hub_repeats_to_all_others(run: Run) -> Iterator[str]:
    """A hub gives each packet once to every other port, the newest port first.

    When a station can receive again, all that waits at the other ports is pushed, whichever of them
    empties first.
    """
    draw = drawn(run, "hub")
    count = draw.between(2, 5)
    bed = Hub(count)
    for handler in bed.handlers:
        handler.room = 99
    sender = draw.between(0, count - 1)
    bed.stations[sender].send(Frame(b"one"))
    wanted = [(f"s{number}", b"one") for number in reversed(range(count)) if number != sender]
    if bed.log != wanted:
        yield f"from s{sender}: {[name for name, _ in bed.log]}, not {[name for name, _ in wanted]}"
        return
    yield from _flushes(draw)


def _flushes(draw: Draw) -> Iterator[str]:
    """Packets wait at all ports but one, whose station then can receive again."""
    count = draw.between(3, 5)
    bed = Hub(count)
    bed.handlers[0].room = 0
    senders = list(range(1, count))
    for number in senders:
        bed.stations[number].send(Frame(str(number).encode()))
    for handler in bed.handlers:
        handler.room = 99
    bed.log.clear()
    bed.stations[0].flush()
    got = sorted(raw for name, raw in bed.log if name == "s0")
    if got != [str(number).encode() for number in senders]:
        yield f"of what {count - 1} ports keep s0 gets {_names(got)} when it can receive"


class Passed:
    """A filter that notes what passes it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self._log = log

    def receive(self, direction: str, sender: NetClientState, frame: Frame) -> int:
        self._log.append(self.name)
        return 0

    def held(self) -> list[Frame]:
        return []


@stated(
    test="tests/net/test_net_filter.py",
    recording="net/net.c, filter_receive_iov; docs/scenario.md, Faults on the wire",
)
def filters_are_passed_in_their_order(run: Run) -> Iterator[str]:
    """What a netdev sends passes its filters in their order, what it is sent in the reverse."""
    draw = drawn(run, "filters")
    pair = Pair()
    pair.back.room = 9
    pair.give(9)
    log: list[str] = []
    names = [f"f{number}" for number in range(draw.between(2, 4))]
    pair.sender.filters = [Passed(name, log) for name in names]
    pair.sender.send(Frame(b"out"))
    if log != names:
        yield f"what is sent passes {' '.join(log)}"
    log.clear()
    pair.receiver.send(Frame(b"in"))
    if log != names[::-1]:
        yield f"what comes in passes {' '.join(log)}"
