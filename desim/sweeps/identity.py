"""What makes two sweeps the same: the scenario with the files that it reads, and the plan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from desim.scenario.document import Document
from desim.sweeps.plan import Plan

SWEEP = "sweep"
"""The table of a file that is no part of a run."""


def document_digest(document: Document, costs: str | None) -> str:
    """SHA-256 of all that a scenario says, of its files and of its costs. Raises ``ScenarioError``.

    Where its folder lies is no part of it, nor is its table ``[sweep]``.
    """
    config = document.read()
    said = {name: value for name, value in document.data.items() if name != SWEEP}
    inputs = [
        (side, name, file.sha256)
        for side, files in (("guest", config.guest_files), ("host", config.host_files))
        for name, file in sorted(files.items())
    ]
    profile = Path(costs or config.costs)
    used = sha256(profile.read_bytes()).hexdigest() if profile.is_file() else str(profile)
    return _digest([document.name, said, inputs, used])


def sweep_digest(document: str, plan: Plan, metrics: Sequence[str], kept: str) -> str:
    """SHA-256 of a whole sweep; ``document`` is the digest of its scenario."""
    groups = [(group.keys, list(group.rows)) for group in plan.groups]
    return _digest([document, groups, list(plan.seeds), list(metrics), kept])


def _digest(what: object) -> str:
    text = json.dumps(what, ensure_ascii=True, sort_keys=True, default=repr)
    return sha256(text.encode()).hexdigest()
