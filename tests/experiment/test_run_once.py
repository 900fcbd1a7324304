"""A machine runs once, and what came of it says the same however often it is asked."""

from __future__ import annotations

import pytest
from runs import config, shipped_run

from desim.errors import UserError
from desim.experiment.run import RunResult
from desim.machine import Machine


def test_a_second_result_of_one_machine_has_the_same_fingerprint() -> None:
    machine = Machine(config("hello"))
    machine.run()
    one, two = RunResult(machine.config, machine), RunResult(machine.config, machine)
    assert one.fingerprint == two.fingerprint == shipped_run("hello").fingerprint
    assert one.summary == two.summary
    assert one.trace.fingerprint() == two.trace.fingerprint()


def test_a_machine_does_not_run_twice() -> None:
    machine = Machine(config("refused"))
    machine.run()
    end_ns = machine.end_ns
    with pytest.raises(UserError, match="a machine runs once, and this one has"):
        machine.run()
    assert machine.end_ns == end_ns


def test_a_machine_that_was_closed_does_not_run() -> None:
    machine = Machine(config("refused"))
    machine.close()
    with pytest.raises(UserError, match="a machine runs once"):
        machine.run()
