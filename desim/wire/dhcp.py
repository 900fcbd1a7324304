"""DHCP for IPv4: the BOOTP header (RFC 951, RFC 2131 section 2) and options (RFC 2132).

Options are an ordered list of (code, value), because the order on the wire is
what tells one implementation from another. ``emit(size=...)`` fills the message
up with zeros: slirp sends 548 bytes always, busybox's udhcpc 300.

Not modelled: option overload (52) and the splitting of long options (RFC 3396);
both travel as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from desim.data import Data, field
from desim.wire.errors import WireError

SERVER_PORT = 67
CLIENT_PORT = 68

HEADER_LEN = 236
"""Up to the magic cookie."""
MAGIC = b"\x63\x82\x53\x63"
SLIRP_LEN = 548
UDHCPC_LEN = 300

BOOTREQUEST = 1
BOOTREPLY = 2
FLAG_BROADCAST = 0x8000

DHCPDISCOVER = 1
DHCPOFFER = 2
DHCPREQUEST = 3
DHCPDECLINE = 4
DHCPACK = 5
DHCPNAK = 6
DHCPRELEASE = 7
DHCPINFORM = 8

MESSAGE_NAMES = {
    DHCPDISCOVER: "Discover",
    DHCPOFFER: "Offer",
    DHCPREQUEST: "Request",
    DHCPDECLINE: "Decline",
    DHCPACK: "ACK",
    DHCPNAK: "NAK",
    DHCPRELEASE: "Release",
    DHCPINFORM: "Inform",
}

OPT_PAD = 0
OPT_NETMASK = 1
OPT_ROUTER = 3
OPT_DNS = 6
OPT_HOSTNAME = 12
OPT_DOMAIN = 15
OPT_BROADCAST = 28
OPT_NTP = 42
OPT_REQUESTED_IP = 50
OPT_LEASE_TIME = 51
OPT_OVERLOAD = 52
OPT_MESSAGE_TYPE = 53
OPT_SERVER_ID = 54
OPT_PARAMETERS = 55
OPT_MESSAGE = 56
OPT_MAX_SIZE = 57
OPT_VENDOR_CLASS = 60
OPT_CLIENT_ID = 61
OPT_TFTP_SERVER = 66
OPT_BOOTFILE = 67
OPT_DOMAIN_SEARCH = 119
OPT_END = 255

Option = tuple[int, bytes]

_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_ZERO = bytes(4)


def parse_options(raw: bytes, *, lenient: bool = False) -> list[Option]:
    """The options of an option area, without pads, up to OPT_END or its end.

    One that runs past the end is refused; ``lenient`` keeps those before it, as
    slirp does.
    """
    found: list[Option] = []
    at = 0
    while at < len(raw) and raw[at] != OPT_END:
        code = raw[at]
        at += 1
        if code == OPT_PAD:
            continue
        start = at + 1
        end = start + raw[at] if at < len(raw) else len(raw) + 1
        if end > len(raw):
            if lenient:
                break
            raise WireError(f"DHCP: option {code} runs {end - len(raw)} bytes past the end")
        found.append((code, raw[start:end]))
        at = end
    return found


def emit_options(options: Iterable[Option]) -> bytes:
    """The bytes of ``options`` and OPT_END."""
    out = bytearray()
    for code, value in options:
        if not OPT_PAD < code < OPT_END or len(value) > 255:
            raise WireError(
                f"DHCP: option {code} with {len(value)} bytes; expected a code of 1 to 254 "
                "and at most 255 bytes"
            )
        out += bytes((code, len(value))) + value
    out.append(OPT_END)
    return bytes(out)


class Dhcp(Data):
    """One message. ``chaddr`` has as many bytes as the hardware address.

    ``cookie`` False is a BOOTP message of the time before options had a form:
    its vendor area is not read, and sent as zeros.
    """

    op: int
    xid: int
    chaddr: bytes
    options: list[Option] = field(default_factory=list)
    secs: int = 0
    flags: int = 0
    ciaddr: bytes = _ZERO
    yiaddr: bytes = _ZERO
    siaddr: bytes = _ZERO
    giaddr: bytes = _ZERO
    sname: bytes = b""
    file: bytes = b""
    htype: int = 1
    hops: int = 0
    cookie: bool = True

    @classmethod
    def parse(cls, data: bytes, *, lenient: bool = False) -> Dhcp:
        """Read the payload of a UDP datagram; ``lenient`` as in ``parse_options``."""
        if len(data) < HEADER_LEN:
            raise WireError(f"DHCP: {len(data)} bytes; the header alone has {HEADER_LEN}")
        (
            op,
            htype,
            hlen,
            hops,
            xid,
            secs,
            flags,
            ciaddr,
            yiaddr,
            siaddr,
            giaddr,
            chaddr,
            sname,
            file,
        ) = _HEADER.unpack_from(data)
        if hlen > 16:
            raise WireError(f"DHCP: hardware address of {hlen} bytes; expected at most 16")
        cookie = data[HEADER_LEN : HEADER_LEN + 4] == MAGIC
        options = parse_options(data[HEADER_LEN + 4 :], lenient=lenient) if cookie else []
        return cls(
            op,
            xid,
            chaddr[:hlen],
            options,
            secs,
            flags,
            ciaddr,
            yiaddr,
            siaddr,
            giaddr,
            sname.rstrip(b"\0"),
            file.rstrip(b"\0"),
            htype,
            hops,
            cookie,
        )

    def option(self, code: int) -> bytes | None:
        """The value of the first option ``code``; None without one."""
        for found, value in self.options:
            if found == code:
                return value
        return None

    @property
    def message_type(self) -> int | None:
        """The value of option 53; None without a valid one."""
        value = self.option(OPT_MESSAGE_TYPE)
        return value[0] if value is not None and len(value) == 1 else None

    def emit(self, *, size: int = 0) -> bytes:
        """The message, filled up with zeros to ``size`` bytes; longer than that is refused."""
        addresses = (self.ciaddr, self.yiaddr, self.siaddr, self.giaddr)
        if any(len(address) != 4 for address in addresses):
            raise WireError(f"DHCP: IPv4 addresses have 4 bytes: {addresses!r}")
        if len(self.chaddr) > 16 or len(self.sname) > 64 or len(self.file) > 128:
            raise WireError(
                f"DHCP: chaddr, sname and file of {len(self.chaddr)}, {len(self.sname)} and "
                f"{len(self.file)} bytes; expected at most 16, 64 and 128"
            )
        if self.options and not self.cookie:
            raise WireError("DHCP: options need the cookie in front of them")
        try:
            head = _HEADER.pack(
                self.op,
                self.htype,
                len(self.chaddr),
                self.hops,
                self.xid,
                self.secs,
                self.flags,
                *addresses,
                self.chaddr,
                self.sname,
                self.file,
            )
        except struct.error:
            raise WireError(
                "DHCP: op, htype and hops have 8 bits, secs and flags 16, xid 32: "
                f"{self.op}, {self.htype}, {self.hops}, {self.secs}, {self.flags}, {self.xid}"
            ) from None
        raw = head + MAGIC + emit_options(self.options) if self.cookie else head
        if size and len(raw) > size:
            raise WireError(f"DHCP: the message has {len(raw)} bytes, more than its size {size}")
        return raw.ljust(size, b"\0")
