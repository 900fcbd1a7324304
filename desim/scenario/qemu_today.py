"""A line's network in the words that today's QEMU takes: the same wiring, rule by rule.

=========================================  ===================================================
``-redir``, ``-tftp``, ``-bootp``             parameters of the user network
``-net ...,vlan=N``                          without it; beside hub ports of that number, which
                                           is not 0: a ``-netdev`` with a port of its own
``-net ...,name=``                           ``id=``
JSON                                       ``key=value``
``-M pc-i440fx-2.4``                         ``-global e1000.extra_mac_registers=off``
no option at all                           QEMU's default, ``-net nic -net user``, written out
a card without a model                     with the machine's own
what has no effect on the network          left out
=========================================  ===================================================

``-net nic -net user`` stays what it is: today's QEMU takes it, and ``-nic`` would be another
wiring, without a hub.
"""

from __future__ import annotations

from collections.abc import Sequence

from desim.devices import CARD_SWITCHES
from desim.scenario.qemu_machine import Board
from desim.scenario.qemu_object import is_filter
from desim.scenario.qemu_options import BUS_KEYS, CARDS, PLACE_KEYS, hostfwd_of_redir
from desim.scenario.qemu_words import NETWORK, Option

Parts = list[tuple[str, str]]

_KEPT = ("-netdev", "-net", "-nic", "-device", "-object", "-chardev", "-global", "-icount")
"""In the order in which they are written: what names something stands behind it."""


def todays_words(options: Sequence[Option], board: Board) -> list[str]:
    """The words of a line with the same network as ``options``, which can be run, on ``board``."""
    made = [Option(o.flag, "", list(o.parts)) for o in options if o.flag in _KEPT]
    if not any(o.flag in ("-netdev", "-net", "-nic", "-nodefaults") for o in options):
        made += [Option("-net", "", [("type", kind)]) for kind in ("nic", "user")]
    elif not any(o.flag in ("-netdev", "-net", "-nic") for o in made):
        made.append(Option("-nic", "", [("type", "none")]))
    made = [o for o in made if _has_effect(o)]
    _fold_services(options, made)
    wired = [new for option in made for new in _todays(option, made, board)]
    wired += _globals(wired, board)
    order = {flag: number for number, flag in enumerate(_KEPT)}
    wired.sort(key=lambda option: order[option.flag])
    return [word for option in wired for word in (option.flag, _written(option))]


def _has_effect(option: Option) -> bool:
    if option.flag == "-device":
        return option.last("driver") in CARDS
    if option.flag == "-object":
        return is_filter(option)
    if option.flag == "-global":
        driver = option.last("driver")
        name = f"{driver}.{option.last('property')}" if driver is not None else option.parts[0][0]
        return name.partition(".")[0] in CARDS
    return True


def _fold_services(options: Sequence[Option], made: Sequence[Option]) -> None:
    """What stands in options of its own up to QEMU 3.0 goes into the user network."""
    users = [o for o in made if _is_user(o)]
    for option in options:
        if option.flag == "-redir" and users:
            rule = hostfwd_of_redir(option.value)
            users[0].parts.append(("hostfwd", rule.removeprefix("hostfwd=")))
        key = {"-tftp": "tftp", "-bootp": "bootfile"}.get(option.flag)
        for user in users:
            if key is not None and user.last(key) is None:
                user.parts.append((key, option.value))


def _is_user(option: Option) -> bool:
    kind = option.last("type") or "user"
    return option.flag in ("-netdev", "-net", "-nic") and kind == "user"


def _todays(option: Option, made: Sequence[Option], board: Board) -> list[Option]:
    """One option in today's words: itself, or a backend and its hub port."""
    parts = [part for part in option.parts if part[0] not in BUS_KEYS | PLACE_KEYS]
    if option.flag == "-device":
        return [Option(option.flag, "", parts)]
    if option.flag not in ("-net", "-nic"):
        return [Option(option.flag, "", list(option.parts))]
    kind = option.last("type") or "user"
    if option.flag == "-nic" and option.last("type") is None:
        parts.insert(0, ("type", kind))
    is_card = (option.flag == "-net" and kind == "nic") or (
        option.flag == "-nic" and kind != "none"
    )
    if is_card and option.last("model") is None and board.card is not None:
        parts.append(("model", board.card))
    if option.flag == "-nic":
        return [Option("-nic", "", parts)]
    if kind == "none":
        return [Option("-nic", "", [("type", "none")])]
    parts = [("id" if key == "name" else key, value) for key, value in parts if key != "vlan"]
    hub = option.last("vlan") or "0"
    beside = [o for o in made if o.last("type") == "hubport" and o.last("hubid") == hub]
    if not beside or hub == "0" or option.last("netdev") is not None:
        return [Option("-net", "", parts)]
    return _with_port(kind, parts, hub)


def _with_port(kind: str, parts: Parts, hub: str) -> list[Option]:
    """A ``-net`` on a hub that has ports by hand, too: today such a hub is another one."""
    port = f"{kind}-port"
    if kind == "user":
        known = dict(parts)
        name = known.get("id", "user.0")
        rest = [part for part in parts if part[0] not in ("type", "id")]
        ends = [("type", "hubport"), ("id", port), ("hubid", hub), ("netdev", name)]
        return [
            Option("-netdev", "", [("type", "user"), ("id", name), *rest]),
            Option("-netdev", "", ends),
        ]
    names = {"macaddr": "mac", "id": "id"}
    known = dict(parts)
    card = [("driver", known.get("model", "e1000")), ("netdev", port)]
    card += [(names[key], value) for key, value in parts if key in names]
    ends = [("type", "hubport"), ("id", port), ("hubid", hub)]
    return [Option("-netdev", "", ends), Option("-device", "", card)]


def _globals(options: Sequence[Option], board: Board) -> list[Option]:
    """What the machine says of its card, where the line does not say it."""
    said = {key for o in options if o.flag == "-device" for key, _ in o.parts}
    said |= {
        name.partition(".")[2] or value
        for o in options
        if o.flag == "-global"
        for name, value in o.parts
    }
    models = [o.last("driver") or o.last("model") for o in options]
    cards = sorted({model for model in models if model in CARDS and model is not None})
    keys = [key for key in CARD_SWITCHES if key in board.off and key not in said]
    return [Option("-global", "", [(f"{card}.{key}", "off")]) for card in cards for key in keys]


def _written(option: Option) -> str:
    """An option's value: the key that may be left out in front is, and a comma is doubled."""
    first = NETWORK[option.flag]
    words = []
    for number, (key, value) in enumerate(option.parts):
        value = value.replace(",", ",,")
        words.append(value if number == 0 and key == first else f"{key}={value}")
    return ",".join(words)
