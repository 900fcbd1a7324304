"""desim: a deterministic discrete-event simulation of QEMU user networking.

What is offered here is listed in ``__all__`` and described in ``docs/api.md``; a name is
looked up when it is first used, so that importing desim costs nothing. How desim is built is
in ``docs/architecture.md``; the rooms of the house are named after the stations of a packet.
"""

from __future__ import annotations

# Type checkers take a constant of this name for typing's, whose import alone would take as
# long as half a start of the interpreter.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from desim import errors as errors
    from desim import testing as testing
    from desim.api.laws import law as law
    from desim.api.many import Runner as Runner
    from desim.api.many import run_many as run_many
    from desim.api.page import html_report as html_report
    from desim.api.result import Result as Result
    from desim.api.running import Machine as Machine
    from desim.api.running import assemble as assemble
    from desim.api.running import backtrace as backtrace
    from desim.api.running import run as run
    from desim.api.scenario import Scenario as Scenario
    from desim.api.scenario import from_qemu as from_qemu
    from desim.api.scenario import load as load
    from desim.api.shipped import CostProfile as CostProfile
    from desim.api.shipped import cost_profiles as cost_profiles
    from desim.api.shipped import scenarios as scenarios
    from desim.api.sweep import Sweep as Sweep
    from desim.api.sweep import sweep as sweep
    from desim.api.topology import Topology as Topology
    from desim.errors import DesimError as DesimError
    from desim.errors import ModelError as ModelError
    from desim.errors import OutputError as OutputError
    from desim.errors import ProfileError as ProfileError
    from desim.errors import RecordingError as RecordingError
    from desim.errors import ScenarioError as ScenarioError
    from desim.errors import UserError as UserError
    from desim.errors import WorkerError as WorkerError
    from desim.experiment.backtrace import Backtrace as Backtrace
    from desim.experiment.journey import Journey as Journey
    from desim.experiment.journey import Message as Message
    from desim.experiment.journey.statistics import Statistics as Statistics
    from desim.version import __version__ as __version__

_HOMES = {
    "desim": ("errors", "testing"),
    "desim.api.laws": ("law",),
    "desim.api.many": ("Runner", "run_many"),
    "desim.api.page": ("html_report",),
    "desim.api.result": ("Result",),
    "desim.api.running": ("Machine", "assemble", "backtrace", "run"),
    "desim.api.scenario": ("Scenario", "from_qemu", "load"),
    "desim.api.shipped": ("CostProfile", "cost_profiles", "scenarios"),
    "desim.api.sweep": ("Sweep", "sweep"),
    "desim.api.topology": ("Topology",),
    "desim.errors": (
        "DesimError",
        "ModelError",
        "OutputError",
        "ProfileError",
        "RecordingError",
        "ScenarioError",
        "UserError",
        "WorkerError",
    ),
    "desim.experiment.backtrace": ("Backtrace",),
    "desim.experiment.journey": ("Journey", "Message"),
    "desim.experiment.journey.statistics": ("Statistics",),
    "desim.version": ("__version__",),
}

__all__ = [
    "Backtrace",
    "CostProfile",
    "DesimError",
    "Journey",
    "Machine",
    "Message",
    "ModelError",
    "OutputError",
    "ProfileError",
    "RecordingError",
    "Result",
    "Runner",
    "Scenario",
    "ScenarioError",
    "Statistics",
    "Sweep",
    "Topology",
    "UserError",
    "WorkerError",
    "__version__",
    "assemble",
    "backtrace",
    "cost_profiles",
    "errors",
    "from_qemu",
    "html_report",
    "law",
    "load",
    "run",
    "run_many",
    "scenarios",
    "sweep",
    "testing",
]


if not TYPE_CHECKING:  # a checker is to refuse a name that is not there

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        for home, names in _HOMES.items():
            if name in names:
                if home == __name__:
                    return import_module(f"{home}.{name}")
                return getattr(import_module(home), name)
        raise AttributeError(f"module 'desim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
