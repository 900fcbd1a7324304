"""The list of faults fits the source, and what the gate asks of it is noticed.

``nox -s mutants`` tries the whole list.
"""

from pathlib import Path

import pytest
from mutants.faults import Copy, load

FAULTS = load()
ASKED = [fault for fault in FAULTS if fault.gate]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(Path(tmp_path_factory.mktemp("copy")))


def test_every_fault_fits_the_source() -> None:
    assert [problem for fault in FAULTS if (problem := fault.problem())] == []


def test_every_fault_has_a_name_and_says_what_it_does() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 60
    assert [fault.name for fault in FAULTS if not fault.says.endswith(".")] == []
    assert len(ASKED) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("fault", ASKED, ids=[fault.name for fault in ASKED])
def test_a_fault_is_noticed(copy: Copy, fault) -> None:
    """By the test that the list names for the gate; without the fault that passes."""
    with copy.having(fault):
        done = copy.run(["pytest", "-q", "-p", "no:cacheprovider", f"tests/{fault.gate}"], 120)
    assert done.returncode == 1, done.stdout + done.stderr
