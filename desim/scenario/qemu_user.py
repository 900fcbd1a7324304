"""``-netdev user``: its keys, defaults, checks and error texts (net/slirp.c, net_slirp_init).

QEMU stops at the first thing it does not like. Here every part is checked, so
that a user sees all mistakes at once, in QEMU's own words with what is allowed
behind them.

Not modelled: the SMB server. It is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from desim.config import InputFile
from desim.devices import UserNet
from desim.errors import nearest
from desim.scenario.addresses import class_mask, inet_aton, inet_pton6, prefix_mask, show_ipv4
from desim.scenario.qemu_forward import Forwards, parse_hostfwd
from desim.scenario.qemu_words import Chardevs, Option, word_set

Complain = Callable[[str], None]
"""Takes one mistake of the option that is being read."""

OpenFolder = Callable[[str], dict[str, InputFile]]
"""The files in a folder that the user named; ``ValueError`` if it may not be read."""

BOOTFILE_MAX = 127
"""What a BOOTP message has room for."""

NO_SMB = (
    "the SMB server is not modelled; tftp=FOLDER, or httpd on the host (10.0.2.2 for the guest), "
    "gives files"
)
KEYS = word_set(
    """bootfile dhcpstart dns dnssearch domainname guestfwd host hostfwd hostname id ip ipv4 ipv6
    ipv6-dns ipv6-host ipv6-net ipv6-prefix ipv6-prefixlen net restrict smb smbserver tftp
    tftp-server-name type"""
)


def read_switch(option: Option, key: str, complain: Complain) -> bool | None:
    """``key=on|off``, or None if it is not there."""
    value = option.last(key)
    if value is None:
        return None
    if value in ("on", "yes", "true", "y"):
        return True
    if value not in ("off", "no", "false", "n"):
        complain(f"Parameter '{key}' expects 'on' or 'off' (it is '{value}')")
    return False


def allowed(key: str, known: Collection[str]) -> str:
    """The known spelling nearest to ``key``, or all of them if none is near."""
    return nearest(key, known) or f"; allowed are {', '.join(sorted(known))}"


def refuse_unknown_keys(option: Option, known: frozenset[str], complain: Complain) -> None:
    """QEMU's answer to a key it does not know, with the nearest that it does."""
    for key, _ in option.parts:
        if key not in known:
            complain(f"Invalid parameter '{key}'{allowed(key, known)}")


def read_user(
    option: Option, open_folder: OpenFolder, chardevs: Chardevs, complain: Complain
) -> UserNet:
    """The stack that a ``user`` option describes; mistakes go to ``complain``."""
    user = UserNet(id=option.last("id") or "")
    refused = {
        "smb": NO_SMB,
        "smbserver": NO_SMB,
    }
    for key, why in refused.items():
        if option.last(key) is not None:
            complain(f"{key}={option.last(key)}: {why}")
    user.restrict = bool(read_switch(option, "restrict", complain))
    _families(user, option, complain)
    _ipv4(user, option, complain)
    _ipv6(user, option, complain)
    _names(user, option, complain)
    tftp = option.last("tftp")
    if tftp is not None:
        read_tftp(user, tftp, open_folder, complain)
    forwards = Forwards(user)
    for rule in option.every("hostfwd"):
        forwards.add(rule, parse_hostfwd, complain, str(option))
    for rule in option.every("guestfwd"):
        from desim.scenario.qemu_guestfwd import forward_guest  # few lines have any

        try:
            forward_guest(user, rule, chardevs)
        except ValueError as error:
            complain(str(error))
    return user


def read_tftp(user: UserNet, folder: str, open_folder: OpenFolder, complain: Complain) -> None:
    """Show ``folder`` to the guest."""
    try:
        user.tftp = {name: file.data for name, file in open_folder(folder).items()}
    except ValueError as error:
        complain(f"tftp={folder}: {error}")


def _families(user: UserNet, option: Option, complain: Complain) -> None:
    """Naming one family alone switches the other off, as net_init_slirp has it."""
    ipv4 = read_switch(option, "ipv4", complain)
    ipv6 = read_switch(option, "ipv6", complain)
    user.ipv4 = ipv4 if ipv4 is not None else ipv6 is not True
    user.ipv6 = ipv6 if ipv6 is not None else ipv4 is not True
    if not user.ipv4 and not user.ipv6:
        complain("IPv4 and IPv6 disabled")
    elif not user.ipv4 and any(option.last(key) is not None for key in ("net", "host", "dns")):
        complain("IPv4 disabled but netmask/host/dns provided")
    elif not user.ipv6 and any(
        option.last(key) is not None for key in ("ipv6-net", "ipv6-prefix", "ipv6-host", "ipv6-dns")
    ):
        complain("IPv6 disabled but prefix/host6/dns6 provided")


