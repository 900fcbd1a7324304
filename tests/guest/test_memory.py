"""The guest's physical memory: bytes, frames beside them, and the allocator."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desim.guest.mm.memory import HEAP, Memory
from desim.wire.frame import Frame

SIZE = 0x200000


def test_what_was_never_written_reads_as_zeros() -> None:
    assert Memory(SIZE).read(0x12345, 7) == bytes(7)


def test_a_write_across_a_page_boundary_reads_back() -> None:
    memory = Memory(SIZE)
    data = bytes(range(256)) * 600
    memory.write(0xFFFE, data)
    assert memory.read(0xFFFE, len(data)) == data


def test_beyond_the_end_reads_zeros_and_writes_disappear() -> None:
    memory = Memory(SIZE)
    memory.write(SIZE - 2, b"abcd")
    memory.write(SIZE + 5, b"x")
    assert memory.read(SIZE - 2, 6) == b"ab\0\0\0\0"


def test_a_frame_comes_back_from_exactly_its_bytes() -> None:
    memory = Memory(SIZE)
    frame = Frame(b"f" * 100)
    memory.write_frame(0x1000, frame.raw, frame)
    assert memory.frame_at(0x1000, 100) is frame
    assert memory.frame_at(0x1000, 99) is None
    assert memory.frame_at(0x1001, 99) is None
    assert memory.read(0x1000, 100) == frame.raw


def test_a_write_into_its_bytes_forgets_the_frame() -> None:
    memory = Memory(SIZE)
    frame = Frame(bytes(5000))
    memory.write_frame(0x1800, frame.raw, frame)
    memory.write(0x1800 + 4999, b"!")
    assert memory.frame_at(0x1800, 5000) is None


def test_a_write_beside_its_bytes_keeps_the_frame() -> None:
    memory = Memory(SIZE)
    frame = Frame(bytes(100))
    memory.write_frame(0x1010, frame.raw, frame)
    memory.write(0x1000, bytes(16))
    memory.write(0x1010 + 100, bytes(16))
    assert memory.frame_at(0x1010, 100) is frame


def test_a_frame_that_does_not_fit_is_not_remembered() -> None:
    memory = Memory(SIZE)
    memory.write_frame(SIZE - 50, bytes(100), Frame(bytes(100)))
    assert memory.frame_at(SIZE - 50, 100) is None


writes = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, 0x3000).map(lambda n: 0xF000 + n),
        st.binary(min_size=0, max_size=3000),
    ),
    max_size=12,
)


@given(writes)
@settings(deadline=None)
def test_memory_equals_a_plain_array_with_a_list_of_frames(
    steps: list[tuple[bool, int, bytes]],
) -> None:
    memory, plain = Memory(SIZE), bytearray(0x14000)
    frames: list[tuple[int, Frame]] = []
    for is_frame, address, data in steps:
        end = address + len(data)
        frames = [(a, f) for a, f in frames if not (data and a < end and address < a + len(f))]
        plain[address:end] = data
        if is_frame:
            frame = Frame(data)
            memory.write_frame(address, data, frame)
            if data:
                frames.append((address, frame))
        else:
            memory.write(address, data)
    assert memory.read(0xF000, 0x5000) == plain[0xF000:0x14000]
    for _, address, data in steps:
        expected = next((f for a, f in frames if a == address and len(f) == len(data)), None)
        assert memory.frame_at(address, len(data)) is expected


def test_a_mapping_is_the_memory_itself() -> None:
    memory = Memory(SIZE)
    memory.write(0x3004, b"abcd")
    ring = memory.map(0x3000, 0x1000)
    assert bytes(ring[4:8]) == b"abcd"
    ring[5] = ord("x")
    memory.write(0x3006, b"y")
    assert memory.read(0x3004, 4) == b"axyd"
    assert bytes(ring[4:8]) == b"axyd"


def test_no_frame_is_remembered_where_a_mapping_may_change_it() -> None:
    memory = Memory(SIZE)
    frame = Frame(b"f" * 100)
    across = 0x4000 - 50
    for address in (0x3100, across):
        memory.write_frame(address, frame.raw, frame)
        memory.map(0x3000, 0x1000)
        assert memory.frame_at(address, 100) is None
        memory.write_frame(address, frame.raw, frame)
        assert memory.frame_at(address, 100) is None
        assert memory.read(address, 100) == frame.raw
        memory.unmap(0x3000, 0x1000)
        memory.write_frame(address, frame.raw, frame)
        assert memory.frame_at(address, 100) is frame


def test_blocks_are_aligned_apart_and_used_again() -> None:
    memory = Memory(SIZE)
    first, second = memory.alloc(1500, align=2048), memory.alloc(1500, align=2048)
    assert first >= HEAP
    assert first % 2048 == second % 2048 == 0
    assert abs(first - second) >= 2048
    memory.free(first)
    assert memory.alloc(2000) == first


def test_no_memory_left_is_address_zero() -> None:
    memory = Memory(HEAP + 0x1000)
    assert memory.alloc(0x1000) == HEAP
    assert memory.alloc(1) == 0


def test_freeing_twice_is_an_error() -> None:
    memory = Memory(SIZE)
    address = memory.alloc(10)
    memory.free(address)
    with pytest.raises(ValueError, match="nothing is allocated"):
        memory.free(address)


@given(st.lists(st.tuples(st.integers(1, 9000), st.integers(0, 12)), max_size=40), st.data())
@settings(deadline=None)
def test_allocated_blocks_never_overlap(
    requests: list[tuple[int, int]], data: st.DataObject
) -> None:
    memory = Memory(SIZE)
    live: dict[int, int] = {}
    for size, power in requests:
        address = memory.alloc(size, align=1 << power)
        assert address % (1 << power) == 0
        assert all(address >= a + s or a >= address + size for a, s in live.items())
        live[address] = size
        if data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(live)))
            memory.free(gone)
            del live[gone]
