"""The words behind ``modprobe``, as the kernel reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.guest.drivers.modprobe import ModuleError, kstrtoint
from desim.guest.drivers.modules import MODULES, modprobe


def test_the_module_alone_leaves_every_parameter_to_the_driver() -> None:
    read = modprobe("e1000")
    assert (read.module, read.values, read.unknown) == ("e1000", {}, [])


def test_every_parameter_of_the_driver_can_be_given() -> None:
    names = list(MODULES["e1000"].parameters)
    assert names[0] == "TxDescriptors"
    assert len(names) == 15
    read = modprobe("e1000 " + " ".join(f"{name}=100" for name in names))
    assert read.values == dict.fromkeys(names, 100)


def test_an_unknown_parameter_is_ignored_and_logged() -> None:
    read = modprobe("e1000 InteruptThrottleRate=8000 RxIntDelay=1")
    assert read.values == {"RxIntDelay": 1}
    assert read.log_lines() == ["e1000: unknown parameter 'InteruptThrottleRate' ignored"]


def test_of_a_parameter_given_twice_the_last_one_counts() -> None:
    assert modprobe("e1000 RxIntDelay=1 RxIntDelay=2").values == {"RxIntDelay": 2}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("RxIntDelay=fast", "e1000: `fast' invalid for parameter `RxIntDelay'"),
        ("RxIntDelay", "e1000: `' invalid for parameter `RxIntDelay'"),
        ("RxIntDelay=2147483648", "e1000: `2147483648' invalid for parameter `RxIntDelay'"),
        ("copybreak=-1", "e1000: `-1' invalid for parameter `copybreak'"),
        ("debug=08", "e1000: `08' invalid for parameter `debug'"),
        ("RxIntDelay=1_0", "e1000: `1_0' invalid for parameter `RxIntDelay'"),
        ("RxIntDelay=1,", "e1000: `1,' invalid for parameter `RxIntDelay'"),
        ("copybreak=1,2", "e1000: `1,2' invalid for parameter `copybreak'"),
        ("RxIntDelay=" + ",".join("1" * 33), "RxIntDelay: can only take 32 arguments"),
    ],
)
def test_a_value_of_a_wrong_form_keeps_the_module_out(word: str, said: str) -> None:
    with pytest.raises(ModuleError) as error:
        modprobe(f"e1000 {word} TxIntDelay=x")
    assert error.value.reasons == (said, "e1000: `x' invalid for parameter `TxIntDelay'")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "names no module; there are e1000"),
        ("e1001", "modprobe: FATAL: Module e1001 not found; there are e1000"),
        ("RxIntDelay=1", "the module's name comes first; there are e1000"),
    ],
)
def test_the_module_comes_first(line: str, said: str) -> None:
    with pytest.raises(ModuleError) as error:
        modprobe(line)
    assert str(error.value).startswith(said)


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_numbers_come_in_three_bases(number: int) -> None:
    sign, size = ("-", -number) if number < 0 else ("", number)
    for text in (f"{sign}{size}", f"{sign}{size:#x}", f"{sign}0{size:o}"):
        assert kstrtoint(text) == number


@given(st.text(max_size=12))
def test_no_text_is_too_odd(text: str) -> None:
    number = kstrtoint(text)
    assert number is None or text.strip("+-0123456789abcdefABCDEFxX") == ""


def test_of_a_list_the_first_card_takes_the_first_value() -> None:
    read = modprobe("e1000 InterruptThrottleRate=4,4,4,4 RxIntDelay=0x10,2")
    assert read.values == {"InterruptThrottleRate": 4, "RxIntDelay": 16}
