"""The counters of /proc/net/snmp, snmp6 and netstat, under their own names.

Nothing is dropped in the stack without one of them going up.
"""

from __future__ import annotations

from collections import defaultdict

Counters = defaultdict[str, int]


class Snmp:
    """One table of counters for each section of the files."""

    __slots__ = ("icmp", "icmp6", "ip", "ip6", "ip_ext", "softnet", "tcp", "tcp_ext", "udp")

    def __init__(self) -> None:
        self.ip: Counters = defaultdict(int)
        self.ip_ext: Counters = defaultdict(int)
        self.icmp: Counters = defaultdict(int)
        self.ip6: Counters = defaultdict(int)
        self.icmp6: Counters = defaultdict(int)
        self.tcp: Counters = defaultdict(int)
        self.udp: Counters = defaultdict(int)
        self.tcp_ext: Counters = defaultdict(int)
        self.softnet: Counters = defaultdict(int)
        """``/proc/net/softnet_stat``, and packets of no known protocol."""

    def table(self) -> dict[str, dict[str, int]]:
        """All counters that have counted, by section."""
        return {
            "Ip": dict(self.ip),
            "IpExt": dict(self.ip_ext),
            "Icmp": dict(self.icmp),
            "Ip6": dict(self.ip6),
            "Icmp6": dict(self.icmp6),
            "Tcp": dict(self.tcp),
            "Udp": dict(self.udp),
            "TcpExt": dict(self.tcp_ext),
            "Softnet": dict(self.softnet),
        }
