"""Interrupt causes, the line, and QEMU's interrupt mitigation (hw/net/e1000.c).

Theory of operation
-------------------
ICR holds causes, IMS the mask; the line is wanted high while ``ICR & IMS`` is not
0. All four registers (ICR, ICS, IMS, IMC) act on 32 plain bits. ICS reads as a
mirror of ICR, without clearing it.

Mitigation is a *leading-edge limiter*, not a delay: a rising edge goes out at once
and closes a window behind itself. While the window is closed and the line is low, new
causes are kept in ICR but do not raise the line; when ``mit_timer`` opens it again,
the line rises at once if something is still pending, and the next window starts
there. The line may *fall* at any time, and that starts nothing.

The length of a window is fixed at its edge, in units of 256 ns: the smallest of those
that are not 0 and apply, at least 500 (128 us, so at most 7812.5 edges a second):

* ITR, always;
* 4 * RADV (a register in units of 1.024 us), if RXT0 is pending and RDTR is not 0;
* 4 * TADV, if TXDW or TXQE is pending and a descriptor with the IDE bit has been
  processed since the last window began (``mit_ide``).

With the property ``mitigation=off`` there is no window at all.

Not modelled, because QEMU does not: RDTR and TIDV as delays, ICR bit 31 as
"interrupt asserted", causes other than TXDW, TXQE, LSC, RXDMT0, RXO, RXT0, MDAC
(ICS can set any).
"""

from __future__ import annotations

from collections.abc import Callable

from desim.e1000.registers import ICR, ICS, IMS, ITR, RADV, RDTR, RXT0, TADV, TXDW, TXQE
from desim.ports import Clock
from desim.stages import QEMU, Landmark, mark, stages

FILE = "hw/net/e1000.c"

MIT_UNIT_NS = 256
MIT_FLOOR = 500
"""Units; the manual's example for ITR, 7813 interrupts a second, made a limit by QEMU 2.6."""


def shorter(delay: int, candidate: int) -> int:
    """The smaller of two lengths, 0 standing for "none" (``mit_update_delay``)."""
    return candidate if candidate and (not delay or candidate < delay) else delay


class Interrupts:
    """Owns ICR, ICS and IMS, the wanted level of the line and the mitigation window.

    Outside a closed window the level is high exactly while ``ICR & IMS`` is not 0.
    """

    STAGES = stages(
        QEMU,
        set_interrupt_cause=mark("set_interrupt_cause", file=FILE),
        e1000_mit_timer=mark("e1000_mit_timer", file=FILE, landmark=Landmark.MITIGATION_ENDED),
        set_ics=mark(
            "set_ics",
            file=FILE,
            says=lambda self, index, val: (
                f"set_ics {val:x}, ICR {self.mac_reg[ICR]:x}, IMR {self.mac_reg[IMS]:x}"
            ),
        ),
        mac_icr_read=mark("mac_icr_read", file=FILE),
        set_icr=mark("set_icr", file=FILE),
        set_imc=mark("set_imc", file=FILE),
        set_ims=mark("set_ims", file=FILE, landmark=Landmark.UNMASKED),
    )

    __slots__ = (
        "clock",
        "mac_reg",
        "mit_ide",
        "mit_irq_level",
        "mit_timer",
        "mit_timer_on",
        "mitigation",
        "pci_set_irq",
        "receive_causes",
    )

    def __init__(
        self,
        *,
        mac_reg: list[int],
        clock: Clock,
        pci_set_irq: Callable[[bool], None],
        mitigation: bool,
    ) -> None:
        self.mac_reg = mac_reg
        self.clock = clock
        self.pci_set_irq = pci_set_irq
        self.mitigation = mitigation
        self.receive_causes: Callable[[int, int], None] = self.set_ics
        """What the receiver raises its causes with."""
        self.mit_timer = clock.timer("e1000.mit_timer", self.e1000_mit_timer)
        self.mit_timer_on = False
        self.mit_irq_level = False
        self.mit_ide = False

    def reset(self) -> None:
        """Open the window and forget the level; the registers are cleared by the card."""
        self.mit_timer.cancel()
        self.mit_timer_on = False
        self.mit_irq_level = False
        self.mit_ide = False

    def set_interrupt_cause(self, val: int) -> None:
        """Make ``val`` the causes, and drive the line unless the window keeps an edge back."""
        mac_reg = self.mac_reg
        mac_reg[ICR] = mac_reg[ICS] = val
        pending = mac_reg[IMS] & val
        if pending and not self.mit_irq_level:
            if self.mit_timer_on:
                return
            if self.mitigation:
                self._close_window(pending)
        self.mit_irq_level = pending != 0
        self.pci_set_irq(pending != 0)

    def _close_window(self, pending: int) -> None:
        mac_reg = self.mac_reg
        delay = 0
        if self.mit_ide and pending & (TXQE | TXDW):
            delay = shorter(delay, mac_reg[TADV] * 4)
        if mac_reg[RDTR] and pending & RXT0:
            delay = shorter(delay, mac_reg[RADV] * 4)
        delay = max(shorter(delay, mac_reg[ITR]), MIT_FLOOR)
        self.mit_timer_on = True
        self.mit_ide = False
        self.mit_timer.arm(self.clock.now() + delay * MIT_UNIT_NS)

    def e1000_mit_timer(self) -> None:
        """The window opens: what is still pending raises the line now."""
        self.mit_timer_on = False
        self.set_interrupt_cause(self.mac_reg[ICR])

    def set_ics(self, index: int, val: int) -> None:
        """Add causes: a write of ICS, and what all parts of the card call."""
        self.set_interrupt_cause(val | self.mac_reg[ICR])

    def mac_icr_read(self, index: int) -> int:
        """A read of ICR clears it, masked causes included."""
        val = self.mac_reg[ICR]
        self.set_interrupt_cause(0)
        return val

    def set_icr(self, index: int, val: int) -> None:
        """A write of ICR clears the bits that are 1."""
        self.set_interrupt_cause(self.mac_reg[ICR] & ~val)

    def set_imc(self, index: int, val: int) -> None:
        """A write of IMC takes bits out of the mask."""
        self.mac_reg[IMS] &= ~val
        self.set_ics(0, 0)

    def set_ims(self, index: int, val: int) -> None:
        """A write of IMS adds bits to the mask; a cause that waits raises the line."""
        self.mac_reg[IMS] |= val
        self.set_ics(0, 0)
