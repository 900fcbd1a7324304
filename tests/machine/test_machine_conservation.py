"""No frame is lost silently, and a model that loses one is found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from runs import SHIPPED, config, shipped_run

from desim.errors import ConservationError
from desim.events import Lost, Made
from desim.experiment.run import RunResult, run
from desim.machine import Machine
from desim.machine.conservation import UnderWay
from desim.net.client import NetClientState
from desim.net.queue import NetQueue
from desim.wire.frame import Frame

SECOND = 10**9

REPORTS = (
    "slirp",
    "IPv6 hop-by-hop header (Linux's multicast listener reports; normal)",
)
"""The guest's multicast listener reports, which slirp does not know."""

OFFER = r"packet \d+ \(IP 10\.0\.2\.2\.67 > .* Offer"
"""What has to wait while the card is deaf."""


def frame(number: int) -> Frame:
    return Frame(bytes(60), number)


def numbers(result: RunResult, point: str, *, to_guest: bool) -> list[int]:
    return [p.frame.number for p in result.packets[point] if p.to_guest == to_guest]


SHOWN = {
    "burst": ("e1000", "no receive descriptors (RXO)"),
    "cut-link": ("card", "no link"),
    "early-client": ("slirp", "no answer to ARP"),
    "flush-loss": ("e1000", "no receive descriptors (RXO)"),
    "lossy": ("wire", "filter-loss"),
}
"""What else a scenario is there to lose."""


MORE_ENDS = ("flood", "two-guests")
"""A frame of one end goes to several, as copies, which have numbers of their own."""


@pytest.mark.parametrize("name", MORE_ENDS)
def test_on_a_wire_of_more_ends_every_frame_and_every_copy_gets_to_one_or_is_lost(
    name: str,
) -> None:
    result = shipped_run(name)
    begun = {one.event.frame for one in result.trace.events(Made)}
    ended = {one.event.frame for one in result.trace.events(Lost)}
    passed: dict[int, list[str]] = {}
    for point, packets in result.packets.items():
        for packet in packets:
            passed.setdefault(packet.frame.number, []).append(point)
    assert len(begun) > 20
    for number, points in passed.items():
        assert len(set(points)) == len(points)
        assert len(points) + (number in begun) == 2 or number in ended
    assert result.frame_counts["queued"] == 0


@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in MORE_ENDS])
def test_what_one_end_sent_the_other_got_in_the_same_order(name: str) -> None:
    result = shipped_run(name)
    lost = result.summary["frames"]["lost"]
    more = [SHOWN[name]] if name in SHOWN else []
    assert [(row["where"], row["why"]) for row in lost] == sorted([REPORTS, *more])
    assert result.summary["frames"]["queued"] == 0
    ended = {one.event.frame for one in result.trace.events(Lost)}
    count = 0
    for sender, receiver, to_guest in (("slirp", "nic", True), ("nic", "slirp", False)):
        sent = numbers(result, sender, to_guest=to_guest)
        got = numbers(result, receiver, to_guest=to_guest)
        missing = set(sent).difference(got)
        assert [number for number in sent if number not in missing] == got
        assert missing <= ended
        assert not missing or name in ("cut-link", "lossy")
        assert len(set(sent)) == len(sent) > 0
        count += len(sent)
    assert len(set(numbers(result, "slirp", to_guest=True))) < count


def test_a_run_that_ends_while_the_card_is_deaf_counts_the_offer_as_queued() -> None:
    frames = run(config("hello", until_ns=3 * SECOND)).summary["frames"]
    # The guest has sent a neighbour solicitation, its multicast reports and a DHCP discover.
    assert frames["points"] == {
        "nic": {"to_guest": 0, "from_guest": 4},
        "slirp": {"to_guest": 1, "from_guest": 4},
    }
    assert frames["queued"] == 1
    assert [(row["where"], row["why"]) for row in frames["lost"]] == [REPORTS]


def test_frames_lost_on_the_way_are_counted_by_place_and_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A cable pulled as the second frame from slirp passes takes that frame with it.
    deliver = NetClientState.deliver
    count = 0

    def pulled(self: NetClientState, sender: NetClientState, frame: Frame) -> int:
        nonlocal count
        count += self.is_nic
        self.link_down = self.is_nic and count == 2
        return deliver(self, sender, frame)

    monkeypatch.setattr(NetClientState, "deliver", pulled)
    result = run(config("hello-redir", guest_ipv6=False, until_ns=20 * SECOND))
    frames = result.summary["frames"]
    assert frames["lost"] == [
        {"where": "e1000.0", "why": "link down", "code": "receiver-link-down", "frames": 1}
    ]
    points = frames["points"]
    assert points["slirp"]["to_guest"] == points["nic"]["to_guest"] + 1
    assert frames["queued"] == 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            lambda queue, sender, frame, sent: None,
            "neither delivered nor lost nor queued: " + OFFER,
        ),
        (
            lambda queue, sender, frame, sent: queue.packets.extend([(sender, frame, sent)] * 2),
            "delivered, but not under way: " + OFFER,
        ),
    ],
)
def test_a_model_that_drops_or_doubles_a_frame_is_found_out(
    fault: Callable[[Any, Any, Any, Any], None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetQueue, "append", fault)
    machine = Machine(config("hello", until_ns=4 * SECOND))
    with pytest.raises(ConservationError, match=message):
        machine.run()
    machine.close()


# The balance itself


def test_a_frame_that_arrives_or_is_lost_is_not_under_way_any_more() -> None:
    way = UnderWay()
    for number in (1, 2):
        way.sent(frame(number))
    way.arrived(frame(1))
    way.lost(frame(2))
    way.lost(frame(1))  # behind the other end: that is the end's own affair
    way.check([], in_hand=False)


def test_what_is_refused_must_be_queued() -> None:
    way = UnderWay()
    way.sent(frame(1))
    way.arrived(frame(1))
    way.refused(frame(1))
    way.check([frame(1)], in_hand=False)
    with pytest.raises(ConservationError, match="neither delivered nor lost nor queued: packet 1"):
        way.check([], in_hand=False)


def test_one_frame_may_be_in_hand_but_not_two() -> None:
    way = UnderWay()
    way.sent(frame(1))
    way.check([], in_hand=True)
    way.sent(frame(2))
    with pytest.raises(ConservationError, match=r"packet 1 .*; packet 2 "):
        way.check([], in_hand=True)


def test_nothing_arrives_from_nowhere_or_twice() -> None:
    way = UnderWay()
    with pytest.raises(ConservationError, match="not under way: packet 1"):
        way.arrived(frame(1))
    way.sent(frame(1))
    with pytest.raises(ConservationError, match="sent twice: packet 1"):
        way.sent(frame(1))


def test_what_is_over_is_in_no_queue() -> None:
    way = UnderWay()
    way.sent(frame(7))
    way.arrived(frame(7))
    with pytest.raises(ConservationError, match=r"delivered or lost already: packets \[7\]"):
        way.check([frame(7)], in_hand=False)
