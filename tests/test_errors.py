"""The one tree of errors: it is as drawn, nobody grows another, and what it says holds."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import re
from collections.abc import Iterator

import pytest

import desim
from desim import errors

INSIDE = {
    "desim.wire.errors.WireError": "bytes that are no packet: every reader expects that",
    "desim.userland.shell.ShellError": "a command line; a scenario's reader makes it a mistake",
    "desim.guest.drivers.modprobe.ModuleError": "what modprobe prints; likewise",
    "desim.guest.drivers.e1000.phy.PhyError": "E1000_ERR_PHY, which the driver handles",
    "desim.userland.ethtool.NetlinkError": "the errno of an answer to a simulated program",
    "desim.userland.process.Blocked": "a system call that has to sleep",
    "desim.userland.programs.busybox.Fatal": "the end of a simulated program",
    "desim.userland.programs.curl_options.CurlError": "the end of a simulated program",
    "desim.userland.programs.curl_options.UsageError": "the end of a simulated program",
    "desim.userland.programs.getopt.GetoptError": "the end of a simulated program",
    "desim.userland.programs.ltool_common.UsageError": "the end of a simulated program",
    "desim.conform.packetdrill.errors.ScriptError": "a script; the suite tells with its line",
    "desim.conform.packetdrill.errors.NotModelled": "an outcome of a script; likewise",
    "desim.conform.packetdrill.errors.Failed": "an outcome of a script; likewise",
    "desim.userland.programs.coreutils.Fatal": "the end of a simulated program",
    "desim.userland.programs.coreutils.Usage": "the end of a simulated program",
    "desim.userland.programs.iperf3_core.Failed": "the end of a simulated program",
    "desim.engine.environment.Stop": "the end of a run, from an entry of its heap",
    "desim.machine.state.CannotRestore": "the machine is booted anew instead of rewound",
    "desim.machine.rounds.Uneven": "a round of an idle machine is made instead of left out",
    "desim.against.libslirp.library.LibraryError": "a worker tells it the search, which refuses",
    "desim.against.qemu.machine.QemuError": "what became of a program; the search tells and saves",
    "desim.against.qemu.recorder.InexactError": "a program that is left out, and counted",
    "desim.sweeps.work.DifferentError": "from a worker to who has sent it a chunk of runs",
    "desim.experiment.backtrace.Hit": "the end of a run at its breakpoint",
}
"""Exceptions that are no part of the tree, each with why."""


def drawn() -> dict[str, str | None]:
    """Each name of the docstring's drawing, with the name above it."""
    found: dict[str, str | None] = {}
    way: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([│ ]*(?:[├└]── )?)([A-Z]\w+Error)\b", line)
        if match:
            depth = len(match[1])
            way = [(above, name) for above, name in way if above < depth]
            found[match[2]] = way[-1][1] if way else None
            way.append((depth, match[2]))
    return found


def classes(of: object) -> Iterator[type[BaseException]]:
    for found in vars(of).values():
        if isinstance(found, type) and issubclass(found, BaseException):
            if found.__module__ == getattr(of, "__name__", ""):
                yield found


def test_the_drawing_is_the_tree() -> None:
    tree = {cls.__name__: cls.__bases__[0].__name__ for cls in classes(errors)}
    assert drawn() == tree | {"DesimError": None}


def test_every_other_exception_of_desim_is_known_with_its_reason() -> None:
    found = set()
    for module in pkgutil.walk_packages(desim.__path__, "desim."):
        if module.name != "desim.__main__":
            for cls in classes(importlib.import_module(module.name)):
                if not cls.__name__.startswith("_") and cls.__module__ != "desim.errors":
                    found.add(f"{cls.__module__}.{cls.__qualname__}")
    assert found == set(INSIDE)


USERS = [name for name in drawn() if issubclass(getattr(errors, name), errors.UserError)]


@pytest.mark.parametrize("name", USERS)
def test_a_users_error_has_its_messages_line_by_line(name: str) -> None:
    error = getattr(errors, name)("a: no", "b: no")
    assert error.messages == ["a: no", "b: no"]
    assert str(error) == "a: no\nb: no"
    again = pickle.loads(pickle.dumps(error))  # it may come from another process
    assert (type(again), again.messages) == (type(error), error.messages)
    with pytest.raises(TypeError, match="at least one message"):
        getattr(errors, name)()


def test_an_unreadable_recording_is_a_value_error_too() -> None:
    assert issubclass(errors.RecordingError, ValueError)
    assert issubclass(errors.DifferenceError, AssertionError)
