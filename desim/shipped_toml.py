"""TOML files that come with desim, read as Python reads a module: parsed once, then kept compiled.

What Python has compiled lies in ``__pycache__`` beside the source, and serves as long as that has
the same time and size. A table of TOML is a value of Python's, so the same loader keeps it there;
where nobody may write, or Python shall not, the file is parsed each time.

NOTE: parsing a cost profile is 3 % of a start, a scenario with all that ``tomllib`` imports 2 %.
"""

from __future__ import annotations

import os
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import Any


class _Tables(SourceFileLoader):
    """Compiles a TOML file to a module that has the file's tables."""

    def source_to_code(  # type: ignore[override]  # only files come here
        self, data: bytes, path: str, *, _optimization: int = -1
    ) -> CodeType:
        import tomllib

        return compile(f"tables = {tomllib.loads(data.decode())!r}", path, "exec")


def tables(path: str) -> dict[str, Any]:
    """What the TOML file at ``path`` says: text, whole numbers, lists and tables, no dates."""
    module = ModuleType(os.path.basename(path))
    _Tables(module.__name__, path).exec_module(module)
    found: dict[str, Any] = module.tables
    return found
