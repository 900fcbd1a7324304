"""The scenarios that come with desim, and how a scenario is found by its name."""

from __future__ import annotations

import os

from desim.disk import kind_of, stem_of
from desim.errors import ScenarioError, nearest


def shipped_folder() -> str:
    """``desim/scenarios`` where desim is installed, ``scenarios/`` in a source checkout."""
    package = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    installed = os.path.join(package, "scenarios")
    beside = os.path.join(os.path.dirname(package), "scenarios")
    return installed if os.path.isdir(installed) else beside


def shipped_scenarios() -> dict[str, str]:
    """The file of every shipped scenario by its bare name, in the order of the names."""
    folder = shipped_folder()
    files = [file for file in os.listdir(folder) if file.endswith(".toml")]
    return dict(sorted((stem_of(file), os.path.join(folder, file)) for file in files))


def find_scenario(name: str) -> tuple[str, str]:
    """The file that ``name`` means, and what messages call it.

    ``name`` is a path, or the bare name of a shipped scenario; a file of that very
    name goes first.
    """
    path = name.rstrip("/") or name
    kind = kind_of(path)
    if kind == "file":
        return path, name
    known = shipped_scenarios()
    if name in known:
        return known[name], f"{name}.toml"
    if name and kind is not None:
        raise ScenarioError(f"{name}: {'a folder' if kind == 'folder' else 'not a regular file'}")
    if "/" not in name and not name.endswith(".toml"):
        raise ScenarioError(
            f"{name or repr(name)}: neither a file nor a shipped scenario{nearest(name, known)}; "
            "desim scenarios lists them"
        )
    if (stem := stem_of(path)) in known:
        raise ScenarioError(f"{name}: no such file; the shipped scenario is called '{stem}'")
    from desim.scenario.inputs import neighbours  # the list of scenarios needs none

    near = nearest(os.path.basename(path), neighbours(path)) if "\0" not in name else ""
    raise ScenarioError(f"{name}: no such file{near}")
