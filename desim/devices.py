"""The network's devices: what ``-netdev user``, ``-chardev`` and ``-device e1000`` say.

One description for all who meet it: QEMU's options are read into it, scenarios hold it, slirp
and the card take it as it is, recordings are turned into it. Names and defaults are those of
QEMU's options (net/slirp.c, net/net.c, hw/net/e1000.c), with ``_`` for ``-``; addresses are
packed bytes. Nothing here checks: whoever reads options does that.
"""

from __future__ import annotations

from typing import Literal

from desim.data import Data, field
from desim.wire.addresses import IP_ANY, Endpoint, ip, mac

Proto = Literal["tcp", "udp"]
SlirpVersion = Literal["4.7", "2.8"]
CardModel = Literal["e1000", "e1000-82544gc", "e1000-82545em"]
"""QEMU's e1000 is an 82540EM. The guest's driver is not modelled for the 82544GC."""
SocketKind = Literal["socket", "stream", "dgram"]
"""Which ``-netdev`` it is: the old option for all, or one of the two new ones."""
SocketRole = Literal["listen", "connect", "mcast", "udp"]
CardSemantics = Literal["qemu", "datasheet"]
"""Whose timing the card has: QEMU's, or that of Intel's manual, with a wire that takes time."""

DEFAULT_MAC = mac("52:54:00:12:34:56")
"""What QEMU gives its first card (net/net.c)."""


class HostFwd(Data, kw_only=True):
    """``hostfwd=PROTO:[host_addr]:host_port-[guest_addr]:guest_port``."""

    proto: Proto = "tcp"
    host_addr: bytes = IP_ANY
    host_port: int
    guest_addr: bytes = IP_ANY
    """0.0.0.0 stands for the first address that DHCP gives out."""
    guest_port: int
    written: str = field(default="", compare=False)
    """The rule as its option has it, for messages."""
    option: str = field(default="", compare=False)
    """The whole option that it stands in."""


class Chardev(Data, kw_only=True):
    """``-chardev KIND,id=ID``: what may stand behind ``guestfwd=``."""

    kind: Literal["null", "file"]
    path: str = ""
    """``file``: its normalised name in the host's tree of written files."""
    append: bool = False
    logfile: str = ""
    """A file of the same tree that all bytes go to as well; empty: there is no log."""
    logappend: bool = False
    """Whether the log goes behind what an earlier program of the host left there."""


class GuestFwd(Data, kw_only=True):
    """``guestfwd=tcp:SERVER:PORT-DEV`` or ``-cmd:COMMAND``.

    A rule with neither command nor Unix socket leads to whoever takes what slirp gives out
    (``GuestForwarding.output``): in a machine, to its character device.
    """

    server: bytes
    port: int
    chardev: Chardev | None = None
    command: str | None = None
    """One program of the host with its words, started for each connection."""
    unix: str | None = None
    """A Unix socket of the host (``slirp_add_unix``): libslirp has it, recordings use it, and
    no option of QEMU's leads there."""


class UserNet(Data, kw_only=True):
    """``-netdev user``: the user-mode stack."""

    id: str = "user.0"
    ipv4: bool = True
    net: bytes = ip("10.0.2.0")
    mask: bytes = ip("255.255.255.0")
    host: bytes = ip("10.0.2.2")
    dns: bytes = ip("10.0.2.3")
    dhcpstart: bytes = ip("10.0.2.15")
    ipv6: bool = True
    ipv6_prefix: bytes = ip("fec0::")
    ipv6_prefixlen: int = 64
    ipv6_host: bytes = ip("fec0::2")
    ipv6_dns: bytes = ip("fec0::3")
    restrict: bool = False
    hostname: str | None = None
    domainname: str | None = None
    dnssearch: list[str] = field(default_factory=list)
    tftp: dict[str, bytes] | None = None
    """What the TFTP server shows, by name relative to its root; None: the service is off."""
    tftp_server_name: str | None = None
    bootfile: str | None = None
    hostfwd: list[HostFwd] = field(default_factory=list)
    """In the order written; set up one by one (``net_slirp_init``)."""
    guestfwd: list[GuestFwd] = field(default_factory=list)
    """In the order written, likewise."""
    version: SlirpVersion = "4.7"
    """Whose behaviour: libslirp 4.7.0, or the slirp inside QEMU 2.8."""

    # Settings of libslirp for which QEMU 7.2 has no option; recordings have them.
    if_mtu: int = 1500
    if_mru: int = 1500
    disable_host_loopback: bool = False
    disable_dns: bool = False
    disable_dhcp: bool = False


class SocketNet(Data, kw_only=True):
    """``-netdev socket``, ``stream`` or ``dgram``: the other end is a socket of the host.

    A stream has a ``role``: it listens at ``local`` or connects to ``remote``. Datagrams go from
    ``local`` to ``remote``, or to a multicast group and from there to all of its members.
    """

    id: str
    kind: SocketKind = "socket"
    role: SocketRole
    local: Endpoint | None = None
    remote: Endpoint | None = None
    """With ``mcast`` the group."""
    path: str = ""
    """A Unix socket's, for ``stream``, in the place of an address."""

    @property
    def is_stream(self) -> bool:
        """Whether frames go over a connection, one behind the other."""
        return self.role in ("listen", "connect")


class HubPort(Data, kw_only=True):
    """A port of a hub: its name, and the id of the client at it."""

    name: str
    client: str | None
    """None: nobody is there."""


CARD_SWITCHES = {
    "autonegotiation": "autonegotiation",
    "mitigation": "mitigation",
    "extra_mac_registers": "extra_mac_registers",
    "init-vet": "init_vet",
}
"""Properties of the card that are on or off, with the field of ``Nic`` that holds each."""


class Nic(Data, kw_only=True):
    """``-device e1000``: the card and its properties."""

    model: CardModel = "e1000"
    id: str | None = None
    mac: bytes = DEFAULT_MAC
    netdev: str | None = None
    """The id of what it is plugged into; None on the default hub."""
    autonegotiation: bool = True
    mitigation: bool = True
    extra_mac_registers: bool = True
    init_vet: bool = True
    semantics: CardSemantics = "qemu"

    @property
    def name(self) -> str:
        """What its client in the net layer is called."""
        return self.id or f"{self.model}.0"
