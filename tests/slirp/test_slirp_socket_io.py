"""What the host does not take at once waits in so_rcv: in its order, and with the end behind it."""

from __future__ import annotations

from hostile import versions
from test_slirp_tcp_input import FIN, FIRST, Guest

from desim.slirp.version import Version

HOST = "s.1"
"""The host's end of the guest's connection."""


def told(guest: Guest) -> list[str]:
    """What the host's program was told, by kind."""
    return [event["ev"] for event in guest.bed.host.events if event.get("conn") == HOST]


@versions
def test_the_host_sees_the_end_when_it_has_taken_what_waited(version: Version) -> None:
    guest = Guest(version)
    guest.bed.host.host_accept_bytes(HOST, 2)
    assert guest.acknowledged(FIN, FIRST, b"abcd") == FIRST + 5
    assert guest.bed.delivered() == [b"ab"]
    assert "host_eof" not in told(guest)
    guest.bed.host.host_accept_bytes(HOST, None)
    guest.bed.wait(1)
    assert b"".join(guest.bed.delivered()) == b"abcd"
    assert told(guest)[-1] == "host_eof"


@versions
def test_new_data_does_not_overtake_what_waits(version: Version) -> None:
    guest = Guest(version)
    guest.bed.host.host_accept_bytes(HOST, 2)
    assert guest.acknowledged(0, FIRST, b"abcd") == FIRST + 4
    guest.bed.host.host_accept_bytes(HOST, None)
    # No poll in between: slirp has not looked at the socket since.
    guest.bed.guest(guest.raw(16, FIRST + 4, b"ef"))
    guest.bed.wait(1)
    assert b"".join(guest.bed.delivered()) == b"abcdef"
