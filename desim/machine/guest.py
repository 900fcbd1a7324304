"""The guest's side of one machine: driver, network stack, kernel, boot."""

from __future__ import annotations

from collections.abc import Callable

from desim.config import InputFile, QemuConfig
from desim.devices import Nic
from desim.guest.cpu.context import NET_RX_SOFTIRQ, NET_TX_SOFTIRQ
from desim.guest.drivers.modules import MODULES, CardDriver, Surroundings, modprobe
from desim.guest.kernel import GuestKernel
from desim.guest.mm.memory import Memory
from desim.guest.net.device import IFF_UP
from desim.guest.net.stack import NetStack
from desim.guest.net.tcp.sysctl import read as read_sysctl
from desim.guest.printk import KernelLog
from desim.machine.kit import Kit
from desim.machine.threads.tasks import ProcessTask
from desim.machine.threads.vcpu import Vcpu
from desim.ports import Mmio
from desim.spool import Log
from desim.userland.calls import sys
from desim.userland.files import Terminal, VirtualTree
from desim.userland.filesystem import ROOT
from desim.userland.process import Process
from desim.userland.program import Program
from desim.userland.programs import GUEST_PROGRAMS
from desim.userland.shell import parse
from desim.userland.uapi import IFF_RUNNING
from desim.wire.addresses import ip_text, mask_from_prefix

ETH0 = "eth0"
CARRIER_LOOK_NS = 50_000_000
"""How often the boot script looks whether the interface has carrier."""
DHCP_CLIENT = "udhcpc -i eth0 -n -q"


