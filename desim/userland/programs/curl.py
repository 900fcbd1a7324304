"""``curl`` 7.88.1 as Debian 12 ships it, for one http URL over IPv4.

Theory of operation
-------------------
Look up the name, connect a non-blocking socket, send the request in one piece, then poll and
receive up to 100 KiB at a time. The headers end at the blank line; the body ends at its
Content-Length, at the last chunk, or with the stream. What went wrong has a number, which is
the exit status, and a text, which is curl's own:

    6   the name is not known              22  ``-f``, and the status is 400 or more
    7   nobody accepts the connection      23  the output cannot be written
    18  the stream ended inside the body   28  ``-m`` or ``--connect-timeout`` ran out
    52  the stream ended before any answer 56  the connection was reset

Not modelled: the progress meter (it is never shown, as with ``--no-progress-meter``),
redirects, several transfers and with them connections used again, HTTP/2, proxies, encodings
of the body other than chunked, and what ``curl_options`` refuses.
"""

from __future__ import annotations

import errno
import re

from desim.ports import POLLIN, POLLOUT, Endpoint
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.curl_options import (
    HTTP_PORT,
    CurlError,
    Options,
    Url,
    UsageError,
    check,
    read_url,
)
from desim.userland.programs.output import STDOUT, Step, err
from desim.userland.programs.resolver import getaddrinfo
from desim.userland.uapi import O_CREAT, O_TRUNC, O_WRONLY
from desim.wire.addresses import IP_ANY, ip_text

__all__ = ["check", "curl"]

BUFFER_SIZE = 102_400
MAX_HEADERS = 300 * 1024
MAX_LINE = 4096
CONNECT_TIMEOUT_NS = 300_000_000_000
MS = 1_000_000
HINT = "curl: try 'curl --help' or 'curl --manual' for more information\n"

