"""packetdrill's language: what is read, what is refused by name, what is an error of the script."""

from __future__ import annotations

from pathlib import Path

import pytest
from packetdrill_scripts import SERVED, played

from desim.conform.packetdrill.errors import ScriptError
from desim.conform.packetdrill.parser import parse
from desim.conform.packetdrill.script import (
    ANYTHING,
    Function,
    IcmpError,
    Names,
    Packet,
    Struct,
    SystemCall,
    TcpOption,
    When,
)
from desim.conform.packetdrill.suite import Result

# Reading


def first(text: str) -> object:
    return parse(text).events[-1].action


def test_a_packet_with_everything() -> None:
    packet = first("0 > FP. 1:301(300) ack 7 win 512 <nop,nop,TS val 1 ecr 2>")
    assert isinstance(packet, Packet)
    assert (packet.flags, packet.seq, packet.length) == ("FP.", 1, 300)
    assert (packet.ack, packet.window) == (7, 512)
    assert packet.options == (TcpOption("nop"), TcpOption("nop"), TcpOption("TS", (1, 2)))
    assert not packet.inbound


def test_options_that_are_not_looked_at() -> None:
    packet = first("0 > S 0:0(0) <...>")
    assert isinstance(packet, Packet)
    assert packet.options is None


def test_the_next_packet_is_no_option() -> None:
    events = parse("0 > . 1:1(0) ack 1\n+0 < . 1:1(0) ack 1 win 9\n").events
    assert [type(event.action) for event in events] == [Packet, Packet]


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("0", When(relative=False)),
        ("+.05", When(50_000_000)),
        ("+0.000001", When(1000)),
        ("+.24~+.3", When(240_000_000, 300_000_000)),
        ("*", When(any=True)),
    ],
)
def test_times_are_exact(text: str, when: When) -> None:
    before = "" if text == "0" else "0 > S 0:0(0)\n"
    assert parse(f"{before}{text} > . 1:1(0) ack 1").events[-1].when == when


def test_a_call_with_an_end() -> None:
    call = first("+0...0.2 connect(3, ..., ...) = -1 ETIMEDOUT (Connection timed out)")
    assert isinstance(call, SystemCall)
    assert (call.name, call.end_ns, call.result, call.error) == (
        "connect",
        200_000_000,
        -1,
        "ETIMEDOUT",
    )
    assert call.arguments == (3, ANYTHING, ANYTHING)


def test_arguments_of_every_kind() -> None:
    call = first(
        '0 f(-1, 0x10, A|B, "a" "b", [1, 2], {fd=4, events=POLLIN}, {..., 9}, htons(80)) = 0'
    )
    assert isinstance(call, SystemCall)
    assert call.arguments == (
        -1,
        16,
        Names(("A", "B")),
        "ab",
        [1, 2],
        Struct({"fd": 4, "events": Names(("POLLIN",))}),
        Struct({}, (ANYTHING, 9)),
        Function("htons", (80,)),
    )


def test_an_icmp_error() -> None:
    error = first("0 < icmp unreachable frag_needed mtu 1200 [1:1001(1000)]")
    assert isinstance(error, IcmpError)
    assert (error.code, error.mtu, error.seq, error.length) == ("frag_needed", 1200, 1, 1000)


def test_comments_count_as_lines() -> None:
    script = parse("// one\n/* two\nthree */\n0 > S 0:0(0)\n")
    assert script.events[0].line == 4


