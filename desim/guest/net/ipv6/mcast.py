"""Groups of the link and their reports (net/ipv6/mcast.c; RFC 3810, MLDv2, the listener's side).

Theory of operation
-------------------
A group is joined as often as somebody asks, and the device is told once. A change is
reported ``mc_qrv`` = 2 times: two to three jiffies after it, and once more after a
random delay of up to a second. As long as the link-local address is tentative, reports
come from ::. So when that address is found to be nobody else's, all groups are reported
anew, at once and after a random delay, from it. That makes the four reports of a start.

    __ipv6_dev_mc_inc    join: dev_mc_add, then mld_ifc_event
    mld_ifc_work         changes of state: all that is still to be reported, in one report
    ipv6_mc_dad_complete the address is ours: mld_send_initial_cr, then mld_dad_work

ff02::1 (all nodes) is joined, but never reported.

Not modelled: queries and their answers (slirp asks nobody), MLDv1, sources.
"""

from __future__ import annotations

from desim.guest.cpu.context import HZ, Cpu
from desim.guest.net.device import IFF_UP
from desim.guest.net.ipv6.if_inet6 import IfMcaddr6, Inet6Dev
from desim.guest.net.ipv6.ip6 import Ip6
from desim.guest.net.snmp import Snmp
from desim.ports import Random
from desim.stages import GUEST, mark, stages
from desim.wire.addresses import IP6_ANY, multicast_mac
from desim.wire.icmpv6_mld import (
    ALL_MLD2_ROUTERS,
    MLD2_CHANGE_TO_EXCLUDE,
    MLD2_CHANGE_TO_INCLUDE,
    ROUTER_ALERT,
    GroupRecord,
    mld2_report,
)
from desim.wire.ipv6 import NEXT_HOP_BY_HOP, Ipv6

FILE = "net/ipv6/mcast.c"

MLD_QRV_DEFAULT = 2
UNSOLICITED_REPORT_INTERVAL = HZ
"""``mldv2_unsolicited_report_interval``."""
MLD_HOP_LIMIT = 1


