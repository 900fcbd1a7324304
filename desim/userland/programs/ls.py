"""``ls`` of coreutils 9.1 and of busybox 1.35: the files that programs of this side have written,
and those of the user's that the side's commands name.

In order of the bytes of their names, as in the C locale; in columns on a terminal, which is 80
wide. Files are of mode 644 and in blocks of 4 KiB, as on tmpfs; those of the guest are root's,
those of the host are a user's. Times are UTC, on the wall clock that httpd has.

Modelled are -1 -a -A -d -F -l -p -r -S -t.
"""

from __future__ import annotations

import errno

from desim.data import NamedTuple
from desim.userland.calls import sys
from desim.userland.errors import failure
from desim.userland.program import Part, Program
from desim.userland.programs import coreutils
from desim.userland.programs.busybox import BANNER, applet
from desim.userland.programs.getopt import GetoptError, getopt, unmodelled
from desim.userland.programs.httpd import http_date
from desim.userland.programs.output import STDOUT, TERMINAL_COLUMNS, err, put
from desim.userland.uapi import FileStatus

SPEC = "aAbBcCdDfFgGhHiI:klLmnNopqQrRsStT:uUvw:xXZ1"
BUSYBOX_SPEC = "1AaCxdLHRFplinshrSXvctuw:"
MODELLED = "1aAdFlprSt"
LONG = {"all": "a", "almost-all": "A", "directory": "d", "classify": "F", "reverse": "r"}
WIDTH = TERMINAL_COLUMNS
TAB = 8
BLOCK = 4096
FOLDER_SIZE = 4096
USAGE = (
    BANNER
    + """
Usage: ls [-1AaCxdLHRFplinshrSXvctu] [-w WIDTH] [FILE]...

List directory contents

\t-1\tOne column output
\t-a\tInclude names starting with .
\t-A\tLike -a, but exclude . and ..
\t-x\tList by lines
\t-d\tList directory names, not contents
\t-L\tFollow symlinks
\t-H\tFollow symlinks on command line
\t-R\tRecurse
\t-p\tAppend / to directory names
\t-F\tAppend indicator (one of */=@|) to names
\t-l\tLong format
\t-i\tList inode numbers
\t-n\tList numeric UIDs and GIDs instead of names
\t-s\tList allocated blocks
\t-lc\tList ctime
\t-lu\tList atime
\t--full-time\tList full date/time
\t-h\tHuman readable sizes (1K 243M 2G)
\t--group-directories-first
\t-S\tSort by size
\t-X\tSort by extension
\t-v\tSort by version
\t-t\tSort by mtime
\t-tc\tSort by ctime
\t-tu\tSort by atime
\t-r\tReverse sort order
\t-w N\tFormat N columns wide
\t--color[={always,never,auto}]
"""
)


