"""What the guest's administrators' tools show of card and driver, in a whole machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.machine import Machine
from desim.scenario.command_line import machine_from_options

CARD_545 = "-netdev user,id=n -device e1000-82545em,netdev=n"


def shown(*commands: str, qemu: str = "-nic user", modprobe: str = "e1000") -> list[str]:
    """What each command wrote, all in one guest that costs nothing and counts IPv4 only."""
    config = machine_from_options(
        qemu.split(), guest=commands, host=[], folder=Path(), modprobe=modprobe
    )
    config.costs = "zero"
    config.guest_ipv6 = False
    for number, command in enumerate(config.guest):
        command.at_ns = (10 + number) * 10**9
    machine = Machine(config)
    machine.run()
    return [transcript.output.decode() for transcript in machine.transcripts()[1:]]


def test_ethtool_shows_the_settings_of_the_link() -> None:
    (text,) = shown("ethtool eth0")
    assert text == (
        "Settings for eth0:\n"
        "\tSupported ports: [ TP ]\n"
        "\tSupported link modes:   10baseT/Half 10baseT/Full\n"
        "\t                        100baseT/Half 100baseT/Full\n"
        "\t                        1000baseT/Full\n"
        "\tSupported pause frame use: No\n"
        "\tSupports auto-negotiation: Yes\n"
        "\tSupported FEC modes: Not reported\n"
        "\tAdvertised link modes:  10baseT/Half 10baseT/Full\n"
        "\t                        100baseT/Half 100baseT/Full\n"
        "\t                        1000baseT/Full\n"
        "\tAdvertised pause frame use: No\n"
        "\tAdvertised auto-negotiation: Yes\n"
        "\tAdvertised FEC modes: Not reported\n"
        "\tSpeed: 1000Mb/s\n"
        "\tDuplex: Full\n"
        "\tAuto-negotiation: on\n"
        "\tPort: Twisted Pair\n"
        "\tPHYAD: 0\n"
        "\tTransceiver: internal\n"
        "\tMDI-X: off (auto)\n"
        "\tSupports Wake-on: umbg\n"
        "\tWake-on: d\n"
        "        Current message level: 0x00000007 (7)\n"
        "                               drv probe link\n"
        "\tLink detected: yes\n"
    )


def test_ethtool_i_names_driver_and_place() -> None:
    (text,) = shown("ethtool -i eth0")
    assert text.startswith("driver: e1000\nversion: 6.1.0\nfirmware-version: \n")
    assert "\nbus-info: 0000:00:02.0\n" in text


def test_ethtool_s_counts_with_the_card() -> None:
    (text,) = shown("ethtool -S eth0")
    lines = text.splitlines()
    assert lines[:5] == [
        "NIC statistics:",
        # DISCOVER and REQUEST of 342 bytes, OFFER and ACK of 590, each with its FCS.
        "     rx_packets: 2",
        "     tx_packets: 2",
        "     rx_bytes: 1188",
        "     tx_bytes: 692",
    ]
    assert len(lines) == 47


def test_ethtool_g_and_upper_g_show_and_change_the_rings() -> None:
    before, changed, after, refused = shown(
        "ethtool -g eth0",
        "ethtool -G eth0 rx 4096",
        "ethtool -g eth0",
        "ethtool -G eth0 rx 99 tx 5000",
    )
    assert before == (
        "Ring parameters for eth0:\n"
        "Pre-set maximums:\n"
        "RX:\t\t4096\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t4096\n"
        "Current hardware settings:\n"
        "RX:\t\t256\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t256\n"
        "RX Buf Len:\t\tn/a\nCQE Size:\t\tn/a\nTX Push:\toff\nTCP data split:\tn/a\n"
    )
    assert changed == ""
    assert after == before.replace("RX:\t\t256", "RX:\t\t4096")
    assert refused == (
        "netlink error: requested ring size exceeds maximum (offset 44)\n"
        "netlink error: Invalid argument\n"
    )


def test_ethtool_k_shows_what_the_driver_offers() -> None:
    (text,) = shown("ethtool -k eth0")
    on = [line.strip() for line in text.splitlines() if ": on" in line]
    assert on == [
        "tx-checksumming: on",
        "tx-checksum-ip-generic: on",
        "scatter-gather: on",
        "tx-scatter-gather: on",
        "tcp-segmentation-offload: on",
        "tx-tcp-segmentation: on",
        "generic-segmentation-offload: on",
        "generic-receive-offload: on",
        "rx-vlan-offload: on",
        "tx-vlan-offload: on [fixed]",
        "rx-vlan-filter: on [fixed]",
    ]


@pytest.mark.parametrize("command", ["ethtool -c eth0", "ethtool -C eth0 rx-usecs 100"])
def test_coalescing_is_refused_on_an_82540_as_the_real_tool_says_it(command: str) -> None:
    assert shown(command) == ["netlink error: Operation not supported\n"]


def test_coalescing_works_on_an_82545() -> None:
    before, changed, after, refused = shown(
        "ethtool -c eth0",
        "ethtool -C eth0 rx-usecs 500",
        "ethtool --show-coalesce eth0",
        "ethtool -C eth0 rx-usecs 2",
        qemu=CARD_545,
    )
    assert before == (
        "Coalesce parameters for eth0:\nAdaptive RX: n/a  TX: n/a\n"
        "stats-block-usecs: n/a\nsample-interval: n/a\npkt-rate-low: n/a\npkt-rate-high: n/a\n\n"
        "rx-usecs: 3\nrx-frames: n/a\nrx-usecs-irq: n/a\nrx-frames-irq: n/a\n\n"
        "tx-usecs: n/a\ntx-frames: n/a\ntx-usecs-irq: n/a\ntx-frames-irq: n/a\n\n"
        "rx-usecs-low: n/a\nrx-frame-low: n/a\ntx-usecs-low: n/a\ntx-frame-low: n/a\n\n"
        "rx-usecs-high: n/a\nrx-frame-high: n/a\ntx-usecs-high: n/a\ntx-frame-high: n/a\n\n"
        "CQE mode RX: n/a  TX: n/a\n\n"
    )
    assert changed == ""
    assert "rx-usecs: 500\n" in after
    assert refused == "netlink error: Invalid argument\n"


def test_proc_interrupts_counts_what_the_processor_took() -> None:
    first, second = shown("cat /proc/interrupts", "cat /proc/interrupts")
    lines = first.split("\n")
    assert lines[0] == "           CPU0       "
    assert lines[1].endswith("   IO-APIC  10-fasteoi   eth0")
    # The watchdog's own interrupt, every two seconds: at most one between the two.
    assert int(second.split()[2]) - int(first.split()[2]) in (0, 1)
    assert lines[2].startswith("LOC: ")


def test_proc_net_dev_has_both_interfaces_in_the_kernels_columns() -> None:
    (text,) = shown("cat /proc/net/dev")
    head, labels, lo, eth0 = text.splitlines()
    assert head == "Inter-|   Receive".ljust(65) + "|  Transmit"
    assert labels.startswith(" face |bytes    packets errs drop fifo frame compressed multicast|")
    assert lo.split() == ["lo:", *("0",) * 16]
    # Without the FCS, which the card counts.
    assert eth0.split()[:3] == ["eth0:", "1180", "2"]
    assert eth0.split()[9:11] == ["684", "2"]


def test_dmesg_has_the_drivers_lines_with_their_times() -> None:
    (text,) = shown("dmesg", modprobe="e1000 RxIntDelay=32 Nonsense=1")
    assert [line[15:] for line in text.splitlines()[:4]] == [
        "e1000: unknown parameter 'Nonsense' ignored",
        "e1000: Intel(R) PRO/1000 Network Driver",
        "e1000: Copyright (c) 1999-2006 Intel Corporation.",
        "e1000 0000:00:02.0: Receive Interrupt Delay set to 32",
    ]
    assert text.splitlines()[-1].endswith(
        "e1000: eth0 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: RX"
    )


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("ethtool lo", "Settings for lo:\n\tLink detected: yes\n"),
        ("ethtool -i lo", "Cannot get driver information: Operation not supported\n"),
        ("ethtool -S lo", "no stats available\n"),
        ("ethtool -g lo", "netlink error: Operation not supported\n"),
        ("ethtool -C lo rx-usecs 10", "netlink error: Operation not supported\n"),
        ("ethtool -i eth9", "Cannot get driver information: No such device\n"),
        ("ethtool -S eth9", "Cannot get stats strings information: No such device\n"),
        (
            "ethtool -g eth9",
            "netlink error: no device matches name (offset 24)\n"
            "netlink error: No such device\n",
        ),
        (
            "ethtool -C eth0 tx-usecs 3",
            "netlink error: cannot modify an unsupported parameter (offset 36)\n"
            "netlink error: Operation not supported\n",
        ),
        ("ethtool -G eth0 rx", "ethtool (-G): no value for parameter 'rx'\n"),
        ("ethtool -G eth0 rx abc", "ethtool (-G): invalid value 'abc' for parameter 'rx'\n"),
        ("ethtool -G eth0 foo 1", "ethtool (-G): unknown parameter 'foo'\n"),
        ("ethtool -g eth0 x", "ethtool: unexpected parameter 'x'\n"),
        (
            "ethtool -i",
            "ethtool: bad command line argument(s)\nFor more information run ethtool -h\n",
        ),
        ("cat /proc/nothing", "cat: /proc/nothing: No such file or directory\n"),
    ],
)  # fmt: skip
def test_complaints_are_the_real_tools(command: str, said: str) -> None:
    """As ethtool 6.1 was seen to answer on an interface without the operation in question."""
    assert shown(command) == [said]
