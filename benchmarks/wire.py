"""How fast frames are built, read and summed: ratios to the plain way, from one run.

    python -m benchmarks wire

The contestants of a group take turns, and each keeps its best turn: so what else
the machine does disturbs them alike. Absolute times are those of this machine.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

from desim.wire import pcapng
from desim.wire.addresses import ip, mac
from desim.wire.checksum import ones_sum
from desim.wire.ethernet import ETH_P_IP, Ethernet
from desim.wire.frame import Frame
from desim.wire.ipv4 import PROTO_TCP, Ipv4
from desim.wire.segment import build_segment
from desim.wire.tcp import ACK, Tcp

ROUNDS = 7
TURN_S = 0.02

PAYLOAD = bytes(range(256)) * 5 + bytes(range(180))
GUEST_MAC, HOST_MAC = mac("52:54:00:12:34:56"), mac("52:55:0a:00:02:02")
HOST, GUEST = ip("10.0.2.2"), ip("10.0.2.15")
ENDS = (GUEST_MAC, HOST_MAC, HOST, GUEST, 40000, 5556)

Contestants = dict[str, Callable[[], object]]


def plain_loop() -> int:
    """RFC 1071 section 4.1."""
    total = 0
    for at in range(0, len(PAYLOAD), 2):
        total += PAYLOAD[at] << 8 | PAYLOAD[at + 1]
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def build_by_layers() -> bytes:
    """Each header by its own codec."""
    segment = Tcp(40000, 5556, 1, 2, ACK, 65535, payload=PAYLOAD).emit(HOST, GUEST)
    packet = Ipv4(HOST, GUEST, PROTO_TCP, segment, ident=1)
    return Ethernet(GUEST_MAC, HOST_MAC, ETH_P_IP, packet.emit()).emit()


def build_at_once() -> Frame:
    """The fast path."""
    return build_segment(*ENDS, 1, 2, ACK, 65535, PAYLOAD, ident=1, ttl=64, tos=0, df=False)


FRAME = build_at_once()
RAW = FRAME.raw


def read_by_layers() -> bool:
    """Each header by its own codec, checksums verified."""
    packet = Ipv4.parse(Ethernet.parse(RAW).payload)
    return packet.sum_ok and Tcp.parse(packet.payload, packet.src, packet.dst).sum_ok


def read_at_once() -> bool:
    """The fast path on bytes that came from outside."""
    segment = Frame(RAW).segment
    return segment is not None and segment.sums_ok


def read_carried() -> bool:
    """The fast path on a frame that was built in the program."""
    segment = FRAME.segment
    return segment is not None and segment.sums_ok


def capture() -> int:
    """A hundred frames to a file in memory."""
    writer = pcapng.PcapngWriter()
    nic = writer.interface("nic")
    for stamp in range(100):
        writer.packet(nic, stamp, RAW)
    return len(writer.to_bytes())


def scapy_contestants() -> tuple[Contestants, Contestants]:
    """Building and reading by scapy, where it is installed."""
    try:
        from scapy.layers.inet import IP, TCP
        from scapy.layers.l2 import Ether
        from scapy.packet import Raw
    except ImportError:
        return {}, {}

    def build() -> bytes:
        packet = Ether(dst="52:54:00:12:34:56", src="52:55:0a:00:02:02")
        packet /= IP(src="10.0.2.2", dst="10.0.2.15", id=1)
        packet /= TCP(sport=40000, dport=5556, seq=1, ack=2, flags="A", window=65535)
        return bytes(packet / Raw(PAYLOAD))

    def read() -> int:
        return int(Ether(RAW)[TCP].seq)

    assert build() == RAW
    return {"scapy": build}, {"scapy, sums not verified": read}


def compare(title: str, contestants: Contestants) -> None:
    """Print the best time of each, and its ratio to the first."""
    timers = {name: timeit.Timer(run) for name, run in contestants.items()}
    once = {name: timer.timeit(1) for name, timer in timers.items()}
    loops = {name: max(1, int(TURN_S / max(once[name], 1e-7))) for name in timers}
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            best[name] = min(best[name], timer.timeit(loops[name]) / loops[name])
    print(title)
    first = next(iter(best.values()))
    for name, seconds in best.items():
        print(f"  {name:34} {seconds * 1e6:10.2f} us {first / seconds:10.2f} x")


def main(argv: list[str]) -> None:
    """Run every group."""
    assert build_by_layers() == RAW
    assert plain_loop() == ones_sum(PAYLOAD)
    build_scapy, read_scapy = scapy_contestants()
    compare("sum of 1460 bytes", {"plain loop": plain_loop, "ones_sum": lambda: ones_sum(PAYLOAD)})
    compare(
        "build a frame of 1514 bytes",
        {"layer by layer": build_by_layers, "build_segment": build_at_once, **build_scapy},
    )
    compare(
        "read and verify a frame of 1514 bytes",
        {
            "layer by layer": read_by_layers,
            "Frame.segment from bytes": read_at_once,
            "Frame.segment carried": read_carried,
            **read_scapy,
        },
    )
    compare("capture 100 frames of 1514 bytes", {"PcapngWriter": capture})
