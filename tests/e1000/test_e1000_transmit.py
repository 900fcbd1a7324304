"""Transmitting, in the terms of a driver. Checksums are compared with the wire's own."""

from __future__ import annotations

import struct

from card_fixture import BROADCAST, MAC, PEER, TX_RING, Bed, ethernet

from desim.e1000.registers import (
    BPTC,
    CTRL,
    CTRL_VME,
    ICR,
    MDIC,
    MPTC,
    TADV,
    TCTL,
    TDH,
    TDT,
    TOTL,
    TPT,
    TSCTC,
    TXDW,
    TXQE,
    VET,
)
from desim.wire.checksum import checksum, pseudo_sum

EOP = 1 << 24
RS = 1 << 27
DATA = 1 << 29 | 1 << 20
CONTEXT = 1 << 29
TSE = 1 << 26
TCP = 1 << 24
IP = 1 << 25
VLE = 1 << 30
IDE = 1 << 31
POPTS = 3 << 8


def context(
    bed: Bed,
    n: int,
    command: int,
    *,
    paylen: int = 0,
    hdr_len: int = 54,
    mss: int = 0,
    tucso: int = 50,
    tucse: int = 0,
) -> None:
    bed.memory.write(
        TX_RING + 16 * n,
        struct.pack(
            "<BBHBBHIBBH", 14, 24, 33, 34, tucso, tucse, CONTEXT | command | paylen, 0, hdr_len, mss
        ),
    )


def tcp_headers(flags: int = 0x19, seq: int = 1000, ident: int = 7) -> bytes:
    src, dst = bytes([10, 0, 2, 15]), bytes([10, 0, 2, 2])
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, ident, 0x4000, 64, 6, 0, src, dst)
    pseudo = pseudo_sum(src, dst, 6, 0) % 0xFFFF
    tcp = struct.pack("!HHIIBBHHH", 5555, 80, seq, 1, 0x50, flags, 65535, pseudo, 0)
    return PEER + MAC + b"\x08\x00" + ip + tcp


def test_descriptors_without_eop_are_one_frame() -> None:
    bed = Bed().transmit_ring()
    bed.put(0, b"a" * 20, 0)
    bed.put(1, b"b" * 30, 0)
    bed.put(2, b"c" * 10, EOP | RS)
    bed[TDT] = 3
    assert bed.sent() == [b"a" * 20 + b"b" * 30 + b"c" * 10]
    assert [bed.memory.read(TX_RING + 16 * n + 12, 1) for n in range(3)] == [b"\0", b"\0", b"\1"]
    assert (bed[ICR], bed[TDH]) == (TXDW | TXQE, 3)


def test_nothing_leaves_while_the_transmitter_is_off() -> None:
    bed = Bed().transmit_ring()
    bed[TCTL] = 0
    bed[ICR] = 0xFFFFFFFF
    bed.put(0, ethernet().raw, EOP)
    bed[TDT] = 1
    assert (bed.sent(), bed[TDH], bed[ICR]) == ([], 0, 0)
    bed[TCTL] = 2
    assert (len(bed.sent()), bed[TDH], bed[ICR]) == (1, 1, TXQE)


def test_checksums_are_inserted() -> None:
    bed = Bed().transmit_ring()
    headers = bytearray(tcp_headers())
    payload = b"Hello qemu Geust\n"
    struct.pack_into("!H", headers, 16, 40 + len(payload))
    (pseudo,) = struct.unpack_from("!H", headers, 50)
    struct.pack_into("!H", headers, 50, pseudo + 20 + len(payload))
    context(bed, 0, TCP | IP)
    bed.put(1, bytes(headers) + payload, DATA | EOP, POPTS)
    bed[TDT] = 2
    (frame,) = bed.sent()
    assert_sums_up(frame)
    assert frame[54:] == payload


def assert_sums_up(frame: bytes) -> None:
    """Header and segment checksums are right, so the sums over them come out as 0."""
    assert checksum(frame[14:34]) == 0
    assert checksum(frame[34:], pseudo_sum(frame[26:30], frame[30:34], 6, len(frame) - 34)) == 0


