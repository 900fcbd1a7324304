"""The command line of ``iperf3`` (iperf 3.12): what a test is, on both sides.

Modelled are -s -c -p -1 -u -t -n -k -b -P -R -i -l -f -N -4 and their long names. Everything else
is refused when a line is read, and so is a line that the real one refuses.
"""

from __future__ import annotations

from fractions import Fraction

from desim.userland.programs.coreutils import short
from desim.userland.programs.getopt import GetoptError, getopt, whole

SPEC = "sc:p:1ut:n:k:b:P:Ri:l:f:N4"
LONG = {
    "server": "s",
    "client": "c:",
    "port": "p:",
    "one-off": "1",
    "udp": "u",
    "time": "t:",
    "bytes": "n:",
    "blockcount": "k:",
    "bitrate": "b:",
    "bandwidth": "b:",
    "parallel": "P:",
    "reverse": "R",
    "interval": "i:",
    "length": "l:",
    "format": "f:",
    "no-delay": "N",
    "version4": "4",
}
PORT = 5201
TCP_BLOCK = 128 * 1024
MIN_UDP_BLOCK = 16
MAX_UDP_BLOCK = 65507
MAX_BLOCK = 1024 * 1024
UDP_RATE = 1024 * 1024
"""The default of ``-b`` with ``-u``: one "megabit" of 1024 * 1024 bits."""
MAX_TIME_S = 86400
MAX_STREAMS = 128
MIN_INTERVAL_US = 100_000
MAX_INTERVAL_US = 60_000_000
US = 1_000_000
BINARY, DECIMAL = 1024, 1000
"""What K means of bytes, and of bits in a second."""
_UNITS = {"k": 1, "m": 2, "g": 3, "t": 4}


class Options:
    """A command line, read. Raises ``ValueError`` with what is wrong."""

    def __init__(self, argv: list[str]) -> None:
        try:
            options, operands = getopt(short(argv, LONG), SPEC)
        except GetoptError as error:
            known = " ".join(f"-{letter}" for letter in SPEC if letter != ":")
            text = f"{error} is not modelled, or does not exist; there are {known}"
            raise ValueError(text) from None
        if operands:
            raise ValueError(f"{operands[0]!r}: iperf3 has no operands")
        values = dict(options)
        self.server = "s" in values
        self.host = values.get("c", "")
        if self.server == bool(self.host):
            raise ValueError("one of -s (server) and -c HOST (client) is required")
        if self.server and values.keys() - set("spf1iN4"):
            odd = min(values.keys() - set("spf1iN4"))
            raise ValueError(f"-{odd} is an option of the client")
        if "1" in values and not self.server:
            raise ValueError("-1 is an option of the server")
        self.port = _whole(values, "p", PORT, 1, 65535)
        self.one_off = "1" in values
        self.udp = "u" in values
        self.reverse = "R" in values
        self.no_delay = "N" in values
        self.streams = _whole(values, "P", 1, 1, MAX_STREAMS)
        self.bytes = _sized(values, "n", BINARY)
        self.blocks = _sized(values, "k", BINARY)
        if sum(letter in values for letter in "tnk") > 1:
            raise ValueError("only one of -t, -n and -k can be given")
        limited = self.bytes or self.blocks
        self.duration_s = 0 if limited else _whole(values, "t", 10, 0, MAX_TIME_S)
        self.rate = _sized(values, "b", DECIMAL)
        if self.udp and "b" not in values:
            self.rate = UDP_RATE
        self.block = _sized(values, "l", BINARY) or (0 if self.udp else TCP_BLOCK)
        if self.udp and self.block and not MIN_UDP_BLOCK <= self.block <= MAX_UDP_BLOCK:
            raise ValueError(f"-l: {self.block} is not in {MIN_UDP_BLOCK} to {MAX_UDP_BLOCK}")
        if self.block > MAX_BLOCK:
            raise ValueError(f"-l: {self.block} is more than {MAX_BLOCK}")
        self.interval_us = _interval(values.get("i", "1"))
        self.unit = values.get("f", "a")
        if self.unit not in ("k", "m", "g", "t", "K", "M", "G", "T", "a"):
            raise ValueError(f"-f: {self.unit!r} is none of k m g t K M G T")


def _whole(values: dict[str, str], letter: str, default: int, low: int, high: int) -> int:
    if letter not in values:
        return default
    value = whole(values[letter], low, high)
    if value is None:
        raise ValueError(f"-{letter}: {values[letter]!r} is no whole number from {low} to {high}")
    return value


def _sized(values: dict[str, str], letter: str, base: int) -> int:
    """A number with a suffix K, M, G or T (``unit_atoi``, ``unit_atof_rate``)."""
    text = values.get(letter, "0")
    power = _UNITS.get(text[-1:].lower(), 0)
    number, point, places = (text[:-1] if power else text).partition(".")
    if not (number + places).isdigit() or len(text) > 15 or (point and not places):
        raise ValueError(f"-{letter}: {text!r} is no number, with K, M or G behind it or without")
    return int(Fraction(f"{number or '0'}.{places or '0'}") * int(base**power))


def _interval(text: str) -> int:
    """In microseconds; 0: only one report."""
    number, point, places = text.partition(".")
    if not (number + places).isdigit() or len(text) > 9 or (point and not places):
        raise ValueError(f"-i: {text!r} is no number of seconds")
    value = int(Fraction(f"{number or '0'}.{places or '0'}") * US)
    if value and not MIN_INTERVAL_US <= value <= MAX_INTERVAL_US:
        raise ValueError(f"-i: {text} is neither 0 nor from 0.1 to 60 seconds")
    return value
