"""Multicast listener reports, version 2 (RFC 3810 section 5.2), without sources and data."""

from __future__ import annotations

import struct

from desim.data import NamedTuple
from desim.wire.addresses import ip
from desim.wire.errors import WireError
from desim.wire.icmpv6 import ICMPV6_MLD2_REPORT, Icmpv6
from desim.wire.ipv6 import NEXT_ICMPV6

MLD2_CHANGE_TO_INCLUDE = 3
MLD2_CHANGE_TO_EXCLUDE = 4

ALL_MLD2_ROUTERS = ip("ff02::16")

ROUTER_ALERT = bytes((NEXT_ICMPV6, 0, 5, 2, 0, 0, 1, 0))
"""The hop-by-hop header of every MLD message: router alert (RFC 2711) and two bytes of padding."""

_RECORD = struct.Struct("!BBH16s")


class GroupRecord(NamedTuple):
    """What happened to the membership of one group."""

    type: int
    group: bytes


def mld2_report(records: list[GroupRecord]) -> Icmpv6:
    """One report of all ``records``."""
    body = len(records).to_bytes(4, "big")
    body += b"".join(_RECORD.pack(record.type, 0, 0, record.group) for record in records)
    return Icmpv6(ICMPV6_MLD2_REPORT, 0, body)


def parse_mld2_report(body: bytes) -> list[GroupRecord]:
    """The records of a report's body."""
    count = int.from_bytes(body[2:4], "big")
    if len(body) != 4 + count * _RECORD.size:
        raise WireError(f"MLD: {count} records without sources do not have {len(body)} bytes")
    records = []
    for kind, words, sources, group in _RECORD.iter_unpack(body[4:]):
        if words or sources:
            raise WireError("MLD: a record with sources or data")
        records.append(GroupRecord(kind, group))
    return records
