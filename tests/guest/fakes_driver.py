"""The guest's driver on the real card core (``desim.testing.driver``), as its tests call it."""

from __future__ import annotations

from desim.testing.driver import (
    MAC,
    MS,
    SECOND,
    FakeBus,
    FakeClock,
    FakeCpu,
    FakeDevice,
    FakeNet,
    FakeTimer,
    FakeWork,
    Guest,
    noting,
)

__all__ = [
    "MAC",
    "MS",
    "SECOND",
    "FakeBus",
    "FakeClock",
    "FakeCpu",
    "FakeDevice",
    "FakeNet",
    "FakeTimer",
    "FakeWork",
    "Guest",
    "noting",
]
