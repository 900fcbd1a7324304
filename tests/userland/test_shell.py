"""The shell line: what it means, and what it refuses, with the column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.testing.host import Host
from desim.userland.command import Redirection
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.shell import ShellError, parse, parse_program


def argv(line: str) -> list[list[str]]:
    return [command.argv for command in parse(line, GUEST_PROGRAMS)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("echo a  b", [["echo", "a", "b"]]),
        ("echo 'a  b' c", [["echo", "a  b", "c"]]),
        ('echo "a \'b\' \\"c\\" \\n"', [["echo", "a 'b' \"c\" \\n"]]),
        ("echo a\\ b'c'\"d\"", [["echo", "a bcd"]]),
        ("echo ''", [["echo", ""]]),
        ("echo '$x;&*'", [["echo", "$x;&*"]]),
        ("echo \\$x \\*", [["echo", "$x", "*"]]),
        ("echo a#b x=1 2", [["echo", "a#b", "x=1", "2"]]),
        ("echo x|nc -N localhost 5555", [["echo", "x"], ["nc", "-N", "localhost", "5555"]]),
        ("sudo nc -lvp 5556 > hello.txt", [["nc", "-lvp", "5556"]]),
        ("busybox nc -l -p 5556", [["nc", "-l", "-p", "5556"]]),
        ("'echo' a", [["echo", "a"]]),
        ("/bin/cat f|/usr/bin/nc -l 1", [["/bin/cat", "f"], ["/usr/bin/nc", "-l", "1"]]),
        ("/usr/sbin/ifconfig eth0", [["/usr/sbin/ifconfig", "eth0"]]),
        ("/bin/busybox nc -l -p 5", [["nc", "-l", "-p", "5"]]),
        ("echo a;", [["echo", "a"]]),
        ("echo a\\;b\\&c", [["echo", "a;b&c"]]),
    ],
)
def test_words(line: str, words: list[list[str]]) -> None:
    assert argv(line) == words


@pytest.mark.parametrize(
    ("line", "redirections"),
    [
        ("cat < in > out", [(0, "<", "in"), (1, ">", "out")]),
        ("cat >>out 2>err", [(1, ">>", "out"), (2, ">", "err")]),
        ("cat > out 2>&1", [(1, ">", "out"), (2, "&", "1")]),
        ("cat 2>&1 >out", [(2, "&", "1"), (1, ">", "out")]),
        ("echo 2 >out", [(1, ">", "out")]),
        ("echo x2>out", [(1, ">", "out")]),
        ("cat 2>> /dev/null < /dev/null", [(2, ">>", "/dev/null"), (0, "<", "/dev/null")]),
        ("echo x >&2", [(1, "&", "2")]),
    ],
)
def test_redirections(line: str, redirections: list[Redirection]) -> None:
    assert parse(line, GUEST_PROGRAMS)[0].redirections == redirections


def test_the_files_that_a_line_reads_are_known_before_it_runs() -> None:
    commands = parse("cat < a | cat < /dev/null | cat < 'b c'", HOST_PROGRAMS)
    assert [command.inputs for command in commands] == [["a"], [], ["b c"]]


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("nc -l 5556 &", 12, "in the background (&) are not modelled; give it a command line"),
        ("nc -l 5 & echo a", 9, "in the background"),
        ("echo a;; echo b", 7, ";; is not modelled"),
        ("echo a |& cat", 8, "|& is not modelled"),
        ("echo a &&& echo b", 8, "&&& is not modelled"),
        ("; echo a", 1, "a command is missing"),
        ("echo a; ; echo b", 9, "a command is missing"),
        ("echo a &&", 10, "a command is missing"),
        ("echo a || ; echo b", 11, "a command is missing"),
        ("echo a; rm b", 9, "no program 'rm'"),
        ("/sbin/cat a", 1, "no program '/sbin/cat'; programs are in /bin and /usr/bin, and arp"),
        ("/bin/ifconfig", 1, "no program '/bin/ifconfig'"),
        ("./cat a", 1, "no program './cat'"),
        ("/bin/rm a", 1, "no program 'rm'"),
        ("echo $HOME", 6, "variables"),
        ('echo "$HOME"', 7, "in single quotes"),
        ("echo `id`", 6, "command substitution"),
        ("cat *.txt", 5, "file name patterns"),
        ("echo ~", 6, "home folders"),
        ("echo a # b", 8, "comments"),
        ("(echo a)", 1, "subshells"),
        ("echo {a,b}", 6, "brace"),
        ("echo 'a", 6, "never closed"),
        ("echo a\\", 7, "backslash"),
        ("cat <<EOF", 5, "<< is not modelled"),
        ("cat 2>&12", 5, "2>&1 is not modelled"),
        ("cat &> f", 5, "redirections of both outputs (&>) are not modelled; write > FILE 2>&1"),
        ("cat <> f", 5, "<> is not modelled"),
        ("cat >| f", 5, ">| is not modelled"),
        ("cat >", 5, "needs the name of a file"),
        ("cat > < a", 5, "needs the name of a file"),
        ("cat > /etc/passwd", 7, "absolute"),
        ("cat > ../x", 7, "leads out"),
        ("cat > a/", 7, "is a folder"),
        ("echo a |", 9, "a command is missing"),
        ("| cat", 1, "a command is missing"),
        ("", 1, "a command is missing"),
        ("X=1 echo a", 1, "variables (NAME=value)"),
        ("sudo -u root nc", 6, "options of sudo"),
        ("sudo", 5, "a command is missing"),
        ("ehco a", 1, "did you mean echo?"),
        ("rm -rf x", 1, "no program 'rm'"),
        (
            "ss -ta",
            1,
            "without -n ports have names of /etc/services, which is not modelled; add -n",
        ),
        ("busybox nx", 9, "did you mean nc?"),
        ("busybox", 1, "needs the name of an applet"),
        ("echo a\nrm", 7, "several lines"),
        ("nc -U localhost 5", 1, "option -U exists, but is not modelled; modelled are -4 -k -l"),
        ("nc localhost 1-9", 1, "port ranges"),
        ("nc.busybox -l -e cat", 1, "option -e exists"),
        ("nc.busybox -ll -p 5", 1, "-ll is not modelled"),
        ("cat -n file", 1, "option -n is not modelled"),
        ("netstat -r", 1, "option -r exists"),
        ("udhcpc -i eth0", 1, "-q (exit with the lease) is required"),
        ("udhcpc -q -t x", 1, "not a number"),
        ("ifconfig eth0 mtu 9000", 1, "'mtu' is not modelled"),
        ("echo " + "x" * 70000, 65537, "at most 65536"),
    ],
)
def test_what_is_refused(line: str, column: int, says: str) -> None:
    with pytest.raises(ShellError) as caught:
        parse(line, GUEST_PROGRAMS)
    assert caught.value.column == column
    assert says in caught.value.message
    assert str(caught.value).startswith(f"column {column}: ")


@pytest.mark.parametrize(
    ("line", "status", "shown"),
    [
        ("echo a; echo b", 0, "a\nb\n"),
        ("false; echo b", 0, "b\n"),
        ("echo a; false", 1, "a\n"),
        ("echo a && echo b", 0, "a\nb\n"),
        ("false && echo b", 1, ""),
        ("true || echo b", 0, ""),
        ("false || echo b", 0, "b\n"),
        ("true || echo b && echo c", 0, "c\n"),
        ("false && echo b || echo c", 0, "c\n"),
        ("false && echo b; echo c", 0, "c\n"),
        ("echo a | cat && echo b | cat -", 0, "a\nb\n"),
        ("false | true && echo b", 0, "b\n"),
        ("echo a>f; cat f; echo b >>f; cat<f", 0, "a\na\nb\n"),
        ("cat nofile 2>&1||echo b", 0, "cat: nofile: No such file or directory\nb\n"),
        ("cat < nofile; echo b", 0, "sh: nofile: No such file or directory\nb\n"),
        ("sleep 1 && echo slept", 0, "slept\n"),
        ("/bin/echo a; /bin/true && /bin/cat < /dev/null || /bin/echo c", 0, "a\n"),
    ],
)
def test_lists(line: str, status: int, shown: str) -> None:
    host = Host()
    (shell,) = host.start(line)
    host.settle()
    assert (shell.shell_status, shell.terminal.output().decode()) == (status, shown)


def test_a_list_says_what_all_its_commands_read() -> None:
    (shell,) = parse("cat a b < c; echo x | cat d && httpd -f -h w", HOST_PROGRAMS)
    assert shell.inputs == ["c"]
    assert list(shell.reads) == ["a", "b", "d", "w"]


def test_a_signal_is_a_status_of_more_than_128() -> None:
    host = Host()
    (shell,) = host.start("sleep 9; echo b")
    host.settle(0)
    sleep = host.kernel.processes[-1]
    assert (sleep.name, sleep.parent, sleep.job) == ("sleep", shell, shell.job)
    host.kernel.kill(sleep, "SIGTERM")
    host.settle(0)
    assert shell.terminal.output() == b"b\n"


def test_ctrl_c_is_for_the_pipeline_and_drops_the_rest_of_the_list() -> None:
    host = Host()
    (shell,) = host.start("sleep 9; echo b")
    host.settle(0)
    for process in list(shell.job):
        host.kernel.kill(process, "SIGINT")
    host.settle(0)
    assert (shell.shell_status, shell.terminal.output()) == (130, b"^C\n")


@pytest.mark.parametrize("line", ["echo a; echo b", "echo a | cat", "echo a > f"])
def test_what_is_started_without_a_shell_is_one_program(line: str) -> None:
    with pytest.raises(ShellError, match="started without a shell"):
        parse_program(line, HOST_PROGRAMS)


def test_the_host_has_no_guest_programs() -> None:
    with pytest.raises(ShellError, match="no program 'udhcpc'"):
        parse("udhcpc -q", HOST_PROGRAMS)


@given(st.text(max_size=40))
def test_any_line_is_read_or_refused(line: str) -> None:
    column = 1
    try:
        parse(line, HOST_PROGRAMS)
    except ShellError as error:
        column = error.column
    assert 1 <= column <= len(line) + 1


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10)))
def test_single_quotes_protect_everything(words: list[str]) -> None:
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    assert argv(f"echo {quoted}") == [["echo", *words]]
