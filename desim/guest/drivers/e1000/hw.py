"""Reset, initialisation, link and flow control of the MAC (e1000_hw.c).

Theory of operation
-------------------
``reset_hw`` masks interrupts, stops both directions, sleeps 10 ms, asks for a
global reset and waits for the EEPROM to be read again. On an 82540 the reset is
written through the I/O window (BAR1), which QEMU's card ignores, and which
this model does not write: the register contents survive.

``init_hw`` brings everything else into a known state: VLAN table, receive
addresses, multicast table, link, flow control, statistics. Its ``setup_link``
restarts autonegotiation and does not wait: the card drops the link and reports
LSC half a second later.

``check_for_link`` is the watchdog's question. When the link has just come up it
writes the collision distance and settles flow control from both sides' PAUSE
bits (802.3 annex 28B): QEMU's partner advertises none, the EEPROM asks for
both directions, and the result is "RX".

Not modelled: fiber and SerDes, PCI-X, the 82542 to 82544 and the 82541/82547
(refused by ``e1000_set_mac_type``), LEDs beyond the words read for them.
"""

from __future__ import annotations

from desim.guest.cpu.context import Cpu
from desim.guest.drivers.e1000.counters import CLEAR_HW_CNTRS
from desim.guest.drivers.e1000.nvm import Eeprom
from desim.guest.drivers.e1000.param import (
    FC_DEFAULT,
    FC_FULL,
    FC_NONE,
    FC_RX_PAUSE,
    FC_TX_PAUSE,
    FULL_DUPLEX,
    HALF_DUPLEX,
    Checked,
)
from desim.guest.drivers.e1000.phy import Phy, PhyError
from desim.guest.drivers.e1000.regs import (
    AIT,
    COLD_SHIFT,
    COLLISION_DISTANCE,
    CTRL,
    CTRL_ASDE,
    CTRL_FD,
    CTRL_FRCDPX,
    CTRL_FRCSPD,
    CTRL_RFCE,
    CTRL_SLU,
    CTRL_SPD_100,
    CTRL_SPD_SEL,
    CTRL_TFCE,
    EEPROM_ASM_DIR,
    EEPROM_ID_LED_SETTINGS,
    EEPROM_INIT_CONTROL2,
    EEPROM_PAUSE_MASK,
    FC_PAUSE_TIME,
    FCAH,
    FCAL,
    FCRTH,
    FCRTL,
    FCRTL_XONE,
    FCT,
    FCTTV,
    FLOW_CONTROL_ADDRESS_HIGH,
    FLOW_CONTROL_ADDRESS_LOW,
    FLOW_CONTROL_TYPE,
    HW_C,
    ICR,
    IMC,
    LEDCTL,
    MAIN_C,
    MANC,
    MANC_ARP_EN,
    MII_SR_AUTONEG_COMPLETE,
    MTA,
    NWAY_ASM_DIR,
    NWAY_PAUSE,
    PHY_AUTONEG_ADV,
    PHY_LP_ABILITY,
    PHY_STATUS,
    RA,
    RAH_AV,
    RCTL,
    STATUS,
    STATUS_BUS64,
    STATUS_FD,
    STATUS_PCI66,
    STATUS_PCIX_MODE,
    STATUS_SPEED_100,
    STATUS_SPEED_1000,
    STATUS_TBIMODE,
    TCTL,
    TCTL_COLD,
    TCTL_PSP,
    TXDCTL,
    TXDCTL_FULL_TX_DESC_WB,
    TXDCTL_WTHRESH,
    VET,
    VFTA,
)
from desim.ports import Mmio
from desim.stages import GUEST, Build, Landmark, bare, mark, stages

RAR_ENTRIES = 15
MC_TBL_SIZE = 128
VLAN_FILTER_TBL_SIZE = 128

PCI_ID, PCI_COMMAND = 0x00, 0x04
MAC_TYPES = {0x100E: "82540", 0x100F: "82545"}
"""Intel's device ids that this model drives (82540EM, 82545EM copper)."""

# Adaptive inter-frame spacing, which answers collisions (e1000_hw.h).
_IFS_MIN, _IFS_MAX, _IFS_STEP, _IFS_RATIO, _MIN_NUM_XMITS = 40, 80, 10, 4, 1000


_VLAN_FILTERS = tuple(range(VFTA, VFTA + 4 * VLAN_FILTER_TBL_SIZE, 4))
_MULTICAST = tuple(range(MTA, MTA + 4 * MC_TBL_SIZE, 4))


