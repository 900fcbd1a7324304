"""QEMU's side of one machine: main loop, big lock, net layer, slirp, card."""

from __future__ import annotations

from collections.abc import Callable

from desim.config import MachineConfig, UserNet
from desim.e1000.card import E1000
from desim.engine.environment import Environment
from desim.engine.instrument import Instrument
from desim.engine.streams import Streams
from desim.errors import UserError
from desim.guest.mm.memory import Memory
from desim.host.kernel import HostKernel
from desim.host.sockets import QemuSockets
from desim.machine.chardev import TOUCH_POINT, CharBackend
from desim.machine.filters import Filters
from desim.machine.ports import Bus, CardAccess, Lost, Recorder, Tap
from desim.machine.threads.big_lock import BigLock
from desim.machine.threads.main_loop import MainLoop
from desim.machine.threads.vcpu import Vcpu
from desim.net import Net, NetClientState, NetHub
from desim.slirp.client import SlirpState
from desim.slirp.config import GuestFwd, SlirpConfig
from desim.slirp.slirp import Slirp
from desim.slirp.version import VERSION_2_8, VERSION_4_7
from desim.userland.files import Terminal
from desim.userland.process import Process
from desim.wire.addresses import ip_text

RA_MIN_MS = 200_000
RA_SPAN_MS = 400_000
"""Unsolicited router advertisements come every 200 to 600 s (ndp_table.c: NDP_Interval)."""
VERSIONS = {"4.7": VERSION_4_7, "2.8": VERSION_2_8}
BAR0 = 0xFEBC0000
BAR1 = 0xC000
IRQ_LINE = 10
"""Where the firmware of a PC machine puts the first card."""


def slirp_config(user: UserNet) -> SlirpConfig:
    """What slirp is told of ``-netdev user``; rules of ``hostfwd=`` are set up one by one."""
    return SlirpConfig(
        network=user.net,
        mask=user.mask,
        host=user.host,
        dns=user.dns,
        dhcp_start=user.dhcpstart,
        ipv4=user.ipv4,
        ipv6=user.ipv6,
        prefix6=user.ipv6_prefix,
        prefix6_len=user.ipv6_prefixlen,
        host6=user.ipv6_host,
        dns6=user.ipv6_dns,
        restricted=user.restrict,
        hostname=user.hostname,
        domainname=user.domainname,
        dnssearch=list(user.dnssearch),
        tftp_server_name=user.tftp_server_name,
        bootfile=user.bootfile,
        tftp=None if user.tftp is None else {n: f.data for n, f in user.tftp.items()},
        # The last rule given is set up first (net_init_slirp_configs).
        guestfwd=[
            GuestFwd(rule.server, rule.port, ex_exec=rule.command)
            for rule in reversed(user.guestfwd)
        ],
    )


