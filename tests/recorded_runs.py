"""Recorded runs of a Linux guest (tests/vectors/linux): their packets, reduced for comparison."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from desim.conform.linux.recording import Run, parse_run, read_runs
from desim.machine.capture import Captured
from desim.wire.arp import Arp
from desim.wire.ethernet import ETH_P_ARP, ETH_P_IP, Ethernet
from desim.wire.ipv4 import PROTO_TCP, Ipv4
from desim.wire.tcp import ACK, FIN, PSH, RST, SYN, Tcp

LINUX = Path(__file__).parent / "vectors" / "linux"
GUEST_MAC = "52:54:00:12:34:56"
FLAGS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK}


class Packet(NamedTuple):
    """What of a packet can be compared; numbers count from each side's SYN."""

    to_guest: bool
    length: int
    kind: str
    flags: int = 0
    seq: int = 0
    ack: int = 0
    window: int = 0
    payload: int = 0


class Stamped(NamedTuple):
    """A packet and its time in us."""

    t_us: int
    packet: Packet
    sport: int = 0
    dport: int = 0


@cache
def documents(name: str) -> dict[str, Any]:
    """The documents of a run, by the name of its folder."""
    archive = LINUX / f"{name.partition('_')[0]}.tar.xz"
    return next(found for place, found in read_runs(archive) if place.endswith(f":{name}"))


def recorded_run(name: str) -> Run:
    """A run, by the name of its folder."""
    return parse_run(documents(name))


def recorded_packets(name: str) -> list[Stamped]:
    """All packets of a run but IPv6 and the guest's start."""
    with tarfile.open(LINUX / "tcp.tar.xz") as archive:
        names = archive.getnames()
        table = f"{name}/packets.csv"
        member = archive.extractfile(table if table in names else f"{name}/packets.json")
        assert member is not None
        text = member.read().decode()
    if table in names:
        return [
            _of_table(row) for row in csv.DictReader(text.splitlines()) if row["kind"] != "ipv6"
        ]
    return [_of_list(entry) for entry in json.loads(text) if entry["eth.type"] != "0x86dd"]


def _of_table(row: dict[str, str]) -> Stamped:
    to_guest = row["dir"] == "h>g"
    if row["kind"] != "tcp":
        return Stamped(int(row["t_us"]), Packet(to_guest, int(row["len"]), row["kind"]))
    packet = Packet(
        to_guest,
        int(row["len"]),
        "tcp",
        sum(FLAGS[letter] for letter in row["flags"]),
        int(row["seq"]),
        int(row["ack"]),
        int(row["win"]),
        int(row["payload"]),
    )
    return Stamped(int(row["t_us"]), packet, int(row["sport"]), int(row["dport"]))


def _of_list(entry: dict[str, Any]) -> Stamped:
    to_guest = entry["eth.src"] != GUEST_MAC
    if entry["Protocol"] != "TCP":
        kind = {"DHCP": "udp"}.get(entry["Protocol"], entry["Protocol"].lower())
        return Stamped(entry["t_us"], Packet(to_guest, entry["frame.len"], kind))
    packet = Packet(
        to_guest,
        entry["frame.len"],
        "tcp",
        sum(FLAGS[letter] for letter in entry["tcp.flags.str"] if letter in FLAGS),
        entry["tcp.seq_raw"],
        entry["tcp.ack_raw"],
        entry["tcp.window_size_value"],
        entry["tcp.len"],
    )
    return Stamped(entry["t_us"], packet, entry["tcp.srcport"], entry["tcp.dstport"])


def simulated_packets(captured: Iterable[Captured]) -> list[Stamped]:
    """The same of captured packets."""
    return [
        _of_frame(t // 1000, to_guest, frame.raw)
        for t, to_guest, frame in captured
        if Ethernet.parse(frame.raw).ethertype in (ETH_P_ARP, ETH_P_IP)
    ]


def _of_frame(t_us: int, to_guest: bool, raw: bytes) -> Stamped:
    eth = Ethernet.parse(raw)
    if eth.ethertype == ETH_P_ARP:
        Arp.parse(eth.payload)
        return Stamped(t_us, Packet(to_guest, len(raw), "arp"))
    ip = Ipv4.parse(eth.payload)
    if ip.protocol != PROTO_TCP:
        return Stamped(t_us, Packet(to_guest, len(raw), {1: "icmp", 17: "udp"}[ip.protocol]))
    tcp = Tcp.parse(ip.payload, ip.src, ip.dst)
    assert tcp.sum_ok
    packet = Packet(
        to_guest, len(raw), "tcp", tcp.flags, tcp.seq, tcp.ack, tcp.window, len(tcp.payload)
    )
    return Stamped(t_us, packet, tcp.sport, tcp.dport)


def of_test(run: Run, number: int, packets: Iterable[Stamped]) -> list[Stamped]:
    """The packets from one test's beginning to the next one's, with relative numbers."""
    begins = [test.window_ns[0] // 1000 for test in run.tests]
    end = begins[number + 1] if number + 1 < len(begins) else None
    starts: dict[int, int] = {}
    return [
        _relative(stamped, starts)
        for stamped in packets
        if begins[number] <= stamped.t_us and (end is None or stamped.t_us < end)
    ]


def _relative(stamped: Stamped, starts: dict[int, int]) -> Stamped:
    packet = stamped.packet
    if packet.kind != "tcp":
        return stamped
    if packet.flags & SYN or stamped.sport not in starts:
        starts[stamped.sport] = packet.seq
    ack = 0
    if packet.flags & ACK:
        ack = (packet.ack - starts.get(stamped.dport, packet.ack)) & 0xFFFFFFFF
    seq = (packet.seq - starts[stamped.sport]) & 0xFFFFFFFF
    return stamped._replace(packet=packet._replace(seq=seq, ack=ack))
