"""QEMU's monitor: what somebody types while the machine runs (net/net.c, net/slirp.c, net/hub.c).

=====================================  =======================================================
``set_link NAME on|off``                 the link of a net client, ``net/net.c`` (qmp_set_link)
``hostfwd_add [NETDEV] RULE``            one more ``hostfwd=`` rule
``hostfwd_remove [NETDEV] RULE``         ``PROTO:[ADDR]:PORT``; connections that are open live on
``info usernet``                         slirp's sockets
``info network``                         net clients and their peers
=====================================  =======================================================

Whoever reads a scenario refuses all others.

A command runs in the main loop, with the big lock held, as a timer of it does. What it prints is
what QEMU 7.2 prints; FD numbers are those of the modelled process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from desim.config import MonitorCommand
from desim.devices import HostFwd, Nic, UserNet
from desim.machine.threads.main_loop import TimerList
from desim.net import Net, NetHub
from desim.slirp.slirp import Connection, Slirp
from desim.userland.files import Terminal
from desim.wire.addresses import IP_ANY, ip_text, mac_text

PROMPT = "(qemu) "
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
    ) -> None:
        self.terminal = terminal
        self.pending = len(commands)
        self._net = net
        self._hub = hub
        self._slirp = slirp
        self._user = user
        self._nic = nic
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
        clients = [info for info in (self._user_info(), self._card_info()) if info]
        if self._hub is None:
            # Those of a card stand first, and its backend below it.
            for info, mark in zip(reversed(clients), ("", " \\ "), strict=False):
                yield f"{mark}{info}\n"
        elif clients:
            yield "hub 0\n"
            ports = list(enumerate(clients))
            # A hub has its newest port in front.
            yield from (f" \\ hub0port{number}: {info}\n" for number, info in reversed(ports))

    def _card_info(self) -> str:
        nic = self._nic
        if nic is None:
            return ""
        return f"{nic.name}: index=0,type=nic,model={nic.model},macaddr={mac_text(nic.mac)}"

    def _user_info(self) -> str:
        user = self._user
        if user is None:
            return ""
        restrict = "on" if user.restrict else "off"
        return f"{user.id}: index=0,type=user,net={ip_text(user.net)},restrict={restrict}"


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