class Qemu:
    """The process called qemu-system-x86_64. ``start`` gives a child of it a thread to run on."""

    def __init__(
        self,
        config: MachineConfig,
        *,
        env: Environment,
        build: Instrument,
        recorder: Recorder,
        host: HostKernel,
        vcpu: Vcpu,
        memory: Memory,
        streams: Streams,
        start: Callable[[Process], None],
        terminal: Terminal,
    ) -> None:
        self.lost = Lost(recorder)
        self.advertisements = streams("slirp.router_advertisement")
        self.lock = BigLock(env)
        self.sockets = build(QemuSockets)(
            kernel=host,
            on_ready=lambda: self.loop.on_ready(),
            start=start,
            terminal=terminal,
            resolvers=config.dns.resolvers,
        )
        self.loop = build(MainLoop)(env, self.lock, self.sockets)
        self.net = build(Net)(loop=self.loop, ledger=self.lost, build=build)
        self.slirp: Slirp | None = None
        self.card: E1000 | None = None
        self.mmio: CardAccess | None = None
        self.hub: NetHub | None = None
        user = nic = None
        if config.user is not None:
            user = self.net.client(config.user.id)
            self._plug_slirp(config.user, user, recorder, build)
            self._open_chardevs(config.user, env, host, build)
        if config.nic is not None:
            nic = self.net.client(config.nic.id or f"{config.nic.model}.0", is_nic=True)
            bus = Bus(env, memory, vcpu.pin, recorder)
            tap = Tap("nic", recorder, nic, sends_to_guest=False)
            card = build(E1000)(
                clock=self.loop.timers,
                pci=bus,
                net=tap,
                ledger=self.lost,
                mac=config.nic.mac,
                model=config.nic.model,
                mitigation=config.nic.mitigation,
                autonegotiation=config.nic.autonegotiation,
                extra_mac_registers=config.nic.extra_mac_registers,
                init_vet=config.nic.init_vet,
                semantics=config.nic.semantics,
                build=build,
            )
            tap.client = card
            nic.handler = tap
            self.card = card
            self.mmio = CardAccess(
                vcpu,
                self.lock,
                read=card.mmio_read,
                write=card.mmio_write,
                config_read=card.config_read,
                config_write=card.config_write,
            )
            self._firmware(card)
        if config.hub:
            self.hub = NetHub(self.net)
            for client in (user, nic):
                if client is not None:
                    self.hub.add_port(client)
        elif user is not None and nic is not None:
            user.connect(nic)
        filters = Filters(
            clock=self.loop.timers,
            ledger=self.lost,
            streams=streams,
            tree=host.tree,
            touch=env.touch_point(TOUCH_POINT),
            build=build,
        )
        filters.attach(config.filters, user=user, nic=nic)

    def _plug_slirp(
        self, user: UserNet, client: NetClientState, recorder: Recorder, build: Instrument
    ) -> None:
        state = build(SlirpState)(pads=user.version != "2.8")
        tap = Tap("slirp", recorder, client, sends_to_guest=True)
        state.nc = tap
        tap.client = state
        client.handler = tap
        state.slirp = self.slirp = build(Slirp)(
            clock=self.loop.timers,
            net=state,
            sockets=self.sockets,
            loop=self.loop,
            ledger=self.lost,
            config=slirp_config(user),
            version=VERSIONS[user.version],
            ra_interval_ms=lambda: RA_MIN_MS + self.advertisements.below(RA_SPAN_MS),
            build=build,
        )
        self.loop.sources.append(self.slirp)
        # The last rule given is set up first (net_init_slirp_configs).
        for rule in reversed(user.hostfwd):
            try:
                self.slirp.add_hostfwd(
                    rule.proto,
                    (rule.host_addr, rule.host_port),
                    (rule.guest_addr, rule.guest_port),
                )
            except OSError as error:
                where = f"{ip_text(rule.host_addr)}:{rule.host_port}"
                raise UserError(
                    f"-netdev user,hostfwd={rule.proto}:{where}: Could not set up host forwarding "
                    f"rule ({error.strerror})"
                ) from None

    def _open_chardevs(
        self, user: UserNet, env: Environment, host: HostKernel, build: Instrument
    ) -> None:
        touch = env.touch_point(TOUCH_POINT)
        behind = {
            (rule.server, rule.port): build(CharBackend)(rule.chardev, tree=host.tree, touch=touch)
            for rule in user.guestfwd
            if rule.chardev is not None
        }
        if behind and self.slirp is not None:
            self.slirp.guestfwd.output = lambda rule, data: behind[
                rule.address, rule.port
            ].qemu_chr_fe_write_all(data)

    @staticmethod
    def _firmware(card: E1000) -> None:
        """What a PC's firmware does with the card before the guest's kernel starts."""
        card.config_write(0x10, BAR0)
        card.config_write(0x14, BAR1)
        card.config_write(0x3C, IRQ_LINE)
        card.config_write(0x04, 0x3)
