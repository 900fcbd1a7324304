"""Receiving, in the terms of a driver; reasons of frames that are not delivered."""

from __future__ import annotations

import pytest
from card_fixture import BROADCAST, PEER, RX_RING, SECOND, Bed, ethernet

from desim.e1000 import reasons
from desim.e1000.registers import (
    CTRL,
    CTRL_VME,
    ICR,
    MPC,
    RCTL,
    RCTL_EN,
    RDH,
    RDT,
    ROC,
    RXDMT0,
    RXO,
    RXT0,
    VET,
    VFTA,
)
from desim.wire.frame import Frame

USUAL = 0x0400_8002
LPE = 0x20
SECRC = 1 << 26


def test_a_frame_is_padded_and_marked_done() -> None:
    bed = Bed().receive_ring()
    frame = ethernet(b"hello")
    assert bed.offer(frame) == 60
    assert bed.descriptor(0) == (bed.buffer(0), 60, 0, 0x07, 0, 0)
    assert bed.memory.read(bed.buffer(0), 61) == frame.raw.ljust(61, b"\0")
    assert (bed[RDH], bed[ICR]) == (1, RXT0)


def test_the_fcs_is_counted_but_not_written() -> None:
    bed = Bed().receive_ring(rctl=USUAL & ~SECRC)
    bed.memory.write(bed.buffer(0), b"\xcc" * 70)
    bed.offer(ethernet(bytes(46)))
    assert bed.descriptor(0)[1] == 64
    assert bed.memory.read(bed.buffer(0), 70)[60:] == b"\xcc" * 10


def test_the_fcs_alone_can_take_a_descriptor() -> None:
    bed = Bed().receive_ring(rctl=0x8002 | 3 << 16)  # 256 bytes
    bed.offer(ethernet(bytes(256 - 14)))
    assert [bed.descriptor(n)[1] for n in (0, 1)] == [256, 4]
    assert [bed.descriptor(n)[3] for n in (0, 1)] == [0x01, 0x07]


def test_a_long_frame_goes_over_descriptors() -> None:
    bed = Bed().receive_ring(rctl=USUAL | LPE)
    frame = ethernet(bytes(range(256)) * 16)
    assert bed.offer(frame) == 4110
    parts = [bed.memory.read(bed.buffer(n), bed.descriptor(n)[1]) for n in range(3)]
    assert b"".join(parts) == frame.raw
    assert [bed.descriptor(n)[3] & 2 for n in range(3)] == [0, 0, 2]


def test_a_null_buffer_is_skipped() -> None:
    bed = Bed().receive_ring()
    bed.memory.write(0x1_0000, bytes(16))
    bed.offer(ethernet())
    assert bed.descriptor(0)[3] == 0x01
    assert bed.descriptor(1)[3] == 0x07
    assert bed[RDH] == 2


def test_a_tag_is_taken_out() -> None:
    bed = Bed().receive_ring()
    bed[CTRL] = CTRL_VME
    bed.offer(ethernet(bytes.fromhex("60640800") + b"x" * 60, proto=0x8100))
    address, length, _, status, _, special = bed.descriptor(0)
    assert (length, status, special) == (74, 0x0F, 0x6064)
    assert bed.memory.read(address + 12, 4) == b"\x08\x00xx"


def test_few_free_descriptors_raise_rxdmt0() -> None:
    bed = Bed().receive_ring(16, rctl=USUAL | 1 << 8)  # a quarter: 4
    causes = []
    for _ in range(13):
        bed.offer(ethernet())
        causes.append(bed[ICR] & RXDMT0)
    assert causes == [0] * 10 + [RXDMT0] * 3


def test_rctl_makes_deaf_until_the_millisecond_plus_a_second() -> None:
    bed = Bed().receive_ring()
    bed.clock.advance_to(2 * SECOND + 999_999)
    flushes = bed.wire.flushes
    bed[RCTL] = USUAL
    bed.clock.advance_to(3 * SECOND)
    assert not bed.card.can_receive()
    assert bed.card.receive(ethernet()) == 0
    bed.clock.advance_to(3 * SECOND + 1)
    assert bed.card.can_receive()
    assert bed.wire.flushes == flushes + 1


def test_rdt_flushes_only_if_a_descriptor_is_free() -> None:
    bed = Bed().receive_ring()
    flushes = bed.wire.flushes
    bed[RDT] = bed[RDH]
    assert bed.wire.flushes == flushes
    bed[RDT] = bed[RDH] + 1
    assert bed.wire.flushes == flushes + 1


# Reasons


@pytest.mark.parametrize(
    ("raw", "rctl", "reason"),
    [
        (PEER + PEER, USUAL, "filtered: unicast address 52:55:00:00:00:01 not accepted"),
        (BROADCAST + PEER, USUAL & ~0x8000, "filtered: broadcast address ff:ff:ff:ff:ff:ff"),
        (b"\x01" + bytes(11), USUAL, "filtered: multicast address 01:00:00:00:00:00"),
        (b"\x52" * 12 + b"\x81\x00\x00\x07", USUAL | 1 << 18, "filtered: VLAN 7 is not in VFTA"),
        (bytes(1523), USUAL, "oversize: 1523 bytes"),
        (bytes(16385), USUAL | LPE, "oversize: 16385 bytes"),
    ],
)
def test_a_frame_that_is_not_taken_leaves_its_reason(raw: bytes, rctl: int, reason: str) -> None:
    bed = Bed().receive_ring(rctl=rctl)
    answer = bed.offer(Frame(raw))
    assert answer == max(len(raw), 60)
    assert len(bed.losses.reasons) == 1
    assert reason in bed.losses.reasons[0]
    assert bed[RDH] == 0
    assert bed[ROC] == (len(raw) > 1522)


