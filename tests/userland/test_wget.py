"""wget, as busybox 1.35 of Debian 12 answered: words, exit codes, requests, the bar."""

from __future__ import annotations

from typing import Any

import pytest
from test_programs import SECOND, Script

from desim.userland.program import Call
from desim.userland.programs import GUEST_PROGRAMS
from desim.userland.shell import ShellError, parse
from desim.wire.addresses import LOOPBACK

U = "http://127.0.0.1:8099"
CONNECTING = "Connecting to 127.0.0.1:8099 (127.0.0.1:8099)\n"
USAGE_BEGINS = "BusyBox v1.35.0 (Debian 1:1.35.0-4+deb12u1+b1) multi-call binary.\n\nUsage: wget ["


def answer(head: str, body: str = "") -> bytes:
    return f"HTTP/1.0 {head}\r\n\r\n{body}".encode()


PAGE = answer("200 OK\r\nContent-Length: 11", "Hello page\n")
ANSWERS = {
    "": PAGE,
    "ok": PAGE,
    "dir/": PAGE,
    "nolen": answer("200 OK", "Hello page\n"),
    "short": answer("200 OK\r\nContent-Length: 20", "Hello page\n"),
    "long": answer("200 OK\r\nContent-Length: 4", "Hello page\n"),
    "zero": answer("200 OK\r\nContent-Length: 0"),
    "202": PAGE.replace(b"200", b"202"),
    "204": answer("204 No Content"),
    "100": b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + PAGE,
    "404": answer("404 Not Found\r\nContent-Length: 3", "no\n"),
    "205": PAGE.replace(b"200", b"205"),
    "206": PAGE.replace(b"200", b"206"),
    "304": answer("304 Not Modified\r\nLocation: /ok"),
    "esc": answer("500 In\x1b[31m"),
    "302": answer("302 Found\r\nLocation: /ok\r\nA: b"),
    "308": answer("308 Found\r\nLocation: /ok"),
    "301n": answer("301 Moved"),
    "abs": answer(f"302 Found\r\nLocation: {U}/ok"),
    "loop": answer("302 Found\r\nLocation: /loop"),
    "https": answer("302 Found\r\nLocation: https://127.0.0.1/ok"),
    "chunk": answer(
        "200 OK\r\nTransfer-Encoding: chunked", "5\r\nHello\r\n6\r\n page\n\r\n0\r\n\r\n"
    ),
    "chshort": answer("200 OK\r\nTransfer-Encoding: chunked", "5\r\nHel"),
    "chbad": answer("200 OK\r\nTransfer-Encoding: chunked", "zz\r\nHel"),
    "gz": answer("200 OK\r\nTransfer-Encoding: gzip"),
    "bad": b"garbage\r\n\r\n",
    "empty": b"",
    "badlen": answer("200 OK\r\nContent-Length: x"),
    "hdronly": b"HTTP/1.0 200 OK\r\nContent-Le",
}


