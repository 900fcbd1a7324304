"""A sweep on a cluster of Dask's, of which one worker is killed in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweeping import dump, made, small

from desim.cli import main
from desim.errors import UserError
from desim.sweeps.cluster import dask_executor
from desim.sweeps.database import Database
from desim.sweeps.sweep import make

distributed = pytest.importorskip(
    "distributed", reason="needs Dask: pip install 'desim[cluster]', or nox -s cluster"
)
pytestmark = [
    pytest.mark.slow,
    # What Dask says while its workers go is about Dask.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield cluster


def test_a_worker_that_is_killed_costs_nothing(cluster: Any, tmp_path: Path) -> None:
    what = small(tmp_path, delays=10, seeds=2)
    database = Database.begin(str(tmp_path / "a.db"), what.head)
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    before = pids(cluster)
    killed = False
    for step in make(what, database, executor=dask_executor(address), workers=2):
        if step.done >= 4 and not killed:
            os.kill(before[0], signal.SIGKILL)
            killed = True
    assert killed
    assert step.done == 20
    assert step.failed == 0
    database.close()
    cluster.wait_for_workers(2)
    assert before[0] not in pids(cluster)
    made(what, tmp_path / "b.db", workers=1)
    assert dump(tmp_path / "a.db") == dump(tmp_path / "b.db")


def pids(cluster: Any) -> list[int]:
    """The processes of its workers."""
    found: dict[str, int] = distributed.default_client().run(os.getpid)
    return sorted(found.values())


def test_the_command_line_takes_the_address(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    small(tmp_path)
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    words = ["sweep", "pings.toml", "--seeds", "1:3", "--show", "irq", "-o", "a.db"]
    assert main([*words, "--executor", address]) == 0
    assert "seed (3): 3 runs" in capsys.readouterr().out


def test_where_nobody_listens_is_one_message() -> None:
    with pytest.raises(UserError, match=r"--executor dask://127.0.0.1:1: no scheduler of Dask's"):
        dask_executor("dask://127.0.0.1:1")
