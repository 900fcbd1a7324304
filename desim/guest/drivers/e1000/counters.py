"""The card's counters in the orders in which the driver reads them.

``e1000_update_stats`` (e1000_main.c) and ``e1000_clear_hw_cntrs`` (e1000_hw.c) each have an
order of their own.
"""

from __future__ import annotations

from desim.guest.drivers.e1000 import regs

_UPDATE_ORDER = (
    "CRCERRS GPRC GORCL GORCH BPRC MPRC ROC PRC64 PRC127 PRC255 PRC511 PRC1023 PRC1522 "
    "SYMERRS MPC SCC ECOL MCC LATECOL DC SEC RLEC XONRXC XONTXC XOFFRXC XOFFTXC FCRUC "
    "GPTC GOTCL GOTCH RNBC RUC RFC RJC TORL TORH TOTL TOTH TPR PTC64 PTC127 PTC255 PTC511 "
    "PTC1023 PTC1522 MPTC BPTC TPT COLC ALGNERRC RXERRC TNCRS CEXTERR TSCTC TSCTFC"
)
_CLEAR_ORDER = (
    "CRCERRS SYMERRS MPC SCC ECOL MCC LATECOL COLC DC SEC RLEC XONRXC XONTXC XOFFRXC XOFFTXC "
    "FCRUC PRC64 PRC127 PRC255 PRC511 PRC1023 PRC1522 GPRC BPRC MPRC GPTC GORCL GORCH GOTCL "
    "GOTCH RNBC RUC RFC ROC RJC TORL TORH TOTL TOTH TPR TPT PTC64 PTC127 PTC255 PTC511 PTC1023 "
    "PTC1522 MPTC BPTC ALGNERRC RXERRC TNCRS CEXTERR TSCTC TSCTFC MGTPRC MGTPDC MGTPTC"
)


def _registers(names: str) -> tuple[tuple[str, int], ...]:
    return tuple((name.lower(), getattr(regs, name)) for name in names.split())


UPDATE_STATS = _registers(_UPDATE_ORDER)
UPDATE_OFFSETS = tuple(offset for _, offset in UPDATE_STATS)
MANAGEMENT_STATS = _registers("MGTPTC MGTPRC MGTPDC")
CLEAR_HW_CNTRS = tuple(offset for _, offset in _registers(_CLEAR_ORDER))
"""What e1000_clear_hw_cntrs reads, in its order."""
