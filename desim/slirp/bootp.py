"""The DHCP server (slirp/bootp.c, RFC 2131, RFC 2132).

Sixteen leases, which never expire. DISCOVER and REQUEST are answered, and a BOOTP
request counts as REQUEST; everything else is ignored. Every answer is 548 bytes
long and goes to everybody. An offer already reserves the address and teaches the
ARP table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.slirp import reasons
from desim.slirp.datagram import Datagram
from desim.slirp.socket import IPTOS_LOWDELAY
from desim.slirp.udp import BOOTP_SERVER, UDP_HLEN
from desim.stages import QEMU, mark, stages
from desim.wire.addresses import IP_ANY, IP_BROADCAST, ZERO_MAC

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

NB_BOOTP_CLIENTS = 16
LEASE_TIME_S = 24 * 3600
BOOTP_CLIENT = 68
BOOTP_LEN = 236
"""Bytes of a message before its options."""
DHCP_OPT_LEN = 312
HOSTNAME_MAX = 32
COOKIE = b"\x63\x82\x53\x63"

BOOTP_REQUEST = 1
BOOTP_REPLY = 2

DHCPDISCOVER = 1
DHCPOFFER = 2
DHCPREQUEST = 3
DHCPACK = 5
DHCPNAK = 6

OPT_NETMASK = 1
OPT_GATEWAY = 3
OPT_DNS = 6
OPT_HOSTNAME = 12
OPT_DOMAINNAME = 15
OPT_REQ_ADDR = 50
OPT_LEASE_TIME = 51
OPT_MSG_TYPE = 53
OPT_SRV_ID = 54
OPT_MESSAGE = 56
OPT_VENDOR_CLASS_ID = 60
OPT_TFTP_SERVER_NAME = 66
OPT_END = 255

NAK_MESSAGE = b"requested address not available"
UEFI_HTTP_VENDOR_CLASS_ID = b"HTTPClient"


class Bootp:
    """The leases and the protocol."""

    STAGES = stages(
        QEMU,
        bootp_input=mark("bootp_input", file="slirp/bootp.c"),
        bootp_reply=mark("bootp_reply", file="slirp/bootp.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        # Who has never been given to a client has MAC 0, and is found by that MAC, too.
        self._macs = [ZERO_MAC] * NB_BOOTP_CLIENTS
        self._allocated = [False] * NB_BOOTP_CLIENTS
        self._buffer = bytearray(BOOTP_LEN + DHCP_OPT_LEN)
        config = slirp.config
        self._dnssearch = b""
        if config.dnssearch:
            from desim.slirp.dnssearch import translate_dnssearch

            self._dnssearch = translate_dnssearch(config.dnssearch)

    def bootp_input(self, datagram: Datagram) -> None:
        """A datagram for port 67."""
        message = datagram.payload[UDP_HLEN:]
        if not self.slirp.version.bootp_checks_length:
            # What lies behind a short request in slirp's buffer is mostly the last one's end.
            size = min(len(message), len(self._buffer))
            self._buffer[:size] = message[:size]
            message = bytes(self._buffer)
        if (
            self.slirp.config.disable_dhcp
            or len(message) < BOOTP_LEN
            or message[0] != BOOTP_REQUEST
        ):
            self.slirp.drop(datagram.frame, reasons.BOOTP_REFUSED)
            return
        self.bootp_reply(message)

    def bootp_reply(self, message: bytes) -> None:
        """Answer a request, if it is one that gets an answer."""
        kind, wanted = _decode(message)
        kind = kind or DHCPREQUEST
        if kind not in (DHCPDISCOVER, DHCPREQUEST):
            return
        mac = message[28:34]
        slot = None
        address = IP_BROADCAST
        if wanted != IP_ANY:
            slot = self._requested(wanted, mac)
            address = wanted
        elif kind == DHCPREQUEST:
            slot = self._known(mac)
            address = self._address(slot or 0)
        nak = slot is None and kind == DHCPREQUEST and wanted != IP_ANY
        if nak:
            address = IP_BROADCAST
        else:
            if slot is None:
                slot = self._new(mac)
                if slot is None:
                    return
                address = self._address(slot)
            self._allocated[slot] = True
            self._macs[slot] = mac
        self.slirp.arp.arp_table_add(address, mac)
        self._send(message, kind, address, nak)

    def _send(self, message: bytes, kind: int, address: bytes, nak: bool) -> None:
        slirp = self.slirp
        host = slirp.config.host
        bootfile = (slirp.config.bootfile or "").encode()
        reply = (
            bytes((BOOTP_REPLY, 1, 6, 0))
            + message[4:8]
            + bytes(8)
            + address
            + host
            + bytes(4)
            + message[28:34].ljust(16, b"\0")
            + bytes(64)
            + (b"" if nak else bootfile).ljust(128, b"\0")
        )
        options = self._nak_options() if nak else self._options(kind)
        slirp.udp.udp_output(
            None,
            (host, BOOTP_SERVER),
            (IP_BROADCAST, BOOTP_CLIENT),
            reply + (COOKIE + options).ljust(DHCP_OPT_LEN, b"\0"),
            IPTOS_LOWDELAY,
        )

    # -- leases ------------------------------------------------------------------------

    def _address(self, slot: int) -> bytes:
        """The address of a lease; slirp counts in the last byte only, without carry."""
        start = self.slirp.config.dhcpstart
        return start[:3] + bytes(((start[3] + slot) & 0xFF,))

    def _requested(self, wanted: bytes, mac: bytes) -> int | None:
        slot = int.from_bytes(wanted, "big") - int.from_bytes(self.slirp.config.dhcpstart, "big")
        if not 0 <= slot < NB_BOOTP_CLIENTS:
            return None
        return slot if not self._allocated[slot] or self._macs[slot] == mac else None

    def _known(self, mac: bytes) -> int | None:
        return self._macs.index(mac) if mac in self._macs else None

    def _new(self, mac: bytes) -> int | None:
        for slot in range(NB_BOOTP_CLIENTS):
            if not self._allocated[slot] or self._macs[slot] == mac:
                return slot
        return None

    # -- options -----------------------------------------------------------------------

    @staticmethod
    def _nak_options() -> bytes:
        return (
            _option(OPT_MSG_TYPE, bytes((DHCPNAK,)))
            + _option(OPT_MESSAGE, NAK_MESSAGE)
            + bytes((OPT_END,))
        )

    def _options(self, kind: int) -> bytes:
        config = self.slirp.config
        answer = DHCPOFFER if kind == DHCPDISCOVER else DHCPACK
        options = _option(OPT_MSG_TYPE, bytes((answer,)))
        options += _option(OPT_SRV_ID, config.host)
        options += _option(OPT_NETMASK, config.mask)
        if not config.restrict:
            options += _option(OPT_GATEWAY, config.host)
            options += _option(OPT_DNS, config.dns)
        options += _option(OPT_LEASE_TIME, LEASE_TIME_S.to_bytes(4, "big"))
        late = self.slirp.version.dhcp_late_options
        hostname = (config.hostname or "").encode()[:HOSTNAME_MAX]
        if hostname:
            options = _added(options, _option(OPT_HOSTNAME, hostname))
        if late and config.domainname is not None:
            options = _added(options, _option(OPT_DOMAINNAME, config.domainname.encode()))
        if late and config.tftp_server_name is not None:
            options = _added(
                options, _option(OPT_TFTP_SERVER_NAME, config.tftp_server_name.encode())
            )
        if self._dnssearch:
            options = _added(options, self._dnssearch)
        if late and (config.bootfile or "").startswith("http://"):
            options = _added(options, _option(OPT_VENDOR_CLASS_ID, UEFI_HTTP_VENDOR_CLASS_ID))
        return options + bytes((OPT_END,))


def _option(code: int, data: bytes) -> bytes:
    return bytes((code, len(data) & 0xFF)) + data


def _added(options: bytes, more: bytes) -> bytes:
    """``options`` with ``more``, or without where they would not fit."""
    room = DHCP_OPT_LEN - len(COOKIE) - len(options)
    return options + more if len(more) < room else options


def _decode(message: bytes) -> tuple[int, bytes]:
    """Message type (0: BOOTP) and the address that is asked for (``dhcp_decode``)."""
    kind = 0
    wanted = IP_ANY
    if message[BOOTP_LEN : BOOTP_LEN + 4] != COOKIE:
        return kind, wanted
    at = BOOTP_LEN + 4
    end = len(message)
    while at < end:
        code = message[at]
        at += 1
        if code == 0:
            continue
        if code == OPT_END or at >= end:
            break
        size = message[at]
        at += 1
        if at + size > end:
            break
        if code == OPT_MSG_TYPE and size >= 1:
            kind = message[at]
        elif code == OPT_REQ_ADDR and size >= 4:
            wanted = message[at : at + 4]
        at += size
    if kind == DHCPREQUEST and wanted == IP_ANY:
        wanted = message[12:16]
    return kind, wanted
