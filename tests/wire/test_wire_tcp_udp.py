from __future__ import annotations

import pytest
from hypothesis import given
from wire_strategies import tcp_options

from desim.wire.addresses import ip
from desim.wire.errors import WireError
from desim.wire.tcp import ACK, FIN, PSH, SYN, Tcp, TcpOptions, flags_text, split_options
from desim.wire.udp import Udp

HOST = ip("10.0.2.2")
GUEST = ip("10.0.2.15")


@given(tcp_options.filter(lambda options: len(options.sack) < 2))
def test_options_read_back(options: TcpOptions) -> None:
    raw = options.emit()
    assert len(raw) % 4 == 0
    assert TcpOptions.parse(raw) == options


def test_options_of_linux_syn_are_laid_out_as_linux_does() -> None:
    options = TcpOptions(mss=1460, sack_permitted=True, timestamps=(1, 0), window_scale=5)
    assert options.emit().hex() == "020405b4" + "0402" + "080a0000000100000000" + "01030305"


def test_options_without_timestamps_are_laid_out_as_linux_does() -> None:
    options = TcpOptions(mss=1460, sack_permitted=True, window_scale=7)
    assert options.emit().hex() == "020405b4" + "01010402" + "01030307"


def test_sack_blocks_follow_the_timestamps() -> None:
    options = TcpOptions(timestamps=(1, 2), sack=((10, 20), (30, 40)))
    kinds = [kind for kind, _ in split_options(options.emit())]
    assert kinds == [1, 1, 8, 1, 1, 5]


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(WireError, match="at most 40"):
        TcpOptions(timestamps=(1, 2), sack=((1, 2),) * 4).emit()
    with pytest.raises(WireError, match="does not fit"):
        TcpOptions(mss=65536).emit()
    with pytest.raises(WireError, match="does not fit"):
        TcpOptions(sack=((1, 2),) * 40).emit()


def test_reading_options_ends_at_a_broken_length() -> None:
    assert TcpOptions.parse(bytes.fromhex("020405b4" + "0300" + "0402")) == TcpOptions(mss=1460)
    with pytest.raises(WireError, match="option 3 has length 0"):
        split_options(bytes.fromhex("020405b403000402"))


def test_options_of_wrong_length_are_skipped() -> None:
    assert TcpOptions.parse(bytes.fromhex("020305" + "04020101")) == TcpOptions(sack_permitted=True)


def test_nothing_is_read_behind_the_end_of_options() -> None:
    assert TcpOptions.parse(bytes.fromhex("00020405b4000000")) == TcpOptions()
    assert split_options(bytes.fromhex("0100020405b40000")) == [(1, b"")]


def test_flags_are_written_as_tcpdump_does() -> None:
    assert flags_text(SYN) == "S"
    assert flags_text(SYN | ACK) == "S."
    assert flags_text(FIN | PSH | ACK) == "FP."
    assert flags_text(0) == "none"


def test_bad_tcp_sum_is_seen() -> None:
    raw = Tcp(1, 2, 3, 4, ACK, 5, payload=b"abc").emit(HOST, GUEST)
    assert Tcp.parse(raw, HOST, GUEST).sum_ok
    assert not Tcp.parse(raw[:-1] + b"d", HOST, GUEST).sum_ok
    assert not Tcp.parse(raw, HOST, HOST).sum_ok


@pytest.mark.parametrize("offset", [0x40, 0x60])
def test_impossible_data_offset_is_refused(offset: int) -> None:
    raw = bytearray(Tcp(1, 2, 3, 4, ACK, 5).emit(HOST, GUEST))
    raw[12] = offset
    with pytest.raises(WireError, match="data offset"):
        Tcp.parse(bytes(raw))


@pytest.mark.parametrize(
    "segment",
    [
        Tcp(1, 2, 1 << 32, 0, ACK, 0),
        Tcp(1, 2, 0, 0, ACK, 65536),
        Tcp(-1, 2, 0, 0, ACK, 0),
        Tcp(1, 2, 0, 0, ACK, 0, options=b"x"),
        Tcp(1, 2, 0, 0, 0x1000, 0),
    ],
)
def test_tcp_that_does_not_fit_is_refused(segment: Tcp) -> None:
    with pytest.raises(WireError):
        segment.emit(HOST, GUEST)


def test_bad_udp_sum_is_seen() -> None:
    raw = Udp(68, 67, b"abc").emit(HOST, GUEST)
    assert Udp.parse(raw, HOST, GUEST).sum_ok
    assert not Udp.parse(raw[:-1] + b"d", HOST, GUEST).sum_ok


def test_udp_without_sum_is_fine_over_ipv4_only() -> None:
    raw = bytes.fromhex("0001000200080000")
    assert Udp.parse(raw, HOST, GUEST).sum_ok
    assert not Udp.parse(raw, bytes(16), bytes(16)).sum_ok


def test_udp_sum_of_zero_is_sent_as_ffff() -> None:
    # Ports and lengths chosen so that the words of all headers add up to 0xFFFF.
    raw = Udp(0xFFFF - 17 - 8 - 8, 0).emit(bytes(4), bytes(4))
    assert raw[6:8] == b"\xff\xff"
    assert Udp.parse(raw, bytes(4), bytes(4)).sum_ok


@pytest.mark.parametrize("length", [7, 9])
def test_impossible_udp_length_is_refused(length: int) -> None:
    with pytest.raises(WireError, match=f"length {length}"):
        Udp.parse(bytes((0, 1, 0, 2, 0, length, 0, 0)))


@pytest.mark.parametrize("datagram", [Udp(1 << 16, 1), Udp(1, 2, bytes(65528))])
def test_udp_that_does_not_fit_is_refused(datagram: Udp) -> None:
    with pytest.raises(WireError, match="UDP"):
        datagram.emit(HOST, GUEST)
