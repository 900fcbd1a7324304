"""One QEMU with its guest: one of the machines of a run.

Each has its main loop, its big lock, its virtual CPU and its memory; they share the host's
kernel, time, and what the run keeps. The first machine's threads, capture points and terminals
have bare names (``vcpu``, ``nic``, ``guest console``); those of another bear its name (``b vcpu``,
``b-nic``, ``b console``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from desim.config import QemuConfig
from desim.data import NamedTuple
from desim.engine.thread import Thread
from desim.engine.trace import ThreadRecord
from desim.events import FrameTaken
from desim.guest.mm.memory import Memory
from desim.host.kernel import HostKernel
from desim.machine.guest import ETH0, Guest
from desim.machine.kit import Kit
from desim.machine.qemu import IRQ_LINE, Qemu
from desim.machine.threads.big_lock import BigLock
from desim.machine.threads.main_loop import MainLoop
from desim.machine.threads.vcpu import Vcpu
from desim.userland.files import Terminal, VirtualTree
from desim.userland.process import Process
from desim.userland.programs.dmesg import dmesg_line
from desim.wire.addresses import ip_text, mac_text, prefix_from_mask

if TYPE_CHECKING:
    from desim.machine.monitor import Monitor

MEMORY_BYTES = 256 << 20
BOOT = "guest console"
CONSOLE = "console"
MONITOR = "monitor"
ENDS = ("slirp", "nic")
"""The capture points at the two ends of a machine's own wire."""


def point_of(machine: str, point: str) -> str:
    """What a capture point of a machine is called; the first machine has no name."""
    return f"{machine}-{point}" if machine else point


def place_of(name: str, others: Collection[str]) -> tuple[str, str]:
    """The machine and the point in what ``point_of`` made; ``others`` are the further machines."""
    for machine in others:
        if name.startswith(f"{machine}-"):
            return machine, name.removeprefix(f"{machine}-")
    return "", name


def is_card(point: str) -> bool:
    """Whether a capture point is a card's: what goes to the guest comes in there, and goes out at
    every other one."""
    # ``-netdev socket,id=nic`` is none.
    return point == "nic" or (point.endswith("-nic") and "-socket-" not in f"-{point}")


def machine_of(name: str, others: Collection[str]) -> str:
    """The machine of a thread, or of a place where frames end; ``others`` are the further ones."""
    first, space, _ = name.partition(" ")
    return first if space and first in others else ""


def is_qemu(record: ThreadRecord) -> bool:
    """Whether a thread is one of QEMU's; programs of the host are called ``NAME[PID]``."""
    return not record.name.endswith("]")


class Transcript(NamedTuple):
    """One terminal: what was typed, when, what it showed, and how it ended."""

    side: str
    """Where it is: ``guest``, ``host``, or ``QEMU`` for its monitor."""
    name: str
    prompt: str
    command: str
    started_ns: int
    ended_ns: int | None
    status: int | None
    output: bytes
    measured: tuple[Mapping[str, Any], ...] = ()
    """What measuring programs have found, in order of their ends."""
    machine: str = ""
    """The name of its machine; the first has none, nor has the host."""

    @property
    def is_boot(self) -> bool:
        """Whether it is a guest's console, with its boot."""
        return self.name == (f"{self.machine} {CONSOLE}" if self.machine else BOOT)

    @property
    def where(self) -> str:
        """The side, as people know it: a further machine's guest by the machine's name."""
        return self.machine if self.machine and self.side == "guest" else self.side


