"""Exactly what is meant is offered, and importing desim loads nothing else."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import desim
import desim.engine
import desim.testing

MEANT = """
    Backtrace CostProfile DesimError Journey Machine Message ModelError OutputError ProfileError
    RecordingError Result Runner Scenario ScenarioError Statistics Sweep Topology UserError
    WorkerError
    __version__ assemble backtrace cost_profiles errors from_qemu html_report law load run run_many
    scenarios sweep testing
"""
MEANT_FOR_TESTING = """
    Card Connection Guest GuestCard GuestCpu Host Ledger
    Memory MemoryBus NoLoop Peer VirtualClock VirtualTimer Wire
"""
LAZY = [desim, desim.testing, desim.engine]


@pytest.mark.parametrize(("module", "meant"), [(desim, MEANT), (desim.testing, MEANT_FOR_TESTING)])
def test_exactly_what_is_meant_is_exported(module: ModuleType, meant: str) -> None:
    assert dir(module) == sorted(module.__all__) == sorted(meant.split())


@pytest.mark.parametrize("module", LAZY, ids=lambda module: module.__name__)
def test_every_name_can_be_had_and_no_other(module: ModuleType) -> None:
    for name in dir(module):
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=rf"'{module.__name__}' has no attribute 'Nobody'"):
        module.Nobody  # noqa: B018 - looking it up is the test


@pytest.mark.parametrize("module", LAZY, ids=lambda module: module.__name__)
def test_what_is_looked_up_is_what_a_type_checker_sees(module: ModuleType) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module
        for top in tree.body
        if isinstance(top, ast.If)
        for node in top.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None
    }
    assert sorted(name or "" for name in seen) == dir(module)
    prefix = "" if module is desim else f"{module.__name__}."
    homes = {name: prefix + home for home, names in module._HOMES.items() for name in names}
    assert homes == seen


def loaded(statement: str) -> set[str]:
    """The modules that a statement loads, beside those of a bare start."""
    code = f"import sys, json; before = set(sys.modules)\n{statement}\n"
    code += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_desim_loads_nothing_but_its_own_list() -> None:
    """Not even ``typing``: with it the import takes longer than a bare start."""
    assert loaded("import desim") == {"desim", "__future__"}


@pytest.mark.slow
def test_what_needs_no_machine_loads_no_machinery() -> None:
    heavy = {"simpy", "greenlet", "networkx", "rich"}
    assert not loaded("from desim.testing import *") & heavy
    assert not loaded("import desim; desim.errors, desim.scenarios()") & heavy
    assert not loaded("import desim; desim.cost_profiles()") & heavy
    assert not loaded("import desim; desim.load('hello')") & heavy
