"""``dd`` of coreutils 9.1 and of busybox 1.35 (Debian's, which says no rate).

With ``bs=`` a block is written as it was read; else what is read is put together to blocks of
``obs=`` bytes. A file cannot be written in its middle here, so ``seek=`` and ``conv=notrunc``
read the old contents first and write them again.

Not modelled: ``conv=`` other than notrunc, sync, noerror, fsync and fdatasync; ``iflag=`` and
``oflag=`` other than fullblock; ``status=progress``; ``seek=`` on standard output.
"""

from __future__ import annotations

import errno
from fractions import Fraction

from desim.userland.calls import sys
from desim.userland.process import SIGNALS
from desim.userland.program import Part, Program
from desim.userland.programs import coreutils
from desim.userland.programs.busybox import BANNER, Fatal, applet, suffixed
from desim.userland.programs.decimals import general, nearest
from desim.userland.programs.getopt import GetoptError
from desim.userland.programs.output import STDIN, STDOUT, Step, err
from desim.userland.uapi import O_CREAT, O_TRUNC, O_WRONLY

BLOCK = 512
NS = 1_000_000_000
NUMBERS = ("bs", "cbs", "count", "ibs", "obs", "seek", "skip")
WORDS = {
    "conv": ("notrunc", "sync", "noerror", "fsync", "fdatasync"),
    "iflag": ("fullblock",),
    "oflag": (),
    "status": ("none", "noxfer"),
}
_CONVERSIONS = "swab ascii ebcdic ibm block unblock lcase ucase sparse excl nocreat"
_FLAGS = "append direct directory dsync sync nonblock noatime nocache noctty nofollow"
UNMODELLED = {
    "conv": tuple(_CONVERSIONS.split()),
    "iflag": (*_FLAGS.split(), "count_bytes", "skip_bytes"),
    "oflag": (*_FLAGS.split(), "seek_bytes"),
    "status": ("progress",),
}
NAMES = {
    "conv": "conversion",
    "iflag": "input flag",
    "oflag": "output flag",
    "status": "status level",
}
BUSYBOX_SUFFIXES = {"c": 1, "w": 2, "b": 512, "kB": 1000, "k": 1024, "K": 1024} | {
    letter + tail: base**power
    for power, letter in ((2, "M"), (3, "G"))
    for tail, base in (("B", 1000), ("", 1024))
}
BUSYBOX_WORDS = {
    "conv": ("notrunc", "sync", "noerror", "fsync", "swab"),
    "iflag": ("skip_bytes", "count_bytes", "fullblock", "direct"),
    "oflag": ("seek_bytes", "append", "direct"),
    "status": ("none", "noxfer"),
}
USAGE = (
    BANNER
    + """
Usage: dd [if=FILE] [of=FILE] [ibs=N obs=N/bs=N] [count=N] [skip=N] [seek=N]
\t[conv=notrunc|noerror|sync|fsync]
\t[iflag=skip_bytes|count_bytes|fullblock|direct] [oflag=seek_bytes|append|direct]

Copy a file with converting and formatting

\tif=FILE\t\tRead from FILE instead of stdin
\tof=FILE\t\tWrite to FILE instead of stdout
\tbs=N\t\tRead and write N bytes at a time
\tibs=N\t\tRead N bytes at a time
\tobs=N\t\tWrite N bytes at a time
\tcount=N\t\tCopy only N input blocks
\tskip=N\t\tSkip N input blocks
\tseek=N\t\tSkip N output blocks
\tconv=notrunc\tDon't truncate output file
\tconv=noerror\tContinue after read errors
\tconv=sync\tPad blocks with zeros
\tconv=fsync\tPhysically write data out before finishing
\tconv=swab\tSwap every pair of bytes
\tiflag=skip_bytes\tskip=N is in bytes
\tiflag=count_bytes\tcount=N is in bytes
\toflag=seek_bytes\tseek=N is in bytes
\tiflag=direct\tO_DIRECT input
\toflag=direct\tO_DIRECT output
\tiflag=fullblock\tRead full blocks
\toflag=append\tOpen output in append mode
\tstatus=noxfer\tSuppress rate output
\tstatus=none\tSuppress all output

N may be suffixed by c (1), w (2), b (512), kB (1000), k (1024), MB, M, GB, G
"""
)


