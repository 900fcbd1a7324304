"""Filters on a netdev: whom they see, in which order, what they keep, lose and make."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.net import MAXLEN, Net, NetClientState
from desim.net.filter import NetFilterState, Place
from desim.net.filter_buffer import FilterBuffer
from desim.net.filter_choice import Chance, Every, Listed
from desim.net.filter_dump import FilterDump
from desim.net.filter_faults import (
    FilterCorrupt,
    FilterDelay,
    FilterDuplicate,
    FilterLoss,
    FilterReorder,
)
from desim.net.hub import NetHub
from desim.reasons import Reason
from desim.testing import Ledger, NoLoop, VirtualClock
from desim.wire import pcapng
from desim.wire.frame import Frame

US, MS = 1_000, 1_000_000


def told(entries: list[Any]) -> list[tuple[bytes, str, str]]:
    """Lines of a ledger, as what they say of which bytes."""
    return [(entry.frame.raw, entry.where, str(entry.why)) for entry in entries]


def copies(ledger: Ledger) -> list[tuple[bytes, bytes, str, str]]:
    """What was made of which bytes, likewise."""
    return [(copy.frame.raw, copy.of.raw, copy.where, str(copy.why)) for copy in ledger.copies]


class Handler:
    """A model behind a client, with room or without."""

    def __init__(self) -> None:
        self.ready = True
        self.got: list[bytes] = []

    def can_receive(self) -> bool:
        return self.ready

    def blocked_by(self) -> Reason | None:
        return None if self.ready else Reason("no-room", "no room")

    def receive(self, frame: Frame) -> int:
        self.got.append(frame.raw)
        return len(frame.raw)

    def set_link(self, up: bool) -> None: ...


def go(world: World, until: int) -> None:
    """Let all happen that is due by an instant."""
    world.clock.pass_by(until - world.clock.now())


class World:
    """A user network and a card that are each other's peers."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.ledger = Ledger()
        self.net = Net(loop=NoLoop(), ledger=self.ledger)
        self.user = self.client("user")
        self.nic = self.client("nic", is_nic=True)
        self.user.connect(self.nic)

    def client(self, name: str, **options: Any) -> NetClientState:
        client = self.net.client(name, **options)
        client.handler = Handler()
        return client

    def attach(self, cls: type[Any], name: str = "f", queue: str = "all", **options: Any) -> Any:
        """A filter on the user network, behind those that are there."""
        if cls in (FilterBuffer, FilterDelay, FilterDump, FilterReorder):
            options["clock"] = self.clock
        if cls in (FilterDuplicate, FilterCorrupt):
            options["ledger"] = self.ledger
        made = cls(Place(self.user, name, queue), **options)
        made.complete()
        return made

    @property
    def to_guest(self) -> list[bytes]:
        return self.nic.handler.got

    @property
    def from_guest(self) -> list[bytes]:
        return self.user.handler.got


def frame(text: str) -> Frame:
    return Frame(text.encode())


@pytest.fixture
def world() -> World:
    return World()


class Noting(NetFilterState):
    """Notes what it sees, and answers as it is told."""

    __slots__ = ("answer", "seen")

    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        self.seen.append((self.name, sender.name, frame.raw))
        return self.answer


def noting(
    netdev: NetClientState, name: str, seen: list[tuple[str, str, bytes]], queue: Any = "all"
) -> Noting:
    made = Noting(Place(netdev, name, queue))
    made.seen = seen
    made.answer = 0
    return made


# Who sees what, and when


def test_one_that_does_nothing_lets_everything_pass(world: World) -> None:
    world.attach(NetFilterState)
    assert world.user.send(frame("one")) == 3
    assert world.nic.sendv(frame("two")) == 3
    assert (world.to_guest, world.from_guest) == ([b"one"], [b"two"])


@pytest.mark.parametrize(
    ("queue", "seen"), [("all", [b"tx", b"rx"]), ("tx", [b"tx"]), ("rx", [b"rx"])]
)
def test_queue_is_seen_from_the_netdev(world: World, queue: Any, seen: list[bytes]) -> None:
    notes: list[tuple[str, str, bytes]] = []
    noting(world.user, "f", notes, queue).complete()
    world.user.send(frame("tx"))
    world.nic.send(frame("rx"))
    assert [raw for _, _, raw in notes] == seen


def test_what_is_sent_goes_forwards_and_what_comes_goes_backwards(world: World) -> None:
    notes: list[tuple[str, str, bytes]] = []
    for name in "abc":
        noting(world.user, name, notes).complete()
    world.user.send(frame("tx"))
    world.nic.send(frame("rx"))
    assert [name for name, _, _ in notes] == list("abccba")


