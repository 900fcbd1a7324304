"""Each law about a part can be broken: by a fault of the list, put into the part while it runs."""

from __future__ import annotations

import importlib
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import pytest
from mutants.faults import ROOT, Fault, load

from desim.laws.table import LAWS

PARTS = [law.name for law in LAWS.values() if law.part]
DRAWS = 60
FAULTS = {fault.name: fault for fault in load()}
BREAKS = {
    "a-queue-keeps-the-order": "queue-refused-goes-back",
    "a-queue-has-an-end": "queue-one-more",
    "a-hub-repeats-to-all-others": "hub-oldest-first",
    "filters-are-passed-in-their-order": "filters-one-way",
    "the-line-rises-by-the-rules-of-mitigation": "window-never-closes-again",
    "the-card-sends-what-its-ring-says": "tso-psh-on-all",
    "the-card-stores-what-is-for-it": "rxdmt0-late",
    "the-driver-keeps-its-rings": "driver-wake-late",
    "slirp-puts-a-stream-together": "slirp-sbappend-overtakes",
    "slirp-sends-what-the-host-says": "slirp-push-missing",
    "slirp-asks-for-a-closed-window": "slirp-persist-gives-up",
    "slirp-sends-again-what-is-lost": "slirp-rto-no-backoff",
    "slirp-delays-an-acknowledgement": "slirp-no-delayed-ack",
    "the-host-has-one-address": "slirp-accept-untranslated",
    "slirp-keeps-what-it-has-promised": "slirp-window-taken-back",
    "time-wait-begins-again": "slirp-2msl-not-restarted",
    "slirp-puts-fragments-together": "slirp-fragment-overlap",
    "a-udp-session-lives-four-minutes": "slirp-udp-never-expires",
    "each-connection-has-its-turn": "slirp-walk-all-of-one",
    "the-guest-puts-a-stream-together": "guest-ofo-order",
    "the-guest-takes-nothing-beyond-its-window": "guest-zero-window-takes",
    "the-guest-acknowledges-every-second-segment": "guest-delack-stands-still",
    "the-guest-tries-again-ever-later": "guest-no-backoff",
    "an-orphan-waits-a-minute-for-a-fin": "guest-fin-wait2-for-ever",
    "the-guest-asks-for-a-closed-window": "guest-probe-once",
    "a-listener-takes-one-more-than-its-backlog": "host-listener-one-more",
    "an-alarm-rings-when-it-is-set-for": "alarm-late",
    "an-interrupt-is-taken-at-its-instant": "engine-interrupt-at-instant",
    "the-lower-rank-goes-first": "engine-alone-too-long",
    "a-sleep-ends-in-time": "engine-wake-forgotten",
}
"""For each a fault that breaks it."""


def broken(name: str, draws: int) -> list[str]:
    """In which ways so many drawn inputs break a law, up to the first that does."""
    for number in range(draws):
        run: Any = SimpleNamespace(config=SimpleNamespace(seed=number % 7 + 1), end_ns=number)
        found = LAWS[name].broken(run)
        if found:
            return [one.text for one in found]
    return []


def put_in(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The models have ``fault`` until the test ends."""
    name = fault.file.removesuffix(".py").replace("/", ".")
    source = (ROOT / fault.file).read_text(encoding="utf-8").replace(fault.was, fault.becomes)
    made = ModuleType(name)
    made.__dict__["__package__"] = name.rpartition(".")[0]
    exec(compile(source, fault.file, "exec"), made.__dict__)
    module = importlib.import_module(name)
    for owner, there in [(made, module), *_classes(made, module)]:
        for key, value in list(vars(owner).items()):
            new, old = _function(value), _function(vars(there).get(key))
            if new is not None and old is not None and new.__code__ != old.__code__:
                monkeypatch.setattr(old, "__code__", new.__code__)


def _function(value: Any) -> FunctionType | None:
    """The function in a namespace's entry."""
    value = getattr(value, "__func__", getattr(value, "fget", value))
    return value if isinstance(value, FunctionType) else None


def _classes(made: ModuleType, module: ModuleType) -> list[tuple[Any, Any]]:
    """The classes of a module, each beside that of the real one."""
    return [
        (value, getattr(module, key))
        for key, value in vars(made).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("name", PARTS)
def test_a_part_keeps_its_law(name: str) -> None:
    assert broken(name, 12) == []


@pytest.mark.parametrize("name", PARTS)
def test_a_fault_breaks_the_law_of_its_part(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in(FAULTS[BREAKS[name]], monkeypatch)
    assert broken(name, DRAWS), "nothing breaks it"
