"""iperf3, in the form that the real 3.12 prints; what it says on the wire was traced there."""

from __future__ import annotations

from fractions import Fraction

import pytest

from desim.testing.host import Host
from desim.userland.process import Process
from desim.userland.programs import HOST_PROGRAMS
from desim.userland.programs.decimals import fixed, general
from desim.userland.programs.iperf3_options import Options
from desim.userland.programs.iperf3_report import Report, Stream, unit
from desim.userland.shell import ShellError, parse

SECOND = 1_000_000_000
RULE = "-" * 59 + "\n"
DASHES = "- - - - - - - - - - - - - - - - - - - - - - - - -\n"
LISTENING = f"{RULE}Server listening on 5201 (test #1)\n{RULE}"
BITRATE = "[ ID] Interval           Transfer     Bitrate"


def seen(process: Process) -> str:
    return process.terminal.output().decode()


def both(line: str, server: str = "iperf3 -s -1", until: int = 30) -> tuple[Host, Process, Process]:
    """A test on loopback, where nothing takes time: the host, client and server."""
    host = Host()
    (there,) = host.start(server)
    host.settle(0)
    (here,) = host.start(line)
    host.settle(until * SECOND)
    return host, here, there


def test_udp_as_the_real_one_counted() -> None:
    """A server and ``-u -t 2 -b 5M`` on loopback, where the real one sends 32,768 bytes each."""
    _, client, server = both("iperf3 -c 127.0.0.1 -u -t 2 -b 5M")
    assert seen(client) == (
        "Connecting to host 127.0.0.1, port 5201\n"
        "[  5] local 127.0.0.1 port 44675 connected to 127.0.0.1 port 5201\n"
        f"{BITRATE}         Total Datagrams\n"
        "[  5]   0.00-1.00   sec   640 KBytes  5.24 Mbits/sec  20  \n"
        "[  5]   1.00-2.00   sec   608 KBytes  4.98 Mbits/sec  19  \n"
        f"{DASHES}{BITRATE}         Jitter    Lost/Total Datagrams\n"
        "[  5]   0.00-2.00   sec  1.22 MBytes  5.11 Mbits/sec  0.000 ms  0/39 (0%)  sender\n"
        "[  5]   0.00-2.00   sec  1.22 MBytes  5.11 Mbits/sec  0.000 ms  0/39 (0%)  receiver\n"
        "\niperf Done.\n"
    )
    assert seen(server) == (
        f"{LISTENING}Accepted connection from 127.0.0.1, port 39866\n"
        "[  5] local 127.0.0.1 port 5201 connected to 127.0.0.1 port 44675\n"
        f"{BITRATE}         Jitter    Lost/Total Datagrams\n"
        "[  5]   0.00-1.00   sec   640 KBytes  5.24 Mbits/sec  0.000 ms  0/20 (0%)  \n"
        "[  5]   1.00-2.00   sec   608 KBytes  4.98 Mbits/sec  0.000 ms  0/19 (0%)  \n"
        f"{DASHES}{BITRATE}         Jitter    Lost/Total Datagrams\n"
        "[  5]   0.00-2.00   sec  1.22 MBytes  5.11 Mbits/sec  0.000 ms  0/39 (0%)  receiver\n"
    )
    assert (client.shell_status, server.shell_status) == (0, 0)


def test_reverse_udp_is_the_same_with_the_sides_exchanged() -> None:
    _, client, server = both("iperf3 -c 127.0.0.1 -u -t 2 -b 5M -R")
    assert "Reverse mode, remote host 127.0.0.1 is sending\n" in seen(client)
    assert "[  5]   1.00-2.00   sec   608 KBytes  4.98 Mbits/sec  0.000 ms  0/19 (0%)  \n" in seen(
        client
    )
    assert seen(server).endswith("0.000 ms  0/39 (0%)  sender\n")


