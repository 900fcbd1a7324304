"""Frames as text, header by header, to be set side by side."""

from __future__ import annotations

from desim.wire.addresses import ip_text, mac_text

FLAGS = "FSRPAUEC"


def decode(raw: bytes) -> list[str]:
    """One line for each field of a frame's headers, and one for what follows."""
    if len(raw) < 14:
        return [f"{len(raw)} bytes: {raw.hex()}"]
    kind = int.from_bytes(raw[12:14], "big")
    lines = [
        f"eth.dst     {mac_text(raw[0:6])}",
        f"eth.src     {mac_text(raw[6:12])}",
        f"eth.type    {kind:04x}",
    ]
    body = raw[14:]
    if kind == 0x0806 and len(body) >= 28:
        lines += [
            f"arp.op      {_u16(body, 6)}",
            f"arp.sender  {mac_text(body[8:14])} {ip_text(body[14:18])}",
            f"arp.target  {mac_text(body[18:24])} {ip_text(body[24:28])}",
        ]
        body = body[28:]
    elif kind == 0x0800 and len(body) >= 20:
        lines += _ipv4(body)
        body = b""
    elif kind == 0x86DD and len(body) >= 40:
        lines += [
            f"ip6.class   {int.from_bytes(body[0:4], 'big') & 0x0FFFFFFF:07x}",
            f"ip6.len     {_u16(body, 4)}",
            f"ip6.next    {body[6]}",
            f"ip6.hlim    {body[7]}",
            f"ip6.src     {ip_text(body[8:24])}",
            f"ip6.dst     {ip_text(body[24:40])}",
            *_transport(body[6], body[40:], False),
        ]
        body = b""
    if body:
        lines += _data(body)
    return lines


def side_by_side(expected: bytes | None, got: bytes | None) -> str:
    """Both frames decoded; lines that differ are marked."""
    left = decode(expected) if expected is not None else ["(no frame)"]
    right = decode(got) if got is not None else ["(no frame)"]
    width = max(len(line) for line in left)
    rows = []
    for index in range(max(len(left), len(right))):
        a = left[index] if index < len(left) else ""
        b = right[index] if index < len(right) else ""
        rows.append(f"{' ' if a == b else '!'} {a:<{width}} | {b}")
    return "\n".join([f"  {'expected':<{width}} | got", *rows])


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _ipv4(body: bytes) -> list[str]:
    hlen = (body[0] & 0xF) * 4
    offset = _u16(body, 6)
    return [
        f"ip.hlen     {hlen}",
        f"ip.tos      {body[1]:02x}",
        f"ip.len      {_u16(body, 2)}",
        f"ip.id       {_u16(body, 4)}",
        f"ip.frag     {'DF ' if offset & 0x4000 else ''}{'MF ' if offset & 0x2000 else ''}"
        f"{(offset & 0x1FFF) * 8}",
        f"ip.ttl      {body[8]}",
        f"ip.proto    {body[9]}",
        f"ip.sum      {_u16(body, 10):04x}",
        f"ip.src      {ip_text(body[12:16])}",
        f"ip.dst      {ip_text(body[16:20])}",
        *_transport(body[9], body[hlen:], offset & 0x1FFF != 0),
    ]


def _transport(protocol: int, data: bytes, fragment: bool) -> list[str]:
    if fragment:
        return _data(data)
    if protocol == 6 and len(data) >= 20:
        hlen = data[12] >> 4 << 2
        names = "".join(name for bit, name in enumerate(FLAGS) if data[13] >> bit & 1)
        return [
            f"tcp.ports   {_u16(data, 0)} > {_u16(data, 2)}",
            f"tcp.seq     {_u32(data, 4)}",
            f"tcp.ack     {_u32(data, 8)}",
            f"tcp.flags   {names}",
            f"tcp.win     {_u16(data, 14)}",
            f"tcp.sum     {_u16(data, 16):04x}",
            f"tcp.urp     {_u16(data, 18)}",
            f"tcp.options {data[20:hlen].hex()}",
            *_data(data[hlen:]),
        ]
    if protocol == 17 and len(data) >= 8:
        return [
            f"udp.ports   {_u16(data, 0)} > {_u16(data, 2)}",
            f"udp.len     {_u16(data, 4)}",
            f"udp.sum     {_u16(data, 6):04x}",
            *_data(data[8:]),
        ]
    if protocol in (1, 58) and len(data) >= 4:
        return [
            f"icmp.type   {data[0]} code {data[1]}",
            f"icmp.sum    {_u16(data, 2):04x}",
            *_data(data[4:]),
        ]
    return _data(data)


def _data(data: bytes) -> list[str]:
    lines = [f"data.len    {len(data)}"]
    for at in range(0, min(len(data), 128), 16):
        lines.append(f"data.{at:04x}   {data[at : at + 16].hex(' ')}")
    if len(data) > 128:
        lines.append(f"data.rest   {sum(data[128:])} (sum)")
    return lines
