"""Frames as text, header by header, to be set side by side.

Every byte of a frame shows somewhere: what is not a field of a known header is a row of
data. Of long data only the rows that differ are shown, and how many are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from desim.wire.addresses import ip_text, mac_text
from desim.wire.dhcp import CLIENT_PORT, HEADER_LEN, MAGIC, SERVER_PORT, Dhcp
from desim.wire.errors import WireError
from desim.wire.tcp import flags_text

Field = tuple[str, str]

ROW = 16
ROWS_MAX = 12
"""Rows of data that are shown."""
QUOTING = {1: (3, 4, 5, 11, 12), 58: (1, 2, 3, 4)}
"""ICMP's and ICMPv6's errors: they quote what they are about."""
ND_FIXED = {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}
"""Neighbour discovery: the length of what stands before the options."""


def decode(raw: bytes) -> tuple[list[Field], bytes]:
    """The fields of a frame's headers, in order, and the data that follows them."""
    if len(raw) < 14:
        return [("frame", f"{len(raw)} bytes, too short")], raw
    kind = _u16(raw, 12)
    fields = [
        ("eth.dst", mac_text(raw[0:6])),
        ("eth.src", mac_text(raw[6:12])),
        ("eth.type", f"{kind:04x}"),
    ]
    read = _LAYERS.get(kind)
    return (fields, raw[14:]) if read is None else _then(fields, *read("", raw[14:]))


def side_by_side(expected: bytes | None, got: bytes | None) -> str:
    """Both frames decoded; lines that differ are marked."""
    left, left_data = ([], b"") if expected is None else decode(expected)
    right, right_data = ([], b"") if got is None else decode(got)
    rows = [*_aligned(left, right), *_data_rows(left_data, right_data)]
    titles = (
        "expected" if expected is not None else "expected: no frame",
        "got" if got is not None else "got: no frame",
    )
    name_width = max(len(name) for name, _, _ in rows)
    width = max(len(titles[0]), *(len(want or "") for _, want, _ in rows))
    lines = [f"  {'':<{name_width}} {titles[0]:<{width}} | {titles[1]}"]
    for name, want, have in rows:
        mark = " " if want == have else "!"
        lines.append(f"{mark} {name:<{name_width}} {want or '':<{width}} | {have or ''}".rstrip())
    return "\n".join(lines)


Row = tuple[str, str | None, str | None]


def _aligned(left: list[Field], right: list[Field]) -> Iterator[Row]:
    """Fields of the same name beside each other; one that only one side has stands alone."""
    left_names, right_names = [name for name, _ in left], [name for name, _ in right]
    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right) and left_names[i] == right_names[j]:
            yield left_names[i], left[i][1], right[j][1]
            i += 1
            j += 1
        elif i < len(left) and left_names[i] not in right_names[j:]:
            yield left_names[i], left[i][1], None
            i += 1
        elif j < len(right) and (i == len(left) or right_names[j] not in left_names[i:]):
            yield right_names[j], None, right[j][1]
            j += 1
        else:
            # The same names in another order.
            yield left_names[i], left[i][1], None
            i += 1


def _data_rows(left: bytes, right: bytes) -> Iterator[Row]:
    if not left and not right:
        return
    yield "data.len", str(len(left)), str(len(right))
    starts = range(0, max(len(left), len(right)), ROW)
    if len(starts) <= ROWS_MAX:
        shown = list(starts)
    else:
        shown = [at for at in starts if left[at : at + ROW] != right[at : at + ROW]][:ROWS_MAX]
    for at in shown:
        want, have = left[at : at + ROW].hex(" "), right[at : at + ROW].hex(" ")
        yield f"data.{at:04x}", want or None, have or None
    alike = sum(left[at : at + ROW] == right[at : at + ROW] for at in starts if at not in shown)
    if alike:
        rows = f"{alike} rows alike"
        yield "data", rows, rows
    if len(starts) - len(shown) > alike:
        yield "data", f"{len(starts) - len(shown) - alike} more rows differ", None


# -- headers -----------------------------------------------------------------------------


def _then(fields: list[Field], more: list[Field], data: bytes) -> tuple[list[Field], bytes]:
    return fields + more, data


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _arp(_: str, body: bytes) -> tuple[list[Field], bytes]:
    if len(body) < 28:
        return [], body
    fields = [
        ("arp.hw", f"{_u16(body, 0)} of {body[4]} bytes"),
        ("arp.proto", f"{_u16(body, 2):04x} of {body[5]} bytes"),
        ("arp.op", str(_u16(body, 6))),
        ("arp.sender", f"{mac_text(body[8:14])} {ip_text(body[14:18])}"),
        ("arp.target", f"{mac_text(body[18:24])} {ip_text(body[24:28])}"),
    ]
    return fields, body[28:]


def _ipv4(prefix: str, body: bytes) -> tuple[list[Field], bytes]:
    if len(body) < 20:
        return [], body
    hlen = (body[0] & 0xF) * 4
    offset = _u16(body, 6)
    start = (offset & 0x1FFF) * 8
    bits = "".join(
        name for bit, name in ((15, "RF "), (14, "DF "), (13, "MF ")) if offset >> bit & 1
    )
    fields = [
        (f"{prefix}ip.version", str(body[0] >> 4)),
        (f"{prefix}ip.hlen", str(hlen)),
        (f"{prefix}ip.tos", f"{body[1]:02x}"),
        (f"{prefix}ip.len", str(_u16(body, 2))),
        (f"{prefix}ip.id", str(_u16(body, 4))),
        (f"{prefix}ip.frag", f"{bits}{start}"),
        (f"{prefix}ip.ttl", str(body[8])),
        (f"{prefix}ip.proto", str(body[9])),
        (f"{prefix}ip.sum", f"{_u16(body, 10):04x}"),
        (f"{prefix}ip.src", ip_text(body[12:16])),
        (f"{prefix}ip.dst", ip_text(body[16:20])),
    ]
    end = max(hlen, 20)
    if body[20:end]:
        fields.append((f"{prefix}ip.options", body[20:end].hex()))
    if start:
        return fields, body[end:]
    return _then(fields, *_transport(prefix, body[9], body[end:]))


