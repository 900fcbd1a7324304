"""The interrupt line between the card and the guest's CPU: one IO-APIC pin, level triggered.

Models: the redirection entry of the 82093AA (datasheet 290566, section 3.2.4,
"Remote IRR"; QEMU hw/intc/ioapic.c), the request it leaves in the local APIC,
and Linux' ``handle_fasteoi_irq`` (kernel/irq/chip.c) as its user.

Theory of operation
-------------------
A high level makes *one* request and sets Remote IRR; until the CPU sends EOI
nothing more happens on this pin, whatever the level does. The request is
latched in the local APIC: when the level falls before the CPU has taken it,
the CPU takes it all the same, and ``e1000_intr`` then reads ICR = 0. At EOI a
level that is still high (or high again) makes the next request at once.

Not modelled: priorities, several CPUs, edge triggering, mask bits (the card's
own IMC keeps a closed device silent).
"""

from __future__ import annotations

from collections.abc import Callable


class IoApicPin:
    """One level-triggered line. ``raised`` tells the CPU that a request is pending."""

    __slots__ = ("_raised", "_remote_irr", "delivered", "level", "pending", "unhandled")

    def __init__(self, *, raised: Callable[[], None]) -> None:
        self._raised = raised
        self._remote_irr = False
        self.level = False
        self.pending = False
        """A request waits for the CPU."""
        self.delivered = 0
        """Interrupts that the CPU has taken: the number in /proc/interrupts."""
        self.unhandled = 0
        """Those of them that no handler claimed (IRQ_NONE)."""

    @property
    def in_service(self) -> bool:
        """Taken by the CPU, and EOI not sent yet."""
        return self._remote_irr and not self.pending

    def set_level(self, level: bool) -> None:
        """The device drives its pin; may be called with an unchanged level."""
        self.level = level
        if level and not self._remote_irr:
            self._request()

    def acknowledge(self) -> None:
        """The CPU takes the pending request and enters the handler."""
        if not self.pending:
            raise RuntimeError("acknowledge: no interrupt is pending on this pin")
        self.pending = False
        self.delivered += 1

    def eoi(self, *, handled: bool = True) -> None:
        """The CPU is done with it; ``handled`` is what the handler returned."""
        if not self.in_service:
            raise RuntimeError("eoi: no interrupt of this pin is in service")
        self._remote_irr = False
        if not handled:
            self.unhandled += 1
        if self.level:
            self._request()

    def _request(self) -> None:
        self._remote_irr = True
        self.pending = True
        self._raised()
