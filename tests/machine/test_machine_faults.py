"""A fault of the model says when it showed, what went before, and how to see it again."""

import pytest
from runs import config

from desim.engine.simpy_environment import SimPyEnvironment
from desim.machine import Machine


def test_a_broken_assertion_carries_time_last_stages_and_a_replay():
    machine = Machine(config("hello", seed=7))
    card = machine.qemu.card
    assert card is not None

    def broken(*_):
        raise AssertionError("the ring has come loose")

    card.receive = broken
    with pytest.raises(AssertionError, match="come loose") as caught:
        machine.run()
    machine.close()
    note = "\n".join(caught.value.__notes__)
    assert note.startswith("a fault of the model, at ")
    assert " s of virtual time" in note
    assert "main last entered: " in note or "vcpu last entered: " in note
    assert "replay: desim run hello --seed 7 --costs study-2016" in note


def test_what_fails_beside_the_machine_is_no_fault_of_the_model():
    machine = Machine(config("refused"))
    env = SimPyEnvironment.of(machine.env)

    def mine():
        yield env.timeout(1_500)
        raise ValueError("mine")

    env.process(mine())
    with pytest.raises(ValueError, match="mine") as caught:
        machine.run()
    machine.close()
    assert caught.value.__notes__ == [
        "in a process beside the machine, at 0.000001500 s of virtual time"
    ]


def test_a_limit_ends_the_run_and_keeps_what_there_is():
    made = config("hello")
    made.limits.events = 300
    machine = Machine(made)
    machine.run()
    assert machine.failed
    assert machine.ended.startswith("stopped: more than 300 events")
    assert machine.transcripts()[0].output
