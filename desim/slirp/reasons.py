"""Why slirp drops a frame, or lets one wait."""

from __future__ import annotations

from desim.reasons import Reason

# Into which protocol a frame of the guest goes.
TOO_SHORT = Reason("frame-too-short", "too short")
ETHERTYPE = Reason("ethertype", "ethertype {ethertype}")
ARP_REFUSED = Reason("arp-refused", "ARP too short or IPv4 off")

# IPv4
IPV4_OFF = Reason("ipv4-off", "IPv4 is off")
IP_HEADER_TOO_SHORT = Reason("ip-header-too-short", "IP header too short")
IP_HEADER = Reason("ip-header", "bad IP version or length")
IP_CHECKSUM = Reason("ip-checksum", "bad IP header checksum")
TTL_0 = Reason("ttl-0", "TTL 0")
TTL_EXCEEDED = Reason("ttl-exceeded", "TTL exceeded")
IP_PROTOCOL = Reason("ip-protocol", "IP protocol {protocol}")
DUPLICATE_FRAGMENT = Reason("duplicate-fragment", "duplicate IP fragment")
REASSEMBLY_TIME = Reason("reassembly-time", "IP reassembly time exceeded")

# IPv6
IP6_REFUSED = Reason("ip6-refused", "bad IPv6 header, or IPv6 off")
IP6_TOO_BIG = Reason("ip6-too-big", "IPv6 packet too big")
IP6_CUT_SHORT = Reason("ip6-cut-short", "IPv6 packet cut short")
HOP_LIMIT_0 = Reason("hop-limit-0", "hop limit 0")
HOP_LIMIT_EXCEEDED = Reason("hop-limit-exceeded", "hop limit exceeded")
IP6_HOP_BY_HOP = Reason(
    "ip6-hop-by-hop", "IPv6 hop-by-hop header (Linux's multicast listener reports; normal)"
)
"""Every guest that speaks IPv6 sends some, and every reader of a report asks."""
IP6_NEXT_HEADER = Reason("ip6-next-header", "IPv6 next header {protocol}")

# What is inside
ICMP_REFUSED = Reason("icmp-refused", "bad ICMP length or checksum")
ICMP_TYPE = Reason("icmp-type", "ICMP type {type}")
ICMP6_REFUSED = Reason("icmp6-refused", "bad ICMPv6 length or checksum")
ICMP6_TYPE = Reason("icmp6-type", "ICMPv6 type {type}")
TCP_REFUSED = Reason("tcp-refused", "bad TCP length or checksum")
UDP_TOO_SHORT = Reason("udp-too-short", "UDP header too short")
UDP_TOO_LONG = Reason("udp-too-long", "UDP length beyond the datagram")
UDP_CHECKSUM = Reason("udp-checksum", "bad UDP checksum")
UDP6_REFUSED = Reason("udp6-refused", "bad UDP length or checksum")
BOOTP_REFUSED = Reason("bootp-refused", "not a BOOTP request, or DHCP off")
DHCP6_KIND = Reason("dhcp6-kind", "not an INFORMATION-REQUEST")
DHCP6_OPTIONS = Reason("dhcp6-options", "bad DHCPv6 options")
TFTP_TOO_SHORT = Reason("tftp-too-short", "TFTP too short")

# Where it was to go
RESTRICTED = Reason("restricted", "restricted")
NO_PING_SOCKET = Reason("no-ping-socket", "no ping socket")
NO_UDP_SOCKET = Reason("no-udp-socket", "no UDP socket")
HOST_CANNOT_SEND = Reason("host-cannot-send", "the host cannot send it")

# Frames for the guest
TO_ANY = Reason("sent-to-any", "sent to 0.0.0.0")
RESOLVING = Reason("resolving", "ARP")
UNRESOLVED = Reason("unresolved", "no answer to ARP")
TOO_LONG = Reason("frame-too-long", "too long a frame")
