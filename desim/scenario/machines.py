"""What must be true of machines together: who connects finds a listener, who injects a hub."""

from __future__ import annotations

from collections.abc import Mapping

from desim.devices import SocketNet
from desim.scenario.qemu_wiring import Network
from desim.wire.addresses import mac_text


def no_hub(injects: bool, network: Network) -> list[str]:
    """Why nothing can be injected into a network."""
    if not injects or network.hub:
        return []
    return [
        "inject needs a hub, and here the card and its peer have a wire of their own; put them on "
        "one: -netdev hubport,id=h0,hubid=0,netdev=ID -netdev hubport,id=h1,hubid=0 "
        "-device e1000,netdev=h1"
    ]


def joined(networks: Mapping[str, Network]) -> list[tuple[str, str]]:
    """What is wrong between machines: whose options, and what. They start in this order."""
    found = []
    behind = dict(networks)
    first = next(iter(networks.values()))
    for name, network in networks.items():
        del behind[name]
        if network.icount_shift != first.icount_shift:
            found.append((name, "-icount: must be the same for all machines of a run"))
        listening = {_listens(socket) for other in behind.values() for socket in other.sockets}
        for socket in network.sockets:
            at = socket.path or (socket.remote[1] if socket.remote is not None else None)
            if socket.role == "connect" and at in listening:
                found.append(
                    (
                        name,
                        f"-netdev {socket.kind},id={socket.id}: can't connect socket: Connection "
                        f"refused: the machine that listens at {at} starts later; machines start "
                        "in the order of the file, the first one first",
                    )
                )
    return found


def _listens(socket: SocketNet) -> str | int | None:
    """The path or port where somebody else may connect; None if it does not listen."""
    if socket.role != "listen":
        return None
    return socket.path or (socket.local[1] if socket.local is not None else None)


def same_addresses(networks: Mapping[str, Network]) -> list[str]:
    """Notes on cards with one address on wires that may be joined."""
    seen: dict[bytes, str] = {}
    found = []
    for name, network in networks.items():
        if network.nic is None or not network.sockets:
            continue
        mac = network.nic.mac
        if mac in seen:
            who = f"the cards of {seen[mac] or 'the first machine'} and {name}"
            found.append(
                f"{who} have one address, {mac_text(mac)}, as QEMU's first cards have; "
                "give one of them another with mac="
            )
        seen.setdefault(mac, name)
    return found
