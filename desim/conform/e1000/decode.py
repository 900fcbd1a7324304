"""Register names and bits, for people: what stands at an offset, what a value says."""

from __future__ import annotations

from desim.e1000.registers import TABLE, WINDOW_SIZE

_CAUSES = {
    "TXDW": 0,
    "TXQE": 1,
    "LSC": 2,
    "RXSEQ": 3,
    "RXDMT0": 4,
    "RXO": 6,
    "RXT0": 7,
    "MDAC": 9,
    "RXCFG": 10,
    "TXD_LOW": 15,
    "SRPD": 16,
}

BITS: dict[str, dict[str, int]] = {
    "CTRL": {"FD": 0, "ASDE": 5, "SLU": 6, "RST": 26, "RFCE": 27, "TFCE": 28, "VME": 30},
    "STATUS": {"FD": 0, "LU": 1, "TXOFF": 4},
    "EECD": {"SK": 0, "CS": 1, "DI": 2, "DO": 3, "REQ": 6, "GNT": 7, "PRES": 8},
    "EERD": {"START": 0, "DONE": 4},
    "MDIC": {"WRITE": 26, "READ": 27, "READY": 28, "INT_EN": 29, "ERROR": 30},
    "ICR": _CAUSES,
    "ICS": _CAUSES,
    "IMS": _CAUSES,
    "IMC": _CAUSES,
    "RCTL": {
        "EN": 1,
        "SBP": 2,
        "UPE": 3,
        "MPE": 4,
        "LPE": 5,
        "BAM": 15,
        "VFE": 18,
        "DPF": 22,
        "PMCF": 23,
        "BSEX": 25,
        "SECRC": 26,
    },
    "TCTL": {"EN": 1, "PSP": 3, "RTLC": 24},
}
"""Bit numbers by name (8254x manual, chapter 13), where a register has named bits."""

_NAMES: dict[int, str] = {
    row.first + n: row.name if row.length == 1 else f"{row.name}[{n}]"
    for row in TABLE
    for n in range(row.length)
}


def register_name(offset: int) -> str:
    """The register at a byte offset of the window; unknown ones by their offset."""
    at = offset % WINDOW_SIZE
    return _NAMES.get(at >> 2, f"offset 0x{at & ~3:05x} (no register)")


def decode(name: str, value: int) -> str:
    """``value`` in hexadecimal, with the names of its bits where there are any."""
    bits = [bit for bit, number in BITS.get(name, {}).items() if value >> number & 1]
    return f"0x{value:08x}" + (f" ({' '.join(bits)})" if bits else "")


def compare(name: str, expected: int, got: int) -> str:
    """The names, or else the numbers, of the bits in which two values differ."""
    names = {number: bit for bit, number in BITS.get(name, {}).items()}
    numbers = [n for n in range(32) if (expected ^ got) >> n & 1]
    return "differing bits: " + ", ".join(names.get(n, str(n)) for n in numbers)
