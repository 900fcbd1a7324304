"""What a line of QEMU's options means: wiring, addresses, forwards, spellings. Nothing is run.

Everything here is read off the line and what it came to; nothing stands here that
``desim.scenario`` does not know.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from textwrap import wrap

from desim.config import MachineConfig
from desim.devices import CARD_SWITCHES, HostFwd, Nic, UserNet
from desim.filters import NETDEV
from desim.guest.net.ipv6.addrconf import eui64
from desim.report.text import command_line
from desim.scenario.qemu_machine import Board, read_board
from desim.scenario.qemu_options import IGNORED
from desim.scenario.qemu_today import todays_words
from desim.scenario.qemu_versions import lifetimes
from desim.scenario.qemu_words import Line, Option, read_words
from desim.topology import path, socket_text
from desim.wire.addresses import IP_ANY, ip, ip_text, mac_text, prefix_from_mask

WIDTH = 80
LABEL = 14
SLIRP = {"4.7": "libslirp 4.7, as in QEMU 7.2", "2.8": "the slirp inside QEMU 2.8"}
LEASES = 16
"""The addresses that slirp's DHCP server gives out (``NB_BOOTP_CLIENTS``)."""

_SPEED = frozenset(
    ["-accel", "-cpu", "-enable-kvm", "-machine", "-no-kvm", "-smp", "-rtc", "-overcommit"]
)


def explain(config: MachineConfig, width: int = WIDTH) -> str:
    """The explanation of ``config.qemu``, in lines of at most ``width`` where lengths allow."""
    line = read_words(shlex.split(config.qemu), [])
    board = _board(line)
    sections = [
        _section("wiring", _wiring(config, width)),
        _section("card", _card(config.nic, board)),
        _section("user network", _network(config)),
        _section("sockets of the host", _sockets(config)),
        _section("forwards, in the order in which QEMU sets them up", _forwards(config.user)),
        _section("filters, in the order in which they are made", _filters(config)),
        _section("which QEMU takes it", _spellings(line.options)),
        _section("today's spelling", _today(line.options, board, width)),
        _section("no effect here", _ignored(line, config.notes, width)),
        _section("worth knowing", _remarks(config.notes, width)),
        ""
        if config.guest or config.host
        else _section("the same as a scenario file", _scenario(config, line.options, board)),
    ]
    return "\n\n".join(section for section in sections if section)


def _board(line: Line) -> Board:
    machines = [option for option in line.options if option.flag in ("-M", "-machine")]
    return read_board(line.program, machines, [])


def _section(title: str, lines: Iterator[str]) -> str:
    body = [f"  {line}".rstrip() for line in lines]
    return "\n".join([title, *body]) if body else ""


def _labelled(label: str, text: str) -> str:
    return f"{label:<{LABEL - 1}} {text}"


def _wiring(config: MachineConfig, width: int) -> Iterator[str]:
    if config.nic is None and config.user is None and not config.sockets:
        yield "no network at all: neither card nor backend"
        return
    yield from wrap(" -- ".join(path(config)), width - 2, break_on_hyphens=False)
    ports = config.hub_ports or []
    usual = [config.nic and config.nic.name, config.user and config.user.id]
    if ports and sorted(str(port.client) for port in ports) != sorted(map(str, usual)):
        for port in ports:
            yield f"hub 0, port {port.name}: {port.client or 'nobody'}"
    elif config.hub:
        yield "card and user network meet in a hub; -netdev with -device needs none"


def _card(nic: Nic | None, board: Board) -> Iterator[str]:
    if nic is None:
        return
    own = f", the card of {board.name}" if board.card == nic.model else ""
    yield _labelled("model", f"{nic.model}{own}")
    yield _labelled("MAC", mac_text(nic.mac))
    if nic.id is not None:
        yield _labelled("id", nic.id)
    for key, name in CARD_SWITCHES.items():
        if not getattr(nic, name):
            why = f" ({board.name})" if key in board.off else ""
            yield _labelled(key, f"off{why}")