class Mcast:
    """The groups of every interface."""

    STAGES = stages(
        GUEST,
        ipv6_dev_mc_inc=mark("__ipv6_dev_mc_inc", file=FILE),
        ipv6_dev_mc_dec=mark("__ipv6_dev_mc_dec", file=FILE),
        ipv6_mc_up=mark("ipv6_mc_up", file=FILE),
        ipv6_mc_down=mark("ipv6_mc_down", file=FILE),
        mld_ifc_work=mark("mld_ifc_work", file=FILE),
        mld_dad_work=mark("mld_dad_work", file=FILE),
        mld_sendpack=mark("mld_sendpack", file=FILE),
    )

    def __init__(self, *, cpu: Cpu, snmp: Snmp, random: Random, ip6: Ip6) -> None:
        self._cpu = cpu
        self._mib = snmp.icmp6
        self._random = random("mld_report_delay")
        self._ip6 = ip6

    def ipv6_mc_init_dev(self, idev: Inet6Dev) -> None:
        """Prepare a new interface."""
        name = idev.device.name
        idev.mc_ifc_work = self._cpu.work(f"mld_ifc_work {name}", lambda: self.mld_ifc_work(idev))
        idev.mc_dad_work = self._cpu.work(f"mld_dad_work {name}", lambda: self.mld_dad_work(idev))

    # Membership; in process context.

    def ipv6_dev_mc_inc(self, idev: Inet6Dev, group: bytes) -> None:
        """Join ``group``."""
        for mc in idev.mc_list:
            if mc.mca_addr == group:
                mc.users += 1
                return
        mc = IfMcaddr6(group)
        self._cpu.local_bh_disable()
        idev.mc_list.insert(0, mc)
        idev.mc_tomb = [tomb for tomb in idev.mc_tomb if tomb[0].group != group]
        self._cpu.local_bh_enable()
        self.igmp6_group_added(idev, mc)

    def ipv6_dev_mc_dec(self, idev: Inet6Dev, group: bytes) -> None:
        """Leave ``group``, once."""
        for mc in idev.mc_list:
            if mc.mca_addr == group:
                mc.users -= 1
                if not mc.users:
                    self._cpu.local_bh_disable()
                    idev.mc_list.remove(mc)
                    self._cpu.local_bh_enable()
                    self.igmp6_group_dropped(idev, mc)
                return

    def igmp6_group_added(self, idev: Inet6Dev, mc: IfMcaddr6) -> None:
        """Tell the device, and the link if somebody may want to know."""
        if not mc.loaded:
            mc.loaded = True
            idev.device.dev_mc_add(multicast_mac(mc.mca_addr))
        if idev.device.flags & IFF_UP and not mc.noreport:
            mc.mca_crcount = MLD_QRV_DEFAULT
            self.mld_ifc_event(idev)

    def igmp6_group_dropped(self, idev: Inet6Dev, mc: IfMcaddr6) -> None:
        """Tell the device and the link that we have left."""
        if mc.loaded:
            mc.loaded = False
            idev.device.dev_mc_del(multicast_mac(mc.mca_addr))
        if idev.device.flags & IFF_UP and not mc.noreport:
            left = GroupRecord(MLD2_CHANGE_TO_INCLUDE, mc.mca_addr)
            idev.mc_tomb.append((left, MLD_QRV_DEFAULT))
            self.mld_ifc_event(idev)

    def ipv6_mc_up(self, idev: Inet6Dev) -> None:
        """The link is there (again): join, and report, everything."""
        for mc in idev.mc_list:
            self.igmp6_group_added(idev, mc)

    def ipv6_mc_down(self, idev: Inet6Dev) -> None:
        """The interface was taken down: nothing is reported any more."""
        for mc in idev.mc_list:
            self.igmp6_group_dropped(idev, mc)
        idev.mc_ifc_work.cancel()
        idev.mc_dad_work.cancel()
        idev.mc_ifc_count = idev.mc_dad_count = 0
        idev.mc_tomb.clear()

    # Changes of state.

    def mld_ifc_event(self, idev: Inet6Dev) -> None:
        """Something has changed: two reports."""
        idev.mc_ifc_count = MLD_QRV_DEFAULT
        idev.mc_ifc_work.cancel()
        idev.mc_ifc_work.schedule(self._delay(1))

    def _delay(self, most: int) -> int:
        """Jiffies: random, and two more."""
        return self._random.below(most) + 2

    def mld_ifc_work(self, idev: Inet6Dev) -> None:
        """In a kworker: report what has changed; once more later."""
        self.mld_send_cr(idev)
        if idev.mc_ifc_count:
            idev.mc_ifc_count -= 1
            if idev.mc_ifc_count:
                idev.mc_ifc_work.cancel()
                idev.mc_ifc_work.schedule(self._delay(UNSOLICITED_REPORT_INTERVAL))

    def mld_send_cr(self, idev: Inet6Dev) -> None:
        """A report of everything that is still to be reported, if there is anything."""
        records = [record for record, _ in idev.mc_tomb]
        idev.mc_tomb = [(record, count - 1) for record, count in idev.mc_tomb if count > 1]
        for mc in idev.mc_list:
            if mc.mca_crcount:
                mc.mca_crcount -= 1
                records.append(GroupRecord(MLD2_CHANGE_TO_EXCLUDE, mc.mca_addr))
        if records:
            self.mld_sendpack(idev, records)

    # When the link-local address is known to be ours.

    def ipv6_mc_dad_complete(self, idev: Inet6Dev) -> None:
        """Report all groups from the address that is ours now: two reports."""
        self.mld_send_initial_cr(idev)
        idev.mc_dad_count = MLD_QRV_DEFAULT - 1
        self._mld_dad_start_work(idev)

    def _mld_dad_start_work(self, idev: Inet6Dev) -> None:
        idev.mc_dad_work.cancel()
        idev.mc_dad_work.schedule(self._delay(UNSOLICITED_REPORT_INTERVAL))

    def mld_dad_work(self, idev: Inet6Dev) -> None:
        """In a kworker: report all groups once more."""
        self.mld_send_initial_cr(idev)
        if idev.mc_dad_count:
            idev.mc_dad_count -= 1
            if idev.mc_dad_count:
                self._mld_dad_start_work(idev)

    def mld_send_initial_cr(self, idev: Inet6Dev) -> None:
        """A report of all groups."""
        records = [
            GroupRecord(MLD2_CHANGE_TO_EXCLUDE, mc.mca_addr)
            for mc in idev.mc_list
            if not mc.noreport
        ]
        if records:
            self.mld_sendpack(idev, records)

    def mld_sendpack(self, idev: Inet6Dev, records: list[GroupRecord]) -> None:
        """Send a report to the routers that listen for reports."""
        src = idev.ipv6_get_lladdr() or IP6_ANY
        report = mld2_report(records).emit(src, ALL_MLD2_ROUTERS)
        self._mib["OutMsgs"] += 1
        self._mib["OutMLDv2Reports"] += 1
        packet = Ipv6(src, ALL_MLD2_ROUTERS, NEXT_HOP_BY_HOP, ROUTER_ALERT + report, MLD_HOP_LIMIT)
        self._ip6.ip6_output(packet, idev.device)
