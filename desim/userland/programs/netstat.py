"""``netstat`` of net-tools 2.10: the tables of TCP and UDP sockets.

Options -a, -l (which sockets), -t, -u (which protocols), -n (numbers), -p (owners).
Without -t and -u the table of UNIX sockets follows; nobody here has any.

Not modelled: every other table (refused when a line is read), and /etc/services: a
port is a number also without -n.
"""

from __future__ import annotations

from desim.ports import Endpoint
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.getopt import GetoptError, getopt, unmodelled
from desim.userland.programs.output import err, put
from desim.userland.uapi import SocketRow
from desim.wire.addresses import ip_text

SPEC = "46AaCceFgiIlMNnoprstUuVvWwxZ"
MODELLED = "alnptu"

ADDRESS_WIDTH = 23
OWNER_WIDTH = 20
"""PROGNAME_WIDTH: number, slash and name share it with a closing NUL."""

HEAD = "Proto Recv-Q Send-Q Local Address           Foreign Address         State      "
OWNER_HEAD = " PID/Program name    "
UNIX_HEAD = "Proto RefCnt Flags       Type       State         I-Node"
UNIX_TAIL = "   Path\n"


def check(argv: list[str]) -> str | None:
    """Refuse the other tables."""
    return unmodelled(argv, SPEC, MODELLED)


def netstat(argv: list[str]) -> Program:
    """Print the tables."""
    try:
        options, _ = getopt(argv, SPEC)
    except GetoptError as error:
        yield from err(f"netstat: {error}\n")
        return 3
    flags = {letter for letter, _ in options}
    rows = yield from sys.sockets_table()
    protocols = [name for name in ("tcp", "udp") if name[0] in flags] or ["tcp", "udp"]
    which = (
        "servers and established"
        if "a" in flags
        else "only servers"
        if "l" in flags
        else "w/o servers"
    )
    owners = "p" in flags
    lines = [
        f"Active Internet connections ({which})\n",
        HEAD + (OWNER_HEAD if owners else "") + "\n",
    ]
    for protocol in protocols:
        for row in rows:
            if row.proto.startswith(protocol) and _wanted(row, flags):
                line = yield from _line(row, "n" in flags)
                lines.append(line + (_owner(row) if owners else "") + "\n")
    if not flags & {"t", "u"}:
        lines.append(f"Active UNIX domain sockets ({which})\n")
        lines.append(UNIX_HEAD + ("   PID/Program name   " if owners else "") + UNIX_TAIL)
    yield from put("".join(lines))
    return 0


def _wanted(row: SocketRow, flags: set[str]) -> bool:
    if "a" in flags:
        return True
    waits = row.remote is None
    return waits if "l" in flags else not waits


def _line(row: SocketRow, numeric: bool) -> Part[str]:
    local = yield from _endpoint(row.local, numeric)
    if row.remote is None:
        remote = ":::*" if row.proto.endswith("6") else "0.0.0.0:*"
    else:
        remote = yield from _endpoint(row.remote, numeric)
    return (
        f"{row.proto:<4}  {row.recv_q:6d} {row.send_q:6d} {local:<{ADDRESS_WIDTH}} "
        f"{remote:<{ADDRESS_WIDTH}} {row.state:<11}"
    )


def _endpoint(endpoint: Endpoint, numeric: bool) -> Part[str]:
    address, port = endpoint
    name = None if numeric else (yield from sys.name_of(address))
    tail = f":{port}"
    return (name or ip_text(address))[: ADDRESS_WIDTH - len(tail)] + tail


def _owner(row: SocketRow) -> str:
    text = f"{row.owners[0].pid}/{row.owners[0].name}" if row.owners else "-"
    return f" {text[: OWNER_WIDTH - 1]:<{OWNER_WIDTH}}"
