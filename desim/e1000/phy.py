"""The PHY behind MDIC, auto-negotiation and the link (hw/net/e1000.c, e1000x_common.c).

Theory of operation
-------------------
MDIC reads or writes a PHY register in the very access; READY is always there. Only
PHY address 1 exists: for another one the *old* MDIC comes back with the error bit.

The link is up after power-on without having negotiated. A write of the PHY's control
register with "restart auto-negotiation" (and auto-negotiation enabled) takes it down
until 500 ms after the current millisecond; then the frames that wait are delivered
and LSC is raised. ``set_link`` down takes it down and raises LSC; up starts such a
negotiation, if auto-negotiation is enabled and not complete (down makes it
incomplete), else brings the link up at once.

Not modelled, because QEMU does not: PHY reset, power down, speed and duplex; the
PHY's own interrupt.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.e1000.registers import LSC, MDAC, MDIC, PHY_RESET, STATUS, STATUS_LU
from desim.ports import Clock, NetPort
from desim.stages import QEMU, mark, stages

FILE = "hw/net/e1000.c"
COMMON = "hw/net/e1000x_common.c"

# Registers and bits of IEEE 802.3, clause 22.2.4, by QEMU's names (hw/net/e1000_regs.h).
PHY_CTRL = 0x00
PHY_STATUS = 0x01
PHY_ID2 = 0x03
PHY_LP_ABILITY = 0x05

CR_RESERVED = 0x003F
CR_RESTART_AUTO_NEG = 0x0200
CR_AUTO_NEG_EN = 0x1000
CR_LOOPBACK = 0x4000
CR_RESET = 0x8000

SR_LINK_STATUS = 0x0004
SR_AUTONEG_COMPLETE = 0x0020

LPAR_ACK = 0x4000

# MDIC (8254x manual, 13.4.7).
MDIC_DATA = 0xFFFF
MDIC_PHY = 1
MDIC_OP_WRITE = 1 << 26
MDIC_OP_READ = 1 << 27
MDIC_READY = 1 << 28
MDIC_INT_EN = 1 << 29
MDIC_ERROR = 1 << 30

# ``phy_regcap``: which registers are there.
READABLE = frozenset({0, 1, 2, 3, 4, 5, 6, 9, 10, 16, 17, 20, 21})
WRITABLE = frozenset({0, 4, 9, 16, 20})

NS_PER_MS = 1_000_000
AUTONEG_MS = 500
"""How long a negotiation takes (``e1000x_restart_autoneg``)."""


class Phy:
    """Owns the PHY registers, STATUS.LU and whether the link is cut from outside."""

    STAGES = stages(
        QEMU,
        set_mdic=mark("set_mdic", file=FILE),
        set_phy_ctrl=mark("set_phy_ctrl", file=FILE),
        e1000x_restart_autoneg=mark("e1000x_restart_autoneg", file=COMMON),
        e1000_link_up=mark("e1000_link_up", file=FILE),
        e1000_autoneg_done=mark("e1000_autoneg_done", file=FILE),
        e1000_autoneg_timer=mark("e1000_autoneg_timer", file=FILE),
        e1000_set_link_status=mark("e1000_set_link_status", file=FILE),
    )

    __slots__ = (
        "autoneg_timer",
        "autonegotiation",
        "clock",
        "link_down",
        "mac_reg",
        "net",
        "phy_id2",
        "phy_reg",
        "set_ics",
    )

    def __init__(
        self,
        *,
        mac_reg: list[int],
        clock: Clock,
        net: NetPort,
        set_ics: Callable[[int, int], None],
        phy_id2: int,
        autonegotiation: bool,
    ) -> None:
        self.mac_reg = mac_reg
        self.clock = clock
        self.net = net
        self.set_ics = set_ics
        self.phy_id2 = phy_id2
        self.autonegotiation = autonegotiation
        self.phy_reg = [0] * 32
        self.link_down = False
        self.autoneg_timer = clock.timer("e1000.autoneg_timer", self.e1000_autoneg_timer)

    def reset(self) -> None:
        """Registers as after power-on; a link that is cut from outside stays cut."""
        self.autoneg_timer.cancel()
        self.phy_reg[:] = [PHY_RESET.get(n, 0) for n in range(32)]
        self.phy_reg[PHY_ID2] = self.phy_id2
        if self.link_down:
            self._link_down()

    @property
    def loopback(self) -> bool:
        """Whether what the card sends comes back to it."""
        return self.phy_reg[PHY_CTRL] & CR_LOOPBACK != 0

    def set_mdic(self, index: int, val: int) -> None:
        """A write of MDIC: the access to the PHY, done before it returns."""
        data = val & MDIC_DATA
        number = val >> 16 & 31
        if val >> 21 & 31 != MDIC_PHY:
            val = self.mac_reg[MDIC] | MDIC_ERROR
        elif val & MDIC_OP_READ:
            if number in READABLE:
                val = val ^ data | self.phy_reg[number]
            else:
                val |= MDIC_ERROR
        elif val & MDIC_OP_WRITE:
            if number not in WRITABLE:
                val |= MDIC_ERROR
            elif number == PHY_CTRL:
                self.set_phy_ctrl(data)
            else:
                self.phy_reg[number] = data
        self.mac_reg[MDIC] = val | MDIC_READY
        if val & MDIC_INT_EN:
            self.set_ics(0, MDAC)

    def set_phy_ctrl(self, val: int) -> None:
        """A write of the PHY's control register; reset and restart clear themselves."""
        self.phy_reg[PHY_CTRL] = val & ~(CR_RESERVED | CR_RESET | CR_RESTART_AUTO_NEG)
        if self._have_autoneg() and val & CR_RESTART_AUTO_NEG:
            self.e1000x_restart_autoneg()

    def _have_autoneg(self) -> bool:
        return self.autonegotiation and self.phy_reg[PHY_CTRL] & CR_AUTO_NEG_EN != 0

    def e1000x_restart_autoneg(self) -> None:
        """No link until the negotiation is over."""
        self._link_down()
        # QEMU's timer counts milliseconds: the current one is cut off before 500 are added.
        now_ms = self.clock.now() // NS_PER_MS
        self.autoneg_timer.arm((now_ms + AUTONEG_MS) * NS_PER_MS)

    def _link_down(self) -> None:
        self.mac_reg[STATUS] &= ~STATUS_LU
        self.phy_reg[PHY_STATUS] &= ~(SR_LINK_STATUS | SR_AUTONEG_COMPLETE)
        self.phy_reg[PHY_LP_ABILITY] &= ~LPAR_ACK

    def e1000_link_up(self) -> None:
        """Link without negotiation; the frames that wait come in."""
        self._link_up()
        self.net.flush()

    def e1000_autoneg_done(self) -> None:
        """Link with negotiation; the frames that wait come in."""
        self._link_up()
        self.phy_reg[PHY_STATUS] |= SR_AUTONEG_COMPLETE
        self.phy_reg[PHY_LP_ABILITY] |= LPAR_ACK
        self.net.flush()

    def _link_up(self) -> None:
        self.mac_reg[STATUS] |= STATUS_LU
        self.phy_reg[PHY_STATUS] |= SR_LINK_STATUS

    def e1000_autoneg_timer(self) -> None:
        """Negotiation is over: link, the frames that wait, and only then LSC."""
        if not self.link_down:
            self.e1000_autoneg_done()
            self.set_ics(0, LSC)

    def e1000_set_link_status(self, up: bool) -> None:
        """The link was cut or connected from outside (``set_link``)."""
        self.link_down = not up
        before = self.mac_reg[STATUS]
        if not up:
            self._link_down()
        elif self._have_autoneg() and not self.phy_reg[PHY_STATUS] & SR_AUTONEG_COMPLETE:
            self.e1000x_restart_autoneg()
        else:
            self.e1000_link_up()
        if self.mac_reg[STATUS] != before:
            self.set_ics(0, LSC)
