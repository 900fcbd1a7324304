"""Laws of TCP on a bad wire between two stacks of the guest.

Whatever is lost, repeated or overtaken: what arrives is a prefix of what was sent,
both connections end, and no timer of a closed connection is left.
"""

from __future__ import annotations

from fakes_net import GUEST_MAC, MS, SECOND, FakeCpu, FakeDriver, FakeRandom, wire_frames
from hypothesis import given, settings
from hypothesis import strategies as st

from desim.guest.cpu.context import NET_RX_SOFTIRQ, NET_TX_SOFTIRQ
from desim.guest.net.device import Device
from desim.guest.net.sock import Socket
from desim.guest.net.socket import TcpSocket
from desim.guest.net.stack import NetStack
from desim.guest.skb import Skb
from desim.wire.addresses import ip
from desim.wire.frame import Frame

LEFT, RIGHT = ip("10.0.2.15"), ip("10.0.2.16")
LEFT_MAC, RIGHT_MAC = GUEST_MAC, b"\x52\x54\x00\x12\x34\x57"
WIRE_NS = 50_000


class BadWire:
    """Carries each frame after 50 us, unless ``fate`` has something else in mind for it."""

    def __init__(self, fate: list[str]) -> None:
        self.fate = fate
        self.number = 0
        self.queue: list[tuple[int, int, Device, Frame]] = []

    def carry(self, now: int, to: Device, frame: Frame) -> None:
        fate = self.fate[self.number] if self.number < len(self.fate) else "pass"
        self.number += 1
        if fate == "drop":
            return
        late = 8 * WIRE_NS if fate == "late" else WIRE_NS
        for _ in range(2 if fate == "twice" else 1):
            self.queue.append((now + late, len(self.queue), to, frame))
        self.queue.sort(key=lambda entry: entry[0])


class WiredDriver(FakeDriver):
    """A card at one end of the wire."""

    wire: BadWire
    other: Device

    def start_xmit(self, skb: Skb, more: bool) -> int:
        for raw in wire_frames(skb):
            self.wire.carry(self.clock(), self.other, Frame(raw.ljust(60, b"\0")))
        size = len(skb)
        self.device.netdev_sent_queue(size)
        self.uncompleted.append(size)
        self.interrupt()
        return 0


class World:
    """Two hosts and a wire, on one clock."""

    def __init__(self, fate: list[str]) -> None:
        self.wire = BadWire(fate)
        self.cpus = [FakeCpu(), FakeCpu()]
        self.stacks = []
        self.devices = []
        for cpu, name, mac in zip(self.cpus, "ab", (LEFT_MAC, RIGHT_MAC), strict=True):
            stack = NetStack(cpu=cpu, random=FakeRandom(name))
            cpu.softirqs[NET_RX_SOFTIRQ] = stack.net_rx_action
            cpu.softirqs[NET_TX_SOFTIRQ] = stack.net_tx_action
            device = stack.attach("eth0", mac, WiredDriver)
            stack.dev_open("eth0")
            device.netif_carrier_on()
            cpu.run(0)
            stack.add_address("eth0", LEFT if name == "a" else RIGHT, 24)
            self.stacks.append(stack)
            self.devices.append(device)
        for here, there in ((0, 1), (1, 0)):
            driver = self.devices[here].driver
            assert isinstance(driver, WiredDriver)
            driver.wire = self.wire
            driver.other = self.devices[there]
            driver.clock = self.cpus[here].now

    def run(self, until: int) -> None:
        """Let both hosts work until the instant, or until nothing is left to happen."""
        while True:
            due = [bucket for cpu in self.cpus if (bucket := cpu.next_bucket_ns()) is not None]
            if self.wire.queue:
                due.append(self.wire.queue[0][0])
            if not due or min(due) > until:
                now = until
            else:
                now = max(min(due), self.cpus[0].time)
            for cpu in self.cpus:
                cpu.run(now - cpu.time)
            while self.wire.queue and self.wire.queue[0][0] <= now:
                _, _, device, frame = self.wire.queue.pop(0)
                device.driver.received.append(frame)
                device.driver.interrupt()
            for cpu in self.cpus:
                cpu.serve()
            if now == until:
                return


