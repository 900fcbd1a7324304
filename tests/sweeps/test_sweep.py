"""Sweeps as a whole: the same rows whoever makes them, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from sweeping import DELAY, METRICS, PINGS, document, dump, made, small

import desim.sweeps.sweep as sweeps
from desim.errors import OutputError, ScenarioError, UserError, WorkerError
from desim.experiment.run import run
from desim.scenario.values import Axis
from desim.sweeps.database import Database, Head
from desim.sweeps.execute import Execution, Here
from desim.sweeps.sweep import Asked, make, order
from desim.sweeps.work import Base, Chunk, DifferentError, run_chunk


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small sweep, made in this process."""
    folder = tmp_path_factory.mktemp("whole")
    made(small(folder), folder / "a.db", workers=1)
    return folder / "a.db"


def test_a_row_is_what_a_run_of_its_own_leaves(tmp_path: Path, whole: Path) -> None:
    database = Database.read(str(whole))
    rows = [dict(zip(database.head.columns, row, strict=True)) for row in database.rows()]
    assert [(row[DELAY], row["seed"]) for row in rows] == [
        (delay, seed) for delay in (0, 100, 200) for seed in (1, 2)
    ]
    result = run(document(tmp_path).changed({DELAY: 100, "seed": 2}).read())
    assert rows[3]["fingerprint"] == result.fingerprint.whole
    assert rows[3]["end_ns"] == result.end_ns
    for name in METRICS:
        value = result.metrics.value(name)
        assert value is not None
        assert rows[3][name] == float(value)
    trips = sorted(sample.time_ns for sample in database.samples(3))
    assert (len(trips), trips[-1]) == (3, rows[3]["ping.max"])
    assert {sample.place for sample in database.samples(3)} == {None}
    database.close()


def test_a_run_is_configured_as_its_values_say_whichever_was_before_it(tmp_path: Path) -> None:
    what = small(tmp_path)
    for number in (0, 1, 5, 4, 0, 2, 3):
        point = what.plan.point(number)
        changes = dict(zip(what.plan.keys, point.values, strict=True))
        config = what.base.document.changed(changes).read()
        config.record, config.capture = "trace", True
        assert what.base.configure(point) == config


def test_what_held_a_round_trip_up_is_kept_if_that_is_asked_for(tmp_path: Path) -> None:
    axis = Axis("guest.modprobe.InterruptThrottleRate", (500,))
    text = PINGS.replace('costs = "zero"\n', "")
    what = order(document(tmp_path, text), Asked(vary=[axis], metrics=METRICS, kept="causes"))
    made(what, tmp_path / "a.db", workers=1)
    database = Database.read(str(tmp_path / "a.db"))
    (longest,) = next(database.rows(["ping.max"]))
    held = max(database.samples(0), key=lambda sample: sample.time_ns)
    database.close()
    assert held.time_ns == longest
    assert (held.kind, held.place, held.reason) == ("ping", "receive ring", "interrupt mitigation")
    assert held.begin_ns is not None


def test_the_file_does_not_depend_on_order_and_chunks(tmp_path: Path, whole: Path) -> None:
    what = small(tmp_path)
    database = Database.begin(str(tmp_path / "b.db"), what.head)
    points = [what.plan.point(number) for number in (5, 2, 0, 3, 4, 1)]
    for chunk in (points[:1], points[1:4], points[4:]):
        database.add(run_chunk(what.base, Chunk(tuple(chunk), True)).rows)
    database.close()
    assert dump(tmp_path / "b.db") == dump(whole)


@pytest.mark.slow
def test_two_workers_leave_the_same(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "POOL_S", 0)
    steps = made(small(tmp_path), tmp_path / "b.db", workers=2)
    assert steps[-1].workers == 2
    assert steps[-1].done == 6
    assert dump(tmp_path / "b.db") == dump(whole)


def test_a_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    what = small(tmp_path, seeds=20)  # more than a worker can make before it hears of the end
    made(what, tmp_path / "a.db")
    database = Database.begin(str(tmp_path / "b.db"), what.head)
    steps = make(what, database, workers=1)
    while next(steps).done < 2:
        pass
    del steps  # nobody takes any further ones
    there = len(database)
    database.close()
    assert 2 <= there < 60
    again = made(what, tmp_path / "b.db", workers=1)
    assert again[0].done == there
    assert dump(tmp_path / "b.db") == dump(tmp_path / "a.db")
    assert [step.done for step in made(what, tmp_path / "b.db")] == [60]


