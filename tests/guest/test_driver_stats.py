"""Counters and the views of ethtool."""

from __future__ import annotations

import errno

import pytest
from fakes_driver import MAC, SECOND, Guest

from desim.guest.drivers.e1000 import regs as r
from desim.guest.drivers.e1000.counters import UPDATE_STATS
from desim.guest.skb import Skb
from desim.userland.ethtool import Rings
from desim.wire.frame import Frame


def test_all_counters_are_read_every_two_seconds_in_one_order() -> None:
    guest = Guest().up()
    guest.cpu.run(2 * SECOND)
    read = [o for k, o, _ in guest.bus.log if k == "r" and 0x4000 <= o < 0x4100]
    assert read[:7] == [r.CRCERRS, r.GPRC, r.GORCL, r.GORCH, r.BPRC, r.MPRC, r.ROC]
    assert read[:-3] == [offset for _, offset in UPDATE_STATS]
    assert read[-3:] == [r.MGTPTC, r.MGTPRC, r.MGTPDC]
    assert len(read) == len(set(read)) == 58


def test_without_link_no_counter_is_read() -> None:
    guest = Guest().probe().open()
    guest.bus.log.clear()
    guest.cpu.run(SECOND)
    assert not [o for _, o, _ in guest.bus.log if 0x4000 <= o < 0x4100]


def test_statistics_are_those_of_the_recorded_ping() -> None:
    """ping_10ms of the recording det_default: 40 requests and replies of 98 bytes."""
    guest = Guest().up()
    guest.net.answer = lambda frame: Frame(MAC + frame.raw[6:])
    before = dict(guest.driver.ethtool_ops().get_ethtool_stats())
    for _ in range(40):
        guest.send(Skb(bytes.fromhex("525500000002").ljust(98, b"\0")))
        guest.cpu.run(SECOND // 100)
    after = dict(guest.driver.ethtool_ops().get_ethtool_stats())
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {
        "rx_packets": 40,
        "tx_packets": 40,
        "rx_bytes": 4080,
        "tx_bytes": 4080,
        "rx_long_byte_count": 4080,
    }


def test_statistics_are_forty_six_in_the_order_of_the_tool() -> None:
    names = [name for name, _ in Guest().driver.ethtool_ops().get_ethtool_stats()]
    assert len(names) == len(set(names)) == 46
    assert names[:4] == ["rx_packets", "tx_packets", "rx_bytes", "tx_bytes"]
    assert names[-1] == "dropped_smbus"


def test_losses_are_counted_again_at_each_reading() -> None:
    """QEMU does not clear MPC on read; the driver adds what it reads."""
    guest = Guest().up()
    guest.card.mac_reg[r.MPC >> 2] = 3
    guest.cpu.run(4 * SECOND)
    assert guest.device.stats.rx_missed_errors == 6


def test_errors_reach_the_interface() -> None:
    guest = Guest().up()
    for register, value in ((r.ROC, 1), (r.RUC, 2), (r.MPRC, 5)):
        guest.card.mac_reg[register >> 2] = value
    guest.cpu.run(2 * SECOND)
    stats = guest.device.stats
    assert (stats.rx_errors, stats.rx_length_errors, stats.multicast) == (3, 3, 5)


def test_ring_and_driver_views() -> None:
    ethtool = Guest("RxDescriptors=1000 TxDescriptors=100").probe().driver.ethtool_ops()
    assert ethtool.get_ringparam() == Rings(rx_max=4096, tx_max=4096, rx=1000, tx=104)
    info = dict(ethtool.get_drvinfo("6.1.0-56-amd64"))
    assert (info["driver"], info["bus-info"]) == ("e1000", "0000:00:02.0")


def test_collisions_space_frames_out_and_quiet_ends_it() -> None:
    guest = Guest().up()
    hw = guest.driver.hw
    for _ in range(6):
        hw.update_adaptive(2000, 1000)
    hw.update_adaptive(10, 0)
    assert guest.bus.writes(r.AIT) == [40, 50, 60, 70, 80, 0]


def test_a_phy_that_answers_errors_leaves_its_counters_out() -> None:
    guest = Guest().up()
    guest.bus.stuck[r.MDIC] = r.MDIC_READY | r.MDIC_ERROR | 0x77
    guest.driver.stats.update_stats()
    assert guest.driver.adapter.receive_errors == 0


def test_other_rings_take_the_place_of_the_old_ones_and_carry_frames() -> None:
    guest = Guest().up()
    before = guest.memory.allocated
    guest.driver.ethtool_ops().set_ringparam(50, 4096)
    assert guest.driver.ethtool_ops().get_ringparam() == Rings(4096, 4096, 56, 4096)
    assert (guest.bus.read(r.RDLEN), guest.bus.read(r.TDLEN)) == (56 * 16, 4096 * 16)
    # A ring of 4096 descriptors is 64 KiB; 200 receive buffers of 2 KiB fewer are out.
    assert guest.memory.allocated == before + (4096 - 256) * 16 - 200 * 2048
    guest.cpu.run(5 * SECOND)
    assert guest.device.carrier
    guest.net.answer = lambda frame: Frame(MAC + frame.raw[6:])
    for _ in range(100):
        guest.send(Skb(bytes.fromhex("525500000002").ljust(98, b"\0")))
        guest.cpu.run(SECOND // 100)
    assert len(guest.device.received) == 100


def test_too_few_descriptors_become_forty_eight() -> None:
    guest = Guest().probe()
    guest.driver.ethtool_ops().set_ringparam(1, 0)
    assert guest.driver.ethtool_ops().get_ringparam() == Rings(4096, 4096, 48, 48)


def test_without_memory_for_other_rings_the_old_ones_go_on() -> None:
    guest = Guest(ram=0x190000).up()
    with pytest.raises(OSError) as refused:
        guest.driver.ethtool_ops().set_ringparam(4096, 4096)
    assert refused.value.errno == errno.ENOMEM
    assert guest.driver.ethtool_ops().get_ringparam() == Rings(4096, 4096, 256, 256)
    guest.cpu.run(5 * SECOND)
    assert guest.device.carrier
    guest.net.inject(Frame(MAC.ljust(60, b"\0")))
    assert len(guest.device.received) == 1


def test_settings_of_the_link_follow_the_module_parameters() -> None:
    forced = Guest("Speed=100 Duplex=2").probe().driver.ethtool_ops().get_link_ksettings()
    assert (forced.autoneg, forced.advertised) == (False, [])
    ten = Guest("Speed=10").probe().driver.ethtool_ops().get_link_ksettings()
    assert (ten.autoneg, ten.advertised) == (True, ["10baseT/Half", "10baseT/Full"])


def test_settings_without_link_leave_speed_open() -> None:
    guest = Guest().probe()
    assert guest.driver.ethtool_ops().get_link_ksettings().speed is None
    assert not guest.driver.ethtool_ops().get_link()
    guest.cpu.run(SECOND)
    assert guest.driver.ethtool_ops().get_link()
    assert guest.driver.ethtool_ops().get_link_ksettings().speed == 1000


def test_an_82545_wakes_nobody() -> None:
    guest = Guest(model="e1000-82545em").up()
    assert guest.driver.ethtool_ops().get_link_ksettings().wol_supported == ""