def test_what_is_defined_is_replaced() -> None:
    script = parse("--define=MSS=1460\n0 > S. 0:0(0) ack 1 <mss MSS>\n")
    packet = script.events[0].action
    assert isinstance(packet, Packet)
    assert packet.options == (TcpOption("mss", (1460,)),)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "no events in it"),
        ("1 > S 0:0(0)", 1, "the first event must be at time 0"),
        ("0 > S 0:1(0)", 1, "0 and 0 make 0"),
        ("0 > Q 0:0(0)", 1, "'Q' is no flag of TCP"),
        ("0 < S 0:0(0)", 1, "needs its window"),
        ("0 < S 0:0(0) win 1 <...>", 1, "<...> goes only with a packet that is expected"),
        ("0 > S 0:0(0) <mms 1>", 1, "'mms' is no option of TCP"),
        ("0 > S 0:0(0) win 65536", 1, "a window 65536 does not fit in 16 bits"),
        ("\n0 > S 0:0(0)\n* read(3, ..., 1) = 1", 3, "* as a time goes only with a packet"),
        ("0 > S 0:0(0)\n+2~+1 > S 0:0(0)", 2, "the range of time ends before it begins"),
        ("0 > S 0:0(0)\n+1~2 > S 0:0(0)", 2, "has + at both ends"),
        ("0 > S 0:0(0)\n+-1 > S 0:0(0)", 2, "a time cannot be negative"),
        ("0 read(3, ...", 1, "the script ends where ',' is expected"),
        ("0 read(3 4) = 0", 1, "expected ',', found '4'"),
        ("0 f(" + "[" * 99 + ") = 0", 1, "more than 16 brackets in each other"),
        ("0 f(" + "9" * 5000 + ") = 0", 1, "is too large a number"),
        ("0 %{ assert 1", 1, "%{ without }% behind it"),
        ("0 `sleep 1", 1, "` without ` behind it"),
        ("0 /* x", 1, "/* without */ behind it"),
        ("0", 1, "the script ends where a packet"),
        ("0 +", 1, "expected a packet, a system call, a command or code, found '+'"),
        ("`true`\n0 > S 0:0(0)\n`x`\n0 > S 0:0(0)", 3, "a command between events needs a time"),
    ],
)
def test_an_error_of_the_script_has_its_line(text: str, line: int, told: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(text)
    assert told in str(caught.value)
    assert caught.value.line == line
    assert len(str(caught.value)) < 200


# Refusing


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("0 < S 0:0(0) win 1 <mss 1000,sackOK>", "SACK (sackOK)"),
        ("0 < S 0:0(0) win 1 <mss 1000,nop,wscale 7>", "window scaling (wscale)"),
        ("0 < S 0:0(0) win 1 <TS val 1 ecr 0>", "timestamps (TS)"),
        ("0 < . 1:1(0) ack 1 win 1 <sack 1:2>", "SACK"),
        ("0 > S 0:0(0) <FO abcd>", "TCP Fast Open (FO)"),
        ("0 < SEW 0:0(0) win 1", "ECN (the flag E)"),
        ("0 < [ect0] . 1:1(0) ack 1 win 1", "the IP header's [ect0]"),
        ("0 < PU. 1:2(1) ack 1 win 1 urg 1", "urgent data (U)"),
        ("0 < 1000 > 2000 . 1:1(0) ack 1 win 1", "packets of other ports"),
        ("0 > udp (1000)", "UDP packets"),
        ("0 < ipv4 1.2.3.4 > 5.6.7.8: . 1:1(0) ack 1 win 1", "ipv4 around or in a packet"),
        ("0 < icmp unreachable frag_needed mtu 1200 [1:2(1)]", "path MTU discovery (frag_needed)"),
        ("0 < icmp redirect", "ICMP redirect"),
        ("0 > icmp echo_reply", "ICMP from the guest"),
        ("0 splice(3, 4) = 0", "the system call splice()"),
        ("0 send(3, ..., 5, MSG_ZEROCOPY) = 5", "writing with MSG_ZEROCOPY"),
        ("0 recv(3, ..., 5, MSG_OOB) = 5", "reading with MSG_OOB"),
        ("0 setsockopt(3, SOL_TCP, TCP_FASTOPEN, [1], 4) = 0", "the socket option TCP_FASTOPEN"),
        ("0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLET, fd=4}) = 0", "epoll with EPOLLET"),
        ('0 open("/tmp/f", O_RDWR) = 5', "open() with O_RDWR"),
        (
            "`dd if=/etc/passwd of=/tmp/f count=1`\n0 > S 0:0(0)",
            "the command 'dd if=/etc/passwd of=/tmp/f count=1'",
        ),
        ("`dd if=/dev/zero of=/tmp/f`\n0 > S 0:0(0)", "the command 'dd if=/dev/zero of=/tmp/f'"),
        ("0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3", "a socket of type SOCK_DGRAM"),
        ("0 socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP) = 3", "sockets of AF_INET6"),
        ("--ip_version=ipv6\n0 > S 0:0(0)", "--ip_version=ipv6"),
        ("--mss=1000\n0 > S 0:0(0)", "the option --mss"),
        ("`sysctl -q net.ipv4.tcp_ecn=1`\n0 > S 0:0(0)", "tcp_ecn=1"),
        ("`sysctl -q net.ipv4.tcp_mem=1`\n0 > S 0:0(0)", "the setting tcp_mem"),
        ("`sysctl -q net.core.somaxconn=1`\n0 > S 0:0(0)", "the setting 'net.core.somaxconn=1'"),
        ("`rm -rf /`\n0 > S 0:0(0)", "the command 'rm -rf /'"),
        ("0 `tc qdisc add dev tun0 root fq`", "the command 'tc qdisc add dev tun0 root fq'"),
    ],
)
def test_what_is_not_modelled_is_named(tmp_path: Path, text: str, what: str) -> None:
    outcome = played(tmp_path, text)
    assert (outcome.result, outcome.why) == (Result.NOT_MODELLED, what)
    assert outcome.line in (1, 2)


