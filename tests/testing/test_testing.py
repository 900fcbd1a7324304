"""What drives one core alone: the clock, the wire, the peer and the host keep their promises."""

from __future__ import annotations

import pytest

from desim.devices import HostFwd, UserNet
from desim.ports import POLLIN, Clock, HostSockets, MainLoop, NetPort, PciBus
from desim.ports import Ledger as LedgerPort
from desim.reasons import Reason
from desim.slirp import Slirp
from desim.testing import (
    Connection,
    Host,
    Ledger,
    Memory,
    MemoryBus,
    NoLoop,
    Peer,
    VirtualClock,
    Wire,
)
from desim.wire.addresses import LOOPBACK, ip
from desim.wire.frame import Frame
from desim.wire.icmp import ICMP_ECHOREPLY, Icmp
from desim.wire.ipv4 import PROTO_ICMP, Ipv4
from desim.wire.tcp import ACK, FIN, PSH, RST, SYN

GATEWAY, GUEST = "10.0.2.2", "10.0.2.15"


class Bed:
    """slirp between a peer and a host."""

    def __init__(self, *, resolved: bool = True, tftp: dict[str, bytes] | None = None) -> None:
        self.clock = VirtualClock()
        self.host = Host(clock=self.clock)
        self.wire = Wire()
        self.ledger = Ledger()
        self.slirp = Slirp(
            clock=self.clock,
            net=self.wire,
            sockets=self.host.sockets,
            loop=NoLoop(),
            ledger=self.ledger,
            config=UserNet(tftp=tftp),
        )
        self.peer = Peer(self.wire, self.slirp.slirp_input)
        if resolved:
            self.peer.resolve(GATEWAY)

    def poll(self, turns: int = 2) -> None:
        self.host.poll(self.slirp, turns)


def test_they_are_the_ports_that_cores_ask_for() -> None:
    clock: Clock = VirtualClock()
    bus: PciBus = MemoryBus(clock)
    wire: NetPort = Wire()
    ledger: LedgerPort = Ledger()
    loop: MainLoop = NoLoop()
    sockets: HostSockets = Host().sockets
    assert None not in (clock, bus, wire, ledger, loop, sockets)


# The clock


def test_time_moves_when_it_is_told_to_and_timers_go_off_in_order() -> None:
    clock = VirtualClock(100)
    rung: list[tuple[str, int]] = []
    one = clock.timer("one", lambda: rung.append(("one", clock.now())))
    two = clock.timer("two", lambda: rung.append(("two", clock.now())), periodic=True)
    two.arm(150)
    one.arm(150)
    assert clock.next_deadline() == 150
    clock.advance_to(150)
    assert (rung, clock.now()) == ([], 150)
    clock.pass_by(0)
    assert rung == [("two", 150), ("one", 150)]
    assert clock.next_deadline() is None
    assert [timer.name for timer in clock.timers if timer.periodic] == ["two"]


def test_a_timer_that_is_moved_or_cancelled_does_not_go_off_at_its_old_time() -> None:
    clock = VirtualClock()
    rung: list[int] = []
    timer = clock.timer("t", lambda: rung.append(clock.now()))
    timer.arm(10)
    timer.arm(20)
    clock.pass_by(15)
    assert rung == []
    clock.pass_by(5)
    assert rung == [20]
    timer.arm(30)
    timer.cancel()
    clock.pass_by(100)
    assert rung == [20]


def test_a_timer_that_arms_itself_again_goes_off_as_often_as_it_is_due() -> None:
    clock = VirtualClock()
    rung: list[int] = []

    def ring() -> None:
        rung.append(clock.now())
        timer.arm(clock.now() + 10)

    timer = clock.timer("t", ring)
    timer.arm(10)
    clock.pass_by(35)
    assert (rung, clock.now()) == ([10, 20, 30], 35)


# Memory and the bus


def test_memory_is_zero_until_it_is_written_and_wraps_at_its_end() -> None:
    memory = Memory()
    memory.write(0xFFFE, b"abcd")
    assert memory.read(0xFFFD, 6) == b"\0abcd\0"
    memory.write((1 << 64) - 1, b"xy")
    assert memory.read(0, 1) == b"y"
    assert memory.read((1 << 64) - 1, 2) == b"xy"


def test_the_bus_notes_rising_edges_alone() -> None:
    clock = VirtualClock(7)
    bus = MemoryBus(clock)
    for level in (True, True, False, False):
        bus.set_irq(level)
    clock.pass_by(2)
    bus.set_irq(True)
    assert (bus.edges, bus.level) == ([7, 9], True)


# The ledger


