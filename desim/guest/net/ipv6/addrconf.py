"""Addresses that an interface gives itself (net/ipv6/addrconf.c; RFC 4862, RFC 4861 section 6.3).

Theory of operation
-------------------
When the link becomes ready, the interface gets the link-local address that follows from
its MAC, and asks whether somebody else has it. Everything else follows from the answer,
which is silence:

    addrconf_notify           link ready: addrconf_add_linklocal
    addrconf_dad_work         in a kworker. First: join the solicited-node group
                              (dev_mc_add, one write of RCTL, and a report by MLD), draw a
                              delay of up to a second. Then: one solicitation from ::.
                              A second later: the address is ours.
    addrconf_dad_completed    of the link-local address: all groups are reported anew, and
                              routers are solicited
    addrconf_rs_timer         again after 4 s, 8 s, 16 s ... (each 10 % more or less, at
                              most an hour), until a router answers
    addrconf_prefix_rcv       a prefix of a router: another address, with a delay and a
                              solicitation of its own; it shares its group with the first

IF_RS_SENT is set after ``ndisc_send_rs`` has returned (see ``desim.guest.net.ipv6.ndisc``
for what follows from that). Solicitations go on for ever, so their timer is marked
periodic, as are the ends of addresses: a run does not wait for either.

State that packets change too is used with soft interrupts off only, where the real code
takes ``idev->lock``.

Not modelled: temporary and stable-privacy addresses, optimistic detection, tokens,
addresses that a program adds, sysctls (all at their defaults), forwarding.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.guest.cpu.context import HZ, Cpu
from desim.guest.net.device import (
    IFF_LOOPBACK,
    NETDEV_CHANGE,
    NETDEV_DOWN,
    NETDEV_REGISTER,
    NETDEV_UP,
    Device,
)
from desim.guest.net.ipv6.if_inet6 import (
    ALL_NODES,
    IF_RA_RCVD,
    IF_READY,
    IF_RS_SENT,
    SCOPE_LINK,
    AddrState,
    Inet6Dev,
    Inet6Devs,
    Inet6IfAddr,
    addr_scope,
    addr_solict_mult,
)
from desim.guest.net.ipv6.ip6 import Ip6
from desim.guest.net.ipv6.mcast import Mcast
from desim.guest.net.ipv6.ndisc import Ndisc
from desim.guest.net.neigh import RETRANS_TIME
from desim.ports import Random
from desim.stages import GUEST, mark, stages
from desim.wire.addresses import IP6_ANY, IP6_LOOPBACK, ip, ip_text, mac_text
from desim.wire.icmpv6_nd import INFINITY_LIFE_TIME, PrefixInfo

FILE = "net/ipv6/addrconf.c"

RTR_SOLICIT_DELAY = HZ
RTR_SOLICIT_INTERVAL = 4 * HZ
RTR_SOLICIT_MAX_INTERVAL = 3600 * HZ
BACKOFF_DRAWS = 200_001
"""How many values the draw of a backoff has, in millionths (RFC 3315, 14)."""
BACKOFF_INIT, BACKOFF_UPDATE = 900_000, 1_900_000
"""Millionths: the least that the first interval is multiplied by, and a later one."""
DAD_TRANSMITS = 1
MAX_ADDRESSES = 16
MIN_VALID_LIFETIME_S = 2 * 3600
NONCE_LEN = 6

_LINKLOCAL = ip("fe80::")


def backoff(least: int, draw: int, interval: int) -> int:
    """What ``draw`` makes of ``interval``; ``least`` is one of those above."""
    return (least + draw) * interval // 1_000_000


def eui64(mac: bytes) -> bytes:
    """The interface's half of an address, from its MAC (RFC 4291 appendix A)."""
    return bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:]


