"""``desim rates``"""

from __future__ import annotations

import json

import pytest
from runs import desim

from desim.cli import main


@pytest.mark.slow
def test_the_table_says_what_decides_and_why_rows_are_equal() -> None:
    done = desim("rates", "0", "4000", "8000")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split() for line in lines[2:5]] == [
        ["0", "off", "0", "none", *("128.000", "7,813", "floor") * 2],
        ["4000", "fixed", "976", "4,000", "249.856", "4,002", "ITR", "128.000", "7,813", "floor"],
        ["8000", "fixed", "488", "8,000", *("128.000", "7,813", "floor") * 2],
    ]
    assert lines[5].startswith("floor: after each interrupt QEMU waits at least 128 us")
    assert lines[7].startswith("sent: the shortest register counts, TADV (32.768 us)")


@pytest.mark.slow
def test_json_has_the_same_figures() -> None:
    done = desim("rates", "2000", "--json", "--modprobe", "e1000 TxAbsIntDelay=256")
    assert json.loads(done.stdout) == [
        {
            "requested": 2000,
            "state": "fixed",
            "rate_per_s": 2000,
            "written_256ns": 1953,
            "itr_256ns": 1953,
            "received": {
                "interval_ns": 499968,
                "decided_by": "ITR",
                "asked_ns": 499968,
                "asked_by": "ITR",
            },
            "sent": {
                "interval_ns": 262144,
                "decided_by": "TADV",
                "asked_ns": 262144,
                "asked_by": "TADV",
            },
        }
    ]


def test_without_mitigation_there_is_no_limit() -> None:
    done = desim("rates", "8000", "--mitigation", "off")
    assert "no limit" in done.stdout
    assert done.stdout.endswith(
        "no limit: with mitigation=off every cause raises the line at once.\n"
    )


@pytest.mark.slow
def test_mistakes_are_one_line() -> None:
    for words, said in (
        (["fast"], "argument VALUE: 'fast': must be a whole number"),
        (["--modprobe", "e1000 debug=on"], "--modprobe 'e1000 debug=on': e1000: `on' invalid"),
        (["--modprobe", "e1001"], "--modprobe 'e1001': only e1000 has InterruptThrottleRate"),
    ):
        done = desim("rates", *words)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_long_values_keep_their_columns_apart(capsys: pytest.CaptureFixture[str]) -> None:
    values = ["-2147483648", "99999999", "8000"]
    assert main(["rates", "--", *values]) == 0
    head, names, *rows = capsys.readouterr().out.splitlines()[:5]
    assert [row.split()[0] for row in rows] == values
    assert [row.split()[1] for row in rows] == ["refused", "refused", "fixed"]
    ends = [row.index(row.split()[2]) + len(row.split()[2]) for row in rows]
    assert set(ends) == {names.index("ITR") + 3}
    assert head.index("programmed") + 10 == names.index("per s") + 5
