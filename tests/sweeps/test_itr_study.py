"""The shipped study of InterruptThrottleRate: its table, and that equal rows are equal runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeping import made

from desim.report.sweeps import text
from desim.scenario.loader import load_document
from desim.sweeps.database import Database
from desim.sweeps.sweep import order

RATE = "guest.modprobe.InterruptThrottleRate"
COMMAND = "guest.run[0].command"


@pytest.mark.slow
def test_the_study(tmp_path: Path) -> None:
    made(order(load_document("itr-study")), tmp_path / "a.db")
    database = Database.read(str(tmp_path / "a.db"))
    shown = text(database)
    assert shown == Path(__file__).with_name("itr-study.txt").read_text(encoding="utf-8").rstrip()
    assert max(map(len, shown.splitlines())) <= 80
    figures: dict[tuple[object, object], tuple[object, ...]] = {}
    for command, rate, *values in database.rows([COMMAND, RATE, "ping.p50", "ping.p99", "irq"]):
        figures[command, rate] = tuple(values)
    database.close()
    for command in sorted({str(command) for command, _ in figures}):
        # QEMU's floor: 128 us behind each interrupt, whatever is asked for.
        assert figures[command, 0] == figures[command, 8000] == figures[command, 20000]
        assert figures[command, 500] != figures[command, 0]
