"""The net layer of a recording, made of the project's own net core and hub.

``NetCoreNetwork`` is the ``NetworkFactory`` that ``desim.conform.e1000.replay`` asks for.
"""

from __future__ import annotations

from collections.abc import Sequence

from desim.net import Net, NetClientState, NetHub
from desim.ports import Ledger, NetClient


class NoLoop:
    """A main loop that nobody sleeps in: all happens inside the replayed accesses."""

    def notify(self) -> None:
        """Nothing to wake."""


class NetCoreNetwork:
    """Every name is a client of one hub, or the two names are each other's peer."""

    def __init__(self, ports: Sequence[str], *, hub: bool, ledger: Ledger) -> None:
        self.net = Net(loop=NoLoop(), ledger=ledger)
        self.clients: dict[str, NetClientState] = {}
        hub_ports = []
        if hub:
            net_hub = NetHub(self.net)
            hub_ports = [net_hub.add_port() for _ in ports]
        for name in ports:
            self.clients[name] = self.net.client(name, is_nic=name != "user")
        if hub:
            for name, port in zip(ports, hub_ports, strict=True):
                self.clients[name].connect(port.client)
        else:
            one, other = self.clients.values()
            one.connect(other)

    def port(self, name: str) -> NetClientState:
        """The sending side of ``name``."""
        return self.clients[name]

    def attach(self, name: str, client: NetClient) -> None:
        """The receiving side of ``name``."""
        self.clients[name].handler = client

    def set_link(self, name: str, up: bool) -> None:
        """The monitor's ``set_link``."""
        self.net.set_link(name, up)

    def stop(self) -> None:
        """The machine stops: what waits is pushed, and what is not taken is lost."""
        self.net.stop()

    def resume(self) -> None:
        """The machine goes on."""
        self.net.resume()
