"""Several machines on one host: joined by sockets, by a hub, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import shipped_run

from desim.config import InputFile, MachineConfig
from desim.data import replace
from desim.experiment.journey.values import TO_A_GUEST
from desim.experiment.run import RunResult, run
from desim.laws.table import LAWS
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario

B = "52:54:00:12:34:57"
SHORT = "ping -c 2 10.0.0.1; echo hello | nc -N 10.0.0.1 5556"

PAIR = f"""
costs = "zero"
qemu = "-netdev LISTEN,id=s -device e1000,netdev=s"
guest.address = "10.0.0.1/24"
[[guest.run]]
command = "nc -lp 5556 > hello.txt"
[machine.b]
qemu = "-netdev CONNECT,id=s -device e1000,netdev=s,mac={B}"
guest.address = "10.0.0.2/24"
[[machine.b.guest.run]]
at = "5s"
command = "{SHORT}"
"""
INET = "type=inet,{0}.host=127.0.0.1,{0}.port="
WAYS = {
    "socket": ("socket,listen=:1234", "socket,connect=127.0.0.1:1234"),
    "stream": (
        f"stream,server=on,addr.{INET.format('addr')}1234",
        f"stream,addr.{INET.format('addr')}1234",
    ),
    "unix": (
        "stream,server=on,addr.type=unix,addr.path=/tmp/wire",
        "stream,addr.type=unix,addr.path=/tmp/wire",
    ),
    "udp": (
        "socket,udp=127.0.0.1:2,localaddr=127.0.0.1:1",
        "socket,udp=127.0.0.1:1,localaddr=127.0.0.1:2",
    ),
    "dgram": (
        f"dgram,local.{INET.format('local')}1,remote.{INET.format('remote')}2",
        f"dgram,local.{INET.format('local')}2,remote.{INET.format('remote')}1",
    ),
    "mcast": ("socket,mcast=230.0.0.1:1234", "socket,mcast=230.0.0.1:1234"),
}

HUB = f"""
costs = "zero"
qemu = '''-netdev user,id=u,hostfwd=tcp::5555-10.0.2.15:5556 -netdev hubport,id=h0,hubid=0,netdev=u
    -netdev hubport,id=h1,hubid=0 -device e1000,netdev=h1
    -netdev socket,id=s,listen=:1234 -netdev hubport,id=h2,hubid=0,netdev=s'''
