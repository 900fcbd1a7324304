"""``httpd`` of busybox 1.35 (networking/httpd.c), in the foreground, for plain files.

Theory of operation
-------------------
The request's first line and its headers up to the blank line are read 1024 bytes at a time,
a minute at most. The path is decoded and freed of ``.``, ``..`` and double slashes; a folder
without a slash at its end is redirected, one with it means its index.html. The answer always
closes the connection: headers in one write, then the file by sendfile (Debian builds it with
FEATURE_USE_SENDFILE), then the end of the stream. The file follows an answer to HEAD, too, and
a part of a file is always of type text/html: so says strace of the real one.

The real one forks for every connection and blocks in the child. Here one process serves all
of them: each connection is a generator of the child's system calls, with a poll where the
child would have slept.

What it serves is what programs of its side have written; with ``-h FOLDER`` also the user's
folder of that name, as it was before the run. The user's files are dated to power-on, which
is BOOT_S (chosen: no clock of the machine that runs the simulation is ever looked at).

Not modelled: CGI (below /cgi-bin/ there is nothing), passwords, configuration files,
keep-alive of the TCP connection, and running in the background (``-f`` is required).
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

from desim.data import NamedTuple
from desim.ports import POLLIN, POLLOUT, Endpoint
from desim.userland.calls import sys
from desim.userland.program import Call, Part, Program
from desim.userland.programs.busybox import BANNER, Fatal, applet
from desim.userland.programs.getopt import GetoptError, getopt, unmodelled, whole
from desim.userland.programs.output import err
from desim.userland.programs.resolver import getaddrinfo
from desim.userland.uapi import (
    SHUT_WR,
    SO_KEEPALIVE,
    SO_REUSEADDR,
    FileStatus,
)
from desim.wire.addresses import IP_ANY, ip_text

SPEC = "c:d:h:e:r:m:u:p:ifv"
MODELLED = "fhpv"
USAGE = (
    BANNER
    + """
Usage: httpd [-ifv[v]] [-c CONFFILE] [-p [IP:]PORT] [-u USER[:GRP]] [-r REALM] [-h HOME]
or httpd -d/-e/-m STRING

Listen for incoming HTTP requests

