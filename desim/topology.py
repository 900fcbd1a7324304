"""How machines are wired, as a graph: stations are nodes, what connects them edges.

Made from the configuration alone, with the names that the built machine gives its
net clients. A frame to the guest travels along the edges; so does what a program
sends, down to the other program. What belongs to a further machine bears its name.
"""

from __future__ import annotations

import networkx as nx

from desim.config import MachineConfig, QemuConfig
from desim.devices import HostFwd, SocketNet
from desim.wire.addresses import Endpoint, ip_text, mac_text

GUEST = "guest programs"
HOST = "host programs"
INJECTOR = "inject"


def graph(config: MachineConfig) -> nx.Graph[str]:
    """The stations of ``config``. Nodes have ``room`` and ``what``, edges ``by``."""
    g: nx.Graph[str] = nx.Graph()
    host = "; ".join(command.command for command in config.host) or "none"
    g.add_node(HOST, room="host", what=host)
    g.add_node("host kernel", room="host", what="TCP and UDP on loopback")
    g.add_edge(HOST, "host kernel", by="system calls")
    for machine in config.machines:
        _machine(g, machine)
    _join(g, config)
    return g


def _named(machine: QemuConfig, station: str) -> str:
    return f"{machine.machine} {station}" if machine.machine else station


def _machine(g: nx.Graph[str], config: QemuConfig) -> None:
    """The stations of one machine."""

    def named(station: str) -> str:
        return _named(config, station)

    programs = "; ".join(command.command for command in config.guest) or "none"
    kernel = named("guest kernel")
    g.add_node(kernel, room="guest", what="Linux 6.1: TCP/IP, sockets")
    g.add_node(named(GUEST), room="guest", what=programs)
    g.add_edge(kernel, named(GUEST), by="system calls")
    user, nic = config.user, config.nic
    clients: dict[str, str] = {}
    if user is not None:
        slirp = clients[user.id] = named(f"slirp {user.id}")
        rules = [_rule(rule) for rule in user.hostfwd]
        what = f"{ip_text(user.net)}, gateway {ip_text(user.host)}, version {user.version}"
        g.add_node(slirp, room="slirp", what="; ".join([what, *rules]))
        g.add_edge("host kernel", slirp, by="sockets of QEMU's process, main loop")
    for netdev in config.sockets:
        station = clients[netdev.id] = named(f"{netdev.kind} {netdev.id}")
        g.add_node(station, room="net", what=socket_text(netdev))
    if nic is not None:
        card = clients[nic.name] = named(f"card {nic.name}")
        driver = named("e1000 driver")
        g.add_node(card, room="e1000", what=f"{nic.model}, {mac_text(nic.mac)}")
        g.add_node(driver, room="guest", what="Linux e1000, NAPI")
        g.add_edge(card, driver, by="registers, rings in memory, interrupt")
        g.add_edge(driver, kernel, by="napi_gro_receive, ndo_start_xmit")
    _wire(g, config, clients)


def _wire(g: nx.Graph[str], config: QemuConfig, clients: dict[str, str]) -> None:
    """The hub, or the wire between the card and its peer."""
    user, nic = config.user, config.nic
    if not config.hub:
        if nic is not None:
            peer = nic.netdev
            if peer not in clients:
                peer = None if user is None else user.id
            if peer is not None:
                g.add_edge(clients[peer], clients[nic.name], by="net queues")
        return
    if config.hub_ports is not None:
        ports = [(port.name, port.client) for port in config.hub_ports]
    else:
        both = [user.id] if user is not None else []
        both += [nic.name] if nic is not None else []
        ports = [(f"hub0port{number}", one) for number, one in enumerate(both)]
    if config.inject:
        clients[INJECTOR] = _named(config, INJECTOR)
        frames = sum(len(train.frames) for train in config.inject)
        g.add_node(clients[INJECTOR], room="net", what=f"the injector: sends {frames} frames")
        ports.append((f"hub0port{len(ports)}", INJECTOR))
    hub = _named(config, "hub 0")
    g.add_node(hub, room="net", what="repeats each frame to all other ports")
    for name, client in ports:
        port = _named(config, name)
        g.add_node(port, room="net", what="net queue of 10000 packets")
        if client is not None:
            g.add_edge(clients[client], port, by="net queues")
        g.add_edge(port, hub, by="net_hub_receive_iov")


def _join(g: nx.Graph[str], config: MachineConfig) -> None:
    """Wires over the host's sockets: between two ends that find each other, else to the host."""
    netdevs = [
        (_named(machine, f"{netdev.kind} {netdev.id}"), netdev)
        for machine in config.machines
        for netdev in machine.sockets
    ]
    for number, (station, netdev) in enumerate(netdevs):
        for other, its in netdevs[:number]:
            by = _wire_between(netdev, its)
            if by:
                g.add_edge(other, station, by=by)
        if netdev.role == "mcast":
            group = f"group {_endpoint(netdev.remote)}"
            g.add_node(group, room="host", what="each datagram goes to all members")
            g.add_edge(station, group, by="datagrams of the host")
        elif not any(_wire_between(netdev, its) for _, its in netdevs):
            g.add_edge("host kernel", station, by="a socket of QEMU's process, main loop")


def _wire_between(one: SocketNet, other: SocketNet) -> str:
    """What joins two ends; "" if nothing does."""
    for listens, connects in ((one, other), (other, one)):
        if listens.role == "listen" and connects.role == "connect":
            if listens.path and listens.path == connects.path:
                return "a Unix stream of the host, main loops"
            if _port(listens.local) and _port(listens.local) == _port(connects.remote):
                return "a TCP stream of the host, main loops"
    if one.role == other.role == "udp" and one is not other:
        if _port(one.local) == _port(other.remote) and _port(one.remote) == _port(other.local):
            return "datagrams of the host, main loops"
    return ""


def _port(address: Endpoint | None) -> int:
    return 0 if address is None else address[1]


def _endpoint(address: Endpoint | None) -> str:
    return "" if address is None else f"{ip_text(address[0])}:{address[1]}"


def socket_text(netdev: SocketNet) -> str:
    """What a ``-netdev socket``, ``stream`` or ``dgram`` does, in words."""
    if netdev.role == "listen":
        return f"listens at {netdev.path or _endpoint(netdev.local)}, for one client at a time"
    if netdev.role == "connect":
        return f"connects to {netdev.path or _endpoint(netdev.remote)}"
    if netdev.role == "mcast":
        return f"datagrams to and from the group {_endpoint(netdev.remote)}"
    return f"datagrams from {_endpoint(netdev.local)} to {_endpoint(netdev.remote)}"


def path(config: MachineConfig, machine: str = "") -> list[str]:
    """The stations from the host's programs to a guest's; empty if there is no way.

    ``machine`` is the guest's; the first has no name.
    """
    g = graph(config)
    guest = f"{machine} {GUEST}" if machine else GUEST
    if not nx.has_path(g, HOST, guest):
        return []
    return list(nx.shortest_path(g, HOST, guest))


def _rule(rule: HostFwd) -> str:
    host = f"{ip_text(rule.host_addr)}:{rule.host_port}"
    return f"{rule.proto} {host} -> {ip_text(rule.guest_addr)}:{rule.guest_port}"
