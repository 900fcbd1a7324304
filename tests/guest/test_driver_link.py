"""Open, close and the watchdog: registers, carrier, time."""

from __future__ import annotations

import pytest
from fakes_driver import MS, SECOND, Guest
from test_driver_probe import visible

from desim.guest.cpu.context import JIFFY_NS
from desim.guest.drivers.e1000 import regs as r
from desim.guest.skb import Skb

RECORDED_REGS = [
    1209270848, 2148009859, 32770, 4096, None, None, 0, 17035514, 4096, None, None, 0, 0, 44032,
    0, 0, 0, 2912, 44032, 0, 2912, 0, 0, 44032, 15360, 15360, 2237184, 0, 0, 0, 0, 0,
]  # fmt: skip
"""``ethtool -d`` of the recorded guest (seed_direct_tcg_busybox_N, Linux 6.1 on QEMU 7.2),
without the ring positions, which depend on the traffic."""


def test_an_open_interface_has_the_recorded_registers() -> None:
    words = Guest().up().driver.ethtool_ops().get_regs()
    assert [
        w for w, recorded in zip(words, RECORDED_REGS, strict=True) if recorded is not None
    ] == [recorded for recorded in RECORDED_REGS if recorded is not None]


def test_open_makes_the_writes_of_the_original_in_order() -> None:
    guest = Guest().probe()
    guest.cpu.run(SECOND)
    guest.bus.log.clear()
    guest.driver.open()
    writes = [(o, v) for k, o, v in visible(guest.bus.log) if k == "w" and o != r.MDIC]
    tx_desc, rx_desc = guest.driver.tx_ring.desc, guest.driver.rx_ring.desc
    assert writes[0] == (r.RCTL, 0)
    assert writes[1:29] == [(r.RA + 4 * i, 0) for i in range(2, 30)]
    assert writes[29:157] == [(r.MTA + 4 * i, 0) for i in reversed(range(128))]
    assert writes[157:180] == [
        (r.TDLEN, 4096), (r.TDBAH, 0), (r.TDBAL, tx_desc), (r.TDT, 0), (r.TDH, 0),
        (r.TIPG, 0x602008), (r.TIDV, 8), (r.TADV, 32),
        # The collision distance is written, and lost again: TCTL was read before.
        (r.TCTL, 0x3F008), (r.TCTL, 0x010000F8),
        (r.RCTL, 0x8000), (r.RCTL, 0x8000), (r.RDTR, 0), (r.RADV, 8), (r.ITR, 195),
        (r.RDLEN, 4096), (r.RDBAH, 0), (r.RDBAL, rx_desc), (r.RDT, 0), (r.RDH, 0),
        (r.RXCSUM, 0x200), (r.RCTL, 0x8002), (r.RDT, 254),
    ]  # fmt: skip
    # IMS lets out the LSC of autonegotiation at once. Its poll finds no gigabit link yet
    # and chooses the slow class. ICS then makes the driver's own LSC.
    assert writes[180:] == [
        (r.IMS, 0x9D), (r.IMC, 0xFFFFFFFF), (r.ITR, 976), (r.IMS, 0x9D), (r.ICS, 4),
    ]  # fmt: skip


def test_opened_late_the_link_is_there_one_jiffy_later() -> None:
    guest = Guest().probe()
    guest.cpu.run(SECOND)
    opened = guest.cpu.jiffies
    guest.open()
    guest.cpu.run(SECOND)
    assert guest.device.carrier_since // JIFFY_NS == opened + 1
    assert guest.log[-1] == ("e1000: eth0 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: RX")


def test_opened_at_once_the_link_is_seen_two_seconds_later() -> None:
    """Autonegotiation ends after 0.5 s, but its LSC finds the watchdog already pending."""
    guest = Guest().probe()
    opened = guest.cpu.jiffies
    guest.open()
    guest.cpu.run(600 * MS)
    assert guest.card.irq_level is False
    assert not guest.device.carrier
    guest.cpu.run(2 * SECOND)
    assert guest.device.carrier_since // JIFFY_NS == opened + 1 + 500


def test_transmission_is_enabled_with_the_link_and_not_before() -> None:
    guest = Guest().probe()
    guest.open()
    guest.cpu.run(SECOND)
    assert not guest.bus.read(r.TCTL) & r.TCTL_EN
    guest.cpu.run(2 * SECOND)
    assert guest.bus.read(r.TCTL) == 0x0103F0FA


def test_an_idle_minute_has_thirty_interrupts() -> None:
    guest = Guest().up()
    before = guest.cpu.pin.delivered
    guest.cpu.run(60 * SECOND)
    assert guest.cpu.pin.delivered - before == 30
    assert guest.bus.writes(r.ICS) == [r.ICR_RXDMT0] * 30


