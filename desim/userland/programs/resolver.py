"""Names to IPv4 addresses, and back, as glibc's ``getaddrinfo`` and ``getnameinfo`` find them.

A number is itself; a name is looked up in /etc/hosts, then asked of a name server
(``desim.userland.programs.res_query``).
"""

from __future__ import annotations

from desim.userland.calls import sys
from desim.userland.program import Part
from desim.userland.uapi import EAI_NONAME
from desim.wire.addresses import ip_text


def getaddrinfo(name: str, deadline_ns: int | None = None) -> Part[bytes]:
    """The address of ``name``. Raises ``OSError`` with an EAI number and its text.

    At ``deadline_ns``, if given, ETIMEDOUT.
    """
    try:
        address = yield from sys.resolve(name)
    except OSError as error:
        # No number, and not among the names known here: ask a server, if there is one to ask.
        if error.errno == EAI_NONAME:
            raise
    else:
        return address
    from desim.userland.programs.res_query import address_of  # most runs ask for no such name

    return (yield from address_of(name, deadline_ns))


def getnameinfo(address: bytes) -> Part[str]:
    """The name of ``address``, or its number if it has none. Raises ``OSError`` (EAI_AGAIN) if
    no server answers."""
    name = yield from sys.name_of(address)
    if name != "":
        return name or ip_text(address)
    from desim.userland.programs.res_query import name_of

    return (yield from name_of(address))