class E1000Hw:
    """``struct e1000_hw``."""

    STAGES = stages(
        GUEST,
        init_hw_struct=mark("e1000_init_hw_struct", file=MAIN_C),
        set_media_type=mark("e1000_set_media_type", file=HW_C),
        reset_hw=mark("e1000_reset_hw", file=HW_C),
        init_hw=mark("e1000_init_hw", file=HW_C),
        setup_link=mark("e1000_setup_link", file=HW_C),
        setup_copper_link=mark("e1000_setup_copper_link", file=HW_C, landmark=Landmark.PAUSED),
        phy_force_speed_duplex=mark(
            "e1000_phy_force_speed_duplex", file=HW_C, landmark=Landmark.PAUSED
        ),
        config_collision_dist=mark("e1000_config_collision_dist", file=HW_C),
        config_fc_after_link_up=mark("e1000_config_fc_after_link_up", file=HW_C),
        force_mac_fc=mark("e1000_force_mac_fc", file=HW_C),
        check_for_link=mark("e1000_check_for_link", file=HW_C),
        get_speed_and_duplex=mark("e1000_get_speed_and_duplex", file=HW_C),
        reset_adaptive=mark("e1000_reset_adaptive", file=HW_C),
        update_adaptive=mark("e1000_update_adaptive", file=HW_C),
    )

    __slots__ = (
        "_cpu", "_current_ifs", "_in_ifs_mode", "_mmio", "autoneg", "bus", "copper", "eeprom",
        "er32", "ew32", "fc", "fc_high_water", "fc_low_water", "forced_full_duplex",
        "forced_speed", "get_link_status", "mac_addr", "mac_type", "original_fc", "phy",
        "read_all", "write_all",
    )  # fmt: skip

    def __init__(self, *, cpu: Cpu, mmio: Mmio, build: Build = bare) -> None:
        self._cpu = cpu
        self._mmio = mmio
        self.er32 = mmio.read
        self.read_all = mmio.read_all
        self.write_all = mmio.write_all
        self.ew32 = mmio.write
        self.eeprom = build(Eeprom)(cpu=cpu, mmio=mmio)
        self.phy = build(Phy)(cpu=cpu, mmio=mmio)
        self.mac_type = ""
        self.mac_addr = bytes(6)
        self.bus = ""
        self.copper = True
        self.autoneg = True
        self.forced_speed = 0
        self.forced_full_duplex = False
        self.fc = self.original_fc = FC_DEFAULT
        self.fc_high_water = self.fc_low_water = 0
        self.get_link_status = False
        self._in_ifs_mode = False
        self._current_ifs = 0

    def configure(self, options: Checked) -> None:
        """Take over what the module parameters say about the link."""
        self.fc = self.original_fc = options.fc
        self.autoneg = options.autoneg
        self.phy.autoneg_advertised = options.autoneg_advertised
        self.phy.mdi_manual = options.mdi_manual
        self.forced_speed = options.forced_speed
        self.forced_full_duplex = options.forced_full_duplex

    def write_flush(self) -> None:
        """Push posted writes out to the card (E1000_WRITE_FLUSH)."""
        self.er32(STATUS)

    def pci_enable(self) -> None:
        """Decode I/O and memory, and let the card master the bus."""
        for bits in (0x3, 0x4):
            command = self._mmio.config_read(PCI_COMMAND) & 0xFFFF
            if command & bits != bits:
                self._mmio.config_write(PCI_COMMAND, command | bits)

    def init_hw_struct(self) -> None:
        """Which MAC, which medium, which bus."""
        device_id = self._mmio.config_read(PCI_ID) >> 16
        if device_id not in MAC_TYPES:
            known = ", ".join(f"{d:#06x} ({name})" for d, name in MAC_TYPES.items())
            raise ValueError(f"PCI device {device_id:#06x}: this driver model knows {known}")
        self.mac_type = MAC_TYPES[device_id]
        self.set_media_type()
        status = self.er32(STATUS)
        kind = "PCI-X" if status & STATUS_PCIX_MODE else "PCI"
        speed = 66 if status & STATUS_PCI66 else 33
        width = 64 if status & STATUS_BUS64 else 32
        self.bus = f"({kind}:{speed}MHz:{width}-bit)"

    def set_media_type(self) -> None:
        self.copper = not self.er32(STATUS) & STATUS_TBIMODE
        if not self.copper:
            raise ValueError("STATUS says fiber: this driver model knows copper only")

    def reset_hw(self) -> None:
        """Silence the card and reset it."""
        self.ew32(IMC, 0xFFFFFFFF)
        self.ew32(RCTL, 0)
        self.ew32(TCTL, TCTL_PSP)
        self.write_flush()
        self._cpu.msleep(10)
        self.er32(CTRL)  # the value that CTRL.RST is written with, through the I/O window
        self._cpu.msleep(5)  # e1000_get_auto_rd_done
        self.ew32(MANC, self.er32(MANC) & ~MANC_ARP_EN)
        self.ew32(IMC, 0xFFFFFFFF)
        self.er32(ICR)

    def init_hw(self) -> bool:
        """From reset to a configured MAC with both directions off; False on a hardware error."""
        self.er32(LEDCTL)
        if self.eeprom.read_eeprom(EEPROM_ID_LED_SETTINGS) is None:
            return False
        self.set_media_type()
        self.ew32(VET, 0)
        self.write_all(_VLAN_FILTERS, bytes(VLAN_FILTER_TBL_SIZE), STATUS)
        self._init_rx_addrs()
        self.write_all(_MULTICAST, bytes(MC_TBL_SIZE), STATUS)
        linked = self.setup_link()
        txdctl = self.er32(TXDCTL)
        self.ew32(TXDCTL, txdctl & ~TXDCTL_WTHRESH | TXDCTL_FULL_TX_DESC_WB)
        for counter in CLEAR_HW_CNTRS:
            self.er32(counter)
        return linked

    def _init_rx_addrs(self) -> None:
        """The station's address in RAR 0, nothing in the others."""
        self.rar_set(self.mac_addr, 0)
        self.rars_clear(1)

    def rar_set(self, address: bytes, index: int) -> None:
        """Accept frames for ``address`` (e1000_rar_set)."""
        self.ew32(RA + 8 * index, int.from_bytes(address[:4], "little"))
        self.write_flush()
        self.ew32(RA + 8 * index + 4, int.from_bytes(address[4:], "little") | RAH_AV)
        self.write_flush()

    def rars_clear(self, first: int) -> None:
        """Empty the exact filters from one on."""
        halves = range(RA + 8 * first, RA + 8 * RAR_ENTRIES, 4)
        self.write_all(tuple(halves), bytes(len(halves)), STATUS)

    @staticmethod
    def hash_mc_addr(address: bytes) -> int:
        """Bits 47:36 of a multicast address: its place in MTA (e1000_hash_mc_addr, type 0)."""
        return (address[4] >> 4 | address[5] << 4) & 0xFFF

    def setup_link(self) -> bool:
        """Flow control from the EEPROM or the user, link, PAUSE registers."""
        if self.fc == FC_DEFAULT:
            word = self.eeprom.read_eeprom(EEPROM_INIT_CONTROL2)
            if word is None:
                return False
            pause = word & EEPROM_PAUSE_MASK
            if not pause:
                self.fc = FC_NONE
            else:
                self.fc = FC_TX_PAUSE if pause == EEPROM_ASM_DIR else FC_FULL
        self.original_fc = self.fc
        try:
            self.setup_copper_link()
            linked = True
        except PhyError:
            linked = False
        self.ew32(FCT, FLOW_CONTROL_TYPE)
        self.ew32(FCAH, FLOW_CONTROL_ADDRESS_HIGH)
        self.ew32(FCAL, FLOW_CONTROL_ADDRESS_LOW)
        self.ew32(FCTTV, FC_PAUSE_TIME)
        if self.fc & FC_TX_PAUSE:
            self.ew32(FCRTL, self.fc_low_water | FCRTL_XONE)
            self.ew32(FCRTH, self.fc_high_water)
        else:
            self.ew32(FCRTL, 0)
            self.ew32(FCRTH, 0)
        return linked

    def setup_copper_link(self) -> None:
        """Put the PHY right, start negotiating, and look for link for 100 us."""
        ctrl = self.er32(CTRL) | CTRL_SLU
        self.ew32(CTRL, ctrl & ~(CTRL_FRCSPD | CTRL_FRCDPX))
        self.phy.detect_gig_phy()
        self.phy.copper_link_mgp_setup()
        if self.autoneg:
            self.phy.copper_link_autoneg(self.fc)
            self.get_link_status = True
        else:
            self.phy_force_speed_duplex()
        for _ in range(10):
            if self.phy.link_status():
                self.config_collision_dist()
                self.config_fc_after_link_up()
                return
            self._cpu.udelay(10)

    def phy_force_speed_duplex(self) -> None:
        """10 or 100 Mb/s as the user wants it, without negotiation or flow control."""
        self.fc = FC_NONE
        ctrl = (self.er32(CTRL) | CTRL_FRCSPD | CTRL_FRCDPX) & ~(CTRL_SPD_SEL | CTRL_ASDE)
        control = self.phy.force_control(self.forced_speed, self.forced_full_duplex)
        ctrl = ctrl | CTRL_FD if self.forced_full_duplex else ctrl & ~CTRL_FD
        if self.forced_speed == 100:
            ctrl |= CTRL_SPD_100
        self.config_collision_dist()
        self.ew32(CTRL, ctrl)
        self.phy.force_m88(control)

    def config_collision_dist(self) -> None:
        tctl = self.er32(TCTL) & ~TCTL_COLD
        self.ew32(TCTL, tctl | COLLISION_DISTANCE << COLD_SHIFT)
        self.write_flush()

    def config_fc_after_link_up(self) -> None:
        """Settle flow control with the partner and write it to CTRL."""
        if not self.autoneg:
            self.force_mac_fc()
            return
        self.phy.read_phy_reg(PHY_STATUS)
        if not self.phy.read_phy_reg(PHY_STATUS) & MII_SR_AUTONEG_COMPLETE:
            return
        ours = self.phy.read_phy_reg(PHY_AUTONEG_ADV)
        theirs = self.phy.read_phy_reg(PHY_LP_ABILITY)
        self.fc = resolve_flow_control(ours, theirs, self.original_fc)
        _, duplex = self.get_speed_and_duplex()
        if duplex == HALF_DUPLEX:
            self.fc = FC_NONE
        self.force_mac_fc()

    def force_mac_fc(self) -> None:
        ctrl = self.er32(CTRL) & ~(CTRL_TFCE | CTRL_RFCE)
        if self.fc & FC_RX_PAUSE:
            ctrl |= CTRL_RFCE
        if self.fc & FC_TX_PAUSE:
            ctrl |= CTRL_TFCE
        self.ew32(CTRL, ctrl)

    def check_for_link(self) -> None:
        """Clear ``get_link_status`` if there is link, and settle what comes with it."""
        self.er32(CTRL)
        self.er32(STATUS)
        if not self.get_link_status:
            return
        try:
            if not self.phy.link_status():
                return
            self.get_link_status = False
            self.phy.check_downshift()
            if self.autoneg:
                self.config_collision_dist()
                self.config_fc_after_link_up()
        except PhyError:
            return

    def get_speed_and_duplex(self) -> tuple[int, int]:
        """Mb/s and duplex, from STATUS."""
        status = self.er32(STATUS)
        if status & STATUS_SPEED_1000:
            speed = 1000
        else:
            speed = 100 if status & STATUS_SPEED_100 else 10
        return speed, FULL_DUPLEX if status & STATUS_FD else HALF_DUPLEX

    def reset_adaptive(self) -> None:
        self._in_ifs_mode = False
        self._current_ifs = 0
        self.ew32(AIT, 0)

    def update_adaptive(self, tx_packets: int, collisions: int) -> None:
        """Space frames out while there are many collisions."""
        if collisions * _IFS_RATIO > tx_packets:
            if tx_packets > _MIN_NUM_XMITS:
                self._in_ifs_mode = True
                if self._current_ifs < _IFS_MAX:
                    step = _IFS_STEP if self._current_ifs else _IFS_MIN
                    self._current_ifs += step
                    self.ew32(AIT, self._current_ifs)
        elif self._in_ifs_mode and tx_packets <= _MIN_NUM_XMITS:
            self._in_ifs_mode = False
            self._current_ifs = 0
            self.ew32(AIT, 0)


def resolve_flow_control(ours: int, theirs: int, wanted: int) -> int:
    """What two advertisements amount to (802.3 table 28B-3), and then Linux' own exception.

    A partner that advertises nothing may still be configured by hand: whoever
    wanted to receive PAUSE frames goes on listening for them.
    """
    if ours & NWAY_PAUSE and theirs & NWAY_PAUSE:
        return FC_FULL if wanted == FC_FULL else FC_RX_PAUSE
    both_asm_dir = bool(ours & theirs & NWAY_ASM_DIR)
    if not ours & NWAY_PAUSE and both_asm_dir and theirs & NWAY_PAUSE:
        return FC_TX_PAUSE
    if ours & NWAY_PAUSE and both_asm_dir and not theirs & NWAY_PAUSE:
        return FC_RX_PAUSE
    return FC_NONE if wanted in (FC_NONE, FC_TX_PAUSE) else FC_RX_PAUSE
