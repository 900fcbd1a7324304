"""QEMU's monitor: what somebody types while the machine runs (net/net.c, net/slirp.c, net/hub.c).

=====================================  =======================================================
``set_link NAME on|off``                 the link of a net client, ``net/net.c`` (qmp_set_link)
``hostfwd_add [NETDEV] RULE``            one more ``hostfwd=`` rule
``hostfwd_remove [NETDEV] RULE``         ``PROTO:[ADDR]:PORT``; connections that are open live on
``qom-set FILTER status on|off``         whether a filter takes part, ``net/filter.c``
``info usernet``                         slirp's sockets
``info network``                         net clients, their peers and filters
=====================================  =======================================================

Whoever reads a scenario refuses all others.

A command runs in the main loop, with the big lock held, as a timer of it does. What it prints is
what QEMU 7.2 prints; FD numbers are those of the modelled process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from desim.config import MonitorCommand
from desim.devices import HostFwd, Nic, UserNet
from desim.machine.threads.main_loop import TimerList
from desim.net import Net, NetClientState
from desim.slirp.slirp import Connection, Slirp
from desim.userland.files import Terminal
from desim.wire.addresses import IP_ANY, ip_text, mac_text

if TYPE_CHECKING:
    from desim.filters import NetFilter
    from desim.net.filter import NetFilterState
    from desim.net.hub import NetHub
    from desim.net.socket import NetSocket

PROMPT = "(qemu) "
OBJECTS = "/objects/"
"""What may stand in front of a filter's id."""
HEAD = "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\n"


