"""The net layer of a recording, made of the project's own net core and hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from desim.net import Net, NetClientState
from desim.net.filter import NetFilterState, Place, Queue
from desim.net.hub import NetHub
from desim.ports import Ledger, NetClient
from desim.testing import NoLoop
from desim.wire.frame import Frame


class Watch(NetFilterState):
    """Notes each packet that comes by; it stands where a recording's ``filter-dump`` stood."""

    __slots__ = ("_note",)

    kind = "watch"

    def __init__(self, place: Place, note: Callable[[Frame], None]) -> None:
        super().__init__(place)
        self._note = note

    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        """Note it and let it pass."""
        self._note(frame)
        return 0


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

    def watch(self, name: str, note: Callable[[Frame], None]) -> None:
        """Call ``note`` with each frame that ``name`` sends and that its link lets out.

        A filter never hangs on a card: what a card sends is seen by its peer.
        """
        client = self.clients[name]
        netdev = client
        queue: Queue = "tx"
        if client.is_nic:
            assert client.peer is not None, "all clients are connected"
            netdev, queue = client.peer, "rx"
        Watch(Place(netdev, f"watch {name}", queue), note).complete()

    def set_link(self, name: str, up: bool) -> None:
        """The monitor's ``set_link``."""
        self.net.set_link(name, up)

    def stop(self) -> None:
        """The machine stops: what waits is pushed, and what is not taken is lost."""
        self.net.stop()

    def resume(self) -> None:
        """The machine goes on."""
        self.net.resume()
