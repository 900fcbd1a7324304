"""The law of idle rounds: nothing of a run tells whether they were made or left out.

A run that keeps a trace makes them all. One that keeps nothing leaves them out, and has the same
files, terminals, end and events.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runs import random_profile

from desim.config import MachineConfig
from desim.machine import Machine
from desim.machine.leap import FEW, Leap
from desim.record import Record
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario

QEMU = "-netdev user,id=u,hostfwd=tcp::5555-:5556{net} -device e1000,netdev=u{more}"
SHOWN = "cat /proc/interrupts; ifconfig eth0; ethtool -S eth0; arp -n; ping -c 2 10.0.2.2; dmesg"
B = "52:54:00:12:34:57"
OTHER = f"""
[machine.b]
qemu = "-netdev socket,id=s,connect=127.0.0.1:1234 -device e1000,netdev=s,mac={B}"
guest.address = "10.0.0.2/24"
[[machine.b.guest.run]]
at = "5s"
command = "ping -c 2 10.0.0.1"
[[machine.b.guest.run]]
at = "150s"
command = "echo hello | nc -N 10.0.0.1 5556; {SHOWN.replace("10.0.2.2", "10.0.0.1")}"
"""
HUB = "-netdev user,id=u -netdev hubport,id=h0,hubid=0,netdev=u "
HUB += "-netdev hubport,id=h1,hubid=0 -device e1000,netdev=h1"
ARP = "ff ff ff ff ff ff 02 00 00 00 00 01 08 06 00 01 08 00 06 04 00 01" + " 00" * 38


def at(side: str, instant: str, command: str) -> str:
    return f'[[{side}]]\nat = "{instant}"\ncommand = "{command}"\n'


def text(
    *commands: str, costs: str = "study-2016", net: str = "", more: str = "", **has: str
) -> str:
    """A machine that rests, and shows what it holds in the end."""
    keys = "".join(f"{key.replace('__', '.')} = {value!r}\n" for key, value in has.items())
    qemu = has.get("qemu") or QEMU.format(net=net, more=more)
    head = f'costs = "{costs}"\nuntil = "200s"\n{keys}'
    head += "" if "qemu" in has else f'qemu = "{qemu}"\n'
    return head + "".join(commands) + at("guest.run", "180s", SHOWN)


CASES = {
    "idle": text(),
    "without costs": text(costs="zero"),
    "guest instructions": text(costs="icount"),
    "datasheet": text(semantics="datasheet"),
    "fixed rate": text(guest__modprobe="e1000 InterruptThrottleRate=500"),
    "without IPv6": text(net=",ipv6=off"),
    "a lease": text(at("guest.run", "6s", "udhcpc -q -i eth0")),
    "pings far apart": text(at("guest.run", "6s", "ping -c 2 -i 120 10.0.2.2 > pings")),
    "sleeps": text(
        at("guest.run", "5s", "sleep 2.016; sleep 2.016; sleep 2.016; sleep 90; echo a > b"),
        at("host.run", "5s", "sleep 150.0001; echo c > d"),
    ),
    "a late client": text(
        at("guest.run", "4s", "nc -l 5556 > got"),
        at("host.run", "150s", "echo hello | nc -N localhost 5555"),
    ),
    "nobody listens": text(
        at("host.run", "20s", "echo hello | nc -N localhost 5555"),
        at("host.run", "150s", "echo hello | nc -N localhost 5555"),
    ),
    "the cable": text(
        at("monitor.run", "80s", "set_link u off"), at("monitor.run", "90.5s", "set_link u on")
    ),
    "a filter": text(more=" -object filter-loss,id=f,netdev=u,probability=1/2"),
    "an injector": text(
        f'[[inject]]\nat = "70s"\nframes = "{ARP}"\n[[inject]]\nat = "140s"\nframes = "{ARP}"\n',
        qemu=HUB,
    ),
    "two guests": text(
        at("guest.run", "4s", "nc -lp 5556 > got"),
        OTHER,
        qemu="-netdev socket,id=s,listen=127.0.0.1:1234 -device e1000,netdev=s",
        guest__address="10.0.0.1/24",
    ),
}


def machine(said: str, **changes: Any) -> MachineConfig:
    made = parse_scenario(said.encode(), "idle.toml", Inputs(Path()))
    for field, value in changes.items():
        setattr(made, field, value)
    return made


def ran(said: str, record: Record, **changes: Any) -> Machine:
    done = Machine(machine(said, record=record, capture=False, **changes))
    done.run()
    return done


def left(done: Machine) -> dict[str, Any]:
    """All that can be had of a run that keeps nothing."""
    return {
        "ended": (done.ended, done.end_ns, done.failed),
        "events": done.env.steps,
        "files": dict(done.files()),
        "transcripts": done.transcripts(),
        "guests": done.guest_summaries(),
        "outside": done.outside(),
        "frames": done.recorder.frames,
    }


def left_out(said: str, **changes: Any) -> int:
    """How many rounds a run leaves out, after it was held to the law."""
    made, less = ran(said, "trace", **changes), ran(said, "none", **changes)
    assert left(less) == left(made)
    assert made.leap is None
    assert less.leap is not None
    return less.leap.left_out


@pytest.mark.parametrize("case", CASES)
def test_rounds_are_left_out_and_nothing_tells(case: str) -> None:
    assert left_out(CASES[case]) >= FEW


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_so_it_is_whatever_things_cost(seed: int, tmp_path: Path) -> None:
    said = text(at("host.run", "150s", "echo hello | nc -N localhost 5555"))
    assert left_out(said, costs=random_profile(seed, tmp_path)) >= FEW


@pytest.mark.slow
def test_rounds_in_which_something_happens_are_made() -> None:
    """A program that runs once a round, and frames; a connection, which grows old in slirp."""
    commands = (
        at("guest.run", "5s", "ping -c 60 -i 2.016 10.0.2.2 > pings"),
        at("guest.run", "5s", "nc -l 5556 > got") + at("host.run", "6s", "nc localhost 5555"),
    )
    for command in commands:
        assert left_out(text(command, until="150s").replace('until = "200s"\n', "")) == 0


def test_a_round_may_be_longer_than_what_is_left_of_the_run() -> None:
    """A driver without a watchdog, and a connection that was: the next timer is far away."""
    commands = (
        at("guest.run", "4s", "nc -N -l -p 5556 > got"),
        at("host.run", "5s", "echo hello | nc -N localhost 5555"),
    )
    assert left_out(text(*commands, costs="tcg", guest__modprobe="e1000_plain")) == 0


def test_a_limit_of_events_ends_a_run_where_it_ended_it() -> None:
    said = text("run.limits.events = 2500\n")
    assert left_out(said) >= FEW
    assert "more than 2500 events" in ran(said, "none").ended


def test_what_was_left_out_in_vain_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without costs, a number of the scheduler's passes another half a minute after the boot."""
    back: list[int] = []
    take_back = Leap._take_back

    def taken_back(self: Leap, leapt: Any, changes: Any) -> None:
        back.append(leapt.rounds)
        take_back(self, leapt, changes)

    monkeypatch.setattr(Leap, "_take_back", taken_back)
    assert left_out(CASES["without costs"]) >= FEW
    assert back
