"""``ethtool`` 6.1: what the driver says of itself, its card and its counters.

Without an option the settings of the link; -i the driver, -S its statistics, -g and -G
the rings, -k the features, -c and -C how interrupts are held back. Texts, exit codes and
what goes to standard error are the real tool's; settings, rings, coalescing and features
it asks over netlink, the others by ioctl, which shows in how it complains.

Not modelled: all other options (refused when a line is read), --json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from desim.userland.calls import sys
from desim.userland.ethtool import EthtoolDevice, Feature, LinkSettings, NetlinkError, Rings
from desim.userland.program import Program
from desim.userland.programs.output import Step, err, put

T = TypeVar("T")

MESSAGE_LEVELS = (
    "drv probe link timer ifdown ifup rx_err tx_err tx_queued intr tx_done rx_status pktdata hw wol"
)

LEGACY_FEATURES = {
    "rx-checksumming": ("rx-checksum",),
    "tx-checksumming": (
        "tx-checksum-ipv4",
        "tx-checksum-ip-generic",
        "tx-checksum-ipv6",
        "tx-checksum-fcoe-crc",
        "tx-checksum-sctp",
    ),
    "scatter-gather": ("tx-scatter-gather", "tx-scatter-gather-fraglist"),
    "tcp-segmentation-offload": (
        "tx-tcp-segmentation",
        "tx-tcp-ecn-segmentation",
        "tx-tcp-mangleid-segmentation",
        "tx-tcp6-segmentation",
    ),
    "generic-segmentation-offload": ("tx-generic-segmentation",),
    "generic-receive-offload": ("rx-gro",),
    "large-receive-offload": ("rx-lro",),
    "rx-vlan-offload": ("rx-vlan-hw-parse",),
    "tx-vlan-offload": ("tx-vlan-hw-insert",),
    "ntuple-filters": ("rx-ntuple-filter",),
    "receive-hashing": ("rx-hashing",),
}
"""The tool's old names, shown first, with the kernel's features behind each."""

COALESCE = (
    ("stats-block-usecs", "sample-interval", "pkt-rate-low", "pkt-rate-high"),
    ("rx-usecs", "rx-frames", "rx-usecs-irq", "rx-frames-irq"),
    ("tx-usecs", "tx-frames", "tx-usecs-irq", "tx-frames-irq"),
    ("rx-usecs-low", "rx-frame-low", "tx-usecs-low", "tx-frame-low"),
    ("rx-usecs-high", "rx-frame-high", "tx-usecs-high", "tx-frame-high"),
)
"""What -c prints, in its blocks."""

SET_COALESCE = (
    "adaptive-rx adaptive-tx sample-interval stats-block-usecs pkt-rate-low pkt-rate-high "
    "rx-usecs rx-frames rx-usecs-irq rx-frames-irq tx-usecs tx-frames tx-usecs-irq "
    "tx-frames-irq rx-usecs-low rx-frames-low tx-usecs-low tx-frames-low rx-usecs-high "
    "rx-frames-high tx-usecs-high tx-frames-high cqe-mode-rx cqe-mode-tx"
)
SWITCHES = ("adaptive-rx", "adaptive-tx", "cqe-mode-rx", "cqe-mode-tx")
SET_RINGS = "rx rx-mini rx-jumbo tx rx-buf-len cqe-size tx-push"

_USAGE = "ethtool: bad command line argument(s)\nFor more information run ethtool -h\n"
_NAME_OFFSET = 24
"""Where the device's name stands in a netlink request, which errors point at."""


Run = Callable[[str, Sequence[str]], Program]
"""What an option does with the device and the words behind it."""


class _WordError(ValueError):
    """A word behind -C or -G that is not understood."""


def check(argv: list[str]) -> str | None:
    """Refuse the options that are not modelled."""
    word = argv[1] if len(argv) > 1 else ""
    if word.startswith("-") and word not in OPTIONS and word != "--version":
        known = " ".join(name for name in OPTIONS if not name.startswith("--"))
        return f"ethtool: option {word} is not modelled; modelled are {known}"
    return None


def ethtool(argv: list[str]) -> Program:
    """Ask, and print the answer."""
    words = argv[1:]
    if words == ["--version"]:
        yield from put("ethtool version 6.1\n")
        return 0
    run: Run = _settings
    if words and words[0] in OPTIONS:
        run = OPTIONS[words.pop(0)]
    if not words or words[0].startswith("-") or not words[0]:
        yield from err(_USAGE)
        return 1
    return (yield from run(words[0], words[1:]))


# Errors


def _netlink_error(error: OSError) -> Step:
    """What the tool says when the kernel refuses a netlink request."""
    text = ""
    if isinstance(error, NetlinkError):
        text = f"netlink error: {error.message} (offset {error.offset})\n"
    elif error.strerror == "No such device":
        text = f"netlink error: no device matches name (offset {_NAME_OFFSET})\n"
    return err(f"{text}netlink error: {error.strerror}\n")


