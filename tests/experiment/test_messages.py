"""Every message of a run, whatever happens to it: none is missing, and its times add up."""

from __future__ import annotations

import cProfile
import pstats
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import SHIPPED, shipped_run

from desim.experiment.journey import ROUND_TRIP, TO_GUEST, TO_HOST, Journey, Message
from desim.experiment.journey.values import RESET, SLIRP_TOOK
from desim.experiment.run import RunResult, run
from desim.scenario.command_line import machine_from_options
from desim.scenario.loader import load_scenario

NETDEV = "-netdev user,id=u,hostfwd=tcp::5555-:5556,hostfwd=udp::7777-:7777 -device e1000,netdev=u"

PING_PONG = (["ltool tcpsrv 5556 300 20"], ["ltool tcpcli localhost 5555 300 20 1000"])
BULK = (["ltool sink 5556"], ["ltool source localhost 5555 200000 10000"])
DRIPS = (["ltool sink 5556"], ["ltool drip localhost 5555 30 100 500"])
UDP = (["ltool udpecho 7777 8"], ["ltool udpsend localhost 7777 1 8 200 500 0 1"])
LONG_UDP = (["ltool udpecho 7777 5"], ["ltool udpsend localhost 7777 1 5 4000 500 0 1"])
PINGS = (["ping -c 6 -i 0.2 10.0.2.2"], [])
SENT = {
    "ping pong": (PING_PONG, {("tcp", TO_GUEST): 20, ("tcp", TO_HOST): 20}),
    "bulk": (BULK, {("tcp", TO_GUEST): 20}),
    "drips": (DRIPS, {("tcp", TO_GUEST): 30}),
    "pings": (PINGS, {("ping", ROUND_TRIP): 6}),
}
"""Workloads whose programs always send so many messages, whatever is lost."""


def made(
    work: tuple[list[str], list[str]],
    *filters: str,
    modprobe: str = "e1000",
    costs: str = "study-2016",
) -> RunResult:
    """A run of ``work`` over a wire with faults; f0, f1 ... are their names."""
    options = NETDEV.split()
    for number, text in enumerate(filters):
        kind, _, rest = text.partition(",")
        options += ["-object", f"filter-{kind},id=f{number},netdev=u,{rest}"]
    guest, host = work
    config = machine_from_options(options, guest=guest, host=host, folder=Path(), modprobe=modprobe)
    config.costs = costs
    return run(config)


def check(journey: Journey) -> Message:
    """The law, and what a journey says of its message."""
    message = journey.message
    assert message is not None
    assert message.begin_ns > 0
    assert message.size > 0
    if not journey:
        assert message.end_ns is None or message.fate
        return message
    assert message.fate == ""
    assert (journey.begin_ns, journey.end_ns) == (message.begin_ns, message.end_ns)
    assert journey.own_ns + journey.waiting_ns == journey.total_ns == message.total_ns
    for row in journey.rows:
        assert row.own_ns >= 0, row
        assert row.waiting_ns >= 0, row
        assert row.own_ns == 0 or row.waits_for == "", row
    return message


def check_all(result: RunResult) -> list[Message]:
    """All messages of a run, each of which obeys the law; they are those that were sent."""
    messages = [check(journey) for journey in result.journeys]
    assert messages == list(result.journeys.messages())
    assert [message.number for message in messages] == list(range(1, len(messages) + 1))
    of_one: dict[tuple[object, ...], list[Message]] = {}
    for message in messages:
        if message.kind == "tcp":
            of_one.setdefault((message.conn, message.direction), []).append(message)
    for one in of_one.values():
        assert sorted(message.index for message in one) == list(range(1, len(one) + 1))
        at = 0
        for message in sorted(one, key=lambda message: message.index):
            assert message.first_byte == at, "bytes of a stream belong to one message each"
            at += message.size
    return messages


def counted(messages: list[Message]) -> dict[tuple[str, str], int]:
    return dict(Counter((message.kind, message.direction) for message in messages))


LONG = ("itr-heavy", "itr-medium", "livelock", "window")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in SHIPPED]
)
def test_the_law_holds_for_every_message_of_the_shipped_scenarios(name: str) -> None:
    result = shipped_run(name)
    messages = check_all(result)
    first = result.journey
    if first:
        same = [m for m in messages if (m.begin_ns, m.end_ns) == (first.begin_ns, first.end_ns)]
        assert [m.direction for m in same] == [TO_GUEST]