def pump(sock: Socket, out: bytearray, into: bytearray, chunk: int) -> bool:
    """A program that writes all of ``out`` and reads to the end; True when it has ended."""
    assert isinstance(sock, TcpSocket)
    if sock.closed:
        return True
    try:
        while out:
            del out[: sock.send(bytes(out[:chunk]))]
            if not out:
                sock.shutdown(1)
    except BlockingIOError:
        pass
    except OSError:
        out.clear()
    try:
        while data := sock.recv(chunk):
            into += data
    except BlockingIOError:
        return False
    except OSError:
        sock.close()
        return True
    if out:
        return False
    sock.close()
    return True


def exchange(
    fate: list[str], up: bytes, down: bytes, chunk: int
) -> tuple[World, bytes, bytes, bool]:
    """One connection from a to b; what b got, what a got, and whether both have ended."""
    world = World(fate)
    server = world.stacks[1].tcp_socket()
    server.bind(bytes(4), 80)
    server.listen(1)
    client = world.stacks[0].tcp_socket()
    ends: list[tuple[TcpSocket, bytearray, bytearray]] = []
    up_left, down_left, got_up, got_down = bytearray(up), bytearray(down), bytearray(), bytearray()
    connected = failed = False
    served: TcpSocket | None = None
    now = 0
    done = False
    while not done and now < 2000 * SECOND:
        now += 20 * MS if now < 20 * SECOND else SECOND
        world.run(now)
        if not connected and not failed:
            try:
                client.connect(RIGHT, 80)
                connected = True
                ends.append((client, up_left, got_down))
            except BlockingIOError:
                pass
            except OSError:
                failed = True
                client.close()
        if served is None:
            try:
                served = server.accept()
                ends.append((served, down_left, got_up))
            except BlockingIOError:
                pass
        over = [pump(sock, out, into, chunk) for sock, out, into in ends]
        # The server may have given up on the handshake before the client noticed.
        alone = served is None and client.closed and not world.stacks[1].tcp.ipv4.ehash
        done = all(over) and (failed or alone or len(over) == 2)
    server.close()
    client.close()
    if served is not None:
        served.close()
    world.run(now + 1000 * SECOND)
    return world, bytes(got_up), bytes(got_down), done


@st.composite
def fates(draw: st.DrawFn) -> list[str]:
    """What happens to each of some hundred frames; how bad the wire is differs, too."""
    chance = draw(st.randoms(use_true_random=False))
    good = draw(st.integers(2, 30))
    bad = draw(st.lists(st.sampled_from(["drop", "twice", "late"]), min_size=1, max_size=3))
    return [chance.choice(bad + ["pass"] * good) for _ in range(draw(st.integers(0, 400)))]


@settings(max_examples=60, deadline=None)
@given(
    fate=fates(),
    up=st.integers(1, 60_000),
    down=st.integers(1, 20_000),
    chunk=st.sampled_from([1, 100, 1460, 4096, 65536]),
)
def test_what_arrives_is_what_was_sent_and_connections_end(
    fate: list[str], up: int, down: int, chunk: int
) -> None:
    chunk = max(chunk, up // 200)
    sent_up = bytes(i * 7 % 251 for i in range(up))
    sent_down = bytes(i * 11 % 241 for i in range(down))
    world, got_up, got_down, done = exchange(fate, sent_up, sent_down, chunk)
    # Without keepalive an end that has nothing to send never learns that the other has
    # given up; that is what Linux does, and what closing it then is for.
    assert done or any(stack.snmp.tcp_ext["TCPAbortOnTimeout"] for stack in world.stacks)
    assert sent_up.startswith(got_up)
    assert sent_down.startswith(got_down)
    for stack, cpu in zip(world.stacks, world.cpus, strict=True):
        assert stack.sockets() == []
        assert [name for name in cpu.armed() if name.startswith("tcp")] == []
        assert stack.idle()


def test_on_a_good_wire_everything_arrives() -> None:
    data = bytes(i * 7 % 251 for i in range(300_000))
    _, got_up, got_down, done = exchange([], data, data[:1000], 65536)
    assert done
    assert (got_up, got_down) == (data, data[:1000])


@settings(max_examples=25, deadline=None)
@given(every=st.integers(7, 15), first=st.integers(6, 12))
def test_with_regular_losses_everything_arrives(every: int, first: int) -> None:
    fate = ["pass"] * 150
    fate[first::every] = ["drop"] * len(fate[first::every])
    sent = bytes(i * 7 % 251 for i in range(40_000))
    world, got_up, got_down, done = exchange(fate, sent, sent[:5000], 4096)
    assert done
    assert got_up == sent
    assert got_down == sent[:5000]
    assert sum(stack.snmp.tcp["RetransSegs"] for stack in world.stacks) > 0