class Addrconf:
    """The addresses of every interface, and how they come and go."""

    STAGES = stages(
        GUEST,
        addrconf_notify=mark("addrconf_notify", file=FILE),
        addrconf_ifdown=mark("addrconf_ifdown", file=FILE),
        addrconf_dad_work=mark("addrconf_dad_work", file=FILE),
        addrconf_dad_begin=mark("addrconf_dad_begin", file=FILE),
        addrconf_dad_completed=mark("addrconf_dad_completed", file=FILE),
        addrconf_dad_failure=mark("addrconf_dad_failure", file=FILE),
        addrconf_rs_timer=mark("addrconf_rs_timer", file=FILE),
        addrconf_prefix_rcv=mark("addrconf_prefix_rcv", file=FILE),
        addrconf_verify_work=mark("addrconf_verify_work", file=FILE),
    )

    def __init__(
        self,
        *,
        cpu: Cpu,
        random: Random,
        devs: Inet6Devs,
        ip6: Ip6,
        mcast: Mcast,
        ndisc: Ndisc,
        log: Callable[[str], None],
    ) -> None:
        self._cpu = cpu
        self._dad_delay = random("dad_delay")
        self._nonce = random("dad_nonce")
        self._backoff = random("rtr_solicit_backoff")
        self._devs = devs
        self._ip6 = ip6
        self._mcast = mcast
        self._ndisc = ndisc
        self._log = log
        self._verify = cpu.work("addrconf_verify_work", self.addrconf_verify_work, periodic=True)

    # Interfaces; in process context.

    def addrconf_notify(self, event: int, device: Device) -> None:
        """Something has happened to an interface."""
        if event == NETDEV_REGISTER:
            self.ipv6_add_dev(device)
            return
        idev = self._devs.of[device]
        if event == NETDEV_DOWN:
            self.addrconf_ifdown(idev)
        elif device.flags & IFF_LOOPBACK:
            self.init_loopback(idev)
        elif not (device.active and device.netif_carrier_ok()):
            return
        elif event == NETDEV_CHANGE and idev.if_flags & IF_READY:
            # The cable may be in another switch now, which wants to know our groups.
            self._mcast.ipv6_mc_up(idev)
        elif event in (NETDEV_UP, NETDEV_CHANGE):
            if event == NETDEV_CHANGE:
                self._log(f"IPv6: ADDRCONF(NETDEV_CHANGE): {device.name}: link becomes ready")
            self._cpu.local_bh_disable()
            idev.if_flags |= IF_READY
            self._cpu.local_bh_enable()
            self._mcast.ipv6_mc_up(idev)
            self.addrconf_add_linklocal(idev)

    def ipv6_add_dev(self, device: Device) -> None:
        """A new interface: it hears what everybody hears."""
        idev = self._devs.of[device] = Inet6Dev(device)
        name = f"addrconf_rs_timer {device.name}"
        idev.rs_timer = self._cpu.timer(name, lambda: self.addrconf_rs_timer(idev), periodic=True)
        self._mcast.ipv6_mc_init_dev(idev)
        if not device.flags & IFF_LOOPBACK:
            self._mcast.ipv6_dev_mc_inc(idev, ALL_NODES)

    def init_loopback(self, idev: Inet6Dev) -> None:
        """::1, which nobody else can have."""
        if not idev.addr_list:
            self.ipv6_add_addr(idev, IP6_LOOPBACK, 128).tentative = False

    def addrconf_ifdown(self, idev: Inet6Dev) -> None:
        """The interface was taken down: forget all that was learned on it."""
        self._cpu.local_bh_disable()
        idev.if_flags &= ~(IF_RS_SENT | IF_RA_RCVD | IF_READY)
        idev.rs_timer.delete()
        self._ip6.rt6_ifdown(idev.device)
        gone = list(idev.addr_list)
        self._cpu.local_bh_enable()
        for ifp in gone:
            self.ipv6_del_addr(ifp)
        self._mcast.ipv6_mc_down(idev)

    # Addresses.

    def addrconf_add_linklocal(self, idev: Inet6Dev) -> None:
        """fe80:: and the interface's half."""
        self._cpu.local_bh_disable()
        address = _LINKLOCAL[:8] + eui64(idev.device.dev_addr)
        if idev.ipv6_get_ifaddr(address) is None:
            self._ip6.set_route(_LINKLOCAL, 64, idev.device, None, None)
            self.addrconf_dad_start(self.ipv6_add_addr(idev, address, 64))
        self._cpu.local_bh_enable()

    def ipv6_add_addr(self, idev: Inet6Dev, address: bytes, prefix_len: int) -> Inet6IfAddr:
        """A new address, tentative; with soft interrupts off."""
        ifp = Inet6IfAddr(idev, address, prefix_len)
        name = f"addrconf_dad_work {ip_text(address)}"
        ifp.dad_work = self._cpu.work(name, lambda: self.addrconf_dad_work(ifp))
        at = 0
        while at < len(idev.addr_list) and idev.addr_list[at].scope > ifp.scope:
            at += 1
        idev.addr_list.insert(at, ifp)
        return ifp

    def ipv6_del_addr(self, ifp: Inet6IfAddr) -> None:
        """An address ends; in process context."""
        idev = ifp.idev
        self._cpu.local_bh_disable()
        joined = ifp.state != AddrState.PREDAD
        ifp.state = AddrState.DEAD
        ifp.dad_work.cancel()
        idev.addr_list.remove(ifp)
        self._cpu.local_bh_enable()
        if joined:
            self._mcast.ipv6_dev_mc_dec(idev, addr_solict_mult(ifp.address))

    # Duplicate address detection.

    def addrconf_dad_start(self, ifp: Inet6IfAddr) -> None:
        """Begin, in a kworker; with soft interrupts off."""
        self._mod_dad_work(ifp, 0)

    def _mod_dad_work(self, ifp: Inet6IfAddr, delay: int) -> None:
        ifp.dad_work.cancel()
        ifp.dad_work.schedule(delay)

    def addrconf_dad_work(self, ifp: Inet6IfAddr) -> None:
        """The next step."""
        cpu = self._cpu
        cpu.local_bh_disable()
        was = ifp.state
        if was == AddrState.PREDAD:
            ifp.state = AddrState.DAD
        elif was == AddrState.ERRDAD:
            ifp.state = AddrState.POSTDAD
        solicits = was == AddrState.DAD and ifp.dad_probes > 0
        if solicits:
            ifp.dad_probes -= 1
            self._mod_dad_work(ifp, RETRANS_TIME)
        elif was == AddrState.DAD:
            ifp.state = AddrState.POSTDAD
            ifp.tentative = False
        cpu.local_bh_enable()
        if was == AddrState.PREDAD:
            self.addrconf_dad_begin(ifp)
        elif solicits:
            device, target = ifp.idev.device, ifp.address
            self._ndisc.ndisc_send_ns(
                device, target, addr_solict_mult(target), IP6_ANY, ifp.dad_nonce
            )
        elif was == AddrState.DAD:
            self.addrconf_dad_completed(ifp)

    def addrconf_dad_begin(self, ifp: Inet6IfAddr) -> None:
        """Listen for those who have or want the address, and wait a random time."""
        self._mcast.ipv6_dev_mc_inc(ifp.idev, addr_solict_mult(ifp.address))
        self._cpu.local_bh_disable()
        nonce = self._nonce.u32() << 16 | self._nonce.below(1 << 16)
        ifp.dad_nonce = nonce.to_bytes(NONCE_LEN, "big")
        ifp.dad_probes = DAD_TRANSMITS
        self._mod_dad_work(ifp, self._dad_delay.below(RTR_SOLICIT_DELAY))
        self._cpu.local_bh_enable()

    def addrconf_dad_completed(self, ifp: Inet6IfAddr) -> None:
        """The address is ours; with a link-local one, the rest of the start follows."""
        if ifp.scope != SCOPE_LINK:
            return
        idev = ifp.idev
        self._mcast.ipv6_mc_dad_complete(idev)
        self._ndisc.ndisc_send_rs(idev.device, ifp.address)
        self._cpu.local_bh_disable()
        idev.rs_interval = self._backoff_init(RTR_SOLICIT_INTERVAL)
        idev.if_flags |= IF_RS_SENT
        self._mod_rs_timer(idev)
        self._cpu.local_bh_enable()

    def addrconf_dad_failure(self, ifp: Inet6IfAddr, mac: bytes) -> None:
        """``mac`` has, or wants, a tentative address of ours: nobody uses it here."""
        if ifp.state not in (AddrState.PREDAD, AddrState.DAD):
            return
        self._log(
            f"IPv6: {ifp.idev.device.name}: IPv6 duplicate address {ip_text(ifp.address)} "
            f"used by {mac_text(mac)} detected!"
        )
        ifp.state = AddrState.ERRDAD
        self._mod_dad_work(ifp, 0)

    # Routers.

    def _backoff_init(self, interval: int) -> int:
        """``rfc3315_s14_backoff_init``: 0.9 to 1.1 times ``interval``."""
        return backoff(BACKOFF_INIT, self._backoff.below(BACKOFF_DRAWS), interval)

    def _backoff_update(self, last: int, most: int) -> int:
        """``rfc3315_s14_backoff_update``: 1.9 to 2.1 times ``last``, about ``most`` at most."""
        longer = backoff(BACKOFF_UPDATE, self._backoff.below(BACKOFF_DRAWS), last)
        return longer if longer <= most else self._backoff_init(most)

    def _mod_rs_timer(self, idev: Inet6Dev) -> None:
        idev.rs_timer.mod(self._cpu.jiffies + idev.rs_interval)

    def addrconf_rs_timer(self, idev: Inet6Dev) -> None:
        """No router has answered in time: ask again. In the timer softirq."""
        src = idev.ipv6_get_lladdr()
        if idev.if_flags & IF_RA_RCVD or src is None:
            return
        self._ndisc.ndisc_send_rs(idev.device, src)
        idev.rs_interval = self._backoff_update(idev.rs_interval, RTR_SOLICIT_MAX_INTERVAL)
        self._mod_rs_timer(idev)

    # Prefixes.

    def addrconf_prefix_rcv(self, idev: Inet6Dev, info: PrefixInfo) -> None:
        """A router offers a prefix: a route, an address, or both. In the receive softirq."""
        prefix, prefix_len = info.prefix, info.prefix_len
        multicast = prefix[0] == 0xFF
        if multicast or addr_scope(prefix) == SCOPE_LINK or info.preferred_s > info.valid_s:
            return
        if prefix_len > 128:
            return
        if info.on_link:
            if info.valid_s:
                expires = self._end(info.valid_s)
                self._ip6.set_route(
                    _masked(prefix, prefix_len), prefix_len, idev.device, None, expires
                )
            else:
                self._ip6.del_route(_masked(prefix, prefix_len), prefix_len, idev.device, None)
        if info.autonomous and prefix_len == 64:
            self.addrconf_prefix_rcv_add_addr(idev, info)

    def _end(self, seconds: int) -> int | None:
        """The jiffy at which a lifetime ends; None: never."""
        return None if seconds == INFINITY_LIFE_TIME else self._cpu.jiffies + seconds * HZ

    def addrconf_prefix_rcv_add_addr(self, idev: Inet6Dev, info: PrefixInfo) -> None:
        """The address of ours in a prefix: make it, or give it a new end."""
        address = info.prefix[:8] + eui64(idev.device.dev_addr)
        valid_s = info.valid_s
        ifp = idev.ipv6_get_ifaddr(address)
        if ifp is None:
            if not valid_s or len(idev.addr_list) >= MAX_ADDRESSES:
                return
            ifp = self.ipv6_add_addr(idev, address, info.prefix_len)
            self.addrconf_dad_start(ifp)
        elif ifp.valid_until is not None:
            # Nobody may end an address at once by saying so (RFC 4862 section 5.5.3 e).
            left_s = max(ifp.valid_until - self._cpu.jiffies, 0) // HZ
            valid_s = max(valid_s, min(left_s, MIN_VALID_LIFETIME_S))
        ifp.valid_until = self._end(valid_s)
        ifp.preferred_until = self._end(info.preferred_s)
        self._look_again()

    def _look_again(self) -> None:
        """Look when the first address ends; with soft interrupts off."""
        ends = [
            ifp.valid_until
            for idev in self._devs.of.values()
            for ifp in idev.addr_list
            if ifp.valid_until is not None
        ]
        self._verify.cancel()
        if ends:
            self._verify.schedule(max(min(ends) - self._cpu.jiffies, 1))

    def addrconf_verify_work(self) -> None:
        """Take away the addresses that have ended."""
        self._cpu.local_bh_disable()
        now = self._cpu.jiffies
        ended = [
            ifp
            for idev in self._devs.of.values()
            for ifp in idev.addr_list
            if ifp.valid_until is not None and ifp.valid_until <= now
        ]
        self._cpu.local_bh_enable()
        for ifp in ended:
            self.ipv6_del_addr(ifp)
        self._cpu.local_bh_disable()
        self._look_again()
        self._cpu.local_bh_enable()


def _masked(prefix: bytes, prefix_len: int) -> bytes:
    """``prefix`` without what is behind its length."""
    number = int.from_bytes(prefix, "big") >> (128 - prefix_len) << (128 - prefix_len)
    return number.to_bytes(16, "big")
