"""Each law can be broken: a run that is altered on purpose breaks it, and as it was it does not.

A law that nothing can break says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import shipped_run

from desim.config import MachineConfig
from desim.events import FramePassed, FrameStored, FrameTaken, PinDriven
from desim.experiment.run import RunResult, run
from desim.laws.conversations import conversations
from desim.laws.table import LAWS
from desim.machine.capture import Captured
from desim.scenario.command_line import machine_from_options
from desim.wire.frame import Frame
from desim.wire.segment import Segment, build_segment
from desim.wire.tcp import ACK, FIN

NAME = "hello-close"


class Altered:
    """A run of which some is another; the rest is as it was."""

    def __init__(self, of: Any, **others: Any) -> None:
        self._of = of
        self.__dict__.update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


def original() -> RunResult:
    return shipped_run(NAME)


def with_segments(change: Callable[[str, int, bool, Segment], dict[str, Any]]) -> Altered:
    """The run with other segments: ``change`` is given where each is seen, which segment of its
    direction it is, whether it goes to the guest, and gives the fields that are others."""
    packets = {}
    for point, captured in original().packets.items():
        counted = {True: 0, False: 0}
        made = []
        for time, to_guest, frame in captured:
            segment = frame.segment
            if segment is not None:
                changes = change(point, counted[to_guest], to_guest, segment)
                counted[to_guest] += 1
                if changes:
                    frame = Frame(_rebuilt(segment, **changes).raw, frame.number)
            made.append(Captured(time, to_guest, frame))
        packets[point] = made
    return Altered(original(), packets=packets)


def _rebuilt(segment: Segment, **changes: Any) -> Frame:
    names = ("dst_mac", "src_mac", "src", "dst", "sport", "dport", "seq", "ack", "flags", "window")
    fields = {name: getattr(segment, name) for name in (*names, "payload", "ident", "ttl", "tos")}
    fields |= {"df": segment.df, "options": segment.options} | changes
    head = [fields.pop(name) for name in names]
    return build_segment(*head, fields.pop("payload"), **fields)


def with_trace(kind: type[Any], change: Callable[[list[Any]], list[Any]]) -> Altered:
    """The run with other events of a kind: ``change`` gets all that happened of it."""
    trace = original().trace

    def happened(asked: type[Any]) -> Iterator[Any]:
        found = list(trace.happened(asked))
        yield from change(found) if asked is kind else found

    return Altered(original(), trace=Altered(trace, happened=happened))


def with_remains(**changes: Any) -> Altered:
    return Altered(original(), remains=original().remains._replace(**changes))


def with_card(**changes: Any) -> Altered:
    card = original().remains.card
    assert card is not None
    return with_remains(card=card._replace(**changes))


def a_frame_less(point: str) -> Altered:
    """The run with one frame of the wire's one end gone."""
    packets = {name: list(captured) for name, captured in original().packets.items()}
    del packets[point][-3]
    return Altered(original(), packets=packets)


def spoilt_frame() -> Altered:
    packets = {name: list(captured) for name, captured in original().packets.items()}
    time, to_guest, frame = packets["nic"][5]
    raw = frame.raw[:-1] + bytes([frame.raw[-1] ^ 1])
    packets["nic"][5] = Captured(time, to_guest, Frame(raw, frame.number))
    return Altered(original(), packets=packets)


def talk(**files: bytes) -> Altered:
    """A run whose guest sends a line and whose host keeps it; its files are then others."""
    return Altered(_talk(), files={**_talk().files, **files})


_TALK: list[RunResult] = []


def _talk() -> RunResult:
    if not _TALK:
        config = machine_from_options(
            [
                "-netdev",
                "user,id=u,hostfwd=tcp::5000-:5000,hostfwd=udp::5100-:5100",
                "-device",
                "e1000,netdev=u",
            ],
            guest=["nc -l -p 5000 > got", "nc -u -l -p 5100 -w 2 > udp"],
            host=[
                "seq 1 2000 | head -c 4000 | nc -N localhost 5000",
                "seq 7 9 | nc -u -w 1 localhost 5100",
            ],
            folder=Path(),
        )
        _TALK.append(run(config))
    return _TALK[0]


def _rx(**changes: Any) -> Any:
    card = original().remains.card
    assert card is not None
    assert card.rx is not None
    return card.rx._replace(**changes)


