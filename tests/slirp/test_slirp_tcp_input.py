"""TCP input: segments that overlap what is there already, and TIME_WAIT (slirp/tcp_input.c)."""

from __future__ import annotations

from hostile import GUEST, GUEST_MAC, HOST, HOST_MAC, Bed, arp_reply, versions

from desim.slirp.version import Version
from desim.wire.segment import Segment, build_segment

FIN, SYN, ACK = 1, 2, 16
SPORT, DPORT = 3000, 80
ISS = 1000
FIRST = ISS + 1
"""The sequence number of the guest's first byte."""
MSS_500 = bytes.fromhex("020401f4")


class Guest:
    """A guest with one connection to the host's program on port 80."""

    def __init__(self, version: Version) -> None:
        self.bed = Bed(version, hostfwd=[])
        self.bed.guest(arp_reply())
        self.ack = 0
        (syn,) = self.answers(self.raw(SYN, ISS))
        self.ack = syn.seq + 1
        assert not self.answers(self.raw(ACK, FIRST))

    def raw(self, flags: int, seq: int, data: bytes = b"", options: bytes = b"") -> bytes:
        """A frame of the guest's."""
        ends = (HOST_MAC, GUEST_MAC, GUEST, HOST, SPORT, DPORT)
        head = (seq, self.ack, flags, 65535)
        return build_segment(
            *ends, *head, data, ident=1, ttl=64, tos=0, df=True, options=options
        ).raw

    def answers(self, raw: bytes) -> list[Segment]:
        """slirp's segments for a frame of the guest's."""
        return [frame.segment for frame in self.bed.guest(raw) if frame.segment is not None]

    def acknowledged(self, flags: int, seq: int, data: bytes = b"") -> int:
        """Up to where slirp has the guest's bytes after this segment, at the latest in 1 s."""
        before = len(self.bed.wire.sent)
        self.bed.guest(self.raw(flags | ACK, seq, data))
        self.bed.wait(1)
        last = self.bed.wire.sent[before:][-1].segment
        assert last is not None
        return last.ack


@versions
def test_a_new_fin_behind_data_that_came_before_is_taken(version: Version) -> None:
    guest = Guest(version)
    assert guest.acknowledged(0, FIRST, b"abc") == FIRST + 3
    assert guest.acknowledged(FIN, FIRST, b"abc") == FIRST + 4
    assert guest.bed.delivered() == [b"abc"]


@versions
def test_a_fin_that_came_before_is_not_taken_twice(version: Version) -> None:
    guest = Guest(version)
    assert guest.acknowledged(FIN, FIRST, b"abc") == FIRST + 4
    assert guest.acknowledged(FIN, FIRST, b"abc") == FIRST + 4
    assert guest.acknowledged(FIN, FIRST + 3) == FIRST + 4


@versions
def test_a_segment_all_of_which_waits_already_is_forgotten(version: Version) -> None:
    """If it stayed, empty, it would be the last to be delivered, and it has no FIN."""
    guest = Guest(version)
    assert guest.acknowledged(FIN, FIRST + 3, b"defg") == FIRST
    assert guest.acknowledged(0, FIRST + 3, b"de") == FIRST
    assert guest.acknowledged(0, FIRST, b"abc") == FIRST + 8
    assert b"".join(guest.bed.delivered()) == b"abcdefg"


@versions
def test_a_segment_covers_one_that_waits_and_that_is_forgotten(version: Version) -> None:
    guest = Guest(version)
    assert guest.acknowledged(0, FIRST + 3, b"d") == FIRST
    assert guest.acknowledged(FIN, FIRST + 2, b"cdef") == FIRST
    assert guest.acknowledged(0, FIRST, b"ab") == FIRST + 7
    assert b"".join(guest.bed.delivered()) == b"abcdef"


@versions
def test_a_segment_that_ends_where_one_that_waits_ends_takes_its_place(version: Version) -> None:
    """If that stayed, empty, it would be the last to be delivered, and it has no FIN."""
    guest = Guest(version)
    assert guest.acknowledged(0, FIRST + 3, b"d") == FIRST
    assert guest.acknowledged(FIN, FIRST + 2, b"cd") == FIRST
    assert guest.acknowledged(0, FIRST, b"ab") == FIRST + 5
    assert b"".join(guest.bed.delivered()) == b"abcd"


@versions
def test_a_new_ack_in_time_wait_starts_its_10_seconds_again(version: Version) -> None:
    """Only an odd guest gets there: by another MSS late, which empties slirp's buffer.

    After that slirp takes the first ACK for one of its FIN, and bytes it has sent are not
    acknowledged when TIME_WAIT begins.
    """
    guest = Guest(version)
    bed = guest.bed
    bed.host.host_send("s.1", bytes(3000), False)
    bed.host.host_close("s.1", False)
    bed.poll()
    bed.guest(guest.raw(SYN, ISS, options=MSS_500))
    guest.ack += 1
    bed.guest(guest.raw(ACK, FIRST))
    bed.guest(guest.raw(FIN | ACK, FIRST))
    bed.wait(6)
    guest.ack += 1
    bed.guest(guest.raw(ACK, FIRST + 1))
    bed.wait(9)
    assert bed.held()["TCP"] == 1
    bed.wait(2)
    assert bed.held()["TCP"] == 0
