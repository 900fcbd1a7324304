"""QEMU's net core: clients, their queues, the hub (``desim.net.hub``)."""

from desim.net.client import Net, NetClientState
from desim.net.queue import MAXLEN, NetQueue

__all__ = ["MAXLEN", "Net", "NetClientState", "NetQueue"]
