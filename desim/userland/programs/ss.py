"""``ss`` of iproute2 6.1: the TCP and UDP sockets, as netlink's sock_diag tells of them.

Options -t, -u (which protocols: one of them is required), -4, -6 (which addresses), -a, -l
(which states), -n (numbers: required), -p (processes, on the guest only), -H (no header), and
their long forms. As the real one does, it makes columns as wide as what is in them, and spreads
them over a terminal.

Not modelled, and refused when a line is read: all other kinds of sockets, what -i, -o, -m, -e and
-s tell, filters, and /etc/services, which names ports without -n.
"""

from __future__ import annotations

from desim.data import NamedTuple
from desim.ports import Endpoint
from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.programs import coreutils
from desim.userland.programs.getopt import GetoptError
from desim.userland.programs.output import STDOUT, TERMINAL_COLUMNS, put
from desim.userland.uapi import TASK_COMM_LEN, SocketRow
from desim.wire.addresses import IP6_ANY, ip_text

SPEC = "dhaletuwxnro460spTbEf:mMiA:D:F:vVzZN:KHSO"
MODELLED = "tualnp46H"
LONG = {
    "tcp": "t",
    "udp": "u",
    "all": "a",
    "listening": "l",
    "numeric": "n",
    "processes": "p",
    "ipv4": "4",
    "ipv6": "6",
    "no-header": "H",
}

STATES = {
    "ESTABLISHED": "ESTAB",
    "SYN_SENT": "SYN-SENT",
    "SYN_RECV": "SYN-RECV",
    "FIN_WAIT1": "FIN-WAIT-1",
    "FIN_WAIT2": "FIN-WAIT-2",
    "TIME_WAIT": "TIME-WAIT",
    "CLOSE": "UNCONN",
    "": "UNCONN",
    "CLOSE_WAIT": "CLOSE-WAIT",
    "LAST_ACK": "LAST-ACK",
    "LISTEN": "LISTEN",
    "CLOSING": "CLOSING",
}
"""What it calls netstat's states; a UDP socket without a peer has none there."""

ALL = frozenset(STATES.values())
WAITING = frozenset(("LISTEN", "UNCONN"))
CONNECTED = ALL - WAITING - {"TIME-WAIT", "SYN-RECV"}
"""SS_CONN: what it shows of TCP unless told otherwise."""


class Column(NamedTuple):
    """One of its fixed columns."""

    header: str
    delimiter: str = " "
    """In front of it, unless it begins the line."""
    right: bool = False
    """Whether its text stands at its right edge."""


NETID, STATE = Column("Netid", ""), Column("State")
COLUMNS = (
    NETID,
    STATE,
    Column("Recv-Q"),
    Column("Send-Q"),
    Column("Local Address:", right=True),
    Column("Port", ""),
    Column("Peer Address:", right=True),
    Column("Port", ""),
    Column("Process", ""),
)


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    refused = coreutils.refused(argv, SPEC, MODELLED, LONG)
    if refused:
        return refused
    try:
        options, operands = coreutils.options(argv, SPEC, LONG)
    except GetoptError as error:
        return f"ss: {error}"
    letters = {letter for letter, _ in options}
    if operands:
        return f"ss: filters ({operands[0]!r}) are not modelled; -a, -l, -4 and -6 choose sockets"
    if not letters & {"t", "u"}:
        return "ss: without -t and -u it shows UNIX and other sockets, too, which are not modelled"
    if "n" not in letters:
        return "ss: without -n ports have names of /etc/services, which is not modelled; add -n"
    return None


def check_host(argv: list[str]) -> str | None:
    """The same for the host, where QEMU's descriptors have no numbers."""
    refused = check(argv)
    if refused is None and ("p", "") in coreutils.options(argv, SPEC, LONG)[0]:
        return (
            "ss: -p is not modelled on the host, where QEMU's descriptors have no numbers; "
            "netstat -natp names owners"
        )
    return refused


