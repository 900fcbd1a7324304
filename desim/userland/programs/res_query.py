"""What glibc asks name servers for, addresses and names (resolv/res_query.c, res_send.c, RFC 1035).

Theory of operation
-------------------
The servers are those in /etc/resolv.conf, or 127.0.0.1 if it names none. A name without a dot
is tried below the search domains first, one with a dot as it stands first, one with a dot at its
end only so.

The questions for A and AAAA leave together through one connected UDP socket. A server that
says nothing for 5 s, refuses the datagram, or answers SERVFAIL, NOTIMP or REFUSED makes way
for the next one; all are asked twice (a silent one has 5 s * 2^n / servers when there are more).

The answer's AAAA records are asked for, as the real library does, and left alone: no program
here has IPv6 sockets. Not modelled: TCP for answers that are cut off, EDNS, the options line,
sorting of addresses (the first one is taken).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from desim.ports import POLLIN
from desim.userland.calls import sys
from desim.userland.program import Part
from desim.userland.uapi import EAI_AGAIN, EAI_NODATA, EAI_NONAME
from desim.wire import dns
from desim.wire.addresses import LOOPBACK, ip, ip_text
from desim.wire.dns import Dns, Question
from desim.wire.errors import WireError

RESOLV_CONF = "/etc/resolv.conf"
MAXNS = 3
MAXDNSRCH = 6
RES_TIMEOUT_NS = 5_000_000_000
RES_DFLRETRY = 2
MAX_ANSWER = 65536
MAX_ALIASES = 16

TEXTS = {
    EAI_NONAME: "Name or service not known",
    EAI_AGAIN: "Temporary failure in name resolution",
    EAI_NODATA: "No address associated with hostname",
}


class ResolvConf:
    """/etc/resolv.conf, read."""

    def __init__(self, text: str) -> None:
        self.servers: list[bytes] = []
        self.search: list[str] = []
        for line in text.splitlines():
            words = line.split()
            if len(words) < 2 or line[0] in "#;":
                continue
            if words[0] == "nameserver" and len(self.servers) < MAXNS:
                try:
                    address = ip(words[1])
                except WireError:
                    continue
                if len(address) == 4:
                    self.servers.append(address)
            elif words[0] in ("search", "domain"):
                self.search = words[1 : 1 + MAXDNSRCH]

    def candidates(self, name: str) -> list[str]:
        """The full names to ask for, in their order (``res_search``)."""
        if name.endswith("."):
            return [name[:-1]]
        below = [f"{name}.{domain.rstrip('.')}" for domain in self.search]
        return [name, *below] if "." in name else [*below, name]


def read_resolv_conf() -> Part[ResolvConf]:
    """What the file says now."""
    fd = yield from sys.open(RESOLV_CONF)
    text = yield from sys.read(fd, 4096)
    yield from sys.close(fd)
    return ResolvConf(text.decode("utf-8", "replace"))


def address_of(name: str, deadline_ns: int | None) -> Part[bytes]:
    """The address of ``name``. Raises ``OSError`` with an EAI number and its text.

    At ``deadline_ns``, if given, ETIMEDOUT.
    """
    conf = yield from read_resolv_conf()
    outcome = EAI_NONAME
    for full in conf.candidates(name):
        try:
            questions = [Dns(0, questions=[Question(full, kind)]) for kind in _KINDS]
            _ = questions[0].emit()
        except WireError:
            continue
        reply = yield from _ask(questions, conf.servers or [LOOPBACK], deadline_ns)
        if isinstance(reply, bytes):
            return reply
        if reply == EAI_AGAIN:
            outcome = reply
            break
        if reply == EAI_NODATA:
            outcome = reply
    raise OSError(outcome, TEXTS[outcome])


_KINDS = (dns.TYPE_A, dns.TYPE_AAAA)


def _ask(
    questions: Sequence[Dns], servers: Sequence[bytes], deadline_ns: int | None
) -> Part[bytes | int]:
    """The address that the first server to answer gives, or an EAI number."""
    replies = yield from _replies(questions, servers, deadline_ns)
    return EAI_AGAIN if replies is None else _judge(questions, replies)


def _replies(
    questions: Sequence[Dns], servers: Sequence[bytes], deadline_ns: int | None
) -> Part[dict[int, Dns] | None]:
    """What the first server to answer says; None if no one does."""
    for message in questions:
        message.ident = yield from sys.random("resolver", 0x10000)
    for _ in range(RES_DFLRETRY):
        for number, server in enumerate(servers):
            wait_ns = RES_TIMEOUT_NS << number
            if number:
                wait_ns //= len(servers)
            replies = yield from _query(questions, server, wait_ns, deadline_ns)
            if replies is not None:
                return replies
    return None


def name_of(address: bytes) -> Part[str]:
    """The name of ``address``, or its number if it has none. Raises ``OSError`` (EAI_AGAIN) if
    no server answers."""
    conf = yield from read_resolv_conf()
    full = ".".join(map(str, reversed(address))) + ".in-addr.arpa"
    question = Dns(0, questions=[Question(full, dns.TYPE_PTR)])
    replies = yield from _replies([question], conf.servers or [LOOPBACK], None)
    if replies is None:
        raise OSError(EAI_AGAIN, TEXTS[EAI_AGAIN])
    for record in replies[0].answers:
        if record.rtype == dns.TYPE_PTR and record.name.lower() == full:
            return dns.read_name(record.rdata, 0)[0]
    return ip_text(address)


def _query(
    questions: Sequence[Dns], server: bytes, wait_ns: int, deadline_ns: int | None
) -> Part[dict[int, Dns] | None]:
    """The replies of one server by their question's number; None if it is of no use."""
    fd = yield from sys.socket("udp")
    replies: dict[int, Dns] | None = None
    try:
        yield from sys.connect(fd, server, dns.PORT)
        for message in questions:
            yield from sys.write(fd, message.emit())
        replies = yield from _collect(fd, questions, wait_ns, deadline_ns)
    except OSError:
        pass  # an ICMP error: this server is of no use
    yield from sys.close(fd)
    if replies is None and deadline_ns is not None and (yield from sys.now()) >= deadline_ns:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
    return replies


