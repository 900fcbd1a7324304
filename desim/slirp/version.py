"""Which slirp: each difference between the two that are modelled is one switch here.

``VERSION_4_7`` is libslirp 4.7.0, ``VERSION_2_8`` the stack inside QEMU 2.8
(November 2016). The code asks for a switch by name and never for a version.
"""

from __future__ import annotations

from desim.data import Data
from desim.devices import SlirpVersion


class Version(Data, frozen=True):
    """The switches. Where a comment names a date, that is when slirp changed."""

    name: SlirpVersion
    pads: bool
    """QEMU's glue fills a frame up to 60 bytes on its way to the card (QEMU 6.0)."""
    tcp_sndspace: int
    """Bytes of so_snd before they are rounded up to a multiple of the MSS (July 2019)."""
    tcp_rcvspace: int
    """Bytes of so_rcv, likewise."""
    mss_adds_ip_header: bool
    """The MSS offered is MTU - 20 *plus* the IP header: 1500 instead of 1460 (April 2017)."""
    output_after_sowrite: bool
    """Data taken by the host may open the window, so ``tcp_output`` follows (April 2018)."""
    soread_checks_peer: bool
    """End of stream from a peer that is gone counts as a reset (August 2018)."""
    respond_length: int | None
    """What ``tcp_respond`` writes as the length of its packets, if not their length: the size
    of slirp's own header structure, over IPv6 even in the wrong byte order (May 2017)."""
    net_aliases_loopback: bool
    """Every address of the virtual network, not the host's alone, is the host's loopback."""
    broadcast_aliases_loopback: bool
    """255.255.255.255 stands for the host's loopback."""
    dns_port_only: bool
    """The DNS address forwards port 53 alone (March 2020)."""
    dns_needs_resolver: bool
    """Without a resolver the DNS address is refused; otherwise it is loopback."""
    echo_dns: bool
    """The DNS address answers echo requests itself (April 2017)."""
    udp_ttl: bool
    """A datagram's TTL is decremented and handed on, and 1 is answered with time exceeded."""
    allnodes_aliases_loopback: bool
    """ff02::1 stands for the host's loopback."""
    noconnect_ports: frozenset[int]
    """Remote ports whose connections are answered without any connection on the host: the
    login protocols for which slirp once had its own servers."""
    frame_max: int
    """Bytes; a longer frame for the guest is dropped."""
    udp_errors: bool
    """ICMP errors that reach a UDP socket are forwarded to the guest."""
    next_m: bool
    """``if_start`` takes up the batch queue where the last run stopped (September 2017)."""
    merge_anonymous: bool
    """Frames without a socket form one session in the batch queue."""
    arp_drops_any: bool
    """A frame for 0.0.0.0 is dropped instead of broadcast."""
    bootp_checks_length: bool
    """A BOOTP request that is cut short is ignored; otherwise it is read to its full size, beyond
    its end."""
    dhcp_late_options: bool
    """DHCP options 15, 66 and 60."""
    tftp_blocksize_max: int
    """Bytes; the largest TFTP block (November 2016)."""
    tftp_blocksize_min: int
    """Bytes; a smaller block size is not granted."""
    ip6_checks: bool
    """The length of an IPv6 packet is compared with its frame and the MTU."""
    rdnss_always: bool
    """Router advertisements name the DNS address even if the host has no IPv6 resolver."""
    ncsi: bool
    """Commands of NC-SI are answered (May 2017)."""


VERSION_4_7 = Version(
    name="4.7",
    pads=True,
    tcp_sndspace=131072,
    tcp_rcvspace=131072,
    mss_adds_ip_header=False,
    output_after_sowrite=True,
    soread_checks_peer=True,
    respond_length=None,
    net_aliases_loopback=False,
    broadcast_aliases_loopback=True,
    dns_port_only=True,
    dns_needs_resolver=True,
    echo_dns=True,
    udp_ttl=True,
    allnodes_aliases_loopback=True,
    noconnect_ports=frozenset(),
    frame_max=65621,
    udp_errors=True,
    next_m=False,
    merge_anonymous=False,
    arp_drops_any=False,
    bootp_checks_length=True,
    dhcp_late_options=True,
    tftp_blocksize_max=1428,
    tftp_blocksize_min=1,
    ip6_checks=True,
    rdnss_always=False,
    ncsi=True,
)

VERSION_2_8 = Version(
    name="2.8",
    pads=False,
    tcp_sndspace=8192,
    tcp_rcvspace=8192,
    mss_adds_ip_header=True,
    output_after_sowrite=False,
    soread_checks_peer=False,
    respond_length=68,
    net_aliases_loopback=True,
    broadcast_aliases_loopback=False,
    dns_port_only=False,
    dns_needs_resolver=False,
    echo_dns=False,
    udp_ttl=False,
    allnodes_aliases_loopback=False,
    noconnect_ports=frozenset((513, 514)),
    frame_max=1600,
    udp_errors=False,
    next_m=True,
    merge_anonymous=True,
    arp_drops_any=True,
    bootp_checks_length=False,
    dhcp_late_options=False,
    tftp_blocksize_max=512,
    tftp_blocksize_min=512,
    ip6_checks=False,
    rdnss_always=True,
    ncsi=False,
)

VERSIONS: dict[SlirpVersion, Version] = {"4.7": VERSION_4_7, "2.8": VERSION_2_8}
