"""Costs in ns for QEMU in real time, from recorded runs with a program on the host."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from statistics import median

import pytest
from recorded_runs import LINUX, recorded_run

from desim.calibrate.realtime import STRETCHES, instruction_ns, real_time
from desim.cli import main
from desim.costs.profile import load
from desim.errors import UserError

RT = LINUX / "rt.tar.xz"


@pytest.mark.slow
def test_the_shipped_profile_is_what_the_recordings_give(tmp_path: Path) -> None:
    made = tmp_path / "tcg.toml"
    assert main(["calibrate", str(RT), "--real-time", "icount", "-o", str(made)]) == 0
    shipped = resources.files("desim.costs") / "profiles" / "tcg.toml"
    assert made.read_text("utf-8") == shipped.read_text("utf-8")


@pytest.mark.slow
def test_an_instruction_lasts_what_parts_of_pings_took_against_their_instructions() -> None:
    run = recorded_run("rt_default")
    factor = instruction_ns([run], "icount")
    assert len(factor.ratios) == 6  # three parts each of two tests
    assert factor.ns == median(ratio for _, ratio in factor.ratios)
    slower = recorded_run("rt_default")
    for test in slower.tests:
        test.components = {name: 3 * ns for name, ns in test.components.items()}
    assert instruction_ns([slower], "icount").ns == pytest.approx(3 * factor.ns)


def test_qemus_figures_are_the_medians_of_recorded_stretches() -> None:
    run = recorded_run("rt_default")
    _, figures = real_time([run], load("icount"), "icount")
    found = {one.figure: one.value for one in figures}
    calls = [t.components["qemu_recv_call"] for t in run.tests if "qemu_recv_call" in t.components]
    assert found[STRETCHES["qemu_recv_call"]] == median(calls)


def test_a_base_in_ns_is_refused() -> None:
    with pytest.raises(UserError, match="not in instructions"):
        real_time([], load("study-2016"), "study-2016")


def test_recordings_that_tell_nothing_of_real_time_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "mine.toml"
    words = ["calibrate", str(LINUX / "sizes.tar.xz"), "--real-time", "icount", "-o", str(made)]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "pings in real time" in said
    assert "its instructions were counted" in said
    assert not made.exists()