class Vm:
    """One machine. ``number`` counts those before it."""

    def __init__(
        self,
        config: QemuConfig,
        kit: Kit,
        *,
        number: int,
        ranks: tuple[int, int],
        host: HostKernel,
        tree: VirtualTree,
        start: Callable[[Process], None],
        terminal: Callable[[str], Terminal],
        unseen: Terminal,
        resolvers: Sequence[bytes],
    ) -> None:
        """``ranks`` are those of the virtual CPU and the main loop. ``tree`` holds the files that
        the guest writes, ``start`` gives a child of QEMU a thread, ``terminal`` makes one, and
        ``unseen`` is the one that QEMU itself has."""
        self.config = config
        self.kit = kit
        self.ranks = ranks
        self._terminal = terminal
        self._set_up_processor()
        self.qemu = Qemu(
            config,
            kit,
            loop=self.loop,
            host=host,
            vcpu=self.vcpu,
            memory=self.memory,
            start=start,
            terminal=unseen,
            resolvers=resolvers,
            number=number,
        )
        self._install_guest(tree)

    def _set_up_processor(self) -> None:
        """QEMU's main loop, which serves the local timer; the virtual CPU, and its memory."""
        kit = self.kit
        self.loop = kit.build(MainLoop)(kit.env, BigLock(kit.env))
        self.vcpu = kit.build(Vcpu)(
            env=kit.env,
            rank=self.ranks[0],
            codes=kit.build.codes,
            clock=self.loop.timers,
            jiffies_zero_ns=self.config.boot.jiffies_zero_ns,
            switched=kit.recorder.switches(),
            build=kit.build,
            name=kit.prefix + "vcpu",
        )
        self.memory = Memory(MEMORY_BYTES, taken=kit.recorder.noter(FrameTaken))

    def _install_guest(self, tree: VirtualTree) -> None:
        """Driver, network stack and kernel on the virtual CPU."""
        self.console = self._terminal(
            f"{self.config.machine} {CONSOLE}" if self.config.machine else BOOT
        )
        self.guest = Guest(
            self.config,
            self.kit,
            vcpu=self.vcpu,
            mmio=self.qemu.mmio,
            irq=IRQ_LINE,
            memory=self.memory,
            tree=tree,
            console=self.console,
        )

    def start_threads(self, follow: Callable[[Thread], None]) -> None:
        """QEMU's two threads."""
        kit = self.kit
        name = kit.prefix + "main"
        main = Thread(kit.env, name, self.ranks[1], self.loop.main, kit.build.codes)
        follow(self.vcpu.thread)
        follow(main)

    def open_monitor(self) -> None:
        """QEMU's monitor, if something will be typed there."""
        config, qemu = self.config, self.qemu
        self.monitor: Monitor | None = None
        if not config.monitor:
            return
        from desim.machine.monitor import Monitor

        self.monitor = Monitor(
            config.monitor,
            timers=self.loop.timers,
            terminal=self._terminal(self.kit.prefix + MONITOR),
            net=qemu.net,
            hub=qemu.hub,
            slirp=qemu.slirp,
            user=config.user,
            nic=config.nic,
            netdevs=qemu.netdevs,
            filters=config.filters,
        )

    def at_rest(self) -> bool:
        """Nothing is in motion here: vCPU halted, main loop asleep in poll."""
        qemu = self.qemu
        return (
            (self.monitor is None or not self.monitor.pending)
            and (qemu.injector is None or not qemu.injector.pending)
            and self.vcpu.at_rest()
            and qemu.loop.polling
            and not qemu.sockets.ready()
        )

    def quiet(self) -> bool:
        """Nothing is in motion here, and nothing grows old for which no timer is armed."""
        qemu = self.qemu
        still = self.vcpu.at_rest() and qemu.loop.polling and not qemu.sockets.ready()
        return still and (qemu.slirp is None or qemu.slirp.quiet())

    def deadlines(self) -> list[int]:
        """When a timer fires: QEMU's, and those of the guest (ns)."""
        vcpu, armed = self.vcpu, self.loop.timers.armed
        found = [timer.deadline for timer in armed if timer.deadline is not None]
        return [*found, *vcpu.hrtimers.deadlines(), *vcpu.wheel_deadlines()]

    def nothing_left(self) -> bool:
        """At rest, and only periodic timers are armed."""
        slirp = self.qemu.slirp
        return (
            self.vcpu.idle()
            and self.guest.stack.idle()
            and not self.guest.unpolled()
            and not self.qemu.loop.timers.waiting()
            and self.qemu.net.filters_keep_nothing()
            and (slirp is None or slirp.idle())
        )

    # --- what is left after the run

    def boot_transcript(self) -> Transcript | None:
        """The guest's console; None without a card, as nothing is brought up."""
        guest = self.guest
        if guest.driver is None:
            return None
        log = "".join(dmesg_line(t, line) for t, line in guest.log.lines)
        loading = " ".join(["insmod", *guest.modprobe.words])
        return Transcript(
            "guest",
            self.console.queue.name,
            self.config.guest_side,
            f"{loading}; ip link set {ETH0} up; {guest.addressing}",
            0,
            guest.up_ns,
            None if guest.up_ns is None else 0,
            log.encode() + self.console.output(),
            machine=self.config.machine,
        )

    def monitor_transcript(self) -> Transcript | None:
        """What was typed into the monitor; None if nothing was."""
        monitor = self.monitor
        if monitor is None:
            return None
        instants = [command.at_ns for command in self.config.monitor]
        done = None if monitor.pending else max(instants)
        return Transcript(
            "QEMU",
            self.kit.prefix + MONITOR,
            "qemu",
            f"{len(instants)} command{'s' * (len(instants) != 1)}",
            min(instants),
            done,
            None if done is None else 0,
            monitor.terminal.output(),
            machine=self.config.machine,
        )

    def guest_summary(self) -> dict[str, object] | None:
        """The guest's interface, or None without one."""
        for found in self.guest.stack.interfaces():
            if found.name == ETH0:
                return {
                    "interface": ETH0,
                    "mac": mac_text(found.mac),
                    "address": ip_text(found.inet) if found.inet else None,
                    "prefix": prefix_from_mask(found.mask) if found.mask else None,
                    "carrier": found.carrier,
                    "rx_packets": found.rx_packets,
                    "tx_packets": found.tx_packets,
                }
        return None
