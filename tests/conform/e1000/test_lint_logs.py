"""``desim lint-driver`` on traces of real drivers' mistakes (logs/README.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.conform.e1000.driver_log import lint_trace
from desim.conform.e1000.lint.judge import NO_COMMAND, NO_MEMORY, NO_RDH, NO_WIDTH

LOGS = Path(__file__).parent / "logs"

FINDINGS = {
    "init-only": [],
    "io-bar": [("line 10", "io-window")],
    "linux-shutdown": [],
    "mac-loopback": [("line 20", "loopback-mode")],
    "narrow-hidden": [
        ("line 12", "ring-base"),
        ("line 12", "narrow-access"),
        ("line 15", "narrow-access"),
        ("line 10", "never-enabled"),
    ],
    "no-broadcast": [("line 15", "no-broadcast")],
    "rdt-never-given-back": [("line 10", "never-given-back")],
    "rdt-written-to-rdh": [],
    "receiver-never-on": [("line 6", "never-enabled")],
}

IDLE = "RXT0) is enabled, and ICR is neither read nor written after that; whether it comes"

NOTES = {
    "init-only": [IDLE],
    "linux-shutdown": [
        NO_COMMAND,
        NO_RDH,
        "line 60: RCTL is rewritten with the filters; each RCTL write makes the card deaf for a "
        "second (13 times)",
        "TIDV is not there on QEMU, and has no effect (2 times)",
    ],
    "narrow-hidden": [NO_WIDTH],
    "rdt-written-to-rdh": [NO_RDH, "line 14: RDT = 1 gives back 2 descriptors"],
    "receiver-never-on": [NO_COMMAND, IDLE],
}


def test_each_log_is_tested() -> None:
    assert {path.stem for path in LOGS.glob("*.log")} == set(FINDINGS)


@pytest.mark.parametrize("name", FINDINGS)
def test_what_is_found_in_a_log(name: str) -> None:
    (report,) = lint_trace(LOGS / f"{name}.log")
    assert [(f.where, f.rule.name) for f in report.findings] == FINDINGS[name]
    for note in (NO_MEMORY, NO_WIDTH, *NOTES.get(name, [])):
        assert any(note in said for said in report.notes), note


def test_the_widths_that_a_trace_hides_are_named() -> None:
    (report,) = lint_trace(LOGS / "narrow-hidden.log")
    widths = [f.text.split(" to ")[0] for f in report.findings if f.rule.name == "narrow-access"]
    assert widths == [
        "16-bit access (QEMU prints size 4)",
        "8- or 16-bit access (QEMU prints size 4)",
    ]
