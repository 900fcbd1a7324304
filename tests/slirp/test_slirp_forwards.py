"""Forwarded ports and polls: who is looked at, and who is not."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from hostile import GUEST, Bed

from desim.devices import HostFwd
from desim.slirp.socket import UDP_QUEUED_MAX
from desim.wire.addresses import ip

LOOPBACK = ip("127.0.0.1")


def forwards(proto: Any, count: int) -> list[HostFwd]:
    return [
        HostFwd(
            proto=proto, host_addr=LOOPBACK, host_port=7000 + n, guest_addr=GUEST, guest_port=22
        )
        for n in range(count)
    ]


def calls_of_a_poll(bed: Bed) -> int:
    """How many functions a quiet poll calls."""
    count = 0

    def called(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        bed.poll(1)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_a_poll_costs_the_same_however_many_ports_are_forwarded(proto: str) -> None:
    few, many = (Bed(hostfwd=forwards(proto, count)) for count in (1, 200))
    assert calls_of_a_poll(many) == calls_of_a_poll(few)


def test_of_ports_with_news_the_newest_comes_first() -> None:
    bed = Bed(hostfwd=[*forwards("udp", 3), *forwards("tcp", 3)])
    bed.slirp.arp.arp_table_add(GUEST, b"\x52\x54\x00\x12\x34\x56")
    for n in (1, 2, 0):
        bed.host.udp_send("u", (LOOPBACK, 7000 + n), b"%d" % n)
        bed.host.host_connect(f"c{n}", (LOOPBACK, 9500 + n), (LOOPBACK, 7000 + n))
    before = len(bed.wire.sent)
    bed.poll(1)
    raws = [frame.raw for frame in bed.wire.sent[before:]]
    assert [raw[23] for raw in raws] == [6, 6, 6, 17, 17, 17]
    assert [int.from_bytes(raw[34:36], "big") for raw in raws[:3]] == [9502, 9501, 9500]
    assert [raw[-1:] for raw in raws[3:]] == [b"2", b"1", b"0"]


def test_a_forwarded_udp_port_with_many_frames_waiting_is_not_read() -> None:
    bed = Bed(hostfwd=forwards("udp", 2))
    for n in range(UDP_QUEUED_MAX + 3):  # nobody knows the guest's MAC: they wait in slirp
        bed.host.udp_send("u", (LOOPBACK, 7000), b"%d" % n)
        bed.poll(1)
    bed.host.udp_send("u", (LOOPBACK, 7001), b"other")
    bed.poll(2)
    first, second = bed.slirp.udp.udb
    assert first.so_queued == UDP_QUEUED_MAX + 1
    assert second.so_queued == 1
    assert not bed.host.sockets.ready()
    bed.slirp.arp.arp_table_add(GUEST, b"\x52\x54\x00\x12\x34\x56")
    before = len(bed.wire.sent)
    bed.poll(5)
    sent = {frame.raw[42:].rstrip(b"\0") for frame in bed.wire.sent[before:]}
    assert sent == {b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"other"}
    assert bed.slirp.udp.udb.keys() == {first, second}
