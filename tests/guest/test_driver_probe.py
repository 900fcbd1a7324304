"""Probe: the register accesses of e1000_probe, in its order."""

from __future__ import annotations

import errno

import pytest
from fakes_driver import MAC, MS, Guest

from desim.guest.drivers.e1000 import regs as r
from desim.guest.drivers.e1000.hw import resolve_flow_control
from desim.guest.drivers.e1000.param import FC_FULL, FC_NONE, FC_RX_PAUSE, FC_TX_PAUSE
from desim.guest.drivers.e1000.regs import NWAY_ASM_DIR, NWAY_PAUSE


def visible(log: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """The accesses without the EEPROM's bits and the reads of STATUS that only flush."""
    return [(k, o, v) for k, o, v in log if o not in (r.EECD, r.STATUS)]


def phy_commands(log: list[tuple[str, int, int]]) -> list[tuple[str, int]]:
    """What was asked of the PHY: ("read", register) or ("write", register)."""
    return [
        ("read" if v & r.MDIC_OP_READ else "write", v >> 16 & 0x1F)
        for k, o, v in log
        if k == "w" and o == r.MDIC
    ]


RESET_HW = [
    ("w", r.IMC, 0xFFFFFFFF), ("w", r.RCTL, 0), ("w", r.TCTL, r.TCTL_PSP), ("r", r.CTRL, None),
    ("r", r.MANC, None), ("w", r.MANC, 0x222300 & ~r.MANC_ARP_EN), ("w", r.IMC, 0xFFFFFFFF),
    ("r", r.ICR, None),
]  # fmt: skip


def matches(
    log: list[tuple[str, int, int]], expected: list[tuple[str, int, int | None]]
) -> list[tuple[str, int, int]]:
    """Check that ``log`` starts with ``expected``; the rest of it."""
    for got, want in zip(log, expected, strict=False):
        assert got[:2] == want[:2], f"{got} instead of {want}"
        assert want[2] is None or got[2] == want[2]
    return log[len(expected) :]


def test_probe_makes_the_accesses_of_the_original_in_order() -> None:
    guest = Guest().probe()
    log = visible(guest.bus.log)
    log = matches(log, [("w", r.IMC, 0xFFFFFFFF), *RESET_HW])
    log = matches(log, [("w", r.PBA, 48), *RESET_HW, ("w", r.WUC, 0)])
    log = matches(log, [("r", r.LEDCTL, None), ("w", r.VET, 0)])
    log = matches(log, [("w", r.VFTA + 4 * i, 0) for i in range(128)])
    log = matches(log, [("w", r.RA, 0x12005452), ("w", r.RA + 4, 0x80005634)])
    log = matches(log, [("w", r.RA + 4 * i, 0) for i in range(2, 30)])
    log = matches(log, [("w", r.MTA + 4 * i, 0) for i in range(128)])
    log = matches(log, [("r", r.CTRL, None), ("w", r.CTRL, 0x140240)])
    while log[0][1] == r.MDIC:
        log.pop(0)
    log = matches(
        log,
        [
            ("w", r.FCT, 0x8808), ("w", r.FCAH, 0x100), ("w", r.FCAL, 0x00C28001),
            ("w", r.FCTTV, 0xFFFF), ("w", r.FCRTL, 44224 | 0x80000000), ("w", r.FCRTH, 44232),
            ("r", r.TXDCTL, None), ("w", r.TXDCTL, 0x01010000),
        ],
    )  # fmt: skip
    counters, log = log[:58], log[58:]
    assert {kind for kind, _, _ in counters} == {"r"}
    assert [o for _, o, _ in counters][:3] == [r.CRCERRS, r.SYMERRS, r.MPC]
    assert [o for _, o, _ in counters][-3:] == [r.MGTPRC, r.MGTPDC, r.MGTPTC]
    log = matches(log, [("w", r.VET, 0x8100), ("w", r.AIT, 0)])
    while log[0][1] == r.MDIC:
        log.pop(0)
    assert log == [
        ("r", r.CTRL, 0x140240),
        ("w", r.CTRL, 0x40140240),
        ("r", r.RCTL, 0),
        ("w", r.RCTL, 0),
    ]


def test_the_phy_is_found_set_up_reset_and_told_to_negotiate() -> None:
    guest = Guest().probe()
    commands = phy_commands(guest.bus.log)
    assert commands[:16] == [
        ("read", r.PHY_ID1), ("read", r.PHY_ID2),
        ("read", r.M88_PSCR), ("write", r.M88_PSCR),
        ("read", r.M88_EPSCR), ("write", r.M88_EPSCR),
        ("read", r.PHY_CTRL), ("write", r.PHY_CTRL),
        ("read", r.PHY_AUTONEG_ADV), ("read", r.PHY_1000T_CTRL),
        ("write", r.PHY_AUTONEG_ADV), ("write", r.PHY_1000T_CTRL),
        ("read", r.PHY_CTRL), ("write", r.PHY_CTRL),
        ("read", r.PHY_STATUS), ("read", r.PHY_STATUS),
    ]  # fmt: skip
    # Ten looks for link, two reads each, and e1000_phy_get_info's own two: it is down.
    assert commands[14:] == [("read", r.PHY_STATUS)] * 22
    restart = [v & 0xFFFF for v in guest.bus.writes(r.MDIC) if v & r.MDIC_OP_WRITE][-1]
    assert restart & (r.MII_CR_AUTO_NEG_EN | r.MII_CR_RESTART_AUTO_NEG) == 0x1200


def test_the_address_comes_from_the_eeprom() -> None:
    guest = Guest().probe()
    assert guest.device.dev_addr == MAC


def test_probe_takes_as_long_as_the_eeprom_and_the_sleeps() -> None:
    """71 words of 3.05 ms and four sleeps: the recorded guests needed 330 to 375 ms in all."""
    guest = Guest().probe()
    assert 250 * MS < guest.cpu.time < 375 * MS


def test_the_log_of_a_module_load() -> None:
    """As in the recording seed_direct_tcg_busybox_N (Linux 6.1)."""
    guest = Guest()
    guest.driver.init_module()
    assert guest.log == [
        "e1000: Intel(R) PRO/1000 Network Driver",
        "e1000: Copyright (c) 1999-2006 Intel Corporation.",
        "e1000 0000:00:02.0 eth0: (PCI:33MHz:32-bit) 52:54:00:12:34:56",
        "e1000 0000:00:02.0 eth0: Intel(R) PRO/1000 Network Connection",
    ]


def test_parameters_and_copybreak_show_in_the_log() -> None:
    guest = Guest("RxIntDelay=128 copybreak=0 debug=0")
    guest.driver.init_module()
    assert guest.log[2:] == [
        "e1000 0000:00:02.0: Receive Interrupt Delay set to 128",
        "e1000: copybreak disabled",
    ]
    guest = Guest("copybreak=100")
    guest.driver.init_module()
    assert guest.log[-1] == "e1000: copybreak enabled for packets <= 100 bytes"


def test_a_bad_checksum_leaves_the_interface_without_an_address() -> None:
    guest = Guest()
    words = guest.card.eeprom.words
    guest.card.eeprom.words = (*words[:5], words[5] ^ 1, *words[6:])
    guest.probe()
    assert guest.device.dev_addr == bytes(6)
    assert guest.log[0].endswith("The EEPROM Checksum Is Not Valid")
    assert guest.log[1].endswith("Invalid MAC Address")


def test_a_card_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="0x100c"):
        Guest(model="e1000-82544gc").probe()