def _no_words(words: Sequence[str]) -> str | None:
    return f"ethtool: unexpected parameter '{words[0]}'\n" if words else None


def _over_netlink(
    device: str,
    ask: Callable[[EthtoolDevice], T],
    words: Sequence[str],
    show: Callable[[str, T], str],
) -> Program:
    if problem := _no_words(words):
        yield from err(problem)
        return 1
    try:
        answer = yield from sys.ethtool(device, ask)
    except OSError as error:
        yield from _netlink_error(error)
        return 1
    yield from put(show(device, answer))
    return 0


# ethtool DEV


def _settings(device: str, words: Sequence[str]) -> Program:
    if words:
        yield from err(_USAGE)
        return 1
    link: bool | None = None
    settings: LinkSettings | None = None
    try:
        link = yield from sys.ethtool(device, lambda nic: nic.link())
    except OSError as error:
        for _ in range(5):  # modes, link, wake-up, messages, state: each is asked for
            yield from _netlink_error(error)
        yield from put("No data available\n")
        return 75
    try:
        settings = yield from sys.ethtool(device, lambda nic: nic.settings())
    except OSError:
        if link is None:
            yield from put("No data available\n")
            return 75
    lines = [f"Settings for {device}:"]
    if settings is not None:
        lines += _link_modes(settings)
    if link is not None:
        lines.append(f"\tLink detected: {'yes' if link else 'no'}")
    yield from put("\n".join(lines) + "\n")
    return 0


def _link_modes(settings: LinkSettings) -> list[str]:
    speed = "Unknown!" if settings.speed is None else f"{settings.speed}Mb/s"
    duplex = "Unknown! (255)"
    if settings.full_duplex is not None:
        duplex = "Full" if settings.full_duplex else "Half"
    autoneg = "Yes" if settings.autoneg else "No"
    lines = [
        "\tSupported ports: [ TP ]",
        *_modes("Supported", settings.supported),
        "\tSupported pause frame use: No",
        "\tSupports auto-negotiation: Yes",
        "\tSupported FEC modes: Not reported",
        *_modes("Advertised", settings.advertised),
        "\tAdvertised pause frame use: No",
        f"\tAdvertised auto-negotiation: {autoneg}",
        "\tAdvertised FEC modes: Not reported",
        f"\tSpeed: {speed}",
        f"\tDuplex: {duplex}",
        f"\tAuto-negotiation: {'on' if settings.autoneg else 'off'}",
        f"\tPort: {settings.port}",
        f"\tPHYAD: {settings.phy_address}",
        "\tTransceiver: internal",
    ]
    if settings.port == "Twisted Pair":
        crossed = "Unknown" if settings.mdix is None else "on" if settings.mdix else "off"
        lines.append(f"\tMDI-X: {crossed} (auto)")
    if settings.wol_supported is not None:
        lines.append(f"\tSupports Wake-on: {settings.wol_supported or 'd'}")
        lines.append(f"\tWake-on: {settings.wol or 'd'}")
    if settings.msg_level is not None:
        level = settings.msg_level
        names = [n for bit, n in enumerate(MESSAGE_LEVELS.split()) if level >> bit & 1]
        lines.append(f"        Current message level: 0x{level:08x} ({level})")
        lines.append(" " * 30 + "".join(f" {name}" for name in names))
    return lines


def _modes(kind: str, modes: Sequence[str]) -> list[str]:
    """Half and full duplex of one speed share a line."""
    head = f"\t{kind} link modes:".ljust(25)
    if not modes:
        return [f"{head}Not reported"]
    by_speed: dict[str, list[str]] = {}
    for mode in modes:
        by_speed.setdefault(mode.partition("/")[0], []).append(mode)
    rows = [" ".join(row) for row in by_speed.values()]
    return [head + rows[0], *("\t" + " " * 24 + row for row in rows[1:])]


# -i and -S, by ioctl


def _driver(device: str, words: Sequence[str]) -> Program:
    if words:
        yield from err(_USAGE)
        return 1
    try:
        pairs = yield from sys.ethtool(device, lambda nic: nic.drvinfo())
    except OSError as error:
        yield from err(f"Cannot get driver information: {error.strerror}\n")
        return 71
    yield from put("".join(f"{name}: {value}\n" for name, value in pairs))
    return 0


def _statistics(device: str, words: Sequence[str]) -> Program:
    if words:
        yield from err(f"ethtool (-S): unknown parameter '{words[0]}'\n")
        return 1
    try:
        counts = yield from sys.ethtool(device, lambda nic: nic.stats())
    except OSError as error:
        yield from err(f"Cannot get stats strings information: {error.strerror}\n")
        return 96
    if not counts:
        yield from err("no stats available\n")
        return 94
    lines = "".join(f"     {name}: {count}\n" for name, count in counts)
    yield from put("NIC statistics:\n" + lines)
    return 0


