"""``nslookup`` of busybox 1.35 (networking/nslookup.c, the big one), over UDP and IPv4.

Theory of operation
-------------------
A name is asked for twice, A and AAAA; an address once, PTR; ``-type`` asks for what it says,
and may be given several times. The server is the second operand, or those of
/etc/resolv.conf in turn (127.0.0.1 without any).

All questions go out together through one connected, non-blocking socket, and again after
2.5 s to a server that has not answered them all; after 5 s it is the next one's turn.
SERVFAIL makes a question go out again at once, twice per question in all. Replies are told
by their identifier alone. Neither /etc/hosts nor search domains are looked at.

A reply that cannot be read is "Parse error" as a whole. Not modelled: ``-port``, ``-retry``
and ``-timeout``, which this build takes and its usage does not name (refused).
"""

from __future__ import annotations

from collections.abc import Sequence

from desim.ports import POLLIN, Endpoint
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.busybox import BANNER, Fatal, applet
from desim.userland.programs.getopt import GetoptError, whole
from desim.userland.programs.output import Step, err, put
from desim.userland.programs.res_query import read_resolv_conf
from desim.userland.programs.resolver import getaddrinfo
from desim.wire import dns
from desim.wire.addresses import IP_ANY, LOOPBACK, ip, ip_text
from desim.wire.dns import Dns, Question, Record
from desim.wire.errors import WireError

USAGE = (
    BANNER
    + """
Usage: nslookup [-type=QUERY_TYPE] [-debug] HOST [DNS_SERVER]

Query DNS about HOST

QUERY_TYPE: soa,ns,a,aaaa,cname,mx,txt,ptr,srv,any
"""
)

TYPE_SRV = 33
TYPE_ANY = 255
TYPES = {
    "SOA": dns.TYPE_SOA,
    "NS": dns.TYPE_NS,
    "A": dns.TYPE_A,
    "AAAA": dns.TYPE_AAAA,
    "CNAME": dns.TYPE_CNAME,
    "MX": dns.TYPE_MX,
    "TXT": dns.TYPE_TXT,
    "PTR": dns.TYPE_PTR,
    "SRV": TYPE_SRV,
    "ANY": TYPE_ANY,
}
RCODES = (
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
    "11",
    "12",
    "13",
    "14",
    "15",
)

OPTIONS = ("type", "querytype", "port", "retry", "debug", "t", "timeout")
"""An option may be cut to its first letters; the first of these that fits is meant."""
MODELLED = ("type", "querytype", "debug")

TIMED_OUT = ";; connection timed out; no servers could be reached\n\n"
MAX_REPLY = 512
TRIES = 2
RETRY_NS = 2_500_000_000
MS = 1_000_000


class Options:
    """The command line. Raises ``GetoptError`` and ``Fatal``."""

    def __init__(self, argv: list[str]) -> None:
        words = argv[1:]
        self.types: list[int] = []
        self.debug = False
        while words and words[0].startswith("-"):
            name, _, value = words.pop(0)[1:].partition("=")
            meant = _option(name)
            if meant is None:
                raise GetoptError("")
            if meant == "debug":
                self.debug = True
            elif value.upper() not in TYPES:
                raise Fatal(f'invalid query type "{value}"')
            else:
                self.types.append(TYPES[value.upper()])
        if not 1 <= len(words) <= 2:
            raise GetoptError("")
        self.host = words[0]
        self.server = words[1] if len(words) > 1 else None


def _option(name: str) -> str | None:
    return next((known for known in OPTIONS if known.startswith(name)), None)


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    for word in argv[1:]:
        if not word.startswith("-"):
            break
        meant = _option(word[1:].partition("=")[0])
        if meant is not None and meant not in MODELLED:
            return f"nslookup: option -{meant} exists, but is not modelled; there are -type, -debug"
    return None


def nslookup(argv: list[str]) -> Program:
    """``nslookup_main``."""
    return applet("nslookup", USAGE, _main(argv))


