"""The kernel's side of ``ethtool`` (net/ethtool of Linux 6.1): between the tool and the driver.

It checks what the netlink family checks before it asks the driver, in its words, and
leaves the driver alone if nothing would change. What the kernel does for every device
(segmentation in software, GRO) shows among the features whatever the driver is.

Not modelled: setting features, pause parameters and the link; self-test, EEPROM and
register dumps; statistics of the standard groups.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

from desim.guest.net.device import IFF_LOOPBACK, IFF_UP, Device
from desim.userland.errors import failure
from desim.userland.ethtool import (
    EthtoolDevice,
    Feature,
    LinkSettings,
    NetlinkError,
    Rings,
)

UTS_RELEASE = "6.1.0"

_NAMES = """
rx-checksum tx-checksum-ipv4 tx-checksum-ip-generic tx-checksum-ipv6 tx-checksum-fcoe-crc
tx-checksum-sctp tx-scatter-gather tx-scatter-gather-fraglist tx-tcp-segmentation
tx-tcp-ecn-segmentation tx-tcp-mangleid-segmentation tx-tcp6-segmentation
tx-generic-segmentation rx-gro rx-lro rx-vlan-hw-parse tx-vlan-hw-insert rx-ntuple-filter
rx-hashing highdma rx-vlan-filter vlan-challenged tx-lockless netns-local tx-gso-robust
tx-fcoe-segmentation tx-gre-segmentation tx-gre-csum-segmentation tx-ipxip4-segmentation
tx-ipxip6-segmentation tx-udp_tnl-segmentation tx-udp_tnl-csum-segmentation tx-gso-partial
tx-tunnel-remcsum-segmentation tx-sctp-segmentation tx-esp-segmentation tx-udp-segmentation
tx-gso-list fcoe-mtu tx-nocache-copy loopback rx-fcs rx-all tx-vlan-stag-hw-insert
rx-vlan-stag-hw-parse rx-vlan-stag-filter l2-fwd-offload hw-tc-offload esp-hw-offload
esp-tx-csum-hw-offload rx-udp_tunnel-port-offload tls-hw-tx-offload tls-hw-rx-offload rx-gro-hw
tls-hw-record rx-gro-list macsec-hw-offload rx-udp-gro-forwarding hsr-tag-ins-offload
hsr-tag-rm-offload hsr-fwd-offload hsr-dup-offload
"""
FEATURES = tuple(_NAMES.split())
"""All features that the kernel knows, in the tool's order."""

SOFT_FEATURES = frozenset(("tx-generic-segmentation", "rx-gro"))
"""What the kernel does itself for every device (NETIF_F_SOFT_FEATURES): on, and changeable."""
SOFT_FEATURES_OFF = frozenset(("rx-gro-list", "rx-udp-gro-forwarding", "tx-nocache-copy"))
"""The same, off until somebody switches them on."""

_RING_EXTRAS = ("rx-buf-len", "cqe-size", "tx-push")
"""Properties of rings that no driver here can change."""

_U32_ATTRIBUTE = 8
"""Bytes of one number in a netlink message."""
_HEADERS = 24
"""Bytes in front of the device's name: netlink, generic netlink, the nest around the name."""


class Ethtool(EthtoolDevice):
    """What the tool can ask about one device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._ops = device.driver.ethtool_ops()

    def drvinfo(self) -> list[tuple[str, str]]:
        return self._ops.get_drvinfo(UTS_RELEASE)

    def settings(self) -> LinkSettings:
        return self._ops.get_link_ksettings()

    def stats(self) -> list[tuple[str, int]]:
        return self._ops.get_ethtool_stats()

    def rings(self) -> Rings:
        return self._ops.get_ringparam()

    def coalesce(self) -> dict[str, int]:
        return self._ops.get_coalesce()

    def link(self) -> bool | None:
        device = self._device
        if not self._ops.link_known:
            return None
        return bool(device.flags & IFF_UP) and self._ops.get_link()

    def features(self) -> list[Feature]:
        ops = self._ops
        on = ops.features | SOFT_FEATURES
        changeable = ops.hw_features | SOFT_FEATURES | SOFT_FEATURES_OFF
        if self._device.flags & IFF_LOOPBACK:
            changeable -= {"tx-nocache-copy"}
        return [Feature(name, name in on, name not in changeable) for name in FEATURES]

    def set_rings(self, wanted: Mapping[str, int]) -> None:
        now = self._ops.get_ringparam()
        limits = {"rx": now.rx_max, "tx": now.tx_max}
        for at, (name, value) in enumerate(wanted.items()):
            if name in _RING_EXTRAS:
                if value:
                    text = f"setting {name.replace('-', ' ')} not supported"
                    raise self._refused(errno.EOPNOTSUPP, text, at)
            elif value > limits.get(name, 0):
                raise self._refused(errno.EINVAL, "requested ring size exceeds maximum", at)
        rx, tx = wanted.get("rx", now.rx), wanted.get("tx", now.tx)
        if (rx, tx) != (now.rx, now.tx):
            self._ops.set_ringparam(rx, tx)

    def set_coalesce(self, wanted: Mapping[str, int]) -> None:
        if not self._ops.coalesce_params:
            raise failure(errno.EOPNOTSUPP)
        for at, name in enumerate(wanted):
            if name not in self._ops.coalesce_params:
                text = "cannot modify an unsupported parameter"
                raise self._refused(errno.EOPNOTSUPP, text, at)
        now = self._ops.get_coalesce()
        if any(now.get(name, 0) != value for name, value in wanted.items()):
            self._ops.set_coalesce({**now, **wanted})

    def _refused(self, number: int, message: str, at: int) -> NetlinkError:
        """An error about the ``at``-th number of the request."""
        name = -(-(len(self._device.name) + 1) // 4) * 4 + 4
        text = failure(number).strerror or ""
        return NetlinkError(number, text, message, _HEADERS + name + at * _U32_ATTRIBUTE)
