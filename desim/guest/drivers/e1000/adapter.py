"""What the rooms of the driver share: ``struct e1000_adapter`` (e1000.h).

It holds state and the driver's ways of speaking to the log, and no behaviour of
its own. ``down``, the four totals and the ITR values are read and written in
the hard interrupt, in NAPI and in the watchdog; the card's interrupts are
masked (IMC) from the handler to the end of the poll, which is what keeps these
three apart.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.data import Protocol
from desim.guest.cpu.context import Cpu
from desim.guest.drivers.e1000.hw import E1000Hw
from desim.guest.drivers.e1000.param import Checked
from desim.guest.drivers.netdevice import NetDevice
from desim.guest.mm.memory import Memory

MAXIMUM_ETHERNET_VLAN_SIZE = 1522


class TxQueueDevice(NetDevice, Protocol):
    """A ``NetDevice`` that also says whether anybody, driver or BQL, has stopped its queue."""

    def netif_xmit_stopped(self) -> bool:
        """Any XOFF bit; ``netif_queue_stopped`` is the driver's own alone."""


class Adapter:
    """``struct e1000_adapter``."""

    __slots__ = (
        "alloc_rx_buff_failed", "copybreak", "cpu", "detect_tx_hung", "device", "down",
        "er32", "ew32", "hw", "hw_csum_err", "hw_csum_good", "idle_errors", "itr", "itr_setting",
        "link_duplex", "link_speed", "log", "look", "memory", "options", "pci_name",
        "read_all", "receive_errors", "restart_queue", "total_rx_bytes", "total_rx_packets",
        "total_tx_bytes", "total_tx_packets", "tx_timeout_count", "tx_timeout_factor", "wol",
    )  # fmt: skip

    def __init__(
        self,
        *,
        cpu: Cpu,
        memory: Memory,
        device: TxQueueDevice,
        hw: E1000Hw,
        log: Callable[[str], None],
        pci_name: str,
        copybreak: int,
    ) -> None:
        self.cpu = cpu
        self.memory = memory
        self.device = device
        self.hw = hw
        self.look = cpu.touch_point("desc_status")
        """Before what the card writes is read."""
        self.er32 = hw.er32
        self.read_all = hw.read_all
        self.ew32 = hw.ew32
        self.log = log
        self.pci_name = pci_name
        self.options = Checked()
        self.copybreak = copybreak
        self.down = True
        """__E1000_DOWN: interrupts and work items leave the card alone."""
        self.wol = 0
        self.link_speed = 0
        self.link_duplex = 0
        self.itr = self.options.itr
        self.itr_setting = self.options.itr_setting
        self.detect_tx_hung = False
        self.tx_timeout_factor = 0
        self.total_tx_bytes = self.total_tx_packets = 0
        self.total_rx_bytes = self.total_rx_packets = 0
        self.restart_queue = 0
        self.tx_timeout_count = 0
        self.alloc_rx_buff_failed = 0
        self.hw_csum_good = self.hw_csum_err = 0
        self.idle_errors = self.receive_errors = 0

    def pr_info(self, text: str) -> None:
        """A line of the module."""
        self.log(f"e1000: {text}")

    def dev_info(self, text: str) -> None:
        """A line about the PCI device (e_dev_info)."""
        self.log(f"e1000 {self.pci_name}: {text}")

    def netdev_msg(self, kind: int, text: str) -> None:
        """A line about the interface, if the message mask has ``kind`` (e_info, e_err)."""
        if self.options.msg_enable & kind:
            self.log(f"e1000 {self.pci_name} {self.device.name}: {text}")
