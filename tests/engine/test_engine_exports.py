"""What the room offers by name, and that a core does not load SimPy by marking a stage."""

import subprocess
import sys

import pytest

import desim.engine


def test_every_name_it_lists_can_be_had():
    for name in dir(desim.engine):
        assert getattr(desim.engine, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Enviroment"):
        desim.engine.Enviroment  # noqa: B018 - looking it up is the test


@pytest.mark.parametrize("room", ["e1000.card", "slirp.slirp", "net", "guest.net.stack"])
def test_a_core_runs_without_simpy(room):
    code = f"import desim.{room}, sys; print('simpy' in sys.modules, 'greenlet' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_a_machine_runs_without_simpy_until_somebody_asks_for_its_environment():
    code = """
import desim, sys
with desim.assemble(desim.load("hello")) as machine:
    machine.run()
    before = "simpy" in sys.modules
    machine.environment
    print(before, "simpy" in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "True"]
