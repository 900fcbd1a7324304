"""Captures: a pcapng writer, and a reader for pcapng and classic pcap.

From the IETF draft "PCAP Next Generation (pcapng) Capture File Format", sections
4.1 (section header), 4.2 (interface description), 4.3 (enhanced packet), and
"PCAP Capture File Format". Stamps are nanoseconds of virtual time.

What is written depends on nothing but what was captured: no wall clock, no
host name, no path.

Not modelled: name resolution, statistics, secrets and other block types; the
reader skips them, and refuses link types other than Ethernet only where a packet
of them turns up.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import BinaryIO, NoReturn

from desim.version import __version__
from desim.wire.errors import WireError

LINKTYPE_ETHERNET = 1

Bytes = bytes | mmap
"""A file's contents."""

_SECTION = b"\x0a\x0d\x0d\x0a"
"""How a section, and so the file, begins."""
_SHB = 0x0A0D0D0A
_IDB = 0x00000001
_SPB = 0x00000003
_EPB = 0x00000006
_BYTE_ORDER = 0x1A2B3C4D

_OPT_COMMENT = 1
_SHB_USERAPPL = 4
_IF_NAME = 2
_IF_TSRESOL = 9
_IF_TSOFFSET = 14
_EPB_FLAGS = 2

INBOUND = 1
OUTBOUND = 2
"""Direction, as epb_flags has it: seen from the interface that is captured on."""

_NS_PER_S = 1_000_000_000

_EPB_HEADER = struct.Struct("<IIIIIII")
_LENGTH = struct.Struct("<I")
_PADS = (b"", b"\0\0\0", b"\0\0", b"\0")
_FLAGS = {
    direction: struct.pack("<HHI", _EPB_FLAGS, 4, direction) for direction in (INBOUND, OUTBOUND)
}
_END_OF_OPTIONS = bytes(4)


def _option(code: int, value: bytes) -> bytes:
    if len(value) > 0xFFFF:
        raise WireError(f"pcapng: option {code} of {len(value)} bytes; expected at most 65535")
    return struct.pack("<HH", code, len(value)) + value + _PADS[len(value) & 3]


def _block(kind: int, body: bytes) -> bytes:
    size = _LENGTH.pack(12 + len(body))
    return b"".join((_LENGTH.pack(kind), size, body, size))


class PcapngWriter:
    """One section; packets in the order they are given. ``take`` what there is from time to time,
    or everything is kept in memory until ``write_to``.
    """

    __slots__ = ("_blocks", "_interfaces", "packets")

    def __init__(self, application: str = f"desim {__version__}") -> None:
        options = _option(_SHB_USERAPPL, application.encode()) + _END_OF_OPTIONS
        # Version 1.0; section length unknown, as every other writer has it.
        self._blocks = [_block(_SHB, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + options)]
        self._interfaces = 0
        self.packets = 0

    def interface(self, name: str) -> int:
        """Add a capture point; the result is what ``packet`` wants."""
        # No snap length: frames are captured whole.
        body = struct.pack("<HHI", LINKTYPE_ETHERNET, 0, 0)
        body += _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, b"\x09")
        self._blocks.append(_block(_IDB, body + _END_OF_OPTIONS))
        self._interfaces += 1
        return self._interfaces - 1

    def packet(
        self,
        interface: int,
        time_ns: int,
        raw: bytes,
        direction: int | None = None,
        comment: str = "",
    ) -> None:
        """Add one frame; ``direction`` is INBOUND, OUTBOUND or None for not said."""
        if not 0 <= interface < self._interfaces:
            raise WireError(f"pcapng: interface {interface}; expected 0 to {self._interfaces - 1}")
        if not 0 <= time_ns < 1 << 64:
            raise WireError(f"pcapng: time {time_ns} ns; expected 0 to 2**64 - 1")
        size = len(raw)
        options = b""
        if direction is not None or comment:
            if comment:
                options = _option(_OPT_COMMENT, comment.encode())
            if direction is not None:
                if direction not in _FLAGS:
                    raise WireError(f"pcapng: direction {direction}; expected 1 (in) or 2 (out)")
                options += _FLAGS[direction]
            options += _END_OF_OPTIONS
        pad = _PADS[size & 3]
        total = 32 + size + len(pad) + len(options)
        high, low = time_ns >> 32, time_ns & 0xFFFFFFFF
        self._blocks += (
            _EPB_HEADER.pack(_EPB, total, interface, high, low, size, size),
            raw,
            pad,
            options,
            _LENGTH.pack(total),
        )
        self.packets += 1

    def take(self) -> bytes:
        """What has been added since the last time, which is forgotten by that."""
        taken = self.to_bytes()
        self._blocks.clear()
        return taken

    def to_bytes(self) -> bytes:
        """What has been added, but for what was taken."""
        return b"".join(self._blocks)

    def write_to(self, file: BinaryIO) -> int:
        """Write what ``to_bytes`` gives; the number of bytes."""
        return file.write(self.to_bytes())


