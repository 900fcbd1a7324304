"""Laws of TCP in whole machines with faults on the wire: guest, slirp, host, real programs.

Whatever is lost, late, repeated, overtaken or spoilt, and whoever closes first:

* what arrives is a prefix of what was sent (``desim laws what-arrives-is-a-prefix``);
* it is all of it, unless somebody was told (a reset, a time-out, a program that was
  interrupted) or slirp lost it in one of its own ways (``losses-are-told``);
* when the programs have ended, so do the connections: in the time that retransmission
  takes to give up, no socket, no control block and no timer is left.

``nox -s explore`` tries many more than the gate.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desim.config import InputFile, MachineConfig, RunCommand, Side
from desim.experiment.run import RunResult
from desim.laws.conversations import conversations
from desim.laws.slirps_ways import SLIRP_LOSES
from desim.laws.table import LAWS
from desim.machine import Machine
from desim.scenario.command_line import machine_from_options
from desim.slirp.socket import SS_FACCEPTCONN
from desim.wire.tcp import ACK, RST, SYN

SECOND = 10**9
MS = 1_000_000

TESTS = Path(__file__).resolve().parents[1]
EXAMPLES = 12 if settings.default is not None and settings.default.derandomize else 300

SERVERS_NS = 6 * SECOND
CLIENTS_NS = 7 * SECOND
STOP_NS = 1_200 * SECOND
"""When whatever still runs is interrupted: later than Linux's last retransmission (924.6 s)."""
GIVE_UP_NS = 1_500 * SECOND
"""What the slowest end takes: slirp's FIN_WAIT_2 (598.8 s, looked at every 75 s), behind
its 19 retransmissions (some 220 s), or Linux's, and TIME_WAIT."""

FORWARDED, SERVED = 5000, 6000
"""The first port of those that QEMU listens on, and of those that the host's programs do."""

ROUTES = {
    "up": ("guest", "nc -l -p {port} > got{n}", "host", "nc -N localhost {port} < sent{n}"),
    "up, both close": (
        "guest",
        "busybox nc -l -p {port} < /dev/null > got{n}",
        "host",
        "nc -N localhost {port} < sent{n}",
    ),
    "down": (
        "guest",
        "nc -N -l -p {port} < sent{n}",
        "host",
        "nc localhost {port} < /dev/null > got{n}",
    ),
    "out": ("host", "nc -l -p {out} > got{n}", "guest", "nc -N 10.0.2.2 {out} < sent{n}"),
    "in": (
        "host",
        "nc -N -l -p {out} < sent{n}",
        "guest",
        "nc 10.0.2.2 {out} < /dev/null > got{n}",
    ),
}
"""Server and client of a transfer, and where each runs. The reader of ``sent`` writes it to
the network, closes its half and waits; the writer of ``got`` closes behind the end of file."""


class Transfer(NamedTuple):
    """``size`` bytes over one of ``ROUTES``; one of its two programs may be interrupted."""

    route: str
    size: int
    late_ms: int = 0
    """The client comes so much after ``CLIENTS_NS``."""
    stopped: Side | None = None
    stopped_ms: int = 0
    """So much after the client's start."""

    def data(self, number: int) -> bytes:
        """What is sent: different bytes for each transfer, and no period of a power of 2."""
        return bytes((i * 7 + number * 31) % 251 for i in range(self.size))


def machine(objects: list[str], transfers: list[Transfer], seed: int) -> MachineConfig:
    """A guest, its network with the filters ``objects``, and the programs of the transfers."""
    rules = "".join(
        f",hostfwd=tcp::{FORWARDED + n}-:{FORWARDED + n}" for n in range(len(transfers))
    )
    config = machine_from_options(
        ["-netdev", f"user,id=u,ipv6=off{rules}", "-device", "e1000,netdev=u"]
        + [word for o in objects for word in ("-object", o)],
        guest=[],
        host=[],
        folder=Path(),
    )
    config.seed = seed
    commands: dict[str, list[RunCommand]] = {"guest": config.guest, "host": config.host}

    def command(side: str, text: str, at_ns: int, stop_ns: int) -> None:
        terminal = f"{side} {len(commands[side]) + 1}"
        commands[side].append(
            RunCommand(
                side="guest" if side == "guest" else "host",
                command=text,
                terminal=terminal,
                at_ns=at_ns,
                stop_ns=stop_ns,
            )
        )

    for n, transfer in enumerate(transfers):
        server, serving, client, asking = ROUTES[transfer.route]
        start = CLIENTS_NS + transfer.late_ms * MS
        for side, text, at_ns in ((server, serving, SERVERS_NS), (client, asking, start)):
            stopped = side == transfer.stopped
            stop_ns = start + transfer.stopped_ms * MS if stopped else STOP_NS
            command(side, text.format(port=FORWARDED + n, out=SERVED + n, n=n), at_ns, stop_ns)
        data = transfer.data(n)
        sent = InputFile(name=f"sent{n}", data=data)
        config.guest_files[sent.name] = config.host_files[sent.name] = sent
    # It keeps the run going until everything else has given up.
    command("host", "sleep 10000", SERVERS_NS, STOP_NS + GIVE_UP_NS)
    return config


