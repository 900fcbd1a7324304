"""The card's registers: names, places, masks, reset values and bits.

From QEMU 7.2 (hw/net/e1000.c: ``macreg_readops``, ``macreg_writeops``,
``mac_reg_access``, ``mac_reg_init``; hw/net/e1000_regs.h) with the names of Intel's
8254x manual, chapter 13.

Theory of operation
-------------------
A name such as ``ICR`` is the register's *index*: its byte offset in the window
divided by 4, as QEMU uses it, because that is what the card's one array is
indexed by. ``TABLE`` says for each register which of its bits a plain read shows
and which a plain write keeps. QEMU's ``mac_readreg``, ``mac_low13_read``,
``mac_writereg``, ``set_16bit`` ... are such masks here. What does more than that
(side effects, read-to-clear, computed values) is a method of one of the parts and
wired up in ``card.py``; those rows say ``HANDLED``.

A register that is not in the table does not exist: it reads 0 and ignores writes.
Among those are CTRL_EXT, TIPG, RXCSUM, RXDCTL, TIDV, the flow control registers,
the second queues and the offsets of the old 82542.

Not modelled, because QEMU does not: what PBM, LEDCTL, the wake-up and the
flexible filter registers do; they only keep what is written.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType

from desim.data import NamedTuple

REGISTERS_COUNT = 0x8000
WINDOW_SIZE = REGISTERS_COUNT * 4

CTRL = 0x0000 >> 2
STATUS = 0x0008 >> 2
EECD = 0x0010 >> 2
EERD = 0x0014 >> 2
MDIC = 0x0020 >> 2
VET = 0x0038 >> 2
ICR = 0x00C0 >> 2
ITR = 0x00C4 >> 2
ICS = 0x00C8 >> 2
IMS = 0x00D0 >> 2
IMC = 0x00D8 >> 2
RCTL = 0x0100 >> 2
TCTL = 0x0400 >> 2
AIT = 0x0458 >> 2
LEDCTL = 0x0E00 >> 2
PBA = 0x1000 >> 2
RDBAL = 0x2800 >> 2
RDBAH = 0x2804 >> 2
RDLEN = 0x2808 >> 2
RDH = 0x2810 >> 2
RDT = 0x2818 >> 2
RDTR = 0x2820 >> 2
RADV = 0x282C >> 2
TDBAL = 0x3800 >> 2
TDBAH = 0x3804 >> 2
TDLEN = 0x3808 >> 2
TDH = 0x3810 >> 2
TDT = 0x3818 >> 2
TIDV = 0x3820 >> 2
"""Datasheet semantics only; QEMU does not have it."""
TXDCTL = 0x3828 >> 2
TADV = 0x382C >> 2

CRCERRS = 0x4000 >> 2
MPC = 0x4010 >> 2
PRC64 = 0x405C >> 2
GPRC = 0x4074 >> 2
BPRC = 0x4078 >> 2
MPRC = 0x407C >> 2
GPTC = 0x4080 >> 2
GORCL, GORCH = 0x4088 >> 2, 0x408C >> 2
GOTCL, GOTCH = 0x4090 >> 2, 0x4094 >> 2
RNBC = 0x40A0 >> 2
RUC = 0x40A4 >> 2
ROC = 0x40AC >> 2
TORL, TORH = 0x40C0 >> 2, 0x40C4 >> 2
TOTL, TOTH = 0x40C8 >> 2, 0x40CC >> 2
TPR = 0x40D0 >> 2
TPT = 0x40D4 >> 2
PTC64 = 0x40D8 >> 2
MPTC = 0x40F0 >> 2
BPTC = 0x40F4 >> 2
TSCTC = 0x40F8 >> 2

MTA = 0x5200 >> 2
RA = 0x5400 >> 2
VFTA = 0x5600 >> 2
WUFC = 0x5808 >> 2
MANC = 0x5820 >> 2
PBM = 0x10000 >> 2

# Bits: the register's name and the bit's, as in the manual.
CTRL_SLU = 0x40
CTRL_RST = 1 << 26
CTRL_VME = 1 << 30
STATUS_LU = 0x2
RAH_AV = 1 << 31

RCTL_EN = 0x2
RCTL_SBP = 0x4
RCTL_UPE = 0x8
RCTL_MPE = 0x10
RCTL_LPE = 0x20
RCTL_BAM = 1 << 15
RCTL_VFE = 1 << 18
RCTL_SECRC = 1 << 26

TCTL_EN = 0x2

# Interrupt causes (ICR, ICS, IMS, IMC).
TXDW = 0x1
TXQE = 0x2
LSC = 0x4
RXDMT0 = 0x10
RXO = 0x40
RXT0 = 0x80
MDAC = 0x200
CAUSES = MappingProxyType(
    {
        TXDW: "TXDW",
        TXQE: "TXQE",
        LSC: "LSC",
        RXDMT0: "RXDMT0",
        RXO: "RXO",
        RXT0: "RXT0",
        MDAC: "MDAC",
    }
)
"""The names of those that QEMU's card raises by itself."""