def test_a_script_is_refused_before_anything_happens(tmp_path: Path) -> None:
    """The refusal stands at the end, behind what would fail."""
    script = SERVED + "+0 > P. 9:10(1) ack 9\n+0 < . 1:1(0) ack 1 win 1 <TS val 1 ecr 0>\n"
    assert played(tmp_path, script).result is Result.NOT_MODELLED


def test_a_syn_that_crosses_the_guests_is_refused(tmp_path: Path) -> None:
    outcome = played(
        tmp_path,
        "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
        "+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n"
        "+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)\n"
        "+0 > S 0:0(0) <...>\n"
        "+0 < S 0:0(0) win 32000 <mss 1000>\n",
    )
    assert outcome.result is Result.NOT_MODELLED
    assert "simultaneous open" in outcome.why


# Errors that only running shows


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 < . 1:1(0) ack 1 win 9\n+0 %{ assert 1 }%", "no socket is open"),
        (SERVED + "+0 %{ assert ( }%", "the code is not Python"),
        (SERVED + "+0 %{ assert 1 // 0 }%", "a division by zero"),
        (SERVED + "+0 read(4) = 1", "read() does not take 1 arguments"),
        (SERVED + "+0 read(4, ..., x) = 1", "a length has to be a number"),
        (SERVED + "+0 shutdown(4, 1) = 1", "shutdown() takes SHUT_RD"),
        ("`sysctl -q net.ipv4.tcp_frto=999`\n0 > S 0:0(0)", "expected a number from 0 to 255"),
        ("`sysctl 'x`\n0 > S 0:0(0)", "No closing quotation"),
        ("--tolerance_usecs=x\n0 > S 0:0(0)", "a number of microseconds"),
    ],
)
def test_an_error_that_only_running_shows(tmp_path: Path, text: str, told: str) -> None:
    outcome = played(tmp_path, text)
    assert outcome.result is Result.UNREADABLE, outcome
    assert told in outcome.why


@pytest.mark.parametrize(
    "code",
    ["__import__('os').system('true')", "import os", "assert open('x')", "assert 9 ** 9 ** 9"],
)
def test_code_is_never_executed(tmp_path: Path, code: str) -> None:
    outcome = played(tmp_path, SERVED + f"+0 %{{ {code} }}%")
    assert outcome.result is Result.NOT_MODELLED
    assert outcome.why.startswith("code ")