def got(ran: Machine, number: int) -> bytes:
    """What the reader of a transfer wrote down."""
    files = ran.files()
    return files.get(f"guest/got{number}", b"") + files.get(f"host/got{number}", b"")


def somebody_was_told(ran: Machine, number: int) -> bool:
    """Whether a reset was sent on a transfer's connection, or an end gave it up or never had it."""
    ports = {FORWARDED + number, SERVED + number}
    opened = False
    for packets in ran.captures().values():
        for packet in packets:
            segment = packet.frame.segment
            if segment is None or ports.isdisjoint((segment.sport, segment.dport)):
                continue
            if segment.flags & RST:
                return True
            opened = opened or not segment.flags & SYN
    return not opened or ran.guest.stack.snmp.tcp_ext["TCPAbortOnTimeout"] > 0


def slirp_lost_it(ran: Machine, number: int) -> bool:
    """Whether slirp got a second SYN-ACK on a transfer's connection (``SLIRP_LOSES``)."""
    port = FORWARDED + number
    answers = 0
    for packet in ran.captures()["slirp"]:
        segment = packet.frame.segment
        if segment is not None and not packet.to_guest and segment.sport == port:
            answers += segment.sums_ok and segment.flags & (SYN | ACK) == SYN | ACK
    return answers > 1


def ran(objects: list[str], transfers: list[Transfer], seed: int = 1) -> Machine:
    """The run, to the instant at which everything must have given up."""
    made = Machine(machine(objects, transfers, seed))
    made.run()
    assert made.end_ns >= STOP_NS + GIVE_UP_NS, made.ended
    return made


def leftovers(made: Machine) -> list[str]:
    """The connections and timers that are still there."""
    slirp = made.qemu.slirp
    assert slirp is not None
    found = [f"guest: {socket}" for socket in made.guest.stack.sockets()]
    found += [
        f"slirp: {so.so_tcpcb.t_state}, timers {so.so_tcpcb.t_timer}"
        for so in slirp.tcp_subr.tcb
        if not so.so_state & SS_FACCEPTCONN
    ]
    found += [
        f"timer: {timer.name}" for timer in made.vcpu.wheel.armed() if timer.name.startswith("tcp")
    ]
    if not made.guest.stack.idle() or not slirp.idle():
        found.append("something is not idle")
    return found


LAWS_HELD = ("what-arrives-is-a-prefix", "losses-are-told", "a-closed-connection-leaves-nothing")


def check(made: Machine, transfers: list[Transfer]) -> None:
    """The three laws, as every run is held to them (``desim.laws``)."""
    result = RunResult(made.config, made)
    assert len(conversations(made.config)) == len(transfers)
    for name in LAWS_HELD:
        assert LAWS[name].broken(result) == [], name
    assert leftovers(made) == []


# Faults and transfers, as hypothesis draws them

chances = st.builds(
    "probability={}%,first={}".format,
    st.sampled_from([1, 2, 5, 10, 20, 40]),
    st.sampled_from([5, 5, 5, 9, 20, 1]),
)
rhythms = st.builds("every={},first={}".format, st.integers(2, 30), st.integers(5, 40))
stretches = st.builds("frames={}-{}".format, st.integers(5, 20), st.integers(20, 60))
choices = st.one_of(chances, rhythms, stretches)
"""Mostly behind the four frames of the guest's DHCP, so that most guests have an address."""

kinds = st.one_of(
    st.sampled_from(["filter-loss", "filter-duplicate", "filter-corrupt"]),
    st.builds("filter-reorder,behind={}".format, st.integers(1, 4)),
    st.builds(
        "filter-delay,delay={},jitter={}".format,
        st.sampled_from(["100us", "2ms", "60ms", "700ms"]),
        st.sampled_from(["0ms", "1ms", "50ms"]),
    ),
)


def named(drawn: list[tuple[str, str, str]]) -> list[str]:
    """Drawn faults as the words behind ``-object``."""
    return [
        f"{kind},id=f{n},netdev=u,queue={queue},{choice}"
        for n, (kind, queue, choice) in enumerate(drawn)
    ]


