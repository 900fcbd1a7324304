"""The guest's side of one machine: driver, network stack, kernel, boot."""

from __future__ import annotations

from collections.abc import Callable

from desim.config import Boot
from desim.engine.instrument import Instrument
from desim.engine.streams import Streams
from desim.guest.cpu.context import NET_RX_SOFTIRQ, NET_TX_SOFTIRQ
from desim.guest.drivers.modules import MODULES, CardDriver, Surroundings, modprobe
from desim.guest.kernel import GuestKernel
from desim.guest.mm.memory import Memory
from desim.guest.net.device import IFF_UP, Device
from desim.guest.net.stack import NetStack
from desim.guest.procfs import arp_seq_show, dev_seq_show, show_interrupts
from desim.machine.ports import Recorder
from desim.machine.threads.tasks import ProcessTask
from desim.machine.threads.vcpu import Vcpu
from desim.ports import Endpoint, Mmio
from desim.userland.calls import IFF_RUNNING, Interface, Program, sys
from desim.userland.files import Terminal, VirtualTree
from desim.userland.process import Process
from desim.userland.programs import GUEST_PROGRAMS
from desim.userland.shell import parse

ETH0 = "eth0"
CARRIER_LOOK_NS = 50_000_000
"""How often the boot script looks whether the interface has carrier."""
DHCP_CLIENT = "udhcpc -i eth0 -n -q"


class Guest:
    """Linux 6.1 with one e1000, or with its loopback interface only."""

    def __init__(
        self,
        *,
        vcpu: Vcpu,
        mmio: Mmio | None,
        mac: bytes,
        modprobe_line: str,
        ipv6: bool,
        irq: int,
        boot: Boot,
        memory: Memory,
        streams: Streams,
        build: Instrument,
        recorder: Recorder,
        files: Callable[[str], bytes],
        tree: VirtualTree,
        console: Terminal,
        is_up: Callable[[], None],
    ) -> None:
        self.vcpu = vcpu
        self.console = console
        self.recorder = recorder
        self.build = build
        self.driver: CardDriver | None = None
        self.modprobe = modprobe(modprobe_line)
        self._irq = irq
        self._boot = boot
        self.up_ns: int | None = None
        """When the boot script was through."""
        self._is_up = is_up
        self.stack = build(NetStack)(
            cpu=vcpu,
            random=streams,
            seeded=boot.seeded,
            ipv6=ipv6,
            log=lambda line: self.kernel.printk(line),
            build=build,
        )
        vcpu.open_softirq(NET_RX_SOFTIRQ, self.stack.net_rx_action)
        vcpu.open_softirq(NET_TX_SOFTIRQ, self.stack.net_tx_action)
        self.kernel = build(GuestKernel)(
            cpu=vcpu,
            stack=self.stack,
            random=streams,
            files=files,
            tree=tree,
            observer=self,
        )
        if mmio is not None:
            self._attach(mmio, mac, memory)
        self.kernel.proc = {
            "/proc/interrupts": self._show_interrupts,
            "/proc/net/arp": lambda: arp_seq_show(list(self.stack.arp.table.values())),
            "/proc/net/dev": lambda: dev_seq_show(list(self.stack.devices.values())),
        }
        vcpu.boot = self.boot

    def _attach(self, mmio: Mmio, mac: bytes, memory: Memory) -> None:
        def make(device: Device) -> CardDriver:
            here = Surroundings(self.vcpu, mmio, memory, device, self.kernel.printk, self.build)
            self.driver = MODULES[self.modprobe.module].make(self.modprobe.values, here)
            return self.driver

        self.stack.attach(ETH0, mac, make)
        assert self.driver is not None
        self.vcpu.handler = self.driver.interrupt

    def _show_interrupts(self) -> str:
        device = self.stack.devices.get(ETH0)
        opened = device is not None and device.flags & IFF_UP
        return show_interrupts(
            card=self.vcpu.pin.delivered,
            timer=self.vcpu.timer_interrupts,
            irq=self._irq,
            device=ETH0 if opened else None,
        )

    def unpolled(self) -> bool:
        """Whether a frame in the card's ring waits for the driver to look."""
        return self.driver is not None and self.driver.unpolled()

    def boot(self) -> None:
        """Load the driver, then the script that brings the network up; on the vCPU's thread."""
        if self.driver is None:
            self._up()
            return
        self._start("init", self._bring_up(self.driver), self._dhcp)

    def _start(self, name: str, program: Program, ended: Callable[[Process], None]) -> None:
        process = self.kernel.spawn_program(name, program, self.console)
        self.vcpu.wake_task(self.build(ProcessTask)(self.vcpu, self.kernel, process, ended))

    def _up(self) -> None:
        self.up_ns = self.vcpu.now()
        self._is_up()

    def _bring_up(self, driver: CardDriver) -> Program:
        """Load the driver, ``ip link set eth0 up``, and wait for carrier."""
        yield from self._not_before(self._boot.insmod_ns)
        for line in self.modprobe.log_lines():
            self.kernel.printk(line)
        driver.init_module()
        yield from self._not_before(self._boot.up_ns)
        yield sys.set_link_up(ETH0)
        while True:
            interfaces: list[Interface] = yield sys.interfaces()
            if any(i.name == ETH0 and i.flags & IFF_RUNNING for i in interfaces):
                return 0
            yield sys.sleep_ns(CARRIER_LOOK_NS)

    def _not_before(self, instant: int) -> Program:
        if self.vcpu.now() < instant:
            yield sys.sleep_ns(instant - self.vcpu.now())
        return 0

    def _dhcp(self, _: Process) -> None:
        command = parse(DHCP_CLIENT, GUEST_PROGRAMS)[0]
        self._start("udhcpc", command.start(), lambda _: self._up())

    def read(self, local: Endpoint, remote: Endpoint, first_byte: int, count: int) -> None:
        """See ``ReadObserver``."""
        self.recorder.note("read", remote, first_byte, count)
