"""QEMU's net core: clients, their queues, the hub."""

from desim.net.client import Net, NetClientState
from desim.net.hub import NetHub, NetHubPort
from desim.net.queue import MAXLEN, NetQueue

__all__ = ["MAXLEN", "Net", "NetClientState", "NetHub", "NetHubPort", "NetQueue"]