class Guest:
    """Linux 6.1 with one e1000, or with its loopback interface only."""

    def __init__(
        self,
        config: QemuConfig,
        kit: Kit,
        *,
        vcpu: Vcpu,
        mmio: Mmio | None,
        irq: int,
        memory: Memory,
        tree: VirtualTree,
        console: Terminal,
    ) -> None:
        """``mmio``: the card's registers, if there is one, with its line at ``irq``. ``tree``
        holds the files that programs write."""
        self.kit = kit
        self.vcpu = vcpu
        self.console = console
        self.up_ns: int | None = None
        """When the boot script was through."""
        self.modprobe = modprobe(config.modprobe)
        self._boot = config.boot
        self.addressing = DHCP_CLIENT
        """How the boot script gets the interface its address."""
        if config.guest_address is not None:
            address, prefix = config.guest_address
            mask = ip_text(mask_from_prefix(prefix))
            self.addressing = f"ifconfig {ETH0} {ip_text(address)} netmask {mask}"
        self._irq = irq
        self._bring_up_stack(config)
        self._start_kernel(config.guest_files, tree)
        names = self.kernel.filesystem
        names.asks_names = names.asks_addresses = config.guest_dns
        self._attach_card(config.nic, mmio, memory)
        self._mount_proc()

    # --- what there is before the boot, each made of those in front of it

    def _bring_up_stack(self, config: QemuConfig) -> None:
        """The network stack, and its soft interrupts on the processor."""
        vcpu, build = self.vcpu, self.kit.build
        self.log = KernelLog(vcpu.now)
        self.stack = build(NetStack)(
            cpu=vcpu,
            random=self.kit.streams,
            seeded=config.boot.seeded,
            ipv6=config.guest_ipv6,
            log=self.log.printk,
            sysctl=read_sysctl(config.sysctl),
            build=build,
        )
        vcpu.open_softirq(NET_RX_SOFTIRQ, self.stack.net_rx_action)
        vcpu.open_softirq(NET_TX_SOFTIRQ, self.stack.net_tx_action)

    def _start_kernel(self, files: dict[str, InputFile], tree: VirtualTree) -> None:
        """What programs call: ``files`` are those that they may read."""
        self.kernel = self.kit.build(GuestKernel)(
            cpu=self.vcpu,
            stack=self.stack,
            log=self.log,
            random=self.kit.streams,
            files=reader(files),
            tree=tree,
            observer=self.kit.recorder.connections(),
        )

    def _attach_card(self, nic: Nic | None, mmio: Mmio | None, memory: Memory) -> None:
        """The driver that ``modprobe`` names, with its interface and its interrupt."""
        self.driver: CardDriver | None = None
        if nic is None or mmio is None:
            return
        device = self.stack.alloc_etherdev(ETH0, nic.mac)
        here = Surroundings(self.vcpu, mmio, memory, device, self.log.printk, self.kit.build)
        self.driver = MODULES[self.modprobe.module].make(self.modprobe.values, here)
        self.stack.register_netdev(device, self.driver)
        self.vcpu.handler = self.driver.interrupt

    def _mount_proc(self) -> None:
        """The files under /proc that tell of the network."""
        self.kernel.proc_create("/proc/interrupts", self._show_interrupts)
        self.kernel.proc_create("/proc/net/arp", self._show_arp)
        self.kernel.proc_create("/proc/net/dev", self._show_dev)

    def _show_interrupts(self) -> str:
        from desim.guest.procfs import show_interrupts  # few programs read these files

        device = self.stack.devices.get(ETH0)
        opened = device is not None and device.flags & IFF_UP
        return show_interrupts(
            card=self.vcpu.pin.delivered,
            timer=self.vcpu.timer_interrupts,
            irq=self._irq,
            device=ETH0 if opened else None,
        )

    def _show_arp(self) -> str:
        from desim.guest.procfs import arp_seq_show

        return arp_seq_show(list(self.stack.arp.table.values()))

    def _show_dev(self) -> str:
        from desim.guest.procfs import dev_seq_show

        return dev_seq_show(list(self.stack.devices.values()))

    def unpolled(self) -> bool:
        """Whether a frame in the card's ring waits for the driver to look."""
        return self.driver is not None and self.driver.unpolled()

    def power_on(self, is_up: Callable[[], None]) -> None:
        """Boot when the run starts; ``is_up`` is called when the boot script is through."""
        self._is_up = is_up
        self.vcpu.boot = self.boot

    def boot(self) -> None:
        """Load the driver, then the script that brings the network up; on the vCPU's thread."""
        if self.driver is None:
            self._up()
            return
        self._start("init", self._bring_up(self.driver), self._get_address)

    def _start(self, name: str, program: Program, ended: Callable[[Process], None]) -> None:
        process = self.kernel.spawn_program(name, program, self.console)
        self.vcpu.wake_task(self.kit.build(ProcessTask)(self.vcpu, self.kernel, process, ended))

    def _up(self) -> None:
        self.up_ns = self.vcpu.now()
        self._is_up()

    def _bring_up(self, driver: CardDriver) -> Program:
        """Load the driver, ``ip link set eth0 up``, and wait for carrier."""
        yield from self._not_before(self._boot.insmod_ns)
        for line in self.modprobe.log_lines():
            self.log.printk(line)
        driver.init_module()
        yield from self._not_before(self._boot.up_ns)
        yield from sys.set_link_up(ETH0)
        while True:
            interfaces = yield from sys.interfaces()
            if any(i.name == ETH0 and i.flags & IFF_RUNNING for i in interfaces):
                return 0
            yield from sys.sleep_ns(CARRIER_LOOK_NS)

    def _not_before(self, instant: int) -> Program:
        if self.vcpu.now() < instant:
            yield from sys.sleep_ns(instant - self.vcpu.now())
        return 0

    def _get_address(self, _: Process) -> None:
        command = parse(self.addressing, GUEST_PROGRAMS)[0]
        self._start(command.name, command.start(), lambda _: self._up())


def reader(files: dict[str, InputFile]) -> Callable[[str], Log]:
    """What ``< FILE`` reads: the file as it was when the configuration was made."""

    def read(name: str) -> Log:
        if name == ROOT:
            names = "".join(f"{one}\n" for one in files if not one.endswith("/"))
            return Log.of(names.encode())
        return files[name].log

    return read
