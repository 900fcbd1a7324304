"""Module parameters of the e1000 driver (e1000_param.c, e1000_check_options).

Theory of operation
-------------------
``ModuleOptions`` is what stands behind ``modprobe e1000``: a parameter that was
not given is None (``desim.guest.drivers.modprobe`` reads the words). ``check_options`` is
the driver's own look at them in probe: it logs each one that was given, puts its
default in place of one that is out of range, and turns the result into the values
that the other rooms use.

Two traps of the original are kept. ``InterruptThrottleRate=4`` leaves ``itr``
at the literal 4, so the first ITR value is 976562 (the card keeps 16 bits of
it) until the watchdog writes a better one. And an InterruptThrottleRate that is
refused "using default of 3" does not become dynamic: the two low bits of the
default are cleared like those of any fixed rate, the setting is 0, and ITR is
never written.

Not modelled: several boards (one driver object drives one card), and fiber cards.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.data import Data, fields
from desim.guest.drivers.modprobe import INT, UINT, Parameter

FC_NONE, FC_RX_PAUSE, FC_TX_PAUSE, FC_FULL, FC_DEFAULT = 0, 1, 2, 3, 0xFF

ADVERTISE_10_HALF, ADVERTISE_10_FULL = 0x01, 0x02
ADVERTISE_100_HALF, ADVERTISE_100_FULL = 0x04, 0x08
ADVERTISE_1000_FULL = 0x20
AUTONEG_ADV_DEFAULT = 0x2F

HALF_DUPLEX, FULL_DUPLEX = 1, 2

OPTION_UNSET = -1
COPYBREAK_DEFAULT = 256
DYNAMIC_ITR = 20000
"""Interrupts per second that the dynamic modes start with."""

NETIF_MSG_DRV, NETIF_MSG_PROBE, NETIF_MSG_LINK = 1, 2, 4


class ModuleOptions(Data, frozen=True, kw_only=True):
    """The parameters given to the module; None where none was given."""

    TxDescriptors: int | None = None
    RxDescriptors: int | None = None
    Speed: int | None = None
    Duplex: int | None = None
    AutoNeg: int | None = None
    FlowControl: int | None = None
    XsumRX: int | None = None
    TxIntDelay: int | None = None
    TxAbsIntDelay: int | None = None
    RxIntDelay: int | None = None
    RxAbsIntDelay: int | None = None
    InterruptThrottleRate: int | None = None
    SmartPowerDownEnable: int | None = None
    copybreak: int = COPYBREAK_DEFAULT
    debug: int = -1


PARAMETERS = {name: Parameter(INT, per_card=True) for name in fields(ModuleOptions)} | {
    "copybreak": Parameter(UINT),
    "debug": Parameter(INT),
}
"""The module's parameters (``modinfo -p e1000``): arrays, but for the last two."""


class Checked(Data):
    """What ``check_options`` makes of them (fields of struct e1000_adapter and e1000_hw)."""

    tx_count: int = 256
    rx_count: int = 256
    rx_csum: bool = True
    fc: int = FC_DEFAULT
    tx_int_delay: int = 8
    tx_abs_int_delay: int = 32
    rx_int_delay: int = 0
    rx_abs_int_delay: int = 8
    itr: int = DYNAMIC_ITR
    itr_setting: int = 3
    autoneg: bool = True
    autoneg_advertised: int = AUTONEG_ADV_DEFAULT
    forced_speed: int = 0
    """10 or 100 when speed and duplex are forced."""
    forced_full_duplex: bool = False
    mdi_manual: bool = False
    """No crossover detection: speed and duplex are forced (``hw->mdix`` 1)."""
    msg_enable: int = NETIF_MSG_DRV | NETIF_MSG_PROBE | NETIF_MSG_LINK


Log = Callable[[str], None]


class OptionChecker:
    """``e1000_validate_option``: one parameter at a time, with the words of the original."""

    __slots__ = ("_log",)

    def __init__(self, log: Log) -> None:
        self._log = log

    def in_range(
        self, given: int | None, name: str, default: int, low: int, high: int, err: str = ""
    ) -> int:
        """``given`` if it lies in ``low``..``high``, else ``default``."""
        if given is None or given == OPTION_UNSET:
            return default
        if low <= given <= high:
            self._log(f"{name} set to {given}")
            return given
        return self._invalid(given, name, default, err or f"using default of {default}")

    def enabled(self, given: int | None, name: str, default: bool) -> bool:
        """A switch."""
        if given is None or given == OPTION_UNSET:
            return default
        if given in (0, 1):
            self._log(f"{name} {'Enabled' if given else 'Disabled'}")
            return bool(given)
        word = "Enabled" if default else "Disabled"
        return bool(self._invalid(given, name, int(default), f"defaulting to {word}"))

    def one_of(
        self, given: int | None, name: str, default: int, allowed: dict[int, str], err: str
    ) -> int:
        """One of the keys of ``allowed``, which say what to log."""
        if given is None or given == OPTION_UNSET:
            return default
        if given in allowed:
            if allowed[given]:
                self._log(allowed[given])
            return given
        return self._invalid(given, name, default, err)

    def _invalid(self, given: int, name: str, default: int, err: str) -> int:
        self._log(f"Invalid {name} value specified ({given}) {err}")
        return default


