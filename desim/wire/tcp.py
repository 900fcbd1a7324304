"""TCP (RFC 9293 section 3.1) with the options of RFC 7323 and RFC 2018."""

from __future__ import annotations

import struct

from desim.data import Data, field
from desim.wire.checksum import checksum, ones_sum, pseudo_sum
from desim.wire.errors import WireError
from desim.wire.ipv4 import PROTO_TCP

HEADER_LEN = 20
MAX_OPTIONS = 40

FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10
URG = 0x20
ECE = 0x40
CWR = 0x80

OPT_EOL = 0
OPT_NOP = 1
OPT_MSS = 2
OPT_WINDOW = 3
OPT_SACK_PERM = 4
OPT_SACK = 5
OPT_TIMESTAMP = 8

_HEADER = struct.Struct("!HHIIHHHH")
_LETTERS = {FIN: "F", SYN: "S", RST: "R", PSH: "P", ACK: ".", URG: "U", ECE: "E", CWR: "W"}


def flags_text(flags: int) -> str:
    """Flags as tcpdump writes them between brackets: ``S.`` for SYN and ACK."""
    return "".join(letter for bit, letter in _LETTERS.items() if flags & bit) or "none"


def split_options(raw: bytes) -> list[tuple[int, bytes]]:
    """Kind and value of each option, NOPs included, up to the end or OPT_EOL."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(raw) and raw[at] != OPT_EOL:
        if raw[at] == OPT_NOP:
            found.append((OPT_NOP, b""))
            at += 1
            continue
        size = raw[at + 1] if at + 1 < len(raw) else 0
        if not 2 <= size <= len(raw) - at:
            raise WireError(
                f"TCP: option {raw[at]} has length {size}; expected 2 to {len(raw) - at}"
            )
        found.append((raw[at], raw[at + 2 : at + size]))
        at += size
    return found


class TcpOptions(Data):
    """The options that matter, laid out by ``emit`` as Linux lays them out.

    ``timestamps`` is (value, echo reply), ``sack`` a tuple of (left, right) edges.
    """

    mss: int | None = None
    sack_permitted: bool = False
    timestamps: tuple[int, int] | None = None
    window_scale: int | None = None
    sack: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, raw: bytes) -> TcpOptions:
        """What a receiver understands of ``raw``.

        Never fails: as in Linux and slirp, unknown options and those of a wrong
        length are skipped, and a broken length ends the reading.
        """
        found = cls()
        at = 0
        while at < len(raw) and raw[at] != OPT_EOL:
            kind = raw[at]
            if kind == OPT_NOP:
                at += 1
                continue
            size = raw[at + 1] if at + 1 < len(raw) else 0
            if not 2 <= size <= len(raw) - at:
                break
            value = raw[at + 2 : at + size]
            at += size
            if kind == OPT_MSS and size == 4:
                found.mss = int.from_bytes(value, "big")
            elif kind == OPT_WINDOW and size == 3:
                found.window_scale = value[0]
            elif kind == OPT_SACK_PERM and size == 2:
                found.sack_permitted = True
            elif kind == OPT_TIMESTAMP and size == 10:
                found.timestamps = (
                    int.from_bytes(value[:4], "big"),
                    int.from_bytes(value[4:], "big"),
                )
            elif kind == OPT_SACK and size > 2 and (size - 2) % 8 == 0:
                edges = struct.unpack(f"!{(size - 2) // 4}I", value)
                found.sack = tuple(zip(edges[::2], edges[1::2], strict=True))
        return found

    def emit(self) -> bytes:
        """The bytes, a multiple of four, in the order and with the NOPs of tcp_options_write."""
        out: list[bytes] = []
        permitted = self.sack_permitted
        try:
            if self.mss is not None:
                out.append(struct.pack("!BBH", OPT_MSS, 4, self.mss))
            if self.timestamps is not None:
                out.append(bytes((OPT_SACK_PERM, 2)) if permitted else b"\x01\x01")
                out.append(struct.pack("!BBII", OPT_TIMESTAMP, 10, *self.timestamps))
            elif permitted:
                out.append(bytes((OPT_NOP, OPT_NOP, OPT_SACK_PERM, 2)))
            if self.window_scale is not None:
                out.append(struct.pack("!BBBB", OPT_NOP, OPT_WINDOW, 3, self.window_scale))
            if self.sack:
                edges = [edge for block in self.sack for edge in block]
                out.append(bytes((OPT_NOP, OPT_NOP, OPT_SACK, 2 + 8 * len(self.sack))))
                out.append(struct.pack(f"!{len(edges)}I", *edges))
        except (struct.error, ValueError):
            raise WireError(f"TCP: a value does not fit in its option: {self!r}") from None
        raw = b"".join(out)
        if len(raw) > MAX_OPTIONS:
            raise WireError(f"TCP: {len(raw)} bytes of options; expected at most {MAX_OPTIONS}")
        return raw


class Tcp(Data):
    """One segment, its options as bytes (see ``TcpOptions``).

    ``sum_ok`` is False only after ``parse`` with addresses that the checksum does
    not agree with.
    """

    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    urgent: int = 0
    options: bytes = b""
    payload: bytes = b""
    sum_ok: bool = field(default=True, compare=False)

    @classmethod
    def parse(cls, data: bytes, src: bytes | None = None, dst: bytes | None = None) -> Tcp:
        """Read the payload of an IP packet; with its addresses also verify the checksum."""
        if len(data) < HEADER_LEN:
            raise WireError(f"TCP: {len(data)} bytes; the header alone has {HEADER_LEN}")
        sport, dport, seq, ack, offset_flags, window, _, urgent = _HEADER.unpack_from(data)
        offset = offset_flags >> 12 << 2
        if not HEADER_LEN <= offset <= len(data):
            raise WireError(f"TCP: data offset {offset}; expected {HEADER_LEN} to {len(data)}")
        sum_ok = True
        if src is not None and dst is not None:
            sum_ok = checksum(data, pseudo_sum(src, dst, PROTO_TCP, len(data))) == 0
        return cls(
            sport,
            dport,
            seq,
            ack,
            offset_flags & 0xFF,
            window,
            urgent,
            data[HEADER_LEN:offset],
            data[offset:],
            sum_ok,
        )

    def emit(self, src: bytes, dst: bytes) -> bytes:
        """Header, options and payload, with the checksum."""
        options = self.options
        if len(options) % 4 or len(options) > MAX_OPTIONS:
            raise WireError(f"TCP: {len(options)} bytes of options; expected 0 to 40 in fours")
        if self.flags & ~0xFF:
            raise WireError(f"TCP: flags {self.flags:#x}; expected 8 bits")
        offset_flags = (HEADER_LEN + len(options)) << 10 | self.flags
        length = HEADER_LEN + len(options) + len(self.payload)
        # The sum of the header, taken from its fields; 32-bit ones count as they are (checksum.py).
        total = (
            pseudo_sum(src, dst, PROTO_TCP, length)
            + self.sport
            + self.dport
            + self.seq
            + self.ack
            + offset_flags
            + self.window
            + self.urgent
            + ones_sum(options)
            + ones_sum(self.payload)
        )
        try:
            head = _HEADER.pack(
                self.sport,
                self.dport,
                self.seq,
                self.ack,
                offset_flags,
                self.window,
                -total % 0xFFFF,
                self.urgent,
            )
        except struct.error:
            raise WireError(
                f"TCP: ports, window and urgent have 16 bits, seq and ack 32: {self!r}"
            ) from None
        return b"".join((head, options, self.payload))