@lru_cache(256)
def cause_names(causes: int) -> tuple[str, ...]:
    """The names of all bits of ``causes``, the lowest first; ``bit 3`` for one without a name."""
    bits = (1 << n for n in range(32) if causes >> n & 1)
    return tuple(CAUSES.get(bit, f"bit {bit.bit_length() - 1}") for bit in bits)


class Gate(NamedTuple):
    """A device property that a register depends on: without it, it is not there."""

    name: str


MIT = Gate("mitigation")
MAC = Gate("extra_mac_registers")

ALL = 0xFFFF_FFFF
HANDLED = None
"""In place of a mask: a method of a part does it, or a write is ignored."""


class Row(NamedTuple):
    """One register, or ``length`` of the same kind in a row."""

    name: str
    first: int
    reads: int | None = ALL
    writes: int | None = HANDLED
    length: int = 1
    gate: Gate | None = None
    """QEMU gates only the first of an array; so do we."""


def _plain(names: str, *indices: int, gate: Gate | None = None) -> list[Row]:
    """Registers that keep all 32 bits."""
    return [
        Row(name, index, writes=ALL, gate=gate)
        for name, index in zip(names.split(), indices, strict=True)
    ]


def _fifo(names: str, first: int, *masks: int) -> list[Row]:
    """Pointers into the packet buffer: kept whole, masked when read."""
    return [
        Row(name, first + 2 * n, reads=mask, writes=ALL, gate=MAC)
        for n, (name, mask) in enumerate(zip(names.split(), masks, strict=True))
    ]


_STATISTICS = """
CRCERRS ALGNERRC SYMERRS RXERRC MPC SCC ECOL MCC LATECOL . COLC . DC TNCRS SEQEC CEXTERR
RLEC . XONRXC XONTXC XOFFRXC XOFFTXC FCRUC PRC64 PRC127 PRC255 PRC511 PRC1023 PRC1522 GPRC
BPRC MPRC GPTC . GORCL GORCH GOTCL GOTCH . . RNBC RUC RFC ROC RJC MGTPRC MGTPDC MGTPTC
TORL TORH TOTL TOTH TPR TPT PTC64 PTC127 PTC255 PTC511 PTC1023 PTC1522 MPTC BPTC TSCTC TSCTFC
"""
"""0x4000 to 0x40FC, in order; a dot is a hole."""

_UNGATED = "CRCERRS ALGNERRC SYMERRS RXERRC MPC GPRC GPTC TORL TORH TOTL TOTH TPR TPT"

_CLEAR_ON_READ = """
PRC64 PRC127 PRC255 PRC511 PRC1023 PRC1522 PTC64 PTC127 PTC255 PTC511 PTC1023 PTC1522
GPRC GPTC TPR TPT RUC ROC BPRC MPRC BPTC MPTC TSCTC GORCH GOTCH TORH TOTH
"""

CLEAR_ON_READ = frozenset(_CLEAR_ON_READ.split())
"""Statistics that a read sets to 0; the high halves take their low half with them."""


def _statistics() -> list[Row]:
    """All are read-only but FCRUC."""
    ungated = _UNGATED.split()
    return [
        Row(
            name,
            CRCERRS + n,
            reads=HANDLED if name in CLEAR_ON_READ else ALL,
            writes=ALL if name == "FCRUC" else HANDLED,
            gate=None if name in ungated else MAC,
        )
        for n, name in enumerate(_STATISTICS.split())
        if name != "."
    ]


