"""Module parameters: ranges, defaults and fall-backs of e1000_param.c."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.data import replace
from desim.guest.drivers.e1000.param import PARAMETERS, Checked, ModuleOptions, check_options
from desim.guest.drivers.modprobe import parse_args


def checked(text: str) -> tuple[Checked, list[str]]:
    log: list[str] = []
    values = parse_args("e1000", text.split(), PARAMETERS).values
    return check_options(ModuleOptions(**values), log.append), log


def test_without_parameters_everything_has_its_default_and_nothing_is_logged() -> None:
    out, log = checked("")
    assert out == Checked()
    assert log == []


def test_given_values_are_logged_as_the_recorded_guest_logged_them() -> None:
    """From the boot log of the recording det_itr8000_rx128_rxabs512 (Linux 6.1)."""
    out, log = checked("InterruptThrottleRate=8000 RxIntDelay=128 RxAbsIntDelay=512")
    assert log == [
        "Receive Interrupt Delay set to 128",
        "Receive Absolute Interrupt Delay set to 512",
        "Interrupt Throttling Rate (ints/sec) set to 8000",
    ]
    assert (out.rx_int_delay, out.rx_abs_int_delay) == (128, 512)
    assert (out.itr, out.itr_setting) == (8000, 8000)


@pytest.mark.parametrize(
    ("given_rate", "itr", "itr_setting"),
    [
        (0, 0, 0),
        (1, 20000, 1),
        (3, 20000, 3),
        (4, 4, 4),
        (100, 100, 100),
        (8001, 8001, 8000),
        (100000, 100000, 100000),
        # Refused: the default of 3 loses its control bits, and ITR is never written.
        (2, 3, 0),
        (99, 3, 0),
        (100001, 3, 0),
        (-1, 3, 0),
    ],
)
def test_interrupt_throttle_rate(given_rate: int, itr: int, itr_setting: int) -> None:
    out, _ = checked(f"InterruptThrottleRate={given_rate}")
    assert (out.itr, out.itr_setting) == (itr, itr_setting)


RANGES = {
    "TxDescriptors": ("tx_count", 48, 4096, 256),
    "RxDescriptors": ("rx_count", 48, 4096, 256),
    "TxIntDelay": ("tx_int_delay", 0, 65535, 8),
    "TxAbsIntDelay": ("tx_abs_int_delay", 0, 65535, 32),
    "RxIntDelay": ("rx_int_delay", 0, 65535, 0),
    "RxAbsIntDelay": ("rx_abs_int_delay", 0, 65535, 8),
}


@given(st.sampled_from(sorted(RANGES)), st.integers(-5, 70000))
def test_numbers_outside_their_range_fall_back_to_the_default(name: str, value: int) -> None:
    field, low, high, default = RANGES[name]
    out, log = checked(f"{name}={value}")
    if low <= value <= high:
        expected = (value + 7) // 8 * 8 if name.endswith("Descriptors") else value
    else:
        expected = default
    assert getattr(out, field) == expected
    assert len(log) == (value != -1)
    assert replace(out, **{field: getattr(Checked(), field)}) == Checked()


def test_a_refused_value_says_what_is_used_instead() -> None:
    _, log = checked("RxIntDelay=70000 XsumRX=7 FlowControl=9")
    assert log == [
        "Invalid Checksum Offload value specified (7) defaulting to Enabled",
        "Invalid Flow Control value specified (9) reading default settings from EEPROM",
        "Invalid Receive Interrupt Delay value specified (70000) using default of 0",
    ]


@pytest.mark.parametrize(
    ("text", "autoneg", "advertised"),
    [
        ("Speed=1000", True, 0x20),
        ("Speed=1000 Duplex=1", True, 0x20),
        ("Speed=100", True, 0x0C),
        ("Speed=10 Duplex=0", True, 0x03),
        ("Duplex=1", True, 0x05),
        ("Duplex=2", True, 0x2A),
        ("Speed=100 Duplex=2", False, 0),
        ("AutoNeg=0x20", True, 0x20),
        ("AutoNeg=0x30", True, 0x2F),
        ("Speed=7", True, 0x2F),
    ],
)
def test_speed_and_duplex_choose_what_is_advertised(
    text: str, autoneg: bool, advertised: int
) -> None:
    out, _ = checked(text)
    assert (out.autoneg, out.autoneg_advertised) == (autoneg, advertised)


MDI_X = "Speed, AutoNeg and MDI-X specs are incompatible. Setting MDI-X to a compatible value."


def test_forced_speed_is_kept() -> None:
    out, log = checked("Speed=10 Duplex=2")
    assert (out.forced_speed, out.forced_full_duplex) == (10, True)
    assert log == ["Forcing to 10 Mbps Full Duplex", MDI_X]


@pytest.mark.parametrize("text", ["Speed=100 Duplex=1", "Speed=100 Duplex=2", "Speed=10 Duplex=1"])
def test_what_is_forced_is_not_compatible_with_automatic_crossover(text: str) -> None:
    """e1000_validate_mdi_setting: ``!autoneg && mdix == 0``."""
    out, log = checked(text)
    assert out.mdi_manual
    assert log[-1] == MDI_X


@pytest.mark.parametrize("text", ["", "Speed=1000", "Speed=1000 Duplex=1", "Speed=100", "Duplex=1"])
def test_what_is_negotiated_is(text: str) -> None:
    out, log = checked(text)
    assert not out.mdi_manual
    assert MDI_X not in log


def test_autoneg_abilities_are_spelled_fastest_first() -> None:
    _, log = checked("AutoNeg=0x2c")
    assert log == ["AutoNeg advertising 1000/FD, 100/FD, 100/HD"]


@pytest.mark.parametrize(
    ("debug", "mask"), [(-1, 7), (0, 0), (1, 1), (3, 7), (16, 0xFFFF), (99, 7)]
)
def test_debug_gives_the_message_mask(debug: int, mask: int) -> None:
    assert checked(f"debug={debug}")[0].msg_enable == mask
