"""Names of threads and capture points, taken apart."""

from __future__ import annotations

import pytest

from desim.experiment.places import machine_point, machine_thread
from desim.machine.vm import is_card


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("vcpu", ("", "vcpu")),
        ("b main", ("b", "main")),
        ("nc[29702]", None),
        ("main[3]", None),
    ],
)
def test_threads(name: str, of: tuple[str, str] | None) -> None:
    assert machine_thread(name) == of


@pytest.mark.parametrize(
    ("name", "of", "is_nic"),
    [
        ("slirp", ("", "slirp"), False),
        ("b-nic", ("b", "nic"), True),
        ("socket-nic", ("", "socket-nic"), False),
        ("b-socket-nic", ("b", "socket-nic"), False),
        ("b-injector", ("b", "injector"), False),
        ("nic", ("", "nic"), True),
    ],
)
def test_points(name: str, of: tuple[str, str], is_nic: bool) -> None:
    assert machine_point(name) == of
    assert is_card(name) == is_nic