[[guest.run]]
command = "nc -lp 5556 > hello.txt"
[[host.run]]
at = "9s"
command = "echo hello | nc -N localhost 5555"
[machine.b]
qemu = "-netdev socket,id=s,connect=:1234 -device e1000,netdev=s,mac={B}"
guest.modprobe_at = "2s"
[[machine.b.guest.run]]
command = "ping -c 2 10.0.2.15"
"""


def machine(text: str) -> MachineConfig:
    return parse_scenario(text.encode(), "s.toml", Inputs(Path()))


def pair(way: str) -> MachineConfig:
    listen, connect = WAYS[way]
    return machine(PAIR.replace("LISTEN", listen).replace("CONNECT", connect))


def through(result: RunResult, point: str, to_guest: bool) -> list[bytes]:
    """The bytes that passed a point one way, in order."""
    packets = result.packets[point]
    return [packet.frame.raw for packet in packets if packet.to_guest == to_guest]


@pytest.fixture(scope="module")
def hub() -> RunResult:
    return run(machine(HUB))


@pytest.mark.parametrize("way", WAYS)
def test_two_guests_talk_over_a_wire_of_the_hosts_sockets(way: str) -> None:
    done = run(pair(way))
    assert done.files["guest/hello.txt"] == b"hello\n"
    assert [t.status for t in done.transcripts] == [0] * 4
    assert done.ended == "all programs have ended"
    for one, other in (("socket-s", "b-socket-s"), ("b-socket-s", "socket-s")):
        sent, got = through(done, one, to_guest=False), through(done, other, to_guest=True)
        if way == "mcast":  # each hears all that both send
            sent += through(done, other, to_guest=False)
        assert sorted(sent) == sorted(got)
        assert len(sent) > 10


def test_a_guest_on_a_group_hears_its_own_frames() -> None:
    done = run(pair("mcast"))
    own = set(through(done, "nic", to_guest=False))
    assert own <= set(through(done, "nic", to_guest=True))


def test_guests_meet_on_a_hub_with_the_host(hub: RunResult) -> None:
    assert hub.files["guest/hello.txt"] == b"hello\n"
    assert b"2 packets received" in next(t.output for t in hub.transcripts if t.name == "b 1")
    summary = hub.summary
    assert summary["guest"]["address"] == "10.0.2.15"
    (other,) = summary["machines"]
    assert (other["name"], other["guest"]["address"]) == ("b", "10.0.2.16")
    assert [row["machine"] for row in summary["programs"]] == ["", "b", "", "b", ""]


def test_the_first_message_has_a_journey_beside_another_guest(hub: RunResult) -> None:
    assert hub.journey.text == b"hello\n"
    assert hub.journey.total_ns == hub.journey.own_ns + hub.journey.waiting_ns


def test_a_hub_of_three_ports_copies_each_frame_once(hub: RunResult) -> None:
    points = hub.frame_counts["points"]
    made = sum(row["frames"] for row in hub.frame_counts["made"])
    sent = (
        points["slirp"]["to_guest"] + points["nic"]["from_guest"] + points["socket-s"]["to_guest"]
    )
    assert made == sent
    assert {row["code"] for row in hub.frame_counts["made"]} == {"hub-copy"}


def test_transfers_name_both_guests() -> None:
    from desim.experiment.figures import transfers

    done = run(pair("socket"))
    (sent,) = transfers(done.packets, done.config, done.guest_addresses)
    assert sent.sender.startswith("b:")
    assert (sent.receiver, sent.size) == ("guest:5556", 6)


# The laws


def test_a_second_machine_that_is_not_joined_changes_no_byte_of_the_first() -> None:
    alone = machine(
        'qemu = "-nic user,model=e1000,hostfwd=tcp::5555-:5556"\n'
        '[[guest.run]]\ncommand = "nc -lvp 5556 > hello.txt"\n'
        '[[host.run]]\nat = "6s"\ncommand = "echo hello | nc -N localhost 5555"\n'
    )
    other = machine('[machine.b]\n[[machine.b.guest.run]]\ncommand = "ping -c 2 10.0.2.2"\n').others
    one, two = run(alone), run(replace(alone, others=other))
    assert len(two.trace.threads) == len(one.trace.threads) + 2
    for name, record in one.trace.threads.items():
        beside = two.trace.threads[name]
        size = len(record.times)
        assert list(beside.times)[:size] == list(record.times)
        names = [one.trace.codes.name(code) for code in record.codes]
        assert [two.trace.codes.name(code) for code in beside.codes][:size] == names
    for point, packets in one.packets.items():
        frames = [(p.time, p.to_guest, p.frame.raw) for p in packets]
        assert [(p.time, p.to_guest, p.frame.raw) for p in two.packets[point]] == frames


@pytest.mark.slow
def test_a_joined_machine_that_says_nothing_changes_no_byte_of_the_first() -> None:
    lonely = HUB.partition("[machine.b]")[0]
    silent = f"""
