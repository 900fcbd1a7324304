"""Receiving: frames through the real card core into the stack."""

from __future__ import annotations

import pytest
from fakes_driver import MAC, MS, Guest
from hypothesis import given, settings
from hypothesis import strategies as st

from desim.guest.drivers.e1000 import regs as r
from desim.guest.skb import CHECKSUM_NONE
from desim.wire.frame import Frame


def frame(size: int = 60, fill: int = 0) -> Frame:
    return Frame((MAC + bytes.fromhex("525500000002" + "0800")).ljust(size, bytes((fill,))))


def burst(guest: Guest, frames: list[Frame]) -> None:
    """Let the card receive all of them before the driver sees the first."""
    guest.cpu.local_irq_disable()
    for one in frames:
        guest.net.inject(one)
    guest.cpu.local_irq_enable()


@pytest.fixture
def guest() -> Guest:
    return Guest().up()


def test_the_frame_that_went_in_comes_out(guest: Guest) -> None:
    sent = frame(1514, 7)
    guest.net.inject(sent)
    (skb,) = guest.device.received
    assert skb.frame is sent
    assert skb.head == sent.raw
    assert skb.protocol == 0x0800
    assert skb.ip_summed == CHECKSUM_NONE


def test_bytes_changed_in_memory_come_out_as_another_frame(guest: Guest) -> None:
    sent = frame(1514)
    guest.cpu.local_irq_disable()
    guest.net.inject(sent)
    guest.memory.write(guest.driver.rx_ring.buffers[0] + 20, b"!")
    guest.cpu.local_irq_enable()
    (skb,) = guest.device.received
    assert skb.frame is not sent
    assert skb.head == sent.raw[:20] + b"!" + sent.raw[21:]


@pytest.mark.parametrize(("size", "keeps_buffer"), [(252, True), (253, False)])
def test_copybreak_counts_the_fcs(guest: Guest, size: int, keeps_buffer: bool) -> None:
    """256 bytes with FCS are copied, 257 take the buffer with them."""
    guest.cpu.local_irq_disable()
    before = guest.driver.rx_ring.buffers[0]
    guest.net.inject(frame(size))
    guest.cpu.local_irq_enable()
    slot = guest.driver.rx_ring.buffers[0]
    assert (slot == before) is keeps_buffer
    assert len(guest.device.received[0].head) == size


def test_one_frame_is_one_tail_write(guest: Guest) -> None:
    guest.net.inject(frame())
    assert guest.bus.writes(r.RDT) == [255]
    guest.net.inject(frame())
    guest.cpu.run(MS)
    assert guest.bus.writes(r.RDT) == [255, 0]


def test_buffers_go_back_sixteen_at_a_time(guest: Guest) -> None:
    burst(guest, [frame()] * 40)
    assert guest.bus.writes(r.RDT) == [14, 30, 38]
    assert guest.device.polls[-1] == 40


def test_a_poll_stops_at_its_budget_and_stays_on_the_list(guest: Guest) -> None:
    burst(guest, [frame()] * 150)
    assert guest.device.polls[-3:] == [64, 64, 22]
    # One IMC at the start, one IMS at the end of all three.
    assert len(guest.bus.writes(r.IMC)) == 1
    assert len(guest.bus.writes(r.IMS)) == 1


def test_exactly_one_budget_needs_one_more_poll(guest: Guest) -> None:
    burst(guest, [frame()] * 64)
    assert guest.device.polls[-2:] == [64, 0]


def test_an_interrupt_whose_cause_is_gone_is_not_ours(guest: Guest) -> None:
    guest.cpu.local_irq_disable()
    guest.net.inject(frame())
    guest.bus.read(r.ICR)
    unhandled = guest.cpu.pin.unhandled
    guest.cpu.local_irq_enable()
    assert guest.cpu.pin.unhandled == unhandled + 1
    assert guest.device.received == []


def test_an_interrupt_while_polling_only_enables_again(guest: Guest) -> None:
    guest.device.scheduled = True
    guest.net.inject(frame())
    assert guest.bus.writes(r.IMC, r.IMS) == [0xFFFFFFFF, 0x9D]