class Web(Script):
    """A server of ``ANSWERS``, and the files that are written.

    ``body`` comes in pieces, each so many seconds after the one before.
    """

    def __init__(self, *pieces: tuple[float, bytes]) -> None:
        super().__init__()
        self.pieces = list(pieces)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.tty = False
        self.waiting = b""
        self.written = ""

    def answer(self, call: Call) -> Any:
        return getattr(self, call.name, lambda *a: super(Web, self).answer(call))(*call.args)

    def resolve(self, name: str) -> bytes:
        if name not in ("127.0.0.1", "localhost"):
            raise FileNotFoundError(2, "No such file or directory")
        return LOOPBACK

    def socket(self, kind: str) -> int:
        return 3

    def connect(self, fd: int, address: bytes, port: int) -> None:
        if port == 1:
            raise ConnectionRefusedError(111, "Connection refused")

    def set_nonblocking(self, fd: int, nonblocking: bool) -> None: ...

    def close(self, fd: int) -> None: ...

    def isatty(self, fd: int) -> bool:
        return self.tty

    def write(self, fd: int, data: bytes) -> int:
        if fd == 3:
            self.asked.append(data.decode())
            path = data.decode().split(" ")[1].removeprefix("/")
            self.waiting = ANSWERS.get(path, answer("200 OK", "fallback\n"))
        elif fd == 4:
            self.files[self.written] += data
        else:
            self.out += data.decode() if fd == 2 else f"<{data.decode()}>"
        return len(data)

    def read(self, fd: int, size: int) -> bytes:
        if fd == 0 or (not self.waiting and self.pieces):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        data, self.waiting = self.waiting[:size], self.waiting[size:]
        return data

    def poll(self, fds: list[tuple[int, int]], timeout_ns: int) -> list[tuple[int, int]]:
        after, data = self.pieces[0]
        wait_ns = min(int(after * SECOND), timeout_ns)
        self.time += wait_ns
        if wait_ns < timeout_ns or after * SECOND == timeout_ns:
            self.pieces.pop(0)
            self.waiting += data
        else:
            self.pieces[0] = (after - timeout_ns / SECOND, data)
        return [(fds[0][0], 1)]

    def stat(self, name: str) -> None:
        if name not in self.files:
            raise FileNotFoundError(2, "No such file or directory")

    def open(self, name: str, flags: int) -> int:
        if "/" in name.removeprefix("./"):
            raise FileNotFoundError(2, "No such file or directory")
        self.files[name] = b""
        self.written = name
        return 4


def bar(name: str, size: int = 11) -> str:
    return f"{name:<20} 100% |{'*' * 32}|{size:6}  0:00:00 ETA\n"


@pytest.mark.parametrize(
    ("path", "name", "body"),
    [
        ("/ok", "ok", b"Hello page\n"),
        ("/", "index.html", b"Hello page\n"),
        ("", "index.html", b"Hello page\n"),
        ("/dir/", "index.html", b"Hello page\n"),
        ("/nolen", "nolen", b"Hello page\n"),
        ("/long", "long", b"Hell"),
        ("/202", "202", b"Hello page\n"),
        ("/100", "100", b"Hello page\n"),
        ("/302", "302", b"Hello page\n"),
        ("/308", "308", b"Hello page\n"),
        ("/chunk", "chunk", b"Hello page\n"),
        ("/ok?x=1", "ok?x=1", b"fallback\n"),
        ("?x=1", "x=1", b"fallback\n"),
    ],
)
def test_a_file_is_fetched_and_named(path: str, name: str, body: bytes) -> None:
    web = Web()
    assert web.run(f"wget '{U}{path}'") == 0
    assert web.files == {name: body}
    expected = f"{CONNECTING}saving to '{name}'\n{bar(name, len(body))}'{name}' saved\n"
    assert web.out == expected


@pytest.mark.parametrize("path", ["zero", "204", "301n", "chbad"])
def test_nothing_has_no_bar(path: str) -> None:
    web = Web()
    assert web.run(f"wget {U}/{path}") == 0
    assert web.files == {path: b""}
    assert web.out == f"{CONNECTING}saving to '{path}'\n'{path}' saved\n"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("404", "server returned error: HTTP/1.0 404 Not Found"),
        ("205", "server returned error: HTTP/1.0 205 OK"),
        ("206", "server returned error: HTTP/1.0 206 OK"),
        ("304", "server returned error: HTTP/1.0 304 Not Modified"),
        ("esc", "server returned error: HTTP/1.0 500 In"),
        ("loop", "too many redirections"),
        ("https", "https is not modelled: https://127.0.0.1/ok"),
        ("gz", "transfer encoding 'gzip' is not supported"),
        ("bad", "error getting response"),
        ("empty", "error getting response"),
        ("badlen", "content-length x is garbage"),
        ("hdronly", "bad header line: content-le"),
    ],
)
def test_what_fails_leaves_no_file(path: str, said: str) -> None:
    web = Web()
    assert web.run(f"wget {U}/{path}") == 1
    assert web.out == f"{CONNECTING}wget: {said}\n"
    assert web.files == {}