def test_the_senders_filters_come_before_those_of_the_other_end(world: World) -> None:
    notes: list[tuple[str, str, bytes]] = []
    noting(world.nic, "far", notes).complete()
    noting(world.user, "near", notes).complete()
    world.user.send(frame("tx"))
    world.nic.sendv(frame("rx"))
    assert [name for name, _, _ in notes] == ["near", "far", "far", "near"]


def test_an_answer_other_than_0_ends_the_send_with_it(world: World) -> None:
    notes: list[tuple[str, str, bytes]] = []
    first, second = noting(world.user, "a", notes), noting(world.user, "b", notes)
    first.complete()
    second.complete()
    first.answer = -5
    assert world.user.send(frame("one")) == -5
    assert [name for name, _, _ in notes] == ["a"]
    assert world.to_guest == []


def test_one_that_is_off_sees_nothing(world: World) -> None:
    notes: list[tuple[str, str, bytes]] = []
    off = noting(world.user, "f", notes)
    off.complete()
    off.set_status(False)
    world.user.send(frame("one"))
    off.set_status(True)
    world.user.send(frame("two"))
    assert [raw for _, _, raw in notes] == [b"two"]


def test_places_among_the_filters(world: World) -> None:
    a, b, c, d, e = (noting(world.user, name, []) for name in "abcde")
    a.complete()
    b.complete("head")
    c.complete(a)
    d.complete(a, before=True)
    e.complete("tail")
    assert [f.name for f in world.user.filters] == ["b", "d", "a", "c", "e"]
    with pytest.raises(ValueError, match="filter 'a' belongs to a different netdev"):
        noting(world.nic, "f", []).complete(a)


def test_without_a_link_a_packet_is_lost_before_any_filter(world: World) -> None:
    notes: list[tuple[str, str, bytes]] = []
    noting(world.user, "f", notes).complete()
    world.net.set_link("user", False)
    world.user.send(frame("one"))
    assert notes == []
    assert told(world.ledger.losses) == [(b"one", "user", "no link")]


def test_a_filter_sees_a_packet_that_then_has_to_wait_once(world: World) -> None:
    notes: list[tuple[str, str, bytes]] = []
    noting(world.user, "f", notes).complete()
    world.nic.handler.ready = False
    assert world.user.send(frame("one")) == 0
    world.nic.handler.ready = True
    world.nic.flush()
    assert len(notes) == 1
    assert world.to_guest == [b"one"]


def test_the_ports_of_a_hub_have_filters_too() -> None:
    world = World()
    a, b = world.client("a"), world.client("b", is_nic=True)
    hub = NetHub(world.net)
    ports = [hub.add_port(client) for client in (a, b)]
    notes: list[tuple[str, str, bytes]] = []
    for name, port in zip(("port a", "port b"), ports, strict=True):
        noting(port.client, name, notes).complete()
    a.send(frame("one"))
    assert [(name, sender) for name, sender, _ in notes] == [
        ("port a", "a"),
        ("port b", "hub0port1"),
    ]


# What was kept and goes on


@pytest.mark.parametrize(("queue", "sees"), [("all", ["b", "a"]), ("tx", ["b"]), ("rx", ["a"])])
def test_what_was_kept_meets_the_rest_of_its_netdevs_filters_and_no_others(
    world: World, queue: Any, sees: list[str]
) -> None:
    notes: list[tuple[str, str, bytes]] = []
    noting(world.user, "a", notes).complete()
    world.attach(FilterBuffer, "f", queue, interval_us=10)
    noting(world.user, "b", notes).complete()
    noting(world.nic, "far", notes).complete()
    world.user.filters[0].on = world.user.filters[2].on = world.nic.filters[0].on = False
    world.user.send(frame("tx"))
    world.nic.send(frame("rx"))
    world.user.filters[0].on = world.user.filters[2].on = world.nic.filters[0].on = True
    go(world, 10 * US)
    assert [name for name, _, _ in notes] == sees
    assert (world.to_guest, world.from_guest) == ([b"tx"], [b"rx"])


def test_a_filter_behind_may_end_what_was_kept(world: World) -> None:
    world.attach(FilterBuffer, interval_us=10)
    world.attach(FilterLoss, "loss", choice=Every(1))
    world.user.send(frame("one"))
    go(world, 10 * US)
    assert world.to_guest == []
    assert told(world.ledger.losses) == [(b"one", "loss", "filter-loss")]


