"""How a machine is wired, as a graph: stations are nodes, what connects them edges.

Made from the configuration alone, with the names that the built machine gives its
net clients. A frame to the guest travels along the edges; so does what a program
sends, down to the other program.
"""

from __future__ import annotations

import networkx as nx

from desim.config import MachineConfig
from desim.devices import HostFwd
from desim.wire.addresses import ip_text, mac_text

GUEST = "guest programs"
HOST = "host programs"


def graph(config: MachineConfig) -> nx.Graph[str]:
    """The stations of ``config``. Nodes have ``room`` and ``what``, edges ``by``."""
    g: nx.Graph[str] = nx.Graph()
    g.add_node(HOST, room="host", what=_programs(config, "host"))
    g.add_node("host kernel", room="host", what="TCP and UDP on loopback")
    g.add_edge(HOST, "host kernel", by="system calls")
    g.add_node("guest kernel", room="guest", what="Linux 6.1: TCP/IP, sockets")
    g.add_node(GUEST, room="guest", what=_programs(config, "guest"))
    g.add_edge("guest kernel", GUEST, by="system calls")
    user, nic = config.user, config.nic
    slirp = card = None
    if user is not None:
        slirp = f"slirp {user.id}"
        rules = [_rule(rule) for rule in user.hostfwd]
        what = f"{ip_text(user.net)}, gateway {ip_text(user.host)}, version {user.version}"
        g.add_node(slirp, room="slirp", what="; ".join([what, *rules]))
        g.add_edge("host kernel", slirp, by="sockets of QEMU's process, main loop")
    if nic is not None:
        card = f"card {nic.name}"
        g.add_node(card, room="e1000", what=f"{nic.model}, {mac_text(nic.mac)}")
        g.add_node("e1000 driver", room="guest", what="Linux e1000, NAPI")
        g.add_edge(card, "e1000 driver", by="registers, rings in memory, interrupt")
        g.add_edge("e1000 driver", "guest kernel", by="napi_gro_receive, ndo_start_xmit")
    if config.hub:
        g.add_node("hub 0", room="net", what="repeats each frame to all other ports")
        for number, client in enumerate(c for c in (slirp, card) if c is not None):
            port = f"hub0port{number}"
            g.add_node(port, room="net", what="net queue of 10000 packets")
            g.add_edge(client, port, by="net queues")
            g.add_edge(port, "hub 0", by="net_hub_receive_iov")
    elif slirp is not None and card is not None:
        g.add_edge(slirp, card, by="net queues")
    return g


def path(config: MachineConfig) -> list[str]:
    """The stations from the host's programs to the guest's; empty if there is no way."""
    g = graph(config)
    if not nx.has_path(g, HOST, GUEST):
        return []
    return list(nx.shortest_path(g, HOST, GUEST))


def _rule(rule: HostFwd) -> str:
    host = f"{ip_text(rule.host_addr)}:{rule.host_port}"
    return f"{rule.proto} {host} -> {ip_text(rule.guest_addr)}:{rule.guest_port}"


def _programs(config: MachineConfig, side: str) -> str:
    commands = config.guest if side == "guest" else config.host
    return "; ".join(command.command for command in commands) or "none"
