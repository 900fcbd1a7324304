"""Which programs of a scenario talk to each other, and what each of them has to say.

Told from the commands alone: ``nc`` that listens on a port, ``nc`` that connects to it (through
``hostfwd`` or to the host's address), and pipelines whose output is known before the run:
``seq``, ``echo``, ``cat``, ``head -c`` and input files. Where it cannot be told (a server for
several clients, a program that makes up what it sends), there is no conversation, and no law
says anything of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from desim.config import InputFile, MachineConfig, RunCommand, Side
from desim.data import NamedTuple
from desim.laws.judged import once
from desim.laws.law import Run
from desim.userland.command import Command
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.programs.getopt import GetoptError, getopt
from desim.userland.programs.nc_openbsd import SPEC
from desim.userland.shell import ShellError, parse
from desim.wire.addresses import ip_text

LOCAL = ("localhost", "127.0.0.1")
SHORT_LINE = 1 << 20
"""The most that a pipeline's output is worked out to; what is longer is not told."""


class Talker(NamedTuple):
    """One ``nc``."""

    command: RunCommand
    listens: bool
    udp: bool
    peer: str
    """The address that it connects to; "" if it listens."""
    port: int
    limited: bool
    """Whether it may end by itself before the other end has said all (``-w``, ``-k``)."""
    closes: bool
    """Whether it closes its half when it has said all."""
    patient: bool
    """Whether it goes on saying what it has when the other end has closed: OpenBSD's client."""
    says: bytes | None
    """What it sends; None: not known."""
    keeps: str | None
    """The file that what it hears goes to, by its name in the results; None: none does."""


class Conversation(NamedTuple):
    """Two ``nc`` that talk, and whom else to."""

    server: Talker
    client: Talker
    ports: frozenset[int]
    """All ports that its frames may have on the wire, apart from the client's own."""

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.client.command.terminal} to {self.server.command.terminal}"

    def directions(self) -> Iterator[tuple[Talker, Talker]]:
        """Who says something that is known, and who keeps it."""
        for says, keeps in ((self.client, self.server), (self.server, self.client)):
            if says.says is not None and keeps.keeps is not None:
                yield says, keeps


def conversations_of(run: Run) -> list[Conversation]:
    """Those of a run's scenario."""
    return once(run, _conversations_of)


def _conversations_of(run: Run) -> list[Conversation]:
    return conversations(run.config)


def conversations(config: MachineConfig) -> list[Conversation]:
    """Those of a scenario that can be told."""
    talkers = [
        talker
        for command in (*config.guest, *config.host)
        if (talker := _talker(config, command)) is not None
    ]
    found = []
    for server in talkers:
        if not server.listens:
            continue
        ways = list(_ways(config, server))
        clients = [one for one in talkers if not one.listens and _leads(config, one, server, ways)]
        rivals = [
            one
            for one in talkers
            if one.listens
            and one is not server
            and (one.command.side, one.udp, one.port)
            == (server.command.side, server.udp, server.port)
        ]
        ports = frozenset((server.port, *ways))
        if len(clients) == 1 and not rivals:
            known = server.command, clients[0].command
            others = (one for one in (*config.guest, *config.host) if one not in known)
            if not any(_names(one, ports) for one in others):
                found.append(Conversation(server, clients[0], ports))
    return found


def _names(command: RunCommand, ports: frozenset[int]) -> bool:
    """Whether something else, of which nobody knows what it says, may use one of the ports."""
    return any(str(port) in command.command.split() for port in ports)


def _ways(config: MachineConfig, server: Talker) -> Iterator[int]:
    """The host's ports that lead to a server of the guest."""
    if server.command.side == "guest" and config.user is not None:
        for rule in config.user.hostfwd:
            if rule.guest_port == server.port and (rule.proto == "udp") == server.udp:
                yield rule.host_port


def _leads(config: MachineConfig, client: Talker, server: Talker, ways: list[int]) -> bool:
    """Whether ``client`` connects to ``server``."""
    if client.udp != server.udp:
        return False
    if client.command.side == "host":
        if client.peer not in LOCAL:
            return False
        return client.port in ways if server.command.side == "guest" else client.port == server.port
    if server.command.side == "guest" or config.user is None:
        return client.peer in LOCAL and client.port == server.port
    return client.peer == ip_text(config.user.host) and client.port == server.port


def _talker(config: MachineConfig, command: RunCommand) -> Talker | None:
    table = GUEST_PROGRAMS if command.side == "guest" else HOST_PROGRAMS
    try:
        line = parse(command.command, table)
    except ShellError:
        return None
    last = line[-1]
    busybox = last.program == table["busybox nc"]
    if last.inner or last.name != "nc":
        return None
    try:
        options, operands = getopt(last.argv, SPEC)
    except GetoptError:
        return None
    flags = [letter for letter, _ in options]
    values = dict(options)
    listens = "l" in flags
    words = [*operands] if listens and operands else [*operands[1:]]
    port = values.get("p", words[-1] if words else "")
    if listens and "p" in values:
        port = values["p"]
    elif not listens:
        port = operands[-1] if len(operands) == 2 else ""
    if not port.isdigit():
        return None
    return Talker(
        command=command,
        listens=listens,
        udp="u" in flags,
        peer="" if listens else operands[0],
        port=int(port),
        limited="w" in flags or "k" in flags or "z" in flags,
        closes="N" in flags or "q" in flags or busybox,
        patient=not listens and not busybox,
        says=_said(line, config.guest_files if command.side == "guest" else config.host_files),
        keeps=_kept(last, command.side),
    )


def _kept(last: Command, side: Side) -> str | None:
    for fd, kind, name in last.redirections:
        if fd == 1 and kind == ">" and not name.startswith("/"):
            return f"{side}/{name}"
    return None


def _said(line: list[Command], files: Mapping[str, InputFile]) -> bytes | None:
    """What the last of a pipeline reads; None: not known."""
    text: bytes | None = b""
    for place, command in enumerate(line):
        for fd, kind, name in command.redirections:
            if fd == 0 and kind == "<":
                text = b"" if name == "/dev/null" else None
                if name in files:
                    text = files[name].data
        if place == len(line) - 1:
            return text
        text = _made(command, text)
        if text is None or any(fd == 1 for fd, _, _ in command.redirections):
            return None
    return text


def _made(command: Command, given: bytes | None) -> bytes | None:
    """What a program of a pipeline writes, reading ``given``; None: not known."""
    words = command.argv[1:]
    if command.name == "echo" and not any(word.startswith("-") or "\\" in word for word in words):
        return (" ".join(words) + "\n").encode()
    if command.name == "seq" and all(word.isdigit() for word in words) and len(words) in (1, 2):
        first, last = (1, *map(int, words)) if len(words) == 1 else map(int, words)
        if (last - first) * 4 > SHORT_LINE:
            return None
        return "".join([f"{number}\n" for number in range(first, last + 1)]).encode()
    if command.name == "head" and len(words) == 2 and words[0] == "-c" and words[1].isdigit():
        return None if given is None else given[: int(words[1])]
    if command.name == "cat" and not words:
        return given
    return None
