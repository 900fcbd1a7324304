"""The table of a sweep on a screen."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest

from desim.report.sweeps import figure, labels, short_names, text
from desim.scenario.metrics import METRICS, Kind, Value
from desim.sweeps.database import MEMORY, Database, Head, Metric, Parameter
from desim.sweeps.row import Row, exact, median

NAMES = ("ping.p50", "transfer.rate", "irq_rate", "frames.lost", "irq_held", "message.waiting")


@pytest.fixture
def database() -> Iterator[Database]:
    facts = {
        "scenario": "made", "description": "Made up", "varied": "a (2) x b (2)", "runs": "12",
        "seeds": "3", "costs": "zero", "show": "[]", "format": "", "digest": "", "desim": "",
    }  # fmt: skip
    parameters = Parameter("host.a", 0, 2), Parameter("host.b", 1, 2), Parameter("seed", 2, 3)
    metrics = tuple(Metric(name, METRICS[name].kind, "") for name in NAMES)
    made = Database.begin(MEMORY, Head(facts, parameters, metrics))
    yield made
    made.close()


def row(number: int, *metrics: Value | None, error: str | None = None) -> Row:
    values = ("x" if number < 6 else "y", number // 3 % 2, number % 3)
    return Row(number, values, "0", None, None, None, error, None, None, metrics)


def filled(database: Database, runs: int = 12) -> Database:
    database.add(
        row(n, 1000 * n + 357_331, 27_000 + n, Fraction(10**9, 7 + n), 0, None, None)
        for n in range(runs)
    )
    return database


def test_a_row_for_each_point_with_the_median_of_its_seeds(database: Database) -> None:
    assert text(filled(database)).splitlines() == [
        "made: Made up",
        "  a (2) x b (2): 12 runs",
        "  costs zero",
        "",
        "a  b  ping.p50  transfer.rate   irq_rate",
        "x  0  358.3 us     27.00 kB/s  125000000",
        "   1  361.3 us     27.00 kB/s   90909091",
        "y  0  364.3 us     27.00 kB/s   71428571",
        "   1  367.3 us     27.01 kB/s   58823529",
        "",
        "each figure is the median of 3 runs",
    ]


def test_what_does_not_fit_stands_below_if_it_was_asked_for(database: Database) -> None:
    narrow = text(filled(database), 30)
    assert "irq_rate" not in narrow
    assert max(map(len, narrow.splitlines()[4:])) <= 35
    database.head.facts["show"] = '["irq_rate", "ping.p50", "transfer.rate"]'
    heads = [line.split() for line in text(database, 30).splitlines() if line.startswith("a ")]
    assert heads == [["a", "b", "irq_rate", "ping.p50"], ["a", "b", "transfer.rate"]]


def test_what_went_wrong_stands_below(database: Database) -> None:
    database.add([row(4, *[None] * 6, error="it broke\nsomewhere")])
    shown = text(database)
    assert "1 of 12 runs" in shown
    assert "1 run failed:\n  run 4 (host.a=x, host.b=1, seed=1): it broke" in shown
    assert "somewhere" not in shown


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (1_948_370, "time", "1.948 ms"),
        (27_182_818, "rate", "27.18 MB/s"),
        (Fraction(15625, 2), "frequency", "7813"),
        (Fraction(1599, 10), "frequency", "159.9"),
        (Fraction(2), "ratio", "2"),
        (Fraction(1, 3), "ratio", "0.333"),
        (Fraction(1, 3), "share", "33.333%"),
        (12, "count", "12"),
    ],
)
def test_figures_have_four_digits(value: Value, kind: Kind, shown: str) -> None:
    assert figure(value, kind) == shown


def test_names_and_labels_are_as_short_as_they_can_be() -> None:
    assert short_names(["guest.modprobe.RxIntDelay", "until"]) == ["RxIntDelay", "until"]
    assert short_names(["guest.run[0].at", "host.run[0].at"]) == [
        "guest.run[0].at",
        "host.run[0].at",
    ]
    long = ["ltool ping 10.0.2.2 200 20000 56 1", "ltool ping 10.0.2.2 200 300 56 1"]
    assert labels(long) == ["... 20000 56 1", "... 300 56 1"]
    assert labels([0, 500]) == ["0", "500"]


def test_a_float_of_a_file_is_the_decimal_that_it_shows() -> None:
    assert exact(0.1) == Fraction(1, 10)
    assert exact("a") is None
    assert median([3, 1, 2, 4]) == 2
