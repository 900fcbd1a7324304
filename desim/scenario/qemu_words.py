"""QEMU's command line, word by word: which options there are and how a value is cut.

An option's value is a list of ``key=value`` parts at commas; a comma inside a
value is written twice (util/qemu-option.c). The first part may leave out its
key (``-netdev user,...`` is ``type=user``), and a later part without ``=`` is a
switch: ``restrict`` is ``restrict=on``, ``norestrict`` is ``restrict=off``.
``-netdev``, ``-device`` and ``-object`` also take JSON, as libvirt writes it: a list is the
same key several times, an object inside has its keys behind a dot.

In front of the options may stand what people paste with them: ``sudo``, ``env``, ``exec``,
``NAME=VALUE``, and the program. A line may also be one quoted word.

Options that do not concern the network are known by name only, so that a whole
line can be pasted; what they would do to a real machine has no effect here.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Sequence
from os.path import basename
from typing import Any

from desim.data import Data, NamedTuple, field
from desim.errors import nearest


class Option(Data):
    """One option with its value cut into parts, in the order written."""

    flag: str
    value: str
    parts: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.flag} {self.value}" if self.value else self.flag

    def last(self, key: str) -> str | None:
        """The value of ``key``; the last one wins, as in QEMU."""
        found = self.every(key)
        return found[-1] if found else None

    def every(self, key: str) -> list[str]:
        """All values of a key that may be repeated."""
        return [value for name, value in self.parts if name == key]


class Chardevs(Data):
    """The ``-chardev`` options, and which devices are in use."""

    options: dict[str, Option] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    """Labels; a device inside a rule has one made of the rule's port."""

    @classmethod
    def read(cls, options: Sequence[Option], mistakes: list[str]) -> Chardevs:
        """All ``-chardev`` of a line."""
        found = cls()
        for option in options:
            name = option.last("id")
            if name is None:
                mistakes.append(f"{option}: chardev: no id specified")
            elif name in found.options:
                mistakes.append(f"{option}: Duplicate ID '{name}' for chardev")
            else:
                found.options[name] = option
        return found

    def unused(self) -> list[Option]:
        """What no rule names."""
        return [option for name, option in self.options.items() if name not in self.used]


class Program(NamedTuple):
    """What the line starts."""

    name: str = "qemu-system-x86_64"
    arch: str = "x86_64"


_PIECE = (
    r"(?s)(?P<blank>[ \t\r\n]+)"
    r"|(?P<plain>[^ \t\r\n'\"\\]+)"
    r"|'(?P<single>[^']*)'"
    r'|"(?P<double>(?:[^"\\]|\\.)*)"'
    r"|\\(?P<escaped>.)"
)
"""A part of a line that a POSIX shell takes as one: blanks, or a piece of a word."""
_QUOTES = frozenset("'\"\\")


class Line(NamedTuple):
    """A command line, read."""

    program: Program
    options: list[Option]
    """The network's, in the order written."""
    ignored: list[str]
    """The words that have no effect on the network."""


def split_line(line: str) -> list[str]:
    """The words of a pasted line, as a POSIX shell splits it; ``ValueError`` if it cannot.

    A JSON value that nobody has quoted is one word as it is: libvirt's logs have such.
    """
    line = line.replace("\\\n", " ")
    pieces, at = [], 0
    for found in re.finditer(r"(?<=\s)\{(?=\s*\")", line) if "{" in line else ():
        if found.start() < at:
            continue
        import json  # few lines have it

        try:
            _, length = json.JSONDecoder().raw_decode(line[found.start() :])
        except (ValueError, RecursionError):
            continue
        end = found.start() + length
        pieces += [line[at : found.start()], shlex.quote(line[found.start() : end])]
        at = end
    return shell_words("".join([*pieces, line[at:]]))


def shell_words(line: str) -> list[str]:
    """What ``shlex.split`` gives, in time that grows with the line and not with its square."""
    if line.isascii() and line.isprintable() and _QUOTES.isdisjoint(line):
        return line.split()
    words: list[str] = []
    pieces: list[str] | None = None
    piece = re.compile(_PIECE)
    at = 0
    while at < len(line):
        found = piece.match(line, at)
        if found is None:
            slashes = len(line) - len(line.rstrip("\\"))
            dangling = slashes % 2 == 1 and line[at] != "'"
            raise ValueError("No escaped character" if dangling else "No closing quotation")
        at = found.end()
        if found["blank"]:
            if pieces is not None:
                words.append("".join(pieces))
            pieces = None
            continue
        pieces = [] if pieces is None else pieces
        if found["double"] is not None:
            pieces.append(re.sub(r'\\(["\\])', r"\1", found["double"]))
        else:
            plain = found.group("plain", "single", "escaped")
            pieces.append(next(text for text in plain if text is not None))
    if pieces is not None:
        words.append("".join(pieces))
    return words


