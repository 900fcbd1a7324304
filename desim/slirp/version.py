"""Which slirp: each difference between the two that are modelled is one switch here.

``VERSION_4_7`` is libslirp 4.7.0, ``VERSION_2_8`` the stack inside QEMU 2.8
(November 2016). The code asks for a switch by name and never for a version.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Version:
    """The switches. Where a comment names a date, that is when slirp changed."""

    name: str
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
    respond_length_excess: int
    """Bytes by which the IP length of a segment made by ``tcp_respond`` is too large (May 2017)."""
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
    udp_errors: bool
    """ICMP errors that reach a UDP socket are forwarded to the guest."""
    next_m: bool
    """``if_start`` takes up the batch queue where the last run stopped (September 2017)."""
    merge_anonymous: bool
    """Frames without a socket form one session in the batch queue."""
    arp_drops_any: bool
    """A frame for 0.0.0.0 is dropped instead of broadcast."""
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


VERSION_4_7 = Version(
    name="4.7",
    tcp_sndspace=131072,
    tcp_rcvspace=131072,
    mss_adds_ip_header=False,
    output_after_sowrite=True,
    soread_checks_peer=True,
    respond_length_excess=0,
    net_aliases_loopback=False,
    broadcast_aliases_loopback=True,
    dns_port_only=True,
    dns_needs_resolver=True,
    echo_dns=True,
    udp_ttl=True,
    udp_errors=True,
    next_m=False,
    merge_anonymous=False,
    arp_drops_any=False,
    dhcp_late_options=True,
    tftp_blocksize_max=1428,
    tftp_blocksize_min=1,
    ip6_checks=True,
    rdnss_always=False,
)
