from __future__ import annotations

import io
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import needs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_exchange import exchange

from desim import __version__
from desim.wire.errors import WireError
from desim.wire.pcapng import INBOUND, OUTBOUND, Packet, PcapngWriter, read

packets = st.lists(
    st.builds(
        lambda time_ns, raw, interface, direction, comment: Packet(
            time_ns, raw, len(raw), interface, ("slirp", "nic")[interface], direction, comment
        ),
        st.integers(0, 2**64 - 1),
        st.binary(max_size=70),
        st.integers(0, 1),
        st.none() | st.sampled_from([INBOUND, OUTBOUND]),
        st.text(st.characters(codec="utf-8"), max_size=9),
    ),
    max_size=5,
)


def writer() -> PcapngWriter:
    """One with the interfaces "slirp" and "nic"."""
    capture = PcapngWriter()
    assert capture.interface("slirp") == 0
    assert capture.interface("nic") == 1
    return capture


@given(packets)
def test_capture_reads_back(given: list[Packet]) -> None:
    capture = writer()
    for packet in given:
        capture.packet(
            packet.interface, packet.time_ns, packet.raw, packet.direction, packet.comment
        )
    assert read(capture.to_bytes()) == given
    assert capture.packets == len(given)


def test_capture_depends_on_nothing_but_its_packets() -> None:
    def one() -> bytes:
        file = io.BytesIO()
        capture = writer()
        capture.packet(0, 5, b"abc")
        assert capture.write_to(file) == len(file.getvalue())
        return file.getvalue()

    assert one() == one()


def test_section_names_the_program_that_wrote_it() -> None:
    assert f"desim {__version__}".encode() in PcapngWriter().to_bytes()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((2, 0, b""), "interface 2"),
        ((0, -1, b""), "time -1"),
        ((0, 1 << 64, b""), "time"),
        ((0, 0, b"", 3), "direction 3"),
        ((0, 0, b"", None, "x" * 65536), "65536 bytes"),
    ],
)
def test_packet_that_does_not_fit_is_refused(arguments: tuple[int, int, bytes], why: str) -> None:
    with pytest.raises(WireError, match=why):
        writer().packet(*arguments)


def classic(order: str, magic: int, *records: tuple[int, int, bytes], linktype: int = 1) -> bytes:
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, linktype)
    for seconds, fraction, raw in records:
        out += struct.pack(order + "IIII", seconds, fraction, len(raw), 100) + raw
    return out


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_classic_pcap_is_read(order: str, magic: int, unit_ns: int) -> None:
    data = classic(order, magic, (1, 2, b"abc"), (3, 4, b""))
    assert read(data) == [
        Packet(1_000_000_000 + 2 * unit_ns, b"abc", 100),
        Packet(3_000_000_000 + 4 * unit_ns, b"", 100),
    ]


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, options: bytes = b"", linktype: int = 1, snap_len: int = 0) -> bytes:
    return block(order, 1, struct.pack(order + "HHI", linktype, 0, snap_len) + options)


def enhanced(order: str, ticks: int, raw: bytes, number: int = 0) -> bytes:
    head = struct.pack(order + "5I", number, ticks >> 32, ticks & 0xFFFFFFFF, len(raw), len(raw))
    return block(order, 6, head + raw)


@pytest.mark.parametrize("order", ["<", ">"])
def test_stamps_of_others_are_in_microseconds(order: str) -> None:
    data = section(order) + interface(order) + enhanced(order, 7 << 32, b"abc")
    assert read(data) == [Packet((7 << 32) * 1000, b"abc", 3)]


@pytest.mark.parametrize(
    ("resolution", "ticks", "time_ns"),
    [(0, 3, 3_000_000_000), (3, 5, 5_000_000), (0x81, 1, 500_000_000)],
)
def test_stamps_in_other_units(resolution: int, ticks: int, time_ns: int) -> None:
    option = struct.pack("<HHI", 9, 1, resolution)
    data = section("<") + interface("<", option) + enhanced("<", ticks, b"")
    assert read(data)[0].time_ns == time_ns


def test_stamps_may_have_an_offset() -> None:
    option = struct.pack("<HHq", 14, 8, 2)
    data = section("<") + interface("<", option) + enhanced("<", 1, b"")
    assert read(data)[0].time_ns == 2_000_001_000


def test_simple_packets_have_no_stamp() -> None:
    packet = block("<", 3, struct.pack("<I", 10) + b"abcd")
    data = section("<") + interface("<", snap_len=4) + packet
    assert read(data) == [Packet(0, b"abcd", 10)]


def test_other_blocks_are_skipped() -> None:
    data = section("<") + interface("<") + block("<", 5, bytes(12)) + enhanced("<", 1, b"a")
    assert len(read(data)) == 1


