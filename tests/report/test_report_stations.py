"""The rows of a journey under headings: none lost, none twice, each where it belongs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from desim.experiment.journey import Row
from desim.report.stations import (
    GUEST_KERNEL,
    GUEST_PROGRAM,
    HOST,
    LIES,
    QEMU,
    QEMU_BELOW_GUEST,
    group_rows,
)
from desim.report.terminal import escape, grouped, quoted, seconds, share, short_file

FILES = ["", "host kernel", "slirp/if.c", "net/net.c", "net/core/dev.c", "hw/net/e1000.c"]
rows = st.builds(
    Row,
    station=st.sampled_from([*LIES, "vcpu", "main", "do_syscall_64", "recv", "ip_output"]),
    file=st.sampled_from(FILES),
    own_ns=st.integers(0, 10**10),
    waiting_ns=st.integers(0, 10**10),
    waits_for=st.sampled_from(["", "poll", "window"]),
)


def done(station: str, file: str) -> Row:
    return Row(station, file, 1, 0, "")


def waited(station: str, why: str) -> Row:
    return Row(station, "", 0, 1, why)


@given(st.lists(rows, max_size=30))
def test_every_row_is_under_one_heading_and_sums_are_kept(given_rows: list[Row]) -> None:
    groups = group_rows(given_rows)
    assert sorted(r for g in groups for r in g.rows) == sorted(given_rows)
    assert sum(g.own_ns for g in groups) == sum(r.own_ns for r in given_rows)
    assert sum(g.waiting_ns for g in groups) == sum(r.waiting_ns for r in given_rows)
    assert len({g.title for g in groups}) == len(groups)
    assert all(g.rows for g in groups)


def test_who_has_the_message_follows_its_way() -> None:
    way = [
        done("write", "host kernel"),
        waited("host socket buffer", "poll"),
        done("recv", "host kernel"),
        done("tcp_output", "slirp/tcp_output.c"),
        done("set_ics", "hw/net/e1000.c"),
        waited("main", "big lock"),
        waited("receive ring", "interrupt mitigation"),
        done("ip_rcv", "net/ipv4/ip_input.c"),
        done("xmit_seg", "hw/net/e1000.c"),
        done("tcp_input", "slirp/tcp_input.c"),
        done("sock_def_readable", "net/core/sock.c"),
        waited("socket queue", "scheduler"),
        done("do_syscall_64", "arch/x86/entry/common.c"),
        done("release_sock", "net/core/sock.c"),
    ]
    assert [(g.title, len(g.rows)) for g in group_rows(way)] == [
        (HOST, 1),
        (LIES["host socket buffer"], 1),
        (QEMU, 4),
        (LIES["receive ring"], 1),
        (GUEST_KERNEL, 2),
        (QEMU_BELOW_GUEST, 2),
        (LIES["socket queue"], 1),
        (GUEST_PROGRAM, 2),
    ]


def test_a_reader_that_was_there_already_has_its_own_heading() -> None:
    way = [done("ip_rcv", "net/ipv4/ip_input.c"), done("do_syscall_64", "arch/x86/entry/common.c")]
    assert [g.title for g in group_rows(way)] == [GUEST_KERNEL, GUEST_PROGRAM]


def test_figures_can_be_read_off() -> None:
    assert seconds(5_000_123_456) == "5.000 123 456 s"
    assert grouped(1_234_567) == "1 234 567"
    assert share(1, 3) == "33.3%"
    assert share(0, 0) == "0.0%"


def test_a_long_path_keeps_its_end() -> None:
    path = "drivers/net/ethernet/intel/e1000/e1000_main.c"
    assert short_file(path) == ".../intel/e1000/e1000_main.c"
    assert short_file("slirp/if.c") == "slirp/if.c"


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_nothing_escapes_that_a_terminal_would_obey(data: bytes | str) -> None:
    assert all(char.isprintable() or char in "\n\t" for char in escape(data))


def test_a_message_is_shown_on_one_line_and_its_cut_is_marked() -> None:
    assert quoted(b"a\tb\n", 4) == '"a\\tb\\n"'
    assert quoted(b"x" * 30, 30) == '"' + "x" * 24 + '..."'
