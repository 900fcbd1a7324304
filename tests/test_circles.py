"""No circle between files that is not named here, with its reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[1]


class Named(NamedTuple):
    """An import that closes a circle, by a type checker's eyes only."""

    importer: str
    """A module, or a pattern of modules."""
    imported: str
    reason: str


NAMED = (
    Named(
        "desim.slirp.*",
        "desim.slirp.slirp",
        "slirp's files are parts of one Slirp, through which they reach each other",
    ),
    Named(
        "desim.slirp.tcp_var",
        "desim.slirp.socket",
        "a socket has its control block and that its socket (so_tcpcb, t_socket)",
    ),
    Named(
        "desim.guest.net.tcp.*",
        "desim.guest.net.tcp.tcp",
        "TCP's files are parts of one Tcp, through which they reach each other",
    ),
    Named(
        "desim.guest.net.tcp.tcp_sock",
        "desim.guest.net.tcp.tcp_cong",
        "a socket holds its congestion control (icsk_ca_priv), which works on the socket",
    ),
    Named(
        "desim.guest.drivers.e1000.ethtool",
        "desim.guest.drivers.e1000.main",
        "a driver has its ethtool operations and those their driver (netdev_priv)",
    ),
    Named(
        "desim.experiment.*",
        "desim.experiment.run",
        "a run's result has its figures and its verdict, which are made from it",
    ),
    Named(
        "desim.experiment.metric_values",
        "desim.experiment.metrics",
        "a figure comes of what Metrics makes, where it is asked for by its name",
    ),
    Named(
        "desim.scenario.*",
        "desim.scenario.schema",
        "tables that few files have are made of what the schema has, and are among its keys",
    ),
    Named(
        "desim.engine.environment",
        "desim.engine.thread",
        "the environment knows who runs, and a thread the environment that it meets",
    ),
    Named(
        "desim.engine.events",
        "desim.engine.simpy_environment",
        "an event of SimPy has its environment, which makes events",
    ),
)

PROBE = """
import grimp, json, sys
graph = grimp.build_graph(
    "desim", exclude_type_checking_imports=sys.argv[1] == "run", cache_dir=None
)
edges = [
    (module, imported)
    for module in sorted(graph.modules)
    for imported in sorted(graph.find_modules_directly_imported_by(module))
]
print(json.dumps(edges))
"""


@cache
def edges(kind: str) -> tuple[tuple[str, str], ...]:
    """Who imports whom: when it runs ("run"), or for a type checker, too ("types")."""
    pytest.importorskip("grimp", reason="needs grimp: pip install import-linter")
    done = subprocess.run(
        [sys.executable, "-c", PROBE, kind],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple((importer, imported) for importer, imported in json.loads(done.stdout))


def named_by(entry: Named) -> Iterator[tuple[str, str]]:
    for importer, imported in edges("types"):
        if fnmatchcase(importer, entry.importer) and imported == entry.imported:
            yield importer, imported


def circles(found: set[tuple[str, str]]) -> list[list[str]]:
    """The files of each knot, sorted."""
    graph = nx.DiGraph(sorted(found))
    return sorted(sorted(c) for c in nx.strongly_connected_components(graph) if len(c) > 1)


def test_there_is_no_circle_when_desim_runs() -> None:
    assert circles(set(edges("run"))) == []


def test_a_circle_of_types_is_named_with_its_reason() -> None:
    rest = set(edges("types"))
    for entry in NAMED:
        assert entry.reason
        rest -= set(named_by(entry))
    assert circles(rest) == []


@pytest.mark.parametrize("entry", NAMED, ids=lambda entry: entry.importer)
def test_what_is_named_still_closes_a_circle(entry: Named) -> None:
    rest = set(edges("types"))
    for other in NAMED:
        rest -= set(named_by(other))
    assert circles(rest | set(named_by(entry))) != [], "it is no circle any more: take it off"
