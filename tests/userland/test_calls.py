"""System calls: one contract, from which the programs' side is made."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys as python
from pathlib import Path

import pytest

from desim.guest.kernel import GuestKernel
from desim.host.kernel import HostKernel
from desim.userland.calls import PREFIX, USER_CALLS, SystemCalls, sys
from desim.userland.program import Call
from desim.userland.uapi import O_RDONLY

CONTRACT = {name.removeprefix(PREFIX) for name in vars(SystemCalls) if name.startswith(PREFIX)}
FOR_PROGRAMS = {name for name in vars(sys) if not name.startswith("_")}


def test_programs_can_make_every_call_of_the_contract_and_no_other() -> None:
    assert FOR_PROGRAMS == CONTRACT
    assert USER_CALLS <= CONTRACT


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_a_call_is_its_name_and_its_arguments(name: str) -> None:
    part = getattr(sys, name)("these", "arguments")
    assert next(part) == Call(name, ("these", "arguments"))
    with pytest.raises(StopIteration) as end:
        part.send("result")
    assert end.value.value == "result"


def test_an_error_is_raised_where_the_call_is_made() -> None:
    part = sys.read(0, 1)
    next(part)
    with pytest.raises(BrokenPipeError):
        part.throw(BrokenPipeError())


def test_arguments_have_places_and_no_names() -> None:
    with pytest.raises(AssertionError, match="open: arguments have places"):
        next(sys.open("f", flags=O_RDONLY))


@pytest.mark.parametrize("kernel", [HostKernel, GuestKernel])
def test_a_kernel_has_every_call_with_the_defaults_of_the_contract(kernel: type) -> None:
    assert not inspect.isabstract(kernel)
    for name in CONTRACT:
        promised = inspect.signature(getattr(SystemCalls, PREFIX + name)).parameters.values()
        answered = inspect.signature(getattr(kernel, PREFIX + name)).parameters.values()
        assert [p.default for p in answered] == [p.default for p in promised], name


MISTAKES = """\
from desim.userland.calls import SystemCalls, sys
from desim.userland.process import Process
from desim.userland.program import Program

def program() -> Program:
    data = yield from sys.read(0, 1)
    reveal_type(data)
    yield from sys.read("0", 1)  # arg-type
    yield from sys.read(0)  # call-arg
    yield from sys.no_such_call()  # attr-defined
    yield sys.read(0, 1)  # misc
    return 0

class Kernel(SystemCalls):
    def sys_read(self, process: Process, fd: str, size: int) -> bytes:  # override
        return b""

Kernel()  # abstract
"""


@pytest.mark.slow
def test_a_type_checker_knows_the_results_and_sees_the_mistakes(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs mypy: pip install mypy")
    file = tmp_path / "program.py"
    file.write_text(MISTAKES)
    done = subprocess.run(
        [python.executable, "-m", "mypy", "--cache-dir", tmp_path / "cache", file],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    seen = re.findall(r"program.py:([0-9]+): error: .*\[([a-z-]+)\]$", done.stdout, re.MULTILINE)
    lines = enumerate(MISTAKES.splitlines(), 1)
    made = [(str(at), line.partition("# ")[2]) for at, line in lines if "# " in line]
    assert seen == made, done.stdout + done.stderr
    assert re.search(r'program.py:7: note: Revealed type is "(builtins\.)?bytes"', done.stdout)