def test_what_was_kept_waits_for_a_receiver_that_is_not_ready(world: World) -> None:
    world.attach(FilterBuffer, interval_us=10)
    world.nic.handler.ready = False
    assert world.user.send(frame("one")) == 3, "the sender takes it for sent"
    go(world, 10 * US)
    assert len(world.nic.incoming_queue) == 1
    assert [where for _, where, _ in told(world.ledger.waits)] == ["f", "nic"]


# filter-buffer


def test_a_buffer_lets_go_of_everything_once_per_interval(world: World) -> None:
    world.attach(FilterBuffer, interval_us=100)
    for text in ("one", "two"):
        world.user.send(frame(text))
    assert told(world.ledger.waits) == [
        (b"one", "f", "filter-buffer"),
        (b"two", "f", "filter-buffer"),
    ]
    go(world, 100 * US - 1)
    assert world.to_guest == []
    assert [f.raw for f in world.net.queued()] == [b"one", b"two"]
    go(world, 100 * US)
    assert world.to_guest == [b"one", b"two"]
    assert world.net.filters_keep_nothing()
    world.user.send(frame("three"))
    go(world, 200 * US)
    assert world.to_guest == [b"one", b"two", b"three"]


def test_its_timer_counts_whole_microseconds(world: World) -> None:
    world.clock.advance_to(1_999)
    world.attach(FilterBuffer, interval_us=3)
    assert world.clock.timers[0].deadline == 4 * US
    assert world.clock.timers[0].periodic, "a buffer alone does not keep a run going"


def test_switched_off_it_empties_itself_and_lets_everything_pass(world: World) -> None:
    buffer = world.attach(FilterBuffer, interval_us=100)
    world.user.send(frame("one"))
    buffer.set_status(False)
    world.user.send(frame("two"))
    assert world.to_guest == [b"one", b"two"]
    assert world.clock.timers[0].deadline is None
    go(world, 150 * US)
    buffer.set_status(True)
    assert world.clock.timers[0].deadline == 250 * US


def test_a_buffer_that_is_off_from_the_start_has_its_timer(world: World) -> None:
    made = FilterBuffer(Place(world.user, "f", "all", False), interval_us=100, clock=world.clock)
    made.complete()
    world.user.send(frame("one"))
    assert world.to_guest == [b"one"]
    assert world.clock.timers[0].deadline == 100 * US


def test_a_full_buffer_drops_the_newest(world: World) -> None:
    world.attach(FilterBuffer, interval_us=100)
    for _ in range(MAXLEN + 1):
        world.user.send(frame("x"))
    assert told(world.ledger.losses) == [(b"x", "f", "queue full (10000 packets)")]


def test_a_buffer_switched_off_while_it_empties_drops_its_netdevs_own_packets(
    world: World,
) -> None:
    buffer = world.attach(FilterBuffer, interval_us=100)

    class Switch(Handler):
        def receive(self, frame: Frame) -> int:
            buffer.set_status(False)
            return super().receive(frame)

    world.nic.handler = Switch()
    for text in ("one", "two"):
        world.user.send(frame(text))
    go(world, 100 * US)
    assert world.to_guest == [b"one"]
    assert told(world.ledger.losses) == [(b"two", "f", "purged: filter-buffer was being emptied")]


# filter-dump


def test_a_dump_is_a_pcap_file_of_what_passes(world: World) -> None:
    written = bytearray()
    world.attach(FilterDump, queue="tx", write=written.extend, maxlen=4)
    assert len(written) == 24, "the header is there from the start"
    world.clock.advance_to(3_000_001_999)
    world.user.send(frame("long one"))
    world.nic.send(frame("not seen"))
    world.user.send(frame("two"))
    packets = pcapng.read(bytes(written))
    assert [(p.time_ns, p.raw, p.size) for p in packets] == [
        (3_000_001_000, b"long", 8),
        (3_000_001_000, b"two", 3),
    ]
    assert world.to_guest == [b"long one", b"two"]


def test_a_dump_that_cannot_write_stops_and_the_packets_go_on(world: World) -> None:
    written = bytearray()

    def write(data: bytes) -> None:
        if len(written) > 30:
            raise OSError(28, "No space left on device")
        written.extend(data)

    world.attach(FilterDump, write=write)
    for text in ("one", "two", "three"):
        world.user.send(frame(text))
    assert world.to_guest == [b"one", b"two", b"three"]
    assert [p.raw for p in pcapng.read(bytes(written))] == [b"one"]


# Choices


def drawing(numbers: list[int]) -> Callable[[int], int]:
    draws = iter(numbers)
    return lambda n: next(draws)