def test_a_ledger_lists_what_it_is_told() -> None:
    ledger = Ledger()
    frame, other = Frame(b"x"), Frame(b"y")
    why = Reason("full", "queue full ({size} packets)").of(size=3)
    ledger.lost(frame, "nic", why)
    ledger.held(frame, "hub", why)
    ledger.made(other, frame, "f0", why)
    assert ledger.reasons == ["nic: queue full (3 packets)"]
    assert ledger.holds == ["hub: queue full (3 packets)"]
    assert [(copy.frame, copy.of) for copy in ledger.copies] == [(other, frame)]
    assert ledger.losses[0].frame is frame


# The peer


def test_a_peer_answers_arp_for_its_address_and_no_other() -> None:
    bed = Bed(resolved=False)
    bed.slirp.add_hostfwd(HostFwd(host_port=5555, guest_port=80))
    bed.host.run("nc localhost 5555")
    bed.poll()
    assert len(bed.wire.sent) == 1  # who has the guest's address?
    assert bed.peer.take() == []
    bed.poll()
    (frame,) = bed.peer.take()
    assert frame.segment is not None
    assert frame.segment.flags == SYN


def test_nobody_answers_for_an_address_that_is_not_there() -> None:
    with pytest.raises(LookupError, match=r"nobody answered for '10\.0\.3\.9'"):
        Bed(resolved=False).peer.resolve("10.0.3.9")


def test_a_ping_of_the_gateway_comes_back() -> None:
    bed = Bed()
    message = Icmp.echo(1, 2, b"data").emit()
    bed.peer.send(bed.peer.packet(GATEWAY, PROTO_ICMP, message))
    (frame,) = bed.peer.take()
    packet = Ipv4.parse(frame.raw[14:])
    answer = Icmp.parse(packet.payload)
    assert (packet.dst, answer.type, answer.payload) == (ip(GUEST), ICMP_ECHOREPLY, b"data")


def test_datagrams_go_there_and_back() -> None:
    """To slirp's TFTP server: a request, and the one block of the file."""
    bed = Bed(tftp={"a": b"data"})
    request = bed.peer.datagram((GATEWAY, 69), b"\0\1a\0octet\0", port=3000)
    bed.peer.send(request)
    assert bed.peer.datagrams(3000) == [b"\0\3\0\1data"]
    bed.peer.send(request)
    assert bed.peer.datagrams(3001) == []


def test_a_connection_counts_its_numbers_and_acknowledges_what_came() -> None:
    bed = Bed()
    bed.host.run("echo -n hello | nc -N -l 127.0.0.1 80 > got")
    tcp = bed.peer.connection((GATEWAY, 80), port=3000, iss=0xFFFFFFFF)
    assert tcp.send(SYN) == []
    bed.poll()
    (syn,) = tcp.segments()
    assert syn.ack == 0
    assert tcp.ack == (syn.seq + 1) & 0xFFFFFFFF
    tcp.send(ACK)
    tcp.send(ACK | PSH, b"abc")
    bed.poll(3)
    answers = tcp.segments()
    assert b"".join(segment.payload for segment in answers) == b"hello"
    assert answers[-1].flags & FIN
    assert tcp.ack == (syn.seq + 1 + len("hello") + 1) & 0xFFFFFFFF
    tcp.send(ACK | FIN)
    bed.poll(2)
    assert bed.host.written("got") == b"abc"
    assert bed.ledger.reasons == []


def test_a_connection_can_send_what_no_stack_would() -> None:
    bed = Bed()
    tcp = bed.peer.connection((GATEWAY, 80), port=3000)
    frame = tcp.frame(SYN | FIN, b"x", seq=5, window=1, mss=100)
    segment = frame.segment
    assert segment is not None
    assert (segment.seq, segment.window, segment.mss) == (5, 1, 100)
    assert tcp.seq == 1000
    (refused,) = tcp.send(ACK, b"nobody knows this connection")
    assert refused.flags & RST


def test_a_connection_takes_only_what_is_its_own() -> None:
    bed = Bed()
    one = bed.peer.connection((GATEWAY, 81), port=3000)
    two = bed.peer.connection((GATEWAY, 82), port=3001)
    assert isinstance(one, Connection)
    bed.peer.send(one.frame(ACK))
    assert len(two.send(ACK)) == 1
    assert one.segments() == []


# The host


def test_programs_run_until_all_sleep_and_time_with_them() -> None:
    host = Host({"in": b"data"})
    host.run("cat < in > out")
    assert host.written("out") == b"data"
    host.start("sleep 3")
    host.settle()
    assert host.time == 3 * 10**9


def test_its_sockets_are_looked_at_between_programs() -> None:
    host = Host()
    fd = host.sockets.listen(LOOPBACK, 80)
    host.run("nc localhost 80")
    host.sockets.watch(fd, POLLIN)
    host.sockets.collect()
    assert host.sockets.revents(fd) == POLLIN
