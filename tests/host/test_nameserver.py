"""The host's name server: what it answers, over UDP and over TCP."""

from __future__ import annotations

import pytest
from host_bench import SECOND, Host
from hypothesis import given
from hypothesis import strategies as st

from desim.host.nameserver import MAX_MESSAGE, NAME, UDP_MAX, Zone, cut, nameserver
from desim.userland.calls import sys
from desim.userland.files import Terminal
from desim.userland.program import Program
from desim.userland.uapi import SHUT_WR
from desim.wire import dns
from desim.wire.addresses import IP6_LOOPBACK, ip
from desim.wire.dns import Dns, Question, Record, encode_name

RESOLVER = ip("127.0.0.53")
WEB = Record("www.Example.org", dns.TYPE_A, ip("192.0.2.80"), 3600)
WEB6 = Record("www.example.org", dns.TYPE_AAAA, ip("2001:db8::80"), 3600)
FTP = Record("ftp.example.org", dns.TYPE_CNAME, encode_name("www.example.org"), 60)
GONE = Record("old.example.org", dns.TYPE_CNAME, encode_name("nowhere.example.net"), 60)
BACK = Record("80.2.0.192.in-addr.arpa", dns.TYPE_PTR, encode_name("www.example.org"), 60)
LOOP = Record("loop.test", dns.TYPE_CNAME, encode_name("loop.test"), 60)
MANY = [Record("many.test", dns.TYPE_A, bytes((192, 0, 2, n)), 60) for n in range(40)]
ZONE = Zone([WEB, WEB6, FTP, GONE, BACK, LOOP, *MANY])


def question(name: str, qtype: int = dns.TYPE_A) -> bytes:
    return Dns(0x1234, questions=[Question(name, qtype)]).emit()


def asked(name: str, qtype: int = dns.TYPE_A) -> Dns:
    answer = ZONE.answer(question(name, qtype))
    assert answer is not None
    return Dns.parse(answer)


def test_an_answer_repeats_number_and_question_and_has_the_record() -> None:
    reply = asked("www.example.org")
    assert reply.ident == 0x1234
    assert reply.flags == dns.QR | dns.RD | dns.RA
    assert reply.questions == [Question("www.example.org")]
    assert reply.answers == [Record("www.example.org", dns.TYPE_A, WEB.rdata, 3600)]


def test_recursion_is_desired_only_if_it_was() -> None:
    message = Dns(1, flags=0, questions=[Question("www.example.org")]).emit()
    answer = ZONE.answer(message)
    assert answer is not None
    assert Dns.parse(answer).flags == dns.QR | dns.RA


@pytest.mark.parametrize(
    ("name", "qtype", "types", "rcode"),
    [
        ("WWW.example.ORG", dns.TYPE_A, [dns.TYPE_A], dns.NOERROR),
        ("www.example.org", dns.TYPE_AAAA, [dns.TYPE_AAAA], dns.NOERROR),
        ("www.example.org", 255, [dns.TYPE_A, dns.TYPE_AAAA], dns.NOERROR),
        ("www.example.org", dns.TYPE_MX, [], dns.NOERROR),
        ("ftp.example.org", dns.TYPE_A, [dns.TYPE_CNAME, dns.TYPE_A], dns.NOERROR),
        ("ftp.example.org", dns.TYPE_CNAME, [dns.TYPE_CNAME], dns.NOERROR),
        ("ftp.example.org", dns.TYPE_MX, [dns.TYPE_CNAME], dns.NOERROR),
        ("old.example.org", dns.TYPE_A, [dns.TYPE_CNAME], dns.NXDOMAIN),
        ("80.2.0.192.in-addr.arpa", dns.TYPE_PTR, [dns.TYPE_PTR], dns.NOERROR),
        ("example.org", dns.TYPE_A, [], dns.NOERROR),  # names below it exist
        ("ample.org", dns.TYPE_A, [], dns.NXDOMAIN),
        ("", dns.TYPE_A, [], dns.NOERROR),
        ("nosuch.example.org", dns.TYPE_A, [], dns.NXDOMAIN),
    ],
)
def test_what_is_known_of_a_name(name: str, qtype: int, types: list[int], rcode: int) -> None:
    reply = asked(name, qtype)
    assert [record.rtype for record in reply.answers] == types
    assert reply.rcode == rcode


def test_aliases_that_go_round_are_a_failure_of_the_server() -> None:
    assert asked("loop.test").rcode == dns.SERVFAIL


def test_an_answer_that_does_not_fit_is_truncated_over_udp_only() -> None:
    whole = ZONE.answer(question("many.test"))
    short = ZONE.answer(question("many.test"), UDP_MAX)
    assert whole is not None
    assert short is not None
    assert len(Dns.parse(whole).answers) == 40
    assert not Dns.parse(whole).flags & dns.TC
    assert Dns.parse(short).answers == []
    assert Dns.parse(short).flags & dns.TC


