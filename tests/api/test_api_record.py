"""What a run keeps is asked for; what it does not keep is None, or an error that says who does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from runs import shipped_run, tree

import desim
from desim.record import RECORDS, Record


def run(**keeping: Any) -> desim.Result:
    return desim.run(desim.load("hello"), **keeping)


@pytest.fixture(scope="module")
def bare() -> desim.Result:
    return run(record="none", capture=False)


def test_unless_said_otherwise_everything_is_kept() -> None:
    result = run()
    assert (result.summary["record"], result.summary["capture"]) == ("trace", True)
    assert result.fingerprint == shipped_run("hello").fingerprint


def test_what_was_not_recorded_is_none_in_the_summary(bare: desim.Result) -> None:
    summary, full = bare.summary, shipped_run("hello").summary
    other = {"record": "none", "capture": False, "fingerprint": None, "frames": None}
    assert summary == full | other | dict.fromkeys(("interrupts", "journey", "metrics"))
    assert list(summary) == list(full)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "journey",
            'journey: not recorded with record="none"; '
            'record="journeys" or record="trace" keeps it',
        ),
        ("trace", 'trace: not recorded with record="none"; record="trace" keeps it'),
        ("fingerprint", 'fingerprint: not recorded with record="none"; record="trace" keeps it'),
        ("frames", "frames: not recorded with capture=False; capture=True keeps it"),
        ("captures", "captures: not recorded with capture=False; capture=True keeps it"),
    ],
)
def test_who_asks_for_it_is_told_what_keeps_it(bare: desim.Result, what: str, message: str) -> None:
    with pytest.raises(desim.UserError, match=f"^{re.escape(message)}$"):
        getattr(bare, what)


def test_a_fingerprint_needs_the_frames_too() -> None:
    with pytest.raises(desim.UserError, match=r"fingerprint: .* capture=True keeps it"):
        run(capture=False).fingerprint  # noqa: B018 - it is the attribute that raises


def test_a_machine_does_not_show_frames_that_it_does_not_keep() -> None:
    with desim.assemble(desim.load("hello"), capture=False) as machine:
        machine.run()
        with pytest.raises(desim.UserError, match="frames: not recorded"):
            machine.frames  # noqa: B018 - it is the attribute that raises


@pytest.mark.parametrize("wrong", ["all", "Trace", None, True])
def test_another_level_is_a_mistake_that_names_the_levels(wrong: Any) -> None:
    message = f"record {wrong!r}: must be none, counters, journeys or trace"
    with pytest.raises(desim.UserError, match=re.escape(message)):
        run(record=wrong)


def test_a_misspelt_level_has_a_neighbour() -> None:
    with pytest.raises(desim.UserError, match=r"did you mean 'counters'\?$"):
        run(record="counter")


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("record", RECORDS)
def test_every_result_can_be_shown_and_saved(record: Record, capture: bool, tmp_path: Path) -> None:
    result = run(record=record, capture=capture)
    everything = record == "trace" and capture
    for text in (str(result), result.report(verbosity=2)):
        assert ("not kept" not in text) == everything
    assert ("fingerprint" in repr(result)) == everything
    assert ("fingerprint" in result._repr_html_()) == everything
    assert ("host send() to guest read()" in result._repr_html_()) == (
        record in ("journeys", "trace")
    )
    result.save(tmp_path / "out")
    names = {name for name in tree(tmp_path / "out") if not name.startswith(".")}
    files = {"guest/hello.txt", "scenario.json", "summary.json"}
    captures = {"capture-nic.pcapng", "capture-slirp.pcapng"} if capture else set()
    assert names == files | captures | ({"trace.jsonl"} if record == "trace" else set())
