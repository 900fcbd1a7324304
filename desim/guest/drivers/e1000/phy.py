"""The PHY behind MDIC: reset, autonegotiation, what it tells of the link (e1000_hw.c).

Theory of operation
-------------------
Every access is a command in MDIC and a poll of its READY bit, with interrupts
off (``e1000_phy_lock``): 50 us for a read, 5 us for a write. Setting up the
link means: find the PHY, put its own registers right, reset it so that they
count, write what to advertise, and set BMCR's restart bit. The driver does not
wait for the outcome; the watchdog looks again when the card says LSC.

A PHY that does not answer raises :class:`PhyError`, where the original hands an
error code from function to function.

Not modelled: PHYs other than the M88E1011 of the 82540 and 82545, smart speed,
cable diagnostics beyond the registers that are read for them.
"""

from __future__ import annotations

from desim.guest.cpu.context import Cpu
from desim.guest.drivers.e1000.param import (
    ADVERTISE_10_FULL,
    ADVERTISE_10_HALF,
    ADVERTISE_100_FULL,
    ADVERTISE_100_HALF,
    ADVERTISE_1000_FULL,
    AUTONEG_ADV_DEFAULT,
    FC_NONE,
    FC_TX_PAUSE,
)
from desim.guest.drivers.e1000.regs import (
    CR_1000T_FD,
    CR_1000T_SPEED_MASK,
    EPSCR_DOWNSHIFT_1X,
    EPSCR_DOWNSHIFT_MASK,
    EPSCR_TX_CLK_25,
    HW_C,
    M88_EPSCR,
    M88_PSCR,
    M88_PSSR,
    M88E1011_I_PHY_ID,
    M88E1011_I_REV_4,
    MDIC,
    MDIC_ERROR,
    MDIC_OP_READ,
    MDIC_OP_WRITE,
    MDIC_PHY_SHIFT,
    MDIC_READY,
    MDIC_REG_SHIFT,
    MII_CR_AUTO_NEG_EN,
    MII_CR_FULL_DUPLEX,
    MII_CR_RESET,
    MII_CR_RESTART_AUTO_NEG,
    MII_CR_SPEED_100,
    MII_CR_SPEED_1000,
    MII_SR_LINK_STATUS,
    NWAY_10T_FD,
    NWAY_10T_HD,
    NWAY_100TX_FD,
    NWAY_100TX_HD,
    NWAY_ASM_DIR,
    NWAY_PAUSE,
    NWAY_SPEED_MASK,
    PHY_1000T_CTRL,
    PHY_1000T_STATUS,
    PHY_AUTONEG_ADV,
    PHY_CTRL,
    PHY_ID1,
    PHY_ID2,
    PHY_REVISION_MASK,
    PHY_STATUS,
    PSCR_ASSERT_CRS_ON_TX,
    PSCR_AUTO_X_MODE,
    PSCR_POLARITY_REVERSAL,
    PSSR_1000MBS,
    PSSR_SPEED,
)
from desim.ports import Mmio
from desim.stages import GUEST, Landmark, mark, stages

_PHY_ADDR = 1
_READ_TRIES = 64
_WRITE_TRIES = 641

_NWAY_OF_ADVERTISED = (
    (ADVERTISE_10_HALF, NWAY_10T_HD),
    (ADVERTISE_10_FULL, NWAY_10T_FD),
    (ADVERTISE_100_HALF, NWAY_100TX_HD),
    (ADVERTISE_100_FULL, NWAY_100TX_FD),
)


class PhyError(Exception):
    """The PHY did not answer, or is not one that this driver knows."""