def test_segmentation_makes_each_segment_a_whole_packet() -> None:
    bed = Bed().transmit_ring()
    payload = bytes(range(250)) * 10
    context(bed, 0, TCP | IP | TSE, paylen=len(payload), mss=1000)
    bed.put(1, tcp_headers(), DATA | TSE, POPTS)
    bed.put(2, payload, DATA | TSE | EOP | RS)
    bed[TDT] = 3
    frames = bed.sent()
    assert [len(frame) for frame in frames] == [1054, 1054, 554]
    assert b"".join(frame[54:] for frame in frames) == payload
    for n, frame in enumerate(frames):
        assert_sums_up(frame)
        length, ident = struct.unpack_from("!HH", frame, 16)
        (seq,) = struct.unpack_from("!I", frame, 38)
        assert (length, ident, seq) == (len(frame) - 14, 7 + n, 1000 + 1000 * n)
    # FIN and PSH belong to the last one.
    assert [frame[47] for frame in frames] == [0x10, 0x10, 0x19]
    assert bed[TSCTC] == 1


def test_segmentation_that_ends_with_a_segment_sends_the_header_once_more() -> None:
    """QEMU's process_tx_desc: at EOP the buffer holds the copied header, and that is enough."""
    bed = Bed().transmit_ring()
    context(bed, 0, TCP | IP | TSE, paylen=2000, mss=1000)
    bed.put(1, tcp_headers() + bytes(2000), DATA | TSE | EOP, POPTS)
    bed[TDT] = 2
    assert [len(frame) for frame in bed.sent()] == [1054, 1054, 54]


def test_a_new_context_begins_to_count_segments_anew() -> None:
    bed = Bed().transmit_ring()
    context(bed, 0, TCP | IP | TSE, paylen=2000, mss=1000)
    bed.put(1, tcp_headers() + bytes(1000), DATA | TSE, POPTS)
    context(bed, 2, TCP | IP | TSE, paylen=2000, mss=1000)
    bed.put(3, bytes(900), DATA | TSE | EOP)
    bed[TDT] = 4
    first, second = bed.sent()
    assert second[18:20] == first[18:20] == (7).to_bytes(2, "big")
    assert second[38:42] == first[38:42] == (1000).to_bytes(4, "big")


def test_a_buffer_that_is_full_to_the_brim_counts_as_empty() -> None:
    """QEMU keeps the size of the 64 KiB in 16 bits (struct e1000_tx)."""
    bed = Bed().transmit_ring()
    bed.put(0, b"a" * 0xFFFF, 0)
    bed.put(1, b"b" * 10, 0)
    bed.put(2, b"c" * 20, EOP)
    bed[TDT] = 3
    assert bed.sent() == [b"c" * 20]


def test_a_carry_of_the_pseudo_sum_is_added_in() -> None:
    bed = Bed().transmit_ring()
    context(bed, 0, TCP | IP | TSE, paylen=100, mss=1000)
    headers = tcp_headers()[:50] + b"\xff\xf0" + bytes(2)
    bed.put(1, headers + bytes(100), DATA | TSE | EOP, POPTS)
    bed[TDT] = 2
    (sent,) = bed.sent()
    length = 20 + 100
    folded = (0xFFF0 + length - 0xFFFF).to_bytes(2, "big")
    assert sent[50:52] == checksum(sent[34:50] + folded + sent[52:]).to_bytes(2, "big")


def test_a_checksum_has_to_fit_into_the_frame() -> None:
    bed = Bed().transmit_ring()
    frame = ethernet(b"x" * 46).raw
    for n, offset in enumerate((58, 59)):
        context(bed, 2 * n, TCP, tucso=offset)
        bed.put(2 * n + 1, frame, DATA | EOP, 2 << 8)
    bed[TDT] = 4
    assert bed.sent() == [frame[:58] + checksum(frame[34:]).to_bytes(2, "big"), frame]


def test_a_checksum_ends_with_the_frame_if_its_end_lies_behind_that() -> None:
    """What an older, longer frame has left in the buffer is not in it."""
    bed = Bed().transmit_ring(16)
    bed.put(0, ethernet(b"y" * 50).raw, EOP)
    frame = ethernet(b"x" * 46).raw
    for n, end in enumerate((58, 59, 60, 99)):
        context(bed, 1 + 2 * n, TCP, tucse=end)
        bed.put(2 + 2 * n, frame, DATA | EOP, 2 << 8)
    bed[TDT] = 9
    sums = [sent[50:52] for sent in bed.sent()[1:]]
    whole = checksum(frame[34:]).to_bytes(2, "big")
    assert sums == [checksum(frame[34:59]).to_bytes(2, "big"), whole, whole, whole]


