"""Sending: skbs through descriptors and the real card core onto the wire."""

from __future__ import annotations

import struct

import pytest
from fakes_driver import MAC, MS, SECOND, Guest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from desim.guest.drivers.e1000 import regs as r
from desim.guest.drivers.netdevice import NETDEV_TX_BUSY, NETDEV_TX_OK
from desim.guest.skb import CHECKSUM_PARTIAL, Skb
from desim.wire.checksum import checksum, pseudo_sum
from desim.wire.frame import Frame

SRC, DST = bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2))
ETHERNET = bytes.fromhex("525500000002") + MAC + bytes.fromhex("0800")


def tcp_headers(payload_len: int, *, flags: int = 0x18, seq: int = 1000, ident: int = 7) -> bytes:
    """Ethernet, IPv4 with its checksum, TCP with the folded pseudo-header sum."""
    ip = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 40 + payload_len, ident, 0x4000, 64, 6, 0))
    ip += SRC + DST
    ip[10:12] = checksum(ip).to_bytes(2, "big")
    tcp = bytearray(struct.pack("!HHIIBBHHH", 5556, 40000, seq, 99, 0x50, flags, 64240, 0, 0))
    pseudo = pseudo_sum(SRC, DST, 6, 20 + payload_len) % 0xFFFF
    tcp[16:18] = pseudo.to_bytes(2, "big")
    return ETHERNET + bytes(ip) + bytes(tcp)


def tcp_skb(payload: list[bytes], *, mss: int = 0, flags: int = 0x18) -> Skb:
    size = sum(map(len, payload))
    skb = Skb(tcp_headers(size, flags=flags))
    skb.frags = list(payload)
    skb.protocol = 0x0800
    skb.ip_summed = CHECKSUM_PARTIAL
    skb.csum_start, skb.csum_offset = 34, 16
    if mss:
        skb.gso_size = mss
        skb.gso_segs = -(-size // mss)
    return skb


def finished(headers: bytes, payload: bytes) -> bytes:
    """The frame with its TCP checksum filled in: what arrives."""
    segment = bytearray(headers[34:] + payload)
    segment[16:18] = b"\0\0"
    value = checksum(segment, pseudo_sum(SRC, DST, 6, len(segment))) or 0xFFFF
    segment[16:18] = value.to_bytes(2, "big")
    return headers[:34] + bytes(segment)


def segments(payload: bytes, mss: int, flags: int) -> list[bytes]:
    """Segmentation in software: the simplest thing that does what TSO does.

    QEMU's card ends a payload that is a multiple of the MSS with a segment of no bytes.
    """
    out = []
    for at in range(0, len(payload) + 1, mss):
        piece = payload[at : at + mss]
        last = at + mss >= len(payload)
        headers = tcp_headers(
            len(piece), flags=flags if last else flags & ~0x09, seq=1000 + at, ident=7 + at // mss
        )
        out.append(finished(headers, piece))
    return out


def descriptors(guest: Guest, first: int, count: int) -> list[tuple[int, int, int]]:
    ring = guest.driver.tx_ring
    return [
        r.TX_DESC.unpack(guest.memory.read(ring.desc + 16 * ((first + i) % ring.count), 16))
        for i in range(count)
    ]


@pytest.fixture
def guest() -> Guest:
    return Guest().up()


@pytest.fixture
def masked() -> Guest:
    """With interrupts off: descriptors stay as the card has left them."""
    guest = Guest().up()
    guest.cpu.local_irq_disable()
    return guest


def test_a_plain_packet_is_one_legacy_descriptor(masked: Guest) -> None:
    raw = (ETHERNET + b"x" * 100)[:100]
    assert masked.send(Skb(raw)) == NETDEV_TX_OK
    assert [frame.raw for frame in masked.net.out] == [raw]
    ((address, lower, upper),) = descriptors(masked, 0, 1)
    assert masked.memory.read(address, 100) == raw
    assert lower == 0x8B000000 | 100  # IDE, RS, IFCS, EOP
    assert upper == r.TXD_STAT_DD
    assert masked.bus.writes(r.TDT) == [1]


def test_without_a_transmit_delay_there_is_no_ide() -> None:
    guest = Guest("TxIntDelay=0").up()
    guest.cpu.local_irq_disable()
    guest.send(Skb(bytes(60)))
    assert descriptors(guest, 0, 1)[0][1] == 0x0B000000 | 60


def test_short_packets_are_padded(guest: Guest) -> None:
    skb = Skb(ETHERNET)
    skb.frags = [b"abc"]
    guest.send(skb)
    assert guest.net.out[0].raw == (ETHERNET + b"abc").ljust(60, b"\0")
    assert guest.device.sent == [1, 60]


def test_a_checksum_takes_a_context_each_time(masked: Guest) -> None:
    for _ in range(2):
        masked.send(tcp_skb([b"Hello qemu Geust\n"]))
    expected = finished(tcp_headers(17), b"Hello qemu Geust\n")
    assert [frame.raw for frame in masked.net.out] == [expected] * 2
    context, head, payload = descriptors(masked, 0, 3)
    assert r.TX_CONTEXT.unpack(r.TX_DESC.pack(*context))[:7] == (0, 0, 0, 34, 50, 0, 0x21000000)
    assert head[1] == 0x22100000 | 54  # DEXT, IFCS, data
    assert payload[1] == 0xAB100000 | 17
    assert head[2] == r.TXD_POPTS_TXSM << 8
    assert payload[2] == r.TXD_POPTS_TXSM << 8 | r.TXD_STAT_DD
    assert descriptors(masked, 3, 1) == [context]


def test_a_udp_checksum_has_no_tcp_bit(masked: Guest) -> None:
    skb = tcp_skb([])
    skb.head = skb.head[:23] + b"\x11" + skb.head[24:]
    skb.csum_offset = 6
    masked.send(skb)
    assert descriptors(masked, 0, 1)[0][1] == r.TXD_CMD_DEXT


def test_tso_gives_up_four_bytes_and_so_does_the_next_linear_packet(masked: Guest) -> None:
    masked.send(tcp_skb([bytes(5000), bytes(3000)], mss=1460))
    masked.send(Skb(bytes(100)))
    masked.send(Skb(bytes(100)))
    lengths = [lower & 0xFFFF for _, lower, _ in descriptors(masked, 1, 8)]
    assert lengths == [54, 4096, 904, 2996, 4, 96, 4, 100]
    context = r.TX_CONTEXT.unpack(r.TX_DESC.pack(*descriptors(masked, 0, 1)[0]))
    assert context == (14, 24, 33, 34, 50, 0, 0x27000000 | 8000, 0, 54, 1460)


def test_the_last_piece_of_a_linear_tso_packet_is_split_too(masked: Guest) -> None:
    skb = tcp_skb([bytes(3000)], mss=1460)
    skb.head, skb.frags = skb.head + skb.frags[0], []
    masked.send(skb)
    assert [lower & 0xFFFF for _, lower, _ in descriptors(masked, 1, 2)] == [3050, 4]
    assert [len(frame) for frame in masked.net.out] == [1514, 1514, 134]


def test_the_skb_itself_is_not_changed_by_tso(guest: Guest) -> None:
    skb = tcp_skb([bytes(4000)], mss=1460)
    before = skb.head
    guest.send(skb)
    assert skb.head == before


@pytest.mark.slow
@example(sizes=[1, 399], mss=200, flags=0x19)
@given(
    sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=7),
    mss=st.integers(200, 1460),
    flags=st.sampled_from([0x10, 0x18, 0x11, 0x19]),
)
@settings(max_examples=40, deadline=None)
def test_tso_equals_segmentation_in_software(sizes: list[int], mss: int, flags: int) -> None:
    payload = [bytes((i * 7 + n) & 0xFF for n in range(size)) for i, size in enumerate(sizes)]
    data = b"".join(payload)
    if len(data) <= mss:
        return
    guest = Guest().up()
    guest.send(tcp_skb(payload, mss=mss, flags=flags))
    assert [frame.raw for frame in guest.net.out] == segments(data, mss, flags)