class Phy:
    """The M88E1011 on the card, and what the driver remembers of it."""

    STAGES = stages(
        GUEST,
        read_phy_reg=mark("e1000_read_phy_reg", file=HW_C, landmark=Landmark.PAUSED),
        write_phy_reg=mark("e1000_write_phy_reg", file=HW_C, landmark=Landmark.PAUSED),
        detect_gig_phy=mark("e1000_detect_gig_phy", file=HW_C, landmark=Landmark.PAUSED),
        copper_link_mgp_setup=mark("e1000_copper_link_mgp_setup", file=HW_C),
        phy_reset=mark("e1000_phy_reset", file=HW_C, landmark=Landmark.PAUSED),
        copper_link_autoneg=mark("e1000_copper_link_autoneg", file=HW_C),
        phy_setup_autoneg=mark("e1000_phy_setup_autoneg", file=HW_C),
        check_downshift=mark("e1000_check_downshift", file=HW_C),
        phy_get_info=mark("e1000_phy_get_info", file=HW_C),
    )

    __slots__ = (
        "_cpu", "_read", "_write", "autoneg_advertised", "mdi_manual", "phy_id", "revision",
    )  # fmt: skip

    def __init__(self, *, cpu: Cpu, mmio: Mmio) -> None:
        self._cpu = cpu
        self._read = mmio.read
        self._write = mmio.write
        self.phy_id = 0
        self.revision = 0
        self.autoneg_advertised = AUTONEG_ADV_DEFAULT
        self.mdi_manual = False

    def read_phy_reg(self, reg: int) -> int:
        """PHY register ``reg``."""
        self._cpu.local_irq_disable()
        self._write(MDIC, reg << MDIC_REG_SHIFT | _PHY_ADDR << MDIC_PHY_SHIFT | MDIC_OP_READ)
        mdic = self._poll_ready(_READ_TRIES, 50)
        self._cpu.local_irq_enable()
        if not mdic & MDIC_READY or mdic & MDIC_ERROR:
            raise PhyError(f"PHY register {reg}: MDIC read gave {mdic:#x}")
        return mdic & 0xFFFF

    def write_phy_reg(self, reg: int, value: int) -> None:
        """Write PHY register ``reg``; the ERROR bit is not looked at here."""
        self._cpu.local_irq_disable()
        command = reg << MDIC_REG_SHIFT | _PHY_ADDR << MDIC_PHY_SHIFT | MDIC_OP_WRITE
        self._write(MDIC, command | value)
        mdic = self._poll_ready(_WRITE_TRIES, 5)
        self._cpu.local_irq_enable()
        if not mdic & MDIC_READY:
            raise PhyError(f"PHY register {reg}: MDIC write gave {mdic:#x}")

    def _poll_ready(self, tries: int, delay_us: int) -> int:
        mdic = 0
        for _ in range(tries):
            self._cpu.udelay(delay_us)
            mdic = self._read(MDIC)
            if mdic & MDIC_READY:
                break
        return mdic

    def detect_gig_phy(self) -> None:
        """Read the PHY's id, once."""
        if self.phy_id:
            return
        high = self.read_phy_reg(PHY_ID1)
        self._cpu.udelay(20)
        low = self.read_phy_reg(PHY_ID2)
        phy_id = high << 16 | low & PHY_REVISION_MASK
        if phy_id != M88E1011_I_PHY_ID:
            raise PhyError(f"Invalid PHY ID {phy_id:#x}")
        self.phy_id = phy_id
        self.revision = low & ~PHY_REVISION_MASK

    def copper_link_mgp_setup(self) -> None:
        """The M88's own registers, then a reset so that they take effect."""
        pscr = self.read_phy_reg(M88_PSCR) | PSCR_ASSERT_CRS_ON_TX
        pscr = pscr & ~PSCR_AUTO_X_MODE if self.mdi_manual else pscr | PSCR_AUTO_X_MODE
        self.write_phy_reg(M88_PSCR, pscr & ~PSCR_POLARITY_REVERSAL)
        if self.revision < M88E1011_I_REV_4:
            epscr = self.read_phy_reg(M88_EPSCR) | EPSCR_TX_CLK_25
            self.write_phy_reg(M88_EPSCR, epscr & ~EPSCR_DOWNSHIFT_MASK | EPSCR_DOWNSHIFT_1X)
        self.phy_reset()

    def phy_reset(self) -> None:
        self.write_phy_reg(PHY_CTRL, self.read_phy_reg(PHY_CTRL) | MII_CR_RESET)
        self._cpu.udelay(1)

    def copper_link_autoneg(self, fc: int) -> None:
        """Advertise, and restart autonegotiation."""
        self.autoneg_advertised &= AUTONEG_ADV_DEFAULT
        if not self.autoneg_advertised:
            self.autoneg_advertised = AUTONEG_ADV_DEFAULT
        self.phy_setup_autoneg(fc)
        control = self.read_phy_reg(PHY_CTRL)
        self.write_phy_reg(PHY_CTRL, control | MII_CR_AUTO_NEG_EN | MII_CR_RESTART_AUTO_NEG)

    def phy_setup_autoneg(self, fc: int) -> None:
        """Speeds and PAUSE abilities (802.3 annex 28B) to advertise."""
        advertise = self.read_phy_reg(PHY_AUTONEG_ADV) & ~NWAY_SPEED_MASK
        gigabit = self.read_phy_reg(PHY_1000T_CTRL) & ~CR_1000T_SPEED_MASK
        for ability, bit in _NWAY_OF_ADVERTISED:
            if self.autoneg_advertised & ability:
                advertise |= bit
        if self.autoneg_advertised & ADVERTISE_1000_FULL:
            gigabit |= CR_1000T_FD
        advertise &= ~(NWAY_ASM_DIR | NWAY_PAUSE)
        if fc == FC_TX_PAUSE:
            advertise |= NWAY_ASM_DIR
        elif fc != FC_NONE:
            # "Receive only" cannot be advertised; the outcome is cut down afterwards.
            advertise |= NWAY_ASM_DIR | NWAY_PAUSE
        self.write_phy_reg(PHY_AUTONEG_ADV, advertise)
        self.write_phy_reg(PHY_1000T_CTRL, gigabit)

    def force_control(self, speed: int, full_duplex: bool) -> int:
        """BMCR for a forced speed of 10 or 100 Mb/s, read from the PHY and changed."""
        control = self.read_phy_reg(PHY_CTRL)
        control &= ~(MII_CR_AUTO_NEG_EN | MII_CR_SPEED_1000 | MII_CR_SPEED_100)
        control &= ~MII_CR_FULL_DUPLEX
        if full_duplex:
            control |= MII_CR_FULL_DUPLEX
        if speed == 100:
            control |= MII_CR_SPEED_100
        return control

    def force_m88(self, control: int) -> None:
        """Reset the PHY with crossover detection off and ``control`` in BMCR."""
        self.write_phy_reg(M88_PSCR, self.read_phy_reg(M88_PSCR) & ~PSCR_AUTO_X_MODE)
        self.write_phy_reg(PHY_CTRL, control | MII_CR_RESET)
        self._cpu.udelay(1)
        # The reset has put both back to their defaults.
        self.write_phy_reg(M88_EPSCR, self.read_phy_reg(M88_EPSCR) | EPSCR_TX_CLK_25)
        self.write_phy_reg(M88_PSCR, self.read_phy_reg(M88_PSCR) | PSCR_ASSERT_CRS_ON_TX)

    def link_status(self) -> bool:
        """Whether there is link now: the bit latches low, so it is read twice."""
        self.read_phy_reg(PHY_STATUS)
        return bool(self.read_phy_reg(PHY_STATUS) & MII_SR_LINK_STATUS)

    def check_downshift(self) -> None:
        """Read whether the cable made the PHY give up gigabit; the driver does nothing then."""
        self.read_phy_reg(M88_PSSR)

    def phy_get_info(self) -> None:
        """What the driver reads for diagnosis; valid only with link."""
        if not self.link_status():
            return
        self.read_phy_reg(M88_PSCR)
        self.read_phy_reg(M88_PSSR)  # cable polarity
        if self.read_phy_reg(M88_PSSR) & PSSR_SPEED == PSSR_1000MBS:
            self.read_phy_reg(PHY_1000T_STATUS)
