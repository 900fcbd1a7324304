"""head, tail, seq, dd, ls and time beyond what was recorded: streams, terminals, times."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from desim.testing.host import Host
from desim.userland.command import ProgramFile
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.programs.dd import seconds, transferred
from desim.userland.programs.ls import columns, fixed_columns
from desim.userland.shell import ShellError, parse

Table = Mapping[str, ProgramFile]

MS = 1_000_000
SECOND = 1000 * MS
BOTH = pytest.mark.parametrize("table", [GUEST_PROGRAMS, HOST_PROGRAMS], ids=["guest", "host"])


def shown(line: str, table: Table = GUEST_PROGRAMS, files: dict[str, bytes] | None = None) -> str:
    host = Host(files)
    job = host.start(line, table)
    host.settle()
    return job[-1].terminal.output().decode()


@BOTH
def test_head_ends_when_it_has_enough_and_the_writer_with_it(table: Table) -> None:
    host = Host()
    job = host.start("seq 100000 | head -n 2", table)
    host.settle()
    assert job[-1].terminal.output() == b"1\n2\n"
    assert [process.shell_status for process in job] == [141, 0]


@BOTH
def test_tail_waits_for_the_end_of_a_pipe(table: Table) -> None:
    assert shown("seq 100000 | tail -n 2", table) == "99999\n100000\n"
    assert shown("seq 30000 | tail -c +168889", table) == "30000\n"
    assert shown("seq 5 | head -n -3", table) == "1\n2\n"


def test_a_terminal_has_each_line_at_once() -> None:
    host = Host()
    job = host.start("nc -l 5 | head -n 9")
    host.settle(0)
    host.run("echo a | nc -N localhost 5")
    assert job[-1].terminal.output() == b"a\n"


@BOTH
def test_random_bytes_are_the_same_in_every_run(table: Table) -> None:
    host, again = Host(), Host()
    line = "dd if=/dev/urandom of=a bs=100 count=3; head -c 200 /dev/random > b"
    for one in (host, again):
        one.start(line, table)
        one.settle()
    first, second = host.written("a"), host.written("b")
    assert len(first) == 300
    assert len(second) == 200
    assert first[:200] != second
    assert (again.written("a"), again.written("b")) == (first, second)


def test_dd_counts_the_pieces_of_a_pipe() -> None:
    line = "seq 30000 | dd bs=1M of=o"
    assert " records in\n0+" in shown(line, HOST_PROGRAMS)
    whole = "seq 30000 | dd bs=1M iflag=fullblock of=o"
    assert shown(whole, HOST_PROGRAMS).startswith("0+1 records in\n0+1 records out\n168894 bytes")


def test_dd_says_what_there_was_when_it_is_stopped() -> None:
    host = Host()
    (process,) = host.start("dd of=o")
    host.settle(SECOND)
    host.kernel.kill(process, "SIGINT")
    call = process.resume(error=InterruptedError(4, "Interrupted system call"))
    while call is not None:
        call = process.resume(host.kernel.syscall(process, call))
    assert process.shell_status == 130
    assert process.terminal.output() == (
        b"^C\n0+0 records in\n0+0 records out\n0 bytes copied, 1 s, 0.0 kB/s\n"
    )


@pytest.mark.parametrize(
    ("count", "elapsed_ns", "text"),
    [
        (8, 45953, "8 bytes copied, 4.5953e-05 s, 174 kB/s"),
        (3, 3252560, "3 bytes copied, 0.00325256 s, 0.9 kB/s"),
        (3072, 130326, "3072 bytes (3.1 kB, 3.0 KiB) copied, 0.000130326 s, 23.6 MB/s"),
        (1 << 20, 798683, "1048576 bytes (1.0 MB, 1.0 MiB) copied, 0.000798683 s, 1.3 GB/s"),
        (2, 27769, "2 bytes copied, 2.7769e-05 s, 72.0 kB/s"),
        (20_000_000, 1253340, "20000000 bytes (20 MB, 19 MiB) copied, 0.00125334 s, 16.0 GB/s"),
        (1, SECOND, "1 byte copied, 1 s, 0.0 kB/s"),
        (0, 0, "0 bytes copied, 0 s, Infinity B/s"),
    ],
)
def test_the_last_line_of_dd(count: int, elapsed_ns: int, text: str) -> None:
    assert transferred(count, elapsed_ns) == f"{text}\n"


@pytest.mark.parametrize(
    ("elapsed_ns", "text"),
    [
        (1, "1e-09"),
        (99_999, "9.9999e-05"),
        (100_000, "0.0001"),
        (123_456_789, "0.123457"),
        (999_999_999, "1"),
        (12 * SECOND, "12"),
        (1234567 * SECOND, "1.23457e+06"),
        (123456 * SECOND, "123456"),
    ],
)
def test_seconds_have_six_digits(elapsed_ns: int, text: str) -> None:
    assert seconds(elapsed_ns) == text


NAMES = sorted(["a", "b", "a" * 24, *(f"file{n}" for n in range(1, 31))])


def test_columns_of_a_terminal_as_the_real_ones_were() -> None:
    assert columns(NAMES).splitlines()[:4] == [
        "a\t\t\t  file11  file16  file20  file25  file3   file7",
        "aaaaaaaaaaaaaaaaaaaaaaaa  file12  file17  file21  file26  file30  file8",
        "b\t\t\t  file13  file18  file22  file27  file4   file9",
        "file1\t\t\t  file14  file19  file23  file28  file5",
    ]
    lines = fixed_columns(NAMES).splitlines()
    assert lines[0] == "a                         file17                    file27"
    assert lines[1] == "aaaaaaaaaaaaaaaaaaaaaaaa  file18                    file28"
    assert len(lines) == 11


def test_ls_shows_what_programs_wrote_and_what_commands_name() -> None:
    files = {"site/": b"page\n", "site/page": b"1234", "f": b"12"}
    line = "echo abc > w/new; ls; ls -l; ls w site"
    assert shown(line, HOST_PROGRAMS, files) == (
        "f  site  w\ntotal 12\n-rw-r--r-- 1 user user    2 Nov 16 00:00 f\n"
        "drwxr-xr-x 2 user user 4096 Nov 16 00:00 site\n"
        "drwxr-xr-x 2 user user 4096 Nov 16 00:00 w\nsite:\npage\n\nw:\nnew\n"
    )
    assert shown("ls -l w; echo abc > w/new; ls -l w; ls -F", GUEST_PROGRAMS) == (
        "ls: w: No such file or directory\ntotal 4\n"
        "-rw-r--r--    1 root     root             4 Nov 16 00:00 new\nw/\n"
    )


def test_time_of_busybox() -> None:
    assert shown("time sleep 1.239") == "real\t0m 1.23s\nuser\t0m 0.00s\nsys\t0m 0.00s\n"
    assert shown("time sleep 3661") == "real\t1h 1m 01s\nuser\t0m 0.00s\nsys\t0m 0.00s\n"
    assert shown("time -p sleep 61.5") == "real 61.50\nuser 0.00\nsys 0.00\n"
    assert shown("time false || echo no").startswith("Command exited with non-zero status 1\nreal")
    assert shown("time").startswith("BusyBox v1.35.0")
    assert shown("time -y true").startswith("time: invalid option -- 'y'\nBusyBox")
    assert shown("time cat < f | cat > o; cat o", files={"f": b"in\n"}).endswith("s\nin\n")


def test_time_of_bash_measures_a_pipeline() -> None:
    text = "\nreal\t1m2.500s\nuser\t0m0.000s\nsys\t0m0.000s\n"
    assert shown("time sleep 62.5 | sleep 2", HOST_PROGRAMS) == text
    assert shown("echo a && time echo b", HOST_PROGRAMS).startswith("a\nb\n\nreal\t0m0.000s\n")


@pytest.mark.parametrize(
    ("line", "table", "says"),
    [
        ("tail -f x", GUEST_PROGRAMS, "following a file (-f) is not modelled"),
        ("tail --follow x", HOST_PROGRAMS, "following a file (-f) is not modelled"),
        ("head -z x", HOST_PROGRAMS, "option -z exists, but is not modelled"),
        ("seq -f %g 3", HOST_PROGRAMS, "option -f exists"),
        ("seq 1 0 3", GUEST_PROGRAMS, "never end"),
        ("dd conv=swab", GUEST_PROGRAMS, "conv=swab is not modelled; modelled are notrunc"),
        ("dd oflag=direct of=x", HOST_PROGRAMS, "oflag=direct is not modelled"),
        ("dd seek=3", HOST_PROGRAMS, "seek= without of="),
        ("dd status=progress", HOST_PROGRAMS, "status=progress is not modelled"),
        ("ls -R", GUEST_PROGRAMS, "option -R exists"),
        ("ls --color", HOST_PROGRAMS, "option --color is not modelled"),
        ("ls /etc", HOST_PROGRAMS, "/etc is not modelled"),
        ("time -v true", GUEST_PROGRAMS, "option -v exists"),
        ("time -p true", HOST_PROGRAMS, "options of bash's time"),
        ("time", HOST_PROGRAMS, "needs a command"),
        ("time ehco", GUEST_PROGRAMS, "no program 'ehco'"),
        ("/usr/bin/time true", HOST_PROGRAMS, "no program 'time'"),
    ],
)
def test_what_is_not_modelled_is_refused(line: str, table: Table, says: str) -> None:
    with pytest.raises(ShellError) as caught:
        parse(line, table)
    assert says in caught.value.message
