"""``ss`` against what the real one of iproute2 6.1.0 printed of the same sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_programs import Script

from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.shell import ShellError, parse
from desim.userland.uapi import Owner, SocketRow
from desim.wire.addresses import IP6_ANY, IP_ANY, ip

LO, LO6 = ip("127.0.0.1"), ip("::1")


def owner(fd: int) -> tuple[Owner, ...]:
    return (Owner(28291, "python3", fd),)


ROWS = [
    SocketRow("tcp", 0, 0, (IP_ANY, 5555), None, "LISTEN", owner(3), 1),
    SocketRow("tcp6", 1, 0, (IP6_ANY, 5556), None, "LISTEN", owner(15), 0),
    SocketRow("tcp", 10, 0, (LO, 5555), (LO, 37350), "ESTABLISHED", owner(19)),
    SocketRow("tcp", 0, 0, (LO, 37350), (LO, 5555), "ESTABLISHED", owner(18)),
    SocketRow("tcp6", 0, 0, (LO6, 50950), (LO6, 5556), "ESTABLISHED", owner(20)),
    SocketRow("tcp6", 3, 0, (LO6, 5556), (LO6, 50950), "ESTABLISHED"),
    SocketRow("udp", 0, 0, (IP_ANY, 68), None, "", owner(16), device="lo"),
    SocketRow("udp6", 0, 0, (LO6, 546), None, "", owner(17)),
]


def shown(line: str, rows: list[SocketRow], *, terminal: bool = False) -> str:
    script = Script(sockets_table=lambda: rows, isatty=lambda fd: terminal)
    assert script.run(line) == 0
    return script.out


def recorded() -> Iterator[tuple[str, bool, int, str]]:
    """Option, whether on a terminal of 80 columns, how many of the sockets there were, output.

    A ``$`` stands at the end of each line, as ``cat -A`` shows it.
    """
    for case in Path(__file__).with_name("ss.txt").read_text().split("== ss ")[1:]:
        head, text = case.split("\n", 1)
        option, width, count = head.split()
        yield option, width == "80", int(count), text.replace("$\n", "\n")


@pytest.mark.parametrize(("option", "terminal", "count", "text"), list(recorded()))
def test_it_prints_what_the_real_one_printed(
    option: str, terminal: bool, count: int, text: str
) -> None:
    assert shown(f"ss {option}", ROWS[:count], terminal=terminal) == text


def test_long_options_are_the_short_ones() -> None:
    long = "ss --tcp --udp --all --numeric --no-header --processes --ipv4"
    assert shown(long, ROWS) == shown("ss -tuanHp4", ROWS)
    assert shown("ss --udp --numeric --listening -6", ROWS) == shown("ss -unl6", ROWS)


def test_states_have_the_names_of_ss() -> None:
    ends = (LO, 8080), (LO, 38356)
    rows = [
        SocketRow("tcp", 0, 0, *ends, state)
        for state in ("FIN_WAIT2", "TIME_WAIT", "SYN_RECV", "CLOSE_WAIT")
    ]
    every = [line.split()[0] for line in shown("ss -tanH", rows).splitlines()]
    assert every == ["FIN-WAIT-2", "TIME-WAIT", "SYN-RECV", "CLOSE-WAIT"]
    usual = [line.split()[0] for line in shown("ss -tnH", rows).splitlines()]
    assert usual == ["FIN-WAIT-2", "CLOSE-WAIT"]


def test_several_owners_stand_in_the_order_of_its_hash() -> None:
    owners = (Owner(7, "httpd", 3), Owner(9, "a-very-long-name-indeed", 0))
    row = SocketRow("tcp", 0, 0, (LO, 80), None, "LISTEN", owners, 9)
    assert shown("ss -Htlnp", [row]).endswith(
        ' users:(("a-very-long-nam",pid=9,fd=0),("httpd",pid=7,fd=3))\n'
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ss -tani", "option -i exists"),
        ("ss -s", "option -s exists"),
        ("ss -tanO", "option -O exists"),
        ("ss -tanQ", "invalid option -- 'Q'"),
        ("ss -tan --cgroup", "option --cgroup is not modelled"),
        ("ss -tan state listening", "filters ('state') are not modelled"),
        ("ss -an4", "without -t and -u it shows UNIX and other sockets"),
        ("ss -tl", "add -n"),
    ],
)
def test_what_is_not_modelled_is_refused(line: str, says: str) -> None:
    for programs in (GUEST_PROGRAMS, HOST_PROGRAMS):
        with pytest.raises(ShellError) as caught:
            parse(line, programs)
        assert says in str(caught.value)


def test_the_host_refuses_owners_whose_descriptors_have_no_number() -> None:
    with pytest.raises(ShellError, match="netstat -natp names owners"):
        parse("ss -tanp", HOST_PROGRAMS)
    parse("ss -tanp", GUEST_PROGRAMS)