def test_parallel_streams_have_the_real_ones_numbers_and_a_sum() -> None:
    _, client, server = both("iperf3 -c 127.0.0.1 -t 2 -P 3 -b 100K -l 1000")
    for number in (5, 7, 9):
        assert f"[  {number}]   0.00-1.00   sec  12.7 KBytes   104 Kbits/sec    " in seen(client)
    for number in (" 5", " 8", "10"):
        assert f"[ {number}]   1.00-2.00   sec  11.7 KBytes  96.0 Kbits/sec    " in seen(server)
    assert "[SUM]   0.00-2.00   sec  73.2 KBytes   300 Kbits/sec                  sender" in seen(
        client
    )


def test_what_each_side_says_on_the_control_connection() -> None:
    host, client, _ = both("iperf3 -c 127.0.0.1 -n 300K -P 2")
    said = [
        call.args[1]
        for pid, call in host.calls
        if pid == client.pid and call.name == "write" and call.args[0] == 4
    ]
    parameters = (
        b'{"tcp":true,"omit":0,"time":0,"num":307200,"blockcount":0,"parallel":2,"len":131072,'
        b'"pacing_timer":1000,"client_version":"3.12"}'
    )
    assert len(said[0]) == 37
    assert said[1:4] == [b"\0\0\0\x80", parameters, b"\4"]
    assert said[5].startswith(b'{"cpu_util_total":0,')
    assert b'"streams":[{"id":1,"bytes":262144,"retransmits":18446744073709551615,' in said[5]
    assert b'{"id":3,"bytes":131072,' in said[5]
    assert said[-1] == b"\x10"


def test_a_server_serves_again_and_ctrl_c_ends_it() -> None:
    host = Host()
    (server,) = host.start("iperf3 -s -p 7000")
    for _ in range(2):
        host.run("iperf3 -c localhost -p 7000 -n 10K -i 0")
    assert "Server listening on 7000 (test #3)\n" in seen(server)


def test_who_finds_no_server_says_so() -> None:
    host = Host()
    client = host.run("iperf3 -c 127.0.0.1")
    assert client.shell_status == 1
    assert seen(client) == "iperf3: error - unable to connect to server: Connection refused\n"


def test_a_busy_server_refuses() -> None:
    host = Host()
    host.start("iperf3 -s")
    host.start("iperf3 -c localhost -t 5 -b 1M")
    host.settle(SECOND)
    client = host.run("iperf3 -c localhost -t 1")
    text = "iperf3: error - the server is busy running a test. try again later\n"
    assert (client.shell_status, seen(client)) == (1, text)


def test_two_servers_cannot_have_one_port() -> None:
    host = Host()
    host.start("iperf3 -s")
    second = host.run("iperf3 -s -1")
    assert seen(second).startswith(
        "iperf3: error - unable to start listener for connections: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0, "A", "0.00 Byte"),
        (1023 * 1024, "A", "1023 KByte"),
        (1024 * 1024, "A", "1.00 MByte"),
        (2_287_000_000, "A", "2.13 GByte"),
        (1_250_000, "a", "10.0 Mbit"),
        (1_249_000, "a", "9.99 Mbit"),
        (1_249_400, "a", "10.0 Mbit"),
        (124_940, "a", "1000 Kbit"),
        (124_930, "a", " 999 Kbit"),
        (1_248_875, "k", "9991 Kbit"),
        (2_000_000, "M", "1.91 MByte"),
        (0, "a", "0.00 bit"),
    ],
)
def test_units_have_four_places(value: int, form: str, text: str) -> None:
    assert unit(Fraction(value), form) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        ("0.126", 2, "0.13"),
        ("100", 2, "1e+02"),
        ("9.96", 2, "10"),
        ("12.3", 2, "12"),
        ("0", 2, "0"),
    ],
)
def test_shares_have_two_digits(value: str, digits: int, text: str) -> None:
    assert general(Fraction(value), digits) == text


def test_fixed_places_are_rounded_to_even() -> None:
    assert [fixed(Fraction(n, 1000), 2) for n in (5, 15, -5, -15, 999)] == [
        "0.00",
        "0.02",
        "0.00",
        "-0.02",
        "1.00",
    ]


