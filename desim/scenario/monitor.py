"""``[[monitor.run]]``: what may be typed into QEMU's monitor, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Sequence

from desim.config import MonitorCommand
from desim.devices import HostFwd, Proto, UserNet
from desim.errors import nearest
from desim.scenario.addresses import inet_aton, parse_number
from desim.scenario.qemu_forward import invalid_rule, parse_hostfwd

KNOWN = ("set_link", "hostfwd_add", "hostfwd_remove", "qom-set", "info usernet", "info network")
REFUSED = {
    "stop": "a machine that stands still is not modelled",
    "cont": "a machine that stands still is not modelled",
    "system_reset": "a second boot is not modelled; run the scenario again",
    "system_powerdown": "the guest's shutdown is not modelled; until says when the run ends",
    "quit": "until says when the run ends",
    "netdev_add": "a network is set up in the key qemu",
    "netdev_del": "a network is there to the end; set_link takes its link down",
    "device_add": "a card is plugged in the key qemu",
    "device_del": "a card is there to the end; set_link takes its link down",
    "object_add": "a filter is set up in the key qemu, with status=off if it is to wait",
    "object_del": "a filter is there to the end; qom-set ID status off, and it takes no part",
}


def read_monitor(text: str, at_ns: int, user: UserNet | None) -> MonitorCommand:
    """A command of the monitor at ``at_ns``; ``ValueError`` says what is wrong with it.

    ``user`` is the machine's user network, which commands may name.
    """
    words = text.split()
    if not words:
        raise ValueError("must be a command of QEMU's monitor")
    name = " ".join(words[:2]) if words[0] == "info" else words[0]
    if name in REFUSED:
        raise ValueError(f"{name}: {REFUSED[name]}")
    if name not in KNOWN:
        raise ValueError(f"{name}: modelled are {', '.join(KNOWN)}{nearest(name, KNOWN)}")
    command = MonitorCommand(at_ns=at_ns, words=words)
    if name == "set_link":
        if len(words) != 3 or words[2] not in ("on", "off"):
            raise ValueError("must be set_link NAME on|off")
    elif name in ("hostfwd_add", "hostfwd_remove"):
        rule = _rule(words, user)
        command.rule = _added(rule) if name == "hostfwd_add" else _removed(rule)
        command.rule.written = rule
    elif name == "qom-set":
        if len(words) != 4 or words[2] != "status" or words[3] not in ("on", "off"):
            raise ValueError("of qom-set, a filter's status is modelled: qom-set ID status on|off")
    elif len(words) != 2:
        raise ValueError(f"{name} takes nothing behind it")
    return command


def _rule(words: Sequence[str], user: UserNet | None) -> str:
    """The rule; a network may be named in front of it."""
    if len(words) not in (2, 3):
        raise ValueError(f"must be {words[0]} [NETDEV] RULE")
    if len(words) == 3 and (user is None or words[1] != user.id):
        known = "there is none" if user is None else f"there is {user.id}"
        raise ValueError(f"unrecognized netdev id '{words[1]}'; {known}")
    return words[-1]


def _added(rule: str) -> HostFwd:
    try:
        return parse_hostfwd(rule)
    except ValueError as error:
        raise ValueError(invalid_rule(rule, error)) from None


def _removed(rule: str) -> HostFwd:
    wrong = f"invalid format: '{rule}'; a rule is removed as PROTO:[ADDR]:PORT, such as tcp::5555"
    parts = rule.split(":")
    if len(parts) != 3 or parts[0] not in ("tcp", "udp", ""):
        raise ValueError(wrong)
    address = inet_aton(parts[1] or "0.0.0.0")
    port = parse_number(parts[2])
    if address is None or port is None or port > 65535:
        raise ValueError(wrong)
    proto: Proto = "udp" if parts[0] == "udp" else "tcp"
    return HostFwd(proto=proto, host_addr=address, host_port=port, guest_port=0)
