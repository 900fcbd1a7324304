"""QEMU's own network options, in every spelling from 2.8 to today, to one wiring.

=========================================  =====================================
``-netdev user,id=U -device e1000,netdev=U``  card and slirp are direct peers
``-nic user,model=e1000``                     the same, in one option
``-net nic,model=e1000 -net user``            they meet in hub 0
``-netdev hubport,id=P,hubid=0,netdev=U``     a hub, wired by hand
``-netdev socket,id=S,listen=:1234``          a wire over the host's sockets (qemu_socket.py)
``-redir tcp:5555::5556``                     adds ``hostfwd=tcp::5555-:5556``
``-tftp DIR``, ``-bootp NAME``                  ``tftp=DIR``, ``bootfile=NAME`` where there is none
nothing                                       QEMU's default: ``-net nic -net user``
``-M pc-i440fx-2.4``                            properties of the card as that QEMU had them
``-net none``, ``-nic none``, ``-nodefaults``  no network at all
=========================================  =====================================

Modelled is one card and at most one user network, which reach each other, and any number of
sockets. More cards, other cards and other backends are refused with a message that says so; options
of the rest of the machine are listed in one note as having no effect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from desim.devices import CARD_SWITCHES, CardModel, Nic, SocketKind
from desim.errors import UserError, nearest
from desim.scenario.addresses import parse_macaddr, show_mac
from desim.scenario.qemu_forward import Forwards, parse_redir
from desim.scenario.qemu_help import help_asked
from desim.scenario.qemu_machine import machine_list, read_board
from desim.scenario.qemu_user import (
    BOOTFILE_MAX,
    Complain,
    OpenFolder,
    allowed,
    read_switch,
    read_tftp,
    read_user,
    refuse_unknown_keys,
)
from desim.scenario.qemu_user import (
    KEYS as USER_KEYS,
)
from desim.scenario.qemu_versions import NEWER_KEYS, Spelling
from desim.scenario.qemu_wiring import CARD, Wiring, connect
from desim.scenario.qemu_wiring import IGNORED as IGNORED
from desim.scenario.qemu_wiring import Network as Network
from desim.scenario.qemu_words import Chardevs, Line, Option, read_words, word_set

# The 82544GC is not among them: the guest's driver for it is not modelled.
CARDS: dict[str, CardModel] = {
    "e1000": "e1000",
    "e1000-82540em": "e1000",
    "e1000-82545em": "e1000-82545em",
}

OTHER_CARDS = word_set(
    """dp83932 e1000-82544gc e1000e
    i82550 i82551 i82557a i82557b i82557c i82558a i82558b i82559a i82559b i82559c
    i82559er i82562 i82801 igb igbvf lan9118 lance ne2k_isa ne2k_pci pcnet rocker rtl8139
    smc91c111 spapr-vlan sungem sunhme tulip usb-net virtio virtio-net virtio-net-device
    virtio-net-pci virtio-net-pci-non-transitional virtio-net-pci-transitional vmxnet3 xen"""
)

OTHER_BACKENDS = word_set(
    """af-xdp bridge dump l2tpv3 netmap passt tap vde vhost-user vhost-vdpa vmnet-bridged
    vmnet-host vmnet-shared"""
)
SOCKETS: dict[str, SocketKind] = {"socket": "socket", "stream": "stream", "dgram": "dgram"}
"""Those that ``desim.scenario.qemu_socket`` reads."""
BACKENDS = ("user", "hubport", *SOCKETS)
MODELLED = "modelled are user, hubport, socket, stream and dgram"

CARD_KEYS = word_set("driver id mac netdev") | frozenset(CARD_SWITCHES)
BUS_KEYS = word_set(
    """acpi-index addr bootindex bus command_serr_enable failover_pair_id migrate_tso_props
    multifunction rombar romfile x-pcie-lnksta-dllla"""
)
"""Properties of every PCI card that have no effect on its traffic."""
PLACE_KEYS = word_set("addr vectors")
"""Parameters of ``-net nic`` that have none."""


_MAC = "[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}"


def parse_qemu_options(
    words: Sequence[str],
    *,
    open_folder: OpenFolder,
) -> Network:
    """The network that QEMU would set up from ``words``.

    Raises :class:`UserError` with every mistake. ``open_folder`` reads a folder that
    an option names (``tftp=``), or raises ``ValueError`` that says why it does not.
    """
    mistakes: list[str] = []
    line = read_words(words, mistakes)
    options, ignored = line.options, line.ignored
    if _help(line) is not None:
        raise UserError("help asks for a list, and starts no machine: desim qemu prints it")
    board = read_board(line.program, [o for o in options if o.flag in ("-M", "-machine")], mistakes)
    if board.is_x86 and not board.off and any(o.flag in ("-M", "-machine") for o in options):
        ignored.append("-machine")
    chardevs = Chardevs.read([o for o in options if o.flag == "-chardev"], mistakes)
    wiring = Wiring(open_folder, mistakes, chardevs, board, ignored=ignored)
    shift = None
    if counts := [o for o in options if o.flag == "-icount"]:
        from desim.scenario.qemu_icount import read_icount

        shift = read_icount(counts, ignored, mistakes)
    _accelerators(wiring, options)
    wiring.default_net = not any(
        o.flag in ("-netdev", "-net", "-nic", "-nodefaults") for o in options
    )
    if wiring.default_net:
        options += [Option("-net", "nic", [("type", "nic")])]
        options += [Option("-net", "user", [("type", "user")])]
    # As in QEMU (net_init_clients), whatever the order of the words.
    for flag, reader in _READERS.items():
        for option in options:
            if option.flag == flag:
                reader(wiring, option)
    _globals(wiring, options)
    _redirections(wiring, options)
    _legacy_services(wiring, options)
    _note_spellings(wiring, options)
    network = connect(wiring, [o for o in options if o.flag in ("-netdev", "-net", "-nic")])
    network.icount_shift = shift
    if wiring.filters:
        from desim.scenario.qemu_object import read_filters

        network.filters = read_filters(wiring.filters, wiring.netdevs(), wiring.complainer)
    if mistakes:
        raise UserError(*mistakes)
    return network


def _netdev(wiring: Wiring, option: Option) -> None:
    complain = wiring.complainer(option)
    kind, name = option.last("type"), option.last("id")
    if kind not in BACKENDS:
        _refuse_backend(kind, complain)
        if name is not None:
            wiring.refused.add(name)
        return
    if name is None:
        complain("Parameter 'id' is missing")
        return
    if _take_name(wiring, name, complain):
        _backend(wiring, option, name, complain)


def _backend(
    wiring: Wiring,
    option: Option,
    name: str,
    complain: Complain,
    own: frozenset[str] = frozenset(),
) -> None:
    """Make the backend ``name``; its type is known to be one that is modelled.

    ``own`` are further keys that the option may have.
    """
    kind = option.last("type")
    if kind == "hubport":
        _hubport(wiring, option, name, complain)
        return
    if kind in SOCKETS:
        from desim.scenario.qemu_socket import read_socket  # few machines have one

        made = read_socket(option, SOCKETS[kind], name, complain, own)
        if made is None:
            wiring.refused.add(name)
        else:
            wiring.sockets[name] = made
        return
    refuse_unknown_keys(option, USER_KEYS | own, complain)
    user = read_user(option, wiring.open_folder, wiring.chardevs, complain)
    user.id = name
    wiring.users[name] = user


def _hubport(wiring: Wiring, option: Option, name: str, complain: Complain) -> None:
    refuse_unknown_keys(option, word_set("type id hubid netdev"), complain)
    number, peer = option.last("hubid"), option.last("netdev")
    if number is None or not re.fullmatch(r"[0-9]{1,9}", number):
        wrong = "is missing" if number is None else f"expects a number (it is '{number}')"
        complain(f"Parameter 'hubid' {wrong}")
        wiring.refused.add(name)
        return
    hub = wiring.hub(int(number))
    hub.add(None, name)
    wiring.ports[name] = int(number)
    if peer is None:
        return
    wiring.taken.append(name)
    if peer in wiring.refused:
        return
    known = [*wiring.users, *wiring.sockets]
    if peer not in known:
        complain(f"netdev '{peer}' not found{nearest(peer, known)}")
    elif peer in wiring.taken:
        complain(f"netdev '{peer}' is already in use")
    else:
        wiring.taken.append(peer)
        hub.ports[-1].client = peer


def _net(wiring: Wiring, option: Option) -> None:
    complain = wiring.complainer(option)
    kind = option.last("type")
    if kind == "none":
        refuse_unknown_keys(option, word_set("type vlan"), complain)
        return
    if kind not in ("user", "nic", *SOCKETS):
        if kind == "channel":
            complain("channels are not modelled; use guestfwd=tcp:10.0.2.4:PORT-DEV of a user net")
        else:
            _refuse_backend(kind, complain, more=("nic", "none"))
        return
    vlan = option.last("vlan")
    if vlan is None:
        vlan = "0"
    if not re.fullmatch(r"[0-9]{1,9}", vlan):
        complain(f"Parameter 'vlan' expects a number (it is '{vlan}')")
        return
    if kind == "user":
        refuse_unknown_keys(option, USER_KEYS | {"vlan", "name"}, complain)
        user = read_user(option, wiring.open_folder, wiring.chardevs, complain)
        user.id = user.id or option.last("name") or f"user.{len(wiring.users)}"
        if _take_name(wiring, user.id, complain):
            wiring.users[user.id] = user
            wiring.taken.append(user.id)
            wiring.hub(int(vlan)).add(user.id)
        return
    if kind in SOCKETS:
        name = option.last("id") or option.last("name") or f"{kind}.{len(wiring.sockets)}"
        if _take_name(wiring, name, complain):
            _backend(wiring, option, name, complain, own=word_set("vlan name"))
            wiring.taken.append(name)
            wiring.hub(int(vlan)).add(name)
        return
    keys = word_set("type id name vlan netdev macaddr model")
    refuse_unknown_keys(option, keys | PLACE_KEYS, complain)
    wiring.ignore("-net nic", option, PLACE_KEYS)
    nic = wiring.card(name=option.last("id") or option.last("name"))
    _card(wiring, nic, option.last("model"), complain)
    _mac(nic, option.last("macaddr"), complain)
    wiring.nics.append(nic)
    netdev = option.last("netdev")
    if netdev is not None:
        _plug(wiring, nic, netdev, complain)
    else:
        wiring.hub(int(vlan)).add(CARD)


def _nic(wiring: Wiring, option: Option) -> None:
    complain = wiring.complainer(option)
    kind = option.last("type") or "user"
    if kind == "none":
        refuse_unknown_keys(option, word_set("type"), complain)
        return
    if kind not in BACKENDS:
        _refuse_backend(kind, complain, more=("none",))
        return
    nic = wiring.card()
    _card(wiring, nic, option.last("model"), complain)
    _mac(nic, option.last("mac"), complain)
    wiring.nics.append(nic)
    own = word_set("type model mac")
    parts = [("type", kind), *(part for part in option.parts if part[0] not in own)]
    name = option.last("id")
    if name is None:
        name = f"__org.qemu.nic{len(wiring.nics) - 1}"
    elif not _take_name(wiring, name, complain):
        return
    _backend(wiring, Option(option.flag, option.value, parts), name, complain, own=own)
    _plug(wiring, nic, name, complain)


def _device(wiring: Wiring, option: Option) -> None:
    complain = wiring.complainer(option)
    driver = option.last("driver") or ""
    if driver not in CARDS:
        if driver in OTHER_CARDS:
            complain(_other_card(driver, "-device e1000,netdev=ID"))
        elif hint := nearest(driver, CARDS):
            complain(f"'{driver}' is not a valid device model name{hint}")
        else:
            wiring.ignored.append(f"-device {driver}")
        return
    for key, _ in option.parts:
        if key not in CARD_KEYS | BUS_KEYS:
            complain(f"Property '{driver}.{key}' not found{allowed(key, CARD_KEYS)}")
    wiring.ignore(f"-device {driver}", option, BUS_KEYS)
    nic = wiring.card(model=CARDS[driver], name=option.last("id"))
    _mac(nic, option.last("mac"), complain, refusal=f"Property '{driver}.mac'")
    wiring.nics.append(nic)
    for key, name in CARD_SWITCHES.items():
        value = read_switch(option, key, complain)
        if value is not None:
            setattr(nic, name, value)
    netdev = option.last("netdev")
    if netdev is not None:
        _plug(wiring, nic, netdev, complain)


def _card(wiring: Wiring, nic: Nic, model: str | None, complain: Complain) -> None:
    if model is None:
        refusal = wiring.board.refusal()
        if refusal is not None and wiring.default_net:
            wiring.mistakes.append(refusal)  # nobody wrote the -net nic that QEMU adds
        elif refusal is not None:
            complain(refusal)
        return
    if model in CARDS:
        nic.model = CARDS[model]
    elif model in OTHER_CARDS:
        complain(_other_card(model, "-nic user,model=e1000"))
    else:
        complain(f"Unsupported NIC model: {model}{nearest(model, CARDS)}")


def _other_card(model: str, instead: str) -> str:
    """Why a card is refused, and which experiments can be made all the same."""
    text = f"network card '{model}' is not modelled; modelled are {', '.join(CARDS)}"
    if model.startswith(("virtio", "vmxnet3", "xen")):
        why = "other registers and interrupts; the network and the guest's stack are the same"
    elif model.startswith(("e1000e", "igb", "e1000-82544gc")):
        why = "it has the same legacy descriptors and delay timers"
    else:
        why = "the network and the guest's stack are the same"
    return f"{text}; try {instead} ({why})"


def _mac(nic: Nic, text: str | None, complain: Complain, *, refusal: str = "") -> None:
    if text is None:
        return
    # A card's property is stricter than the address of -net and -nic (set_mac, net_parse_macaddr).
    mac = parse_macaddr(text) if not refusal or re.fullmatch(_MAC, text) else None
    if mac is None:
        wrong = "invalid syntax for ethernet address"
        given = f"{refusal} doesn't take value '{text}'" if refusal else f"{wrong} ('{text}')"
        complain(f"{given}; allowed are six bytes, such as {show_mac(nic.mac)}")
    elif mac[0] & 1:
        complain(f"NIC cannot have multicast MAC address ('{text}')")
    else:
        nic.mac = mac


def _plug(wiring: Wiring, nic: Nic, netdev: str, complain: Complain) -> None:
    """Give the card its peer, a backend or a hub port."""
    prop = f"Property '{nic.model}.netdev'"
    if netdev in wiring.refused:
        return
    known = [*wiring.users, *wiring.sockets, *wiring.ports]
    if netdev not in known:
        hint = nearest(netdev, known)
        complain(f"{prop} can't find value '{netdev}'{hint}")
        return
    if netdev in wiring.taken:
        complain(f"{prop} can't take value '{netdev}', it's in use")
        return
    wiring.taken.append(netdev)
    nic.netdev = netdev
    if netdev not in wiring.ports:
        wiring.direct = netdev
        return
    for port in wiring.hub(wiring.ports[netdev]).ports:
        if port.name == netdev:
            port.client = CARD


def _object(wiring: Wiring, option: Option) -> None:
    from desim.scenario.qemu_object import is_filter

    if is_filter(option):
        wiring.filters.append(option)
    else:
        wiring.ignored.append(f"-object {option.last('qom-type') or ''}")


def _take_name(wiring: Wiring, name: str, complain: Complain) -> bool:
    letters_and_digits = name.replace(".", "").replace("_", "").replace("-", "")
    if not (name.isascii() and name[:1].isalpha() and letters_and_digits.isalnum()):
        complain(f"Parameter 'id' expects an identifier (it is '{name}')")
        return False
    if name in (*wiring.users, *wiring.sockets, *wiring.ports):
        complain(f"Duplicate ID '{name}' for netdev")
        return False
    return True


def _refuse_backend(kind: str | None, complain: Complain, more: tuple[str, ...] = ()) -> None:
    if kind is None:
        complain("Parameter 'type' is missing")
    elif kind in OTHER_BACKENDS:
        complain(f"the backend '{kind}' is not modelled; {MODELLED}{_INSTEAD.get(kind, '')}")
    else:
        hint = nearest(kind, (*BACKENDS, *more))
        complain(f"Parameter 'type' expects a netdev backend type (it is '{kind}'){hint}")


_TAKEN_UP = "; with user, hostfwd= lets the host in, and the guest reaches the host at 10.0.2.2"
_INSTEAD = {
    "dump": "; today's spelling is -object filter-dump,id=ID,netdev=ID,file=FILE",
    "tap": _TAKEN_UP,
    "bridge": _TAKEN_UP,
    "passt": _TAKEN_UP,
    "vmnet-bridged": _TAKEN_UP,
    "vmnet-host": _TAKEN_UP,
    "vmnet-shared": _TAKEN_UP,
}
"""What to do in place of a backend that is not modelled."""


def _accelerators(wiring: Wiring, options: Sequence[Option]) -> None:
    """``-accel``: without effect here, but for what QEMU refuses (accel/tcg/tcg-all.c)."""
    counted = any(o.flag == "-icount" for o in options)
    for option in options:
        if option.flag != "-accel":
            continue
        if counted and option.last("thread") == "multi":
            wiring.complainer(option)("No MTTCG when icount is enabled")
        wiring.ignored.append(f"-accel {option.last('accel') or ''}".rstrip())


def _filter_list(kind: str) -> str:
    from desim.scenario.qemu_object import filter_list

    return filter_list(kind)


def _help(line: Line) -> str | None:
    """The list that the line asks for, if it does."""
    return help_asked(
        line.options,
        {
            "machine": lambda _: machine_list(),
            "device": _device_list,
            "card": lambda _: _card_list(),
            "netdev": lambda _: _netdev_list(),
            "object": _filter_list,
        },
    )


def help_text(words: Sequence[str]) -> str | None:
    """The list that QEMU's options ask for (``-device help``); None if they start a machine."""
    return _help(read_words(words, []))


