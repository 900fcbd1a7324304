"""The scenarios that come with desim, and how a scenario is found by its name."""

from __future__ import annotations

from pathlib import Path

from desim.disk import kind_of
from desim.errors import ScenarioError, nearest


def shipped_folder() -> Path:
    """``desim/scenarios`` where desim is installed, ``scenarios/`` in a source checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "scenarios"
    return installed if installed.is_dir() else package.parent / "scenarios"


def shipped_scenarios() -> dict[str, Path]:
    """Every shipped scenario by its bare name, in the order of the names."""
    found = {path.stem: path for path in shipped_folder().glob("*.toml")}
    return dict(sorted(found.items()))


def find_scenario(name: str) -> tuple[Path, str]:
    """The file that ``name`` means, and what messages call it.

    ``name`` is a path, or the bare name of a shipped scenario; a file of that very
    name goes first.
    """
    path = Path(name)
    kind = kind_of(path)
    if kind == "file":
        return path, name
    known = shipped_scenarios()
    if name in known:
        return known[name], f"{name}.toml"
    if name and kind is not None:
        raise ScenarioError(f"{name}: {'a folder' if kind == 'folder' else 'not a regular file'}")
    if path.name == name and not name.endswith(".toml"):
        raise ScenarioError(
            f"{name or repr(name)}: neither a file nor a shipped scenario{nearest(name, known)}; "
            "desim scenarios lists them"
        )
    if path.stem in known:
        raise ScenarioError(f"{name}: no such file; the shipped scenario is called '{path.stem}'")
    from desim.scenario.inputs import neighbours  # the list of scenarios needs none

    near = nearest(path.name, neighbours(path)) if "\0" not in name else ""
    raise ScenarioError(f"{name}: no such file{near}")
