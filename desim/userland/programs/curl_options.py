"""The command line of ``curl`` 7.88.1 and its URLs (src/tool_getparam.c, lib/urlapi.c).

Not modelled: every option that OPTIONS does not name, several URLs, schemes other than
http, users and passwords in URLs, names of IPv6 hosts, ``--data @FILE``. All are refused when
a line is read; what the real one refuses itself is left to the program.
"""

from __future__ import annotations

import re

from desim.data import NamedTuple
from desim.userland.files import normalise
from desim.userland.programs.getopt import whole

OPTIONS = {
    "connect-timeout": ("", True),
    "data": ("d", True),
    "fail": ("f", False),
    "head": ("I", False),
    "header": ("H", True),
    "include": ("i", False),
    "max-time": ("m", True),
    "output": ("o", True),
    "remote-name": ("O", False),
    "request": ("X", True),
    "show-error": ("S", False),
    "silent": ("s", False),
    "user-agent": ("A", True),
    "verbose": ("v", False),
    "write-out": ("w", True),
}
"""Long name: the letter, and whether a value follows."""
LETTERS = {letter: name for name, (letter, _) in OPTIONS.items() if letter}

_SECONDS = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?")
_URL = re.compile(r"(?:([a-zA-Z][a-zA-Z0-9+.-]*)://)?([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?")
_HOST = re.compile(r"[A-Za-z0-9._~-]+")
NS = 1_000_000_000
HTTP_PORT = 80


class CurlError(Exception):
    """What ends a run: the exit code and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class UsageError(Exception):
    """A command line that cannot be read: what is printed before the hint at the help."""


class Url(NamedTuple):
    """An address of the web, read."""

    host: str
    port: int
    path: str
    """With its query, as a request has it."""
    text: str
    """The whole of it, as ``url_effective`` shows it."""

    @property
    def file_name(self) -> str:
        """What ``-O`` calls the file."""
        return self.path.partition("?")[0].rpartition("/")[2]


class Options:
    """The command line. Raises ``UsageError``."""

    def __init__(self, argv: list[str]) -> None:
        flags, values, urls = words_of(argv)
        self.urls = urls
        self.silent = "silent" in flags
        self.show_error = "show-error" in flags
        self.verbose = "verbose" in flags
        self.head = "head" in flags
        self.include = "include" in flags
        self.fail = "fail" in flags
        self.remote_name = "remote-name" in flags
        self.output = values.get("output", [None])[-1]
        self.data = "&".join(values["data"]) if "data" in values else None
        self.headers = values.get("header", [])
        self.user_agent = values.get("user-agent", ["curl/7.88.1"])[-1]
        self.method = values.get("request", [None])[-1]
        self.write_out = values.get("write-out", [""])[-1]
        self.max_time_ns = _seconds(values, "max-time", "m")
        self.connect_timeout_ns = _seconds(values, "connect-timeout", "")
        if self.head and self.data is not None:
            raise UsageError("You can only select one HTTP request method!")

    @property
    def shows_errors(self) -> bool:
        """Whether the message of an error is printed."""
        return self.show_error or not self.silent


def words_of(argv: list[str]) -> tuple[set[str], dict[str, list[str]], list[str]]:
    """Flags, values by option, and what is no option."""
    flags: set[str] = set()
    values: dict[str, list[str]] = {}
    urls: list[str] = []
    words = iter(argv[1:])
    for word in words:
        if word == "--":
            urls.extend(words)
        elif len(word) < 2 or word[0] != "-":
            urls.append(word)
        elif word.startswith("--"):
            name = word[2:]
            if name not in OPTIONS:
                raise UsageError(f"option {word}: is unknown")
            if not OPTIONS[name][1]:
                flags.add(name)
            else:
                _add(values, name, next(words, None), word)
        else:
            rest = word[1:]
            while rest:
                letter, rest = rest[0], rest[1:]
                if letter not in LETTERS:
                    raise UsageError(f"option {word}: is unknown")
                name = LETTERS[letter]
                if OPTIONS[name][1]:
                    _add(values, name, rest or next(words, None), word)
                    break
                flags.add(name)
    return flags, values, urls


def _add(values: dict[str, list[str]], name: str, value: str | None, word: str) -> None:
    if value is None:
        raise UsageError(f"option {word}: requires parameter")
    values.setdefault(name, []).append(value)


def _seconds(values: dict[str, list[str]], name: str, letter: str) -> int | None:
    if name not in values:
        return None
    match = _SECONDS.fullmatch(values[name][-1])
    if match is None:
        word = f"-{letter}" if letter else f"--{name}"
        raise UsageError(f"option {word}: expected a proper numerical parameter")
    return int(match[1]) * NS + int((match[2] or "").ljust(9, "0")) or None


def read_url(text: str) -> Url:
    """Read a URL as curl does, http:// being understood. ``CurlError`` (3) for a bad one."""
    match = _URL.fullmatch(text)
    bad = CurlError(3, "URL using bad/illegal format or missing URL")
    if match is None or any(letter <= " " or letter == "\x7f" for letter in text):
        raise bad
    host, _, port = match[2].partition(":")
    number = whole(port, 0, 65535) if port else HTTP_PORT
    if number is None or not _HOST.fullmatch(host):
        raise bad
    path = _without_dots(match[3]) + (match[4] or "")
    authority = host + (f":{number}" if port else "")
    return Url(host, number, path, f"http://{authority}{path}")


def _without_dots(path: str) -> str:
    """``path`` without the segments ``.`` and ``..`` (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    parts = path.split("/")[1:]
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        if part == "..":
            if kept:
                kept.pop()
        elif part != ".":
            kept.append(part)
            continue
        if last:
            kept.append("")
    return "/" + "/".join(kept)


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    try:
        flags, values, urls = words_of(argv)
    except UsageError as error:
        if str(error).endswith("requires parameter"):
            return None
        known = " ".join(
            f"-{letter}/--{name}" if letter else f"--{name}"
            for name, (letter, _) in OPTIONS.items()
        )
        return f"curl: {error}, or not modelled; modelled are {known}"
    if len(urls) > 1:
        return f"curl: several URLs in one command are not modelled ({urls[1]!r} is one too many)"
    for url in urls:
        scheme, _, rest = url.rpartition("://")
        if scheme and scheme.lower() != "http":
            return f"curl: {url}: only http is modelled"
        authority = re.split("[/?#]", rest, maxsplit=1)[0]
        if "@" in authority or "[" in authority:
            return f"curl: {url}: users and IPv6 addresses in URLs are not modelled"
    if any(data.startswith("@") for data in values.get("data", [])):
        return "curl: --data @FILE is not modelled; write the data itself"
    return _check_output(values.get("output", []), "remote-name" in flags)


def _check_output(outputs: list[str], remote_name: bool) -> str | None:
    if outputs and remote_name:
        return "curl: -o and -O together are not modelled"
    for name in outputs:
        try:
            if name not in ("-", "/dev/null"):
                normalise(name)
        except ValueError as error:
            return f"curl: {error}"
    return None