[machine.b]
qemu = "-netdev socket,id=s,connect=:1234 -device e1000,netdev=s,mac={B}"
guest.modprobe_at = "20s"
"""
    one, two = run(machine(lonely)), run(machine(f'until = "10s"\n{lonely}{silent}'))
    for point in ("slirp", "nic"):
        frames = [(p.time, p.to_guest, p.frame.raw) for p in one.packets[point]]
        assert [(p.time, p.to_guest, p.frame.raw) for p in two.packets[point]] == frames
    assert one.files["guest/hello.txt"] == two.files["guest/hello.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["socket", "udp"])
def test_a_strict_run_of_two_machines_leaves_the_same_trace(way: str) -> None:
    lazy = run(replace(pair(way), costs="study-2016"))
    strict = run(replace(pair(way), costs="study-2016", strict=True))
    assert strict.fingerprint == lazy.fingerprint


@pytest.mark.slow
def test_what_is_recorded_changes_nothing_of_two_machines() -> None:
    config = pair("socket")
    kept = run(config)
    bare = run(replace(config, record="none", capture=False))
    assert (bare.end_ns, bare.ended) == (kept.end_ns, kept.ended)
    assert [t.output for t in bare.transcripts] == [t.output for t in kept.transcripts]
    counted = run(replace(config, record="counters", capture=False))
    assert counted.frame_counts == kept.frame_counts


def test_datagrams_that_nobody_takes_are_lost_and_counted() -> None:
    alone = machine(
        'costs = "zero"\nqemu = "-netdev socket,id=s,udp=127.0.0.1:2,localaddr=127.0.0.1:1 '
        '-device e1000,netdev=s"\nguest.address = "10.0.0.1/24"\n'
        '[[guest.run]]\ncommand = "ping -c 1 10.0.0.2"\n'
    )
    counts = run(alone).frame_counts
    (row,) = [row for row in counts["lost"] if row["code"] == "datagram-unheard"]
    assert row["frames"] == counts["points"]["socket-s"]["from_guest"] > 0


def test_a_listener_with_nobody_there_has_its_link_down() -> None:
    alone = machine(
        'costs = "zero"\nqemu = "-netdev socket,id=s,listen=:1234 -device e1000,netdev=s"\n'
        'guest.address = "10.0.0.1/24"\n[[guest.run]]\ncommand = "ping -c 1 10.0.0.2"\n'
    )
    counts = run(alone).frame_counts
    (row,) = counts["lost"]
    assert (row["where"], row["code"]) == ("s", "receiver-link-down")
    assert row["frames"] == counts["points"]["nic"]["from_guest"]


# The injector

ETHERNET = "ffffffffffff 525400aabbcc 0806"
ARP = ETHERNET + "0001080006040001 525400aabbcc 0a000209 000000000000 0a00020f"
TRAIN = f'costs = "zero"\n[[inject]]\nat = "6s"\nframes = "{ARP}"\n'


def test_an_injected_frame_reaches_the_guest_and_its_answer_the_injector() -> None:
    done = run(machine(TRAIN + 'every = "10ms"\ntimes = 3\n'))
    packets = list(done.packets["inject"])
    asked = [packet for packet in packets if packet.to_guest]
    assert [packet.time for packet in asked] == [6 * 10**9, 6_010_000_000, 6_020_000_000]
    answers = [p for p in packets if not p.to_guest and p.frame.raw[:6].hex() == "525400aabbcc"]
    assert len(answers) == 3
    assert done.end_ns >= 6_020_000_000


def test_a_capture_is_injected_as_far_apart_as_it_was_captured(tmp_path: Path) -> None:
    first = run(machine(TRAIN + 'every = "3ms"\ntimes = 4\n'))
    (tmp_path / "again.pcapng").write_bytes(first.captures["capture-inject.pcapng"])
    text = b'costs = "zero"\n[[inject]]\nat = "9s"\npcap = "again.pcapng"\n'
    config = parse_scenario(text, "s.toml", Inputs(tmp_path))
    begin = first.packets["inject"][0].time
    wanted = [(p.time - begin, p.frame.raw) for p in first.packets["inject"]]
    done = run(config)
    sent = [p for p in done.packets["inject"] if p.to_guest]
    assert [(p.time - 9 * 10**9, p.frame.raw) for p in sent] == wanted
    assert "again.pcapng" in done.summary["inputs"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["stream", "mcast"])
def test_two_guests_keep_the_laws_of_every_run(way: str) -> None:
    result = run(replace(pair(way), costs="study-2016"))
    for law in LAWS.values():
        if not law.pair:
            assert law.broken(result) == [], law.name


# Between two QEMUs


def test_the_monitor_says_who_is_connected() -> None:
    text = PAIR.replace("LISTEN", "socket,listen=:1234").replace("CONNECT", "socket,connect=:1234")
    for table in ("monitor.run", "machine.b.monitor.run"):
        text += f'[[{table}]]\nat = "4s"\ncommand = "info network"\n'
    done = run(machine(text))
    first, second = (t.output.decode() for t in done.transcripts if t.name.endswith("monitor"))
    assert "\\ s: index=0,type=socket,socket: connection from 127.0.0.1:" in first
    assert "\\ s: index=0,type=socket,socket: connect to 0.0.0.0:1234\r\n" in second


@pytest.mark.parametrize(
    ("netdev", "info"),
    [
        ("socket,connect=127.0.0.1:7", ""),
        ("stream,addr.type=inet,addr.host=127.0.0.1,addr.port=7", "connection error"),
        ("stream,addr.type=unix,addr.path=/nobody", "connection error"),
    ],
)
def test_who_connects_where_nobody_listens_has_no_link_for_ever(netdev: str, info: str) -> None:
    alone = machine(
        f'costs = "zero"\nqemu = "-netdev {netdev},id=s -device e1000,netdev=s"\n'
        'guest.address = "10.0.0.1/24"\nguest.run = [{command = "ping -c 1 10.0.0.2"}]\n'
        'monitor.run = [{at = "4s", command = "info network"}]\n'
    )
    done = run(alone)
    told = next(t.output for t in done.transcripts if t.name == "monitor").decode()
    assert told.endswith(f"index=0,type={netdev.partition(',')[0]},{info}\r\n")
    counts = done.frame_counts
    assert {row["code"] for row in counts["lost"]} == {"receiver-link-down"}
    assert counts["points"]["socket-s"]["from_guest"] == 0


def test_a_program_of_the_host_may_be_the_other_end() -> None:
    """A frame behind its length, as anybody may write it into the socket."""
    frame = bytes.fromhex((ARP).replace(" ", ""))
    text = (
        'costs = "zero"\nqemu = "-netdev socket,id=s,listen=:1234 -device e1000,netdev=s"\n'
        'guest.address = "10.0.2.15/24"\nguest.run = [{command = "ip addr"}]\n'
        'host.run = [{at = "5s", command = "nc -N localhost 1234 > answer", stop = "+1s"}]\n'
    )
    config = machine(text)
    data = len(frame).to_bytes(4, "big") + frame
    config.host[0].command = "nc -N localhost 1234 < frame > answer"
    config.host_files["frame"] = InputFile(name="frame", data=data)
    answer = run(config).files["host/answer"]
    assert int.from_bytes(answer[:4], "big") == len(answer) - 4
    assert answer[4:10].hex() == "525400aabbcc"


def test_a_message_for_another_guest_is_not_said_to_be_under_way() -> None:
    pings = [one for one in shipped_run("two-guests").messages() if one.kind == "ping"]
    assert [one.fate for one in pings] == [TO_A_GUEST] * 3


@pytest.mark.slow
def test_runs_of_several_machines_are_the_same_in_many() -> None:
    import desim

    scenario = desim.load("two-guests")
    first, second = desim.run_many([scenario, scenario], record="trace", capture=True)
    assert first.fingerprint == second.fingerprint == desim.run(scenario).fingerprint


@pytest.mark.parametrize(
    "data",
    [
        bytes(4) + (60).to_bytes(4, "big") + bytes(60),
        bytes(3),
        b"\xff" * 100_000,
        (1).to_bytes(4, "big") + b"x",
        (70_000).to_bytes(4, "big") + bytes(70_100),
    ],
    ids=["empty", "cut", "huge", "short", "too long"],
)
def test_whatever_somebody_writes_into_the_socket_the_run_ends_well(data: bytes) -> None:
    config = machine(HUB.partition("[machine.b]")[0])
    config.host[0].command = "cat data | nc -N localhost 1234"
    config.host_files["data"] = InputFile(name="data", data=data)
    done = run(config)
    assert not done.failed
    assert done.frame_counts["queued"] == 0
