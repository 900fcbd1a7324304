"""Who may know whom, and what a command may import: held, not only written down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROBE = """
import sys
from desim.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
modules = sorted(sys.modules)
import json
print(json.dumps([code, modules]), file=sys.stderr)
"""


def all_modules_after(*words: str) -> set[str]:
    """The modules that are loaded when a command has run."""
    done = subprocess.run([sys.executable, "-c", PROBE, *words], capture_output=True, text=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


def modules_after(*words: str) -> set[str]:
    """The top-level packages that are loaded when a command has run."""
    return {name.partition(".")[0] for name in all_modules_after(*words)}


def test_the_layers_hold() -> None:
    pytest.importorskip("importlinter", reason="needs import-linter: pip install import-linter")
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_lists_the_layers_that_are_held() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    held = [
        {room.strip().removeprefix("desim.") for room in layer.split("|")}
        for layer in reversed(contracts["contracts"][0]["layers"])
    ]
    page = (ROOT / "docs" / "architecture.md").read_text()
    listed = page.partition("## Rooms and layers")[2].split("```")[1].splitlines()[1:]
    assert [set(line.partition("  ")[0].split(", ")) for line in listed] == held


@pytest.mark.slow
def test_a_run_loads_nothing_that_it_does_not_use() -> None:
    """Importing is most of a short run. What is named here was loaded once, and took its time."""
    loaded = all_modules_after("run", "hello")
    heavy = {"simpy", "networkx", "rich", "pydantic", "asyncio", "email", "difflib", "json"}
    heavy |= {"argparse", "dataclasses", "decimal", "fractions", "inspect", "locale"}
    heavy |= {"importlib.metadata", "importlib.resources", "pkgutil", "tempfile", "zipfile"}
    assert not loaded & heavy
    programs = "desim.userland.programs."
    here = {name.removeprefix(programs) for name in loaded if name.startswith(programs)}
    shown = {"echo", "ifconfig", "nc_openbsd", "netstat"}
    boot = {"dmesg", "udhcpc"}
    tools = {"busybox", "getopt", "output", "resolver"}
    assert here == shown | boot | tools
    assert not loaded & {
        "desim.experiment.backtrace",
        "desim.experiment.output",
        "desim.filters",
        "desim.host.nameserver",
        "desim.machine.filters",
        "desim.scenario.qemu_object",
        "desim.wire.pcapng",
    }


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["scenarios"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    heavy = {"rich", "networkx", "simpy", "greenlet", "tomlkit", "asyncio"}
    assert not modules_after(*words) & heavy


def test_help_takes_at_most_five_times_a_bare_start() -> None:
    def fastest(*words: str) -> float:
        """Of several, so that a busy machine does not decide; both sides in one run."""
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run([sys.executable, *words], capture_output=True, check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert fastest("-m", "desim", "--help") <= 5 * fastest("-c", "pass")


def test_desim_help_loads_not_even_argparse() -> None:
    assert not modules_after("--help") & {"argparse", "tomllib", "dataclasses"}


@pytest.mark.slow
def test_a_run_loads_neither_networkx_nor_anything_of_plotting() -> None:
    plotting = {"networkx", "numpy", "matplotlib", "plotly", "pandas", "PIL"}
    assert not modules_after("run", "hello", "--quiet") & plotting