class Copy:
    """What is to be copied, and what has been."""

    def __init__(self, values: dict[str, str], numbers: dict[str, int]) -> None:
        self.input = values.get("if")
        self.output = values.get("of")
        self.whole_blocks = "bs" in numbers
        self.ibs = numbers.get("bs", numbers.get("ibs", BLOCK))
        self.obs = numbers.get("bs", numbers.get("obs", BLOCK))
        self.count = numbers.get("count")
        self.skip = numbers.get("skip", 0)
        self.seek = numbers.get("seek", 0)
        self.words = {key: values.get(key, "").split(",") for key in WORDS}
        self.records_in = [0, 0]
        """Whole ones and partial ones."""
        self.records_out = [0, 0]
        self.copied = 0
        self._held = b""
        self._tail = b""

    def says(self, key: str, word: str) -> bool:
        """Whether ``key=`` has ``word``."""
        return word in self.words[key]

    def open_output(self) -> Part[int]:
        """The descriptor to write to, behind what ``seek`` passes over."""
        if self.output is None:
            return STDOUT
        start = self.seek * self.obs
        old = b""
        if start or self.says("conv", "notrunc"):
            old = yield from _content(self.output)
        fd = yield from sys.open(self.output, O_WRONLY | O_CREAT | O_TRUNC)
        if self.says("conv", "notrunc"):
            self._tail = old[start:]
        if start:
            yield from sys.write(fd, old[:start].ljust(start, b"\0"))
        return fd

    def copy(self, source: int, target: int) -> Step:
        """Block after block, until the input ends or ``count`` have been read."""
        while self.count is None or sum(self.records_in) < self.count:
            data = yield from self._read(source)
            if not data:
                break
            whole = len(data) == self.ibs
            self.records_in[not whole] += 1
            if not whole and self.says("conv", "sync"):
                data = data.ljust(self.ibs, b"\0")
            if self.whole_blocks or self.ibs == self.obs:
                yield from self._write(target, data)
                continue
            self._held += data
            while len(self._held) >= self.obs:
                block, self._held = self._held[: self.obs], self._held[self.obs :]
                yield from self._write(target, block)
        if self._held:
            yield from self._write(target, self._held)
        rest = self._tail[self.copied :]
        if rest:
            yield from sys.write(target, rest)

    def _read(self, fd: int) -> Part[bytes]:
        data = yield from sys.read(fd, self.ibs)
        while self.says("iflag", "fullblock") and data and len(data) < self.ibs:
            more = yield from sys.read(fd, self.ibs - len(data))
            if not more:
                break
            data += more
        return data

    def _write(self, fd: int, block: bytes) -> Step:
        yield from sys.write(fd, block)
        self.copied += len(block)
        self.records_out[len(block) != self.obs] += 1

    def records(self) -> str:
        """The two lines that say how many."""
        (whole_in, part_in), (whole_out, part_out) = self.records_in, self.records_out
        return f"{whole_in}+{part_in} records in\n{whole_out}+{part_out} records out\n"


def _content(name: str) -> Part[bytes]:
    data = b""
    try:
        fd = yield from sys.open(name)
        while more := (yield from sys.read(fd, 1 << 20)):
            data += more
        yield from sys.close(fd)
    except FileNotFoundError:
        pass  # there is nothing to keep
    return data


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    return _check(argv, UNMODELLED)


