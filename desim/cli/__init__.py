"""The command line: one module per command, imported when it is called."""

from desim.cli._main import main, process

__all__ = ["main", "process"]