def _ipv4(user: UserNet, option: Option, complain: Complain) -> None:
    net = option.last("net")
    if net is None and (ip := option.last("ip")) is not None:
        net = f"{ip}/24"
    if net is not None and not _network(user, net, complain):
        return

    def given(key: str, what: str) -> bytes | None:
        text = option.last(key)
        if text is None:
            return None
        address = inet_aton(text)
        if address is None:
            complain(f"Failed to parse {what} ({key}={text})")
        return address

    user.host = given("host", "host") or user.host
    user.dns = given("dns", "DNS") or user.dns
    user.dhcpstart = given("dhcpstart", "DHCP start address") or user.dhcpstart
    network = f"{show_ipv4(user.net)}/{show_ipv4(user.mask)}"

    def outside(address: bytes) -> bool:
        return bytes(a & m for a, m in zip(address, user.mask, strict=True)) != user.net

    if outside(user.host):
        complain(f"Host doesn't belong to network (host {show_ipv4(user.host)}, net {network})")
    if user.restrict and outside(user.dns):
        complain(f"DNS doesn't belong to network (dns {show_ipv4(user.dns)}, net {network})")
    if user.dns == user.host:
        default = "" if option.last("dns") else " by default"
        complain(f"DNS must be different from host (dns is {show_ipv4(user.dns)}{default})")
    if outside(user.dhcpstart):
        complain(
            f"DHCP doesn't belong to network (dhcpstart {show_ipv4(user.dhcpstart)}, net {network})"
        )
    if user.dhcpstart in (user.host, user.dns):
        complain(
            f"DHCP must be different from host and DNS (host is {show_ipv4(user.host)}, "
            f"dns {show_ipv4(user.dns)}, dhcpstart {show_ipv4(user.dhcpstart)})"
        )


def _network(user: UserNet, text: str, complain: Complain) -> bool:
    """``net=addr[/mask]``: the network, and the defaults that follow from it."""
    address, slash, mask_text = text.partition("/")
    net = inet_aton(address)
    if net is None:
        complain(f"Failed to parse netmask (net={text}; an address, or address/mask)")
        return False
    if not slash:
        mask = class_mask(net)
    elif mask_text.isascii() and mask_text.isdigit():
        bits = int(mask_text[:9])
        if not 4 <= bits <= 32:
            complain(f"Invalid netmask provided (must be in range 4-32) (net={text})")
            return False
        mask = prefix_mask(bits)
    else:
        dotted = inet_aton(mask_text)
        if dotted is None:
            complain(f"Failed to parse netmask (trailing chars) (net={text})")
            return False
        mask = dotted

    def member(number: int) -> bytes:
        host = number.to_bytes(4, "big")
        return bytes(n | h & ~m & 0xFF for n, h, m in zip(user.net, host, mask, strict=True))

    user.mask = mask
    user.net = bytes(n & m for n, m in zip(net, mask, strict=True))
    user.host, user.dns, user.dhcpstart = member(0x0202), member(0x0203), member(0x020F)
    return True


def _ipv6(user: UserNet, option: Option, complain: Complain) -> None:
    prefix = option.last("ipv6-prefix")
    length = option.last("ipv6-prefixlen")
    net = option.last("ipv6-net")
    if net is not None:
        prefix, slash, rest = net.partition("/")
        length = rest if slash else "64"
    if length is not None:
        bits = int(length[:9]) if length.isascii() and length.isdigit() else None
        if bits is None:
            complain(f"Parameter 'ipv6-prefixlen' expects a number (it is '{length}')")
        elif bits > 126:
            complain(
                "Invalid IPv6 prefix provided "
                f"(IPv6 prefix length must be between 0 and 126) (it is {length})"
            )
        else:
            user.ipv6_prefixlen = bits or 64  # 0 is "not given" to net_slirp_init
    if prefix is not None:
        address = inet_pton6(prefix)
        if address is None:
            complain(f"Failed to parse IPv6 prefix ({prefix})")
            return
        user.ipv6_prefix = address
        user.ipv6_host = address[:15] + bytes([address[15] | 2])
        user.ipv6_dns = address[:15] + bytes([address[15] | 3])

    def inside(address: bytes) -> bool:
        shift = 128 - user.ipv6_prefixlen
        numbers = (int.from_bytes(a, "big") >> shift for a in (address, user.ipv6_prefix))
        return next(numbers) == next(numbers)

    host, dns = option.last("ipv6-host"), option.last("ipv6-dns")
    if host is not None:
        address = inet_pton6(host)
        if address is None:
            complain(f"Failed to parse IPv6 host ({host})")
        elif not inside(address):
            complain(f"IPv6 Host doesn't belong to network ({host})")
        else:
            user.ipv6_host = address
    if dns is not None:
        address = inet_pton6(dns)
        if address is None:
            complain(f"Failed to parse IPv6 DNS ({dns})")
        elif user.restrict and not inside(address):
            complain(f"IPv6 DNS doesn't belong to network ({dns})")
        else:
            user.ipv6_dns = address


def _names(user: UserNet, option: Option, complain: Complain) -> None:
    user.hostname = option.last("hostname")
    user.domainname = option.last("domainname")
    user.tftp_server_name = option.last("tftp-server-name")
    user.bootfile = option.last("bootfile")
    user.dnssearch = option.every("dnssearch")
    if user.domainname == "":
        complain("'domainname' parameter cannot be empty")
    longest = {"domainname": 255, "hostname": 255, "tftp-server-name": 255}
    longest["bootfile"] = BOOTFILE_MAX
    for key, limit in longest.items():
        text = option.last(key)
        if text is not None and len(text.encode()) > limit:
            # QEMU calls this one by the name of its own variable.
            name = "vhostname" if key == "hostname" else key
            complain(
                f"'{name}' parameter cannot exceed {limit} bytes (it has {len(text.encode())})"
            )