def test_coalescing_is_refused_on_an_82540() -> None:
    guest = Guest().probe()
    ethtool = guest.driver.ethtool_ops()
    for call in (ethtool.get_coalesce, lambda: ethtool.set_coalesce({"rx-usecs": 8})):
        with pytest.raises(OSError) as refused:
            call()
        assert refused.value.errno == errno.EOPNOTSUPP


@pytest.mark.parametrize(
    ("usecs", "itr_register", "shown"),
    [(0, 0, 0), (1, 195, 1), (3, 195, 3), (4, 0xE6B2, 4), (10, 39, 10), (1000, 3906, 1000)],
)
def test_coalescing_works_on_an_82545(usecs: int, itr_register: int, shown: int) -> None:
    guest = Guest(model="e1000-82545em").probe()
    guest.driver.ethtool_ops().set_coalesce({"rx-usecs": usecs})
    assert guest.bus.read(r.ITR) == itr_register
    assert guest.driver.ethtool_ops().get_coalesce() == {"rx-usecs": shown}


@pytest.mark.parametrize("usecs", [2, 5, 9, 10001])
def test_coalescing_out_of_range_is_refused(usecs: int) -> None:
    with pytest.raises(OSError) as refused:
        Guest(model="e1000-82545em").probe().driver.ethtool_ops().set_coalesce({"rx-usecs": usecs})
    assert refused.value.errno == errno.EINVAL


P, A = NWAY_PAUSE, NWAY_ASM_DIR


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome"),
    [
        # 802.3 table 28B-3, with a driver that asked for both directions and a partner
        # that must not send: where the table says "none", Linux goes on listening.
        (0, P | A, FC_RX_PAUSE),
        (A, 0, FC_RX_PAUSE),
        (A, P, FC_RX_PAUSE),
        (A, P | A, FC_TX_PAUSE),
        (P, 0, FC_RX_PAUSE),
        (P, P, FC_FULL),
        (P, P | A, FC_FULL),
        (P | A, 0, FC_RX_PAUSE),
        (P | A, A, FC_RX_PAUSE),
        (P | A, P, FC_FULL),
    ],
)
def test_flow_control_is_what_both_sides_can(ours: int, theirs: int, outcome: int) -> None:
    assert resolve_flow_control(ours, theirs, FC_FULL) == outcome


def test_flow_control_obeys_a_user_who_wants_less() -> None:
    assert resolve_flow_control(P | A, P, FC_RX_PAUSE) == FC_RX_PAUSE
    assert resolve_flow_control(A, 0, FC_TX_PAUSE) == FC_NONE
    assert resolve_flow_control(0, P, FC_NONE) == FC_NONE


def test_a_forced_speed_turns_negotiation_off() -> None:
    guest = Guest("Speed=100 Duplex=2").probe()
    ctrl = [v for v in guest.bus.writes(r.CTRL) if v & r.CTRL_FRCSPD][-1]
    assert ctrl & (r.CTRL_FRCSPD | r.CTRL_FRCDPX | r.CTRL_SPD_100 | r.CTRL_FD) == 0x1901
    controls = [v & 0xFFFF for v in guest.bus.writes(r.MDIC) if v >> 16 & 0xFFF == 0x420]
    assert controls[-1] == r.MII_CR_RESET | r.MII_CR_SPEED_100 | r.MII_CR_FULL_DUPLEX


@pytest.mark.parametrize("mdic", [0, r.MDIC_READY | r.MDIC_ERROR, r.MDIC_READY | 0x1234])
def test_a_phy_that_is_silent_failing_or_strange_is_a_hardware_error(mdic: int) -> None:
    guest = Guest()
    guest.bus.stuck[r.MDIC] = mdic
    guest.probe()
    assert guest.log[0] == "e1000 0000:00:02.0: Hardware Error"
