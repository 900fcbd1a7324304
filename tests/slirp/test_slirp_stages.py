"""The chains of functions that gdb would show, and the contracts with the main loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from desim.conform.slirp.host import RecordedHost
from desim.data import replace
from desim.devices import HostFwd, UserNet
from desim.slirp import net_slirp_init
from desim.stages import Mark, marks_of
from desim.testing import Ledger, NoLoop, VirtualClock
from desim.wire.addresses import ip
from desim.wire.frame import Frame
from desim.wire.segment import build_segment

T = TypeVar("T")

GUEST = ip("10.0.2.15")
HOST = ip("10.0.2.2")
LOCAL = ip("127.0.0.1")
GUEST_MAC = bytes.fromhex("525400123456")
HOST_MAC = bytes.fromhex("52550a000202")
SYN, ACK, FIN, PSH = 2, 16, 1, 8


class Recorder:
    """A ``Build`` that keeps the stack of open stages."""

    def __init__(self) -> None:
        self.stack: list[str] = []

    def __call__(self, cls: type[T], /) -> type[T]:
        marked = {
            name: self._wrap(inspect.getattr_static(cls, name), mark)
            for name, mark in marks_of(cls)
        }
        return type(cls.__name__, (cls,), marked)

    def _wrap(self, function: Callable[..., Any], mark: Mark) -> Callable[..., Any]:
        def stage(*args: Any, **kwargs: Any) -> Any:
            self.stack.extend(mark.names)
            result = function(*args, **kwargs)
            del self.stack[-len(mark.names) :]
            return result

        return stage


FORWARDS = UserNet(
    hostfwd=[HostFwd(host_addr=LOCAL, host_port=5555, guest_addr=GUEST, guest_port=5556)]
)


class Machine:
    """slirp behind its QEMU client, with every sent frame's stack."""

    def __init__(self, user: UserNet = FORWARDS) -> None:
        self.recorder = Recorder()
        self.chains: list[tuple[Frame, list[str]]] = []
        self.clock = VirtualClock(1_000_000_000)
        self.host = RecordedHost(self.clock)
        self.ledger = Ledger()
        self.client = net_slirp_init(
            user,
            nc=self,
            clock=self.clock,
            sockets=self.host.sockets,
            loop=NoLoop(),
            ledger=self.ledger,
            build=self.recorder,
        )
        self.slirp = self.client.slirp
        self.poll()

    def send(self, frame: Frame) -> int:
        self.chains.append((frame, list(self.recorder.stack)))
        return len(frame.raw)

    def flush(self) -> None:
        """The net layer takes all frames."""

    def loopback(self, frame: Frame) -> int:
        raise AssertionError("slirp does not loop back")

    def poll(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            self.slirp.pollfds_fill()
            self.host.sockets.collect()
            self.slirp.pollfds_poll()
            self.host.run()

    def arp_reply(self) -> None:
        body = bytes.fromhex("08060001080006040002") + GUEST_MAC + GUEST + HOST_MAC + HOST
        assert self.client.receive(Frame(HOST_MAC + GUEST_MAC + body)) == 42

    def guest(self, flags: int, seq: int, ack: int, payload: bytes = b"") -> None:
        self.client.receive(
            build_segment(
                HOST_MAC,
                GUEST_MAC,
                GUEST,
                HOST,
                5556,
                40001,
                seq,
                ack,
                flags,
                65535,
                payload,
                ident=1,
                ttl=64,
                tos=0,
                df=True,
            )
        )

    def chain(self) -> list[str]:
        """The stack under the last frame."""
        return self.chains[-1][1]


OUTPUT = ["tcp_output", "ip_output", "if_output", "if_start", "if_encap", "slirp_output"]


def connected() -> tuple[Machine, int]:
    """A forwarded connection that is established, and slirp's next sequence number."""
    machine = Machine()
    machine.arp_reply()
    machine.host.host_connect("c", (LOCAL, 40001), (LOCAL, 5555))
    machine.poll()
    syn = machine.chains[-1][0].segment
    assert syn is not None
    machine.guest(SYN | ACK, 1000, syn.seq + 1)
    return machine, syn.seq + 1


def test_the_syn_of_a_forwarded_connection() -> None:
    machine = Machine()
    machine.arp_reply()
    machine.host.host_connect("c", (LOCAL, 40001), (LOCAL, 5555))
    machine.poll()
    assert machine.chain() == ["slirp_pollfds_poll", "tcp_connect", *OUTPUT]


def test_data_from_the_host() -> None:
    machine, _ = connected()
    machine.host.host_send("c", b"Hello qemu Geust\n", False)
    machine.poll(2)
    assert machine.chain() == ["slirp_pollfds_poll", *OUTPUT]
    segment = machine.chains[-1][0].segment
    assert segment is not None
    assert segment.payload == b"Hello qemu Geust\n"


def test_the_acknowledgement_of_the_guests_data() -> None:
    machine, seq = connected()
    machine.guest(ACK | PSH, 1001, seq, b"hello")
    machine.guest(ACK | PSH, 1006, seq, b"hello")
    assert machine.chain() == [
        "net_slirp_receive",
        "slirp_input",
        "ip_input",
        "tcp_input",
        *OUTPUT,
    ]


def test_a_delayed_acknowledgement_comes_from_the_fast_timer() -> None:
    machine, seq = connected()
    machine.host.host_send("c", b"question", False)
    machine.poll(2)
    machine.guest(ACK | PSH, 1001, seq + 8, b"answer")
    sent = len(machine.chains)
    assert not machine.slirp.idle()
    machine.poll()
    assert len(machine.chains) == sent
    machine.clock.pass_by(3_000_000)
    machine.poll()
    assert machine.chain() == ["slirp_pollfds_poll", "tcp_fasttimo", *OUTPUT]


def test_a_retransmission_comes_from_the_slow_timer() -> None:
    machine = Machine()
    machine.arp_reply()
    machine.host.host_connect("c", (LOCAL, 40001), (LOCAL, 5555))
    machine.poll()
    sent = len(machine.chains)
    while len(machine.chains) == sent:
        machine.clock.pass_by(499_000_000)
        machine.poll()
    assert machine.chain() == ["slirp_pollfds_poll", "tcp_slowtimo", "tcp_timers", *OUTPUT]


def test_an_arp_reply() -> None:
    machine = Machine()
    body = bytes.fromhex("08060001080006040001") + GUEST_MAC + GUEST + bytes(6) + HOST
    machine.client.receive(Frame(b"\xff" * 6 + GUEST_MAC + body))
    assert machine.chain() == ["net_slirp_receive", "slirp_input", "arp_input", "slirp_output"]


def test_qemu_pads_short_frames_and_older_qemu_does_not() -> None:
    for version, size in (("4.7", 60), ("2.8", 42)):
        machine = Machine(replace(FORWARDS, version=version))
        machine.host.host_connect("c", (LOCAL, 40001), (LOCAL, 5555))
        machine.poll()
        assert len(machine.chains[-1][0]) == size


def test_a_frame_without_a_known_receiver_asks_once_and_is_lost_after_a_second() -> None:
    machine = Machine()
    machine.host.host_connect("c", (LOCAL, 40001), (LOCAL, 5555))
    machine.poll(3)
    assert [frame.raw[12:14].hex() for frame, _ in machine.chains] == ["0806"]
    machine.clock.pass_by(1_000_000_000)
    machine.poll()
    assert machine.ledger.reasons == []
    machine.clock.pass_by(1)
    machine.poll()
    assert machine.ledger.reasons == ["slirp: no answer to ARP"]


def test_the_stack_is_idle_when_nothing_will_happen_by_itself() -> None:
    machine, seq = connected()
    assert machine.slirp.idle()
    machine.host.host_send("c", b"hello", False)
    machine.poll(2)
    assert not machine.slirp.idle()
    machine.guest(ACK, 1001, seq + 5)
    assert machine.slirp.idle()


def test_a_closed_connection_is_gone_after_twice_the_lifetime_of_a_segment() -> None:
    machine, seq = connected()
    machine.host.host_close("c", False)
    machine.poll(2)
    machine.guest(FIN | ACK, 1001, seq + 1)
    assert [c.protocol for c in machine.slirp.connections()] == [
        "TCP[TIME_WAIT]",
        "TCP[HOST_FORWARD]",
    ]
    assert not machine.slirp.idle()
    for _ in range(21):
        machine.clock.pass_by(499_000_000)
        machine.poll()
    assert [c.protocol for c in machine.slirp.connections()] == ["TCP[HOST_FORWARD]"]
    assert machine.slirp.idle()


def test_connections_are_listed_as_info_usernet_does() -> None:
    machine, _ = connected()
    first, second = machine.slirp.connections()
    assert first.protocol == "TCP[ESTABLISHED]"
    assert first.destination == (GUEST, 5556)
    assert second.protocol == "TCP[HOST_FORWARD]"
    assert second.source == (LOCAL, 5555)
    assert second.destination == (GUEST, 5556)


def test_the_main_loop_sleeps_as_long_as_slirp_lets_it() -> None:
    assert Machine(UserNet()).slirp.pollfds_fill() == 1000
    assert Machine().slirp.pollfds_fill() == 499
    machine, seq = connected()
    machine.host.host_send("c", b"question", False)
    machine.poll(2)
    machine.guest(ACK | PSH, 1001, seq + 8, b"answer")
    assert machine.slirp.pollfds_fill() == 2