def _netdev_list() -> str:
    return "Modelled netdev backend types:\n" + "".join(f"{name}\n" for name in sorted(BACKENDS))


def _card_list() -> str:
    return "Modelled network cards:\n" + "".join(f"{card}\n" for card in CARDS)


def _device_list(driver: str) -> str:
    if not driver:
        return _card_list()
    if driver not in CARDS:
        raise UserError(f"-device {driver},help: {_other_card(driver, '-device e1000,help')}")
    switch = "on/off (default: on)"
    keys = {
        "id": "a name",
        "mac": "six bytes, such as 52:54:00:12:34:56",
        "netdev": "the id of a backend",
    } | dict.fromkeys(sorted(CARD_SWITCHES), switch)
    lines = "".join(f"  {key:<20} {text}\n" for key, text in sorted(keys.items()))
    quiet = ", ".join(sorted(BUS_KEYS))
    return f"{driver} options:\n{lines}without effect on the network: {quiet}\n"


def _globals(wiring: Wiring, options: Sequence[Option]) -> None:
    """``-global e1000.mitigation=off``: a default that the card's own option overrides."""
    explicit = {k for o in options if o.flag == "-device" for k, _ in o.parts}
    for option in options:
        if option.flag != "-global":
            continue
        complain = wiring.complainer(option)
        if option.last("property") is not None:
            driver, key = option.last("driver") or "", option.last("property") or ""
            value = option.last("value") or ""
        else:
            name, value = option.parts[0] if option.parts else ("", "")
            driver, _, key = name.partition(".")
        cannot = _cannot(complain, f"{driver}.{key}={value}")
        if driver not in CARDS:
            wiring.ignored.append(f"-global {driver}.{key}")
        elif key in CARD_SWITCHES:
            switch = read_switch(Option(option.flag, "", [(key, value)]), key, cannot)
            cards = [nic for nic in wiring.nics if nic.model == CARDS[driver]]
            if not cards:
                wiring.ignored.append(f"-global {driver}.{key}")
            for nic in cards:
                if key not in explicit:
                    setattr(nic, CARD_SWITCHES[key], switch)
        else:
            cannot(f"Property '{driver}.{key}' not found{allowed(key, CARD_SWITCHES)}")