def test_tso_of_ipv6_is_refused(guest: Guest) -> None:
    skb = tcp_skb([bytes(4000)], mss=1460)
    skb.protocol = 0x86DD
    with pytest.raises(ValueError, match="IPv4 only"):
        guest.send(skb)


def test_a_tag_travels_in_the_descriptor(guest: Guest) -> None:
    skb = Skb((ETHERNET + b"v" * 80)[:90])
    skb.vlan_tci = 0xE007
    guest.send(skb)
    raw = skb.head
    assert guest.net.out[0].raw == raw[:12] + bytes.fromhex("8100e007") + raw[12:]


def test_announced_packets_share_one_tail_write(guest: Guest) -> None:
    guest.send(Skb(bytes(60)), more=True)
    guest.send(Skb(bytes(60)), more=True)
    assert guest.net.out == []
    guest.send(Skb(bytes(60)))
    assert guest.bus.writes(r.TDT) == [3]
    assert len(guest.net.out) == 3


def test_a_queue_that_bql_has_stopped_is_written_out_at_once(guest: Guest) -> None:
    guest.device.bql_stopped = True
    guest.send(Skb(bytes(60)), more=True)
    assert guest.bus.writes(r.TDT) == [1]


def test_the_ring_stops_the_queue_early_and_wakes_it_late() -> None:
    guest = Guest("TxDescriptors=64").up()
    guest.cpu.local_irq_disable()
    sent = 0
    while not guest.device.stopped:
        assert guest.send(Skb(bytes(60))) == NETDEV_TX_OK
        sent += 1
    assert sent == 63 - 23  # fewer than 24 are free
    guest.cpu.local_irq_enable()
    assert not guest.device.stopped
    assert guest.driver.adapter.restart_queue == 1
    assert guest.device.completed == guest.device.sent == [sent, sent * 60]