def test_sections_have_interfaces_of_their_own() -> None:
    first = section("<") + interface("<") + enhanced("<", 1, b"a")
    with pytest.raises(WireError, match="interface 0, but only 0"):
        read(first + section(">") + enhanced(">", 1, b"a"))
    assert len(read(first + section(">") + interface(">") + enhanced(">", 1, b"a"))) == 2


GOOD = section("<") + interface("<")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "starts with"),
        (b"GIF89a", "starts with"),
        (b"\xd4\xc3\xb2\xa1", "file header"),
        (classic("<", 0xA1B2C3D4) + bytes(15), "record at 24"),
        (classic("<", 0xA1B2C3D4, (1, 2, b"abc"))[:-1], "packet at 40"),
        (classic("<", 0xA1B2C3D4, (1, 2, b"abc"), linktype=101), "link type 101"),
        (b"\x0a\x0d\x0d\x0a" + bytes(20), "byte order mark"),
        (GOOD + bytes(8), "past the end"),
        (GOOD + struct.pack("<III", 6, 8, 8), "length 8"),
        (GOOD + struct.pack("<III", 6, 16, 8), "length 16"),
        (GOOD + struct.pack("<IIII", 6, 16, 0, 20), "differ"),
        (GOOD + block("<", 6, bytes(16)), "too short for a packet"),
        (GOOD + block("<", 3, b""), "too short for a packet"),
        (GOOD + block("<", 3, b"\xff\0\0\0"), "255 bytes"),
        (GOOD + block("<", 1, bytes(4)), "too short for an interface"),
        (GOOD + enhanced("<", 1, b"a", 1), "interface 1"),
        (GOOD + block("<", 6, struct.pack("<5I", 0, 0, 0, 9, 9)), "9 bytes"),
        (section("<") + interface("<", linktype=101) + enhanced("<", 1, b""), "link type 101"),
        (section("<") + interface("<", struct.pack("<HH", 9, 9)), "option 9 runs"),
        (section("<") + interface("<", struct.pack("<HHI", 9, 2, 9)), "if_tsresol"),
        (section("<") + interface("<", struct.pack("<HHI", 14, 4, 9)), "if_tsoffset"),
        (
            GOOD + block("<", 6, struct.pack("<5IHHI", 0, 0, 0, 0, 0, 2, 2, 1)),
            "epb_flags",
        ),
    ],
)
def test_broken_capture_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        read(data)


def test_number_of_packets_is_limited() -> None:
    with pytest.raises(WireError, match="more than 2 packets"):
        read(classic("<", 0xA1B2C3D4, *[(0, 0, b"")] * 3), max_packets=2)


@given(packets, st.data())
def test_damaged_capture_is_read_or_refused(given: list[Packet], data: st.DataObject) -> None:
    capture = writer()
    for packet in given:
        capture.packet(packet.interface, packet.time_ns, packet.raw, packet.direction, "x")
    raw = bytearray(capture.to_bytes())
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        raw[at] = data.draw(st.integers(0, 255))
    with suppress(WireError):
        read(bytes(raw))


CHAT = 0x200000
"""PI_CHAT of Wireshark's expert information; notes, warnings and errors are above it."""


@needs.tshark
def test_tshark_finds_nothing_wrong(tmp_path: Path) -> None:
    capture = writer()
    frames = exchange()
    for number, raw in enumerate(frames):
        capture.packet(number & 1, number * 1_000_001, raw, (INBOUND, OUTBOUND)[number & 1])
    path = tmp_path / "capture.pcapng"
    with path.open("wb") as file:
        capture.write_to(file)
    options = ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"]
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "separator=;"]
    for option in options:
        command += ["-o", f"{option}:TRUE"]
    for field in (
        "frame.time_epoch",
        "frame.interface_name",
        "_ws.malformed",
        "_ws.expert.severity",
    ):
        command += ["-e", field]
    sums = ("ip", "tcp", "udp", "icmp", "icmpv6")
    for protocol in sums:
        command += ["-e", f"{protocol}.checksum.status"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    lines = [line.split(";") for line in run.stdout.splitlines()]
    assert len(lines) == len(frames)
    for number, (stamp, name, malformed, severities, *status) in enumerate(lines):
        assert stamp == f"0.{number * 1_000_001:09d}"
        assert name == ("slirp", "nic")[number & 1]
        assert malformed == ""
        assert all(int(each) <= CHAT for each in severities.split(",") if each)
        assert set(status) <= {"", "1", "Good"}
    # Each checksum has been looked at in some frame.
    assert all(any(line[4 + column] for line in lines) for column in range(len(sums)))