def _cannot(complain: Complain, given: str) -> Complain:
    """QEMU says what it cannot apply, and then why."""
    return lambda why: complain(f"can't apply global {given}: {why}")


def _redirections(wiring: Wiring, options: Sequence[Option]) -> None:
    """``-redir`` adds its rule to the first user network there is."""
    forwards = next(map(Forwards, wiring.users.values()), None)
    for option in options:
        if option.flag != "-redir":
            continue
        complain = wiring.complainer(option)
        if forwards is not None:
            forwards.add(option.value, parse_redir, complain, str(option))
        else:
            complain("user mode network stack not in use; it needs a user network")


def _legacy_services(wiring: Wiring, options: Sequence[Option]) -> None:
    """``-tftp`` and ``-bootp``: for user networks that do not say themselves."""
    for option in options:
        if option.flag not in ("-tftp", "-bootp"):
            continue
        complain = wiring.complainer(option)
        if not wiring.users:
            complain("user mode network stack not in use; it needs a user network")
        for user in wiring.users.values():
            if option.flag == "-bootp":
                if len(option.value.encode()) > BOOTFILE_MAX:
                    complain(f"the name cannot exceed {BOOTFILE_MAX} bytes")
                elif user.bootfile is None:
                    user.bootfile = option.value
            elif user.tftp is None:
                read_tftp(user, option.value, wiring.open_folder, complain)


