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

Who wants to know about rises and windows gives an ``InterruptObserver``.

Not modelled, because QEMU does not: RDTR and TIDV as delays, ICR bit 31 as
"interrupt asserted", causes other than TXDW, TXQE, LSC, RXDMT0, RXO, RXT0, MDAC
(ICS can set any).
"""

from __future__ import annotations

from collections.abc import Callable

from desim.data import Protocol
from desim.e1000.registers import ICR, ICS, IMC, IMS, ITR, RADV, RDTR, RXT0, TADV, TXDW, TXQE
from desim.ports import Clock
from desim.stages import QEMU, Landmark, mark, stages

FILE = "hw/net/e1000.c"

MIT_UNIT_NS = 256
MIT_FLOOR = 500
"""Units; the manual's example for ITR, 7813 interrupts a second, made a limit by QEMU 2.6."""


LINE = "line"
"""What a window holds back: every rise of the line. A delay holds back one cause, by its name."""
FLOOR = "floor"
"""What decides the length of a window for which the registers ask for less than the floor."""


class InterruptObserver(Protocol):
    """Told about each rise of the line, and when rises or causes are held back, for tools.

    ``causes`` are bits of ICR. ``by`` is the register that decides how long it lasts (``ITR``,
    ``RADV``, ``TADV``, ``RDTR``, ``TIDV``) or ``FLOOR``.
    """

    def raised(self, causes: int) -> None:
        """The line rises, for ``causes``."""

    def mitigation_begun(
        self,
        holds: str,
        causes: int,
        by: str,
        until_ns: int,
        asked_by: str,
        asked_ns: int,
        itr_ns: int,
    ) -> None:
        """From now on ``holds`` (``LINE``, or the name of a cause) is held back.

        ``causes`` have begun it. The shortest of the registers that count is ``asked_by``, which
        asks for ``asked_ns``; "" and 0 if none does. ITR alone would ask for ``itr_ns``.
        """

    def mitigation_ended(
        self, holds: str, causes: int, by: str, begin_ns: int, waited_ns: int, cut: bool
    ) -> None:
        """It is over. ``causes`` have waited for that, for ``waited_ns``; 0 and 0: nothing has.

        ``cut``: something else has ended it early.
        """


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
            "set_interrupt_cause",
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
        "observer",
        "pci_set_irq",
        "receive_causes",
        "wanted_since",
        "window_begin",
        "window_by",
    )

    def __init__(
        self,
        *,
        mac_reg: list[int],
        clock: Clock,
        pci_set_irq: Callable[[bool], None],
        mitigation: bool,
        observer: InterruptObserver | None = None,
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
        self.observer = observer
        self.window_by = ""
        """What has decided the length of the window."""
        self.window_begin = 0
        self.wanted_since: int | None = None
        """Since when a rise waits for the window to end, if somebody observes."""

    def reset(self) -> None:
        """Open the window and forget the level; the registers are cleared by the card."""
        self.mit_timer.cancel()
        if self.mit_timer_on and self.observer is not None:
            self._tell_end(True)
        self.mit_timer_on = False
        self.mit_irq_level = False
        self.mit_ide = False

    def set_interrupt_cause(self, val: int) -> None:
        """Make ``val`` the causes, and drive the line unless the window keeps an edge back."""
        mac_reg = self.mac_reg
        mac_reg[ICR] = mac_reg[ICS] = val
        pending = mac_reg[IMS] & val
        if not pending:
            self.wanted_since = None
            self.mit_irq_level = False
            self.pci_set_irq(False)
        elif not self.mit_irq_level:
            observer = self.observer
            if self.mit_timer_on:
                if observer is not None and self.wanted_since is None:
                    self.wanted_since = self.clock.now()
                return
            if observer is not None:
                observer.raised(pending)
            if self.mitigation:
                self._close_window(pending)
            self.mit_irq_level = True
            self.pci_set_irq(True)

    def _close_window(self, pending: int) -> None:
        mac_reg = self.mac_reg
        asked = mac_reg[ITR]
        by = "ITR" if asked else ""
        if self.mit_ide and pending & (TXQE | TXDW):
            tadv = mac_reg[TADV] * 4
            if tadv and (not asked or tadv < asked):
                asked, by = tadv, "TADV"
        if mac_reg[RDTR] and pending & RXT0:
            radv = mac_reg[RADV] * 4
            if radv and (not asked or radv < asked):
                asked, by = radv, "RADV"
        self.mit_ide = False
        if asked < MIT_FLOOR:
            self._begin_window(MIT_FLOOR, FLOOR, pending, by, asked)
        else:
            self._begin_window(asked, by, pending, by, asked)

    def _begin_window(
        self, units: int, by: str, pending: int, asked_by: str, asked_units: int
    ) -> None:
        self.mit_timer_on = True
        now = self.clock.now()
        until = now + units * MIT_UNIT_NS
        self.mit_timer.arm(until)
        observer = self.observer
        if observer is not None:
            self.window_by, self.window_begin = by, now
            observer.mitigation_begun(
                LINE,
                pending,
                by,
                until,
                asked_by,
                asked_units * MIT_UNIT_NS,
                self.mac_reg[ITR] * MIT_UNIT_NS,
            )

    def _tell_end(self, cut: bool) -> None:
        """The window ends: say so, and what has waited for it."""
        observer, since = self.observer, self.wanted_since
        assert observer is not None, "only an observer is told"
        pending = waited = 0
        if since is not None:
            pending = self.mac_reg[ICR] & self.mac_reg[IMS]
            waited = self.clock.now() - since
            self.wanted_since = None
        observer.mitigation_ended(LINE, pending, self.window_by, self.window_begin, waited, cut)

    def e1000_mit_timer(self) -> None:
        """The window opens: what is still pending raises the line now."""
        self.mit_timer_on = False
        if self.observer is not None:
            self._tell_end(False)
        self.set_interrupt_cause(self.mac_reg[ICR])

    def writeops(self) -> dict[int, Callable[[int, int], None]]:
        """The registers whose writes are this part's, and what does them."""
        return {ICR: self.set_icr, ICS: self.set_ics, IMS: self.set_ims, IMC: self.set_imc}

    def set_ics(self, index: int, val: int) -> None:
        """Add causes: a write of ICS, and what all parts of the card call."""
        # NOTE: the method itself: this one's mark has both names (1 call a frame).
        Interrupts.set_interrupt_cause(self, val | self.mac_reg[ICR])

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
