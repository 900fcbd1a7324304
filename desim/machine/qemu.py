"""QEMU's side of one machine: main loop, big lock, net layer, slirp, card."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from desim.config import MachineConfig
from desim.devices import GuestFwd, Nic, UserNet
from desim.e1000.card import E1000
from desim.guest.mm.memory import Memory
from desim.host.kernel import HostKernel
from desim.host.sockets import QemuSockets
from desim.machine.access import CardAccess
from desim.machine.chardev import TOUCH_POINT, CharBackend
from desim.machine.kit import Kit
from desim.machine.ports import Bus, FrameLedger, Tap
from desim.machine.threads.main_loop import MainLoop
from desim.machine.threads.vcpu import Vcpu
from desim.net import Net, NetClientState, NetHub
from desim.slirp.client import net_slirp_init
from desim.slirp.icmp6 import ra_interval_ms
from desim.slirp.slirp import Slirp
from desim.userland.files import Terminal
from desim.userland.process import Process

if TYPE_CHECKING:
    from desim.filters import NetFilter

BAR0 = 0xFEBC0000
BAR1 = 0xC000
IRQ_LINE = 10
"""Where the firmware of a PC machine puts the first card."""


class Qemu:
    """The process called qemu-system-x86_64."""

    def __init__(
        self,
        config: MachineConfig,
        kit: Kit,
        *,
        loop: MainLoop,
        host: HostKernel,
        vcpu: Vcpu,
        memory: Memory,
        start: Callable[[Process], None],
        terminal: Terminal,
    ) -> None:
        """``start`` gives a child of QEMU a thread to run on; ``terminal`` is QEMU's own."""
        self.kit = kit
        self.lost = FrameLedger(kit.recorder)
        self.loop = loop
        self.lock = loop.lock
        self._open_sockets(config, host, start, terminal)
        self._open_network(config.user)
        self._open_chardevs(config.user, host)
        self._plug_card(config.nic, vcpu, memory)
        self._wire(hub=config.hub)
        self._hang_filters(config.filters, host)

    # --- what QEMU does with its options, in its order

    def _open_sockets(
        self,
        config: MachineConfig,
        host: HostKernel,
        start: Callable[[Process], None],
        terminal: Terminal,
    ) -> None:
        """The sockets that the main loop polls, and the net layer."""
        build = self.kit.build
        self.sockets = build(QemuSockets)(
            kernel=host,
            on_ready=self.loop.on_ready,
            start=start,
            terminal=terminal,
            resolvers=config.dns.resolvers,
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
        tap = Tap("slirp", self.kit.recorder, self.user, sends_to_guest=True)
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
        tap.client = state
        self.user.handler = tap
        self.loop.sources.append(self.slirp)

    def _open_chardevs(self, user: UserNet | None, host: HostKernel) -> None:
        """The character devices behind ``guestfwd=``."""
        if user is None or self.slirp is None:
            return
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
        tap = Tap("nic", recorder, self.nic, sends_to_guest=False)
        self.card = card = build(E1000)(
            clock=self.loop.timers,
            pci=Bus(self.kit.env, memory, vcpu.pin, recorder),
            net=tap,
            ledger=self.lost,
            nic=nic,
            build=build,
            observer=recorder.mitigation(),
        )
        tap.client = card
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
            at_one_go=not (env.strict or env.without or build.watch),
        )
        self._firmware(card)

    def _wire(self, *, hub: bool) -> None:
        """Slirp and card meet in a hub, or are each other's peers."""
        self.hub: NetHub | None = None
        if hub:
            self.hub = NetHub(self.net)
            for client in (self.user, self.nic):
                if client is not None:
                    self.hub.add_port(client)
        elif self.user is not None and self.nic is not None:
            self.user.connect(self.nic)

    def _hang_filters(self, configs: list[NetFilter], host: HostKernel) -> None:
        """``-object filter-...``: on netdevs that have their peers."""
        if not configs:
            return
        from desim.machine.filters import Filters

        filters = Filters(
            clock=self.loop.timers,
            ledger=self.lost,
            streams=self.kit.streams,
            tree=host.filesystem.tree,
            touch=self.kit.env.touch_point(TOUCH_POINT),
            build=self.kit.build,
        )
        filters.attach(configs, user=self.user, nic=self.nic)

    @staticmethod
    def _firmware(card: E1000) -> None:
        """What a PC's firmware does with the card before the guest's kernel starts."""
        card.config_write(0x10, BAR0)
        card.config_write(0x14, BAR1)
        card.config_write(0x3C, IRQ_LINE)
        card.config_write(0x04, 0x3)