@pytest.mark.parametrize("name", ["hello", "iperf3", "lossy", "names", "netboot"])
def test_counted_or_in_order_of_time_a_way_is_the_same(name: str) -> None:
    journeys = shipped_run(name).journeys
    for counted in journeys:
        assert counted.message is not None
        whole = journeys.of(counted.message.number)
        assert sorted(whole.rows) == sorted(counted.rows)
        assert whole.message == counted.message
        assert bool(whole.stays) == bool(whole)


FAULTS = [
    ("ping pong", ("loss,queue=tx,frames=9",)),
    ("ping pong", ("loss,queue=rx,frames=12",)),
    ("ping pong", ("duplicate,every=3", "delay,queue=rx,delay=3ms,every=4")),
    ("bulk", ("loss,queue=tx,frames=20",)),
    ("bulk", ("corrupt,queue=tx,frames=15",)),
    ("bulk", ("reorder,queue=tx,every=6",)),
    ("bulk", ("delay,queue=tx,delay=20ms,frames=11",)),
    ("drips", ("loss,queue=all,every=9",)),
    ("drips", ("duplicate,queue=tx,every=2", "corrupt,queue=tx,frames=14")),
    ("pings", ("loss,queue=tx,frames=9", "delay,queue=rx,delay=5ms,frames=10")),
]


@pytest.mark.parametrize(("work", "filters"), FAULTS)
def test_none_is_missing_and_all_add_up_whatever_happens_on_the_wire(
    work: str, filters: tuple[str, ...]
) -> None:
    programs, sent = SENT[work]
    result = made(programs, *filters)
    assert counted(check_all(result)) == sent
    counts = result.frame_counts
    done = [entry for what in ("lost", "held", "made") for entry in counts[what]]
    assert {f"f{number}" for number in range(len(filters))} <= {entry["where"] for entry in done}


@pytest.mark.parametrize("costs", ["zero", "icount"])
@pytest.mark.parametrize("work", sorted(SENT))
def test_what_happens_at_one_instant_on_several_threads_has_its_order(
    work: str, costs: str
) -> None:
    """Where QEMU and the host take no time, a message may be sent and read at once."""
    programs, sent = SENT[work]
    messages = check_all(made(programs, costs=costs))
    assert counted(messages) == sent
    assert all(message.end_ns is not None for message in messages)


def test_the_wait_for_a_retransmission_is_told_in_both_directions() -> None:
    for queue, frame, place in (("tx", 9, "so_snd"), ("rx", 12, "guest send queue")):
        result = made(PING_PONG, f"loss,queue={queue},frames={frame}")
        waits = [
            row
            for journey in result.journeys
            for row in journey
            if row.waits_for == "retransmission"
        ]
        assert [wait.station for wait in waits] == [place]
        assert waits[0].waiting_ns > 100_000_000


def test_datagrams_each_way_are_messages_also_in_fragments() -> None:
    for work, count in ((UDP, 8), (LONG_UDP, 5)):
        messages = check_all(made(work))
        assert counted(messages) == {("udp", TO_GUEST): count, ("udp", TO_HOST): count}
        assert all(message.end_ns is not None for message in messages)


def test_a_datagram_that_is_lost_says_where() -> None:
    messages = check_all(made(UDP, "loss,queue=tx,frames=8"))
    (lost,) = [message for message in messages if message.end_ns is None]
    assert lost.kind == "udp"
    assert lost.fate == "lost at f0: filter-loss"


def test_what_a_guest_sends_to_a_program_of_the_host_is_followed() -> None:
    messages = check_all(shipped_run("lossy"))
    assert counted(messages) == {("tcp", TO_HOST): len(messages)}
    assert all(message.sender.startswith("guest:") for message in messages)
    assert len({message.receiver for message in messages}) == 1
    assert messages[0].receiver.startswith("host:")


def test_what_slirp_answers_itself_ends_there() -> None:
    messages = check_all(shipped_run("netboot"))
    assert {message.fate for message in messages if message.kind == "udp"} == {SLIRP_TOOK}