_STATUS = re.compile(r"HTTP/(1\.[01]) ([0-9]{3})(?=[ \r\n])")
_VARIABLE = re.compile(r"%%|%\{([^}]*)\}|\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def curl(argv: list[str]) -> Program:
    """``main``: one transfer."""
    try:
        options = Options(argv)
    except UsageError as error:
        yield from err(f"curl: {error}\n{HINT}")
        return 2
    if not options.urls:
        yield from err(HINT)
        return 2
    yield from sys.ignore_sigpipe()
    transfer = Transfer(options, options.urls[0])
    try:
        yield from transfer.run()
    except CurlError as error:
        transfer.exit_code = error.code
        if options.shows_errors:
            yield from err(f"curl: ({error.code}) {error.text}\n")
    yield from transfer.write_out()
    return transfer.exit_code


class Transfer:
    """One request and its answer."""

    def __init__(self, options: Options, url: str) -> None:
        self.options = options
        self.url = Url("", 0, "", url)
        self.fd = -1
        self.exit_code = 0
        self.started_ns = 0
        self.times_ns = dict.fromkeys(
            ("namelookup", "connect", "pretransfer", "starttransfer", "total"), 0
        )
        self.local: Endpoint = (IP_ANY, 0)
        self.remote: Endpoint = (IP_ANY, 0)
        self.connects = 0
        self.buffer = b""
        self.status = 0
        self.version = "0"
        self.headers: dict[str, str] = {}
        self.headers_done = False
        self.closes = False
        """Whether the connection could not be used again."""
        self.size_header = self.size_body = self.size_request = 0
        self.expected: int | None = None
        self.file = -1
        self.data_shown = False

    @property
    def method(self) -> str:
        """The request's method."""
        options = self.options
        usual = "HEAD" if options.head else "GET" if options.data is None else "POST"
        return options.method or usual

    @property
    def bodiless(self) -> bool:
        """Whether nothing follows the headers."""
        return self.options.head or self.status in (204, 304) or self.expected == 0

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    def run(self) -> Step:
        """Make the transfer; ``CurlError`` says how it failed."""
        self.started_ns = yield from sys.now()
        try:
            self.url = read_url(self.url.text)
            if self.options.remote_name and not self.url.file_name:
                yield from err("curl: Remote file name has no length!\n")
                raise CurlError(23, "Failed writing received data to disk/application")
            yield from self._transfer()
        except CurlError as error:
            if error.code not in (3, 23):
                yield from self._info(error.text)
            yield from self._disconnect("Closing connection 0")
            yield from self._mark("total")
            raise
        kept = f"Connection #0 to host {self.url.host} left intact"
        yield from self._disconnect("Closing connection 0" if self.closes else kept)
        yield from self._mark("total")
        if self.file < 0 and self._output_name() is not None and not self.size_body:
            yield from self._open_output()

    def _transfer(self) -> Step:
        address = yield from self._resolve()
        yield from self._mark("namelookup")
        yield from self._connect(address)
        yield from self._mark("connect", "pretransfer")
        yield from self._send_request()
        if not (yield from self._receive_headers()):
            return
        self.headers_done = True
        if self.bodiless:
            if self.buffer:
                excess = f"excess = {len(self.buffer)} url = {self.url.path} (zero-length body)"
                yield from self._info(f"Excess found: {excess}")
            return
        if self.buffer:
            yield from self._show_data("{", len(self.buffer))
        if self.chunked:
            yield from self._receive_chunks()
        else:
            yield from self._receive_body()

    # Time

    def _mark(self, *names: str) -> Step:
        elapsed = (yield from sys.now()) - self.started_ns
        for name in names:
            self.times_ns[name] = elapsed

    def _wait(self, events: int, limit_ns: int | None = None) -> Part[bool]:
        """Wait for the socket, at most ``limit_ns`` since the start: False if that has passed."""
        limits = [one for one in (limit_ns, self.options.max_time_ns) if one is not None]
        left = None
        if limits:
            left = min(limits) - ((yield from sys.now()) - self.started_ns)
            if left <= 0:
                return False
        found = yield from sys.poll([(self.fd, events)], left)
        return bool(found[0][1])

    def _elapsed_ms(self) -> Part[int]:
        return int(((yield from sys.now()) - self.started_ns) // MS)

    # The connection

    def _resolve(self) -> Part[bytes]:
        limits = [self.options.max_time_ns, self.options.connect_timeout_ns]
        known = [one for one in limits if one is not None]
        try:
            deadline = self.started_ns + min(known) if known else None
            return (yield from getaddrinfo(self.url.host, deadline))
        except TimeoutError:
            spent = yield from self._elapsed_ms()
            raise CurlError(28, f"Resolving timed out after {spent} milliseconds") from None
        except OSError:
            raise CurlError(6, f"Could not resolve host: {self.url.host}") from None

    def _connect(self, address: bytes) -> Step:
        url, options = self.url, self.options
        yield from self._info(f"  Trying {ip_text(address)}:{url.port}...")
        self.fd = yield from sys.socket("tcp")
        yield from sys.set_nonblocking(self.fd, True)
        error: OSError | None = None
        try:
            yield from sys.connect(self.fd, address, url.port)
        except BlockingIOError:
            limit = options.connect_timeout_ns or CONNECT_TIMEOUT_NS
            if not (yield from self._wait(POLLOUT, limit)):
                spent = yield from self._elapsed_ms()
                limited = options.max_time_ns
                if limited is not None and limited <= limit:
                    text = f"Connection timed out after {spent} milliseconds"
                else:
                    text = self._unreachable(spent, "Timeout was reached")
                raise CurlError(28, text) from None
            error = yield from sys.socket_error(self.fd)
        except OSError as failed:
            error = failed
        if error is not None:
            spent = yield from self._elapsed_ms()
            where = f"connect to {ip_text(address)} port {url.port} failed"
            yield from self._info(f"{where}: {error.strerror}")
            timed_out = error.errno == errno.ETIMEDOUT
            why = "Timeout was reached" if timed_out else "Couldn't connect to server"
            raise CurlError(28 if timed_out else 7, self._unreachable(spent, why))
        self.connects = 1
        self.local = yield from sys.getsockname(self.fd)
        self.remote = (address, url.port)
        place = f"{url.host} ({ip_text(address)}) port {url.port} (#0)"
        yield from self._info(f"Connected to {place}")

    def _unreachable(self, spent_ms: int, why: str) -> str:
        return (
            f"Failed to connect to {self.url.host} port {self.url.port} after {spent_ms} ms: {why}"
        )

    def _disconnect(self, text: str) -> Step:
        yield from self._info(text)
        if self.fd >= 0:
            yield from sys.close(self.fd)
            self.fd = -1

    # The request

    def _request_head(self) -> str:
        url, options = self.url, self.options
        own = {
            "Host": url.host if url.port == HTTP_PORT else f"{url.host}:{url.port}",
            "User-Agent": options.user_agent,
            "Accept": "*/*",
        }
        given = {line.partition(":")[0].lower(): line for line in options.headers}
        lines = [f"{self.method} {url.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in own.items() if name.lower() not in given]
        if "host" in given:
            lines.insert(1, given.pop("host"))
        # "NAME:" takes a header away.
        lines += [line for line in given.values() if line.partition(":")[2].strip()]
        if options.data is not None:
            lines.append(f"Content-Length: {len(_bytes(options.data))}")
            if "content-type" not in given:
                lines.append("Content-Type: application/x-www-form-urlencoded")
        return "\r\n".join(lines) + "\r\n\r\n"

    def _send_request(self) -> Step:
        head = self._request_head()
        body = _bytes(self.options.data or "")
        self.size_request = len(_bytes(head))
        if self.options.verbose:
            yield from err("".join(f"> {line}\n" for line in head.split("\n")[:-1]))
        left = _bytes(head) + body
        while left:
            try:
                taken = yield from sys.write(self.fd, left)
            except BlockingIOError:
                if not (yield from self._wait(POLLOUT)):
                    yield from self._time_is_up()
                continue
            except OSError as error:
                raise CurlError(55, f"Send failure: {error.strerror}") from None
            left = left[taken:]
        if body:
            yield from self._show_data("}", len(body))

    # The answer

    def _more(self) -> Part[bool]:
        """Receive into the buffer; False at the end of the stream."""
        while True:
            if not (yield from self._wait(POLLIN)):
                yield from self._time_is_up()
            try:
                data = yield from sys.read(self.fd, BUFFER_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                raise CurlError(56, f"Recv failure: {error.strerror}") from None
            self.buffer += data
            if data and self.headers_done:
                yield from self._show_data("{", len(data))
            return bool(data)

    def _time_is_up(self) -> Step:
        spent = yield from self._elapsed_ms()
        got = f"{self.size_body} bytes received"
        if self.expected is not None:
            got = f"{self.size_body} out of {self.expected} bytes received"
        raise CurlError(28, f"Operation timed out after {spent} milliseconds with {got}")

    def _receive_headers(self) -> Part[bool]:
        """The status line and the headers, line by line; False if the stream ends among them."""
        while True:
            line = yield from self._header_line()
            if line is None:
                if not self.status:
                    raise CurlError(52, "Empty reply from server")
                return False
            text = line.decode("utf-8", "surrogateescape")
            done = yield from self._read_header(text)
            self.size_header += len(line)
            if self.size_header > MAX_HEADERS:
                raise CurlError(56, f"Too large response headers: more than {MAX_HEADERS}")
            if self.options.verbose:
                yield from err(f"< {text}")
            if self.options.head or self.options.include:
                yield from self._write(line)
            if done and self.status >= 200:
                return True
            if done:
                self.status = 0  # 1xx: another answer follows

    def _header_line(self) -> Part[bytes | None]:
        """The next line with its end; None if the stream ends first."""
        while b"\n" not in self.buffer:
            first = not self.buffer and not self.size_header
            if not (yield from self._more()):
                return None
            if first:
                yield from self._mark("starttransfer")
            if not self.status and not self.buffer.startswith(b"HTTP/"[: len(self.buffer)]):
                self.closes = True
                raise CurlError(1, "Received HTTP/0.9 when not allowed")
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def _read_header(self, line: str) -> Part[bool]:
        """Take in the status line or one header; whether it is the blank line at the end."""
        if not self.status:
            status = _STATUS.match(line)
            if status is None:
                raise CurlError(1, "Unsupported HTTP version in response")
            self.version, self.status = status[1], int(status[2])
            self.headers, self.expected = {}, None
            self.closes = self.version == "1.0"
            if self.closes:
                yield from self._info("HTTP 1.0, assume close after body")
            return False
        name, _, value = (part.strip() for part in line.lower().partition(":"))
        if not line.strip():
            yield from self._end_of_headers()
            return True
        self.headers[name] = line.partition(":")[2].strip()
        if name == "content-length":
            if not (value.isascii() and value.isdigit()):
                raise CurlError(8, "Invalid Content-Length: value")
            self.expected = int(value)
        elif name == "connection" and value == "keep-alive" and self.version == "1.0":
            yield from self._info("HTTP/1.0 connection set to keep alive")
            self.closes = False
        elif name == "connection" and value == "close":
            self.closes = True
        return False

    def _end_of_headers(self) -> Step:
        if self.chunked:
            self.expected = None
        unknown = self.expected is None and not self.chunked and not self.bodiless
        if unknown and not self.closes and self.status >= 200:
            yield from self._info("no chunk, no close, no size. Assume close to signal end")
            self.closes = True
        if self.options.fail and self.status >= 400:
            raise CurlError(22, f"The requested URL returned error: {self.status}")

    def _receive_body(self) -> Step:
        while self.expected is None or self.size_body < self.expected:
            if not self.buffer and not (yield from self._more()):
                if self.expected is None:
                    return
                left = self.expected - self.size_body
                raise CurlError(18, f"transfer closed with {left} bytes remaining to read")
            wanted = len(self.buffer)
            if self.expected is not None and self.expected - self.size_body < wanted:
                yield from self._too_much(wanted)
                wanted = self.expected - self.size_body
            data, self.buffer = self.buffer[:wanted], self.buffer[wanted:]
            yield from self._take(data)

    def _too_much(self, got: int) -> Step:
        assert self.expected is not None
        excess = got - (self.expected - self.size_body)
        yield from self._info(
            f"Excess found in a read: excess = {excess}, size = {self.expected}, "
            f"maxdownload = {self.expected}, bytecount = {self.size_body}"
        )
        self.closes = True

    def _receive_chunks(self) -> Step:
        """RFC 9112 section 7.1."""
        while True:
            line = yield from self._chunk_line()
            try:
                left = int(line.strip().partition(b";")[0], 16)
            except ValueError:
                text = "Illegal or missing hexadecimal sequence in chunked-encoding"
                raise CurlError(56, text) from None
            if left == 0:
                break
            while left:
                if not self.buffer:
                    yield from self._more_of_chunks()
                data, self.buffer = self.buffer[:left], self.buffer[left:]
                left -= len(data)
                yield from self._take(data)
            if (yield from self._chunk_line()).strip():
                raise CurlError(56, "Malformed encoding found in chunked-encoding")
        while (trailer := (yield from self._chunk_line())).strip():
            if self.options.include:
                yield from self._write(trailer)

    def _chunk_line(self) -> Part[bytes]:
        while b"\n" not in self.buffer:
            if len(self.buffer) > MAX_LINE:
                raise CurlError(56, "Illegal or missing hexadecimal sequence in chunked-encoding")
            yield from self._more_of_chunks()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def _more_of_chunks(self) -> Step:
        if not (yield from self._more()):
            raise CurlError(18, "transfer closed with outstanding read data remaining")

    # Output

    def _take(self, data: bytes) -> Step:
        self.size_body += len(data)
        yield from self._write(data)

    def _output_name(self) -> str | None:
        """The file that ``-o`` or ``-O`` names; None for standard output."""
        name = self.url.file_name if self.options.remote_name else self.options.output
        return None if name == "-" else name

    def _open_output(self) -> Step:
        name = self._output_name()
        if name is None:
            self.file = STDOUT
            return
        try:
            self.file = yield from sys.open(name, O_WRONLY | O_CREAT | O_TRUNC)
        except OSError as error:
            if not self.options.silent:
                yield from err(f"Warning: Failed to open the file {name}: {error.strerror}\n")
            raise CurlError(23, "Failure writing output to destination") from None

    def _write(self, data: bytes) -> Step:
        if self.file < 0:
            yield from self._open_output()
        try:
            yield from sys.write(self.file, data)
        except OSError:
            raise CurlError(23, "Failure writing output to destination") from None

    def _info(self, text: str) -> Step:
        if self.options.verbose:
            yield from err(f"* {text}\n")

    def _show_data(self, mark: str, size: int) -> Step:
        """Data themselves are not shown, and their size only where they are not seen anyway."""
        if self.options.verbose and not self.data_shown:
            on_screen = self._output_name() is None and (yield from sys.isatty(STDOUT))
            self.data_shown = mark == "{"
            if not on_screen:
                yield from err(f"{mark} [{size} bytes data]\n")

    def write_out(self) -> Step:
        """``-w``."""
        values = self._variables()
        out: list[str] = []
        at = 0
        text = self.options.write_out
        for match in _VARIABLE.finditer(text):
            out.append(text[at : match.start()])
            at = match.end()
            if match[1] is not None and match[1] not in values:
                yield from err(f"curl: unknown --write-out variable: '{match[1]}'\n")
            elif match[1] is not None:
                out.append(values[match[1]])
            elif match[2]:
                out.append(_ESCAPES.get(match[2], match[0]))
            else:
                out.append("%")
        shown = "".join(out) + text[at:]
        if shown:
            try:
                yield from sys.write(STDOUT, _bytes(shown))
            except OSError:
                pass  # as printf: nobody looks

    def _variables(self) -> dict[str, str]:
        code = f"{self.status:03d}"
        times = {
            f"time_{name}": f"{ns // 10**9}.{ns // 1000 % 10**6:06d}"
            for name, ns in self.times_ns.items()
        }
        return times | {
            "content_type": self.headers.get("content-type", ""),
            "exitcode": str(self.exit_code),
            "http_code": code,
            "http_version": self.version.removesuffix(".0"),
            "local_ip": ip_text(self.local[0]) if self.connects else "",
            "local_port": str(self.local[1]),
            "method": self.method,
            "num_connects": str(self.connects),
            "remote_ip": ip_text(self.remote[0]) if self.connects else "",
            "remote_port": str(self.remote[1]),
            "response_code": code,
            "scheme": "HTTP",
            "size_download": str(self.size_body),
            "size_header": str(self.size_header),
            "size_request": str(self.size_request + len(_bytes(self.options.data or ""))),
            "size_upload": str(len(_bytes(self.options.data or ""))),
            "url_effective": self.url.text,
        }


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
