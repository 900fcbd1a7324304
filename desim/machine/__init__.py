"""One machine, put together from its configuration: the only place where rooms meet."""

from desim.machine.machine import Machine, Transcript

__all__ = ["Machine", "Transcript"]
