"""``[dns]`` of a scenario file: its names are read, checked against each other, completed.

Every address also gets its reverse name (RFC 1035 section 3.5), pointing at the first
name that has it, unless the scenario gives that name a record itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from desim.config import SECOND_NS, DnsRecord, HostDns, RecordKind
from desim.host.loopback import is_local
from desim.scenario.schema import read_duration
from desim.scenario.tables import Check, Duration, Place, Spelled, Table, Tables, Text, key
from desim.wire.addresses import ip
from desim.wire.errors import WireError

MAX_RECORDS = 1000
MAX_TTL_S = (1 << 31) - 1
"""RFC 2181 section 8."""
DEFAULT_TTL_S = 300

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


def _each(read: Callable[[str], Any]) -> Check:
    """Of a text, or a list of texts."""

    def check(value: Any, place: Place) -> list[Any]:
        texts = value if isinstance(value, list) else [value]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError("must be text, or a list of texts")
        return [read(text) for text in texts]

    return check


def _domain_name(value: str, place: Place) -> str:
    return read_name(value)


def _ttl(value: Any, place: Place) -> int:
    seconds, rest = divmod(read_duration(value), SECOND_NS)
    if rest or seconds > MAX_TTL_S:
        raise ValueError(f"must be whole seconds, at most {MAX_TTL_S}")
    return seconds


NAME = Text(check=_domain_name)


class NameRecord(Table):
    """``[[dns.record]]``"""

    name: str = key(NAME)
    a: list[bytes] = key(Spelled(_each(partial(read_address, kind="A")), "texts"), [])
    aaaa: list[bytes] = key(Spelled(_each(partial(read_address, kind="AAAA")), "texts"), [])
    cname: str | None = key(NAME, None)
    ptr: str | None = key(NAME, None)
    ttl: int = key(Duration(_ttl), DEFAULT_TTL_S)

    def contradictions(self) -> list[str]:
        """It must say something."""
        if self.a or self.aaaa or self.cname or self.ptr:
            return []
        return ["says nothing of the name; allowed are a, aaaa, cname, ptr"]

    def records(self) -> list[DnsRecord]:
        """What the table says, record by record."""
        pairs: list[tuple[RecordKind, bytes | str]] = [
            *(("A", address) for address in self.a),
            *(("AAAA", address) for address in self.aaaa),
            *(("CNAME", name) for name in [self.cname] if name is not None),
            *(("PTR", name) for name in [self.ptr] if name is not None),
        ]
        return [
            DnsRecord(name=self.name, kind=kind, value=value, ttl_s=self.ttl)
            for kind, value in pairs
        ]


class Dns(Table):
    """``[dns]``"""

    resolver: list[bytes] = key(Spelled(_each(read_resolver), "texts"), [])
    record: list[NameRecord] = key(Tables(NameRecord, at_most=MAX_RECORDS), [])

    def contradictions(self) -> list[str]:
        """Records must fit each other, and somebody must have them."""
        found = check(self.records())
        if self.record and not self.resolver:
            found.append(
                'records have no effect without a resolver; add resolver = "127.0.0.53", '
                "the address of the host's name server"
            )
        return found

    def records(self) -> list[DnsRecord]:
        """All of ``record``."""
        return [record for table in self.record for record in table.records()]

    def made(self) -> HostDns:
        """The host's side of it."""
        return HostDns(resolvers=self.resolver, records=with_reverse(self.records()))