def earlier(events: list[Any]) -> list[Any]:
    """The last one happens at the instant 1."""
    return [*events[:-1], events[-1]._replace(time=1)]


def rises(events: list[Any]) -> list[Any]:
    """The line rises again 1 us after it has risen last."""
    last = [one for one in events if one.event.level][-1]
    return [*events, last._replace(time=last.time + 1_000)]


BREAKS: dict[str, Callable[[], Any]] = {
    "what-arrives-is-a-prefix": lambda: talk(**{"guest/got": b"1\n2\n4\n"}),
    "losses-are-told": lambda: talk(**{"guest/got": b"1\n2\n3\n"}),
    "udp-invents-nothing": lambda: talk(**{"guest/udp": b"7\n8\n9\n7\n8\n9\n"}),
    "what-is-sent-again-is-the-same": lambda: with_segments(
        # Every segment to the guest claims to begin where the first data does.
        lambda point, number, to_guest, segment: (
            {"payload": bytes([number]) * 5, "seq": 700_000} if to_guest and number else {}
        )
    ),
    "every-frame-is-accounted-for": lambda: a_frame_less("nic"),
    "a-frame-arrives-as-it-was-sent": spoilt_frame,
    "each-descriptor-has-one-owner": lambda: with_card(rx=_rx(tail=3)),
    "no-interrupt-is-lost": lambda: with_card(causes=0x80, mask=0x80, level=False, opens_ns=None),
    "mitigation-has-a-floor": lambda: with_trace(PinDriven, rises),
    "a-frame-is-passed-stored-and-taken-in-order": lambda: with_trace(FrameTaken, earlier),
    "the-window-is-never-taken-back": lambda: with_segments(
        lambda point, number, to_guest, segment: {"window": 1} if number == 2 else {}
    ),
    "nothing-is-sent-beyond-the-window": lambda: with_segments(
        lambda point, number, to_guest, segment: {"window": 0} if not to_guest else {}
    ),
    "only-what-came-is-acknowledged": lambda: with_segments(
        lambda point, number, to_guest, segment: (
            {"ack": segment.ack + 9} if segment.flags & ACK else {}
        )
    ),
    "nothing-follows-a-fin": lambda: with_segments(
        lambda point, number, to_guest, segment: (
            {"flags": segment.flags | FIN} if to_guest and number == 1 else {}
        )
    ),
    "a-closed-connection-leaves-nothing": lambda: Altered(
        original(),
        transcripts=[],
        remains=original().remains._replace(end_ns=1 << 50, timers=("tcp_write_timer",)),
    ),
    "time-goes-forward": lambda: Altered(original(), end_ns=5_000_000_000),
    "a-journey-adds-up": lambda: Altered(
        original(), journey=Altered(original().journey, total_ns=1)
    ),
    "the-run-ends": lambda: Altered(original(), ended="stopped: 100000 meetings"),
}
"""A way to break each law about one run."""


@pytest.mark.parametrize("name", BREAKS)
def test_a_run_that_is_altered_breaks_the_law(name: str) -> None:
    law = LAWS[name]
    altered = BREAKS[name]()
    assert law.broken(altered), "nothing breaks it"
    assert law.broken(altered._of) == []


def test_every_law_about_one_run_is_broken_here() -> None:
    assert list(BREAKS) == [law.name for law in LAWS.values() if not law.pair and not law.part]


class Other:
    """Makes the second run of a pair another one."""

    def __call__(self, config: MachineConfig) -> Any:
        config.seed += 1
        config.until_ns = 8_000_000_000
        return run(config)

    def fingerprint(self, config: MachineConfig, hash_seed: int) -> str:
        return "0" * 64


@pytest.mark.slow
@pytest.mark.parametrize("name", [law.name for law in LAWS.values() if law.pair])
def test_a_second_run_that_is_another_breaks_the_law(name: str) -> None:
    assert LAWS[name].broken(_talk(), Other())


def test_events_that_laws_look_at_happen_in_the_run_that_is_altered() -> None:
    for kind in (FramePassed, FrameStored, FrameTaken, PinDriven):
        assert list(original().trace.happened(kind))
    assert [one.name for one in conversations(_talk().config)] == [
        "host 1 to guest 1",
        "host 2 to guest 2",
    ]
