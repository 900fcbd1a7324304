"""QEMU's side of one machine: main loop, big lock, net layer, slirp, card."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from desim.config import QemuConfig, Train
from desim.devices import GuestFwd, Nic, SocketNet, UserNet
from desim.e1000.card import E1000
from desim.errors import UserError
from desim.guest.mm.memory import Memory
from desim.host.kernel import HostKernel
from desim.host.sockets import QemuSockets
from desim.machine.access import CardAccess
from desim.machine.kit import Kit
from desim.machine.ports import Bus, EndTap, FrameLedger, SocketTap, Tap
from desim.machine.threads.main_loop import IoHandlers, MainLoop
from desim.machine.threads.vcpu import Vcpu
from desim.net import Net, NetClientState
from desim.slirp.client import net_slirp_init
from desim.slirp.icmp6 import ra_interval_ms
from desim.slirp.slirp import Slirp
from desim.userland.files import Terminal
from desim.userland.process import Process
from desim.wire.addresses import ip_text

if TYPE_CHECKING:
    from desim.filters import NetFilter
    from desim.machine.injector import Injector
    from desim.net.hub import NetHub
    from desim.net.socket import NetSocket

INJECTOR = "inject"
BAR0 = 0xFEBC0000
BAR1 = 0xC000
IRQ_LINE = 10
"""Where the firmware of a PC machine puts the first card."""
PID = 29642
"""Of the first QEMU; further ones follow."""


class Qemu:
    """The process called qemu-system-x86_64."""

    def __init__(
        self,
        config: QemuConfig,
        kit: Kit,
        *,
        loop: MainLoop,
        host: HostKernel,
        vcpu: Vcpu,
        memory: Memory,
        start: Callable[[Process], None],
        terminal: Terminal,
        resolvers: Sequence[bytes],
        number: int = 0,
    ) -> None:
        """``start`` gives a child of QEMU a thread to run on; ``terminal`` is QEMU's own.
        ``resolvers`` are the host's name servers, and ``number`` counts the machines before."""
        self.kit = kit
        self.lost = FrameLedger(kit.recorder, kit.machine)
        self.loop = loop
        self.lock = loop.lock
        kind = _with_frames() if config.sockets else QemuSockets
        self._open_sockets(kind, host, start, terminal, resolvers, PID + number)
        self._open_network(config.user)
        self._open_chardevs(config.user, host)
        self.netdevs: list[NetSocket] = []
        if config.sockets:
            self._open_netdevs(config.sockets)
        self._plug_card(config.nic, vcpu, memory)
        self._wire(config)
        self._hang_filters(config.filters, host)

    # --- what QEMU does with its options, in its order

    def _open_sockets(
        self,
        made: type[QemuSockets],
        host: HostKernel,
        start: Callable[[Process], None],
        terminal: Terminal,
        resolvers: Sequence[bytes],
        pid: int,
    ) -> None:
        """The sockets that the main loop polls, and the net layer."""
        build = self.kit.build
        self.sockets = build(made)(
            kernel=host,
            on_ready=self.loop.on_ready,
            start=start,
            terminal=terminal,
            owner=(pid, "qemu-system-x86_64"),
            resolvers=resolvers,
        )
        self.loop.poller = self.sockets
        self.net = build(Net)(loop=self.loop, ledger=self.lost, build=build)

    def _open_network(self, user: UserNet | None) -> None:
        """``-netdev user``: slirp behind its client, and the host's ports that lead to it."""
        self.slirp: Slirp | None = None
        self.user: NetClientState | None = None
        if user is None:
            return
        self.user = self.net.client(user.id)
        tap = Tap(self.kit.point + "slirp", self.kit.recorder, self.user, sends_to_guest=True)
        advertisements = self.kit.streams("slirp.router_advertisement")
        state = net_slirp_init(
            user,
            nc=tap,
            clock=self.loop.timers,
            sockets=self.sockets,
            loop=self.loop,
            ledger=self.lost,
            ra_interval_ms=partial(ra_interval_ms, advertisements.below),
            build=self.kit.build,
        )
        self.slirp = state.slirp
        tap.stand_before(state)
        self.user.handler = tap
        self.loop.sources.append(self.slirp)

    def _open_netdevs(self, configs: list[SocketNet]) -> None:
        """``-netdev socket``, ``stream`` and ``dgram``: a socket of the host behind a client."""
        from desim.host.frame_sockets import QemuFrameSockets
        from desim.net.socket import AsyncClientState, make_of

        build = self.kit.build
        sockets = self.sockets
        assert isinstance(sockets, QemuFrameSockets)
        handlers = self.loop.handlers = build(IoHandlers)(sockets)
        for config in configs:
            client = self.net.client(config.id, made=AsyncClientState)
            assert isinstance(client, AsyncClientState)
            name = f"{self.kit.point}socket-{config.id}"
            tap = SocketTap(name, self.kit.recorder, client)
            netdev = build(make_of(config))(
                config, nc=client, port=tap, sockets=sockets, handlers=handlers
            )
            tap.stand_before(netdev)
            client.handler = tap
            self.netdevs.append(netdev)
            try:
                netdev.start()
            except OSError as error:
                raise UserError(f"{self.kit.prefix}-netdev {refusal(config, error)}") from None

    def _open_chardevs(self, user: UserNet | None, host: HostKernel) -> None:
        """The character devices behind ``guestfwd=``."""
        if user is None or self.slirp is None or not user.guestfwd:
            return
        from desim.machine.chardev import TOUCH_POINT, CharBackend

        touch = self.kit.env.touch_point(TOUCH_POINT)
        behind = {
            (rule.server, rule.port): self.kit.build(CharBackend)(
                rule.chardev, tree=host.filesystem.tree, touch=touch
            )
            for rule in user.guestfwd
            if rule.chardev is not None
        }

        def write(rule: GuestFwd, data: bytes) -> None:
            behind[rule.server, rule.port].qemu_chr_fe_write_all(data)

        self.slirp.guestfwd.output = write

    def _plug_card(self, nic: Nic | None, vcpu: Vcpu, memory: Memory) -> None:
        """``-device e1000``: the card, its way to the guest, and what the firmware does to it."""
        self.card: E1000 | None = None
        self.mmio: CardAccess | None = None
        self.nic: NetClientState | None = None
        if nic is None:
            return
        recorder, build = self.kit.recorder, self.kit.build
        self.nic = self.net.client(nic.name, is_nic=True)
        tap = Tap(self.kit.point + "nic", recorder, self.nic, sends_to_guest=False)
        self.card = card = build(E1000)(
            clock=self.loop.timers,
            pci=Bus(self.kit.env, memory, vcpu.pin, recorder),
            net=tap,
            ledger=self.lost,
            nic=nic,
            build=build,
            observer=recorder.mitigation(),
        )
        tap.stand_before(card)
        self.nic.handler = tap
        env = self.kit.env
        self.mmio = CardAccess(
            env,
            vcpu,
            self.lock,
            read=card.mmio_read,
            write=card.mmio_write,
            config_read=card.config_read,
            config_write=card.config_write,
            quiet_read=card.quiet_read,
            quiet_write=card.quiet_write,
            quiet_clock_in=card.quiet_clock_in,
            at_one_go=not (env.strict or env.without or build.watch),
        )
        self._firmware(card)

    def _wire(self, config: QemuConfig) -> None:
        """The clients meet in a hub, or two of them are each other's peers."""
        self.hub: NetHub | None = None
        self.injector: Injector | None = None
        injector = self._injector(config.inject) if config.inject else None
        if config.hub:
            from desim.net.hub import NetHub  # newer machines have none

            self.hub = NetHub(self.net, ledger=self.lost)
            if config.hub_ports is None:
                for client in (self.user, self.nic):
                    if client is not None:
                        self.hub.add_port(client)
            for port in config.hub_ports or ():
                peer = None if port.client is None else self.net.find(port.client)
                self.hub.add_port(peer, port.name)
            if injector is not None:
                self.hub.add_port(injector, f"hub0port{len(self.hub.ports)}")
        elif self.nic is not None and config.nic is not None:
            peer = self.user
            for netdev in self.netdevs:
                if netdev.config.id == config.nic.netdev:
                    peer = netdev.nc
            if peer is not None:
                peer.connect(self.nic)

    def _injector(self, trains: list[Train]) -> NetClientState:
        """The client of the injector."""
        from desim.machine.injector import Injector

        client = self.net.client(INJECTOR)
        tap = EndTap(self.kit.point + INJECTOR, self.kit.recorder, client)
        self.injector = Injector(trains, port=tap, clock=self.loop.timers)
        tap.stand_before(self.injector)
        client.handler = tap
        return client

    def _hang_filters(self, configs: list[NetFilter], host: HostKernel) -> None:
        """``-object filter-...``: on netdevs that have their peers."""
        if not configs:
            return
        from desim.machine.chardev import TOUCH_POINT
        from desim.machine.filters import Filters

        filters = Filters(
            clock=self.loop.timers,
            ledger=self.lost,
            streams=self.kit.streams,
            tree=host.filesystem.tree,
            touch=self.kit.env.touch_point(TOUCH_POINT),
            build=self.kit.build,
        )
        filters.attach(configs, user=self.user, nic=self.nic, find=self.net.find)

    @staticmethod
    def _firmware(card: E1000) -> None:
        """What a PC's firmware does with the card before the guest's kernel starts."""
        card.config_write(0x10, BAR0)
        card.config_write(0x14, BAR1)
        card.config_write(0x3C, IRQ_LINE)
        card.config_write(0x04, 0x3)


def _with_frames() -> type[QemuSockets]:
    """The descriptors of a QEMU with backends that need sockets for frames."""
    from desim.host.frame_sockets import QemuFrameSockets  # few machines have any

    return QemuFrameSockets


def refusal(config: SocketNet, error: OSError) -> str:
    """What QEMU says when a socket cannot be had."""
    why = os.strerror(error.errno or 0)
    if config.path:
        return f"{config.kind},id={config.id}: can't use {config.path}: {why}"
    address = config.remote if config.role == "mcast" else config.local
    shown = ip_text(address[0]) if address is not None else "?"
    return f"{config.kind},id={config.id}: can't bind ip={shown} to socket: {why}"
