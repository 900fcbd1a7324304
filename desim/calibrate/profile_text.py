"""A fitted cost profile as the TOML file that ``--costs`` takes."""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterable

from desim.calibrate.fit import Fitted
from desim.calibrate.observe import EVENT_FILE
from desim.costs.profile import INSTRUCTIONS


def profile_text(
    figures: Iterable[Fitted],
    *,
    description: str,
    comment: str,
    status: str,
    unit: str = INSTRUCTIONS,
) -> str:
    """The file's text; figures that come to nothing are left out."""
    stages: dict[tuple[str, str], list[Fitted]] = defaultdict(list)
    for one in figures:
        file, stage, _ = one.figure
        if file != EVENT_FILE and round(one.value) > 0:
            stages[file, stage].append(one)
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines += ["", f"description = {json.dumps(description)}", f"status = {json.dumps(status)}"]
    lines += [f"unit = {json.dumps(unit)}"]
    before = ""
    for (file, stage), found in sorted(stages.items()):
        if file != before:
            lines += ["", f"[{json.dumps(file)}]"]
            before = file
        values = [f"{one.figure[2]} = {round(one.value)}" for one in found]
        best = max(found, key=lambda one: one.observations)
        source = f"fitted to {best.observations} observations, residual {best.residual:.1%}"
        lines.append(f"{stage} = {{ {', '.join(values)}, source = {json.dumps(source)} }}")
    return "\n".join(lines) + "\n"


def is_profile(text: str) -> bool:
    """Whether this is the text of a cost profile, perhaps one for stages of another time."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return False
    tables = [value for value in document.values() if not isinstance(value, str)]
    return document.get("status") in ("assumed", "measured") and all(
        isinstance(table, dict)
        and all(isinstance(entry, dict) and "source" in entry for entry in table.values())
        for table in tables
    )


def uniform(stages: Iterable[tuple[str, str]], each: int) -> str:
    """A profile to start from: every stage takes the same."""
    figures = [Fitted((file, stage, "enter"), each, 0, 0.0) for file, stage in stages]
    return profile_text(
        figures, description="The same for every stage", comment="", status="assumed"
    )
