"""``httpd`` and ``curl`` on one host; every text is what the real ones printed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from host_bench import SECOND, Host, output
from hypothesis import given
from hypothesis import strategies as st

from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.programs.curl_options import CurlError, read_url
from desim.userland.programs.httpd import decoded, http_date, span
from desim.userland.uapi import SO_KEEPALIVE
from desim.wire.addresses import IP_ANY

BIG = bytes(range(256)) * 1200
SITE = {
    "www/": b"index.html\nsub/a.txt\nbig.bin\nempty\n",
    "www/index.html": b"hello\n",
    "www/sub/a.txt": b"data\n",
    "www/big.bin": BIG,
    "www/empty": b"",
}
HEAD = (
    "HTTP/1.1 200 OK\r\n"
    "Date: Wed, 16 Nov 2016 00:00:00 GMT\r\n"
    "Connection: close\r\n"
    "Content-type: text/html\r\n"
    "Accept-Ranges: bytes\r\n"
    "Last-Modified: Wed, 16 Nov 2016 00:00:00 GMT\r\n"
    'ETag: "582ba180-6"\r\n'
    "Content-Length: 6\r\n"
    "\r\n"
)


def refusal(title: str, text: str) -> str:
    return (
        f"HTTP/1.1 {title}\r\nDate: Wed, 16 Nov 2016 00:00:00 GMT\r\nConnection: close\r\n"
        f"Content-type: text/html\r\n\r\n<HTML><HEAD><TITLE>{title}</TITLE></HEAD>\n"
        f"<BODY><H1>{title}</H1>\n{text}\n</BODY></HTML>\n"
    )


BAD = refusal("400 Bad Request", "Unsupported method")
MISSING = refusal("404 Not Found", "The requested URL was not found")
UNKNOWN = refusal("501 Not Implemented", "The requested method is not recognized")


@pytest.fixture
def host() -> Host:
    made = Host(files=dict(SITE))
    made.run("httpd -f -p 127.0.0.1:8080 -h www")
    return made


def asked(host: Host, *pieces: str, until: int = 0) -> str:
    """What comes back for a request sent in these pieces; the client stays open."""
    got: list[bytes] = []

    def client() -> Program:
        fd = yield from sys.socket("tcp")
        yield from sys.connect(fd, bytes((127, 0, 0, 1)), 8080)
        for piece in pieces:
            yield from sys.write(fd, piece.encode())
            yield from sys.sleep_ns(1000)
        while data := (yield from sys.read(fd, 65536)):
            got.append(data)
        return 0

    host.serve(client())
    host.settle(until or SECOND)
    return b"".join(got).decode()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", HEAD + "hello\n"),
        ("get /index.html?q=1 HTTP/1.0\n\n", HEAD + "hello\n"),
        ("HEAD /sub/..//./index%2ehtml HTTP/1.1\r\n\r\n", HEAD + "hello\n"),
        ("GET /nope HTTP/1.1\r\n\r\n", MISSING),
        ("HEAD /sub/ HTTP/1.1\r\n\r\n", MISSING),
        ("GET /..%2f HTTP/1.1\r\n\r\n", MISSING),
        ("GET /cgi-bin/x HTTP/1.1\r\n\r\n", MISSING),
        ("GET /cgi-bin/ HTTP/1.1\r\n\r\n", refusal("403 Forbidden", "")),
        ("PUT /x HTTP/1.1\r\n\r\n", UNKNOWN),
        ("POST /sub/a.txt HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", UNKNOWN),
        ("GARBAGE\r\n\r\n", BAD),
        ("GET /../etc HTTP/1.1\r\n\r\n", BAD),
        ("GET /a%zz HTTP/1.1\r\n\r\n", BAD),
        ("GET index.html HTTP/1.1\r\n\r\n", BAD),
        ("GET  / HTTP/1.1\r\n\r\n", BAD),
        ("GET /\r\n\r\n", BAD),
        ("GET / FOO\r\n\r\n", BAD),
        ("GET http://x/index.html HTTP/1.1\r\n\r\n", BAD),
        ("GET /" + "a" * 9000 + " HTTP/1.1\r\n\r\n", BAD),
        ("\r\n", ""),
    ],
)
def test_httpd_answers_as_the_real_one(host: Host, request_: str, answer: str) -> None:
    assert asked(host, request_) == answer


def test_a_folder_without_its_slash_is_redirected(host: Host) -> None:
    answer = asked(host, "GET /sub?x HTTP/1.1\r\n\r\n")
    assert answer.startswith("HTTP/1.1 302 Found\r\n")
    assert answer.endswith("Content-type: text/html\r\nLocation: /sub/?x\r\n\r\n")


def test_a_request_may_come_in_pieces(host: Host) -> None:
    assert asked(host, "GET /ind", "ex.html HT", "TP/1.1\r\nA: b\r\n", "\r\n") == HEAD + "hello\n"


def test_a_request_that_never_ends_is_told_so_after_a_minute(host: Host) -> None:
    answer = asked(host, "GET / HTTP/1.1\r\nHost: x\r\n", until=70 * SECOND)
    assert answer.startswith("HTTP/1.1 408 Request Timeout\r\nDate: Wed, 16 Nov 2016 00:01:00 GMT")
    assert "No request appeared within 60 seconds" in answer


def test_a_slow_client_keeps_nobody_waiting(host: Host) -> None:
    host.run("nc localhost 8080")
    fast = host.run("curl -s localhost:8080/index.html")
    host.settle(SECOND)
    assert output(fast) == "hello\n"


def test_a_range_is_part_of_the_file(host: Host) -> None:
    answer = asked(host, "GET / HTTP/1.1\r\nRange: bytes=1-2\r\n\r\n")
    assert answer.startswith("HTTP/1.1 206 Partial Content\r\n")
    assert "Content-type: text/html\r\nContent-Range: bytes 1-2/6\r\nAccept-Ranges" in answer
    assert answer.endswith("Content-Length: 2\r\n\r\nel")


@pytest.mark.parametrize(
    ("range_", "status"),
    [("0-", "206 Partial Content"), ("2-400", "206 Partial Content"), ("9-", "200 OK")],
)
def test_a_part_is_a_page_whatever_the_file_is(host: Host, range_: str, status: str) -> None:
    answer = asked(host, f"GET /sub/a.txt HTTP/1.1\r\nRange: bytes={range_}\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status}\r\n")
    assert ("Content-type: text/html" in answer) == ("206" in status)


def test_httpd_makes_the_calls_of_the_real_one(host: Host) -> None:
    """As strace shows them, but for those that a child of fork() makes."""
    asked(host, "GET /sub/a.txt HTTP/1.1\r\n\r\n")
    server = host.kernel.processes[0]
    calls = [call for pid, call in host.calls if pid == server.pid]
    names = [call.name for call in calls]
    accepted = names.index("accept")
    assert calls[accepted + 1].args[1:] == (SO_KEEPALIVE, 1)
    sent = [call.args[2:] for call in calls if call.name == "sendfile"]
    assert sent == [(0, (1 << 63) - 1 - 0xFFFF), (5, (1 << 63) - 1 - 0xFFFF)]
    assert names[-3:] == ["shutdown", "close", "poll"] or "shutdown" in names


def test_of_a_part_no_more_is_asked_for_than_it_has(host: Host) -> None:
    asked(host, "GET /sub/a.txt HTTP/1.1\r\nRange: bytes=1-3\r\n\r\n")
    assert [call.args[2:] for _, call in host.calls if call.name == "sendfile"] == [(1, 3)]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("bytes=2-", (2, 4)),
        ("bytes=0-99", (0, 6)),
        ("bytes=0-", (0, 6)),
        ("bytes=9-", None),
        ("bytes=6-", None),
        ("bytes=-2", None),
        ("bytes=3-1", None),
        ("", None),
    ],
)
def test_ranges(header: str, found: tuple[int, int] | None) -> None:
    assert span(header, 6) == found


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_path_leads_out(text: str) -> None:
    path = decoded("/" + text)
    assert path is None or (path.startswith("/") and ".." not in path.split("/"))


@given(st.integers(0, 200 * 365 * 86400))
def test_dates_are_those_of_the_calendar(seconds: int) -> None:
    date = datetime(2016, 11, 16, tzinfo=UTC) + timedelta(seconds=seconds)
    assert http_date(seconds * SECOND) == format_datetime(date, usegmt=True)


def test_httpd_serves_what_a_program_has_written(host: Host) -> None:
    host.time = 2 * SECOND
    host.run("echo new > www/index.html")
    client = host.run("curl -s -I -w '%{content_type}' localhost:8080")
    host.settle(3 * SECOND)
    assert "Last-Modified: Wed, 16 Nov 2016 00:00:02 GMT\r\n" in output(client)
    assert "Content-Length: 4\r\n\r\ntext/html" in output(client)


def test_httpd_tells_what_it_did() -> None:
    host = Host()
    server = host.run("httpd -f -p 80 -vv")
    host.run("curl -s 'localhost/x?y'")
    host.settle()
    first, second = output(server).splitlines()
    assert first.endswith(": url:/x")
    assert second.endswith(": response:404")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "httpd -f -h none",
            "httpd: can't change directory to 'none': No such file or directory\n",
        ),
        (
            "httpd -f -h www/empty",
            "httpd: can't change directory to 'www/empty': Not a directory\n",
        ),
        ("httpd -f -p 127.0.0.1:8080", "httpd: bind: Address already in use\n"),
        ("httpd -f -p abc", "httpd: bad address 'abc'\n"),
        ("httpd -f -p x:0000000099999", "httpd: bad port '0000000099999'\n"),
        ("httpd -z", "httpd: invalid option -- 'z'\nBusyBox v1.35.0 (Debian"),
    ],
)
def test_httpd_says_why_it_cannot_start(host: Host, line: str, message: str) -> None:
    server = host.run(line)
    assert output(server).startswith(message)
    assert server.exit_status == 1


# curl


def test_curl_writes_the_page(host: Host) -> None:
    client = host.run("curl -s http://localhost:8080/")
    host.settle(SECOND)
    assert (output(client), client.exit_status) == ("hello\n", 0)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("curl -s -o x/y localhost:8080/big.bin", "x/y"),
        ("curl -sO localhost:8080/big.bin", "big.bin"),
    ],
)
def test_curl_keeps_a_large_file_whole(host: Host, line: str, name: str) -> None:
    host.run(line)
    host.settle(SECOND)
    assert host.written(name) == BIG


def test_an_empty_answer_makes_an_empty_file(host: Host) -> None:
    host.run("curl -s -o f localhost:8080/empty")
    host.settle(SECOND)
    assert host.written("f") == b""


def test_curl_tells_what_it_does(host: Host) -> None:
    client = host.run("curl -s -v --data a=b -d c -o out localhost:8080/x")
    host.settle(SECOND)
    assert output(client) == (
        "*   Trying 127.0.0.1:8080...\n"
        "* Connected to localhost (127.0.0.1) port 8080 (#0)\n"
        "> POST /x HTTP/1.1\r\n"
        "> Host: localhost:8080\r\n"
        "> User-Agent: curl/7.88.1\r\n"
        "> Accept: */*\r\n"
        "> Content-Length: 5\r\n"
        "> Content-Type: application/x-www-form-urlencoded\r\n"
        "> \r\n"
        "} [5 bytes data]\n"
        "< HTTP/1.1 501 Not Implemented\r\n"
        "< Date: Wed, 16 Nov 2016 00:00:00 GMT\r\n"
        "< Connection: close\r\n"
        "< Content-type: text/html\r\n"
        "< \r\n"
        "{ [143 bytes data]\n"
        "* Closing connection 0\n"
    )


def test_write_out_names_what_happened(host: Host) -> None:
    text = "%{http_code}:%{size_download}:%{content_type}:%{url_effective}:%{num_connects}:%{nope}"
    client = host.run(f"curl -s -o /dev/null -w '{text}\\n%%' localhost:8080/index.html#top")
    host.settle(SECOND)
    assert output(client) == (
        "curl: unknown --write-out variable: 'nope'\n"
        "200:6:text/html:http://localhost:8080/index.html:1:\n%"
    )


def test_headers_may_be_replaced_and_taken_away(host: Host) -> None:
    client = host.run("curl -sv -H X-Y:z -H Accept: -H 'Host: other' -A me localhost:8080/empty")
    host.settle(SECOND)
    sent = [line for line in output(client).splitlines() if line.startswith("> ")]
    assert sent == ["> GET /empty HTTP/1.1", "> Host: other", "> User-Agent: me", "> X-Y:z", "> "]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("curl", 2, "curl: try 'curl --help' or 'curl --manual' for more information\n"),
        ("curl --data", 2, "curl: option --data: requires parameter\ncurl: try 'curl --help'"),
        ("curl -m x y", 2, "curl: option -m: expected a proper numerical parameter\ncurl: try"),
        ("curl http://", 3, "curl: (3) URL using bad/illegal format or missing URL\n"),
        ("curl localhost:99999/", 3, "curl: (3) URL using bad/illegal format or missing URL\n"),
        ("curl localhost:00000000099999", 3, "curl: (3) URL using bad/illegal format or missing"),
        ("curl nosuch.example", 6, "curl: (6) Could not resolve host: nosuch.example\n"),
        (
            "curl localhost:81",
            7,
            "curl: (7) Failed to connect to localhost port 81 after 0 ms: "
            "Couldn't connect to server\n",
        ),
        ("curl -s localhost:81", 7, ""),
        ("curl -sS localhost:81", 7, "curl: (7) Failed to connect"),
        ("curl -f localhost:8080/x", 22, "curl: (22) The requested URL returned error: 404\n"),
        ("curl -O localhost:8080/", 23, "curl: Remote file name has no length!\ncurl: (23) Failed"),
    ],
)
def test_curl_says_why_it_failed(host: Host, line: str, code: int, message: str) -> None:
    client = host.run(line)
    host.settle(SECOND)
    assert output(client).startswith(message)
    assert client.exit_status == code


def answering(*pieces: bytes, wait_s: int = 0, reset: bool = False) -> Any:
    """A server that sends these pieces to one client, and closes after a while."""

    def program() -> Program:
        listener = yield from sys.socket("tcp")
        yield from sys.bind(listener, IP_ANY, 80)
        yield from sys.listen(listener, 1)
        fd, _ = yield from sys.accept(listener)
        if not reset:
            yield from sys.read(fd, 65536)
        for piece in pieces:
            yield from sys.write(fd, piece)
            yield from sys.sleep_ns(1000)
        yield from sys.sleep_ns(wait_s * SECOND)
        yield from sys.close(fd)
        return 0

    return program()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("server", "code", "shown"),
    [
        (answering(), 52, "curl: (52) Empty reply from server\n"),
        (
            answering(OK + b"Content-Length: 9\r\n\r\n", b"abc"),
            18,
            "abccurl: (18) transfer closed ",
        ),
        (answering(b"HTTP/1.1 200"), 52, "curl: (52) Empty reply from server\n"),
        (answering(OK + b"A: b\r\n"), 0, ""),
        (answering(OK + b"Content-Length: x\r\n\r\n"), 8, "curl: (8) Invalid Content-Length: val"),
        (
            answering(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\naXX\r\n"),
            56,
            "acurl: (56) Malfo",
        ),
        (answering(b"nonsense\n"), 1, "curl: (1) Received HTTP/0.9 when not allowed\n"),
        (answering(OK + b"\r\n", b"to the", b" end"), 0, "to the end"),
        (answering(OK + b"Content-Length: 3\r\n\r\nabc", b"def", wait_s=9), 0, "abc"),
        (answering(b"HTTP/1.1 100 Continue\r\n\r\n", OK + b"\r\nx"), 0, "x"),
        (answering(b"HTTP/1.1 204 No\r\n\r\n", wait_s=9), 0, ""),
        (
            answering(
                OK + b"Transfer-Encoding: chunked\r\n\r\n",
                b"3\r\nab",
                b"c\r\n1;x\r\nd\r\n0\r\n\r\n",
            ),
            0,
            "abcd",
        ),
        (
            answering(OK + b"Transfer-Encoding: chunked\r\n\r\nz\r\n"),
            56,
            "curl: (56) Illegal or missi",
        ),
        (
            answering(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
            18,
            "abcurl: (18) transfer clos",
        ),
        (
            answering(wait_s=1, reset=True),
            56,
            "curl: (56) Recv failure: Connection reset by peer\n",
        ),
    ],
)
def test_where_an_answer_ends(server: Program, code: int, shown: str) -> None:
    host = Host()
    host.serve(server)
    client = host.run("curl localhost")
    host.settle(8 * SECOND)
    assert output(client).startswith(shown)
    assert client.exit_status == code


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (answering(OK + b"\r\nabc"), "< HTTP/1.1 200 OK\r\n* no chunk, no close, no size. Assume"),
        (answering(OK + b"Content-Length: 1\r\n\r\na"), "* Connection #0 to host localhost left"),
        (
            answering(OK + b"Content-Length: 1\r\n\r\nabc"),
            "* Excess found in a read: excess = 2, s",
        ),
        (answering(OK + b"Content-Length: 0\r\n\r\nab"), "* Excess found: excess = 2 url = / (zer"),
        (answering(b"HTTP/1.0 200 OK\r\n\r\n"), "* HTTP 1.0, assume close after body\n< HTTP/1."),
        (
            answering(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"),
            "* HTTP/1.0 connection set to keep alive\n< Connection: keep-alive\r\n",
        ),
    ],
)
def test_curl_says_what_it_makes_of_an_answer(server: Program, says: str) -> None:
    host = Host()
    host.serve(server)
    client = host.run("curl -v localhost")
    host.settle(8 * SECOND)
    assert says in output(client)


def test_max_time_ends_a_transfer() -> None:
    host = Host()
    host.serve(answering(OK + b"Content-Length: 9\r\n\r\nabc", wait_s=99))
    client = host.run("curl -m 1.5 localhost")
    host.settle(9 * SECOND)
    assert output(client) == (
        "abccurl: (28) Operation timed out after 1500 milliseconds with 3 out of 9 bytes received\n"
    )
    assert (client.exit_status, client.ended_ns) == (28, SECOND * 3 // 2)


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("a", "a", 80, "/"),
        ("HTTP://a:8080?q", "a", 8080, "/?q"),
        ("a/b/../c/./d?e=/../f#g", "a", 80, "/c/d?e=/../f"),
        ("a/b/..", "a", 80, "/"),
        ("a:/b", "a", 80, "/b"),
    ],
)
def test_urls(text: str, host: str, port: int, path: str) -> None:
    url = read_url(text)
    assert (url.host, url.port, url.path) == (host, port, path)


@given(st.text(max_size=30))
def test_any_text_is_a_url_or_error_3(text: str) -> None:
    try:
        url = read_url(text)
    except CurlError:
        return
    assert url.path.startswith("/")
    assert "\n" not in url.host + url.path