@pytest.mark.parametrize(
    ("path", "said", "left"),
    [
        ("short", "connection closed prematurely", b"Hello page\n"),
        ("chshort", "error getting response", b"Hel"),
    ],
)
def test_what_ends_early_leaves_what_came(path: str, said: str, left: bytes) -> None:
    web = Web()
    assert web.run(f"wget {U}/{path}") == 1
    assert web.out == f"{CONNECTING}saving to '{path}'\nwget: {said}\n"
    assert web.files == {path: left}


def test_sixteen_questions_are_too_many() -> None:
    web = Web()
    web.run(f"wget {U}/loop")
    assert len(web.asked) == 16


def test_another_url_is_another_connection_to_tell_of() -> None:
    web = Web()
    assert web.run(f"wget {U}/abs") == 0
    assert web.out.startswith(2 * CONNECTING + "saving to 'abs'\n")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/x", "can't connect to remote host (127.0.0.1): Connection refused"),
        ("http://127.0.0.1:x/ok", "bad port 'x'"),
        ("foo://x", "not an http or ftp url: foo://x"),
    ],
)
def test_a_server_that_cannot_be_reached(url: str, said: str) -> None:
    web = Web()
    assert web.run(f"wget {url}") == 1
    assert web.out.endswith(f"wget: {said}\n")


REQUEST = (
    "GET /ok HTTP/1.1\r\nHost: 127.0.0.1:8099\r\nUser-Agent: Wget\r\nConnection: close\r\n\r\n"
)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("", REQUEST),
        ("-U agent --header 'X-A: b'", REQUEST.replace("Wget", "agent")[:-2] + "X-A: b\r\n\r\n"),
        (
            "--head 'Host: x' --header 'User-Agent: y'",
            "GET /ok HTTP/1.1\r\nConnection: close\r\nHost: x\r\nUser-Agent: y\r\n\r\n",
        ),
        (
            "--post-data 'a=b'",
            REQUEST.replace("GET", "POST")[:-2]
            + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b",
        ),
        (
            "--post-data=a --header 'Content-Type: b'",
            REQUEST.replace("GET", "POST")[:-2] + "Content-Type: b\r\nContent-Length: 1\r\n\r\na",
        ),
    ],
)
def test_what_is_asked(words: str, asked: str) -> None:
    web = Web()
    assert web.run(f"wget {words} {U}/ok") == 0
    assert web.asked == [asked]


def test_a_name_and_a_password_are_told_to_the_server_alone() -> None:
    web = Web()
    assert web.run("wget http://u:p@127.0.0.1:8099/ok") == 0
    assert web.asked == [REQUEST[:-2] + "Authorization: Basic dTpw\r\n\r\n"]
    assert web.out.startswith(CONNECTING)


def test_output_goes_where_it_is_told() -> None:
    web = Web()
    assert web.run(f"wget -O x -P d {U}/ok") == 0
    assert web.run(f"wget -qO x {U}/nolen") == 0  # -O overwrites
    assert web.run(f"wget -P . {U}/ok") == 0
    assert web.files == {"x": b"Hello page\n", "./ok": b"Hello page\n"}
    assert f"saving to './ok'\n{bar('ok')}'./ok' saved\n" in web.out


def test_dash_is_standard_output() -> None:
    web = Web()
    assert web.run(f"wget -O - {U}/ok") == 0
    assert web.out == (
        f"{CONNECTING}writing to stdout\n<Hello page\n>{bar('-')}written to stdout\n"
    )


def test_a_file_that_is_there_stays() -> None:
    web = Web()
    web.files["ok"] = b"hi"
    assert web.run(f"wget {U}/ok") == 1
    assert web.out == f"{CONNECTING}wget: can't open 'ok': File exists\n"
    assert web.files == {"ok": b"hi"}


def test_quiet_is_quiet_but_for_mistakes() -> None:
    web = Web()
    assert web.run(f"wget -q {U}/ok") == 0
    assert web.out == ""
    assert web.run(f"wget -q {U}/404") == 1
    assert web.out == "wget: server returned error: HTTP/1.0 404 Not Found\n"


