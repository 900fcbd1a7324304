"""tr, as coreutils 9.1 does it; behind a socket its output waits for the end."""

from __future__ import annotations

import pytest
from host_bench import Host, output

from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.shell import ShellError, parse


@pytest.mark.parametrize(
    ("words", "given", "shown"),
    [
        ("a-z A-Z", "hello 1\n", "HELLO 1\n"),
        ("a-zA-Z n-za-mN-ZA-M", "Hello\n", "Uryyb\n"),
        ("'[:lower:]' '[:upper:]'", "abc\n", "ABC\n"),
        ("abc x", "aabbccd\n", "xxxxxxd\n"),
        ("abc xy", "abc\n", "xyy\n"),
        ("-d l", "hello\n", "heo\n"),
        ("-d '[:digit:]\\n'", "a1b2\nc\n", "abc"),
        ("-s l", "hello llama\n", "helo lama\n"),
        ("-s a-z x", "aab1\n", "x1\n"),
        ("-ds l e", "heello\n", "heo\n"),
        ("' ' '\\n'", "a b\n", "a\nb\n"),
        ("'\\141' z", "abc\n", "zbc\n"),
        ("a- xy", "a-b\n", "xyb\n"),
    ],
)
def test_characters_of_one_set_become_those_of_the_other(
    words: str, given: str, shown: str
) -> None:
    host = Host(files={"given": given.encode()})
    done = host.run(f"tr {words} < given")
    assert (output(done), done.exit_status) == (shown, 0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tr", "tr: missing operand\nTry 'tr --help' for more information.\n"),
        (
            "tr a",
            "tr: missing operand after 'a'\nTwo strings must be given when translating.\n"
            "Try 'tr --help' for more information.\n",
        ),
        (
            "tr -ds a",
            "tr: missing operand after 'a'\nTwo strings must be given when both deleting and"
            " squeezing repeats.\nTry 'tr --help' for more information.\n",
        ),
        (
            "tr -d a b",
            "tr: extra operand 'b'\nOnly one string may be given when deleting without squeezing"
            " repeats.\nTry 'tr --help' for more information.\n",
        ),
        ("tr a b c", "tr: extra operand 'c'\nTry 'tr --help' for more information.\n"),
        (
            "tr z-a b",
            "tr: range-endpoints of 'z-a' are in reverse collating sequence order\n",
        ),
        ("tr '[:digits:]' b", "tr: invalid character class 'digits'\n"),
        ("tr a ''", "tr: when not truncating set1, string2 must be non-empty\n"),
    ],
)
def test_what_is_wrong_is_said_in_its_words(line: str, said: str) -> None:
    done = Host().run(line)
    assert (output(done), done.exit_status) == (said, 1)


@pytest.mark.parametrize("line", ["tr -c a b", "tr '[a*4]' b", "tr '[=a=]' b"])
def test_what_is_not_modelled_is_refused(line: str) -> None:
    with pytest.raises(ShellError, match="not modelled"):
        parse(line, HOST_PROGRAMS)


def test_only_the_host_has_it() -> None:
    with pytest.raises(ShellError, match="no program 'tr'"):
        parse("tr a b", GUEST_PROGRAMS)


def test_its_output_waits_in_a_buffer_of_four_kilobytes_and_for_the_end() -> None:
    host = Host()
    fd = host.sockets.spawn("tr a-z A-Z")
    host.sockets.send(fd, b"x" * 5000)
    host.settle(0)
    assert host.sockets.recv(fd, 9000) == b"X" * 4096
    with pytest.raises(BlockingIOError):
        host.sockets.recv(fd, 9000)
    host.sockets.shutdown(fd, write=True)
    host.settle(0)
    assert host.sockets.recv(fd, 9000) == b"X" * 904
    assert host.sockets.recv(fd, 9000) == b""
