"""User-mode networking: slirp, as QEMU 2.8 and libslirp 4.7 have it."""

from desim.slirp.client import SlirpState, net_slirp_init
from desim.slirp.slirp import Connection, Slirp
from desim.slirp.version import VERSION_2_8, VERSION_4_7, Version

__all__ = [
    "VERSION_2_8",
    "VERSION_4_7",
    "Connection",
    "Slirp",
    "SlirpState",
    "Version",
    "net_slirp_init",
]