faults = st.lists(
    st.tuples(kinds, st.sampled_from(["all", "rx", "tx"]), choices), min_size=1, max_size=3
).map(named)
"""A corrupted frame has one wrong bit: what a checksum of 16 bits always finds."""

sizes = st.one_of(st.sampled_from([0, 1, 17, 1460, 5000]), st.integers(0, 80_000))
routes, starts = st.sampled_from(sorted(ROUTES)), st.integers(0, 3000)
whole_transfers = st.tuples(routes, sizes, starts).map(lambda drawn: Transfer(*drawn))
cut_transfers = st.tuples(
    routes,
    sizes,
    starts,
    st.sampled_from(["guest", "host"]),
    st.sampled_from([1, 10, 100, 1_000, 30_000]),
).map(lambda drawn: Transfer(*drawn))
several = st.lists(
    st.one_of(whole_transfers, whole_transfers, cut_transfers), min_size=1, max_size=3
)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(faults, several, st.integers(0, 1 << 32))
def test_the_laws_hold_whatever_happens(
    objects: list[str], transfers: list[Transfer], seed: int
) -> None:
    check(ran(objects, transfers, seed), transfers)


gentle_faults = st.lists(
    st.tuples(
        kinds,
        st.sampled_from(["all", "rx", "tx"]),
        st.one_of(
            st.builds("probability={}%,first=5".format, st.sampled_from([1, 2, 5])),
            st.builds("every={},first={}".format, st.integers(12, 40), st.integers(5, 40)),
        ),
    ),
    min_size=1,
    max_size=3,
).map(named)
"""So rare that no end gives up: retransmission has to mend all of it."""


@pytest.mark.slow
@settings(max_examples=max(EXAMPLES // 3, 1))
@given(gentle_faults, st.lists(whole_transfers, min_size=1, max_size=3), st.integers(0, 1 << 32))
def test_on_a_wire_that_is_not_hopeless_everything_arrives(
    objects: list[str], transfers: list[Transfer], seed: int
) -> None:
    made = ran(objects, transfers, seed)
    check(made, transfers)
    for number, transfer in enumerate(transfers):
        assert got(made, number) == transfer.data(number) or slirp_lost_it(made, number), transfer


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
def test_without_faults_everything_arrives_and_nothing_is_left(route: str) -> None:
    transfers = [Transfer(route, 100_000), Transfer(route, 0), Transfer(route, 1)]
    made = ran([], transfers)
    assert [got(made, n) for n in range(3)] == [t.data(n) for n, t in enumerate(transfers)]
    assert leftovers(made) == []


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("queue", ["rx", "tx"])
def test_a_wire_that_breaks_for_good_leaves_nothing_either(route: str, queue: str) -> None:
    # One direction dies in the middle of the transfer.
    transfers = [Transfer(route, 60_000)]
    made = ran([f"filter-loss,id=f,netdev=u,queue={queue},probability=1,first=20"], transfers)
    check(made, transfers)
    assert got(made, 0) != transfers[0].data(0) or queue == "rx"


# What slirp loses


def test_each_way_in_which_slirp_loses_data_is_recorded() -> None:
    for recordings in SLIRP_LOSES.values():
        for recording in recordings:
            family, _, name = recording.partition("/")
            if family == "found":
                assert (TESTS / "vectors" / "slirp" / "found" / f"{name}.json").is_file()
            else:
                with tarfile.open(TESTS / "vectors" / "slirp" / f"v470-{family}.tar.xz") as archive:
                    assert f"{name}.json" in archive.getnames()


@pytest.mark.slow
def test_a_guest_that_never_answers_is_an_end_of_file_on_the_host() -> None:
    made = ran(["filter-loss,id=f,netdev=u,queue=tx,probability=1,first=3"], [Transfer("up", 1000)])
    client = next(t for t in made.transcripts() if t.command.startswith("nc -N"))
    assert client.status == 0, "the program sees no error"
    assert client.ended_ns is not None
    assert 74 * SECOND < client.ended_ns - CLIENTS_NS < 80 * SECOND
    assert got(made, 0) == b""


@pytest.mark.slow
def test_a_second_syn_ack_empties_so_snd() -> None:
    # The ACK of the handshake and what comes with it are lost; the guest answers again.
    transfers = [Transfer("up", 5000)]
    made = ran(["filter-loss,id=f,netdev=u,queue=tx,frames=5-6"], transfers)
    assert slirp_lost_it(made, 0)
    assert not somebody_was_told(made, 0)
    assert len(got(made, 0)) < 5000, "its client sees no error, its server an end of file"
    check(made, transfers)
