"""What ``ethtool`` shows of lo (drivers/net/loopback.c). The rest of that driver is beside the
network core that it belongs to (``desim.guest.net.device``)."""

from __future__ import annotations

from desim.guest.drivers.ethtool import EthtoolOps

_FIXED = """
rx-checksum tx-checksum-ip-generic tx-checksum-sctp tx-scatter-gather
tx-scatter-gather-fraglist highdma vlan-challenged tx-lockless netns-local loopback
"""
_CHANGEABLE = """
tx-tcp-segmentation tx-tcp-ecn-segmentation tx-tcp-mangleid-segmentation tx-tcp6-segmentation
tx-sctp-segmentation tx-udp-segmentation tx-gso-list
"""


class LoopbackEthtool(EthtoolOps):
    """What lo has."""

    hw_features = frozenset(_CHANGEABLE.split())
    features = frozenset(_FIXED.split()) | hw_features
    link_known = True

    def get_link(self) -> bool:
        """There is always link to oneself."""
        return True