TABLE: tuple[Row, ...] = (
    Row("CTRL", CTRL, writes=ALL & ~CTRL_RST),  # RST clears itself and resets nothing
    Row("STATUS", STATUS),
    Row("EECD", EECD, HANDLED),
    Row("EERD", EERD, HANDLED, ALL),
    Row("MDIC", MDIC),
    Row("VET", VET, writes=ALL),
    Row("ICR", ICR, HANDLED),
    Row("ITR", ITR, writes=0xFFFF, gate=MIT),
    Row("ICS", ICS),
    Row("IMS", IMS),
    Row("IMC", IMC, 0),
    Row("RCTL", RCTL),
    Row("TCTL", TCTL),
    Row("AIT", AIT, 0xFFFF, ALL, gate=MAC),
    *_plain("LEDCTL PBA", LEDCTL, PBA),
    *_fifo("RDFH RDFT RDFHS RDFTS RDFPC", 0x2410 >> 2, 0x1FFF, 0x1FFF, 0x1FFF, 0x1FFF, 0x1FFF),
    *_plain("RDBAL RDBAH", RDBAL, RDBAH),
    Row("RDLEN", RDLEN, writes=0xFFF80),
    Row("RDH", RDH, writes=0xFFFF),
    Row("RDT", RDT),
    Row("RDTR", RDTR, writes=0xFFFF, gate=MIT),
    Row("RADV", RADV, writes=0xFFFF, gate=MIT),
    *_fifo("TDFH TDFT TDFHS TDFTS TDFPC", 0x3410 >> 2, 0x7FF, 0x7FF, 0x1FFF, 0x1FFF, 0x1FFF),
    *_plain("TDBAL TDBAH", TDBAL, TDBAH),
    Row("TDLEN", TDLEN, writes=0xFFF80),
    Row("TDH", TDH, writes=0xFFFF),
    Row("TDT", TDT),
    *_plain("TXDCTL", TXDCTL),
    Row("TADV", TADV, writes=0xFFFF, gate=MIT),
    *_statistics(),
    Row("MTA", MTA, writes=ALL, length=128),
    Row("RA", RA, writes=ALL, length=32),
    Row("VFTA", VFTA, writes=ALL, length=128),
    *_plain("WUC", 0x5800 >> 2, gate=MAC),
    *_plain("WUFC", WUFC),
    *_plain("WUS", 0x5810 >> 2, gate=MAC),
    Row("MANC", MANC),
    *_plain("IPAV", 0x5838 >> 2, gate=MAC),
    Row("IP4AT", 0x5840 >> 2, writes=ALL, length=7, gate=MAC),
    Row("IP6AT", 0x5880 >> 2, writes=ALL, length=4, gate=MAC),
    Row("WUPM", 0x5A00 >> 2, writes=ALL, length=32, gate=MAC),
    *_plain("SWSM", 0x5B50 >> 2),
    Row("FFLT", 0x5F00 >> 2, 0x7FF, ALL, length=7, gate=MAC),
    Row("FFMT", 0x9000 >> 2, 0xF, ALL, length=255, gate=MAC),
    Row("FFVT", 0x9800 >> 2, writes=ALL, length=255, gate=MAC),
    Row("PBM", PBM, writes=ALL, length=16384, gate=MAC),
)

DATASHEET_TABLE: tuple[Row, ...] = (
    *(row for row in TABLE if row.first != RDTR),
    Row("RDTR", RDTR, gate=MIT),
    Row("TIDV", TIDV, writes=0xFFFF, gate=MIT),
)
"""With the two delay timers that QEMU lacks: RDTR also has the FPD bit."""

RESET: dict[int, int] = {
    CTRL: 0x0014_0240,  # SWDPIN2, SWDPIN0, speed 1000, SLU
    STATUS: 0x8008_0783,  # GIO master enable, MTXCKOK, ASDV, speed 1000, LU, FD
    LEDCTL: 0x0000_0602,
    PBA: 0x0010_0030,  # 16 KiB transmit, 48 KiB receive
    MANC: 0x0022_2300,
}
"""All others are 0, but for VET and the first receive address."""

PHY_RESET: dict[int, int] = {
    0x00: 0x1140,  # control: speed 1000, full duplex, auto-negotiation enabled
    0x01: 0x794D,  # status: link up, auto-negotiation not completed
    0x02: 0x0141,  # identifier 1; identifier 2 depends on the model
    0x04: 0x0DE1,
    0x05: 0x01E0,
    0x09: 0x0E00,
    0x0A: 0x3C00,
    0x10: 0x0360,
    0x11: 0xAC00,
    0x14: 0x0D60,
}