def test_a_tcp_sender_that_knows_its_retransmissions() -> None:
    streams = [Stream(5, 1, True, b""), Stream(7, 2, True, b"")]
    report = Report(streams, server=False, udp=False, sender=True, form="a")
    report.retransmits = True
    for stream, sent, total in ((streams[0], 760_217_600, 3), (streams[1], 736_100_352, 1)):
        stream.sent = stream.this_interval = sent
        info = {"total_retrans": total, "snd_cwnd": 100, "snd_mss": 1448}
        stream.close_interval(1_000_000, info, udp=False)
    assert report.interval(100_000) == (
        f"{BITRATE}         Retr  Cwnd\n"
        "[  5]   0.00-1.00   sec   725 MBytes  6.08 Gbits/sec    3    141 KBytes       \n"
        "[  7]   0.00-1.00   sec   702 MBytes  5.89 Gbits/sec    1    141 KBytes       \n"
        "[SUM]   0.00-1.00   sec  1.39 GBytes  12.0 Gbits/sec    4             \n"
    )
    assert report.results().splitlines()[2:4] == [
        "[  5]   0.00-1.00   sec   725 MBytes  6.08 Gbits/sec    3             sender",
        "[  5]   0.00-1.00   sec  0.00 Bytes  0.00 bits/sec                  receiver",
    ]


def test_lost_and_late_datagrams() -> None:
    stream = Stream(5, 1, False, b"")
    for number in (1, 2, 5, 3, 7):
        stream.arrived(number, 0)
        stream.received += 1000
    assert (stream.packets, stream.errors, stream.disordered) == (7, 2, 1)
    stream.close_interval(1_000_000, None, udp=True)
    report = Report([stream], server=True, udp=True, sender=False, form="a")
    assert "  2/7 (29%)  \n" in report.interval(0)
    assert "[SUM]  0.0- 1.0 sec  1 datagrams received out-of-order\n" in report.results()


def test_jitter_is_that_of_rfc_1889() -> None:
    stream = Stream(5, 1, False, b"")
    for transit in (100, 116, 116, 100):
        stream.arrived(stream.packets + 1, transit)
        stream.received += 1
    assert Fraction(stream.jitter, 10**9) == Fraction("1.87890625")


@pytest.mark.parametrize(
    ("words", "block", "rate", "duration"),
    [
        ("-c h", 131072, 0, 10),
        ("-c h -u", 0, 1048576, 10),
        ("-c h -b 1.5M -l 2K -t 3", 2048, 1500000, 3),
        ("--client h --udp --length 1400 --bitrate=1G --time=1", 1400, 10**9, 1),
        ("-c h -n 1G", 131072, 0, 0),
    ],
)
def test_options(words: str, block: int, rate: int, duration: int) -> None:
    options = Options(["iperf3", *words.split()])
    assert (options.block, options.rate, options.duration_s) == (block, rate, duration)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("iperf3", "one of -s (server) and -c HOST (client)"),
        ("iperf3 -s -c h", "one of -s"),
        ("iperf3 -c h -J", "invalid option -- 'J' is not modelled"),
        ("iperf3 -c h --bidir", "is not modelled"),
        ("iperf3 -s -u", "-u is an option of the client"),
        ("iperf3 -c h -1", "-1 is an option of the server"),
        ("iperf3 -c h -t 5 -n 1M", "only one of -t, -n and -k"),
        ("iperf3 -c h -P 200", "-P: '200' is no whole number from 1 to 128"),
        ("iperf3 -c h -b 1X", "-b: '1X' is no number"),
        ("iperf3 -c h -i 0.01", "neither 0 nor from 0.1 to 60"),
        ("iperf3 -c h -u -l 70000", "is not in 16 to 65507"),
        ("iperf3 -c h x", "no operands"),
        ("iperf3 -c h -f x", "none of k m g t"),
    ],
)
def test_what_is_refused(line: str, says: str) -> None:
    with pytest.raises(ShellError) as caught:
        parse(line, HOST_PROGRAMS)
    assert says in caught.value.message