def check_options(options: ModuleOptions, log: Log) -> Checked:
    """Check every parameter, in the driver's order; ``log`` gets its lines."""
    check = OptionChecker(log)
    out = Checked()
    # 48 to 4096 on an 82544 and newer; rings come in multiples of 8 descriptors.
    out.tx_count = _align_8(
        check.in_range(options.TxDescriptors, "Transmit Descriptors", 256, 48, 4096)
    )
    out.rx_count = _align_8(
        check.in_range(options.RxDescriptors, "Receive Descriptors", 256, 48, 4096)
    )
    out.rx_csum = check.enabled(options.XsumRX, "Checksum Offload", True)
    out.fc = check.one_of(
        options.FlowControl, "Flow Control", FC_DEFAULT, _FLOW_CONTROL,
        "reading default settings from EEPROM",
    )  # fmt: skip
    out.tx_int_delay = check.in_range(options.TxIntDelay, "Transmit Interrupt Delay", 8, 0, 0xFFFF)
    out.tx_abs_int_delay = check.in_range(
        options.TxAbsIntDelay, "Transmit Absolute Interrupt Delay", 32, 0, 0xFFFF
    )
    out.rx_int_delay = check.in_range(options.RxIntDelay, "Receive Interrupt Delay", 0, 0, 0xFFFF)
    out.rx_abs_int_delay = check.in_range(
        options.RxAbsIntDelay, "Receive Absolute Interrupt Delay", 8, 0, 0xFFFF
    )
    _check_itr(options.InterruptThrottleRate, out, check, log)
    # The chips here have no such thing; the driver only says what was asked for.
    check.enabled(options.SmartPowerDownEnable, "PHY Smart Power Down", False)
    _check_copper_options(options, out, check, log)
    if 0 <= options.debug < 32:
        out.msg_enable = (1 << options.debug) - 1
    return out


def _align_8(count: int) -> int:
    return (count + 7) & -8


def _check_itr(given: int | None, out: Checked, check: OptionChecker, log: Log) -> None:
    name = "Interrupt Throttling Rate (ints/sec)"
    if given is None:
        return
    if given == 0:
        log(f"{name} turned off")
        out.itr = out.itr_setting = 0
    elif given == 1:
        log(f"{name} set to dynamic mode")
        out.itr_setting = 1
    elif given == 3:
        log(f"{name} set to dynamic conservative mode")
        out.itr_setting = 3
    elif given == 4:
        log(f"{name} set to simplified (2000-8000) ints mode")
        out.itr = out.itr_setting = 4
    else:
        out.itr = check.in_range(given, name, 3, 100, 100000)
        out.itr_setting = out.itr & ~3


def _check_copper_options(
    options: ModuleOptions, out: Checked, check: OptionChecker, log: Log
) -> None:
    """Speed, duplex and what to advertise (e1000_check_copper_options)."""
    ignored = "parameter ignored"
    speed = check.one_of(options.Speed, "Speed", 0, dict.fromkeys((0, 10, 100, 1000), ""), ignored)
    duplex = check.one_of(options.Duplex, "Duplex", 0, dict.fromkeys((0, 1, 2), ""), ignored)
    if options.AutoNeg is not None and (speed or duplex):
        log("AutoNeg specified along with Speed or Duplex, parameter ignored")
    else:
        out.autoneg_advertised = check.one_of(
            options.AutoNeg, "AutoNeg", AUTONEG_ADV_DEFAULT, _AUTONEG, ignored
        )
    if speed == 1000:
        if duplex == HALF_DUPLEX:
            log("Half Duplex is not supported at 1000 Mbps")
        elif not duplex:
            log("1000 Mbps Speed specified without Duplex")
        log("Using Autonegotiation at 1000 Mbps Full Duplex only")
        out.autoneg_advertised = ADVERTISE_1000_FULL
    elif speed and duplex:
        full = duplex == FULL_DUPLEX
        log(f"Forcing to {speed} Mbps {'Full' if full else 'Half'} Duplex")
        out.autoneg = False
        out.autoneg_advertised = 0
        out.forced_speed = speed
        out.forced_full_duplex = full
    elif speed:
        log(f"{speed} Mbps Speed specified without Duplex")
        log(f"Using Autonegotiation at {speed} Mbps only")
        out.autoneg_advertised = (
            ADVERTISE_10_HALF | ADVERTISE_10_FULL
            if speed == 10
            else ADVERTISE_100_HALF | ADVERTISE_100_FULL
        )
    elif duplex == HALF_DUPLEX:
        log("Half Duplex specified without Speed")
        log("Using Autonegotiation at Half Duplex only")
        out.autoneg_advertised = ADVERTISE_10_HALF | ADVERTISE_100_HALF
    elif duplex == FULL_DUPLEX:
        log("Full Duplex specified without Speed")
        log("Using Autonegotiation at Full Duplex only")
        out.autoneg_advertised = ADVERTISE_10_FULL | ADVERTISE_100_FULL | ADVERTISE_1000_FULL
    if not out.autoneg:
        # e1000_validate_mdi_setting: the default, automatic crossover, needs autonegotiation.
        log("Speed, AutoNeg and MDI-X specs are incompatible. Setting MDI-X to a compatible value.")
        out.mdi_manual = True


_FLOW_CONTROL = {
    FC_NONE: "Flow Control Disabled",
    FC_RX_PAUSE: "Flow Control Receive Only",
    FC_TX_PAUSE: "Flow Control Transmit Only",
    FC_FULL: "Flow Control Enabled",
    FC_DEFAULT: "Flow Control Hardware Default",
}

_ABILITIES = (
    (ADVERTISE_1000_FULL, "1000/FD"),
    (ADVERTISE_100_FULL, "100/FD"),
    (ADVERTISE_100_HALF, "100/HD"),
    (ADVERTISE_10_FULL, "10/FD"),
    (ADVERTISE_10_HALF, "10/HD"),
)

_AUTONEG = {
    mask: "AutoNeg advertising " + ", ".join(name for bit, name in _ABILITIES if mask & bit)
    for mask in (*range(0x01, 0x10), *range(0x20, 0x30))
}
