"""Bytes and what they say: addresses, headers, checksums, frames, captures. Knows no time.

Where to look
-------------
* ``addresses``, ``checksum``, ``errors``: what every header needs.
* ``ethernet arp ipv4 icmp udp tcp dhcp dns ipv6 icmpv6``: one codec each, a
  dataclass with ``parse`` (bytes to fields; ``WireError`` for what cannot be read)
  and ``emit`` (fields to bytes, with lengths and checksums).
* ``frame``: the Ethernet frame that travels through the simulation. ``segment``
  and ``parsed``: the fast path for TCP, where a frame carries its fields beside its
  bytes, so that nobody parses or sums them twice.
* ``pcapng``: captures, written and read. ``describe``: any frame in one line.
"""