def test_spider_only_asks_and_the_servers_words_are_shown() -> None:
    web = Web()
    assert web.run(f"wget --spider -S {U}/302") == 0
    assert web.out == (
        f"{CONNECTING}  HTTP/1.0 302 Found\n  Location: /ok\n"
        "  HTTP/1.0 200 OK\n  Content-Length: 11\n  \nremote file exists\n"
    )
    assert web.files == {}


def test_the_first_url_that_fails_ends_it() -> None:
    web = Web()
    assert web.run(f"wget {U}/404 {U}/ok") == 1
    assert web.files == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", ""),
        ("-Z", "wget: invalid option -- 'Z'\n"),
        ("--foo x", "wget: unrecognized option '--foo'\n"),
        ("--header", "wget: option '--header' requires an argument\n"),
        ("-O", "wget: option requires an argument -- 'O'\n"),
        ("--spi=3 x", "wget: option '--spider' doesn't allow an argument\n"),
        (
            "--s x",
            "wget: option '--s' is ambiguous; possibilities: '--server-response' '--spider'\n",
        ),
    ],
)
def test_wrong_words_get_the_usage(words: str, said: str) -> None:
    web = Web()
    assert web.run(f"wget {words}") == 1
    assert web.out.startswith(said + USAGE_BEGINS)


@pytest.mark.parametrize(
    "words", ["-c http://x", "-T 3 x", "--post-file f x", "https://x", "ftp://x"]
)
def test_what_is_not_modelled_is_refused_by_name(words: str) -> None:
    with pytest.raises(ShellError, match="not modelled"):
        parse(f"wget {words}", GUEST_PROGRAMS)


def slow(
    *pieces: tuple[float, int], total: int | None = None, tty: bool = False, start_ns: int = 0
) -> list[str]:
    """The lines of the bar when so many bytes come so many seconds after those before."""
    web = Web(*((after, bytes(count)) for after, count in pieces))
    web.tty = tty
    web.time = start_ns or web.time
    head = "200 OK" if total is None else f"200 OK\r\nContent-Length: {total}"
    ANSWERS["x"] = answer(head)
    assert web.run(f"wget {U}/x") == 0
    shown = web.out.partition("saving to 'x'\n")[2].removesuffix("'x' saved\n")
    return shown.split("\r")[1:] if tty else shown.splitlines()


def line(percent: int, stars: int, size: str, left: str) -> str:
    return f"{'x':<20} {percent:3}% |{'*' * stars:<32}|{size:>6}{left}"


PIECES = ((0.0, 10_000), *((0.5, 10_000),) * 6)


def test_the_bar_is_drawn_each_second() -> None:
    assert slow(*PIECES, total=70_000) == [
        line(14, 4, "10000", "  0:00:06 ETA"),
        line(42, 13, "30000", "  0:00:02 ETA"),
        line(71, 22, "50000", "  0:00:01 ETA"),
        line(100, 32, "70000", "  0:00:00 ETA"),
    ]


def test_without_a_length_there_is_no_bar_until_the_end() -> None:
    assert slow(*PIECES) == [
        f"{'x':<20} 10000 --:--:-- ETA",
        f"{'x':<20} 30000 --:--:-- ETA",
        f"{'x':<20} 50000 --:--:-- ETA",
        line(100, 32, "70000", "  0:00:00 ETA"),
    ]


def test_on_a_terminal_it_is_one_line() -> None:
    lines = slow(*PIECES, total=70_000, tty=True)
    assert lines[0] == line(14, 4, "10000", "  0:00:06 ETA")
    assert lines[-1] == line(100, 32, "70000", "  0:00:00 ETA\n")


def test_after_five_seconds_of_nothing_it_has_stalled() -> None:
    lines = slow((0.0, 10_000), (7.5, 10_000), total=20_000, start_ns=4 * SECOND)
    assert lines[:-1] == [
        *(line(50, 16, "10000", f"  0:00:0{n} ETA") for n in range(1, 6)),
        *[line(50, 16, "10000", "  - stalled -")] * 2,
    ]


def test_large_sizes_are_short() -> None:
    assert slow((0.0, 300_000), total=300_000) == [line(100, 32, "292k", "  0:00:00 ETA")]
