"""desim: a deterministic discrete-event simulation of QEMU user networking.

Start at ``docs/architecture.md``; the rooms of the house are named after the
stations of a packet.
"""

__version__ = "0.1.0"