def test_only_what_may_bring_the_link_keeps_a_run_alive() -> None:
    guest = Guest().probe()
    guest.open()
    assert "e1000_watchdog" in guest.cpu.kept_alive_by()
    guest.cpu.run(100 * MS)
    assert "e1000_watchdog" in guest.cpu.kept_alive_by()
    guest.cpu.run(3 * SECOND)
    assert guest.device.carrier
    assert guest.cpu.kept_alive_by() == []


def test_a_cable_that_is_never_plugged_in_does_not_keep_a_run_alive() -> None:
    guest = Guest()
    guest.card.set_link(False)
    guest.probe().open()
    guest.cpu.run(5 * SECOND)
    assert not guest.device.carrier
    assert guest.cpu.kept_alive_by() == []


def test_link_lost_and_found() -> None:
    guest = Guest().up()
    guest.card.set_link(False)
    guest.cpu.run(2 * SECOND)  # LSC comes at once, but the watchdog is pending already
    assert not guest.device.carrier
    assert guest.log[-1] == "e1000: eth0 NIC Link is Down"
    guest.card.set_link(True)
    guest.cpu.run(3 * SECOND)
    assert guest.device.carrier


def test_packets_stuck_in_the_ring_when_the_link_goes_cause_a_reset() -> None:
    guest = Guest().up()
    guest.cpu.local_irq_disable()
    guest.bus.write(r.TCTL, 0)  # a transmitter that hangs
    guest.driver.start_xmit(Skb(bytes(60)), False)
    guest.cpu.local_irq_enable()
    guest.card.set_link(False)
    guest.cpu.run(3 * SECOND)
    assert "e1000 0000:00:02.0 eth0: Reset adapter" in guest.log
    assert guest.driver.adapter.tx_timeout_count == 1
    assert guest.driver.tx_ring.unused == 255


def test_a_timeout_resets_the_adapter_and_traffic_goes_on() -> None:
    guest = Guest().up()
    guest.driver.tx_timeout()
    guest.cpu.run(4 * SECOND)
    assert guest.device.carrier
    guest.send(Skb(bytes(60)))
    assert len(guest.net.out) == 1


def test_close_gives_everything_back_and_open_works_again() -> None:
    guest = Guest().up()
    guest.driver.stop()
    assert guest.memory.allocated == 0
    assert not guest.device.carrier
    assert not guest.cpu.pending_work()
    guest.cpu.run(SECOND)
    guest.open()
    guest.cpu.run(SECOND)
    assert guest.device.carrier
    assert guest.driver.rx_ring.unused == 0


def test_no_memory_for_the_rings_is_an_error_of_open() -> None:
    guest = Guest("TxDescriptors=4096", ram=0x100000 + 0x10800).probe()
    with pytest.raises(MemoryError, match="receive ring"):
        guest.driver.open()
    assert guest.memory.allocated == 0
    guest = Guest("TxDescriptors=4096", ram=0x100000 + 0x8000).probe()
    with pytest.raises(MemoryError, match="transmit ring"):
        guest.driver.open()


def test_jumbo_frames_are_refused() -> None:
    guest = Guest().probe()
    guest.device.mtu = 9000
    with pytest.raises(ValueError, match="mtu 9000"):
        guest.driver.open()


def test_promiscuous_and_all_multicast() -> None:
    guest = Guest().up()
    guest.device.flags = 0x100
    guest.driver.set_rx_mode()
    assert guest.bus.writes(r.RCTL) == [0x801A]
    guest.device.flags = 0x200
    guest.driver.set_rx_mode()
    assert guest.bus.writes(r.RCTL)[-1] == 0x8012
    guest.device.flags = 0
    guest.driver.set_rx_mode()
    assert guest.bus.writes(r.RCTL)[-1] == 0x8002


def test_fourteen_addresses_are_exact_and_the_rest_is_hashed() -> None:
    guest = Guest().up()
    guest.device.mc_list = [bytes.fromhex(f"33330000{i:04x}") for i in range(1, 17)]
    guest.driver.set_rx_mode()
    assert guest.bus.read(r.RA + 8 * 14 + 4) == 0x80000E00
    # 00:0f and 00:10: bits 47:36 of the address.
    assert guest.bus.writes(*range(r.MTA, r.MTA + 512, 4)).count(0) == 126
    for last in (0x0F, 0x10):
        bit = last << 4
        assert guest.bus.read(r.MTA + 4 * (bit >> 5)) >> (bit & 31) & 1


def test_more_unicast_addresses_than_filters_means_promiscuous() -> None:
    guest = Guest().up()
    guest.device.uc_list = [bytes.fromhex(f"02000000{i:04x}") for i in range(15)]
    guest.driver.set_rx_mode()
    assert guest.bus.writes(r.RCTL) == [0x800A]


def test_too_little_memory_for_all_buffers_is_counted() -> None:
    guest = Guest(ram=0x100000 + 0x2000 + 100 * 2048).probe()
    guest.driver.open()
    assert guest.bus.writes(r.RDT)[-1] == 99
    # Once in open, once in the poll that follows.
    assert guest.driver.adapter.alloc_rx_buff_failed == 2