def _note_spellings(wiring: Wiring, options: Sequence[Option]) -> None:
    """Note what not every QEMU has, with today's spelling of what is gone."""
    found = wiring.spellings
    where = "-net nic -net user,{}" if wiring.default_net else "{} in its -netdev user (or -net)"
    for option in options:
        today = _TODAY.get(option.flag)
        if today is not None:
            instead = "today's spelling is " + where.format(today(option.value))
            found.gone.append(Spelling(str(option), "invalid option", instead))
        vlan = option.last("vlan") if option.flag == "-net" else None
        if vlan is not None:
            instead = f"today leave it out, or write -netdev hubport,id=ID,hubid={vlan},netdev=ID"
            found.gone.append(Spelling(str(option), "Invalid parameter 'vlan'", instead))
        for key in NEWER_KEYS:
            if option.flag in ("-netdev", "-net", "-nic") and option.last(key) is not None:
                instead = "it came after QEMU 2.8; ask for slirp 4.7"
                found.newer.append(Spelling(str(option), f"Invalid parameter '{key}'", instead))


def hostfwd_of_redir(rule: str) -> str:
    """A rule of ``-redir`` in today's spelling; nonsense stays what it is."""
    proto, host_port, guest = (*rule.split(":", 2), "", "")[:3]
    return f"hostfwd={proto}::{host_port}-{guest}"


_TODAY: dict[str, Callable[[str], str]] = {
    "-redir": hostfwd_of_redir,
    "-tftp": lambda folder: f"tftp={folder}",
    "-bootp": lambda name: f"bootfile={name}",
}
"""Options that are gone, with what stands for them today."""

_READERS: dict[str, Callable[[Wiring, Option], None]] = {
    "-netdev": _netdev,
    "-nic": _nic,
    "-net": _net,
    "-object": _object,
    "-device": _device,
}