def test_a_checksum_offset_of_0_is_used_as_it_is() -> None:
    bed = Bed().transmit_ring()
    frame = ethernet(bytes(46)).raw
    for n, command in enumerate((TCP, 0)):
        context(bed, 2 * n, command, tucso=0)
        bed.put(2 * n + 1, frame, DATA | EOP, 2 << 8)
    bed[TDT] = 4
    assert [sent[2:] for sent in bed.sent()] == [frame[2:]] * 2
    assert [sent[:2] for sent in bed.sent()] == [checksum(frame[34:]).to_bytes(2, "big")] * 2
    assert bed[MPTC] == 2, "0xffff: the address has become a group's"


def test_segmentation_adds_the_length_at_a_checksum_offset_of_0_too() -> None:
    """The two bytes hold 0x5255, and behind the addition the checksum covers them."""
    bed = Bed().transmit_ring()
    context(bed, 0, TCP | IP | TSE, paylen=10, mss=1000, tucso=0)
    bed.put(1, tcp_headers() + bytes(10), DATA | TSE | EOP, 2 << 8)
    bed[TDT] = 2
    (sent,) = bed.sent()
    assert sent[:2] == checksum(sent[34:]).to_bytes(2, "big")
    assert sent[50:52] == tcp_headers()[50:52]


def test_a_tag_is_inserted() -> None:
    bed = Bed().transmit_ring()
    bed[CTRL] = CTRL_VME
    bed[VET] = 0x88A8
    bed.put(0, ethernet(bytes(46)).raw, EOP | VLE, 0x6064 << 16)
    bed[TDT] = 1
    (frame,) = bed.sent()
    assert frame == MAC + PEER + bytes.fromhex("88a8606488b5") + bytes(46)
    assert bed[TOTL] == 64


def test_kinds_of_addresses_are_counted() -> None:
    bed = Bed().transmit_ring()
    for n, dst in enumerate((BROADCAST, b"\x01" + bytes(5), MAC)):
        bed.put(n, ethernet(bytes(46), dst).raw, EOP)
    bed[TDT] = 3
    assert (bed[BPTC], bed[MPTC], bed[TPT]) == (1, 1, 3)


def test_loopback_comes_back_and_does_not_leave() -> None:
    bed = Bed().receive_ring().transmit_ring()
    bed.wire.receiver = bed.card.receive
    bed[MDIC] = 1 << 26 | 1 << 21 | 0x4000
    bed.put(0, ethernet(b"to myself").raw, EOP)
    bed[TDT] = 1
    assert bed.sent() == []
    assert bed.memory.read(bed.buffer(0) + 14, 9) == b"to myself"


def test_ide_lets_tadv_set_the_window() -> None:
    bed = Bed().transmit_ring(mask=TXDW)
    bed[TADV] = 1000
    bed.put(0, ethernet().raw, EOP | RS | IDE)
    bed[TDT] = 1
    assert bed.card.interrupts.mit_timer.deadline == bed.clock.now() + 1000 * 1024


def test_ide_of_a_context_counts_too() -> None:
    bed = Bed().transmit_ring(mask=TXDW)
    bed[TADV] = 1000
    context(bed, 0, IDE)
    bed.put(1, ethernet().raw, EOP | RS)
    bed[TDT] = 2
    assert bed.card.interrupts.mit_timer.deadline == bed.clock.now() + 1000 * 1024


def test_a_head_beyond_the_ring_takes_one_descriptor() -> None:
    bed = Bed().transmit_ring()
    for n in (0, 1, 100):
        bed.put(n, ethernet(bytes([n])).raw, EOP)
    bed[TDH] = 100
    bed[TDT] = 2
    assert bed.sent() == [ethernet(bytes([100])).raw]
    assert bed[TDH] == 0


def test_the_ring_goes_on_at_its_beginning_and_what_lies_behind_it_is_not_read() -> None:
    bed = Bed().transmit_ring()
    for n in (0, 7, 8):
        bed.put(n, ethernet(bytes([n])).raw, EOP | RS)
    bed[TDH], bed[TDT] = 7, 1
    assert bed.sent() == [ethernet(bytes([n])).raw for n in (7, 0)]
    assert [bed.memory.read(TX_RING + 16 * n + 12, 1) for n in (7, 8, 0)] == [b"\1", b"\0", b"\1"]
    assert bed[TDH] == 1


def test_a_tail_beyond_the_ring_ends_after_one_round() -> None:
    bed = Bed().transmit_ring()
    for n in range(8):
        bed.put(n, ethernet(bytes([n])).raw, EOP)
    bed[TDT] = 100
    assert len(bed.sent()) == 8
    assert bed[TDH] == 0
