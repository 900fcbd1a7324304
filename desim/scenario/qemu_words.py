"""QEMU's command line, word by word: which options there are and how a value is cut.

An option's value is a list of ``key=value`` parts at commas; a comma inside a
value is written twice (util/qemu-option.c). The first part may leave out its
key (``-netdev user,...`` is ``type=user``), and a later part without ``=`` is a
switch: ``restrict`` is ``restrict=on``, ``norestrict`` is ``restrict=off``.

Options that do not concern the network are known by name only, so that a whole
line can be pasted; what they would do to a real machine has no effect here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from desim.errors import nearest


@dataclass(slots=True)
class Option:
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


def split_line(line: str) -> list[str]:
    """The words of a pasted line, as a POSIX shell splits it; ``ValueError`` if it cannot."""
    return shlex.split(line.replace("\\\n", " "))


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

WITH_VALUE = word_set(
    """-accel -acpitable -action -add-fd -append -audio -audiodev -balloon -bios -blockdev -boot -bt
    -cdrom -chroot -clock -compat -cpu -D -d -debugcon -dfilter -display -drive -dtb -echr
    -fda -fdb -fsdev -fw_cfg -g -gdb -hda -hdachs -hdb -hdc -hdd -incoming -initrd -iscsi
    -k -kernel -L -loadvm -M -m -machine -mem-path -mon -monitor -msg -mtdblock -name -numa
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
    "-smb": "the SMB server is not modelled",
}


_REFUSED_WITH_VALUE = word_set("-readconfig -writeconfig -set -smb")


def takes_value(word: str) -> bool:
    """Whether the word after the option ``word`` belongs to it."""
    return word in NETWORK or word in WITH_VALUE or word in _REFUSED_WITH_VALUE


def is_option(word: str) -> bool:
    """Whether QEMU has an option of this name."""
    return word in NETWORK or word in WITH_VALUE or word in WITHOUT_VALUE


def read_words(words: Sequence[str], mistakes: list[str]) -> tuple[list[Option], list[str]]:
    """The network's options among ``words``, and the words that have no effect here.

    The program's own name in front (``qemu-system-x86_64``) is skipped; a word
    without a dash is a disk image. Mistakes are appended to ``mistakes``.
    """
    options: list[Option] = []
    ignored: list[str] = []
    rest = list(words)
    if rest and PurePath(rest[0]).name.startswith(("qemu-system", "qemu-kvm")):
        del rest[0]
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
                options.append(Option(flag, value, cut_parts(value, NETWORK[flag])))
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
    return options, ignored


def _meant(word: str) -> str:
    """What somebody probably meant by a word that is no option."""
    known = [*NETWORK, *WITH_VALUE, *WITHOUT_VALUE]
    name, mark, value = re.split("([ =]|$)", word, maxsplit=1)
    if name in known and mark:
        return f"; an option and its value are two words: {name} {value}"
    return nearest(name, known)
