"""The user-mode network of a card's recording: the project's slirp at a host without a world.

The recordings' options (``net.user``) are QEMU's own, added to ``-netdev user`` with
IPv6 off. What slirp answers by itself (ARP, ping of the gateway, DHCP, TFTP's refusal)
comes inside the card's access, and nothing else does: the host has its loopback and no
programs, and nobody polls.
"""

from __future__ import annotations

from typing import NoReturn

from desim.devices import UserNet
from desim.errors import RecordingError, UserError
from desim.ports import Clock, NetPort
from desim.scenario.qemu_options import parse_qemu_options
from desim.slirp.client import SlirpState, net_slirp_init
from desim.testing import Host, Ledger, NoLoop


def user_network(options: str, *, clock: Clock, port: NetPort) -> SlirpState:
    """QEMU 7.2's ``-netdev user``, as its client in the net layer.

    Raises ``RecordingError`` for options that QEMU would not take, or that name files.
    """
    user = user_net(options)
    return net_slirp_init(
        user,
        nc=port,
        clock=clock,
        sockets=Host().sockets,
        loop=NoLoop(),
        ledger=Ledger(),
    )


def user_net(options: str) -> UserNet:
    """``net.user`` of a recording."""
    value = ",".join(filter(None, ["user,id=user,ipv6=off", options]))
    try:
        network = parse_qemu_options(
            ["-netdev", value, "-device", "e1000,netdev=user"], open_folder=_no_files
        )
    except UserError as error:
        raise RecordingError(f"net.user: {error}") from error
    user = network.user
    assert user is not None, "-netdev user with a card at it was asked for"
    return user


def _no_files(folder: str) -> NoReturn:
    raise ValueError("a recording names no files")
