"""``wget`` of busybox 1.35 (networking/wget.c, libbb/progress.c; RFC 9110, RFC 9112).

Theory of operation
-------------------
One URL after the other: resolve, say so, connect, ask (one write), read the answer's head line
by line, open the file, copy. A redirection to another path of the same server asks again without
a word; to another URL it starts over. The file's name is made of the first URL's path. A file
that is there is not overwritten, but by ``-O``.

The body is read without blocking: when nothing is there, ``poll`` waits a second at most, and
behind each ``poll`` the progress bar is drawn anew if the clock has gone on by a second. So a
transfer that never has to wait shows the bar once, at its end.

Not modelled: FTP, TLS and proxies, ``-c``, ``-o``, ``-Y``, ``-T``, ``--post-file``,
``--no-check-certificate``, ``--passive-ftp``: they are refused by name. While a chunk is read in
pieces, the bar knows no total.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field

from desim.ports import POLLIN, POLLPRI
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.busybox import BANNER, Fatal, applet
from desim.userland.programs.getopt import GetoptError, whole
from desim.userland.programs.output import STDERR, STDOUT, Step, err
from desim.userland.programs.resolver import getaddrinfo
from desim.userland.uapi import O_CREAT, O_TRUNC, O_WRONLY
from desim.wire.addresses import ip_text

USAGE = (
    BANNER
    + """
Usage: wget [-cqS] [--spider] [-O FILE] [-o LOGFILE] [--header STR]
\t[--post-data STR | --post-file FILE] [-Y on/off]
\t[--no-check-certificate] [-P DIR] [-U AGENT] URL...

Retrieve files via HTTP or FTP