def test_a_copy_taken_by_a_power_cut_goes_on(tmp_path: Path, whole: Path) -> None:
    """What is on the disk between two commits is a database, with its log beside it."""
    what = small(tmp_path)
    database = Database.begin(str(tmp_path / "b.db"), what.head)
    steps = make(what, database, workers=1)
    while next(steps).done < 3:
        pass
    (tmp_path / "cut").mkdir()
    for name in ("b.db", "b.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / "cut" / name)
    database.close()
    assert made(what, tmp_path / "cut" / "b.db", workers=1)[0].done >= 3
    assert dump(tmp_path / "cut" / "b.db") == dump(whole)


SWEEP = """
import sys
sys.path.insert(0, sys.argv[1])
import desim.sweeps.sweep as sweeps
from pathlib import Path
from sweeping import made, small
sweeps.POOL_S = 0
made(small(Path(sys.argv[2]), delays=12, seeds=2), sys.argv[3], workers=2)
"""


def there(group: int) -> bool:
    """Whether any process of a group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_kill_loses_at_most_what_is_in_flight(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SWEEP, str(Path(__file__).parent), str(tmp_path)]
    killed = subprocess.Popen([*words, str(tmp_path / "a.db")], start_new_session=True)
    group = os.getpgid(killed.pid)
    while not (tmp_path / "a.db-wal").exists() or (tmp_path / "a.db-wal").stat().st_size < 30_000:
        assert killed.poll() is None
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    while there(group):  # its workers do not stay
        time.sleep(0.05)
    what = small(tmp_path, delays=12, seeds=2)
    steps = made(what, tmp_path / "a.db", workers=1)
    assert 0 < steps[0].done < 24
    assert steps[-1].done == 24
    made(what, tmp_path / "b.db", workers=1)
    assert dump(tmp_path / "a.db") == dump(tmp_path / "b.db")


class Dying(Executor):
    """Dies at the runs of some numbers, as a pool whose worker is killed."""

    def __init__(self, at: tuple[int, ...], always: bool) -> None:
        self.at = set(at)
        self.always = always
        self.inner = Here()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        chunk: Chunk = args[1]
        hit = self.at & {point.number for point in chunk.points}
        if not hit:
            return self.inner.submit(fn, *args, **kwargs)
        if not self.always:
            self.at -= hit
        future: Future[Any] = Future()
        future.set_exception(BrokenProcessPool("a worker was killed"))
        return future


def rows_of(executor: Executor, folder: Path) -> tuple[int, list[Any]]:
    what, made_ = small(folder), 0

    def begin() -> Executor:
        nonlocal made_
        made_ += 1
        return executor

    execution = Execution(what.base, what.plan, what.plan.order(), begin, 1, 0.03)
    rows = [row for rows in execution.rows() for row in rows]
    return made_, sorted(rows)


def test_a_worker_that_dies_once_costs_nothing(tmp_path: Path) -> None:
    pools, rows = rows_of(Dying((3,), always=False), tmp_path)
    assert pools == 2
    assert [row.error for row in rows] == [None] * 6


def test_a_run_that_kills_its_worker_is_a_row_and_is_tried_again(
    tmp_path: Path, whole: Path
) -> None:
    _, rows = rows_of(Dying((3,), always=True), tmp_path)
    assert [row.run for row in rows] == list(range(6))
    assert [row.error_kind for row in rows] == [None, None, None, "worker", None, None]
    assert "has died" in rows[3].error
    what = small(tmp_path)
    database = Database.begin(str(tmp_path / "b.db"), what.head)
    database.add(rows)
    assert list(database.done()) == [0, 1, 2, 4, 5]
    database.close()
    made(what, tmp_path / "b.db", workers=1)
    assert dump(tmp_path / "b.db") == dump(whole)


def test_when_nobody_is_there_any_more_the_sweep_ends(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="no workers any more"):
        rows_of(Dying(tuple(range(6)), always=True), tmp_path)


def test_a_run_that_fails_is_a_row_with_its_error(tmp_path: Path) -> None:
    what = order(
        document(tmp_path, PINGS),
        Asked(
            vary=[
                Axis("run.limits.events", (300, 10**6)),
                Axis("until", ("1s", "9s")),
            ],
            metrics=METRICS,
        ),
    )
    made(what, tmp_path / "a.db", workers=1)
    database = Database.read(str(tmp_path / "a.db"))
    rows = list(database.rows(["error_kind", "error", "ended", "ping.sent"]))
    database.close()
    assert [row[0] for row in rows] == ["limit", "limit", None, None]
    assert "more than 300 events" in str(rows[0][1])
    assert str(rows[2][2]).startswith("the time given by until has come; still running: guest ins")
    assert rows[3][3] == 3


def test_what_was_still_going_on_is_told(tmp_path: Path) -> None:
    text = PINGS.replace("-c 3 -i 0.001", "-i 1") + 'until = "5s"\n'
    what = order(document(tmp_path, text), Asked(repeat=2, metrics=METRICS))
    made(what, tmp_path / "a.db", workers=1)
    database = Database.read(str(tmp_path / "a.db"))
    (ended, *_) = next(database.rows(["ended"]))
    database.close()
    assert ended == ("the time given by until has come; still running: guest ping -i 1 10.0.2.2")


def test_a_combination_that_cannot_be_is_a_row(tmp_path: Path) -> None:
    text = PINGS.replace('10.0.2.2" }', '10.0.2.2", at = "4s", stop = "9s" }')
    axes = [Axis("guest.run[0].at", ("4s", "8s")), Axis("guest.run[0].stop", ("5s", "9s"))]
    what = order(document(tmp_path, text), Asked(vary=axes, metrics=METRICS))
    made(what, tmp_path / "a.db", workers=1)
    database = Database.read(str(tmp_path / "a.db"))
    kinds = [kind for (kind,) in database.rows(["error_kind"])]
    database.close()
    assert kinds == [None, None, "scenario", None]


# What cannot be asked for


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked(), "pings: nothing varies; give --vary"),
        (Asked(vary=[Axis("guest.modprobe.RxAbsDelay", (1,))]), "did you mean 'RxAbsIntDelay'"),
        (Asked(vary=[Axis("costs", ("zero", "nul"))]), "no such cost profile"),
        (Asked(repeat=2, metrics=("ping.p98",)), "ping.p98: no such metric.*did you mean 'ping.p9"),
        (Asked(repeat=2, metrics=("irq",), show=("end",)), "end: is to be shown, but is not among"),
        (Asked(vary=[Axis("seed", (1, 2))], seeds=(3, 4)), "seeds are given twice"),
        (Asked(vary=[Axis("seed", ("x",))]), "a seed is a whole number"),
        (Asked(repeat=10_000_001), "10,000,001 runs: at most 10,000,000 are allowed"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path: Path, asked: Asked, told: str) -> None:
    with pytest.raises(UserError, match=told):
        order(document(tmp_path), asked)


def test_the_table_of_a_scenario_says_what_varies(tmp_path: Path) -> None:
    text = PINGS + (
        '[sweep]\nseeds = "4:5"\nmetrics = ["irq"]\nshow = ["irq"]\n'
        "[sweep.vary]\nguest.modprobe.RxIntDelay = [0, 8]\n"
        '[[sweep.zip]]\n"guest.modprobe.TxIntDelay" = [1, 2]\nuntil = ["8s", "9s"]\n'
    )
    scenario = document(tmp_path, text)
    plan = order(scenario).plan
    assert plan.described() == (
        "guest.modprobe.RxIntDelay (2) x guest.modprobe.TxIntDelay with until (2) x seed (2)"
    )
    assert plan.point(7).values == (8, 2, "9s", 5)
    other = order(scenario, Asked(vary=[Axis("until", ("7s",))]))
    assert other.plan.described() == "until (1) x seed (2)"
    assert [metric.name for metric in other.head.metrics] == ["irq"]
    assert json.loads(other.head.facts["show"]) == ["irq"]
    fewer = order(scenario, Asked(metrics=("end",)))
    assert json.loads(fewer.head.facts["show"]) == []


def test_mistakes_of_the_table_have_their_lines(tmp_path: Path) -> None:
    text = '[sweep]\nmetrics = ["irk"]\n[sweep.vary]\nuntil = "5s:1s:1s"\n"x y" = [1]\n'
    with pytest.raises(ScenarioError) as error:
        document(tmp_path, text).read()
    assert [message.partition(": ")[0].rpartition(":")[2] for message in error.value.messages] == [
        "2",
        "4",
        "5",
    ]


def test_the_same_sweep_has_the_same_name_and_another_one_another(tmp_path: Path) -> None:
    first, again = small(tmp_path), small(tmp_path)
    assert first.file_name == again.file_name
    others = [
        small(tmp_path, delays=4),
        small(tmp_path, seeds=3),
        order(document(tmp_path, PINGS + "strict = true\n"), Asked(repeat=2)),
    ]
    assert len({first.base.digest, *(other.base.digest for other in others)}) == 4


def test_a_worker_with_other_files_or_another_version_is_refused(tmp_path: Path) -> None:
    what = small(tmp_path)
    chunk = Chunk((what.plan.point(0),), False)
    for change, told in (
        ({"document_digest": "0"}, "the files that it reads"),
        (
            {"desim": "0.0.1"},
            "a worker has desim",
        ),
    ):
        old = what.base
        own = old.document_digest
        other = Base("f" * 64, old.document, own, None, old.keys, METRICS, "samples")
        for name, value in change.items():
            setattr(other, name, value)
        with pytest.raises(DifferentError, match=told):
            run_chunk(other, chunk)


# Files that cannot go on


def begin(path: Path, folder: Path, **facts: str) -> None:
    head = small(folder).head
    head = Head({**head.facts, **facts}, head.parameters, head.metrics)
    Database.begin(str(path), head).close()


def look(path: Path, folder: Path) -> None:
    """Go on with a file, and read all of it."""
    begin(path, folder)
    dump(path)


def test_a_file_of_another_sweep_or_version_stays_as_it_is(tmp_path: Path, whole: Path) -> None:
    kept = tmp_path / "kept.db"
    shutil.copy(whole, kept)
    before = kept.read_bytes()
    with pytest.raises(OutputError, match=r"holds another sweep \(pings: guest.*name another file"):
        begin(kept, tmp_path, digest="f" * 64)
    with pytest.raises(OutputError, match=r"made by desim .*, this is 0\.0\.1"):
        begin(kept, tmp_path, desim="0.0.1")
    assert kept.read_bytes() == before


def test_what_is_no_file_of_results(tmp_path: Path, whole: Path) -> None:
    cases: dict[str, tuple[bytes, str]] = {
        "text": (b"hello, world\n" * 100, "not a database, or a broken one"),
        "broken": (whole.read_bytes()[:4096] + b"\xff" * 8192, "broken|not as desim writes it"),
    }
    for name, (data, told) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(OutputError, match=told):
            look(path, tmp_path)
        assert path.read_bytes() == data
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE runs (a)")
    connection.close()
    with pytest.raises(OutputError, match="a database, but not of a sweep of desim"):
        begin(foreign, tmp_path)
    with pytest.raises(OutputError, match="is a folder"):
        begin(tmp_path, tmp_path)
    with pytest.raises(OutputError, match="cannot be opened or created there"):
        begin(tmp_path / "no" / "where.db", tmp_path)
    with pytest.raises(OutputError, match="no such file"):
        Database.read(str(tmp_path / "none.db"))


def test_two_at_a_time_do_not_write_one_file(tmp_path: Path) -> None:
    what = small(tmp_path)
    first = Database.begin(str(tmp_path / "a.db"), what.head)
    try:
        with pytest.raises(OutputError, match="another process is writing it"):
            Database.begin(str(tmp_path / "a.db"), what.head)
    finally:
        first.close()


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, whole: Path) -> None:
    what = small(tmp_path)
    database = Database.begin(str(tmp_path / "a.db"), what.head)
    pages = database._connection.execute("PRAGMA page_count").fetchone()[0]
    database._connection.execute(f"PRAGMA max_page_count = {pages}")
    rows = run_chunk(what.base, Chunk((what.plan.point(0),), False)).rows
    database.add(rows)
    huge = rows[0]._replace(run=1, error="x" * 100_000)
    with pytest.raises(OutputError, match="the disk is full; what was done before is kept"):
        database.add([huge])
    database.close()
    assert made(what, tmp_path / "a.db", workers=1)[0].done == 1
    assert dump(tmp_path / "a.db") == dump(whole)
