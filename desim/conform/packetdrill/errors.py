"""What can come of a script, but that it passes.

ScriptError      it cannot be read: nobody's packetdrill could run it
NotModelled      it needs what the modelled guest has not got
Failed           the guest did something else than the script says
"""

from __future__ import annotations


class ScriptError(ValueError):
    """A script that cannot be read; ``line`` is 0 where no line is at fault."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class NotModelled(Exception):  # noqa: N818 - a refusal, not an error
    """A script asks for what is not modelled."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


class Failed(Exception):  # noqa: N818 - the outcome of a test
    """The guest did not do what the script says."""

    def __init__(self, line: int, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; {came}")
        self.line = line
        self.expected = expected
        self.came = came
