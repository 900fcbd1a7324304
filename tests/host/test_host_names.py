"""Names: ``nslookup`` of busybox and glibc's resolver, against scripted name servers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import pytest
from host_bench import SECOND, Host, output

from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.programs.res_query import ResolvConf
from desim.userland.programs.resolver import getaddrinfo
from desim.wire import dns
from desim.wire.addresses import ip
from desim.wire.dns import Dns, Question, Record, encode_name

SERVER = "127.0.0.53"
V4 = ip("192.0.2.1")
V6 = ip("fec0::2")
SOA = (
    encode_name("ns.x") + encode_name("root.x") + b"".join(bytes((0, 0, 0, n)) for n in range(1, 6))
)
RECORDS = {
    ("host.test", dns.TYPE_A): [(dns.TYPE_A, ip("10.0.2.2")), (dns.TYPE_A, ip("10.0.2.3"))],
    ("host.test", dns.TYPE_AAAA): [(dns.TYPE_AAAA, V6)],
    ("v4.test", dns.TYPE_A): [(dns.TYPE_A, V4)],
    ("v4.test", dns.TYPE_AAAA): [],
    ("v6.test", dns.TYPE_A): [],
    ("v6.test", dns.TYPE_AAAA): [(dns.TYPE_AAAA, V6)],
    ("mx.test", dns.TYPE_MX): [(dns.TYPE_MX, b"\0\x0a" + encode_name("mail.test"))],
    ("mx.test", dns.TYPE_TXT): [(dns.TYPE_TXT, b"\5hello\2no")],
    ("mx.test", dns.TYPE_NS): [(dns.TYPE_NS, encode_name("ns.test"))],
    ("mx.test", dns.TYPE_SOA): [(dns.TYPE_SOA, SOA)],
    ("mx.test", 33): [(33, bytes((0, 1, 0, 2, 0, 3)) + encode_name("srv.test"))],
    ("2.2.0.10.in-addr.arpa", dns.TYPE_PTR): [(dns.TYPE_PTR, encode_name("host.test"))],
    ("bad.test", dns.TYPE_A): [(dns.TYPE_A, b"\1\2")],
    ("bad.test", dns.TYPE_AAAA): [(dns.TYPE_AAAA, b"\1\2")],
}
Reply = Callable[[Dns], "Dns | bytes | None"]


def answer(query: Dns) -> Dns | bytes | None:
    """Like the server that the real programs were asked to talk to."""
    (question,) = query.questions
    reply = Dns(query.ident, dns.QR | dns.RD | dns.RA, [question])
    name = question.name
    if name == "silent.test":
        return None
    if name == "alias.test":
        reply.answers.append(Record(name, dns.TYPE_CNAME, encode_name("Other.test")))
        if question.qtype == dns.TYPE_A:
            reply.answers.append(Record("other.test", dns.TYPE_A, V4))
        return reply
    rcode = {"fail.test": dns.SERVFAIL, "refuse.test": dns.REFUSED}.get(name)
    found = RECORDS.get((name, question.qtype))
    if rcode is not None or found is None:
        reply.flags |= dns.NXDOMAIN if rcode is None else rcode
        return reply
    reply.answers += [Record(name, kind, data, ttl=300) for kind, data in found]
    return reply


class NameServer:
    """A name server at ``address``; ``asked`` is what came, with its time."""

    def __init__(self, host: Host, reply: Reply = answer, address: str = SERVER) -> None:
        self.host = host
        self.reply = reply
        self.address = ip(address)
        self.asked: list[tuple[int, str, int]] = []
        host.serve(self.program())

    def program(self) -> Program:
        fd = yield from sys.socket("udp")
        yield from sys.bind(fd, self.address, dns.PORT)
        while True:
            data, client = yield from sys.recvfrom(fd, 512)
            query = Dns.parse(data)
            assert query.flags == dns.RD
            question = query.questions[0]
            self.asked.append((self.host.time, question.name, question.qtype))
            reply = self.reply(query)
            if reply is not None:
                message = reply if isinstance(reply, bytes) else reply.emit()
                yield from sys.sendto(fd, message, client)


def asked(line: str, reply: Reply = answer) -> tuple[str, int | None, NameServer]:
    host = Host()
    server = NameServer(host, reply)
    client = host.run(f"nslookup {line} {SERVER}")
    host.settle(60 * SECOND)
    return (
        output(client).removeprefix(f"Server:\t\t{SERVER}\nAddress:\t{SERVER}:53\n\n"),
        (client.exit_status),
        server,
    )


NOT_OURS = "Non-authoritative answer:\n"


@pytest.mark.parametrize(
    ("words", "shown", "status"),
    [
        (
            "host.test",
            f"{NOT_OURS}Name:\thost.test\nAddress: 10.0.2.2\nName:\thost.test\nAddress: 10.0.2.3\n"
            f"\n{NOT_OURS}Name:\thost.test\nAddress: fec0::2\n\n",
            0,
        ),
        ("v4.test", f"{NOT_OURS}Name:\tv4.test\nAddress: 192.0.2.1\n\n{NOT_OURS}\n", 0),
        ("nope.test", "** server can't find nope.test: NXDOMAIN\n\n" * 2, 1),
        ("refuse.test", "** server can't find refuse.test: REFUSED\n\n" * 2, 1),
        ("fail.test", "** server can't find fail.test: SERVFAIL\n\n" * 2, 1),
        ("bad.test", f"{NOT_OURS}*** Can't find bad.test: Parse error\n\n" * 2, 1),
        ("10.0.2.2", f"{NOT_OURS}2.2.0.10.in-addr.arpa\tname = host.test\n\n", 0),
        ("10.0.2.9", "** server can't find 9.2.0.10.in-addr.arpa: NXDOMAIN\n\n", 1),
        ("fe80::1", f"** server can't find 1.{'0.' * 28}8.e.f.ip6.arpa: NXDOMAIN\n\n", 1),
        ("-type=mx mx.test", f"{NOT_OURS}mx.test\tmail exchanger = 10 mail.test\n\n", 0),
        ("-q=TXT mx.test", f'{NOT_OURS}mx.test\ttext = "hello"\n\n', 0),
        ("-t=ns mx.test", f"{NOT_OURS}mx.test\tnameserver = ns.test\n\n", 0),
        ("-type=srv mx.test", f"{NOT_OURS}mx.test\tservice = 1 2 3 srv.test\n\n", 0),
        (
            "-type=soa mx.test",
            f"{NOT_OURS}mx.test\n\torigin = ns.x\n\tmail addr = root.x\n\tserial = 1\n"
            "\trefresh = 2\n\tretry = 3\n\texpire = 4\n\tminimum = 5\n\n",
            0,
        ),
        (
            "-debug v4.test",
            f"Query #0 completed in 0ms:\n{NOT_OURS}Name:\tv4.test\nAddress: 192.0.2.1\n\n"
            f"Query #1 completed in 0ms:\n{NOT_OURS}\n",
            0,
        ),
        ("-type=foo x", 'nslookup: invalid query type "foo"\n', 1),
        ("-type x", 'nslookup: invalid query type ""\n', 1),
        ("-foo x", None, 1),
        ("a b", None, 1),
    ],
)
def test_nslookup_prints_what_the_real_one_printed(
    words: str, shown: str | None, status: int
) -> None:
    said, ended, _ = asked(words)
    if shown is None:
        assert said.startswith("BusyBox v1.35.0 (Debian")
    else:
        assert said == shown
    assert ended == status


def test_servfail_is_asked_again_at_once_twice_per_question() -> None:
    _, _, server = asked("fail.test")
    assert [kind for _, _, kind in server.asked] == [dns.TYPE_A, dns.TYPE_AAAA] * 3
    assert {time for time, _, _ in server.asked} == {0}


def test_a_silent_server_is_asked_twice() -> None:
    host = Host()
    server = NameServer(host)
    client = host.run(f"nslookup silent.test {SERVER}")
    host.settle(60 * SECOND)
    assert [time for time, _, _ in server.asked] == [0, 0, SECOND * 5 // 2, SECOND * 5 // 2]
    assert output(client) == ";; connection timed out; no servers could be reached\n\n"
    assert (client.exit_status, client.ended_ns) == (1, 5 * SECOND)


def test_one_question_without_an_answer() -> None:
    said, status, _ = asked(
        "v4.test", lambda query: answer(query) if query.questions[0].qtype == dns.TYPE_A else None
    )
    assert said.endswith("Address: 192.0.2.1\n\n*** Can't find v4.test: No answer\n\n")
    assert status == 0


@pytest.mark.parametrize("junk", [b"abc", b"\0" * 12])
def test_what_is_no_answer_is_ignored(junk: bytes) -> None:
    said, status, _ = asked("v4.test", lambda query: junk)
    assert said == ";; connection timed out; no servers could be reached\n\n"
    assert status == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nslookup x 127.0.0.9", "nslookup: write to '127.0.0.9': Connection refused\n;; connect"),
        ("nslookup x nosuch.example", "nslookup: bad address 'nosuch.example'\n"),
        ("nslookup x 127.0.0.1:y", "nslookup: bad port 'y'\n"),
        ("nslookup x 127.0.0.1:00000000099999", "nslookup: bad port '00000000099999'\n"),
        ("nslookup " + "a" * 64 + " 127.0.0.1", "nslookup: write to '127.0.0.1': Message too long"),
        ("nslookup", "BusyBox v1.35.0 (Debian"),
    ],
)
def test_nslookup_messages(line: str, message: str) -> None:
    host = Host()
    client = host.run(line)
    host.settle(60 * SECOND)
    assert output(client).startswith(message)
    assert client.exit_status == 1


def test_nslookup_asks_the_servers_of_resolv_conf_in_turn() -> None:
    host = Host()
    server = NameServer(host)
    host.kernel.filesystem.resolv_conf = f"nameserver 127.0.0.9\nnameserver {SERVER}\n"
    client = host.run("nslookup v4.test")
    host.settle(60 * SECOND)
    assert f"Server:\t\t{SERVER}\nAddress:\t{SERVER}:53\n" in output(client)
    assert len(server.asked) == 2


# getaddrinfo


def lookup(host: Host, name: str, deadline_ns: int | None = None) -> tuple[str | bytes, int]:
    """What a program gets: the address, or the text of the error; and when."""
    found: list[tuple[str | bytes, int]] = []

    def program() -> Program:
        try:
            outcome: str | bytes = yield from getaddrinfo(name, deadline_ns)
        except OSError as error:
            outcome = error.strerror or ""
        found.append((outcome, (yield from sys.now())))
        return 0

    host.serve(program())
    host.settle(60 * SECOND)
    return found[0]


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("127.1.2.3", ip("127.1.2.3")),
        ("localhost", ip("127.0.0.1")),
        ("v4.test", V4),
        ("ALIAS.test", V4),
        ("host.test", ip("10.0.2.2")),
        ("nope.test", "Name or service not known"),
        ("v6.test", "No address associated with hostname"),
        ("fail.test", "Temporary failure in name resolution"),
        ("refuse.test", "Temporary failure in name resolution"),
        ("a..b", "Name or service not known"),
    ],
)
def test_names_are_found(name: str, outcome: str | bytes) -> None:
    host = Host()
    NameServer(host, lambda query: answer(Dns(query.ident, questions=lower(query))))
    host.kernel.filesystem.resolv_conf = f"nameserver {SERVER}\n"
    assert lookup(host, name)[0] == outcome


def lower(query: Dns) -> list[Question]:
    return [Question(one.name.lower(), one.qtype) for one in query.questions]


def test_without_a_name_server_this_host_is_asked() -> None:
    host = Host()
    assert lookup(host, "v4.test") == ("Temporary failure in name resolution", 0)
    NameServer(host, address="127.0.0.1")
    assert lookup(host, "v4.test")[0] == V4


def test_a_silent_server_has_five_seconds_twice() -> None:
    host = Host()
    server = NameServer(host)
    host.kernel.filesystem.resolv_conf = f"nameserver {SERVER}\n"
    outcome, when = lookup(host, "silent.test")
    assert outcome == "Temporary failure in name resolution"
    assert [time for time, _, _ in server.asked] == [0, 0, 5 * SECOND, 5 * SECOND]
    assert when == 10 * SECOND


def test_the_next_server_is_asked_when_one_fails() -> None:
    host = Host()
    first = NameServer(host, lambda query: None, "127.0.0.51")
    NameServer(host)
    host.kernel.filesystem.resolv_conf = f"nameserver 127.0.0.51\nnameserver {SERVER}\n"
    assert lookup(host, "v4.test") == (V4, 5 * SECOND)
    assert len(first.asked) == 2


def test_a_deadline_ends_the_waiting() -> None:
    host = Host()
    NameServer(host)
    host.kernel.filesystem.resolv_conf = f"nameserver {SERVER}\n"
    assert lookup(host, "silent.test", 2 * SECOND) == ("Connection timed out", 2 * SECOND)
    client = host.run("curl -m 3 silent.test")
    host.settle(host.time + 10 * SECOND)
    assert output(client) == "curl: (28) Resolving timed out after 3000 milliseconds\n"


def test_answers_to_other_questions_are_ignored() -> None:
    def strange(query: Dns) -> Dns:
        query.flags |= dns.QR
        turn = next(turns)
        return Dns(
            query.ident ^ turn, query.flags, [Question("x", 1)] if not turn else query.questions
        )

    turns = cycle((0, 1))
    host = Host()
    NameServer(host, strange)
    host.kernel.filesystem.resolv_conf = f"nameserver {SERVER}\n"
    assert lookup(host, "v4.test")[0] == "Temporary failure in name resolution"


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        ("v4", ["v4.test", "v4.lan", "v4"]),
        ("v4.x", ["v4.x", "v4.x.test", "v4.x.lan"]),
        ("v4.", ["v4"]),
    ],
)
def test_search_domains(name: str, tried: list[str]) -> None:
    conf = ResolvConf("# comment\nsearch test lan.\nnameserver x\nnameserver\nnameserver ::1\n")
    assert conf.servers == []
    assert conf.candidates(name) == tried


def test_a_short_name_is_found_in_the_search_domain() -> None:
    host = Host()
    NameServer(host)
    host.kernel.filesystem.resolv_conf = f"search lan test\nnameserver {SERVER}\n"
    assert lookup(host, "v4")[0] == V4
