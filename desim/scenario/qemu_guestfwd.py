"""``guestfwd=`` and the ``-chardev`` behind it (net/slirp.c, slirp_guestfwd; chardev/char.c).

=========================================  =====================================
``guestfwd=tcp:10.0.2.100:1234-null``         swallows what the guest sends
``guestfwd=tcp:10.0.2.100:1234-file:NAME``    writes it to DIR/host/NAME (``--out DIR``)
``guestfwd=tcp:10.0.2.100:1234-chardev:ID``   a device of ``-chardev null|file,id=ID``, which may
                                           write a ``logfile=NAME``, too
``guestfwd=tcp:10.0.2.100:1234-cmd:PROGRAM``  starts the program for each connection
=========================================  =====================================

An address left out is the network's fourth, 10.0.2.4. A command is a simulated program
of the host with its words; libslirp starts it without a shell.

Not modelled: character devices of other kinds. They are refused where a rule names one;
a ``-chardev`` that no rule names has no effect on the network, whatever its kind.
"""

from __future__ import annotations

import re

from desim.devices import Chardev, GuestFwd, UserNet
from desim.errors import nearest
from desim.scenario.addresses import inet_aton, show_ipv4
from desim.scenario.qemu_words import Chardevs, Option, word_set
from desim.userland.files import normalise
from desim.userland.programs import HOST_PROGRAMS
from desim.userland.shell import ShellError, parse_program

OTHER_KINDS = word_set(
    """braille console dbus mux msmouse parallel parport pipe pty qemu-vdagent ringbuf serial socket
    spiceport spicevmc stdio tcp telnet testdev tty udp unix vc wctablet websocket"""
)
_KEYS = word_set("backend id path append logfile logappend")
_PORT = "[+]?[0-9]{1,9}"


def _open(chardevs: Chardevs, spec: str, port: int) -> Chardev:
    """The device that ``spec`` names in a rule for ``port``; ``ValueError`` says why not."""
    label = f"guestfwd.tcp.{port}"
    refusal = f"Could not open guest forwarding device '{label}'"
    name = spec.removeprefix("chardev:")
    if name != spec:
        option = chardevs.options.get(name)
        if option is None:
            hint = nearest(name, chardevs.options)
            raise ValueError(f"{refusal} (there is no -chardev with id={name}{hint})")
        if name in chardevs.used:
            raise ValueError(f"Device '{name}' is in use")
        chardevs.used.append(name)
        return _device(option)
    if label in chardevs.used:
        raise ValueError(f"{refusal} (another rule has the same port; use -chardev and its id)")
    chardevs.used.append(label)
    kind, _, path = spec.partition(":")
    try:
        return _of_kind(kind, path, append=False)
    except ValueError as error:
        raise ValueError(f"{refusal} ({error})") from None


def _device(option: Option) -> Chardev:
    for key, _ in option.parts:
        if key not in _KEYS:
            known = ", ".join(sorted(_KEYS - {"backend"}))
            raise ValueError(f"{option}: '{key}' is not modelled; allowed are {known}")
    kind, append = option.last("backend"), option.last("append")
    logfile, logappend = option.last("logfile"), option.last("logappend")
    if kind is None:
        raise ValueError(f'{option}: chardev: "{option.last("id")}" missing backend')
    for key, value in (("append", append), ("logappend", logappend)):
        if value not in (None, "on", "off"):
            raise ValueError(f"{option}: Parameter '{key}' expects 'on' or 'off' (it is '{value}')")
    if logappend is not None and not logfile:
        raise ValueError(f"{option}: logappend= has no effect without logfile=; leave it out")
    if kind == "file" and not option.last("path"):
        raise ValueError(f"{option}: chardev: file: no filename given")
    if kind == "null" and (option.last("path") or append):
        raise ValueError(f"{option}: a null device has neither path nor append")
    try:
        device = _of_kind(kind, option.last("path") or "", append=append == "on")
        if logfile:
            device.logfile, device.logappend = normalise(logfile), logappend == "on"
        return device
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def _of_kind(kind: str, path: str, *, append: bool) -> Chardev:
    if kind == "null":
        return Chardev(kind="null")
    if kind == "file":
        return Chardev(kind="file", path=normalise(path), append=append)
    if kind in OTHER_KINDS:
        raise ValueError(f"the character device '{kind}' is not modelled; modelled are null, file")
    hint = nearest(kind, ("null", "file", "chardev", "cmd"))
    raise ValueError(f"'{kind}' is not a valid char driver name{hint}")


def forward_guest(user: UserNet, rule: str, chardevs: Chardevs) -> None:
    """Add a rule to ``user``; ``ValueError`` with QEMU's text and what is wrong."""
    server, port, target = _cut(user, rule)
    if target.startswith("cmd:"):
        made = GuestFwd(server=server, port=port, command=_command(target.removeprefix("cmd:")))
    else:
        made = GuestFwd(server=server, port=port, chardev=_open(chardevs, target, port))
    _check(user, rule, made)
    user.guestfwd.append(made)


def _cut(user: UserNet, rule: str) -> tuple[bytes, int, str]:
    """Address, port and what stands behind the ``-``."""
    invalid = f"Invalid guest forwarding rule '{rule}'"
    proto, first, rest = rule.partition(":")
    address, second, rest = rest.partition(":")
    port, dash, target = rest.partition("-")
    if not (first and second and dash):
        raise ValueError(f"{invalid} (expected tcp:SERVER:PORT-DEV or tcp:SERVER:PORT-cmd:COMMAND)")
    if proto not in ("tcp", ""):
        raise ValueError(f"{invalid} (only tcp is forwarded)")
    if not re.fullmatch(_PORT, port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{invalid} (the port is a number from 1 to 65535)")
    # slirp_add_guestfwd fills in the address that was left out, and so does 0.0.0.0.
    server = inet_aton(address or "0.0.0.0")
    if server is None:
        raise ValueError(f"{invalid} ('{address}' is no IPv4 address)")
    if not any(server):
        fourth = zip(user.net, bytes((0, 0, 2, 4)), user.mask, strict=True)
        server = bytes(n | h & ~m & 0xFF for n, h, m in fourth)
    return server, int(port), target


def _command(line: str) -> str:
    """``line``, if it is one program of the host that is started without a shell."""
    try:
        parse_program(line, HOST_PROGRAMS)
    except ShellError as error:
        raise ValueError(f"cmd:{line}: {error}") from None
    return line


def _check(user: UserNet, rule: str, made: GuestFwd) -> None:
    """Whether the address is free (``check_guestfwd``)."""
    refusal = f"Conflicting/invalid host:port in guest forwarding rule '{rule}'"
    shown = show_ipv4(made.server)
    if bytes(s & m for s, m in zip(made.server, user.mask, strict=True)) != user.net:
        raise ValueError(f"{refusal} ({shown} is not in {show_ipv4(user.net)})")
    if made.server in (user.host, user.dns):
        role = "host" if made.server == user.host else "DNS"
        raise ValueError(f"{refusal} ({shown} is the {role} address)")
    if any((other.server, other.port) == (made.server, made.port) for other in user.guestfwd):
        raise ValueError(f"{refusal} (another rule has {shown}:{made.port})")