def json_parts(value: str) -> list[tuple[str, str]]:
    """A JSON object as (key, value) pairs; ``ValueError`` says what is wrong with it."""
    import json

    try:
        data = json.loads(value)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None
    except ValueError as error:
        if not re.match(r"\{\s*\"", value):
            raise ValueError(
                "this looks like JSON whose quotes a shell has taken away; "
                "put it between single quotes"
            ) from None
        raise ValueError(f"the JSON cannot be read: {error}") from None
    parts: list[tuple[str, str]] = []
    _flatten("", data, parts)
    return parts


def _flatten(key: str, value: Any, parts: list[tuple[str, str]]) -> None:
    if isinstance(value, dict):
        # QAPI's list of strings is a list of objects with one member each.
        inner = {"": value["str"]} if key and list(value) == ["str"] else value
        for name, member in inner.items():
            _flatten(f"{key}.{name}" if key and name else key or name, member, parts)
    elif isinstance(value, list):
        for member in value:
            _flatten(key, member, parts)
    elif isinstance(value, bool):
        parts.append((key, "on" if value else "off"))
    elif value is not None:
        parts.append((key, str(value)))


def cut_parts(value: str, implied: str) -> list[tuple[str, str]]:
    """``value`` as (key, value) pairs; a first part without a key is ``implied``'s value."""
    parts: list[tuple[str, str]] = []
    for number, part in enumerate(_at_single_commas(value)):
        key, equals, rest = part.partition("=")
        if equals:
            parts.append((key, rest))
        elif number == 0:
            parts.append((implied, part))
        elif part.startswith("no") and len(part) > 2:
            parts.append((part[2:], "off"))
        elif part:
            parts.append((part, "on"))
    return parts


def _at_single_commas(value: str) -> Iterator[str]:
    pieces = iter(value.split(","))
    part = next(pieces)
    for piece in pieces:
        if piece == "":  # ",," is a comma; at the very end it is a separator with nothing behind
            following = next(pieces, None)
            if following is None:
                break
            part += "," + following
        else:
            yield part
            part = piece
    yield part


def word_set(text: str) -> frozenset[str]:
    """The words of ``text``: a table that stays readable."""
    return frozenset(text.split())


NETWORK = {
    "-M": "type",
    "-machine": "type",
    "-accel": "accel",
    "-netdev": "type",
    "-net": "type",
    "-nic": "type",
    "-device": "driver",
    "-global": "driver",
    "-object": "qom-type",
    "-redir": "",
    "-tftp": "",
    "-bootp": "",
    "-chardev": "backend",
    "-icount": "shift",
}
"""The options that are read, with the key that their first part may leave out."""

JSON = ("-netdev", "-device", "-object")
"""The options that QEMU also takes as JSON."""

WITH_VALUE = word_set(
    """-acpitable -action -add-fd -append -audio -audiodev -balloon -bios -blockdev -boot -bt
    -cdrom -chroot -clock -compat -cpu -D -d -debugcon -dfilter -display -drive -dtb -echr
    -fda -fdb -fsdev -fw_cfg -g -gdb -hda -hdachs -hdb -hdc -hdd -incoming -initrd -iscsi
    -k -kernel -L -loadvm -m -mem-path -mon -monitor -msg -mtdblock -name -numa
    -option-rom -overcommit -parallel -pflash -pidfile -plugin -prom-env -qmp -qmp-pretty -realtime
    -rotate -rtc -run-with -runas -sandbox -sd -seed -semihosting-config -serial -smbios -smp
    -soundhw -spice -tb-size -tpmdev -trace -usbdevice -uuid -vga -virtfs -vnc -watchdog
    -watchdog-action"""
)
"""Options of the rest of the machine that take a value; without effect here."""

WITHOUT_VALUE = word_set(
    """-alt-grab -ctrl-grab -curses -daemonize -enable-fips -enable-kvm -enable-sync-profile
    -full-screen -localtime -mem-prealloc -no-acpi -no-fd-bootchk -no-frame -no-hpet -no-kvm
    -no-kvm-irqchip -no-kvm-pit -no-kvm-pit-reinjection -no-quit -no-reboot -no-shutdown
    -no-user-config -nodefaults -nodefconfig -nographic -old-param -only-migratable -portrait
    -preconfig -S -s -sdl -semihosting -show-cursor -singlestep -snapshot -usb
    -win2k-hack"""
)
"""Switches of the rest of the machine; only ``-nodefaults`` has an effect here."""