def test_what_nobody_reads_says_so() -> None:
    work = (["sleep 100 | nc -l -p 5556 | sleep 100"], ["ltool drip localhost 5555 3 100000 500"])
    messages = check_all(made(work))
    assert {message.fate for message in messages} == {RESET}


@settings(max_examples=6)
@given(
    filters=st.lists(
        st.sampled_from(
            [
                "loss,queue=tx,every=11",
                "loss,queue=rx,every=9",
                "duplicate,queue=tx,every=5",
                "corrupt,queue=tx,every=13",
                "reorder,queue=tx,every=7",
                "delay,queue=rx,delay=2ms,every=6",
            ]
        ),
        unique=True,
        max_size=3,
    ),
    work=st.sampled_from(sorted(SENT)),
    itr=st.sampled_from([0, 500, 4000]),
)
def test_drawn_faults_lose_no_message(filters: list[str], work: str, itr: int) -> None:
    programs, sent = SENT[work]
    result = made(programs, *filters, modprobe=f"e1000 InterruptThrottleRate={itr}")
    assert counted(check_all(result)) == sent


def test_a_message_more_costs_as_much_as_the_one_before() -> None:
    """One pass, and no walk twice: the calls for a message do not grow with their number."""
    calls = []
    for count in (20, 80):
        result = made(
            ([f"ltool tcpsrv 5556 500 {count}"], [f"ltool tcpcli localhost 5555 500 {count} 100"])
        )
        profile = cProfile.Profile()
        profile.enable()
        found = sum(1 for _ in result.journeys)
        profile.disable()
        assert found == 2 * count
        calls.append(pstats.Stats(profile).total_calls / found)
    assert calls[1] < 1.1 * calls[0], calls


@pytest.mark.parametrize("work", [UDP, LONG_UDP])
def test_a_datagram_waits_for_no_window(work: tuple[list[str], list[str]]) -> None:
    found = list(made(work, "duplicate,queue=tx,every=3").journeys)
    assert {journey.message.kind for journey in found if journey.message} >= {"udp"}
    assert not [row for journey in found for row in journey if row.station == "so_snd"]


def test_a_datagram_waits_in_slirp_for_the_guests_address(tmp_path: Path) -> None:
    (tmp_path / "arp.toml").write_text("""
        qemu = "-nic user,model=e1000,hostfwd=udp::7777-10.0.2.15:7777"
        guest.address = "10.0.2.15/24"
        guest.run = [{command = "nc -u -l -p 7777 -w 3"}]
        host.run = [{command = "echo datagram | nc -u -w 1 localhost 7777", at = "4s"}]
    """)
    (journey,) = run(load_scenario(str(tmp_path / "arp.toml"))).journeys
    check(journey)
    (wait,) = (row for row in journey if row.station == "slirp")
    assert wait.waits_for == "ARP"
    assert 300_000 < wait.waiting_ns < 700_000  # a guest's answer takes as long as a short ping


SMALL_RING = "e1000 TxDescriptors=80 InterruptThrottleRate=100"


@pytest.mark.parametrize(
    ("guest", "host", "modprobe", "wire", "why"),
    [
        (
            "ping -c 3 10.0.2.2",
            "true",
            "e1000",
            " -object filter-delay,id=f,netdev=u,delay=5ms",
            "ARP",
        ),
        (
            "ltool udpsend 10.0.2.2 7000 1 400 1400 0 0 0",
            "ltool udprecv 7000 400 1000",
            SMALL_RING,
            "",
            "room in the transmit ring",
        ),
        ("ltool source 10.0.2.2 5556 400000 100000", "ltool sink 5556", SMALL_RING, "", "window"),
    ],
)
def test_what_waits_in_the_guests_send_queue_says_for_what(
    guest: str, host: str, modprobe: str, wire: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "sent.toml").write_text(f"""
        qemu = "-netdev user,id=u -device e1000,netdev=u{wire}"
        guest.modprobe = "{modprobe}"
        guest.run = [{{command = "{guest}"}}]
        host.run = [{{command = "{host}", at = "1s"}}]
    """)
    journeys = list(run(load_scenario(str(tmp_path / "sent.toml"))).journeys)
    waits = {row.waits_for for j in journeys for row in j if row.station == "guest send queue"}
    assert waits == {why}
    for journey in journeys:
        if journey:
            check(journey)