@dataclass(slots=True)
class Packet:
    """One captured frame. ``size`` is its length on the wire, ``raw`` what was kept of it."""

    time_ns: int
    raw: bytes
    size: int
    interface: int = 0
    interface_name: str = ""
    direction: int | None = None
    comment: str = ""


def read(data: bytes, *, max_packets: int = 1_000_000) -> list[Packet]:
    """The packets of a pcapng or pcap file, whatever its byte order and resolution."""
    magic = data[:4]
    if magic == _SECTION:
        return list(packets(data, max_packets=max_packets))
    if magic in _PCAP_MAGICS:
        order, unit_ns = _PCAP_MAGICS[magic]
        return _read_pcap(data, order, unit_ns, max_packets)
    raise WireError(f"capture: starts with {magic!r}; expected pcapng or pcap")


def packets(data: Bytes, *, max_packets: int = 1_000_000) -> Iterator[Packet]:
    """The packets of a pcapng file one by one; ``data`` may be a file that is mapped."""
    if data[:4] != _SECTION:
        raise WireError(f"capture: starts with {data[:4]!r}; expected pcapng")
    return _PcapngReader(data, max_packets).read()


_PCAP_MAGICS = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}


def _read_pcap(data: bytes, order: str, unit_ns: int, max_packets: int) -> list[Packet]:
    header = struct.Struct(order + "IHHiIII")
    record = struct.Struct(order + "IIII")
    if len(data) < header.size:
        raise WireError(f"pcap: {len(data)} bytes; the file header alone has {header.size}")
    # The upper bits of the link type tell about the FCS.
    linktype = header.unpack_from(data)[6] & 0xFFFF
    packets: list[Packet] = []
    at = header.size
    while at < len(data):
        if at + record.size > len(data):
            raise WireError(f"pcap: the record at {at} runs past the end of the file")
        seconds, fraction, kept, size = record.unpack_from(data, at)
        at += record.size
        if at + kept > len(data):
            raise WireError(f"pcap: the packet at {at} runs past the end of the file")
        _check(linktype, len(packets), max_packets)
        time_ns = seconds * _NS_PER_S + fraction * unit_ns
        packets.append(Packet(time_ns, data[at : at + kept], size))
        at += kept
    return packets


def _check(linktype: int, count: int, max_packets: int) -> None:
    if linktype != LINKTYPE_ETHERNET:
        raise WireError(f"capture: packet {count + 1} has link type {linktype}; expected Ethernet")
    if count >= max_packets:
        raise WireError(f"capture: more than {max_packets} packets")


@dataclass(slots=True)
class _Interface:
    linktype: int
    snap_len: int
    name: str = ""
    ticks_per_s: int = 1_000_000
    offset_s: int = 0