def test_a_vlan_in_the_table_is_accepted() -> None:
    bed = Bed().receive_ring(rctl=USUAL | 1 << 18)
    bed[VFTA] = 1 << 7
    bed.offer(ethernet(b"\x00\x07", proto=0x8100))
    assert (bed.losses.reasons, bed[RDH]) == ([], 1)


def test_an_overrun_leaves_its_reason() -> None:
    bed = Bed().receive_ring()
    bed[RDT] = 0
    assert bed.offer(ethernet()) is None
    assert bed.card.receive(ethernet()) == -1
    assert bed.losses.reasons == ["e1000: no receive descriptors (RXO)"]
    assert (bed[ICR], bed[MPC]) == (RXO, 1)


def test_the_reason_is_noted_for_the_frame_as_it_came() -> None:
    bed = Bed().receive_ring()
    bed[CTRL] = CTRL_VME
    bed[RDT] = 0
    noted: list[Frame] = []
    bed.losses.lost = lambda frame, where, why: noted.append(frame)
    frame = ethernet(bytes(60), proto=0x8100)
    bed.card.receive(frame)
    assert noted == [frame]


def test_a_frame_that_takes_the_whole_ring_leaves_its_reason() -> None:
    bed = Bed().receive_ring(rctl=USUAL | LPE)
    bed[RDT] = 9
    assert bed.offer(Frame(ethernet().raw.ljust(16384, b"x"))) == -1
    assert bed.losses.reasons == ["e1000: it took every descriptor of the ring (RXO)"]


def test_only_16_bits_of_vet_count() -> None:
    bed = Bed().receive_ring()
    bed[CTRL] = CTRL_VME
    bed[VET] = 0xABCD_88A8
    tagged = ethernet(b"\x60\x64\x88\xb5" + bytes(50), proto=0x88A8)
    assert bed.offer(tagged) == 64
    assert bed.descriptor(0)[3:] == (0x0F, 0, 0x6064)


def test_a_buffer_size_that_the_manual_reserves_is_2048() -> None:
    """BSEX with BSIZE 0 (e1000x_rxbufsize)."""
    bed = Bed().receive_ring(rctl=USUAL | LPE | 1 << 25)
    assert bed.offer(Frame(ethernet().raw.ljust(3000, b"x"))) == 3000
    assert [bed.descriptor(n)[1] for n in range(3)] == [2048, 952, 0]


def test_a_head_beyond_the_ring_takes_one_descriptor_and_overruns() -> None:
    """QEMU's e1000_has_rxbufs multiplies a negative number of descriptors as an unsigned one."""
    bed = Bed().receive_ring(rctl=USUAL | LPE)
    bed[RDH] = 100
    bed[RDT] = 5
    bed.memory.write(RX_RING + 16 * 100, bed.buffer(100).to_bytes(16, "little"))
    assert bed.offer(Frame(ethernet().raw.ljust(3000, b"x"))) == -1
    assert bed.losses.reasons == ["e1000: it took every descriptor of the ring (RXO)"]
    assert (bed.descriptor(100)[1], bed[RDH], bed[MPC]) == (2048, 0, 1)


def test_a_frame_that_has_to_wait_leaves_its_reason() -> None:
    bed = Bed().receive_ring()
    bed[RCTL] = USUAL
    assert bed.card.receive(ethernet()) == 0
    assert bed.losses.holds == [
        "e1000: hold-off: no frame for 1 s after RCTL is written (until 2000000000 ns)"
    ]


def test_a_flush_into_a_receiver_that_is_off_leaves_its_reason() -> None:
    bed = Bed()
    assert bed.card.receive(ethernet()) == -1
    assert bed.losses.reasons == ["e1000: receiver off (RCTL.EN) when the queue was flushed"]


def test_blocked_by_names_each_condition() -> None:
    bed = Bed().receive_ring()
    assert bed.card.blocked_by() is None
    bed[RDT] = bed[RDH]
    assert str(bed.card.blocked_by()) == "ring empty (RDH = RDT = 0)"
    bed[RCTL] = RCTL_EN
    assert str(bed.card.blocked_by()).startswith("hold-off")
    bed.card.config_write(4, 0x3)
    assert str(bed.card.blocked_by()) == "not bus master (PCI command register)"
    bed[RCTL] = 0
    assert str(bed.card.blocked_by()) == "receiver off (RCTL.EN)"
    bed.card.set_link(False)
    assert str(bed.card.blocked_by()) == "link down (STATUS.LU)"


def test_blocked_by_names_memory_space_where_a_write_would_help() -> None:
    bed = Bed()
    bed.card.config_write(4, 0x5)
    assert bed.card.blocked_by() == reasons.NO_MEMORY_SPACE
    bed.card.config_write(4, 0x7)
    bed.receive_ring()
    bed.card.config_write(4, 0x5)
    assert bed.card.blocked_by() is None, "frames come in without it"
    for _ in range(7):
        bed.offer(ethernet())
    assert bed.card.blocked_by() == reasons.NO_MEMORY_SPACE
    bed.card.set_link(False)
    assert bed.card.blocked_by() == reasons.LINK_DOWN


def test_loopback_without_a_ready_receiver_leaves_its_reason() -> None:
    bed = Bed().transmit_ring()
    bed.card.mmio_write(0x20, 1 << 26 | 1 << 21 | 0x4000)
    bed.put(0, ethernet().raw, 1 << 24)
    bed.card.mmio_write(0x3818, 1)
    assert bed.sent() == []
    assert bed.losses.reasons == ["e1000: loopback while the receiver was not ready"]
