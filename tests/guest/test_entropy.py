"""When the kernel's random generator has to make a new key, and who asks it."""

from __future__ import annotations

from collections import Counter
from typing import cast

import pytest
from fakes_net import SLIRP, FakeStream, Guest

from desim.guest.entropy import BATCH_BYTES, Entropy
from desim.guest.net.tcp.tcp_ipv4 import TABLE_PERTURB_BYTES


class Counted(Entropy):
    def __init__(self, *, seeded: bool = False) -> None:
        super().__init__(seeded=seeded)
        self.seen: Counter[str] = Counter()
        self.bytes = 0

    def crng_make_state(self) -> None:
        self.seen["batch"] += 1

    def extract_entropy(self) -> None:
        self.seen["extracted"] += 1

    def get_random_bytes(self, wanted: range) -> None:
        self.bytes += len(wanted)


def counted(guest: Guest) -> Counted:
    return cast("Counted", guest.stack.entropy)


@pytest.fixture
def guest() -> Guest:
    return Guest(build=lambda cls: Counted if cls is Entropy else cls).know_slirp()


def test_a_generator_that_is_not_ready_makes_a_key_for_each_number() -> None:
    entropy = Counted()
    stream = FakeStream("s")
    for _ in range(5):
        entropy.u32(stream)
        entropy.u16(stream)
        entropy.below(stream, 8)
    assert entropy.seen == {"extracted": 15}


def test_a_ready_one_hands_out_batches_one_for_each_width() -> None:
    entropy = Counted(seeded=True)
    stream = FakeStream("s")
    for _ in range(BATCH_BYTES // 4):
        entropy.u32(stream)
    assert entropy.seen == {"batch": 1}
    entropy.below(stream, 8)
    assert entropy.seen == {"batch": 2}
    for _ in range(BATCH_BYTES // 2):
        entropy.u16(stream)
    assert entropy.seen == {"batch": 3}
    entropy.u16(stream)
    assert entropy.seen == {"batch": 4}


def test_numbers_are_those_of_the_stream() -> None:
    entropy = Entropy()
    ours, theirs = FakeStream("s"), FakeStream("s")
    assert entropy.u32(ours) == theirs.u32()
    assert entropy.u16(ours) == theirs.u32() & 0xFFFF
    assert entropy.below(ours, 8) == theirs.below(8)


def connect(guest: Guest, port: int, *, bound: int = 0) -> None:
    sock = guest.stack.tcp_socket()
    if bound:
        sock.bind(bytes(4), bound)
    with pytest.raises(OSError):
        sock.connect(SLIRP, port)


def test_only_the_first_connect_fills_the_table_of_ports(guest: Guest) -> None:
    """256 KiB: 6 ms of a processor with counted instructions, as recorded."""
    assert TABLE_PERTURB_BYTES == 256 << 10
    connect(guest, 80, bound=5000)
    assert counted(guest).bytes == 0
    connect(guest, 80)
    connect(guest, 81)
    assert counted(guest).bytes == TABLE_PERTURB_BYTES


def test_a_connect_asks_for_three_numbers_and_for_two_if_its_port_is_bound(guest: Guest) -> None:
    """The step to the next port, the transmit hash, the first IP identification: an unseeded
    kernel's connect() took 31,000 instructions more than a seeded one's."""
    connect(guest, 80)
    asked = counted(guest).seen["extracted"]
    assert asked == 3
    connect(guest, 80, bound=5000)
    assert counted(guest).seen["extracted"] == asked + 2