class _Query:
    """One question and what came back."""

    __slots__ = ("name", "packet", "reply", "took_ns")

    def __init__(self, name: str, packet: bytes) -> None:
        self.name = name
        self.packet = packet
        self.reply: bytes | None = None
        self.took_ns = 0


def _main(argv: list[str]) -> Program:
    options = Options(argv)
    servers = yield from _servers(options.server)
    queries = []
    for name, kind in _questions(options):
        ident = yield from sys.random("nslookup", 0x10000)
        try:
            packet = Dns(ident, questions=[Question(name, kind)]).emit()
        except WireError:
            # The real one does not notice either, until it cannot be sent.
            yield from err(f"nslookup: write to '{servers[0][0]}': Message too long\n")
            yield from put(TIMED_OUT)
            return 1
        queries.append(_Query(name, packet))
    for label, server in servers:
        if (yield from _send_queries(label, server, queries)):
            break
    else:
        yield from put(TIMED_OUT)
        return 1
    yield from put(f"Server:\t\t{label}\nAddress:\t{ip_text(server[0])}:{server[1]}\n\n")
    status = 0
    for number, query in enumerate(queries):
        if options.debug and query.reply is not None:
            yield from put(f"Query #{number} completed in {query.took_ns // MS}ms:\n")
        status |= yield from _print(query)
        yield from put("\n")
    return status


def _questions(options: Options) -> list[tuple[str, int]]:
    if options.types:
        return [(options.host, kind) for kind in options.types]
    try:
        address = ip(options.host)
    except WireError:
        return [(options.host, dns.TYPE_A), (options.host, dns.TYPE_AAAA)]
    return [(_reverse(address), dns.TYPE_PTR)]