def chosen(choice: Callable[[], bool], count: int) -> list[int]:
    return [number for number in range(1, count + 1) if choice()]


@pytest.mark.parametrize(
    ("choice", "numbers"),
    [
        (Every(3), [3, 6, 9]),
        (Every(3, first=1), [1, 4, 7, 10]),
        (Every(4, first=6), [6, 10]),
        (Every(1), list(range(1, 11))),
        (Listed([(2, 2), (5, 7), (6, 8), (99, 99)]), [2, 5, 6, 7, 8]),
        (Chance(Fraction(1), lambda n: n - 1, first=8), [8, 9, 10]),
        (Chance(Fraction(0), lambda n: 0), []),
        (Chance(Fraction(2, 5), drawing([1, 2, 0, 4, 1] * 2)), [1, 3, 5, 6, 8, 10]),
    ],
)
def test_which_of_ten_packets_are_chosen(choice: Callable[[], bool], numbers: list[int]) -> None:
    assert chosen(choice, 10) == numbers


# Faults


def test_a_loss_is_in_the_ledger_and_the_sender_does_not_notice(world: World) -> None:
    world.attach(FilterLoss, choice=Every(2))
    assert [world.user.send(frame(text)) for text in ("one", "two", "three")] == [3, 3, 5]
    assert world.to_guest == [b"one", b"three"]
    assert told(world.ledger.losses) == [(b"two", "f", "filter-loss")]


def test_a_delay_keeps_the_order(world: World) -> None:
    world.attach(FilterDelay, queue="tx", delay_ns=5, choice=Every(1), below=lambda n: 0)
    for text in ("one", "two"):
        world.user.send(frame(text))
        world.clock.pass_by(3)
    world.nic.send(frame("back"))
    assert (world.to_guest, world.from_guest) == ([b"one"], [b"back"])
    go(world, 8)
    assert world.to_guest == [b"one", b"two"]
    assert world.clock.timers[0].deadline is None
    assert not world.clock.timers[0].periodic, "a run is not over while a packet waits"


def test_with_jitter_one_may_overtake_another(world: World) -> None:
    draws = iter([7, 0])
    seen: list[int] = []

    def below(n: int) -> int:
        seen.append(n)
        return next(draws)

    world.attach(FilterDelay, delay_ns=10, jitter_ns=7, choice=Every(1), below=below)
    for text in ("one", "two"):
        world.user.send(frame(text))
    go(world, 10)
    assert world.to_guest == [b"two"]
    go(world, 17)
    assert world.to_guest == [b"two", b"one"]
    assert seen == [8, 8]


def test_what_is_not_chosen_is_not_delayed(world: World) -> None:
    world.attach(FilterDelay, delay_ns=10, choice=Every(2), below=lambda n: 0)
    for text in ("one", "two", "three"):
        world.user.send(frame(text))
    assert world.to_guest == [b"one", b"three"]


def test_a_delay_that_is_switched_off_lets_go(world: World) -> None:
    delay = world.attach(FilterDelay, delay_ns=10, choice=Every(1), below=lambda n: 0)
    for text in ("one", "two"):
        world.user.send(frame(text))
    delay.set_status(False)
    assert world.to_guest == [b"one", b"two"]
    assert world.clock.timers[0].deadline is None


def test_a_copy_comes_behind_the_original(world: World) -> None:
    world.attach(FilterDuplicate, choice=Every(2))
    for text in ("one", "two"):
        world.user.send(frame(text))
    assert world.to_guest == [b"one", b"two", b"two"]
    assert copies(world.ledger) == [(b"two", b"two", "f", "filter-duplicate")]


def reordered(world: World, count: int) -> list[int]:
    for number in range(1, count + 1):
        world.user.send(frame(str(number)))
    return [int(raw) for raw in world.to_guest]


@pytest.mark.parametrize(
    ("frames", "behind", "order"),
    [
        ([(2, 2)], 1, [1, 3, 2, 4, 5, 6]),
        ([(2, 2)], 3, [1, 3, 4, 5, 2, 6]),
        ([(1, 2)], 1, [3, 1, 2, 4, 5, 6]),
        ([(1, 1), (3, 3)], 2, [2, 4, 1, 5, 3, 6]),
        ([(6, 6)], 1, [1, 2, 3, 4, 5]),
    ],
)
def test_later_packets_pass_one_that_waits(
    world: World, frames: list[tuple[int, int]], behind: int, order: list[int]
) -> None:
    world.attach(FilterReorder, choice=Listed(frames), behind=behind, timeout_ns=MS)
    assert reordered(world, 6) == order
    go(world, MS)
    assert sorted(world.to_guest) == [b"%d" % n for n in range(1, 7)]
    assert world.clock.timers[0].deadline is None


