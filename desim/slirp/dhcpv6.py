"""Stateless DHCPv6 (slirp/dhcpv6.c, RFC 8415 section 18.3.6): INFORMATION-REQUEST only.

The answer repeats the client's identifier and, if asked for, names the DNS address
and the boot file's URL. Requests with an IA address are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.ports import Endpoint
from desim.slirp import reasons
from desim.slirp.datagram import Datagram
from desim.slirp.udp import UDP_HLEN
from desim.stages import QEMU, mark, stages

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

MSGTYPE_REPLY = 7
MSGTYPE_INFO_REQUEST = 11
OPTION_CLIENTID = 1
OPTION_IAADDR = 5
OPTION_ORO = 6
OPTION_DNS_SERVERS = 23
OPTION_BOOTFILE_URL = 59
CLIENT_ID_MAX = 256
SOURCE_PORT = 0x2302
"""547 in the wrong byte order: the port that slirp's answers come from."""
NO_BOOTFILE = "(null)"
"""What C prints for a name that is not set."""


class Dhcpv6:
    """The protocol; there is no state."""

    STAGES = stages(
        QEMU,
        dhcpv6_input=mark("dhcpv6_input", file="slirp/dhcpv6.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp

    def dhcpv6_input(self, datagram: Datagram, client: Endpoint) -> None:
        """A datagram for port 547."""
        slirp = self.slirp
        config = slirp.config
        message = datagram.payload[UDP_HLEN:]
        if len(message) < 4 or message[0] != MSGTYPE_INFO_REQUEST:
            slirp.drop(datagram.frame, reasons.DHCP6_KIND)
            return
        wanted = _parse(message[4:])
        if wanted is None:
            slirp.drop(datagram.frame, reasons.DHCP6_OPTIONS)
            return
        client_id, options = wanted
        reply = bytes((MSGTYPE_REPLY,)) + message[1:4]
        if client_id is not None:
            reply += _option(OPTION_CLIENTID, client_id)
        if OPTION_DNS_SERVERS in options:
            reply += _option(OPTION_DNS_SERVERS, config.ipv6_dns)
        if OPTION_BOOTFILE_URL in options:
            host = ":".join(config.ipv6_host[at : at + 2].hex() for at in range(0, 16, 2))
            name = config.bootfile if config.bootfile is not None else NO_BOOTFILE
            room = config.if_mtu - len(reply) - 4
            url = f"tftp://[{host}]/{name}".encode()
            reply += _option(OPTION_BOOTFILE_URL, url[: max(0, room)])
        slirp.udp6.udp6_output(None, (config.ipv6_host, SOURCE_PORT), client, reply)


def _option(code: int, data: bytes) -> bytes:
    return code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def _parse(options: bytes) -> tuple[bytes | None, set[int]] | None:
    """The client's identifier and what it asks for; None if it gets no answer."""
    client_id: bytes | None = None
    wanted: set[int] = set()
    at = 0
    while len(options) - at > 4:
        code = int.from_bytes(options[at : at + 2], "big")
        size = int.from_bytes(options[at + 2 : at + 4], "big")
        at += 4
        if at + size > len(options):
            return None
        data = options[at : at + size]
        if code == OPTION_IAADDR:
            return None
        if code == OPTION_CLIENTID:
            if size > CLIENT_ID_MAX:
                return None
            client_id = data
        elif code == OPTION_ORO:
            if size & 1:
                return None
            wanted.update(int.from_bytes(data[i : i + 2], "big") for i in range(0, size, 2))
        at += size
    return client_id, wanted
