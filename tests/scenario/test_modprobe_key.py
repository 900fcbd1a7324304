"""The guest's driver and its parameters, in a scenario file and on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import desim

from desim.config import MachineConfig
from desim.errors import UserError
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario


def parse(text: str) -> MachineConfig:
    return parse_scenario(text.encode(), "x.toml", Inputs(Path("/nonexistent")))


def test_without_the_key_it_is_e1000_alone() -> None:
    assert parse("").modprobe == "e1000"


def test_the_line_reaches_the_configuration() -> None:
    config = parse('guest.modprobe = "e1000 InterruptThrottleRate=8000 RxIntDelay=32"')
    assert config.modprobe == "e1000 InterruptThrottleRate=8000 RxIntDelay=32"
    assert config.notes == []


def test_a_parameter_that_the_kernel_will_ignore_is_told_with_the_nearest() -> None:
    assert parse('guest.modprobe = "e1000 RxItDelay=3"').notes == [
        "e1000: unknown parameter 'RxItDelay' ignored; did you mean 'RxIntDelay'?"
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("e1001", "modprobe: FATAL: Module e1001 not found; there are "),
        ("e1000 RxIntDelay=a", "e1000: `a' invalid for parameter `RxIntDelay'"),
    ],
)
def test_a_line_that_would_not_load_is_a_mistake(line: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(f'[guest]\nmodprobe = "{line}"')
    assert str(caught.value).startswith(f'x.toml:2: guest.modprobe: "{line}": {said}')


@pytest.mark.slow
def test_the_command_line_has_it_and_the_driver_answers_in_its_log() -> None:
    done = desim(
        "qemu", "-nic", "user", "--costs", "zero", "--guest", "true", "-v",
        "--modprobe", "e1000 InterruptThrottleRate=8000 RxIntDelay=70000 Speed=7 Foo=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "e1000: unknown parameter 'Foo' ignored" in done.stderr
    log = [line.partition("] ")[2] for line in done.stdout.splitlines()]
    said = [line for line in log if line.startswith("e1000") and "Intel" not in line][:5]
    assert said == [
        "e1000: unknown parameter 'Foo' ignored",
        "e1000 0000:00:02.0: Invalid Receive Interrupt Delay value specified (70000) "
        "using default of 0",
        "e1000 0000:00:02.0: Interrupt Throttling Rate (ints/sec) set to 8000",
        "e1000 0000:00:02.0: Invalid Speed value specified (7) parameter ignored",
        "e1000 0000:00:02.0 eth0: (PCI:33MHz:32-bit) 52:54:00:12:34:56",
    ]


def test_a_mistake_on_the_command_line_is_one_line() -> None:
    done = desim("qemu", "-nic", "user", "--modprobe", "e1000 debug=on")
    assert done.returncode == 2
    assert done.stderr == (
        "desim: --modprobe 'e1000 debug=on': e1000: `on' invalid for parameter `debug'\n"
    )


@pytest.mark.slow
def test_without_a_card_the_line_has_no_effect_and_a_note_says_so() -> None:
    line = "e1000 InterruptThrottleRate=8000"
    config = parse(f'qemu = "-net none"\n[guest]\nmodprobe = "{line}"')
    assert config.notes == [f"guest.modprobe '{line}': no effect, the machine has no card"]
    done = desim("qemu", "-net", "none", "--modprobe", line, "--guest", "true")
    assert f"--modprobe '{line}': no effect, the machine has no card" in done.stderr
    assert "no effect" not in desim("qemu", "-net", "none", "--guest", "true").stderr


def test_nor_have_the_cards_semantics() -> None:
    config = parse('qemu = "-net none"\nsemantics = "datasheet"')
    assert config.notes == ["semantics 'datasheet': no effect, the machine has no card"]
    assert parse('semantics = "datasheet"').notes == []
