"""What the parts of IPv6 know of an interface (include/net/if_inet6.h), and questions about it."""

from __future__ import annotations

from enum import Enum

from desim.guest.cpu.context import KernelTimer, Work
from desim.guest.net.device import Device
from desim.wire.addresses import IP6_ANY, IP6_LOOPBACK, ip
from desim.wire.icmpv6_mld import GroupRecord

IF_RS_SENT = 0x10
IF_RA_RCVD = 0x20
IF_READY = 0x80000000

SCOPE_NODE = 1
SCOPE_LINK = 2
SCOPE_SITE = 5
SCOPE_GLOBAL = 14

ALL_NODES = ip("ff02::1")
ALL_ROUTERS = ip("ff02::2")

DEFAULT_HOP_LIMIT = 64


def addr_scope(address: bytes) -> int:
    """``ipv6_addr_scope``: how far an address reaches."""
    if address[0] == 0xFF:
        return address[1] & 15
    if address[0] == 0xFE and address[1] & 0x80:
        return SCOPE_SITE if address[1] & 0x40 else SCOPE_LINK
    return SCOPE_NODE if address == IP6_LOOPBACK else SCOPE_GLOBAL


def addr_solict_mult(address: bytes) -> bytes:
    """``addrconf_addr_solict_mult``: the group in which to ask for ``address``."""
    return b"\xff\x02" + bytes(9) + b"\x01\xff" + address[13:]


class AddrState(Enum):
    """``INET6_IFADDR_STATE_``: how far duplicate address detection is."""

    PREDAD = 1
    DAD = 2
    POSTDAD = 3
    ERRDAD = 4
    DEAD = 5


class Inet6IfAddr:
    """``struct inet6_ifaddr``: an address of an interface. Instants are in jiffies."""

    __slots__ = (
        "address", "dad_nonce", "dad_probes", "dad_work", "idev",
        "preferred_until", "prefix_len", "scope", "state", "tentative", "valid_until",
    )  # fmt: skip

    dad_work: Work

    def __init__(self, idev: Inet6Dev, address: bytes, prefix_len: int) -> None:
        self.idev = idev
        self.address = address
        self.prefix_len = prefix_len
        self.scope = addr_scope(address)
        self.state = AddrState.PREDAD
        self.tentative = True
        self.dad_probes = 0
        self.dad_nonce = b""
        self.valid_until: int | None = None
        self.preferred_until: int | None = None


class IfMcaddr6:
    """``struct ifmcaddr6``: a group that the interface has joined, ``users`` times."""

    __slots__ = ("loaded", "mca_addr", "mca_crcount", "noreport", "users")

    def __init__(self, group: bytes) -> None:
        self.mca_addr = group
        self.users = 1
        self.mca_crcount = 0
        """How often its next change is still to be reported."""
        self.loaded = False
        """The device has been told."""
        self.noreport = group == ALL_NODES


class Inet6Dev:
    """``struct inet6_dev``."""

    __slots__ = (
        "addr_list", "device", "hop_limit", "if_flags", "mc_dad_count", "mc_dad_work",
        "mc_ifc_count", "mc_ifc_work", "mc_list", "mc_tomb", "rs_interval", "rs_timer",
    )  # fmt: skip

    mc_ifc_work: Work
    mc_dad_work: Work
    rs_timer: KernelTimer

    def __init__(self, device: Device) -> None:
        self.device = device
        self.addr_list: list[Inet6IfAddr] = []
        """Those that reach far first."""
        self.mc_list: list[IfMcaddr6] = []
        """The group joined last first."""
        self.mc_tomb: list[tuple[GroupRecord, int]] = []
        """Groups that were left, and how often that is still to be reported."""
        self.if_flags = 0
        self.hop_limit = DEFAULT_HOP_LIMIT
        self.rs_interval = 0
        self.mc_ifc_count = 0
        self.mc_dad_count = 0

    def ipv6_get_lladdr(self) -> bytes | None:
        """Our link-local address, once nobody else is known to have it."""
        for ifp in self.addr_list:
            if ifp.scope == SCOPE_LINK and not ifp.tentative:
                return ifp.address
        return None

    def ipv6_get_ifaddr(self, address: bytes) -> Inet6IfAddr | None:
        """What is known of an address of ours, tentative or not."""
        for ifp in self.addr_list:
            if ifp.address == address:
                return ifp
        return None

    def ipv6_chk_mcast_addr(self, group: bytes) -> bool:
        """Whether we are in ``group``."""
        return any(mc.mca_addr == group for mc in self.mc_list)


class Inet6Devs:
    """The interfaces that speak IPv6, in the order of their making."""

    __slots__ = ("of",)

    def __init__(self) -> None:
        self.of: dict[Device, Inet6Dev] = {}

    def ipv6_chk_addr(self, address: bytes) -> bool:
        """Whether it is ours and may be used."""
        for idev in self.of.values():
            ifp = idev.ipv6_get_ifaddr(address)
            if ifp is not None and not ifp.tentative:
                return True
        return False


def ipv6_dev_get_saddr(idev: Inet6Dev, dst: bytes, jiffies: int) -> bytes | None:
    """The address of ours to send to ``dst`` from (RFC 6724 section 5, rules 1, 2, 3 and 8)."""
    scope = addr_scope(dst)

    def merit(ifp: Inet6IfAddr) -> tuple[bool, tuple[bool, int], bool, int]:
        # Far enough is better than not; of those the nearest, of the others the farthest.
        enough = ifp.scope >= scope
        preferred = ifp.preferred_until is None or jiffies < ifp.preferred_until
        differ = int.from_bytes(ifp.address, "big") ^ int.from_bytes(dst, "big")
        return (
            ifp.address == dst,
            (enough, -ifp.scope if enough else ifp.scope),
            preferred,
            128 - differ.bit_length(),
        )

    usable = [ifp for ifp in idev.addr_list if not ifp.tentative and ifp.address != IP6_ANY]
    return max(usable, key=merit).address if usable else None
