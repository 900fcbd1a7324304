"""How parts are made, so that a machine can put its own subclasses in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Build = Callable[[type[Any]], type[Any]]
"""Gives the class to make instead of the one it is given."""


def bare(part: type[Any]) -> type[Any]:
    """The class itself."""
    return part