class Entry(NamedTuple):
    """A name with what ``stat`` says of it."""

    name: str
    status: FileStatus
    below: int = 0
    """How many folders are in it, if it is one."""

    @property
    def blocks(self) -> int:
        """In units of 1024 bytes."""
        return 4 if self.status.folder else -(-self.status.size // BLOCK) * 4


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    return coreutils.refused(argv, SPEC, MODELLED, LONG) or _outside(argv)


def check_busybox(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    for word in argv[1:]:
        if word.startswith("--") and word != "--":
            return f"ls: option {word} is not modelled"
    return unmodelled(argv, BUSYBOX_SPEC, MODELLED) or _outside(argv)


def _outside(argv: list[str]) -> str | None:
    for word in argv[1:]:
        if word.startswith("/") or ".." in word.split("/"):
            return f"ls: {word} is not modelled; there are the files of the run's own folder"
    return None


def ls(argv: list[str]) -> Program:
    """coreutils' ``main``."""
    return coreutils.program(argv, _main(argv))


def ls_busybox(argv: list[str]) -> Program:
    """``ls_main``."""
    return applet("ls", USAGE, _busybox_main(argv))


def _main(argv: list[str]) -> Program:
    try:
        options, names = coreutils.options(argv, SPEC, LONG)
    except GetoptError as error:
        text = f"{argv[0]}: {error}\nTry '{argv[0]} --help' for more information.\n"
        yield from err(text)
        return 2
    listing = Listing(options, busybox=False)
    failed = yield from listing.run(names)
    for name, text in failed:
        yield from err(f"{argv[0]}: cannot access '{name}': {text}\n")
    yield from put(listing.shown)
    return 2 if failed else 0


def _busybox_main(argv: list[str]) -> Program:
    options, names = getopt(argv, BUSYBOX_SPEC)
    listing = Listing(options, busybox=True)
    failed = yield from listing.run(names)
    for name, text in failed:
        yield from err(f"ls: {name}: {text}\n")
    yield from put(listing.shown)
    return 1 if failed else 0


class Listing:
    """One run: the options, and the text that comes out."""

    def __init__(self, options: list[tuple[str, str]], *, busybox: bool) -> None:
        self.flags = {letter for letter, _ in options}
        self.busybox = busybox
        self.shown = ""
        self._columns = False

    def run(self, names: list[str]) -> Part[list[tuple[str, str]]]:
        """List ``names``; those that could not be, with the reason."""
        self._columns = (yield from sys.isatty(STDOUT)) and not self.flags & {"1", "l"}
        failed = []
        files: list[Entry] = []
        folders: list[str] = []
        for name in names or ["."]:
            try:
                entry = yield from self._entry(name, name)
            except OSError as error:
                failed.append((name, error.strerror or ""))
                continue
            if entry.status.folder and "d" not in self.flags:
                folders.append(name)
            else:
                files.append(entry)
        if files:
            self._show(self._sorted(files))
        for folder in sorted(folders, reverse="r" in self.flags):
            entries = yield from self._inside(folder)
            if len(names) > 1:
                self.shown += f"{chr(10) if self.shown else ''}{folder}:\n"
            if "l" in self.flags:
                self.shown += f"total {sum(entry.blocks for entry in entries)}\n"
            self._show(self._sorted(entries))
        return failed

    def _entry(self, path: str, name: str) -> Part[Entry]:
        status = yield from sys.stat(path)
        if path.endswith("/") and not status.folder:
            raise failure(errno.ENOTDIR)
        below = 0
        if status.folder and "l" in self.flags:
            for inner in (yield from sys.listdir(path)):
                below += (yield from sys.stat(f"{path}/{inner}")).folder
        return Entry(name, status, below)

    def _inside(self, folder: str) -> Part[list[Entry]]:
        names = yield from sys.listdir(folder)
        if not self.flags & {"a", "A"}:
            names = [name for name in names if name[0] != "."]
        entries = []
        if "a" in self.flags:
            entries = [Entry(dots, FileStatus(0, 0, True), 1) for dots in (".", "..")]
        for name in names:
            entry = yield from self._entry(f"{folder}/{name}", name)
            entries.append(entry)
        return entries

    def _sorted(self, entries: list[Entry]) -> list[Entry]:
        entries = sorted(entries, key=lambda entry: entry.name.encode())
        if "S" in self.flags:
            entries.sort(key=lambda entry: -_size(entry))
        if "t" in self.flags:
            entries.sort(key=lambda entry: -entry.status.modified_ns)
        return entries[::-1] if "r" in self.flags else entries

    def _show(self, entries: list[Entry]) -> None:
        if "l" in self.flags:
            self.shown += self._long(entries)
        elif not self._columns:
            self.shown += "".join(f"{self._label(entry)}\n" for entry in entries)
        elif entries:
            labels = [self._label(entry) for entry in entries]
            self.shown += (fixed_columns if self.busybox else columns)(labels)

    def _label(self, entry: Entry) -> str:
        mark = "/" if entry.status.folder and self.flags & {"F", "p"} else ""
        return entry.name + mark

    def _long(self, entries: list[Entry]) -> str:
        sizes = [str(_size(entry)) for entry in entries]
        links = [str(2 + entry.below if entry.status.folder else 1) for entry in entries]
        size_width = max(map(len, sizes), default=0)
        link_width = max(map(len, links), default=0)
        text = ""
        for entry, size, link in zip(entries, sizes, links, strict=True):
            mode = "drwxr-xr-x" if entry.status.folder else "-rw-r--r--"
            when = _date(entry.status.modified_ns)
            label = self._label(entry)
            if self.busybox:
                text += f"{mode} {link:>4} root     root     {size:>9} {when} {label}\n"
            else:
                text += (
                    f"{mode} {link:>{link_width}} user user {size:>{size_width}} {when} {label}\n"
                )
        return text


def _size(entry: Entry) -> int:
    return FOLDER_SIZE if entry.status.folder else entry.status.size


def _date(time_ns: int) -> str:
    """``Nov 16 00:00``."""
    _, day, month, _, clock, _ = http_date(time_ns).split()
    return f"{month} {int(day):2d} {clock[:5]}"


def fixed_columns(labels: list[str]) -> str:
    """busybox's: all as wide as the longest name, and two."""
    width = max(map(len, labels)) + 2
    count = max(1, WIDTH // width)
    rows = -(-len(labels) // count)
    text = ""
    for row in range(rows):
        line = labels[row::rows]
        text += "".join(f"{label:<{width}}" for label in line[:-1]) + f"{line[-1]}\n"
    return text


def columns(labels: list[str]) -> str:
    """coreutils': as many as fit, each as wide as its longest name and two, with tabs."""
    for count in range(min(len(labels), WIDTH // 3), 0, -1):
        rows = -(-len(labels) // count)
        widths = [max(map(len, labels[at : at + rows])) + 2 for at in range(0, len(labels), rows)]
        widths[-1] -= 2
        if sum(widths) < WIDTH and len(widths) == count:
            break
    text = ""
    for row in range(rows):
        at = 0
        start = 0
        line = labels[row::rows]
        for number, label in enumerate(line):
            text += label
            at = start + len(label)
            start += widths[number]
            if number < len(line) - 1:
                text += _indent(at, start)
        text += "\n"
    return text


def _indent(at: int, to: int) -> str:
    """From one column to another, with tabs where a tab saves a blank."""
    text = ""
    while at < to:
        if to // TAB > (at + 1) // TAB:
            text += "\t"
            at += TAB - at % TAB
        else:
            text += " "
            at += 1
    return text
