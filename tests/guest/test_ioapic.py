"""The interrupt line: one request per level, latched, masked until EOI."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.guest.cpu.ioapic import IoApicPin


class Cpu:
    def __init__(self) -> None:
        self.raised = 0
        self.pin = IoApicPin(raised=self.note)

    def note(self) -> None:
        self.raised += 1


def test_a_level_that_stays_high_makes_one_request() -> None:
    cpu = Cpu()
    cpu.pin.set_level(True)
    cpu.pin.set_level(True)
    assert cpu.raised == 1
    assert cpu.pin.pending


def test_a_request_stays_when_the_level_falls() -> None:
    cpu = Cpu()
    cpu.pin.set_level(True)
    cpu.pin.set_level(False)
    assert cpu.pin.pending
    cpu.pin.acknowledge()
    assert cpu.pin.delivered == 1


def test_a_new_rise_before_eoi_waits_for_eoi() -> None:
    cpu = Cpu()
    cpu.pin.set_level(True)
    cpu.pin.acknowledge()
    cpu.pin.set_level(False)
    cpu.pin.set_level(True)
    assert not cpu.pin.pending
    cpu.pin.eoi()
    assert cpu.pin.pending
    assert cpu.raised == 2


def test_eoi_with_the_line_low_makes_no_request() -> None:
    cpu = Cpu()
    cpu.pin.set_level(True)
    cpu.pin.acknowledge()
    cpu.pin.set_level(False)
    cpu.pin.eoi(handled=False)
    assert not cpu.pin.pending
    assert cpu.pin.unhandled == 1


def test_acknowledge_and_eoi_need_something_to_answer() -> None:
    pin = Cpu().pin
    with pytest.raises(RuntimeError, match="pending"):
        pin.acknowledge()
    with pytest.raises(RuntimeError, match="in service"):
        pin.eoi()


@given(st.lists(st.sampled_from(["up", "down", "take", "eoi"]), max_size=60))
def test_requests_and_deliveries_balance(steps: list[str]) -> None:
    cpu = Cpu()
    pin = cpu.pin
    for step in steps:
        if step in ("up", "down"):
            pin.set_level(step == "up")
        elif step == "take" and pin.pending:
            pin.acknowledge()
        elif step == "eoi" and pin.in_service:
            pin.eoi()
        assert cpu.raised == pin.delivered + pin.pending
        assert not (pin.pending and pin.in_service)
        # No level is ever lost: high means asked for, being served, or both over.
        assert not pin.level or pin.pending or pin.in_service
