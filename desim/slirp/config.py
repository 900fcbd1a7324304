"""What the user says about the virtual network: ``-netdev user`` and its defaults.

The defaults are QEMU's (net/slirp.c, ``net_slirp_init``). ``SlirpConfig`` holds
packed addresses and checks nothing; whoever parses options does that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from desim.wire.addresses import ip


@dataclass(slots=True)
class HostFwd:
    """``hostfwd=PROTO:HOST:PORT-GUEST:PORT``."""

    protocol: Literal["tcp", "udp"]
    host: bytes
    host_port: int
    guest: bytes
    guest_port: int


@dataclass(slots=True)
class GuestFwd:
    """``guestfwd=tcp:ADDR:PORT-TARGET``.

    With ``unix`` each connection of the guest goes to that Unix socket on the host, with
    ``ex_exec`` to a program of its own; with neither, its bytes go to
    ``GuestForwarding.output``.
    """

    address: bytes
    port: int
    unix: str | None = None
    ex_exec: str | None = None


@dataclass(slots=True)
class SlirpConfig:
    """One virtual network."""

    network: bytes = ip("10.0.2.0")
    mask: bytes = ip("255.255.255.0")
    host: bytes = ip("10.0.2.2")
    dns: bytes = ip("10.0.2.3")
    dhcp_start: bytes = ip("10.0.2.15")
    ipv4: bool = True
    ipv6: bool = True
    prefix6: bytes = ip("fec0::")
    prefix6_len: int = 64
    host6: bytes = ip("fec0::2")
    dns6: bytes = ip("fec0::3")
    restricted: bool = False
    hostname: str | None = None
    domainname: str | None = None
    dnssearch: list[str] = field(default_factory=list)
    bootfile: str | None = None
    tftp_server_name: str | None = None
    tftp: dict[str, bytes] | None = None
    """The files under the TFTP root by name; None: the service is off."""
    if_mtu: int = 1500
    if_mru: int = 1500
    disable_host_loopback: bool = False
    disable_dns: bool = False
    disable_dhcp: bool = False
    hostfwd: list[HostFwd] = field(default_factory=list)
    guestfwd: list[GuestFwd] = field(default_factory=list)