class _PcapngReader:
    """Walks the blocks; each section has a byte order and interfaces of its own."""

    def __init__(self, data: Bytes, max_packets: int) -> None:
        self._found: list[Packet] = []
        self._count = 0
        self._data = data
        self._max_packets = max_packets
        self._order = "<"
        self._interfaces: list[_Interface] = []

    def read(self) -> Iterator[Packet]:
        """The packets, in their order."""
        at = 0
        while at < len(self._data):
            at = self._block(at)
            self._count += len(self._found)
            yield from self._found
            self._found.clear()

    def _fail(self, at: int, why: str) -> NoReturn:
        raise WireError(f"pcapng: block at {at}: {why}")

    def _block(self, at: int) -> int:
        data = self._data
        if at + 12 > len(data):
            self._fail(at, "runs past the end of the file")
        if data[at : at + 4] == _SECTION:
            self._section(at)
        kind: int
        size: int
        kind, size = struct.unpack_from(self._order + "II", data, at)
        if size < 12 or size % 4 or at + size > len(data):
            self._fail(at, f"length {size}; expected 12 to {len(data) - at} in fours")
        if struct.unpack_from(self._order + "I", data, at + size - 4)[0] != size:
            self._fail(at, "the lengths at its two ends differ")
        body = data[at + 8 : at + size - 4]
        if kind == _IDB:
            self._interface(at, body)
        elif kind == _EPB:
            self._enhanced(at, body)
        elif kind == _SPB:
            self._simple(at, body)
        return at + size

    def _section(self, at: int) -> None:
        mark = self._data[at + 8 : at + 12]
        for order in "<>":
            if struct.unpack(order + "I", mark)[0] == _BYTE_ORDER:
                self._order = order
                self._interfaces = []
                return
        self._fail(at, f"byte order mark {mark!r}")

    def _options(self, at: int, raw: bytes) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        here = 0
        while here + 4 <= len(raw):
            code, size = struct.unpack_from(self._order + "HH", raw, here)
            if code == 0:
                break
            here += 4
            if here + size > len(raw):
                self._fail(at, f"option {code} runs past its end")
            found.setdefault(code, raw[here : here + size])
            here += size + (-size & 3)
        return found

    def _interface(self, at: int, body: bytes) -> None:
        if len(body) < 8:
            self._fail(at, "too short for an interface")
        linktype, _, snap_len = struct.unpack_from(self._order + "HHI", body)
        options = self._options(at, body[8:])
        interface = _Interface(linktype, snap_len)
        interface.name = options.get(_IF_NAME, b"").decode(errors="replace")
        resolution = options.get(_IF_TSRESOL, b"\x06")
        if len(resolution) != 1:
            self._fail(at, f"if_tsresol has {len(resolution)} bytes; expected 1")
        exponent = resolution[0] & 0x7F
        interface.ticks_per_s = 1 << exponent if resolution[0] & 0x80 else 10**exponent
        offset = options.get(_IF_TSOFFSET, bytes(8))
        if len(offset) != 8:
            self._fail(at, f"if_tsoffset has {len(offset)} bytes; expected 8")
        interface.offset_s = struct.unpack(self._order + "q", offset)[0]
        self._interfaces.append(interface)

    def _of(self, at: int, number: int) -> _Interface:
        if number >= len(self._interfaces):
            self._fail(at, f"interface {number}, but only {len(self._interfaces)} are described")
        interface = self._interfaces[number]
        _check(interface.linktype, self._count, self._max_packets)
        return interface

    def _enhanced(self, at: int, body: bytes) -> None:
        if len(body) < 20:
            self._fail(at, "too short for a packet")
        number, high, low, kept, size = struct.unpack_from(self._order + "IIIII", body)
        interface = self._of(at, number)
        end = 20 + kept
        if end > len(body):
            self._fail(at, f"the packet has {kept} bytes, the block room for {len(body) - 20}")
        options = self._options(at, body[end + (-kept & 3) :])
        flags = options.get(_EPB_FLAGS, bytes(4))
        if len(flags) != 4:
            self._fail(at, f"epb_flags has {len(flags)} bytes; expected 4")
        direction = struct.unpack(self._order + "I", flags)[0] & 3
        ticks = high << 32 | low
        self._found.append(
            Packet(
                interface.offset_s * _NS_PER_S + ticks * _NS_PER_S // interface.ticks_per_s,
                body[20:end],
                size,
                number,
                interface.name,
                direction or None,
                options.get(_OPT_COMMENT, b"").decode(errors="replace"),
            )
        )

    def _simple(self, at: int, body: bytes) -> None:
        if len(body) < 4:
            self._fail(at, "too short for a packet")
        interface = self._of(at, 0)
        size = struct.unpack_from(self._order + "I", body)[0]
        kept = min(size, interface.snap_len or size)
        if kept > len(body) - 4:
            self._fail(at, f"the packet has {kept} bytes, the block room for {len(body) - 4}")
        self._found.append(Packet(0, body[4 : 4 + kept], size, 0, interface.name))
