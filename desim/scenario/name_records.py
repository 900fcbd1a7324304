"""The names of a scenario's ``[dns]``: read, checked against each other, completed.

Every address also gets its reverse name (RFC 1035 section 3.5), pointing at the first
name that has it, unless the scenario gives that name a record itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from desim.config import DnsRecord
from desim.host.loopback import is_local
from desim.wire.addresses import ip
from desim.wire.errors import WireError

_NAME = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?"


def read_name(text: str) -> str:
    """A domain name, without the dot at its end; ``ValueError`` if it is none."""
    if not re.fullmatch(_NAME, text):
        raise ValueError("a name has labels of letters, digits, - and _ with dots between them")
    from desim.wire.dns import encode_name

    name = text.removesuffix(".")
    try:
        encode_name(name)
    except WireError as error:
        raise ValueError(str(error).removeprefix("DNS: ")) from None
    return name


def read_address(text: str, kind: str) -> bytes:
    """The packed address of an A or AAAA record."""
    size, example = (4, "192.0.2.80") if kind == "A" else (16, "2001:db8::80")
    try:
        address = ip(text)
    except WireError:
        address = b""
    if len(address) != size:
        raise ValueError(f"must be an IPv{4 if size == 4 else 6} address such as {example}")
    return address


def read_resolver(text: str) -> bytes:
    """The packed address of a name server on the host."""
    try:
        address = ip(text)
    except WireError:
        address = b""
    if not address or not is_local(address):
        raise ValueError(
            "the host has no other network than its loopback interface; "
            "allowed are 127.0.0.0/8, such as 127.0.0.53, and ::1"
        )
    return address


def check(records: Sequence[DnsRecord]) -> list[str]:
    """What is wrong with ``records`` as a whole."""
    found = []
    aliases: dict[str, str] = {}
    for record in records:
        key = record.name.lower()
        if record.kind == "CNAME":
            if key in aliases:
                found.append(f"{record.name} has two CNAME records")
            aliases[key] = str(record.value).lower()
    for key in dict.fromkeys(record.name.lower() for record in records if record.kind != "CNAME"):
        if key in aliases:
            found.append(f"{key} has a CNAME record and others; an alias has nothing else")
    for name in aliases:
        seen = [name]
        while (target := aliases.get(seen[-1])) is not None and target not in seen:
            seen.append(target)
        if target == name:
            found.append(f"{name} is an alias of itself: {' -> '.join([*seen, name])}")
    return found


def with_reverse(records: Iterable[DnsRecord]) -> list[DnsRecord]:
    """``records``, and a PTR record for each address whose reverse name is free."""
    complete = list(records)
    taken = {record.name.lower() for record in complete}
    for record in list(complete):
        if isinstance(record.value, str):
            continue
        name = reverse_name(record.value)
        if name not in taken:
            taken.add(name)
            complete.append(DnsRecord(name=name, kind="PTR", value=record.name, ttl_s=record.ttl_s))
    return complete


def reverse_name(address: bytes) -> str:
    """Where the PTR record of ``address`` is (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    if len(address) == 4:
        return ".".join(map(str, reversed(address))) + ".in-addr.arpa"
    return ".".join(reversed(address.hex())) + ".ip6.arpa"