def test_a_closed_driver_answers_and_does_nothing(guest: Guest) -> None:
    guest.driver.adapter.down = True
    guest.net.inject(frame())
    assert guest.cpu.pin.unhandled == 0
    assert guest.bus.writes(r.IMC) == []


def test_each_look_at_a_descriptor_is_a_touch_point(guest: Guest) -> None:
    guest.cpu.touched.clear()
    guest.net.inject(frame())
    # One for the transmit ring, one for the frame, one for the slot after it.
    assert guest.cpu.touched == ["desc_status"] * 3


def test_a_tagged_frame_comes_without_its_tag(guest: Guest) -> None:
    raw = frame(100).raw
    guest.net.inject(Frame(raw[:12] + bytes.fromhex("8100e007") + raw[12:]))
    (skb,) = guest.device.received
    assert skb.vlan_tci == 7
    assert skb.head == raw


def descriptor(guest: Guest, i: int, length: int, status: int, errors: int = 0) -> None:
    """Write back descriptor ``i`` as a card other than QEMU's might."""
    buffer = guest.driver.rx_ring.buffers[i]
    guest.memory.write(
        guest.driver.rx_ring.desc + 16 * i,
        r.RX_DESC.pack(buffer, length, 0, status, errors, 0),
    )


def test_a_frame_in_several_buffers_is_tossed_whole(guest: Guest) -> None:
    descriptor(guest, 0, 2048, r.RXD_STAT_DD)
    descriptor(guest, 1, 500, r.RXD_STAT_DD | r.RXD_STAT_EOP)
    descriptor(guest, 2, 64, r.RXD_STAT_DD | r.RXD_STAT_EOP | r.RXD_STAT_IXSM)
    assert guest.driver.rx_ring.clean_rx_irq(64) == 3
    assert len(guest.device.received) == 1
    assert guest.device.stats.rx_packets == 1


def test_a_frame_with_errors_is_tossed(guest: Guest) -> None:
    descriptor(guest, 0, 64, r.RXD_STAT_DD | r.RXD_STAT_EOP, r.RXD_ERR_CE)
    assert guest.driver.rx_ring.clean_rx_irq(64) == 1
    assert guest.device.received == []


def test_a_card_that_sums_is_believed(guest: Guest) -> None:
    done = r.RXD_STAT_DD | r.RXD_STAT_EOP | r.RXD_STAT_TCPCS
    descriptor(guest, 0, 64, done)
    descriptor(guest, 1, 64, done, r.RXD_ERR_TCPE)
    guest.driver.rx_ring.clean_rx_irq(64)
    assert [skb.ip_summed for skb in guest.device.received] == [1, 0]
    adapter = guest.driver.adapter
    assert (adapter.hw_csum_good, adapter.hw_csum_err) == (1, 1)


def test_a_descriptor_that_comes_back_with_another_address_is_a_model_error(guest: Guest) -> None:
    guest.memory.write(
        guest.driver.rx_ring.desc, r.RX_DESC.pack(0x999000, 64, 0, r.RXD_STAT_DD, 0, 0)
    )
    with pytest.raises(AssertionError):
        guest.driver.rx_ring.clean_rx_irq(64)


@pytest.mark.slow
@given(
    st.lists(st.lists(st.integers(14, 1514), min_size=1, max_size=90), min_size=1, max_size=8),
    st.sampled_from([48, 96, 256]),
)
@settings(max_examples=25, deadline=None)
def test_every_frame_arrives_once_in_order_with_its_bytes(
    bursts: list[list[int]], ring: int
) -> None:
    guest = Guest(f"RxDescriptors={ring}").up()
    sent = []
    for sizes in bursts:
        frames = [frame(size, size & 0xFF) for size in sizes][: ring - 1]
        burst(guest, frames)
        sent += frames
        guest.cpu.run(MS)
    assert [skb.head for skb in guest.device.received] == [f.padded().raw for f in sent]
    assert guest.device.stats.rx_packets == len(sent)
    assert guest.device.stats.rx_bytes == sum(len(f.padded()) for f in sent)
    # One slot is never filled, and the card never uses the one that RDT names.
    assert guest.driver.rx_ring.unused == 0
    assert guest.bus.read(r.RDT) == (guest.bus.read(r.RDH) - 2) % ring