def _reverse(address: bytes) -> str:
    """The name that stands for an address (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    if len(address) == 4:
        return ".".join(str(byte) for byte in reversed(address)) + ".in-addr.arpa"
    return ".".join(reversed(address.hex())) + ".ip6.arpa"


def _servers(given: str | None) -> Part[list[tuple[str, Endpoint]]]:
    """Name and endpoint of each server to ask."""
    if given is None:
        conf = yield from read_resolv_conf()
        return [(ip_text(one), (one, dns.PORT)) for one in conf.servers or [LOOPBACK]]
    host, colon, word = given.partition(":")
    port = whole(word, 0, 65535) if colon else dns.PORT
    if port is None:
        raise Fatal(f"bad port '{word}'")
    try:
        address = yield from getaddrinfo(host)
    except OSError:
        raise Fatal(f"bad address '{given}'") from None
    return [(given, (address, port))]


def _send_queries(label: str, server: Endpoint, queries: Sequence[_Query]) -> Part[bool]:
    """Ask one server: whether it answered anything (``send_queries``)."""
    fd = yield from sys.socket("udp")
    yield from sys.bind(fd, IP_ANY, 0)
    try:
        yield from sys.connect(fd, *server)
    except OSError as error:
        raise Fatal(f"can't connect to remote host ({label}): {error.strerror}") from None
    yield from sys.set_nonblocking(fd, True)
    repeats = 2 * len(queries)
    for _ in range(TRIES):
        if not (yield from _send(fd, label, queries)):
            break
        repeats = yield from _receive(fd, queries, repeats)
        if all(query.reply is not None for query in queries):
            break
    yield from sys.close(fd)
    return any(query.reply is not None for query in queries)


def _send(fd: int, label: str, queries: Sequence[_Query]) -> Part[bool]:
    """Send what has no reply yet; False if the server cannot be reached."""
    for query in queries:
        if query.reply is None:
            try:
                yield from sys.write(fd, query.packet)
            except OSError as error:
                yield from err(f"nslookup: write to '{label}': {error.strerror}\n")
                return False
    return True


def _receive(fd: int, queries: Sequence[_Query], repeats: int) -> Part[int]:
    """Take replies for a while; how often SERVFAIL may still make a question go out again."""
    start = yield from sys.now()
    now = start
    while any(query.reply is None for query in queries) and now - start < RETRY_NS:
        found = yield from sys.poll([(fd, POLLIN)], RETRY_NS - (now - start))
        now = yield from sys.now()
        if not found[0][1]:
            break
        try:
            data = yield from sys.read(fd, MAX_REPLY)
        except OSError as error:
            yield from err(f"nslookup: read: {error.strerror}\n")
            continue
        query = next((one for one in queries if one.packet[:2] == data[:2]), None)
        if len(data) < dns.HEADER_LEN or query is None or query.reply is not None:
            continue
        if data[3] & 15 == dns.SERVFAIL and repeats:
            repeats -= 1
            yield from sys.write(fd, query.packet)
            continue
        query.reply, query.took_ns = data, now - start
    return repeats


def _print(query: _Query) -> Program:
    """What one question brought: 1 if that is an error."""
    if query.reply is None:
        yield from put(f"*** Can't find {query.name}: No answer\n")
        return 0
    flags = int.from_bytes(query.reply[2:4], "big")
    if flags & 15:
        yield from put(f"** server can't find {query.name}: {RCODES[flags & 15]}\n")
        return 1
    if not flags & dns.AA:
        yield from put("Non-authoritative answer:\n")
    try:
        reply = Dns.parse(query.reply)
        lines = [_record(record) for record in reply.answers]
    except WireError:
        yield from put(f"*** Can't find {query.name}: Parse error\n")
        return 1
    yield from _put_lines(lines)
    return 0


def _put_lines(lines: Sequence[str]) -> Step:
    for line in lines:
        if line:
            yield from put(line + "\n")


def _record(record: Record) -> str:
    """One record of the answer (``parse_reply``); "" for a type that it does not know."""
    name, data = record.name, record.rdata
    if record.rtype in (dns.TYPE_A, dns.TYPE_AAAA):
        if len(data) != (4 if record.rtype == dns.TYPE_A else 16):
            raise WireError(f"DNS: an address of {len(data)} bytes")
        return f"Name:\t{name}\nAddress: {ip_text(data)}"
    if record.rtype in (dns.TYPE_NS, dns.TYPE_CNAME, dns.TYPE_PTR):
        what = {dns.TYPE_NS: "nameserver", dns.TYPE_CNAME: "canonical name"}
        return f"{name}\t{what.get(record.rtype, 'name')} = {dns.read_name(data, 0)[0]}"
    if record.rtype == dns.TYPE_MX:
        target, _ = dns.read_name(data, 2)
        return f"{name}\tmail exchanger = {_word(data, 0)} {target}"
    if record.rtype == dns.TYPE_TXT:
        if not data or len(data) < 1 + data[0]:
            raise WireError("DNS: a text runs past its record")
        return f'{name}\ttext = "{data[1 : 1 + data[0]].decode("utf-8", "surrogateescape")}"'
    if record.rtype == TYPE_SRV:
        target, _ = dns.read_name(data, 6)
        return f"{name}\tservice = {_word(data, 0)} {_word(data, 2)} {_word(data, 4)} {target}"
    if record.rtype == dns.TYPE_SOA:
        return _soa(name, data)
    return ""


def _soa(name: str, data: bytes) -> str:
    origin, at = dns.read_name(data, 0)
    mail, at = dns.read_name(data, at)
    if len(data) < at + 20:
        raise WireError("DNS: a SOA record is too short")
    figures = [int.from_bytes(data[at + 4 * i : at + 4 * i + 4], "big") for i in range(5)]
    lines = [name, f"\torigin = {origin}", f"\tmail addr = {mail}"]
    names = ("serial", "refresh", "retry", "expire", "minimum")
    lines += [f"\t{what} = {figure}" for what, figure in zip(names, figures, strict=True)]
    return "\n".join(lines)


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