def check_busybox(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    there = {
        key: tuple(w for w in words if w not in WORDS[key]) for key, words in BUSYBOX_WORDS.items()
    }
    return _check(argv, there)


def _check(argv: list[str], there: dict[str, tuple[str, ...]]) -> str | None:
    values = dict(word.partition("=")[::2] for word in argv[1:])
    for key, words in there.items():
        for word in values.get(key, "").split(","):
            if word in words:
                known = ", ".join(WORDS[key]) or "none"
                return f"dd: {key}={word} is not modelled; modelled are {known}"
    if "seek" in values and "of" not in values:
        return "dd: seek= without of= is not modelled"
    return None


def reads(argv: list[str]) -> list[str]:
    """The file that may be the user's."""
    return [word[3:] for word in argv[1:] if word.startswith("if=") and word[3:4] not in ("", "/")]


def dd(argv: list[str]) -> Program:
    """coreutils' ``main``."""
    return coreutils.program(argv, _main(argv))


def dd_busybox(argv: list[str]) -> Program:
    """``dd_main``."""
    return applet("dd", USAGE, _busybox_main(argv))


def _main(argv: list[str]) -> Program:
    values: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for word in argv[1:]:
        if word[:1] == "-" and len(word) > 1 and word != "--":
            raise GetoptError(f"invalid option -- '{word[1]}'")
        key, equals, value = word.partition("=")
        if not equals or (key not in ("if", "of") and key not in NUMBERS and key not in WORDS):
            if word != "--":
                raise coreutils.Usage(f"unrecognized operand '{word}'")
        elif key in NUMBERS:
            numbers[key] = _number(value, least=0 if key in ("count", "seek", "skip") else 1)
        else:
            for one in value.split(",") if key in WORDS else ():
                if one not in WORDS[key]:
                    raise coreutils.Usage(f"invalid {NAMES[key]}: '{one}'")
            values[key] = value
    return (yield from _coreutils_copy(argv[0], Copy(values, numbers)))


def _number(text: str, least: int) -> int:
    value = 1
    for factor in text.split("x"):
        size = coreutils.size(factor, "bcwkKMGTPEZY")
        if size is None:
            raise coreutils.Fatal(f"invalid number: '{text}'")
        value *= size
    if value < least:
        raise coreutils.Fatal(f"invalid number: '{text}'")
    return value


def _coreutils_copy(name: str, job: Copy) -> Program:
    source, target = STDIN, STDOUT
    label = job.input
    try:
        source = STDIN if label is None else (yield from sys.open(label))
        label = job.output
        target = yield from job.open_output()
    except OSError as error:
        raise coreutils.Fatal(f"failed to open '{label}': {error.strerror}") from None
    began = yield from sys.now()
    yield from sys.catch_sigint()
    status = 0
    try:
        if not (yield from _skip(job, source)):
            where = job.input or "standard input"
            yield from err(f"{name}: {where}: cannot skip to specified offset\n")
        yield from job.copy(source, target)
    except InterruptedError:
        status = -SIGNALS["SIGINT"]
    except OSError as error:
        status = 1
        what = (
            f"error reading '{job.input or 'standard input'}'"
            if error.errno == errno.EISDIR
            else f"error writing '{job.output or 'standard output'}'"
        )
        yield from err(f"{name}: {what}: {error.strerror}\n")
    elapsed = (yield from sys.now()) - began
    if not job.says("status", "none"):
        rate = "" if job.says("status", "noxfer") else transferred(job.copied, elapsed)
        yield from err(job.records() + rate)
    if status < 0:
        yield from sys.exit(status)
    return status


def _skip(job: Copy, fd: int) -> Part[bool]:
    """Pass over what ``skip`` counts; whether there was so much."""
    left = job.skip * job.ibs
    while left:
        data = yield from sys.read(fd, min(left, 1 << 20))
        if not data:
            return False
        left -= len(data)
    return True


def _busybox_main(argv: list[str]) -> Program:
    values: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for word in argv[1:]:
        key, equals, value = word.partition("=")
        if not equals or (key not in ("if", "of", *WORDS) and key not in NUMBERS) or key == "cbs":
            raise GetoptError("")
        if key in NUMBERS:
            low = 0 if key in ("count", "seek", "skip") else 1
            numbers[key] = suffixed(value, BUSYBOX_SUFFIXES, low)
            continue
        for one in value.split(",") if key in WORDS else ():
            if one not in BUSYBOX_WORDS[key]:
                raise Fatal(f"invalid argument '{one}' to '{key}'")
        values[key] = value
    job = Copy(values, numbers)
    label = job.input
    try:
        source = STDIN if label is None else (yield from sys.open(label))
        label = job.output
        target = yield from job.open_output()
    except OSError as error:
        raise Fatal(f"can't open '{label}': {error.strerror}") from None
    status = 0
    try:
        yield from _skip(job, source)
        yield from job.copy(source, target)
    except OSError as error:
        status = 1
        yield from err(f"dd: error writing '{job.output or 'standard output'}': {error.strerror}\n")
    if not job.says("status", "none"):
        yield from err(job.records())
    return status


_UNITS = "kMGTPEZY"


def transferred(count: int, elapsed_ns: int) -> str:
    """coreutils' last line: bytes, seconds, and bytes in a second."""
    si, iec = _human(count, 1000), _human(count, 1024)
    text = f"{count} byte{'' if count == 1 else 's'}"
    if si is not None:
        text += f" ({si}" + ("" if iec is None else f", {iec}") + ")"
    rate = _rate(Fraction(count * NS, elapsed_ns)) if elapsed_ns else "Infinity B"
    return f"{text} copied, {seconds(elapsed_ns)} s, {rate}/s\n"


def _human(count: int, base: int) -> str | None:
    """A count in its largest unit, a tenth shown below 10; None below one unit."""
    power = 0
    value = Fraction(count)
    while value >= base and power < len(_UNITS):
        value /= base
        power += 1
    if not power:
        return None
    tenths = nearest(value * 10)
    text = f"{tenths // 10}.{tenths % 10}" if tenths < 100 else str(nearest(value))
    unit = _UNITS[power - 1]
    return f"{text} {unit}B" if base == 1000 else f"{text} {unit.upper()}iB"


def _rate(value: Fraction) -> str:
    power = 1
    value /= 1000
    while value >= 1000 and power < len(_UNITS):
        value /= 1000
        power += 1
    tenths = nearest(value * 10)
    text = f"{tenths // 10}.{tenths % 10}"
    return f"{text if len(text) <= 4 else nearest(value)} {_UNITS[power - 1]}B"


def seconds(elapsed_ns: int) -> str:
    """``%g``."""
    return general(Fraction(elapsed_ns, NS), 6)