def _ipv6(prefix: str, body: bytes) -> tuple[list[Field], bytes]:
    if len(body) < 40:
        return [], body
    fields = [
        (f"{prefix}ip6.version", str(body[0] >> 4)),
        (f"{prefix}ip6.class", f"{_u32(body, 0) >> 20 & 0xFF:02x}"),
        (f"{prefix}ip6.flow", f"{_u32(body, 0) & 0xFFFFF:05x}"),
        (f"{prefix}ip6.len", str(_u16(body, 4))),
        (f"{prefix}ip6.next", str(body[6])),
        (f"{prefix}ip6.hlim", str(body[7])),
        (f"{prefix}ip6.src", ip_text(body[8:24])),
        (f"{prefix}ip6.dst", ip_text(body[24:40])),
    ]
    return _then(fields, *_transport(prefix, body[6], body[40:]))


def _transport(prefix: str, protocol: int, data: bytes) -> tuple[list[Field], bytes]:
    if protocol == 6 and len(data) >= 20:
        return _tcp(prefix, data)
    if protocol == 17 and len(data) >= 8:
        ports = (_u16(data, 0), _u16(data, 2))
        fields = [
            (f"{prefix}udp.ports", f"{ports[0]} > {ports[1]}"),
            (f"{prefix}udp.len", str(_u16(data, 4))),
            (f"{prefix}udp.sum", f"{_u16(data, 6):04x}"),
        ]
        if ports in ((SERVER_PORT, CLIENT_PORT), (CLIENT_PORT, SERVER_PORT)) and not prefix:
            return _then(fields, *_dhcp(data[8:]))
        return fields, data[8:]
    if protocol in (1, 58) and len(data) >= 8:
        return _icmp(prefix, protocol, data)
    return [], data


def _tcp(prefix: str, data: bytes) -> tuple[list[Field], bytes]:
    hlen = data[12] >> 4 << 2
    fields = [
        (f"{prefix}tcp.ports", f"{_u16(data, 0)} > {_u16(data, 2)}"),
        (f"{prefix}tcp.seq", str(_u32(data, 4))),
        (f"{prefix}tcp.ack", str(_u32(data, 8))),
        (f"{prefix}tcp.hlen", f"{hlen}" + f" reserved {data[12] & 15}" * bool(data[12] & 15)),
        (f"{prefix}tcp.flags", flags_text(data[13])),
        (f"{prefix}tcp.win", str(_u16(data, 14))),
        (f"{prefix}tcp.sum", f"{_u16(data, 16):04x}"),
        (f"{prefix}tcp.urp", str(_u16(data, 18))),
    ]
    end = max(hlen, 20)
    if data[20:end]:
        fields.append((f"{prefix}tcp.options", data[20:end].hex()))
    return fields, data[end:]


def _icmp(prefix: str, protocol: int, data: bytes) -> tuple[list[Field], bytes]:
    name = f"{prefix}{'icmp' if protocol == 1 else 'icmp6'}"
    fields = [
        (f"{name}.type", f"{data[0]} code {data[1]}"),
        (f"{name}.sum", f"{_u16(data, 2):04x}"),
    ]
    fixed = ND_FIXED.get(data[0], 8) if protocol == 58 else 8
    fields.append((f"{name}.head", data[4:fixed].hex(" ")))
    rest = data[fixed:]
    if data[0] in QUOTING[protocol] and not prefix:
        return _then(fields, *(_ipv4 if protocol == 1 else _ipv6)("quoted ", rest))
    if fixed > 8 or data[0] == 133:
        number = 0
        while len(rest) >= 2 and 8 <= rest[1] * 8 <= len(rest):
            number += 1
            fields.append(
                (f"{name}.option{number}", f"{rest[0]}: {rest[2 : rest[1] * 8].hex(' ')}")
            )
            rest = rest[rest[1] * 8 :]
    return fields, rest


def _dhcp(data: bytes) -> tuple[list[Field], bytes]:
    try:
        message = Dhcp.parse(data, lenient=True)
    except WireError:
        return [], data
    if not message.cookie:
        return [], data
    fields = [
        ("dhcp.head", data[:4].hex(" ")),
        ("dhcp.xid", f"{message.xid:08x}"),
        ("dhcp.secs", f"{message.secs} flags {message.flags:04x}"),
        ("dhcp.ciaddr", ip_text(message.ciaddr)),
        ("dhcp.yiaddr", ip_text(message.yiaddr)),
        ("dhcp.siaddr", ip_text(message.siaddr)),
        ("dhcp.giaddr", ip_text(message.giaddr)),
        ("dhcp.chaddr", data[28:44].hex(" ")),
        ("dhcp.sname", data[44:108].rstrip(b"\0").hex()),
        ("dhcp.file", data[108:236].rstrip(b"\0").hex()),
    ]
    at = HEADER_LEN + len(MAGIC)
    for number, (code, value) in enumerate(message.options):
        while data[at] == 0:
            at += 1
        fields.append((f"dhcp.option{number}", f"{code}: {value.hex()}"))
        at += 2 + len(value)
    return fields, data[at:]


_LAYERS: dict[int, Callable[[str, bytes], tuple[list[Field], bytes]]] = {
    0x0806: _arp,
    0x0800: _ipv4,
    0x86DD: _ipv6,
}
