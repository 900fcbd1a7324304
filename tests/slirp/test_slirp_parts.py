"""slirp's smaller parts, each by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.slirp.dnssearch import translate_dnssearch
from desim.slirp.sbuf import Sbuf
from desim.slirp.tcp_var import rangeset, seq_diff, seq_gt, seq_lt, short


class Ring:
    """The simplest model of a ring buffer: its bytes, and where they lie."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.cells: list[int | None] = [None] * size
        self.read = 0
        self.write = 0
        self.count = 0

    def append(self, data: bytes) -> None:
        for byte in data[: self.size - self.count]:
            self.cells[self.write] = byte
            self.write = (self.write + 1) % self.size
            self.count += 1

    def drop(self, count: int) -> None:
        for _ in range(min(count, self.count)):
            self.cells[self.read] = None
            self.read = (self.read + 1) % self.size
            self.count -= 1

    def content(self) -> bytes:
        cells = (self.cells[self.read :] + self.cells[: self.read])[: self.count]
        return bytes(cell for cell in cells if cell is not None)

    def free_at_write(self) -> int:
        """Free cells from the write position on, up to the end of the memory."""
        count = 0
        while self.write + count < self.size and count < self.size - self.count:
            count += 1
        return count


steps = st.lists(
    st.one_of(st.binary(max_size=30), st.integers(0, 40)),
    max_size=40,
)


@given(steps=steps, mss=st.integers(1, 50))
def test_a_buffer_behaves_as_a_ring(steps: list[bytes | int], mss: int) -> None:
    ring, sbuf = Ring(37), Sbuf()
    sbuf.reserve(37)
    for step in steps:
        if isinstance(step, int):
            ring.drop(step)
            sbuf.drop(step)
        else:
            ring.append(step)
            sbuf.append(step)
        assert sbuf.copy(0, sbuf.cc) == ring.content()
        assert sbuf.space() == 37 - ring.count
        first, second = sbuf.readable()
        assert (first, first + second) == (min(ring.count, 37 - ring.read), ring.count)
        first, second = sbuf.writable(mss)
        room = sbuf.space()
        assert first + second == (room - room % mss if room > mss else room)
        assert first == min(first + second, ring.free_at_write())


def test_dropping_below_half_full_is_reported_once() -> None:
    sbuf = Sbuf()
    sbuf.reserve(100)
    sbuf.append(bytes(80))
    assert [sbuf.drop(20), sbuf.drop(15), sbuf.drop(1)] == [False, True, False]


def test_a_new_ring_is_empty() -> None:
    sbuf = Sbuf()
    sbuf.reserve(10)
    sbuf.append(b"0123456789more")
    assert sbuf.cc == 10
    sbuf.reserve(20)
    assert (sbuf.cc, sbuf.space()) == (0, 20)


@given(a=st.integers(0, 2**32 - 1), step=st.integers(1, 2**31 - 1))
def test_sequence_numbers_wrap(a: int, step: int) -> None:
    b = (a + step) & 0xFFFFFFFF
    assert seq_lt(a, b)
    assert seq_gt(b, a)
    assert not seq_lt(a, a)
    assert seq_diff(b, a) == step
    assert seq_diff(a, b) == -step


def test_timers_are_c_shorts() -> None:
    assert [short(32767), short(32768), short(65536)] == [32767, -32768, 0]
    assert [rangeset(1, 2, 24), rangeset(40000, 2, 24), rangeset(100, 2, 24)] == [2, 2, 24]


@pytest.mark.parametrize(
    ("names", "encoded"),
    [
        (["lan"], b"\x77\x05\x03lan\0"),
        (["a.org", "b.org"], b"\x77\x0b\x01a\x03org\0\x01b\xc0\x02"),
        (["bad..org", "x" * 64, ""], b""),
        (["lan."], b"\x77\x05\x03lan\0"),
        (["x.lan", "lan"], b"\x77\x09\x01x\x03lan\0\xc0\x02"),
    ],
)
def test_search_lists_share_their_ends(names: list[str], encoded: bytes) -> None:
    assert translate_dnssearch(names) == encoded


def test_a_long_search_list_takes_several_options() -> None:
    encoded = translate_dnssearch([f"{chr(97 + n) * 60}.{n}" for n in range(8)])
    sizes = []
    while encoded:
        assert encoded[0] == 0x77
        sizes.append(encoded[1])
        encoded = encoded[2 + encoded[1] :]
    assert sizes == [255, 255, 2]
