"""``desim.sweep``: a sweep as a value, with rows that others read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import desim

RATE = "guest.modprobe.InterruptThrottleRate"


@pytest.fixture(scope="module")
def pings() -> desim.Scenario:
    return desim.from_qemu(
        "-nic user,model=e1000",
        guest="ping -c 2 -i 0.001 10.0.2.2",
        changes={"guest.ipv6": False, "costs": "zero"},
    )


@pytest.fixture(scope="module")
def made(pings: desim.Scenario) -> desim.Sweep:
    return desim.sweep(pings, {RATE: [0, 500]}, seeds=[1, 2], metrics=["irq", "irq_rate"])


def test_rows_are_a_sequence_of_dicts(made: desim.Sweep) -> None:
    assert len(made) == 4
    assert list(made) == made.rows == made[:]
    assert made[0] == made.rows[0] == made[-4]
    assert made[-1] == made.rows[3]
    assert tuple(made[0]) == made.columns
    assert made.parameters == (RATE, "seed")
    assert made.metrics == ("irq", "irq_rate")
    assert [(row[RATE], row["seed"]) for row in made] == [(0, 1), (0, 2), (500, 1), (500, 2)]
    assert made.failed == []
    assert made.path is None
    with pytest.raises(IndexError, match="4: there are 4 runs"):
        made[4]


def test_it_shows_itself(made: desim.Sweep) -> None:
    assert repr(made) == f"<Sweep of qemu: {RATE} (2) x seed (2), 4 runs>"
    assert "InterruptThrottleRate  irq" in str(made)


def test_pandas_and_polars_read_it(made: desim.Sweep) -> None:
    polars = pytest.importorskip("polars", reason="needs polars: pip install polars")
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install pandas")
    for frame in (made.to_pandas(), pandas.DataFrame(made)):
        assert list(frame.columns) == list(made.columns)
        assert frame[RATE].tolist() == [0, 0, 500, 500]
        assert frame["irq"].tolist() == [row["irq"] for row in made]
    for frame in (made.to_polars(), polars.DataFrame(made)):
        assert frame.columns == list(made.columns)
        assert frame[RATE].to_list() == [0, 0, 500, 500]


def test_without_them_it_says_what_is_missing(
    made: desim.Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("pandas", "polars", "pyarrow"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(desim.UserError, match="to_pandas needs pandas: pip install pandas"):
        made.to_pandas()
    with pytest.raises(desim.UserError, match="to_polars needs polars"):
        made.to_polars()
    with pytest.raises(desim.UserError, match=r"pip install 'desim\[parquet\]'"):
        made.to_parquet(tmp_path / "a.parquet")


def test_a_file_is_gone_on_with_and_opened(pings: desim.Scenario, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = tmp_path / "a.db"
    for _ in range(2):
        with desim.sweep(
            pings,
            zipped=[{RATE: "0:500:500", "until": ["8s", "9s"]}],
            metrics=["irq"],
            database=path,
            progress=lambda *step: told.append(step),
        ) as made:
            assert made.path == str(path)
            rows = made.rows
    assert told[0] == (0, 2)
    assert told[-1] == (2, 2)
    assert told.count((0, 2)) == 1
    with desim.Sweep.open(path) as opened:
        assert opened.rows == rows
        opened.to_csv(tmp_path / "a.csv")
        assert len(opened.samples(0)) == 2
    assert (tmp_path / "a.csv").read_text().count("\n") == 3
    with pytest.raises(desim.OutputError, match="holds another sweep"):
        desim.sweep(pings, {RATE: [0]}, database=path)


def test_any_executor_makes_the_runs_and_stays_open(
    pings: desim.Scenario, made: desim.Sweep
) -> None:
    with ThreadPoolExecutor(2) as executor:
        other = desim.sweep(
            pings, {RATE: [0, 500]}, seeds=[1, 2], metrics=["irq", "irq_rate"], executor=executor
        )
        assert executor.submit(int).result() == 0
    assert list(other.dump()) == list(made.dump())


@pytest.mark.parametrize(
    ("vary", "options", "told"),
    [
        ({}, {}, "nothing varies"),
        ({"x": []}, {}, "x: no values"),
        ({"a b": [1]}, {}, "a b: not a key"),
        ({RATE: [0]}, {"metrics": ["irk"]}, "irk: no such metric.*did you mean 'irq'"),
        ({RATE: [0]}, {"seeds": [-1]}, "seeds: -1: a seed is a whole number from 0 on"),
        ({RATE: [0]}, {"repeat": 0}, "repeat 0: must be a whole number from 1 on"),
        ({RATE: [0]}, {"workers": 0}, "workers 0: must be a whole number from 1 on"),
        ({RATE: [0]}, {"executor": "dsk://x"}, "must be dask://HOST:PORT"),
    ],
)
def test_what_cannot_be(
    pings: desim.Scenario, vary: dict[str, Any], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(desim.UserError, match=told):
        desim.sweep(pings, vary, **options)


SCRIPT = """
import desim
pings = desim.from_qemu("-nic user,model=e1000", changes={"costs": "zero"})
print(len(desim.sweep(pings, repeat=30, metrics=["irq"], workers=2)))
"""


@pytest.mark.slow
def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """The processes that it starts do not run it again."""
    import subprocess
    import sys

    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("30\n", "")