\t-i\t\tInetd mode
\t-f\t\tRun in foreground
\t-v[v]\t\tVerbose
\t-p [IP:]PORT\tBind to IP:PORT (default *:80)
\t-u USER[:GRP]\tSet uid/gid after binding to port
\t-r REALM\tAuthentication Realm for Basic Authentication
\t-h HOME\t\tHome directory (default .)
\t-c FILE\t\tConfiguration file (default {/etc,HOME}/httpd.conf)
\t-m STRING\tMD5 crypt STRING
\t-e STRING\tHTML encode STRING
\t-d STRING\tURL decode STRING
"""
)

NS = 1_000_000_000
BACKLOG = 9
READ_SIZE = 1024
MAX_LINE = 8191
SENDFILE_MOST = (1 << 63) - 1 - 0xFFFF
"""MAXINT(ssize_t), in whole 64 KiB."""
EVERYTHING = (1 << 63) - 1
"""MAXINT(off_t): the length of a whole file."""
HEADER_READ_TIMEOUT_S = 60

BOOT_S = 1_479_254_400
"""16 November 2016, 00:00:00 UTC, in seconds since 1970."""
DAY_S = 86_400
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

OK = 200
PARTIAL = 206
FOUND = 302
BAD_REQUEST = 400
FORBIDDEN = 403
NOT_FOUND = 404
TIMEOUT = 408
NOT_IMPLEMENTED = 501
ANSWERS = {
    OK: ("OK", None),
    PARTIAL: ("Partial Content", None),
    FOUND: ("Found", None),
    BAD_REQUEST: ("Bad Request", "Unsupported method"),
    FORBIDDEN: ("Forbidden", ""),
    NOT_FOUND: ("Not Found", "The requested URL was not found"),
    TIMEOUT: ("Request Timeout", "No request appeared within 60 seconds"),
    NOT_IMPLEMENTED: ("Not Implemented", "The requested method is not recognized"),
}

_TYPES = {
    "text/plain": "txt h c cc cpp",
    "text/html": "htm html",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/png": "png",
    "image/svg+xml": "svg",
    "text/css": "css",
    "application/javascript": "js",
    "audio/wav": "wav",
    "video/x-msvideo": "avi",
    "video/quicktime": "qt mov",
    "video/mpeg": "mpe mpeg",
    "audio/midi": "mid midi",
    "audio/mpeg": "mp3",
}
MIME_TYPES = {suffix: kind for kind, suffixes in _TYPES.items() for suffix in suffixes.split()}

_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")
_PERCENT = re.compile(rb"%([0-9a-fA-F]{2})?")


class Options:
    """The command line."""

    def __init__(self, argv: list[str]) -> None:
        options, _ = getopt(argv, SPEC)
        values = dict(options)
        self.foreground = "f" in values
        self.home = values.get("h", ".")
        self.bind = values.get("p", "80")
        self.verbose = sum(letter == "v" for letter, _ in options)


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    problem = unmodelled(argv, SPEC, MODELLED)
    if problem:
        return problem
    try:
        options = Options(argv)
    except GetoptError:
        return None
    if not options.foreground:
        return "httpd: running in the background is not modelled; -f (foreground) is required"
    return None


def reads(argv: list[str]) -> list[str]:
    """The folder that ``-h`` names; never the current one as a whole."""
    try:
        home = Options(argv).home
    except GetoptError:
        return []
    return [] if home.strip("./") == "" else [home]


def httpd(argv: list[str]) -> Program:
    """``httpd_main``."""
    return applet("httpd", USAGE, _main(argv))


def _main(argv: list[str]) -> Program:
    options = Options(argv)
    try:
        home = yield from sys.stat(options.home)
    except OSError as error:
        raise Fatal(f"can't change directory to '{options.home}': {error.strerror}") from None
    if not home.folder:
        raise Fatal(f"can't change directory to '{options.home}': Not a directory")
    address, port = yield from _endpoint(options.bind)
    listener = yield from sys.socket("tcp")
    yield from sys.setsockopt(listener, SO_REUSEADDR, 1)
    try:
        yield from sys.bind(listener, address, port)
    except OSError as error:
        raise Fatal(f"bind: {error.strerror}") from None
    yield from sys.listen(listener, BACKLOG)
    yield from sys.ignore_sigpipe()
    yield from _serve(listener, options)
    return 0


def _endpoint(text: str) -> Part[Endpoint]:
    host, _, word = text.rpartition(":")
    port = whole(word, 0, 65535)
    if port is None:
        raise Fatal(f"bad port '{word}'" if host else f"bad address '{text}'")
    if not host:
        return IP_ANY, port
    try:
        address = yield from getaddrinfo(host)
    except OSError:
        raise Fatal(f"bad address '{text}'") from None
    return address, port


class _Wait(NamedTuple):
    """A child sleeps until its socket is ready, or until the instant ``until_ns``."""

    events: int
    until_ns: int | None = None


Child = Generator["Call | _Wait", Any, None]


class _Connection:
    """What ``fork`` would have made a process of."""

    __slots__ = ("child", "fd", "wait")

    def __init__(self, fd: int, child: Child) -> None:
        self.fd = fd
        self.child = child
        self.wait = _Wait(POLLIN)

    def run(self) -> Part[bool]:
        """Run the child until it would sleep (True) or has ended."""
        value: Any = None
        error: OSError | None = None
        while True:
            try:
                made = self.child.send(value) if error is None else self.child.throw(error)
            except StopIteration:
                return False
            if isinstance(made, _Wait):
                self.wait = made
                return True
            value = error = None
            try:
                value = yield made
            except OSError as failed:
                error = failed


def _serve(listener: int, options: Options) -> Part[None]:
    """Accept connections and run those that can go on, in the order in which they came."""
    open_ones: list[_Connection] = []
    while True:
        now = yield from sys.now()
        limits = [one.wait.until_ns for one in open_ones if one.wait.until_ns is not None]
        watched = [(listener, POLLIN), *((one.fd, one.wait.events) for one in open_ones)]
        ready = yield from sys.poll(watched, max(min(limits) - now, 0) if limits else None)
        if limits:
            now = yield from sys.now()
        left = []
        for one, (_, revents) in zip(open_ones, ready[1:], strict=True):
            until = one.wait.until_ns
            due = until is not None and until <= now
            if not (revents or due) or (yield from one.run()):
                left.append(one)
        open_ones = left
        if ready[0][1]:
            fd, client = yield from sys.accept(listener)
            yield from sys.setsockopt(fd, SO_KEEPALIVE, 1)
            yield from sys.set_nonblocking(fd, True)
            one = _Connection(fd, Request(fd, client, options).handle())
            if (yield from one.run()):
                open_ones.append(one)


class Request:
    """One connection, from its request to its end (``handle_incoming_and_exit``)."""

    def __init__(self, fd: int, client: Endpoint, options: Options) -> None:
        self.fd = fd
        self.client = client
        self.options = options
        self.buffer = b""
        self.until_ns = 0

    def handle(self) -> Child:
        """Answer one request and close."""
        try:
            yield from self._answer()
            yield from sys.shutdown(self.fd, SHUT_WR)
        except OSError:
            pass  # the client has gone
        yield from sys.close(self.fd)

    def _answer(self) -> Child:
        self.until_ns = (yield from sys.now()) + HEADER_READ_TIMEOUT_S * NS
        line = yield from self._get_line()
        if line == "":
            return
        if line is None:
            yield from self._send_headers(TIMEOUT)
            return
        method, _, rest = line.partition(" ")
        url, _, version = rest.partition(" ")
        path = decoded(url.partition("?")[0])
        if not url.startswith("/") or not version.startswith("HTTP/") or path is None:
            yield from self._send_headers(BAD_REQUEST)
            return
        yield from self._log(2, f"url:{url.partition('?')[0]}")
        headers = yield from self._get_headers()
        if headers is None:
            yield from self._send_headers(TIMEOUT)
        elif method.upper() not in ("GET", "HEAD"):
            yield from self._send_headers(NOT_IMPLEMENTED)
        elif path == "/cgi-bin/":
            yield from self._send_headers(FORBIDDEN)
        else:
            yield from self._send_file(path, url, headers)

    def _get_line(self) -> Generator[Call | _Wait, Any, str | None]:
        """The next line without its end; "" at the end of the stream, None at the time limit."""
        while b"\n" not in self.buffer and len(self.buffer) < MAX_LINE:
            try:
                data = yield from sys.read(self.fd, READ_SIZE)
            except BlockingIOError:
                yield _Wait(POLLIN, self.until_ns)
                if (yield from sys.now()) >= self.until_ns:
                    return None
                continue
            if not data:
                break
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        if len(line) > MAX_LINE:
            line, self.buffer = line[:MAX_LINE], line[MAX_LINE:] + b"\n" + self.buffer
        return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")

    def _get_headers(self) -> Generator[Call | _Wait, Any, dict[str, str] | None]:
        found: dict[str, str] = {}
        while True:
            line = yield from self._get_line()
            if line is None:
                return None
            if not line:
                return found
            name, _, value = line.partition(":")
            found[name.lower()] = value.strip()

    def _send_file(self, path: str, url: str, headers: dict[str, str]) -> Child:
        """``send_file_and_exit``, with what comes before it."""
        name = "./" + path.lstrip("/")
        home = self.options.home.rstrip("/") or self.options.home
        if path.endswith("/"):
            name += "index.html"
        full = f"{home}/{name}"
        try:
            status = yield from sys.stat(full)
            if status.folder:
                query = url.partition("?")[1:]
                where = path + "/" + "".join(query) if not path.endswith("/") else None
                yield from self._send_headers(FOUND if where else NOT_FOUND, location=where)
                return
            file = yield from sys.open(full)
        except OSError:
            yield from self._send_headers(NOT_FOUND)
            return
        part = span(headers.get("range", ""), status.size)
        first, size = part or (0, status.size)
        yield from self._send_headers(
            PARTIAL if part else OK, name=name, status=status, first=first, size=size
        )
        yield from self._sendfile(file, first, size if part else EVERYTHING)
        yield from sys.close(file)

    def _sendfile(self, file: int, first: int, size: int) -> Child:
        at = first
        while size:
            try:
                sent = yield from sys.sendfile(self.fd, file, at, min(size, SENDFILE_MOST))
            except BlockingIOError:
                yield _Wait(POLLOUT)
                continue
            if not sent:
                return
            at += sent
            size -= sent

    def _send_headers(
        self,
        answer: int,
        *,
        location: str | None = None,
        name: str = "",
        status: FileStatus | None = None,
        first: int = 0,
        size: int = 0,
    ) -> Child:
        """``send_headers``: the whole answer, if it is none with a file behind it."""
        now = yield from sys.now()
        phrase, text = ANSWERS[answer]
        lines = [f"HTTP/1.1 {answer} {phrase}", f"Date: {http_date(now)}", "Connection: close"]
        kind = MIME_TYPES.get(name.rpartition(".")[2]) if answer == OK else "text/html"
        if kind is not None:
            lines.append(f"Content-type: {kind}")
        if location is not None:
            lines.append(f"Location: {location}")
        if status is not None:
            if answer == PARTIAL:
                lines.append(f"Content-Range: bytes {first}-{first + size - 1}/{status.size}")
            modified = _seconds(status.modified_ns)
            lines += [
                "Accept-Ranges: bytes",
                f"Last-Modified: {http_date(status.modified_ns)}",
                f'ETag: "{modified:x}-{status.size:x}"',
                f"Content-Length: {size}",
            ]
        body = ""
        if text is not None:
            title = f"{answer} {phrase}"
            body = (
                f"<HTML><HEAD><TITLE>{title}</TITLE></HEAD>\n<BODY><H1>{title}</H1>\n"
                f"{text}\n</BODY></HTML>\n"
            )
        message = "\r\n".join(lines) + "\r\n\r\n" + body
        yield from self._log(1, f"response:{answer}")
        yield from self._write(message.encode("utf-8", "surrogateescape"))

    def _log(self, level: int, text: str) -> Child:
        if self.options.verbose >= level:
            address, port = self.client
            yield from err(f"{ip_text(address)}:{port}: {text}\n")

    def _write(self, data: bytes) -> Child:
        while data:
            try:
                taken = yield from sys.write(self.fd, data)
            except BlockingIOError:
                yield _Wait(POLLOUT)
                continue
            data = data[taken:]


def decoded(url: str) -> str | None:
    """A path with its escapes replaced and no ``.`` or ``..`` in it; None for a bad one."""
    raw = url.encode("utf-8", "surrogateescape")
    if any(match[1] is None for match in _PERCENT.finditer(raw)):
        return None
    plain = _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), raw)
    if plain.count(b"/") != raw.count(b"/") or b"\0" in plain:
        return "/\0"  # an escaped slash or NUL: there is no such file
    parts: list[str] = []
    for part in plain.decode("utf-8", "surrogateescape").split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts) + ("/" if parts and plain.endswith(b"/") else "")


def span(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the number of bytes that a Range header asks for; None for the whole."""
    match = _RANGE.fullmatch(header)
    if match is None or int(match[1]) >= size:
        return None
    last = min(int(match[2] or size), size - 1)
    return (int(match[1]), last - int(match[1]) + 1) if last >= int(match[1]) else None


def http_date(time_ns: int) -> str:
    """A virtual instant as HTTP writes it."""
    days, second = divmod(_seconds(time_ns), DAY_S)
    year, month, day = _civil(days)
    weekday = _DAYS[(days + 3) % 7]  # 1 January 1970 was a Thursday
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return f"{weekday}, {day:02d} {_MONTHS[month - 1]} {year} {clock} GMT"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day, so many days after 1 January 1970 (Gregorian)."""
    year = 1970
    while days >= (size := 366 if _leap(year) else 365):
        days -= size
        year += 1
    for month, usual in enumerate(_MONTH_DAYS, 1):
        size = usual + (month == 2 and _leap(year))
        if days < size:
            break
        days -= size
    return year, month, days + 1


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _seconds(time_ns: int) -> int:
    """Seconds since 1970."""
    return BOOT_S + time_ns // NS
