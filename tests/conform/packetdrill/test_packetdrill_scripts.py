"""Our scripts against the guest, and whether a script can fail at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packetdrill_scripts import FOLDER, SERVED, played

from desim.cli import main
from desim.conform.packetdrill import settings
from desim.conform.packetdrill.settings import Settings
from desim.conform.packetdrill.suite import Result, outcome, outcomes

SCRIPTS = sorted(FOLDER.glob("*.pkt"))
LINGER = "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=2}, 8) = 0\n"
EPOLL = "+0 epoll_create(1) = 9\n+0 epoll_ctl(9, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0\n"
REFUSED = {
    "simultaneous-open": "simultaneous open (a SYN that crosses the guest's)",
}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_guest_does_what_a_real_kernel_did(path: Path) -> None:
    found = outcome(path)
    if path.stem in REFUSED:
        assert (found.result, found.why) == (Result.NOT_MODELLED, REFUSED[path.stem])
    else:
        assert found.result is Result.PASSED, str(found)


def test_every_script_says_which_kernel_it_passed_on() -> None:
    assert len(SCRIPTS) >= 60
    for path in SCRIPTS:
        first = path.read_text().split("\n")[0]
        assert re.match(r"// (Passed on|As the source of) Linux 6\.1", first), path.name


def altered(text: str) -> list[str]:
    """The script with one number of one expected packet changed, for each of them."""
    found = []
    for match in re.finditer(r"(> *[SFRP.]+ )(\d+):(\d+)(\(\d+\) )", text):
        seq, end = int(match[2]) + 1, int(match[3]) + 1
        wrong = f"{match[1]}{seq}:{end}{match[4]}"
        # The first packet of each side says where its numbers begin.
        if "S" not in match[1]:
            found.append(text[: match.start()] + wrong + text[match.end() :])
    for match in re.finditer(r"> *[SFRP.]+ \d+:\d+\(\d+\) ack (\d+)", text):
        found.append(f"{text[: match.start(1)]}{int(match[1]) + 1}{text[match.end(1) :]}")
    return found


@pytest.mark.parametrize("stem", ["newreno-partial-ack", "close-simultaneous", "nagle"])
def test_every_expected_number_counts(tmp_path: Path, stem: str) -> None:
    variants = altered((FOLDER / f"{stem}.pkt").read_text())
    assert len(variants) > 4
    for text in variants:
        assert played(tmp_path, text).result is Result.FAILED, text


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("+0 write(4, ..., 10) = 9", 9, "it returned 10"),
        ("+0 write(4, ..., 10) = -1 EPIPE (Broken pipe)", 9, "it returned 10"),
        ("+0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n+0 read(4, ..., 1) = 1", 10, "failed with EAGAIN"),
        ("+0 read(4, ..., 1) = 1", 9, "it still waits at"),
        ("+0...0.1 read(4, ..., 1) = 1\n+.5 < . 1:2(1) ack 1 win 9", 9, "it returned at 0.55"),
        ("+0 write(4, ..., 10) = 10\n+0 > . 1:11(10) ack 1", 10, "(flags)"),
        ("+0 write(4, ..., 10) = 10\n+0 > P. 1:12(11) ack 1", 10, "(length)"),
        ("+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 win 5", 10, "(window)"),
        ("+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <nop,nop>", 10, "(options)"),
        ("+0 write(4, ..., 10) = 10\n+.1 > P. 1:11(10) ack 1", 10, "it came at 0.05"),
        ("+1 > P. 1:11(10) ack 1", 9, "nothing came by"),
        ("+0 %{ assert tcpi_snd_cwnd == 11 }%", 9, "tcpi_snd_cwnd is 10"),
        ("+0 %{\nassert True\nassert 3 > 4 }%", 11, "it does not hold"),
        ("+0 poll([{fd=4, events=POLLOUT, revents=0}], 1, 0) = 1", 9, "revents is POLLOUT"),
        ("+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [EPIPE], [4]) = 0", 9, "SO_ERROR is 0"),
        ("+0 ioctl(4, SIOCOUTQ, [7]) = 0", 9, "it gives 0"),
        (
            EPOLL + "+0 epoll_ctl(9, EPOLL_CTL_MOD, 4, {events=EPOLLOUT, fd=5}) = 0\n"
            "+0 epoll_wait(9, {events=EPOLLOUT, fd=4}, 1, 0) = 1",
            12,
            "the event is EPOLLOUT of 5",
        ),
    ],
)
def test_what_is_not_as_expected_fails_at_its_line(
    tmp_path: Path, text: str, line: int, why: str
) -> None:
    found = played(tmp_path, SERVED + text)
    assert found.result is Result.FAILED, found
    assert (found.line, why in found.why) == (line, True), found


@pytest.mark.parametrize(
    "text",
    [
        "+.1 write(4, ..., 10) = 10\n* > P. 1:11(10) ack 1",
        "+0 write(4, ..., 2500) = 2500\n+0 > P. 1:2501(2500) ack 1",
        "+0...0.5 read(4, ..., 9) = 9\n+.5 < P. 1:10(9) ack 1 win 9\n+0 > . 1:1(0) ack 10",
        "+0 send(4, ..., 9, MSG_DONTWAIT) = 9\n+0 recv(4, ..., 1, MSG_DONTWAIT) = -1 EAGAIN (x)",
        "+0 writev(4, [{..., 300}, {..., 200}], 2) = 500\n+0 > P. 1:501(500) ack 1",
        "+0 < P. 1:9001(9000) ack 1 win 9\n+0 > . 1:1(0) ack 9001\n+0 read(4, ..., 9000) = 9000",
        "+0 %{ print(tcpi_rto); assert tcpi_state == TCP_ESTABLISHED and tcpi_rtt > 40000 }%",
        "+0 `sysctl -q net.ipv4.tcp_min_tso_segs=9`\n+0 `sleep 1.5`\n+0 close(4) = 0",
        LINGER + "+0...0.3 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+.3 < . 1:1(0) ack 2 win 9",
        LINGER + "+0...2 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+.26 > F. 1:1(0) ack 1",
        LINGER + "+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=2}, [8]) = 0",
        "+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=0, linger=0}, [8]) = 0",
        "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0\n"
        "+0 close(4) = 0\n+0 > R. 1:1(0) ack 1",
        EPOLL + "+0 epoll_wait(9, {events=EPOLLIN, fd=4}, 1, 0) = 0\n"
        "+0...0.5 epoll_wait(9, {events=EPOLLIN, fd=4}, 1, -1) = 1\n"
        "+.5 < P. 1:10(9) ack 1 win 9\n+0 > . 1:1(0) ack 10\n"
        "+0 epoll_wait(9, {events=EPOLLIN, fd=4}, 1, 0) = 1\n"
        "+0 epoll_ctl(9, EPOLL_CTL_MOD, 4, {events=EPOLLOUT, fd=7}) = 0\n"
        "+0 epoll_wait(9, {events=EPOLLOUT, fd=7}, 1, 0) = 1\n"
        "+0 epoll_ctl(9, EPOLL_CTL_DEL, 4, {events=0, fd=0}) = 0\n"
        "+0...0.2 epoll_wait(9, ..., 1, 200) = 0",
        "+0 setsockopt(4, SOL_TCP, TCP_MAXSEG, [87], 4) = -1 EINVAL (Invalid argument)",
        "+0 `dd bs=1 count=5 if=/dev/zero of=/tmp/f status=none`\n"
        '+0 open("/tmp/f", O_RDONLY) = 5\n+0 sendfile(4, 5, [0], 5) = 5\n+0 > P. 1:6(5) ack 1\n'
        "+0 sendfile(4, 5, [5], 9) = 0\n+0 close(5) = 0\n+0 sendfile(4, 5, [0], 5) = -1 EBADF (x)",
        "+0 `dd bs=1K count=2 if=/dev/zero of=/tmp/f`\n"
        '+0 open("/tmp/f", O_RDONLY) = 5\n+0 sendfile(4, 5, [0], 99999) = 2048\n'
        "+0 > P. 1:2001(2000) ack 1\n+0 > P. 2001:2049(48) ack 1\n"
        '+0 `rm -f /tmp/f`\n+0 open("/tmp/f", O_RDONLY) = -1 ENOENT (No such file)',
        "+0 setsockopt(4, SOL_TCP, TCP_USER_TIMEOUT, [500], 4) = 0\n"
        "+0 write(4, ..., 9) = 9\n+0 > P. 1:10(9) ack 1\n+.26 > P. 1:10(9) ack 1\n"
        "+2 getsockopt(4, SOL_SOCKET, SO_ERROR, [ETIMEDOUT], [4]) = 0",
    ],
)
def test_what_a_script_may_say(tmp_path: Path, text: str) -> None:
    found = played(tmp_path, SERVED + text)
    assert found.result is Result.PASSED, found


def test_segments_may_be_compared_strictly(tmp_path: Path) -> None:
    body = SERVED + "+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1\n"
    assert played(tmp_path, body).result is Result.PASSED
    strict = played(tmp_path, "--strict_segments\n" + body)
    assert (strict.result, "(length)" in strict.why) == (Result.FAILED, True)


def test_a_tolerance_can_be_given(tmp_path: Path) -> None:
    body = SERVED + "+0 write(4, ..., 9) = 9\n+.1 > P. 1:10(9) ack 1\n"
    assert played(tmp_path, body).result is Result.FAILED
    assert played(tmp_path, "--tolerance_usecs=100000\n" + body).result is Result.PASSED


def test_defaults_beside_the_scripts_are_those_that_are_known(tmp_path: Path) -> None:
    there, nowhere = Settings(FOLDER), Settings(tmp_path)
    for found in (there, nowhere):
        found.command(1, "./defaults.sh")
    assert there.values == nowhere.values
    assert there.made(1).tcp_rmem == (4096, 540000, 15 << 20)
    assert settings.DEFAULTS


def test_two_runs_are_the_same(tmp_path: Path) -> None:
    text = SERVED + "+0 write(4, ..., 10) = 10\n+.1 > P. 1:11(10) ack 1"
    assert str(played(tmp_path, text)) == str(played(tmp_path, text))


# The command


def test_the_command_tells_what_did_not_pass_and_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.pkt").write_text(SERVED)
    (tmp_path / "b.pkt").write_text(SERVED + "+0 > . 1:1(0) ack 1")
    (tmp_path / "c.pkt").write_text("0 < S 0:0(0) win 9 <sackOK,nop,nop>")
    assert main(["packetdrill", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path}/b.pkt:9: expected > . 1:1(0) ack 1; nothing came by")
    assert lines[1:] == [
        f"{tmp_path}/c.pkt:1: not modelled: SACK (sackOK)",
        "1 passed, 1 failed, 1 not modelled",
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.pkt", b"0 > ?", "a.pkt:1: expected a packet's flags, found '?'"),
        ("b.pkt", b"\xff\xfe", "b.pkt: not a text in UTF-8"),
        ("c.pkt", None, "c.pkt: no such file"),
        ("d" * 300, None, "ddd: no such file"),
        ("e.pkt", b"/" * (1 << 20) + b"x", "e.pkt: more than 1048576 bytes"),
        ("f\0", None, ": no such file"),
    ],
)
def test_what_cannot_be_read_is_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    told: str,
) -> None:
    path = f"{tmp_path}/{name}"
    if content is not None:
        Path(path).write_bytes(content)
    assert main(["packetdrill", path, str(FOLDER / "nagle.pkt")]) == 2
    output = capsys.readouterr()
    assert told in output.err
    assert "Traceback" not in output.err
    assert output.out == "1 passed, 0 failed, 0 not modelled\n"


def test_nothing_is_counted_beside_an_error_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["packetdrill", "nowhere.pkt"]) == 2
    assert capsys.readouterr() == ("", "desim: nowhere.pkt: no such file\n")


def test_a_folder_without_scripts_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["packetdrill", str(tmp_path)]) == 2
    assert "no *.pkt files below it" in capsys.readouterr().err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    assert main(["packetdrill", "--json", str(FOLDER / "nagle.pkt")]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["passed"], shown["scripts"][0]["result"]) == (1, "passed")


def test_scripts_of_a_folder_come_by_name(tmp_path: Path) -> None:
    for name in ("b.pkt", "a.pkt", "c.txt"):
        (tmp_path / name).write_text(SERVED)
    assert [found.path.name for found in outcomes([tmp_path])] == ["a.pkt", "b.pkt"]
