"""NC-SI: the answers of libslirp 4.7.0 to a management controller's commands."""

from __future__ import annotations

import pytest
from hostile import GUEST_MAC, Bed, versions

from desim.slirp.version import VERSION_2_8, VERSION_4_7, Version

NOBODY = b"\xff" * 6


def command(kind: int, channel: int = 0, number: int = 0x21, controller: int = 0) -> bytes:
    head = bytes((controller, 1, 0, number, kind, channel, 0, 0))
    return NOBODY + GUEST_MAC + b"\x88\xf8" + head + bytes(8)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (command(0x00), "0001002180000004000000000000000000000000ffff7fda"),
        (command(0x05, 3, 0xFF), "000100ff85030004000000000000000000000000ffff79f9"),
        (command(0x00, controller=5), "0501002180000004000000000000000000000000ffff7ada"),
        (
            command(0x0A),
            "000100218a000010" + "00" * 8 + "00000000000000010000000000000000ffff75cd",
        ),
        (
            command(0x16),
            "0001002196000020" + "00" * 12 + "ff" * 20 + "000000020000ff00fff46ac6",
        ),
        (command(0x1B), "000100219b000008" + "00" * 16 + "ffff64d6"),
        (command(0x52), "00010021d2000014" + "00" * 28 + "ffff2dca"),
        # Nothing of it is known, and even an answer is answered.
        (command(0x71), "00010021f1000000" + "00" * 8 + "ffff0ede"),
        (command(0x80), "0001002100000000" + "00" * 8 + "ffffffde"),
    ],
)
def test_a_command_is_answered_at_once_to_everybody(sent: bytes, answer: str) -> None:
    (frame,) = Bed(VERSION_4_7).guest(sent + bytes(30))
    assert frame.raw.hex() == "ff" * 12 + "88f8" + answer


@pytest.mark.parametrize("kind", [0x18, 0x19, 0x1A])
def test_statistics_are_all_zero(kind: int) -> None:
    (frame,) = Bed(VERSION_4_7).guest(command(kind))
    assert frame.raw[30:-4] == bytes(172)


def test_a_command_that_is_cut_short_is_dropped() -> None:
    bed = Bed(VERSION_4_7)
    assert not bed.guest(command(0)[:-1])
    assert bed.ledger.reasons == ["slirp: too short"]


def test_the_older_stack_does_not_know_the_type() -> None:
    bed = Bed(VERSION_2_8)
    assert not bed.guest(command(0))
    assert bed.ledger.reasons == ["slirp: ethertype 88f8"]


@versions
def test_no_command_is_more_than_an_answer(version: Version) -> None:
    bed = Bed(version)
    at_rest = bed.held()
    for kind in range(256):
        assert len(bed.guest(command(kind))) == version.ncsi
    assert bed.held() == at_rest
