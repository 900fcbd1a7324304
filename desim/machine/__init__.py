"""One machine, put together from its configuration: the only place where rooms meet."""

from desim.machine.machine import Machine
from desim.machine.vm import Transcript

__all__ = ["Machine", "Transcript"]