def ss(argv: list[str]) -> Program:
    """Print the sockets."""
    options, _ = coreutils.options(argv, SPEC, LONG)
    letters = [letter for letter, _ in options]
    states = _states(letters)
    hidden = set()
    if not {"t", "u"} <= set(letters):
        hidden.add(NETID)
    if len(states) == 1:
        hidden.add(STATE)
    table = yield from sys.sockets_table()
    lines = [] if "H" in letters else [[column.header for column in COLUMNS]]
    lines += [
        _cells(row, processes="p" in letters)
        for proto in _protocols(letters)
        for row in table
        if row.proto == proto and STATES[row.state] in states
    ]
    terminal = yield from sys.isatty(STDOUT)
    shown = [at for at, column in enumerate(COLUMNS) if column not in hidden]
    if lines:
        text = render(
            [COLUMNS[at] for at in shown],
            [[line[at] for at in shown] for line in lines],
            TERMINAL_COLUMNS if terminal else None,
        )
        yield from put(text)
    return 0


def _states(letters: list[str]) -> frozenset[str]:
    """Of -a and -l the last one counts; without them TCP has other states than UDP."""
    chosen = [letter for letter in letters if letter in "al"]
    if chosen:
        return ALL if chosen[-1] == "a" else WAITING
    return CONNECTED if {"t", "4", "6"} & set(letters) else frozenset(("ESTAB",))


def _protocols(letters: list[str]) -> list[str]:
    """As netstat calls them, in the order in which ss asks for them."""
    # Of -4 and -6 together the last one alone has its sockets dumped (preferred_family).
    chosen = [letter for letter in letters if letter in "46"]
    families = {"4": ("",), "6": ("6",)}[chosen[-1]] if chosen else ("", "6")
    return [name + family for name in ("udp", "tcp") if name[0] in letters for family in families]


def _cells(row: SocketRow, *, processes: bool) -> list[str]:
    """What stands in the columns for one socket."""
    send_q = row.send_q if row.backlog is None else row.backlog
    alone = row.local[0] != IP6_ANY
    nowhere = (bytes(len(row.local[0])), 0)
    return [
        row.proto.removesuffix("6"),
        STATES[row.state],
        f"{row.recv_q:<6}",
        f"{send_q:<6}",
        *_endpoint(row.local, alone, row.device),
        *_endpoint(row.remote or nowhere, alone),
        _users(row) if processes else "",
    ]


def _endpoint(endpoint: Endpoint, alone: bool, device: str = "") -> tuple[str, str]:
    """Address and port. ``alone``: the socket has no part in IPv4, too (IPV6_V6ONLY).

    No program here sets that option; ``bind`` sets it for every address but the wildcard.
    """
    address, port = endpoint
    text = ip_text(address)
    if len(address) == 16:
        text = f"[{text}]" if alone or address != IP6_ANY else "*"
    return f"{text}{'%' if device else ''}{device}:", str(port or "*")


def _users(row: SocketRow) -> str:
    """Who has it: the one that was found last in /proc comes first."""
    users = ",".join(
        f'("{owner.name[: TASK_COMM_LEN - 1]}",pid={owner.pid},fd={owner.fd})'
        for owner in reversed(row.owners)
    )
    return f" users:({users})" if users else ""


def render(columns: list[Column], lines: list[list[str]], screen: int | None) -> str:
    """``render``: the text of ``lines``; ``screen`` is the width of the terminal, if it is one."""
    # The last field of the last socket has not been measured yet when the widths are taken.
    alone = lines[-1] == [column.header for column in columns]
    widths = []
    for at, column in enumerate(columns):
        cells = lines if alone or at < len(columns) - 1 else lines[:-1]
        width = max((len(line[at]) for line in cells), default=0)
        if width and at:
            width += len(column.delimiter)
        widths.append(width if screen is None else min(width, screen))
    if screen is not None:
        spread(widths, screen)
    text = ""
    for line in lines:
        for at, (column, cell) in enumerate(zip(columns, line, strict=True)):
            delimiter = column.delimiter if at else ""
            room = widths[at] - len(delimiter)
            text += delimiter + (cell.rjust(room) if column.right else cell.ljust(room))
        text += "\n"
    return text


def spread(widths: list[int], screen: int) -> None:
    """``render_calc_width``: share what is left of each line of the screen among its columns.

    The rightmost columns get one more where it cannot be shared evenly. Columns that do not fit
    begin a new line.
    """
    begin = at = 0
    while at < len(widths):
        taken = sum(widths[begin : at + 1])
        last = not any(widths[at + 1 :])
        if widths[at] and (last or taken >= screen):
            if taken > screen:
                taken -= widths[at]
                at -= 1
            line = [n for n in range(at, begin - 1, -1) if widths[n]]
            share, rest = divmod(screen - taken, len(line))
            for number, column in enumerate(line):
                widths[column] += share + (number < rest)
            begin = at + 1
        at += 1