\t--spider\tOnly check URL existence: $? is 0 if exists
\t--header STR\tAdd STR (of form 'header: value') to headers
\t--post-data STR\tSend STR using POST method
\t--post-file FILE\tSend FILE using POST method
\t--no-check-certificate\tDon't validate the server's certificate
\t-c\t\tContinue retrieval of aborted transfer
\t-q\t\tQuiet
\t-P DIR\t\tSave to DIR (default .)
\t-S    \t\tShow server response
\t-O FILE\t\tSave to FILE ('-' for stdout)
\t-o LOGFILE\tLog messages to FILE
\t-U STR\t\tUse STR for User-Agent header
\t-Y on/off\tUse proxy
"""
)

NOT_MODELLED = ("ftp", "ftps", "https")
PORT = 80
REDIRECTIONS = 15
REDIRECTING = (300, 301, 302, 303, 307, 308)
GOOD = (200, 201, 202, 203, 204)
STDIO_SIZE = 4096
"""What stdio reads at a time for a line."""
BLOCK = 65536
"""What is read of a body at most before it is written."""
SECOND_NS = 1_000_000_000
STALLED_S = 5
BAR = 32
KILO_FROM = 100_000
"""Sizes from here on are shown in units of 1024 bytes."""

FLAGS = {"q": "quiet", "S": "server-response", "spider": "spider"}
VALUES = {
    "O": "output-document",
    "P": "directory-prefix",
    "U": "user-agent",
    "header": "header",
    "post-data": "post-data",
}
OTHER_FLAGS = {"c": "continue", "passive-ftp": "passive-ftp"}
OTHER_VALUES = {
    "o": "output-file",
    "T": "timeout",
    "t": "tries",
    "Y": "proxy",
    "post-file": "post-file",
}
NO_VALUE = (*FLAGS.values(), *OTHER_FLAGS.values(), "no-check-certificate")
WITH_VALUE = (*VALUES.values(), *OTHER_VALUES.values())
SHORT = {short: name for table in (FLAGS, OTHER_FLAGS) for short, name in table.items()}
SHORT_VALUES = {short: name for table in (VALUES, OTHER_VALUES) for short, name in table.items()}
MODELLED = (*FLAGS.values(), *VALUES.values())


@dataclass(slots=True)
class Options:
    """The command line: options by their long names, and URLs."""

    given: dict[str, list[str]] = field(default_factory=dict)
    urls: list[str] = field(default_factory=list)

    def last(self, name: str) -> str | None:
        """The last value of an option; None if it is not there."""
        values = self.given.get(name)
        return values[-1] if values else None


def read_options(argv: list[str]) -> Options:
    """What ``getopt_long`` makes of the words; ``GetoptError`` with its message."""
    options = Options()
    words = iter(argv[1:])
    for word in words:
        if word == "--":
            options.urls.extend(words)
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = _long(name)
            if name in NO_VALUE:
                if equals:
                    raise GetoptError(f"option '--{name}' doesn't allow an argument")
            elif not equals:
                found = next(words, None)
                if found is None:
                    raise GetoptError(f"option '--{name}' requires an argument")
                value = found
            options.given.setdefault(name, []).append(value)
        elif len(word) > 1 and word[0] == "-":
            _cluster(word, words, options)
        else:
            options.urls.append(word)
    if not options.urls:
        raise GetoptError("")
    return options


def _long(given: str) -> str:
    """The long option that ``given`` is, or is the beginning of."""
    known = [*NO_VALUE, *WITH_VALUE]
    found = [name for name in known if name.startswith(given)]
    if given in known:
        return given
    if not found:
        raise GetoptError(f"unrecognized option '--{given}'")
    if len(found) > 1:
        listed = " ".join(f"'--{name}'" for name in found)
        raise GetoptError(f"option '--{given}' is ambiguous; possibilities: {listed}")
    return found[0]


def _cluster(word: str, words: Iterator[str], options: Options) -> None:
    for at, letter in enumerate(word[1:], 2):
        if letter in SHORT and len(letter) == 1:
            options.given.setdefault(SHORT[letter], []).append("")
        elif letter in SHORT_VALUES:
            value = word[at:] or next(words, None)
            if value is None:
                raise GetoptError(f"option requires an argument -- '{letter}'")
            options.given.setdefault(SHORT_VALUES[letter], []).append(value)
            return
        else:
            raise GetoptError(f"invalid option -- '{letter}'")


def check(argv: list[str]) -> str | None:
    """Refuse what exists and is not modelled."""
    try:
        options = read_options(argv)
    except GetoptError:
        return None
    for name in options.given:
        if name not in MODELLED:
            known = " ".join(f"--{known}" for known in MODELLED)
            return f"{argv[0]}: option --{name} exists, but is not modelled; modelled are {known}"
    for url in options.urls:
        scheme, found, _ = url.partition("://")
        if found and scheme in NOT_MODELLED:
            return f"{argv[0]}: {scheme} is not modelled; use http"
    return None


def wget(argv: list[str]) -> Program:
    """``wget_main``."""
    return applet("wget", USAGE, _main(argv))


def _main(argv: list[str]) -> Program:
    options = read_options(argv)
    for url in options.urls:
        yield from Download(options, url).run()
    return 0


@dataclass(slots=True)
class Target:
    """A URL, taken apart (``parse_url``)."""

    host: str
    """With its port, as it is written."""
    path: str
    """Without the slash in front."""
    auth: str | None = None

    @classmethod
    def read(cls, url: str) -> Target:
        """The parts of ``url``; ``Fatal`` for a scheme that is neither HTTP nor FTP."""
        scheme, found, rest = url.partition("://")
        if not found:
            rest = url
        elif scheme in NOT_MODELLED:
            # The command line was checked: a server has sent the program there.
            raise Fatal(f"{scheme} is not modelled: {url}")
        elif scheme != "http":
            raise Fatal(f"not an http or ftp url: {url}")
        end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
        auth, found, host = rest[:end].rpartition("@")
        return cls(host, rest[end + 1 :], auth if found else None)

    def address(self) -> Part[tuple[bytes, int]]:
        """Where the server is."""
        name, found, text = self.host.rpartition(":")
        port: int | None = PORT
        if found:
            port = whole(text, 0, 65535)
            if port is None:
                raise Fatal(f"bad port '{text}'")
        else:
            name = self.host
        try:
            address = yield from getaddrinfo(name)
        except OSError:
            raise Fatal(f"bad address '{self.host}'") from None
        return address, port if port is not None else PORT


class Download:
    """One URL (``download_one_url``)."""

    def __init__(self, options: Options, url: str) -> None:
        self.options = options
        self.quiet = "quiet" in options.given
        self.shows = "server-response" in options.given
        self.target = Target.read(url)
        name = options.last("output-document")
        self.overwrites = name is not None
        if name is None:
            name = self.target.path.rpartition("/")[2] or "index.html"
            folder = options.last("directory-prefix")
            if folder is not None:
                name = f"{folder.removesuffix('/')}/{name}"
        self.name = name
        self.fd = -1
        self.output = -1
        self.buffer = b""
        self.length: int | None = None
        self.chunked = False
        self.progress: Progress | None = None

    def run(self) -> Step:
        """Fetch it; ``Fatal`` if that fails."""
        redirections = REDIRECTIONS
        server = yield from self._resolve()
        while True:
            location = yield from self._ask(server)
            if location is None:
                break
            if not redirections:
                raise Fatal("too many redirections")
            redirections -= 1
            yield from sys.close(self.fd)
            if location.startswith("/"):
                self.target.path = location[1:]
            else:
                self.target = Target.read(location)
                server = yield from self._resolve()
        if "spider" in self.options.given:
            yield from self._say("remote file exists\n")
        else:
            yield from self._save()
        yield from sys.close(self.fd)

    def _say(self, text: str) -> Step:
        if not self.quiet:
            yield from err(text)

    def _resolve(self) -> Part[tuple[bytes, int]]:
        address, port = yield from self.target.address()
        yield from self._say(f"Connecting to {self.target.host} ({ip_text(address)}:{port})\n")
        return address, port

    # The question, and the head of the answer

    def _ask(self, server: tuple[bytes, int]) -> Part[str | None]:
        """Ask and read the head; where to go on, if the answer is somewhere else."""
        self.fd = yield from sys.socket("tcp")
        try:
            yield from sys.connect(self.fd, *server)
        except OSError as error:
            raise Fatal(
                f"can't connect to remote host ({ip_text(server[0])}): {error.strerror}"
            ) from None
        try:
            yield from sys.write(self.fd, self._request())
        except OSError:
            pass  # the real one looks at the answer only
        self.buffer = b""
        self.length = None
        self.chunked = False
        status = 0
        while True:
            line = yield from self._shown_line()
            status = _status(line)
            if status not in (0, 100):
                break
            while (yield from self._header()) is not None:
                pass
        if status not in GOOD and status not in REDIRECTING:
            raise Fatal(f"server returned error: {line}")
        while (header := (yield from self._header())) is not None:
            key, value = header
            if key == "content-length":
                self.length = whole(value, 0, 2**63 - 1)
                if self.length is None:
                    raise Fatal(f"content-length {value} is garbage")
            elif key == "transfer-encoding":
                if value.lower() != "chunked":
                    raise Fatal(f"transfer encoding '{value}' is not supported")
                self.chunked = True
            elif key == "location" and status in REDIRECTING:
                return value
        return None

    def _request(self) -> bytes:
        options, target = self.options, self.target
        extra = options.given.get("header", [])
        own = {header.partition(":")[0].lower() for header in extra if ":" in header}
        data = options.last("post-data")
        lines = [f"{'GET' if data is None else 'POST'} /{target.path} HTTP/1.1"]
        if "host" not in own:
            lines.append(f"Host: {target.host}")
        if "user-agent" not in own:
            lines.append(f"User-Agent: {options.last('user-agent') or 'Wget'}")
        lines.append("Connection: close")
        if target.auth is not None and "authorization" not in own:
            lines.append(f"Authorization: Basic {base64.b64encode(_bytes(target.auth)).decode()}")
        lines += extra
        if data is not None:
            if "content-type" not in own:
                lines.append("Content-Type: application/x-www-form-urlencoded")
            lines.append(f"Content-Length: {len(_bytes(data))}")
        return _bytes("".join(f"{line}\r\n" for line in lines) + "\r\n" + (data or ""))

    def _more(self, size: int = STDIO_SIZE) -> Part[bool]:
        """Read more of the answer into the buffer; False at its end."""
        try:
            data = yield from sys.read(self.fd, size)
        except BlockingIOError:
            raise
        except OSError as error:
            raise Fatal(f"error getting response: {error.strerror}") from None
        self.buffer += data
        return bool(data)

    def _line(self) -> Part[str]:
        """A line, up to the first control character."""
        while b"\n" not in self.buffer:
            if not (yield from self._more()):
                if not self.buffer:
                    raise Fatal("error getting response")
                self.buffer += b"\n"
        line, _, self.buffer = self.buffer.partition(b"\n")
        end = next((at for at, byte in enumerate(line) if byte < 0x20), len(line))
        return line[:end].decode("utf-8", "surrogateescape")

    def _shown_line(self) -> Part[str]:
        line = yield from self._line()
        if self.shows:
            yield from err(f"  {line}\n")
        return line

    def _header(self) -> Part[tuple[str, str] | None]:
        """The next header in lower case, and its value; None behind the last one."""
        line = yield from self._shown_line()
        if not line:
            return None
        end = next(
            (
                at
                for at, c in enumerate(line)
                if not (c.isascii() and c.isalnum()) and c not in "-._"
            ),
            len(line),
        )
        name = line[:end].lower()
        if line[end : end + 1] != ":":
            raise Fatal(f"bad header line: {name}{line[end:]}")
        return name, line[end + 1 :].lstrip(" \t")

    # The body

    def _save(self) -> Step:
        yield from self._open()
        on_stdout = self.output == STDOUT
        yield from self._say("writing to stdout\n" if on_stdout else f"saving to '{self.name}'\n")
        if not self.quiet:
            shown = self.name.rpartition("/")[2]
            start_s = (yield from sys.now()) // SECOND_NS
            on_tty = yield from sys.isatty(STDERR)
            self.progress = Progress(shown, start_s, "\r" if on_tty else "")
        if self.chunked:
            while (size := (yield from self._chunk_size())) > 0:
                if (yield from self._copy(size)):
                    raise Fatal("error getting response")
                yield from self._line()
        elif (yield from self._copy(self.length)):
            raise Fatal("connection closed prematurely")
        if self.progress is not None:
            yield from self.progress.end()
        yield from self._say("written to stdout\n" if on_stdout else f"'{self.name}' saved\n")
        if not on_stdout:
            yield from sys.close(self.output)

    def _open(self) -> Step:
        if self.name == "-" and self.overwrites:
            self.output = STDOUT
            return
        try:
            if not self.overwrites and (yield from _exists(self.name)):
                raise Fatal(f"can't open '{self.name}': File exists")
            self.output = yield from sys.open(self.name, O_WRONLY | O_CREAT | O_TRUNC)
        except OSError as error:
            raise Fatal(f"can't open '{self.name}': {error.strerror}") from None

    def _chunk_size(self) -> Part[int]:
        """The size in a chunk's line; 0, the end, for what is none."""
        line = yield from self._line()
        digits = 0
        while digits < len(line) and line[digits] in "0123456789abcdefABCDEF":
            digits += 1
        return int(line[: min(digits, 16)] or "0", 16)

    def _copy(self, left: int | None) -> Part[bool]:
        """Copy so many bytes, or all there are; whether some of them are missing."""
        yield from sys.set_nonblocking(self.fd, True)
        ended = False
        while not ended and left != 0:
            waits = False
            most = BLOCK if left is None else min(left, BLOCK)
            while len(self.buffer) < most and not (ended or waits):
                # As fread() does: whole blocks of stdio's buffer, straight into the program's.
                wanted = max((most - len(self.buffer)) // STDIO_SIZE, 1) * STDIO_SIZE
                try:
                    ended = not (yield from self._more(wanted))
                except BlockingIOError:
                    waits = True
            data, self.buffer = self.buffer[:most], self.buffer[most:]
            if data:
                left = None if left is None else left - len(data)
                yield from self._write(data)
            if waits and left != 0:
                yield from sys.poll([(self.fd, POLLIN | POLLPRI)], SECOND_NS)
                if self.progress is not None:
                    total = None if self.chunked else self.length
                    yield from self.progress.update(total)
        yield from sys.set_nonblocking(self.fd, False)
        return bool(left)

    def _write(self, data: bytes) -> Step:
        try:
            yield from sys.write(self.output, data)
        except OSError as error:
            raise Fatal(f"short write: {error.strerror}") from None
        if self.progress is not None:
            self.progress.transferred += len(data)


class Progress:
    """The bar (``bb_progress_update``): at most one line for each second of the clock."""

    def __init__(self, name: str, start_s: int, begin: str) -> None:
        self.name = name
        self.start_s = start_s
        self.begin = begin
        self.transferred = 0
        self.updated_s = 0
        self.seen = 0
        """What had been transferred when that last changed, at ``changed_s``."""
        self.changed_s = 0

    def update(self, total: int | None) -> Step:
        """Draw it, if a second has gone by since the last time."""
        elapsed_s = (yield from sys.now()) // SECOND_NS - self.start_s
        if elapsed_s <= self.updated_s:
            return
        self.updated_s = elapsed_s
        if self.transferred != self.seen:
            self.seen, self.changed_s = self.transferred, elapsed_s
        yield from self._draw(total, self._left(total, elapsed_s), "" if self.begin else "\n")

    def end(self) -> Step:
        """Draw it whole; nothing if nothing came."""
        if self.transferred:
            yield from self._draw(self.transferred, "  0:00:00 ETA", "\n")

    def _left(self, total: int | None, elapsed_s: int) -> str:
        if elapsed_s - self.changed_s >= STALLED_S:
            return "  - stalled -"
        if not total or not self.transferred:
            return " --:--:-- ETA"
        seconds = (total - self.transferred) * elapsed_s // self.transferred
        hours, rest = divmod(min(seconds, 1000 * 3600 - 1), 3600)
        return f"{hours:3}:{rest // 60:02}:{rest % 60:02} ETA"

    def _draw(self, total: int | None, left: str, end: str) -> Step:
        bar = ""
        if total:
            full = BAR * self.transferred // total
            bar = f"{100 * self.transferred // total:3}% |{'*' * full:<{BAR}}| "
        yield from err(
            f"{self.begin}{self.name[:20]:<20} {bar}{_size(self.transferred)}{left}{end}"
        )


def _size(size: int) -> str:
    """Five columns."""
    unit = ""
    for larger in "kMGTPEZY":
        if size < KILO_FROM:
            break
        size, unit = size >> 10, larger
    return f"{size:{5 - len(unit)}}{unit}"


def _status(line: str) -> int:
    """The number behind the first word of a status line, as ``atoi`` reads it."""
    text = " ".join(line.split()[1:2])
    digits = 0
    while digits < len(text) and text[digits] in "0123456789":
        digits += 1
    return int(text[: min(digits, 9)] or "0")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _exists(name: str) -> Part[bool]:
    try:
        yield from sys.stat(name)
    except FileNotFoundError:
        return False
    return True