@pytest.mark.parametrize(("waiting", "woken"), [(31, True), (32, False)])
def test_the_queue_wakes_when_thirty_two_descriptors_are_free(waiting: int, woken: bool) -> None:
    """TX_WAKE_THRESHOLD, neither one sooner nor one later."""
    guest = Guest("TxDescriptors=64").up()
    guest.cpu.local_irq_disable()
    for _ in range(4):
        guest.send(Skb(bytes(60)))
    for _ in range(waiting):
        guest.send(Skb(bytes(60)), more=True)  # the card does not know of these yet
    guest.device.netif_stop_queue()
    guest.driver.tx_ring.clean_tx_irq()
    assert guest.driver.tx_ring.unused == 63 - waiting
    assert guest.device.stopped is not woken


def test_a_whole_ring_is_never_under_way(masked: Guest) -> None:
    """One descriptor is always kept back: a clean-up cannot find a whole ring in one go."""
    ring = masked.driver.tx_ring
    while masked.send(Skb(bytes(60))) == NETDEV_TX_OK:
        pass
    assert ring.unused > 0
    assert ring.clean_tx_irq()


def test_a_clean_up_that_did_not_end_keeps_the_poll_on_the_list(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """e1000_clean returns its budget although little was received."""
    monkeypatch.setattr(type(guest.driver.tx_ring), "clean_tx_irq", lambda ring: False)
    assert guest.driver.poll(64) == 64
    monkeypatch.undo()
    assert guest.driver.poll(64) == 0


def test_a_packet_without_room_is_busy() -> None:
    guest = Guest("TxDescriptors=48").up()
    guest.cpu.local_irq_disable()
    for _ in range(44):  # each asks for two, and two to spare
        assert guest.send(Skb(bytes(60))) == NETDEV_TX_OK
    assert guest.driver.tx_ring.unused == 3
    tail = guest.bus.writes(r.TDT)[-1]
    assert guest.send(Skb(bytes(60))) == NETDEV_TX_BUSY
    assert guest.device.stopped
    assert guest.bus.writes(r.TDT)[-1] == tail


def test_without_memory_a_packet_is_dropped(guest: Guest) -> None:
    while guest.memory.alloc(65536):
        pass
    guest.memory._free.clear()
    skb = tcp_skb([bytes(9000)])
    assert guest.send(skb) == NETDEV_TX_OK
    assert guest.net.out == []
    assert guest.driver.tx_ring.unused == 255
    assert "TX DMA map failed" in guest.log[-1]


def test_sent_bytes_count_the_headers_of_every_segment(guest: Guest) -> None:
    guest.send(tcp_skb([bytes(4000)], mss=1460))
    guest.cpu.run(MS)
    assert guest.device.stats.tx_packets == 3
    assert guest.device.stats.tx_bytes == sum(len(frame) for frame in guest.net.out)
    assert guest.device.sent == guest.device.completed == [1, 4054]


def test_everything_is_given_back_after_the_clean_up(guest: Guest) -> None:
    before = guest.memory.allocated
    for _ in range(5):
        guest.send(tcp_skb([bytes(4000), bytes(100)], mss=1460))
        guest.cpu.run(MS)
    assert guest.memory.allocated == before
    assert guest.driver.tx_ring.unused == 255


def test_the_answer_comes_inside_the_tail_write(guest: Guest) -> None:
    """slirp answers at once: the reply is in the ring before the request is written back."""
    guest.net.answer = lambda frame: Frame(MAC + frame.raw[6:])
    guest.send(Skb(ETHERNET.ljust(98, b"e")))
    assert len(guest.device.received) == 1
    assert guest.device.polls[-1] == 1


def test_a_hung_transmitter_is_reported_and_stopped(guest: Guest) -> None:
    guest.bus.write(r.TCTL, 0)
    guest.send(Skb(bytes(60)))
    guest.cpu.run(4 * SECOND)
    assert any("Detected Tx Unit Hang" in line for line in guest.log)
    assert guest.device.stopped


def test_a_descriptor_that_the_card_has_changed_is_a_model_error(masked: Guest) -> None:
    masked.send(Skb(bytes(60)))
    masked.memory.write(masked.driver.tx_ring.desc, bytes(8))
    with pytest.raises(AssertionError):
        masked.driver.tx_ring.clean_tx_irq()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20000)), min_size=1, max_size=60))
@settings(max_examples=25, deadline=None)
def test_every_packet_leaves_once_in_order_with_its_bytes(packets: list[tuple[int, int]]) -> None:
    guest = Guest("TxDescriptors=80").up()
    expected: list[bytes] = []
    for frags, size in packets:
        guest.cpu.run(MS)
        size = min(size, 1460)
        payload = bytes(size & 0xFF for _ in range(size))
        cut = size // (frags + 1) or size
        pieces = [payload[i : i + cut] for i in range(0, size, cut)]
        if frags == 3:
            raw = (ETHERNET + payload).ljust(60, b"\0")
            guest.send(Skb(raw), more=size % 2 == 0)
            expected.append(raw)
        else:
            guest.send(tcp_skb(pieces), more=size % 2 == 0)
            expected.append(finished(tcp_headers(size), payload).ljust(60, b"\0"))
    guest.send(Skb(bytes(60)))
    guest.cpu.run(MS)
    assert [frame.raw for frame in guest.net.out] == [*expected, bytes(60)]
    assert guest.driver.tx_ring.unused == 79
