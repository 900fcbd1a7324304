"""The e1000 driver proper: probe, open, interrupt, NAPI, watchdog (e1000_main.c of Linux 6.1).

Theory of operation
-------------------
``probe`` resets the card, reads the EEPROM bit by bit (a quarter of a second),
checks the module parameters and initialises the MAC, which restarts
autonegotiation: the link goes down and comes back half a second later.

``open`` fills the rings, programs both directions and fires LSC at itself
(ICS): the interrupt schedules the watchdog one jiffy later. There are two ways
from there to carrier:

* opened more than half a second after probe: the first watchdog finds link;
* opened sooner: it finds none and comes again after two seconds. The card's own
  LSC in between changes nothing, because the work item is already pending.

    e1000_intr       read ICR (0: not ours), LSC: watchdog, IMC = all, schedule NAPI
    e1000_clean      transmit clean, receive up to the budget; when both are done:
                     leave polling, ITR, IMS = RXT0 | RXDMT0 | RXSEQ | LSC | TXDW
    e1000_watchdog   every 2 s: link, all counters, ICS = RXDMT0 (one interrupt,
                     in case that one got lost), then itself again

The watchdog writes TCTL.EN when the link comes: before, nothing is sent.

RCTL is written five times until the interface is up (set_rx_mode, setup_rctl,
twice in configure_rx, set_rx_mode again from the stack), EN being set before
the first buffer is there. Each of these writes keeps QEMU's receiver shut for a
second.

Two work items stand for the one watchdog of the original, because a run ends
when nothing but periodic timers is left: a pass that answers an interrupt, and
the second look after open, may bring the link, all later ones only keep ticking.

Not modelled: VLAN filters (VME is on, so tags travel beside the frame), MTU
above 1500, suspend and wake-up, PCI error recovery, the ethtool self-test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from desim.guest.cpu.context import HZ, Cpu, Work
from desim.guest.drivers.e1000.adapter import Adapter, TxQueueDevice
from desim.guest.drivers.e1000.hw import RAR_ENTRIES, E1000Hw
from desim.guest.drivers.e1000.itr import Itr
from desim.guest.drivers.e1000.param import (
    ADVERTISE_1000_FULL,
    COPYBREAK_DEFAULT,
    FULL_DUPLEX,
    NETIF_MSG_DRV,
    NETIF_MSG_PROBE,
    ModuleOptions,
    check_options,
)
from desim.guest.drivers.e1000.phy import PhyError
from desim.guest.drivers.e1000.regs import (
    CTRL,
    CTRL_RFCE,
    CTRL_SWDPIN3,
    CTRL_TFCE,
    CTRL_VME,
    EEPROM_APME,
    EEPROM_INIT_CONTROL3_PORT_A,
    ICR,
    ICR_LSC,
    ICR_RXDMT0,
    ICR_RXSEQ,
    ICS,
    IMC,
    IMS,
    IMS_ENABLE_MASK,
    MAIN_C,
    MANC,
    MANC_SMBUS_EN,
    MII_CR_POWER_DOWN,
    MTA,
    PBA,
    PBA_48K,
    PHY_CTRL,
    RCTL,
    RCTL_EN,
    RCTL_MPE,
    RCTL_UPE,
    RCTL_VFE,
    TCTL,
    TCTL_EN,
    VET,
    VLAN_TYPE,
    WUC,
)
from desim.guest.drivers.e1000.rx import RxRing
from desim.guest.drivers.e1000.stats import Stats
from desim.guest.drivers.e1000.tx import TxRing
from desim.guest.drivers.netdevice import IFF_ALLMULTI, IFF_PROMISC
from desim.guest.mm.memory import Memory
from desim.guest.skb import Skb
from desim.ports import Mmio
from desim.stages import GUEST, Build, Landmark, bare, mark, stages

if TYPE_CHECKING:
    from desim.guest.drivers.e1000.ethtool import E1000Ethtool

ETH_DATA_LEN = 1500
ENET_HEADER_AND_FCS = 18
NUM_MTA_REGISTERS = 128
_ALL = 0xFFFFFFFF
_WUFC_MAG = 2


_MULTICAST_BACKWARDS = tuple(range(MTA, MTA + 4 * NUM_MTA_REGISTERS, 4))[::-1]


class E1000Driver:
    """One adapter under the driver's control; implements ``NetDriver``.

    Owns the adapter's state, both rings and three work items. ``probe`` must
    have run before anything else.
    """

    STAGES = stages(
        GUEST,
        init_module=mark("e1000_init_module", file=MAIN_C),
        probe=mark("e1000_probe", file=MAIN_C),
        reset=mark("e1000_reset", file=MAIN_C),
        open=mark("e1000_open", file=MAIN_C),
        configure=mark("e1000_configure", file=MAIN_C),
        up=mark("e1000_up", file=MAIN_C),
        shut_down=mark("e1000_down", file=MAIN_C),
        stop=mark("e1000_close", file=MAIN_C),
        tx_timeout=mark("e1000_tx_timeout", file=MAIN_C),
        reset_task=mark("e1000_reset_task", file=MAIN_C),
        interrupt=mark("e1000_intr", file=MAIN_C),
        poll=mark("e1000_clean", file=MAIN_C, landmark=Landmark.POLLED),
        set_rx_mode=mark("e1000_set_rx_mode", file=MAIN_C),
        has_link=mark("e1000_has_link", file=MAIN_C),
        watchdog=mark("e1000_watchdog", file=MAIN_C),
        update_phy_info_task=mark("e1000_update_phy_info_task", file=MAIN_C),
    )

    __slots__ = (
        "_build", "_link_task", "_looks_left", "_phy_info_task", "_reset_task", "_resetting",
        "_watchdog_task", "adapter", "hw", "itr", "module_options", "rx_ring",
        "stats", "tx_ring",
    )  # fmt: skip

    def __init__(
        self,
        *,
        cpu: Cpu,
        mmio: Mmio,
        memory: Memory,
        device: TxQueueDevice,
        options: ModuleOptions,
        log: Callable[[str], None],
        pci_name: str = "0000:00:02.0",
        build: Build = bare,
    ) -> None:
        self.module_options = options
        self.hw = build(E1000Hw)(cpu=cpu, mmio=mmio, build=build)
        self.adapter = Adapter(
            cpu=cpu,
            memory=memory,
            device=device,
            hw=self.hw,
            log=log,
            pci_name=pci_name,
            copybreak=options.copybreak,
        )
        self.itr = build(Itr)(self.adapter)
        self.stats = build(Stats)(self.adapter)
        self.rx_ring = build(RxRing)(self.adapter)
        self.tx_ring = build(TxRing)(self.adapter)
        self._build = build
        self._resetting = False
        self._looks_left = 0
        self._watchdog_task: Work = cpu.work("e1000_watchdog", self.watchdog, periodic=True)
        self._link_task: Work = cpu.work("e1000_watchdog", self.watchdog)
        self._phy_info_task: Work = cpu.work(
            "e1000_update_phy_info_task", self.update_phy_info_task, periodic=True
        )
        self._reset_task: Work = cpu.work("e1000_reset_task", self.reset_task)

    # Loading

    def unpolled(self) -> bool:
        """A frame in the ring always has an interrupt to come, or a poll that is due."""
        return False

    def init_module(self) -> None:
        """What ``modprobe e1000`` does: say hello, probe the card."""
        adapter = self.adapter
        adapter.pr_info("Intel(R) PRO/1000 Network Driver")
        adapter.pr_info("Copyright (c) 1999-2006 Intel Corporation.")
        self.probe()
        if adapter.copybreak == 0:
            adapter.pr_info("copybreak disabled")
        elif adapter.copybreak != COPYBREAK_DEFAULT:
            adapter.pr_info(f"copybreak enabled for packets <= {adapter.copybreak} bytes")

    def probe(self) -> None:
        """Take over the card: reset, EEPROM, parameters, reset with the new settings."""
        adapter, hw, device = self.adapter, self.hw, self.adapter.device
        hw.pci_enable()
        hw.init_hw_struct()
        self.irq_disable()  # e1000_sw_init
        hw.eeprom.init_eeprom_params()
        hw.reset_hw()
        address = None
        if hw.eeprom.validate_eeprom_checksum():
            address = hw.eeprom.read_mac_addr()
        else:
            adapter.netdev_msg(NETIF_MSG_PROBE, "The EEPROM Checksum Is Not Valid")
        hw.mac_addr = device.dev_addr = address or bytes(6)
        if not any(hw.mac_addr) or hw.mac_addr[0] & 1:
            adapter.netdev_msg(NETIF_MSG_PROBE, "Invalid MAC Address")
        adapter.options = check_options(self.module_options, adapter.dev_info)
        adapter.itr = adapter.options.itr
        adapter.itr_setting = adapter.options.itr_setting
        hw.configure(adapter.options)
        wake = hw.eeprom.read_eeprom(EEPROM_INIT_CONTROL3_PORT_A) or 0
        adapter.wol = _WUFC_MAG if wake & EEPROM_APME else 0
        self.reset()
        self._vlan_filter_off()
        address_text = ":".join(f"{byte:02x}" for byte in device.dev_addr)
        adapter.netdev_msg(NETIF_MSG_PROBE, f"{hw.bus} {address_text}")
        device.netif_carrier_off()
        adapter.netdev_msg(NETIF_MSG_PROBE, "Intel(R) PRO/1000 Network Connection")

    def _vlan_filter_off(self) -> None:
        """Strip and insert tags, filter none (e1000_vlan_filter_on_off)."""
        adapter = self.adapter
        adapter.ew32(CTRL, adapter.er32(CTRL) | CTRL_VME)
        adapter.ew32(RCTL, adapter.er32(RCTL) & ~RCTL_VFE)

    def reset(self) -> None:
        """Bring the MAC into its initial state, with the driver's settings."""
        adapter, hw = self.adapter, self.hw
        adapter.ew32(PBA, PBA_48K)
        # Flow control marks leave room for a tenth of the FIFO, or one frame.
        fifo = PBA_48K << 10
        frame = adapter.device.mtu + ENET_HEADER_AND_FCS
        hw.fc_high_water = min(fifo * 9 // 10, fifo - frame) & 0xFFF8
        hw.fc_low_water = hw.fc_high_water - 8
        hw.fc = hw.original_fc
        hw.reset_hw()
        adapter.ew32(WUC, 0)
        if not hw.init_hw():
            adapter.dev_info("Hardware Error")
        if hw.autoneg and hw.phy.autoneg_advertised == ADVERTISE_1000_FULL:
            adapter.ew32(CTRL, adapter.er32(CTRL) & ~CTRL_SWDPIN3)
        adapter.ew32(VET, VLAN_TYPE)
        hw.reset_adaptive()
        try:
            hw.phy.phy_get_info()
        except PhyError:
            return

    # Up and down

    def open(self) -> None:
        """``ndo_open``. Raises MemoryError if there is none for the rings."""
        adapter, device = self.adapter, self.adapter.device
        if device.mtu > ETH_DATA_LEN:
            raise ValueError(f"{device.name}: mtu {device.mtu}: this driver model does up to 1500")
        device.netif_carrier_off()
        try:
            self._setup_rings()
        except MemoryError:
            self.reset()
            raise
        self._power_phy(True)
        self.configure()
        adapter.down = False
        device.napi_enable()
        self.irq_enable()
        device.netif_start_queue()
        adapter.ew32(ICS, ICR_LSC)

    def configure(self) -> None:
        """Program filters, both directions, and hand over the first buffers."""
        self._looks_left = 1
        self.set_rx_mode()
        self.tx_ring.configure_tx()
        self.rx_ring.setup_rctl()
        self.rx_ring.configure_rx()
        self.rx_ring.alloc_rx_buffers(range(self.rx_ring.unused))

    def up(self) -> None:
        """Start again after ``shut_down``."""
        self.configure()
        self.adapter.down = False
        self.adapter.device.napi_enable()
        self.irq_enable()
        self.adapter.device.netif_wake_queue()
        self.adapter.ew32(ICS, ICR_LSC)

    def shut_down(self) -> None:
        """Stop both directions, interrupts and work; reset; empty the rings."""
        adapter, device = self.adapter, self.adapter.device
        adapter.ew32(RCTL, adapter.er32(RCTL) & ~RCTL_EN)
        device.netif_stop_queue()
        adapter.ew32(TCTL, adapter.er32(TCTL) & ~TCTL_EN)
        self.hw.write_flush()
        adapter.cpu.msleep(10)
        device.netif_carrier_off()
        device.napi_disable()
        self.irq_disable()
        adapter.down = True
        self._watchdog_task.cancel()
        self._link_task.cancel()
        self._phy_info_task.cancel()
        if not self._resetting:
            self._reset_task.cancel()
        adapter.link_speed = 0
        adapter.link_duplex = 0
        self.reset()
        self.tx_ring.clean_tx_ring()
        self.rx_ring.clean_rx_ring()

    def stop(self) -> None:
        """``ndo_stop``."""
        while self._resetting:
            self.adapter.cpu.msleep(10)
        self.shut_down()
        if not self.adapter.wol and not self.adapter.er32(MANC) & MANC_SMBUS_EN:
            self._power_phy(False)
            self.adapter.cpu.msleep(1)
        self.tx_ring.free_tx_resources()
        self.rx_ring.free_rx_resources()

    def change_rings(self, rx_count: int, tx_count: int) -> None:
        """Rings of other sizes (e1000_set_ringparam); MemoryError leaves them as they were."""
        adapter = self.adapter
        options, running = adapter.options, not adapter.down
        while self._resetting:
            adapter.cpu.msleep(1)
        self._resetting = True
        if running:
            self.shut_down()
        old = self.rx_ring, self.tx_ring, options.rx_count, options.tx_count
        self.rx_ring = self._build(RxRing)(adapter)
        self.tx_ring = self._build(TxRing)(adapter)
        options.rx_count, options.tx_count = rx_count, tx_count
        try:
            if running:
                self._setup_rings()
                old[0].free_rx_resources()
                old[1].free_tx_resources()
        except MemoryError:
            self.rx_ring, self.tx_ring, options.rx_count, options.tx_count = old
            raise
        finally:
            if running:
                self.up()
            self._resetting = False

    def _setup_rings(self) -> None:
        """Memory for both rings, or a MemoryError and none."""
        name = self.adapter.device.name
        if not self.tx_ring.setup_tx_resources():
            raise MemoryError(f"{name}: no memory for the transmit ring")
        if not self.rx_ring.setup_rx_resources():
            self.tx_ring.free_tx_resources()
            raise MemoryError(f"{name}: no memory for the receive ring")

    def _power_phy(self, on: bool) -> None:
        """e1000_power_up_phy, e1000_power_down_phy; what the PHY answers is not checked."""
        phy = self.hw.phy
        try:
            control = phy.read_phy_reg(PHY_CTRL) & ~MII_CR_POWER_DOWN
            phy.write_phy_reg(PHY_CTRL, control if on else control | MII_CR_POWER_DOWN)
        except PhyError:
            return

    def tx_timeout(self) -> None:
        """``ndo_tx_timeout``: the queue has been stopped for five seconds."""
        self.adapter.tx_timeout_count += 1
        self._reset_task.schedule()

    def reset_task(self) -> None:
        """Down and up again, from process context."""
        self.adapter.netdev_msg(NETIF_MSG_DRV, "Reset adapter")
        while self._resetting:
            self.adapter.cpu.msleep(1)
        self._resetting = True
        self.shut_down()
        self.up()
        self._resetting = False

    # Interrupt and NAPI

    def irq_disable(self) -> None:
        """Mask every cause (e1000_irq_disable)."""
        self.adapter.ew32(IMC, _ALL)
        self.hw.write_flush()

    def irq_enable(self) -> None:
        """Unmask what the driver wants (e1000_irq_enable)."""
        self.adapter.ew32(IMS, IMS_ENABLE_MASK)
        self.hw.write_flush()

    def interrupt(self) -> bool:
        """The interrupt handler: False (IRQ_NONE) when ICR says nothing."""
        adapter, device = self.adapter, self.adapter.device
        icr = adapter.er32(ICR)
        if not icr:
            return False
        if adapter.down:
            return True
        if icr & (ICR_RXSEQ | ICR_LSC):
            self.hw.get_link_status = True
            self._schedule_watchdog(self._link_task, 1)
        self.irq_disable()
        if device.napi_schedule_prep():
            adapter.total_tx_bytes = adapter.total_tx_packets = 0
            adapter.total_rx_bytes = adapter.total_rx_packets = 0
            device.napi_schedule()
        else:
            self.irq_enable()
        return True

    def ethtool_ops(self) -> E1000Ethtool:
        """What ``ethtool`` is shown, and can set."""
        from desim.guest.drivers.e1000.ethtool import E1000Ethtool

        return self._build(E1000Ethtool)(self)

    def poll(self, budget: int) -> int:
        """The NAPI poll; returns ``budget`` to stay on the list."""
        adapter = self.adapter
        tx_clean_complete = self.tx_ring.clean_tx_irq()
        work_done = self.rx_ring.clean_rx_irq(budget)
        if not tx_clean_complete or work_done == budget:
            return budget
        if adapter.device.napi_complete_done(work_done):
            if adapter.itr_setting & 3:
                self.itr.set_itr()
            if not adapter.down:
                self.irq_enable()
        return work_done

    def start_xmit(self, skb: Skb, more: bool) -> int:
        """``ndo_start_xmit`` (e1000_xmit_frame)."""
        return self.tx_ring.xmit_frame(skb, more)

    # Filters

    def set_rx_mode(self) -> None:
        """Program promiscuity, exact addresses and the multicast hash table."""
        adapter, hw, device = self.adapter, self.hw, self.adapter.device
        promiscuous = bool(device.flags & IFF_PROMISC)
        rctl = adapter.er32(RCTL)
        if promiscuous:
            rctl = (rctl | RCTL_UPE | RCTL_MPE) & ~RCTL_VFE
        elif device.flags & IFF_ALLMULTI:
            rctl |= RCTL_MPE
        else:
            rctl &= ~RCTL_MPE
        exact: list[bytes] = []
        if len(device.uc_list) > RAR_ENTRIES - 1:
            rctl |= RCTL_UPE
        elif not promiscuous:
            rctl &= ~RCTL_UPE
            exact += device.uc_list
        adapter.ew32(RCTL, rctl)
        exact += device.mc_list
        mta = [0] * NUM_MTA_REGISTERS
        for address in exact[RAR_ENTRIES - 1 :]:
            bit = hw.hash_mc_addr(address)
            mta[bit >> 5] |= 1 << (bit & 0x1F)
        exact = exact[: RAR_ENTRIES - 1]
        for index, address in enumerate(exact, 1):
            hw.rar_set(address, index)
        hw.rars_clear(len(exact) + 1)
        hw.write_all(_MULTICAST_BACKWARDS, mta[::-1])
        hw.write_flush()

    # Watchdog

    def _schedule_watchdog(self, task: Work, delay_jiffies: int) -> None:
        """Queue the watchdog, unless it is queued already."""
        if not self._watchdog_task.pending and not self._link_task.pending:
            task.schedule(delay_jiffies)

    def has_link(self) -> bool:
        """Asks the card only after LSC or RXSEQ; else link is as it was."""
        hw = self.hw
        if hw.get_link_status:
            hw.check_for_link()
            return not hw.get_link_status
        return True

    def watchdog(self) -> None:
        """Link, counters, a forced interrupt; every two seconds."""
        adapter, device = self.adapter, self.adapter.device
        link, carrier = self.has_link(), device.netif_carrier_ok()
        if link and not carrier:
            self._link_up()
        elif carrier and not link:
            adapter.link_speed = 0
            adapter.link_duplex = 0
            adapter.pr_info(f"{device.name} NIC Link is Down")
            device.netif_carrier_off()
            self._schedule_phy_info()

        self.stats.update_stats()
        stats = self.stats
        self.hw.update_adaptive(stats.delta("tpt"), stats.delta("colc"))
        gorcl, gotcl = stats.delta("gorcl"), stats.delta("gotcl")

        if not device.netif_carrier_ok() and self.tx_ring.unused + 1 < self.tx_ring.count:
            # Packets are queued that the card will never send: start over.
            adapter.tx_timeout_count += 1
            self._reset_task.schedule()
            return
        if adapter.itr_setting == 4:
            self.itr.set_simplified(gotcl, gorcl)
        adapter.ew32(ICS, ICR_RXDMT0)
        adapter.detect_tx_hung = True
        if adapter.down:
            return
        task = self._watchdog_task
        if not device.netif_carrier_ok() and self._looks_left:
            # Autonegotiation takes half a second: the next look will find a link, or none is there.
            self._looks_left -= 1
            task = self._link_task
        self._schedule_watchdog(task, 2 * HZ)

    def _link_up(self) -> None:
        """The link has come: say so, enable the transmitter, raise carrier."""
        adapter, device = self.adapter, self.adapter.device
        adapter.link_speed, adapter.link_duplex = self.hw.get_speed_and_duplex()
        ctrl = adapter.er32(CTRL)
        duplex = "Full Duplex" if adapter.link_duplex == FULL_DUPLEX else "Half Duplex"
        pause = "/".join(name for name, bit in (("RX", CTRL_RFCE), ("TX", CTRL_TFCE)) if ctrl & bit)
        adapter.pr_info(
            f"{device.name} NIC Link is Up {adapter.link_speed} Mbps {duplex}, "
            f"Flow Control: {pause or 'None'}"
        )
        adapter.tx_timeout_factor = 16 if adapter.link_speed == 10 else 1
        adapter.ew32(TCTL, adapter.er32(TCTL) | TCTL_EN)
        device.netif_carrier_on()
        self._schedule_phy_info()

    def _schedule_phy_info(self) -> None:
        if not self.adapter.down:
            self._phy_info_task.schedule(2 * HZ)

    def update_phy_info_task(self) -> None:
        """Diagnostic registers of the PHY, two seconds after the link changed."""
        try:
            self.hw.phy.phy_get_info()
        except PhyError:
            return