def _collect(
    fd: int, questions: Sequence[Dns], wait_ns: int, deadline_ns: int | None
) -> Part[dict[int, Dns] | None]:
    replies: dict[int, Dns] = {}
    now = yield from sys.now()
    until = now + wait_ns
    while len(replies) < len(questions):
        limit = until if deadline_ns is None else min(until, deadline_ns)
        found = yield from sys.poll([(fd, POLLIN)], max(limit - now, 0))
        now = yield from sys.now()
        if not found[0][1]:
            return None
        data = yield from sys.read(fd, MAX_ANSWER)
        number = answered(data, questions)
        if number is None:
            continue
        reply = Dns.parse(data)
        if reply.rcode in (dns.SERVFAIL, dns.NOTIMP, dns.REFUSED):
            return None
        replies[number] = reply
    return replies


def answered(data: bytes, questions: Sequence[Dns]) -> int | None:
    """Which of ``questions`` the datagram answers; None: none of them."""
    try:
        reply = Dns.parse(data)
    except WireError:
        return None
    if not reply.flags & dns.QR:
        return None
    for number, message in enumerate(questions):
        if message.ident == reply.ident and _same(message.questions, reply.questions):
            return number
    return None


def _same(ours: Sequence[Question], theirs: Sequence[Question]) -> bool:
    return [(q.name.lower(), q.qtype) for q in ours] == [(q.name.lower(), q.qtype) for q in theirs]


def _judge(questions: Sequence[Dns], replies: dict[int, Dns]) -> bytes | int:
    name = questions[0].questions[0].name
    address = _address(name, replies[0])
    if address is not None:
        return address
    missing = all(reply.rcode == dns.NXDOMAIN for reply in replies.values())
    return EAI_NONAME if missing else EAI_NODATA


def _address(name: str, reply: Dns) -> bytes | None:
    """The first A record of ``name``, or of what it is an alias of."""
    wanted = name.lower()
    for _ in range(MAX_ALIASES):
        for record in reply.answers:
            if record.name.lower() == wanted and record.rtype == dns.TYPE_A:
                return record.rdata if len(record.rdata) == 4 else None
        aliases = [
            record.rdata
            for record in reply.answers
            if record.name.lower() == wanted and record.rtype == dns.TYPE_CNAME
        ]
        if not aliases:
            return None
        wanted = dns.read_name(aliases[0], 0)[0].lower()
    return None