# -g and -G


def _show_rings(device: str, words: Sequence[str]) -> Program:
    return _over_netlink(device, lambda nic: nic.rings(), words, _rings)


def _rings(device: str, rings: Rings) -> str:
    return (
        f"Ring parameters for {device}:\nPre-set maximums:\n"
        f"RX:\t\t{rings.rx_max}\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t{rings.tx_max}\n"
        f"Current hardware settings:\n"
        f"RX:\t\t{rings.rx}\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t{rings.tx}\n"
        f"RX Buf Len:\t\tn/a\nCQE Size:\t\tn/a\nTX Push:\toff\nTCP data split:\tn/a\n"
    )


def _set_rings(device: str, words: Sequence[str]) -> Program:
    return _change("-G", device, lambda nic, wanted: nic.set_rings(wanted), words, SET_RINGS, 81)


# -k


def _show_features(device: str, words: Sequence[str]) -> Program:
    return _over_netlink(device, lambda nic: nic.features(), words, _features)


def _features(device: str, features: Sequence[Feature]) -> str:
    by_name = {feature.name: feature for feature in features}
    lines = [f"Features for {device}:"]
    for old, names in LEGACY_FEATURES.items():
        group = [by_name.pop(name) for name in names]
        if len(group) == 1:
            lines.append(_feature(group[0], old))
        else:
            lines.append(f"{old}: {'on' if any(feature.on for feature in group) else 'off'}")
            lines += [_feature(feature, f"\t{feature.name}") for feature in group]
    lines += [_feature(feature, name) for name, feature in by_name.items()]
    return "\n".join(lines) + "\n"


def _feature(feature: Feature, label: str) -> str:
    return f"{label}: {'on' if feature.on else 'off'}{' [fixed]' if feature.fixed else ''}"


# -c and -C


def _show_coalesce(device: str, words: Sequence[str]) -> Program:
    return _over_netlink(device, lambda nic: nic.coalesce(), words, _coalesce)


def _coalesce(device: str, values: dict[str, int]) -> str:
    lines = [f"Coalesce parameters for {device}:", "Adaptive RX: n/a  TX: n/a"]
    for block in COALESCE:
        lines += [f"{name}: {values.get(name, 'n/a')}" for name in block]
        lines.append("")
    lines += ["CQE mode RX: n/a  TX: n/a", ""]
    return "\n".join(lines) + "\n"


def _set_coalesce(device: str, words: Sequence[str]) -> Program:
    return _change(
        "-C", device, lambda nic, wanted: nic.set_coalesce(wanted), words, SET_COALESCE, 1
    )


def _change(
    option: str,
    device: str,
    change: Callable[[EthtoolDevice, Mapping[str, int]], None],
    words: Sequence[str],
    known: str,
    refused: int,
) -> Program:
    try:
        wanted = _pairs(option, words, known.split())
    except _WordError as error:
        yield from err(f"ethtool ({option}): {error}\n")
        return 1
    try:
        yield from sys.ethtool(device, lambda nic: change(nic, wanted))
    except OSError as error:
        yield from _netlink_error(error)
        return refused
    return 0


def _pairs(option: str, words: Sequence[str], known: Sequence[str]) -> dict[str, int]:
    wanted: dict[str, int] = {}
    rest = iter(words)
    for name in rest:
        if name not in known:
            raise _WordError(f"unknown parameter '{name}'")
        value = next(rest, None)
        if value is None:
            raise _WordError(f"no value for parameter '{name}'")
        wanted[name] = _value(name, value)
    return wanted


def _value(name: str, text: str) -> int:
    """Numbers are read as C does: ``0x10`` and ``010`` are not decimal."""
    if name in SWITCHES or name == "tx-push":
        if text in ("on", "off"):
            return int(text == "on")
    elif text.isascii() and text.isalnum():
        octal = text.isdigit() and len(text) > 1 and text[0] == "0"
        try:
            value = int(text, 8 if octal else 0)
        except ValueError:
            value = -1
        if 0 <= value < 1 << 32:
            return value
    raise _WordError(f"invalid value '{text}' for parameter '{name}'")


OPTIONS: dict[str, Run] = {
    "-i": _driver,
    "-S": _statistics,
    "-g": _show_rings,
    "-G": _set_rings,
    "-k": _show_features,
    "-c": _show_coalesce,
    "-C": _set_coalesce,
    "--driver": _driver,
    "--statistics": _statistics,
    "--show-ring": _show_rings,
    "--set-ring": _set_rings,
    "--show-features": _show_features,
    "--show-offload": _show_features,
    "--show-coalesce": _show_coalesce,
    "--coalesce": _set_coalesce,
}
