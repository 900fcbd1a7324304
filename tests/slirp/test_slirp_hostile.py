"""Whatever the guest sends: no exception, bounded memory, and the stack goes on working."""

from __future__ import annotations

import gc
import struct
import tracemalloc

import pytest
from hostile import (
    FRAMES,
    GUEST,
    GUEST_MAC,
    HOST,
    HOST_MAC,
    SECOND,
    Bed,
    arp_reply,
    ipv4,
    mended,
    tcp,
    versions,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from desim.slirp.version import Version
from desim.wire.addresses import ip
from desim.wire.checksum import checksum, pseudo_sum
from desim.wire.frame import Frame
from desim.wire.segment import build_segment


@versions
def test_frames_cut_at_every_byte(version: Version) -> None:
    bed = Bed(version)
    for raw in FRAMES[::3]:
        for size in range(min(len(raw), 120)):
            bed.slirp.slirp_input(Frame(raw[:size]))
        bed.poll()
    assert bed.works()


@versions
def test_one_byte_of_a_good_frame_is_anything(version: Version) -> None:
    bed = Bed(version)
    for raw in FRAMES[::5]:
        for at in range(min(len(raw), 90)):
            for value in (0, 1, 0x7F, 0xFF):
                bed.slirp.slirp_input(Frame(raw[:at] + bytes((value,)) + raw[at + 1 :]))
        bed.poll()
    assert bed.works()


@versions
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_bytes_behind_a_good_ethernet_header(version: Version, data: st.DataObject) -> None:
    bed = Bed(version)
    for _ in range(10):
        kind = data.draw(st.sampled_from([b"\x08\0", b"\x08\6", b"\x86\xdd", b"\x12\x34"]))
        bed.guest(HOST_MAC + GUEST_MAC + kind + data.draw(st.binary(max_size=200)))
    bed.clock.pass_by(2 * SECOND)
    bed.poll()
    assert bed.works()


@pytest.mark.slow
@versions
@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 63),
            st.integers(-3, 3),
            st.integers(-3, 3),
            st.binary(max_size=20),
            st.sampled_from([0, 1, 500, 65535]),
            st.sampled_from([0, 0, 0, 1, 5, 60000]),
            st.sampled_from([0, 0, 2, 600, 7000, 80000]),
        ),
        max_size=30,
    )
)
def test_segments_around_the_window_of_a_connection(
    version: Version, steps: list[tuple[int, int, int, bytes, int, int, int]]
) -> None:
    bed = Bed(version)
    bed.guest(arp_reply())
    bed.guest(tcp(flags=2))
    answer = bed.wire.sent[-1].segment
    assert answer is not None
    seq, ack = 1001, answer.seq + 1
    bed.guest(tcp(flags=0x10, seq=seq, ack=ack))
    if "s.1" in bed.host.conns:
        bed.host.host_send("s.1", b"z" * 3000, False)
    for flags, dseq, dack, payload, window, urgent, wait_ms in steps:
        bed.guest(
            tcp(
                payload,
                flags=flags,
                seq=(seq + dseq) & 0xFFFFFFFF,
                ack=(ack + dack) & 0xFFFFFFFF,
                window=window,
                urgent=urgent,
            )
        )
        seq += len(payload) if dseq == 0 else 0
        bed.clock.pass_by(wait_ms * 1_000_000)
        bed.poll()
    assert bed.works()


def test_options_of_length_zero_end_the_options() -> None:
    bed = Bed()
    segment = build_segment(
        HOST_MAC,
        GUEST_MAC,
        GUEST,
        HOST,
        3000,
        80,
        1,
        0,
        2,
        100,
        ident=1,
        ttl=64,
        tos=0,
        df=False,
        options=b"\x01\x09\x00\x02\x04\x01\x00\x02",
    )
    bed.guest(segment.raw)
    assert bed.works()


def test_a_flood_of_first_fragments_is_forgotten_after_their_time() -> None:
    bed = Bed()
    for ident in range(2000):
        bed.slirp.slirp_input(Frame(ipv4(17, bytes(64), ident=ident, offset=0x2000)))
    assert len(bed.slirp.ip.ipq) == 2000
    for _ in range(62):
        bed.clock.pass_by(500_000_000)
        bed.poll(1)
    assert not bed.slirp.ip.ipq
    assert bed.works()


@settings(max_examples=200, deadline=None)
@given(
    cuts=st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans()), min_size=1, max_size=25
    )
)
def test_overlapping_fragments_never_make_more_than_was_sent(
    cuts: list[tuple[int, int, bool]],
) -> None:
    bed = Bed()
    udp = struct.pack("!HHHH", 3000, 9000, 328, 0) + bytes(range(256)) + bytes(64)
    for start, size, more in cuts:
        part = udp[start * 8 : (start + size) * 8]
        bed.guest(ipv4(17, part, offset=start | (0x2000 if more else 0)))
    for event in bed.host.events:
        assert event["data"] == udp[8:]


def test_acknowledging_what_was_never_sent_changes_nothing() -> None:
    bed = Bed()
    bed.guest(arp_reply())
    bed.guest(tcp(flags=2))
    answer = bed.wire.sent[-1].segment
    assert answer is not None
    bed.guest(tcp(flags=0x10, seq=1001, ack=answer.seq + 1))
    replies = bed.guest(tcp(flags=0x10, seq=1001, ack=answer.seq + 5000))
    assert [frame.segment.ack for frame in replies if frame.segment] == [1001]
    so = next(so for so in bed.slirp.tcp_subr.tcb if so.lhost == (GUEST, 3000))
    assert so.so_tcpcb.snd_una == answer.seq + 1