def _network(config: MachineConfig) -> Iterator[str]:
    user = config.user
    if user is None:
        return
    yield _labelled("id", user.id)
    yield _labelled("slirp", SLIRP[user.version])
    if user.ipv4:
        yield _labelled("network", f"{ip_text(user.net)}/{prefix_from_mask(user.mask)}")
        yield _labelled("gateway", f"{ip_text(user.host)}, which is the host for the guest")
        yield _labelled("name server", ip_text(user.dns))
        last = (int.from_bytes(user.dhcpstart, "big") + LEASES - 1).to_bytes(4, "big")
        leases = f"{ip_text(user.dhcpstart)} to {ip_text(last)}"
        yield _labelled("DHCP", f"{leases}; the guest gets the first")
    if user.ipv6:
        yield _labelled("IPv6", f"{ip_text(user.ipv6_prefix)}/{user.ipv6_prefixlen}")
        yield _labelled("IPv6 gateway", ip_text(user.ipv6_host))
        yield _labelled("IPv6 DNS", ip_text(user.ipv6_dns))
        yield _labelled("guest's IPv6", _own_ipv6(config, user))
    yield from _services(user)


def _sockets(config: MachineConfig) -> Iterator[str]:
    for netdev in config.sockets:
        yield _labelled(netdev.id, socket_text(netdev))
    if config.sockets:
        yield "the other end is another QEMU: [machine.NAME] in a scenario file"


def _own_ipv6(config: MachineConfig, user: UserNet) -> str:
    if config.nic is None or not config.guest_ipv6:
        return "none: the guest has no card" if config.nic is None else "none: it is switched off"
    if user.ipv6_prefixlen != 64:
        return "link-local only: it makes addresses of prefixes of 64 bits"
    return f"{ip_text(user.ipv6_prefix[:8] + eui64(config.nic.mac))}, made from its MAC"


def _services(user: UserNet) -> Iterator[str]:
    if user.restrict:
        yield _labelled("restrict", "on: nothing leaves, but for forwards")
    names = {
        "hostname": user.hostname,
        "domain": user.domainname,
        "search list": ", ".join(user.dnssearch),
        "TFTP server": user.tftp_server_name,
        "boot file": user.bootfile,
    }
    for label, text in names.items():
        if text:
            yield _labelled(label, text)
    if user.tftp is not None:
        files = "1 file" if len(user.tftp) == 1 else f"{len(user.tftp)} files"
        yield _labelled("TFTP", f"at the gateway's port 69, {files}")


def _forwards(user: UserNet | None) -> Iterator[str]:
    if user is None:
        return
    # net_init_slirp_configs puts each rule in front of the others, those of guestfwd last.
    for guest_rule in reversed(user.guestfwd):
        where = f"tcp {ip_text(guest_rule.server)}:{guest_rule.port}"
        if guest_rule.command is not None:
            to = f"the host's program '{guest_rule.command}'"
        elif guest_rule.chardev is not None:
            to = (
                f"the character device {guest_rule.chardev.kind} {guest_rule.chardev.path}".rstrip()
            )
        else:
            to = "nowhere"
        yield f"{where} of the guest -> {to}"
    for rule in reversed(user.hostfwd):
        yield f"{_forward(user, rule)}    {_of(rule)}".rstrip()


def _forward(user: UserNet, rule: HostFwd) -> str:
    port = "any free port" if rule.host_port == 0 else str(rule.host_port)
    host = f"{ip_text(rule.host_addr)}:{port}"
    guest = user.dhcpstart if rule.guest_addr == IP_ANY else rule.guest_addr
    return f"{rule.proto} {host} of the host -> {ip_text(guest)}:{rule.guest_port}"


def _of(rule: HostFwd) -> str:
    flag = "-redir " if rule.option.startswith("-redir") else "hostfwd="
    return f"{flag}{rule.written}" if rule.written else ""


