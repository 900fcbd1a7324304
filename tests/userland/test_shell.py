"""The shell line: what it means, and what it refuses, with the column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.shell import Redirection, ShellError, parse


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
        ("echo a; echo b", 7, "several commands in one line (;)"),
        ("echo a && echo b", 8, "(&)"),
        ("echo a || echo b", 8, "|| is not modelled"),
        ("nc -l 5556 &", 12, "background"),
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
        ("cat &> f", 5, "(&)"),
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
        ("busybox nx", 9, "did you mean nc?"),
        ("busybox", 1, "needs the name of an applet"),
        ("echo a\nrm", 7, "several lines"),
        ("nc -u localhost 5", 1, "option -u exists, but is not modelled; modelled are -4 -k -l"),
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