REFUSED = {
    "-help": "desim runs a network, not QEMU; see desim --help",
    "-h": "desim runs a network, not QEMU; see desim --help",
    "-version": "desim runs a network, not QEMU; see desim --version",
    "-readconfig": "option files are not read; write the network options themselves",
    "-writeconfig": "option files are not written",
    "-set": "properties are not set afterwards; write them in -device",
    "-smb": "the SMB server is not modelled; -tftp FOLDER, or httpd on the host, gives files",
}


_REFUSED_WITH_VALUE = word_set("-readconfig -writeconfig -set -smb")


def takes_value(word: str) -> bool:
    """Whether the word after the option ``word`` belongs to it."""
    return word in NETWORK or word in WITH_VALUE or word in _REFUSED_WITH_VALUE


def is_option(word: str) -> bool:
    """Whether QEMU has an option of this name."""
    return word in NETWORK or word in WITH_VALUE or word in WITHOUT_VALUE


def read_words(words: Sequence[str], mistakes: list[str]) -> Line:
    """A command line's program, the network's options, and the words without effect here.

    What is pasted in front of the options is skipped; a word without a dash is a disk
    image. Mistakes are appended to ``mistakes``.
    """
    options: list[Option] = []
    ignored: list[str] = []
    rest = list(words)
    if rest and not rest[0].startswith("-") and re.search(r"\s", rest[0]):
        with contextlib.suppress(ValueError):
            whole = split_line(rest[0])
            if _take_program(list(whole)) is not None:
                rest[:1] = whole
    program = _take_program(rest) or Program()
    images = 0
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            images += 1
            ignored.append(word)
            if images > 1:
                mistakes.append(f"{word}: only one disk image can be given without an option")
            continue
        flag = word[1:] if word.startswith("--") else word
        if flag in NETWORK or flag in WITH_VALUE:
            if not rest:
                mistakes.append(f"{word}: requires an argument")
                break
            value = rest.pop(0)
            if flag in NETWORK:
                _read_option(flag, value, options, mistakes)
            else:
                ignored.append(flag)
        elif flag in WITHOUT_VALUE:
            if flag == "-nodefaults":
                options.append(Option(flag, ""))
            else:
                ignored.append(flag)
        elif flag in REFUSED:
            mistakes.append(f"{word}: {REFUSED[flag]}")
            del rest[: takes_value(flag)]
        else:
            mistakes.append(f"{word}: invalid option{_meant(flag)}")
    return Line(program, options, ignored)


def _read_option(flag: str, value: str, options: list[Option], mistakes: list[str]) -> None:
    if flag not in JSON or not value.startswith("{"):
        options.append(Option(flag, value, cut_parts(value, NETWORK[flag])))
        return
    try:
        options.append(Option(flag, value, json_parts(value)))
    except ValueError as error:
        mistakes.append(f"{flag} {value}: {error}")


_LAUNCHERS = word_set("sudo doas env exec nohup time command")
_ASSIGNMENT = r"(?s)[A-Za-z_][A-Za-z0-9_]*=.*"
_PROGRAM = r"(?:qemu-system-([a-z0-9_]+)|qemu|kvm|qemu-kvm[a-z0-9_.-]*)(?:\.exe)?"


def names_program(word: str) -> bool:
    """Whether ``word`` is one of QEMU's programs, with or without its folder."""
    return _program(basename(word)) is not None


def _program(name: str) -> re.Match[str] | None:
    return re.fullmatch(_PROGRAM, name) if name.startswith(("qemu", "kvm")) else None


def _take_program(rest: list[str]) -> Program | None:
    """Take what stands in front of the options off ``rest``; None if no program is named."""
    for place, word in enumerate(rest):
        name = basename(word)
        found = _program(name)
        if found is not None:
            del rest[: place + 1]
            return Program(name, found[1] or Program().arch)
        # A launcher's own options (sudo -E) go with it.
        launched = place > 0 and word.startswith("-")
        assigns = "=" in word and re.fullmatch(_ASSIGNMENT, word) is not None
        if not (launched or name in _LAUNCHERS or assigns):
            break
    return None


def _meant(word: str) -> str:
    """What somebody probably meant by a word that is no option."""
    known = {name.removeprefix("-"): name for name in (*NETWORK, *WITH_VALUE, *WITHOUT_VALUE)}
    name, mark, value = re.split("([ =]|$)", word, maxsplit=1)
    bare = name.removeprefix("-")
    if bare in known and mark:
        return f"; an option and its value are two words: {name} {value}"
    # The dash is no part of the likeness: without it -foo is not near -boot.
    hint = nearest(bare, known)
    return hint.replace("'", "'-", 1) if hint else ""