def _filters(config: MachineConfig) -> Iterator[str]:
    where = {
        "user": "the user network",
        "user_port": "the user network's hub port",
        "nic_port": "the card's hub port",
    }
    what = {"all": "both ways", "rx": "what it sends", "tx": "what it receives"}
    for one in config.filters:
        off = "" if one.on else ", switched off"
        kind = "filter-" + type(one).__name__.removesuffix("Filter").lower()
        end = where.get(one.netdev, one.netdev.removeprefix(NETDEV))
        yield f"{one.id}: {kind} at {end}, {what[one.queue]}{off}"


def _spellings(options: list[Option]) -> Iterator[str]:
    told: dict[str, str] = {}
    for option in options:
        for one in lifetimes(option):
            told.setdefault(one.written, str(one))
    if not told:
        yield "every QEMU from 2.8 on"
    for written, lifetime in told.items():
        yield f"{written:<23} {lifetime}"


def _today(options: list[Option], board: Board, width: int) -> Iterator[str]:
    words = todays_words(options, board)
    yield from command_line("qemu-system-x86_64", shlex.join(words), width - 2)


def _ignored(line: Line, notes: list[str], width: int) -> Iterator[str]:
    ignored = list(line.ignored)
    for note in notes:
        if note.startswith(IGNORED):
            ignored = note.removeprefix(IGNORED).split(", ")
    speed = [word for word in ignored if word.partition(" ")[0] in _SPEED]
    rest = [word for word in ignored if word not in speed]
    if speed:
        why = "how long the guest's work takes is a matter of the cost profile (--costs)"
        yield from _hanging(f"{', '.join(dict.fromkeys(speed))}: {why}", width)
    if rest:
        yield from _hanging(f"{', '.join(dict.fromkeys(rest))}: no part of the network", width)


def _remarks(notes: list[str], width: int) -> Iterator[str]:
    for note in notes:
        if not note.startswith(IGNORED):
            yield from _hanging(note, width)


def _hanging(text: str, width: int) -> list[str]:
    return wrap(text, width - 2, subsequent_indent="  ", break_on_hyphens=False)


def _scenario(config: MachineConfig, options: list[Option], board: Board) -> Iterator[str]:
    words = todays_words(options, board)
    lines = [shlex.join(pair) for pair in zip(words[::2], words[1::2], strict=True)]
    yield 'description = "What this experiment shows"'
    if len(lines) == 1:
        yield f"qemu = {_toml(lines[0])}"
    else:
        yield "qemu = ["
        yield from (f"    {_toml(line)}," for line in lines)
        yield "]"
    if config.user is not None and config.user.version == "2.8":
        yield 'slirp = "2.8"'
    yield from _commands(config)


def _commands(config: MachineConfig) -> Iterator[str]:
    """Something to begin with."""
    if config.nic is None or config.user is None:
        return
    forwards = (rule for rule in config.user.hostfwd if rule.proto == "tcp" and rule.host_port)
    rule = next(forwards, None)
    if rule is None:
        yield f'guest.run = [{{ command = "ping -c 1 {ip_text(config.user.host)}" }}]'
        return
    to = "localhost" if rule.host_addr in (IP_ANY, ip("127.0.0.1")) else ip_text(rule.host_addr)
    yield f'guest.run = [{{ command = "nc -l -p {rule.guest_port} > received.txt" }}]'
    yield f'host.run = [{{ command = "echo hello | nc -N {to} {rule.host_port}" }}]'


def _toml(text: str) -> str:
    """A string of TOML: a literal one where it can be."""
    if "'" not in text and text.isprintable():
        return f"'{text}'" if '"' in text or "\\" in text else f'"{text}"'
    escaped = "".join(
        f"\\{c}" if c in '"\\' else c if c.isprintable() else f"\\U{ord(c):08x}" for c in text
    )
    return f'"{escaped}"'