def test_packets_of_the_other_direction_do_not_pass_it(world: World) -> None:
    world.attach(FilterReorder, choice=Listed([(1, 1)]), behind=1, timeout_ns=MS)
    world.user.send(frame("one"))
    world.nic.send(frame("back"))
    assert world.to_guest == []
    world.user.send(frame("two"))
    assert world.to_guest == [b"two", b"one"]


def test_it_waits_no_longer_than_its_timeout(world: World) -> None:
    world.attach(FilterReorder, choice=Listed([(1, 1)]), behind=1, timeout_ns=MS)
    world.user.send(frame("one"))
    go(world, MS - 1)
    assert world.to_guest == []
    go(world, MS)
    assert world.to_guest == [b"one"]


def test_given_bytes_are_turned_over_as_far_as_there_are_any(world: World) -> None:
    options = {"choice": Every(1), "offsets": [(1, 1), (4, 9)], "below": lambda n: 0}
    world.attach(FilterCorrupt, **options)
    for raw in (bytes(6), bytes(3), bytes(1)):
        world.user.send(Frame(raw))
    assert world.to_guest == [b"\0\xff\0\0\xff\xff", b"\0\xff\0", b"\0"]
    assert [where for _, where, _ in told(world.ledger.losses)] == ["f", "f"]
    assert len(copies(world.ledger)) == 2


@given(
    raw=st.binary(min_size=1, max_size=80),
    bits=st.integers(1, 64),
    draws=st.lists(st.integers(0, 1 << 16), min_size=1),
)
def test_so_many_bits_are_turned_over(raw: bytes, bits: int, draws: list[int]) -> None:
    world = World()
    position = -1

    def below(n: int) -> int:
        # Drawn numbers first; then all of them in turn, so that different ones are found.
        nonlocal position
        position += 1
        return draws[position] % n if position < len(draws) else position % n

    world.attach(FilterCorrupt, choice=Every(1), bits=bits, below=below)
    world.user.send(Frame(raw, number=7))
    (got,) = world.to_guest
    differing = int.from_bytes(got, "big") ^ int.from_bytes(raw, "big")
    assert differing.bit_count() == min(bits, 8 * len(raw))
    assert told(world.ledger.losses) == [(raw, "f", "filter-corrupt: goes on changed")]
    assert copies(world.ledger) == [(got, raw, "f", "filter-corrupt")]


KINDS = st.sampled_from(["loss", "delay", "duplicate", "reorder", "corrupt", "buffer"])


@given(
    kinds=st.lists(st.tuples(KINDS, st.sampled_from(["all", "rx", "tx"])), max_size=5),
    chance=st.randoms(use_true_random=False),
    packets=st.lists(st.tuples(st.booleans(), st.integers(0, 3 * MS)), max_size=40),
)
def test_whatever_the_filters_are_each_packet_is_accounted_for(
    kinds: list[tuple[str, str]], chance: Any, packets: list[tuple[bool, int]]
) -> None:
    world = World()
    below = chance.randrange
    for number, (kind, queue) in enumerate(kinds):
        half = Chance(Fraction(1, 2), below)
        options: dict[str, tuple[type[Any], dict[str, Any]]] = {
            "loss": (FilterLoss, {"choice": half}),
            "delay": (
                FilterDelay,
                {"choice": half, "delay_ns": MS, "jitter_ns": MS, "below": below},
            ),
            "duplicate": (FilterDuplicate, {"choice": half}),
            "reorder": (FilterReorder, {"choice": half, "behind": 2, "timeout_ns": MS}),
            "corrupt": (FilterCorrupt, {"choice": half, "below": below}),
            "buffer": (FilterBuffer, {"interval_us": 700}),
        }
        cls, more = options[kind]
        world.attach(cls, f"f{number}", queue, **more)
    for number, (to_guest, wait) in enumerate(packets):
        (world.user if to_guest else world.nic).send(frame(f"packet {number}"))
        world.clock.pass_by(wait)
        arrived = len(world.to_guest) + len(world.from_guest)
        waiting = len(list(world.net.queued()))
        made, lost = len(copies(world.ledger)), len(told(world.ledger.losses))
        assert number + 1 + made == arrived + lost + waiting
    world.clock.pass_by(20 * MS)
    assert list(world.net.queued()) == []
    assert world.net.filters_keep_nothing()
