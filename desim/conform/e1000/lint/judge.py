"""``Lint``: the rules over one driver's accesses to one card."""

from __future__ import annotations

from desim.conform.e1000.lint.log import Access, HandedOver, Log, LookedAt
from desim.conform.e1000.lint.registers import IOADDR
from desim.conform.e1000.lint.rule import Finding, Found, Note, Rule, Yields
from desim.conform.e1000.lint.table import RULES
from desim.e1000.registers import WINDOW_SIZE

NO_MEMORY = "descriptor rules were not checked: memory is not in a trace"
NO_COMMAND = "bus master was not checked: the log does not show the PCI command register"
NO_WIDTH = (
    "8- and 16-bit accesses at multiples of 4 were not checked: QEMU prints size 4 for them, too"
)
NO_RDH = "RDT was not checked against RDH after the first frame: a trace does not show RDH"


class Lint:
    """``write``, ``read`` and what else there is are told in their order, then ``finish``.

    ``trace``: the log is a trace of QEMU's. It shows registers alone, and their accesses as
    the memory core hands them to the card, which is always with size 4.
    """

    def __init__(self, *, trace: bool = False) -> None:
        self._log = Log(trace=trace)
        self._found: dict[tuple[str, int], Finding] = {}
        self._noted: dict[str, Note] = {}

    @property
    def notes(self) -> list[str]:
        """What is no finding, in order."""
        return [str(note) for note in self._noted.values()]

    # What a log may know besides

    def bus_master(self, on: bool) -> None:
        """The bus master bit of the PCI command register, from now on."""
        self._log.bus_master = on

    def head(self, rdh: int) -> None:
        """The card's RDH at this moment; once told, it is told before each access."""
        self._log.reception.rdh = rdh
        self._log.reception.told = True

    def raised(self, causes: int) -> None:
        """Causes that are pending and enabled; once told, they are told around each access."""
        self._log.causes.told = True
        self._log.causes.raised |= causes

    def handed_over(self, where: str, descriptors: list[tuple[int, bool]]) -> None:
        """A TDT write: each descriptor's address, and whether it asks for status."""
        handed = HandedOver(where, descriptors)
        for rule in RULES:
            if rule.handed_over is not None:
                self._judge(rule, where, rule.handed_over(self._log, handed))
        self._log.hand_over(handed)

    def looked_at(self, where: str, address: int, data: bytes) -> None:
        """The driver reads memory: perhaps the status of a descriptor."""
        look = LookedAt(where, address, data)
        for rule in RULES:
            if rule.looked_at is not None:
                self._judge(rule, where, rule.looked_at(self._log, look))

    def overwritten(self, address: int, size: int) -> None:
        """The driver writes memory: what lay there is no descriptor of its any more."""
        self._log.overwrite(address, size)

    # Accesses

    def write(
        self, where: str, offset: int, value: int, size: int = 4, time_ns: int | None = None
    ) -> None:
        """The driver writes ``size`` bytes of the register window."""
        self._access(where, True, offset, value, size, time_ns)

    def read(
        self, where: str, offset: int, value: int, size: int = 4, time_ns: int | None = None
    ) -> None:
        """The driver reads ``size`` bytes of the register window and gets ``value``."""
        self._access(where, False, offset, value, size, time_ns)

    def io(self, where: str, writes: bool, offset: int, value: int) -> None:
        """An access to the I/O window; a read gets ``value``."""
        access = Access(where, writes, offset >> 2, value, offset)
        for rule in RULES:
            if rule.io is not None:
                self._judge(rule, where, rule.io(self._log, access))
        if writes and access.index == IOADDR:
            self._log.io_selected = value % WINDOW_SIZE >> 2

    def _access(
        self, where: str, writes: bool, offset: int, value: int, size: int, time_ns: int | None
    ) -> None:
        at = offset % WINDOW_SIZE
        widths = self._widths(at, size, value if writes else 0)
        access = Access(where, writes, at >> 2, value, at, widths, time_ns)
        for rule in RULES:
            if rule.access is not None:
                self._judge(rule, where, rule.access(self._log, access))
        self._log.take(access)

    def _widths(self, offset: int, size: int, written: int) -> tuple[int, ...]:
        """What an access can have been for which a trace says ``size``."""
        if not self._log.trace or size != 4 or not offset & 3:
            return (size,)
        if offset & 1:
            return (1,)
        return (2,) if written > 0xFF else (1, 2)

    # The end

    def finish(self) -> list[Finding]:
        """All findings, in the order in which they came up."""
        for rule in RULES:
            if rule.end is not None:
                self._judge(rule, "", rule.end(self._log))
        return list(self._found.values())

    def unchecked(self) -> list[str]:
        """What the log does not tell, and what was therefore not checked."""
        log = self._log
        if not log.trace:
            return []
        return [
            NO_MEMORY,
            *([NO_COMMAND] if log.bus_master is None else []),
            NO_WIDTH,
            *([NO_RDH] if log.reception.moved else []),
        ]

    def _judge(self, rule: Rule, where: str, found: Yields) -> None:
        for one in found:
            if isinstance(one, Found):
                earlier = self._found.get((rule.name, one.key))
                if earlier is None:
                    finding = Finding(one.where or where, rule, one.text)
                    self._found[rule.name, one.key] = finding
                else:
                    earlier.count += 1
            elif one.text in self._noted:
                self._noted[one.text].count += 1
            else:
                self._noted[one.text] = Note(one.where, one.text, one.more)
