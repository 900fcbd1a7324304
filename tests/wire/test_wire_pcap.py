"""The classic pcap files that we write are read by others as they were meant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from desim.wire import pcapng
from desim.wire.pcap import pcap_header, pcap_record


def test_the_header_is_that_of_a_little_endian_machine() -> None:
    assert pcap_header(96) == bytes.fromhex("d4c3b2a10200040000000000000000006000000001000000")


@given(
    st.lists(st.tuples(st.integers(0, (1 << 31) * 10**9), st.binary(max_size=100))),
    st.integers(1, 120),
)
def test_what_is_written_is_read_back(packets: list[tuple[int, bytes]], snap_len: int) -> None:
    data = pcap_header(snap_len) + b"".join(
        pcap_record(time_ns, raw, snap_len) for time_ns, raw in packets
    )
    assert [(p.time_ns, p.raw, p.size) for p in pcapng.read(data)] == [
        (time_ns // 1000 * 1000, raw[:snap_len], len(raw)) for time_ns, raw in packets
    ]
