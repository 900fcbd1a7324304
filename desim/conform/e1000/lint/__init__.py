"""What in a driver's accesses breaks the manual's rules, or surprises on QEMU.

Sources: Intel's manual for the 8254x family (317453, by section), QEMU 7.2's
hw/net/e1000.c (by function), and what its recordings show (tests/vectors/e1000).

Theory of operation
-------------------
``Lint`` is told the accesses of one driver to one card, in order, and whatever else a
log knows: whether the card may be bus master, where RDH really is, which causes were
raised, which descriptors a TDT write hands over. Everything that has been told is kept
in a ``Log`` (log.py), and the rules of a table (table.py) look at each access with the
log as it was before it, and at the whole log once it has ended. A rule is one function
for each thing that it looks at, and yields what it found.

What a log does not tell is not judged: a rule never fires on a guess. A trace of QEMU's
holds registers only, so there RDH is known while nothing can have moved it, and a cause
is known to have come only where an access shows it. ``unchecked`` says in words what
that leaves out.

Some things surprise on QEMU although Linux's own driver does them and lives with it: a
write of RCTL in front of the filter tables (a multicast list that changed), registers
that QEMU does not have but that only tune, a reset through the I/O window. These are
*notes*, not findings. Findings of one rule about one register are one, with a count; so
are equal notes.
"""

from desim.conform.e1000.lint.judge import Lint
from desim.conform.e1000.lint.log import Access, Log
from desim.conform.e1000.lint.rule import Finding, Note, Rule
from desim.conform.e1000.lint.table import RULES

__all__ = ["RULES", "Access", "Finding", "Lint", "Log", "Note", "Rule"]