def test_a_bad_checksum_is_dropped_and_counted() -> None:
    bed = Bed()
    raw = tcp(b"hello")
    assert bed.guest(raw[:-1] + b"!") == []
    assert bed.ledger.reasons == ["slirp: bad TCP length or checksum"]


def test_the_pseudo_header_is_checked_too() -> None:
    bed = Bed()
    payload = struct.pack("!HHHH", 3000, 9000, 12, 0) + b"data"
    total = checksum(payload, pseudo_sum(GUEST, ip("10.0.2.3"), 17, 12))
    bed.guest(ipv4(17, payload[:6] + total.to_bytes(2, "big") + payload[8:]))
    assert bed.host.events == []


LENGTHS = (0, 1, 7, 8, 19, 20, 21, 27, 28, 39, 40, 255, 256, 1499, 1501, 0x7FFF, 0xFFFF)
LENGTH_FIELDS = {b"\x08\0": (16, 38), b"\x86\xdd": (18, 58), b"\x08\6": (16, 18)}
"""Where frames say how long something is: the IP packet, the UDP datagram, ARP's addresses."""


@versions
def test_every_length_that_a_header_claims_may_be_a_lie(version: Version) -> None:
    bed = Bed(version)
    for raw in FRAMES:
        for at in LENGTH_FIELDS.get(raw[12:14], ()):
            for value in LENGTHS:
                lie = raw[:at] + value.to_bytes(2, "big") + raw[at + 2 :]
                bed.slirp.slirp_input(Frame(mended(lie)))
        for words in range(16):
            # The length of the IP header, and of the TCP header behind one of 20 bytes.
            bed.slirp.slirp_input(Frame(mended(raw[:14] + bytes((0x40 | words,)) + raw[15:])))
            if len(raw) > 47:
                bed.slirp.slirp_input(Frame(raw[:46] + bytes((words << 4,)) + raw[47:]))
        bed.poll()
    assert bed.works()


@versions
@settings(max_examples=100, deadline=None)
@given(options=st.binary(max_size=40), claimed=st.integers(5, 15))
def test_options_of_any_kind_and_length_in_ip_and_tcp(
    version: Version, options: bytes, claimed: int
) -> None:
    bed = Bed(version)
    options = options[: len(options) // 4 * 4]
    syn = tcp()[34:]
    first = 0x40 | claimed
    bed.slirp.slirp_input(Frame(mended(ipv4(6, options + syn, first=first))))
    segment = syn[:12] + bytes((claimed << 4,)) + syn[13:16] + b"\0\0" + syn[18:20] + options
    total = checksum(segment, pseudo_sum(GUEST, HOST, 6, len(segment)))
    bed.guest(ipv4(6, segment[:16] + total.to_bytes(2, "big") + segment[18:]))
    assert bed.works()


@versions
@settings(max_examples=100, deadline=None)
@given(options=st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=8))))
def test_dhcp_options_whose_lengths_lie(
    version: Version, options: list[tuple[int, int, bytes]]
) -> None:
    bed = Bed(version)
    body = b"\1\1\6\0" + bytes(24) + GUEST_MAC + bytes(202) + b"\x63\x82\x53\x63\x35\1\1"
    body += b"".join(bytes((kind, size)) + data for kind, size, data in options)
    bed.guest(ipv4(17, struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body))
    assert bed.works()


def stream(seq: int, size: int) -> bytes:
    """The guest's bytes from ``seq`` on: what lies where is the same however it is cut."""
    return bytes((n * 7 + (n >> 8)) & 255 for n in range(seq, seq + size))


@versions
@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.integers(-50, 400), st.integers(0, 300), st.booleans()), max_size=40
    )
)
def test_the_host_gets_the_guests_stream_and_nothing_else(
    version: Version, pieces: list[tuple[int, int, bool]]
) -> None:
    bed = Bed(version)
    bed.guest(arp_reply())
    bed.guest(tcp(flags=2))
    answer = bed.wire.sent[-1].segment
    assert answer is not None
    bed.guest(tcp(flags=0x10, seq=1001, ack=answer.seq + 1))
    sent = set()
    for start, size, fin in pieces:
        seq = 1001 + start
        sent.update(range(seq, seq + size))
        data = stream(seq, size)
        # Only the end of everything may claim to be the end.
        flags = 0x11 if fin and start + size == 700 else 0x10
        bed.guest(tcp(data, flags=flags, seq=seq, ack=answer.seq + 1))
    got = b"".join(event["data"] for event in bed.host.events if event["ev"] == "host_data")
    assert got == stream(1001, len(got))
    assert sent >= set(range(1001, 1001 + len(got)))
    # All that is in order has arrived.
    assert 1001 + len(got) not in sent
    assert bed.works()


@pytest.mark.slow
def test_a_half_open_connection_costs_little_and_gives_it_back() -> None:
    bed = Bed()
    bed.guest(arp_reply())
    tracemalloc.start()
    for number in range(2000):
        bed.slirp.slirp_input(Frame(tcp(sport=1024 + number)))
    bed.poll()
    gc.collect()
    open_bytes, _ = tracemalloc.get_traced_memory()
    bed.wire.sent.clear()
    for _ in range(160):
        bed.clock.pass_by(500_000_000)
        bed.poll(1)
        bed.wire.sent.clear()
        bed.ledger.losses.clear()
    bed.host.events.clear()
    gc.collect()
    left_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert open_bytes < 2000 * 12_000
    assert left_bytes < open_bytes // 4
