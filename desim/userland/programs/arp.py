"""``arp`` of busybox 1.35 (networking/arp.c): what /proc/net/arp holds, one entry per line.

Names are those of /etc/hosts; ``?`` stands for an address without one. Not modelled: changing
the table (``-d``, ``-s``, ``-D``), other families and hardware, and asking name servers for
names (the real one does without ``-n``).
"""

from __future__ import annotations

from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.busybox import BANNER, Fatal, applet
from desim.userland.programs.getopt import getopt, unmodelled
from desim.userland.programs.output import put
from desim.userland.programs.resolver import getaddrinfo
from desim.wire.addresses import ip, ip_text

SPEC = "A:p:H:t:i:adnDsv"
MODELLED = "ainv"
TABLE = "/proc/net/arp"
ATF_COM = 0x02
ATF_PERM = 0x04
USAGE = (
    BANNER
    + """
Usage: arp
[-vn]\t[-H HWTYPE] [-i IF] -a [HOSTNAME]
[-v]\t\t    [-i IF] -d HOSTNAME [pub]
[-v]\t[-H HWTYPE] [-i IF] -s HOSTNAME HWADDR [temp]
[-v]\t[-H HWTYPE] [-i IF] -s HOSTNAME HWADDR [netmask MASK] pub
[-v]\t[-H HWTYPE] [-i IF] -Ds HOSTNAME IFACE [netmask MASK] pub

Manipulate ARP cache

\t-a\t\tDisplay (all) hosts
\t-d\t\tDelete ARP entry
\t-s\t\tSet new entry
\t-v\t\tVerbose
\t-n\t\tDon't resolve names
\t-i IF\t\tNetwork interface
\t-D\t\tRead HWADDR from IFACE
\t-A,-p AF\tProtocol family
\t-H HWTYPE\tHardware address type
"""
)


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    return unmodelled(argv, SPEC, MODELLED)


def arp(argv: list[str]) -> Program:
    """``arp_main``."""
    return applet("arp", USAGE, _main(argv))


def _main(argv: list[str]) -> Program:
    options, operands = getopt(argv, SPEC)
    values = dict(options)
    wanted = ""
    if operands:
        try:
            wanted = ip_text((yield from getaddrinfo(operands[0])))
        except OSError as error:
            raise Fatal(f"{operands[0]}: {error.strerror}") from None
    rows = (yield from _table()).splitlines()[1:]
    shown = 0
    for row in rows:
        address, _, flags, hardware, _, device = row.split()
        if wanted in ("", address) and values.get("i", device) == device:
            name = None if "n" in values else (yield from sys.name_of(ip(address)))
            shown += 1
            yield from put(
                f"{name or '?'} ({address}) at {_state(hardware, int(flags, 16))}{device}\n"
            )
    if not shown and (wanted or "i" in values):
        yield from put(f"No match found in {len(rows)} entries\n")
    return 0


def _table() -> Part[str]:
    fd = yield from sys.open(TABLE)
    text = b""
    while data := (yield from sys.read(fd, 4096)):
        text += data
    yield from sys.close(fd)
    return text.decode()


def _state(hardware: str, flags: int) -> str:
    if not flags & ATF_COM:
        return "<incomplete>  on "
    return f"{hardware} [ether] {'PERM ' if flags & ATF_PERM else ''} on "
