"""A name server on the host: what a scenario's ``[dns]`` says, over UDP and TCP (RFC 1035).

Theory of operation
-------------------
It stands for the resolver that the host is configured with (systemd-resolved's
127.0.0.53, for instance): slirp hands it what the guest asks its DNS address. It knows
the scenario's records and nothing else, and answers as if it had them from elsewhere:
recursion available, not authoritative, the TTL never counted down.

A CNAME is followed as far as there are records (RFC 1034 section 3.6.2); the response
code is that of the last name (RFC 6604). A name without records is NXDOMAIN, unless
there are some below it (RFC 8020). Names compare without regard to case. An answer that
does not fit in 512 bytes goes over UDP empty and truncated; over TCP it goes whole.

Not modelled: EDNS (an OPT record is ignored, as RFC 6891 section 7 allows), authority
sections (so no negative TTL either), updates and transfers, a cache, DNSSEC.
"""

from __future__ import annotations

from collections.abc import Sequence

from desim.ports import POLLIN, Endpoint
from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.uapi import SO_REUSEADDR
from desim.wire import dns
from desim.wire.dns import Dns, Record
from desim.wire.errors import WireError

NAME = "nameserver"
UDP_MAX = 512
MAX_MESSAGE = 65535
BACKLOG = 10
OPCODE = 0x7800
TYPE_ANY = 255


class Zone:
    """The records, by name."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records: dict[str, list[Record]] = {}
        for record in records:
            self._records.setdefault(record.name.lower(), []).append(record)

    def answer(self, message: bytes, limit: int = MAX_MESSAGE) -> bytes | None:
        """The answer to ``message`` in at most ``limit`` bytes; None: it deserves none."""
        if len(message) < dns.HEADER_LEN or message[2] << 8 & dns.QR:
            return None
        flags = int.from_bytes(message[2:4], "big")
        reply = Dns(int.from_bytes(message[:2], "big"), dns.QR | flags & (OPCODE | dns.RD) | dns.RA)
        reply.flags |= self._fill(reply, message)
        data = reply.emit()
        if len(data) > limit:
            reply.answers.clear()
            reply.flags |= dns.TC
            data = reply.emit()
        return data

    def _fill(self, reply: Dns, message: bytes) -> int:
        """Put question and answers into ``reply``: the response code."""
        if reply.flags & OPCODE:
            return dns.NOTIMP
        try:
            query = Dns.parse(message)
        except WireError:
            return dns.FORMERR
        if len(query.questions) != 1:
            return dns.FORMERR
        reply.questions = query.questions
        (question,) = query.questions
        if question.qclass != dns.CLASS_IN:
            return dns.REFUSED
        name = question.name
        # No chain of aliases is longer than there are names.
        for _ in range(len(self._records) + 1):
            known = self._records.get(name.lower(), [])
            found = [r for r in known if question.qtype in (r.rtype, TYPE_ANY)]
            alias = next((r for r in known if r.rtype == dns.TYPE_CNAME), None)
            for record in found or filter(None, [alias]):
                reply.answers.append(Record(name, record.rtype, record.rdata, record.ttl))
            if found or alias is None:
                return dns.NOERROR if known or self._below(name.lower()) else dns.NXDOMAIN
            name = dns.read_name(alias.rdata, 0)[0]
        return dns.SERVFAIL

    def _below(self, name: str) -> bool:
        return not name or any(known.endswith(f".{name}") for known in self._records)


def nameserver(zone: Zone, addresses: Sequence[bytes]) -> Program:
    """Answer at port 53 of ``addresses`` for ever; 1 if one of them is taken."""
    yield from sys.ignore_sigpipe()
    datagrams: list[int] = []
    listeners: list[int] = []
    partial: dict[int, bytes] = {}
    try:
        for address in addresses:
            fd = yield from sys.socket("udp")
            yield from sys.bind(fd, address, dns.PORT)
            datagrams.append(fd)
            fd = yield from sys.socket("tcp")
            yield from sys.setsockopt(fd, SO_REUSEADDR, 1)
            yield from sys.bind(fd, address, dns.PORT)
            yield from sys.listen(fd, BACKLOG)
            listeners.append(fd)
    except OSError:
        return 1
    while True:
        watched = [(fd, POLLIN) for fd in (*datagrams, *listeners, *partial)]
        found = yield from sys.poll(watched)
        for fd in [fd for fd, revents in found if revents]:
            try:
                if fd in datagrams:
                    client: Endpoint
                    data: bytes
                    data, client = yield from sys.recvfrom(fd, MAX_MESSAGE)
                    reply = zone.answer(data, UDP_MAX)
                    if reply is not None:
                        yield from sys.sendto(fd, reply, client)
                elif fd in listeners:
                    connection, _ = yield from sys.accept(fd)
                    partial[connection] = b""
                else:
                    data = yield from sys.read(fd, MAX_MESSAGE)
                    whole, partial[fd] = cut(partial[fd] + data)
                    for message in whole:
                        reply = zone.answer(message)
                        if reply is not None:
                            yield from sys.write(fd, len(reply).to_bytes(2, "big") + reply)
                    if not data:
                        del partial[fd]
                        yield from sys.close(fd)
            except OSError:
                # A client that is gone; its connection is of no more use.
                if fd in partial:
                    del partial[fd]
                    yield from sys.close(fd)


def cut(stream: bytes) -> tuple[list[bytes], bytes]:
    """The whole messages at the front of a TCP stream (section 4.2.2), and what is left."""
    whole = []
    while len(stream) >= 2 and len(stream) >= 2 + (size := int.from_bytes(stream[:2], "big")):
        whole.append(stream[2 : 2 + size])
        stream = stream[2 + size :]
    return whole, stream