class Monitor:
    """The monitor of one machine. ``pending`` commands have not run yet."""

    def __init__(
        self,
        commands: Sequence[MonitorCommand],
        *,
        timers: TimerList,
        terminal: Terminal,
        net: Net,
        hub: NetHub | None,
        slirp: Slirp | None,
        user: UserNet | None,
        nic: Nic | None,
        netdevs: Sequence[NetSocket] = (),
        filters: Sequence[NetFilter] = (),
    ) -> None:
        self.terminal = terminal
        self.pending = len(commands)
        self._net = net
        self._hub = hub
        self._slirp = slirp
        self._user = user
        self._nic = nic
        self._netdevs = {netdev.config.id: netdev for netdev in netdevs} if netdevs else {}
        self._filters = filters
        for command in commands:
            timer = timers.timer("monitor", self._typed(command))
            timer.arm(command.at_ns)

    def _typed(self, command: MonitorCommand) -> Callable[[], None]:
        def fire() -> None:
            self.pending -= 1
            text = f"{PROMPT}{' '.join(command.words)}\n" + "".join(self._run(command))
            self.terminal.write(text.replace("\n", "\r\n").encode())

        return fire

    def _run(self, command: MonitorCommand) -> Iterator[str]:
        match command.words:
            case ["set_link", name, switch]:
                yield from self._set_link(name, up=switch == "on")
            case ["hostfwd_add", *_]:
                yield from self._hostfwd_add(command.rule)
            case ["hostfwd_remove", *_]:
                yield from self._hostfwd_remove(command)
            case ["qom-set", path, _, status]:
                yield from self._qom_set(path, status)
            case ["info", "usernet"]:
                yield from self._info_usernet()
            case ["info", "network"]:
                yield from self._info_network()

    def _set_link(self, name: str, *, up: bool) -> Iterator[str]:
        try:
            self._net.set_link(name, up)
        except KeyError:
            yield f"Error: Device '{name}' not found\n"

    def _hostfwd_add(self, rule: HostFwd | None) -> Iterator[str]:
        if self._slirp is None or rule is None:
            yield "user mode network stack not in use\n"
            return
        try:
            self._slirp.add_hostfwd(rule)
        except OSError:
            yield f"Could not set up host forwarding rule '{rule.written}'\n"

    def _hostfwd_remove(self, command: MonitorCommand) -> Iterator[str]:
        rule = command.rule
        if self._slirp is None or rule is None:
            yield "user mode network stack not in use\n"
            return
        found = self._slirp.remove_hostfwd(rule.proto, (rule.host_addr, rule.host_port))
        yield f"host forwarding rule for {rule.written} {'removed' if found else 'not found'}\n"

    def _info_usernet(self) -> Iterator[str]:
        if self._slirp is None or self._user is None:
            return
        number = -1 if self._hub is None else 0
        yield f"Hub {number} ({self._user.id}):\n{HEAD}"
        yield from map(_row, self._slirp.connections())

    def _info_network(self) -> Iterator[str]:
        if self._hub is None:
            # Those of a card stand first, and its backend below it.
            for client in self._net.clients:
                peer = client.peer
                if client.is_nic or peer is None:
                    yield from self._shown("", client)
                if client.is_nic and peer is not None:
                    yield from self._shown(" \\ ", peer)
            return
        if not self._hub.ports:
            return
        yield f"hub {self._hub.id}\n"
        for port in self._hub.ports:  # the newest one in front
            name, peer = port.client.name, port.client.peer
            if peer is None:
                yield f" \\ {name}\n"
            else:
                yield from self._shown(f" \\ {name}: ", peer)
        ports = [port.client for port in self._hub.ports]
        for client in self._net.clients:
            if client.peer is None and client not in ports:
                yield from self._shown("", client)

    def _shown(self, lead: str, client: NetClientState) -> Iterator[str]:
        """A client, and the filters on it."""
        yield f"{lead}{self._told(client)}\n"
        yield from self._filters_of(client)

    def _filters_of(self, client: NetClientState) -> Iterator[str]:
        states = self._states(client)
        if states:
            yield "filters:\n"
        for state in states:
            config = next(config for config in self._filters if config.id == state.name)
            yield f"  - {state.name}: type={_filter(config, state)}\n"

    @staticmethod
    def _states(client: NetClientState) -> list[NetFilterState]:
        from desim.net.filter import NetFilterState  # most machines have none

        return [state for state in client.filters if isinstance(state, NetFilterState)]

    def _qom_set(self, path: str, status: str) -> Iterator[str]:
        name = path.removeprefix(OBJECTS)
        states = [state for client in self._net.clients for state in self._states(client)]
        found = [state for state in states if state.name == name]
        if not found:
            yield f"Error: Device '{path}' not found\n"
        for state in found:
            state.set_status(status == "on")

    def _told(self, client: NetClientState) -> str:
        """What QEMU prints of a client (``print_net_client``)."""
        nic, user, netdev = self._nic, self._user, self._netdevs.get(client.name)
        if netdev is not None:
            info = f"type={netdev.config.kind},{netdev.info}"
        elif client.is_nic and nic is not None:
            info = f"type=nic,model={nic.model},macaddr={mac_text(nic.mac)}"
        elif user is not None and client.name == user.id:
            restrict = "on" if user.restrict else "off"
            info = f"type=user,net={ip_text(user.net)},restrict={restrict}"
        else:
            info = "type=inject,"
        return f"{client.name}: index=0,{info}"


def _filter(config: NetFilter, state: NetFilterState) -> str:
    """A filter's properties, in the order in which QEMU prints them."""
    from desim.filters import BufferFilter, DumpFilter  # most machines have none

    own = ""
    if isinstance(config, BufferFilter):
        own = f"interval={config.interval_us},"
    elif isinstance(config, DumpFilter):
        own = f"file={config.file},maxlen={config.maxlen},"
    position = config.position if config.position in ("head", "tail") else f"id={config.position}"
    return (
        f"{state.kind},{own}position={position},status={'on' if state.on else 'off'},"
        f"insert={'before' if config.before else 'behind'},netdev={state.netdev.name},"
        f"queue={config.queue}"
    )


def _row(row: Connection) -> str:
    ports = ("", "") if row.protocol.startswith("ICMP") else (row.source[1], row.destination[1])
    source = "*" if row.source[0] == IP_ANY else ip_text(row.source[0])
    return (
        f"{'  ' + row.protocol:<19} {row.fd:3} {source:>15} {_port(ports[0])} "
        f"{ip_text(row.destination[0]):>15} {_port(ports[1])} {row.recvq:5} {row.sendq:5}\n"
    )


def _port(port: int | str) -> str:
    """A port's column; ICMP has none."""
    return f"{port:5}" if port != "" else " -   "