@pytest.mark.parametrize(
    ("message", "rcode"),
    [
        (Dns(7, questions=[]).emit(), dns.FORMERR),
        (Dns(7, questions=[Question("a.test"), Question("b.test")]).emit(), dns.FORMERR),
        (question("www.example.org")[:-1], dns.FORMERR),
        (Dns(7, questions=[Question("a.test", qclass=3)]).emit(), dns.REFUSED),
        (Dns(7, flags=0x2800, questions=[Question("a.test")]).emit(), dns.NOTIMP),
    ],
)
def test_a_query_that_it_cannot_answer_gets_a_code(message: bytes, rcode: int) -> None:
    answer = ZONE.answer(message)
    assert answer is not None
    assert Dns.parse(answer).rcode == rcode
    assert answer[:2] == message[:2]


def test_answers_and_scraps_get_none() -> None:
    assert ZONE.answer(Dns(1, flags=dns.QR, questions=[Question("a.test")]).emit()) is None
    assert ZONE.answer(question("a.test")[:11]) is None


@given(st.binary(max_size=80))
def test_any_datagram_is_answered_by_a_message_or_not_at_all(message: bytes) -> None:
    answer = ZONE.answer(message, UDP_MAX)
    if answer is not None:
        assert len(answer) <= UDP_MAX or not Dns.parse(answer).answers
        assert Dns.parse(answer).flags & dns.QR


@given(st.lists(st.binary(max_size=20), max_size=5), st.integers(0, 120))
def test_a_stream_is_cut_into_its_messages_wherever_it_is_interrupted(
    messages: list[bytes], at: int
) -> None:
    stream = b"".join(len(m).to_bytes(2, "big") + m for m in messages)
    first, rest = cut(stream[:at])
    second, left = cut(rest + stream[at:])
    assert first + second == messages
    assert left == b""


# As a process


def served(*addresses: bytes) -> Host:
    host = Host()
    terminal = Terminal("unseen", now=lambda: host.time, quota=host.quota)
    host.kernel.spawn_program(NAME, nameserver(ZONE, addresses), terminal)
    host.settle(0)
    return host


def run(host: Host, program: Program) -> None:
    terminal = Terminal("client", now=lambda: host.time, quota=host.quota)
    host.kernel.spawn_program("client", program, terminal)
    host.settle(host.time + SECOND)


@pytest.mark.parametrize("address", [RESOLVER, IP6_LOOPBACK])
def test_it_answers_datagrams(address: bytes) -> None:
    got: list[bytes] = []

    def client() -> Program:
        fd = yield from sys.socket("udp")
        yield from sys.connect(fd, address, dns.PORT)
        yield from sys.write(fd, b"nonsense")
        yield from sys.write(fd, question("www.example.org"))
        got.append((yield from sys.read(fd, MAX_MESSAGE)))
        return 0

    run(served(RESOLVER, IP6_LOOPBACK), client())
    assert got == [ZONE.answer(question("www.example.org"))]


def test_it_answers_any_number_of_questions_on_a_connection() -> None:
    got: list[bytes] = []
    query = question("many.test")
    framed = len(query).to_bytes(2, "big") + query

    def client() -> Program:
        fd = yield from sys.socket("tcp")
        yield from sys.connect(fd, RESOLVER, dns.PORT)
        for piece in (framed[:1], framed[1:9], framed[9:] + framed):
            yield from sys.write(fd, piece)
            yield from sys.sleep_ns(1000)
        yield from sys.shutdown(fd, SHUT_WR)
        while data := (yield from sys.read(fd, MAX_MESSAGE)):
            got.append(data)
        return 0

    run(served(RESOLVER), client())
    answer = ZONE.answer(query)
    assert answer is not None
    assert b"".join(got) == 2 * (len(answer).to_bytes(2, "big") + answer)


def test_a_client_that_resets_its_connection_disturbs_nobody() -> None:
    got: list[bytes] = []

    def rude() -> Program:
        fd = yield from sys.socket("tcp")
        yield from sys.connect(fd, RESOLVER, dns.PORT)
        query = question("many.test")
        yield from sys.write(fd, 20 * (len(query).to_bytes(2, "big") + query))
        yield from sys.sleep_ns(1000)
        yield from sys.close(fd)
        return 0

    def client() -> Program:
        fd = yield from sys.socket("udp")
        yield from sys.connect(fd, RESOLVER, dns.PORT)
        yield from sys.write(fd, question("www.example.org"))
        got.append((yield from sys.read(fd, MAX_MESSAGE)))
        return 0

    host = served(RESOLVER)
    run(host, rude())
    run(host, client())
    assert len(got) == 1


def test_a_port_that_is_taken_ends_it() -> None:
    host = served(RESOLVER)
    terminal = Terminal("second", now=lambda: host.time, quota=host.quota)
    second = host.kernel.spawn_program(NAME, nameserver(ZONE, [RESOLVER]), terminal)
    host.settle(0)
    assert second.exit_status == 1
