"""QEMU 7.2 with nothing in it but cards on a hub, the user's network, and a program (code.py).

There is no BIOS: the program's own few instructions are the ROM. The guest's memory is a file, so
that whatever the program needs lies there before it starts, and whatever it leaves is read there
when QEMU has ended. Frames are written down by QEMU's own ``filter-dump``.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from desim.against.qemu.code import (
    CODE,
    DATA,
    IDT,
    MEMORY_SIZE,
    RESUMED,
    Code,
    idt,
    rom,
)
from desim.data import NamedTuple
from desim.errors import UserError

PROGRAM = "qemu-system-x86_64"
VERSION = "7.2"
SLOTS = {"A": 3, "B": 4, "C": 5}
"""The cards' places on the PCI bus."""
END_S = 60
"""Seconds after which QEMU is taken to hang."""
PR_SET_PDEATHSIG = 1
"""Of prctl(2): a signal for when the parent is gone."""


class QemuError(Exception):
    """QEMU has not run the program to its end; says what it said."""


class Left(NamedTuple):
    """What a program has left."""

    memory: Callable[[int, int], bytes]
    """So many bytes at an address."""
    sent: Mapping[str, list[tuple[int, bytes]]]
    """By the place where it was seen: frames with their times in us."""


def check() -> None:
    """Raises ``UserError`` unless QEMU is here and is the version that is modelled."""
    if shutil.which(PROGRAM) is None:
        raise UserError(
            f"--against qemu: there is no {PROGRAM}; install QEMU {VERSION} "
            "(Debian 12: apt install qemu-system-x86)"
        )
    asked = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False)
    words = asked.stdout.split()
    found = words[3] if len(words) > 3 else "something that does not say its version"
    if not found.startswith(f"{VERSION}."):
        raise UserError(f"--against qemu: {PROGRAM} is {found}; QEMU {VERSION} is what is modelled")


def arguments(device: Mapping[str, Any], net: Mapping[str, Any], folder: Path) -> list[str]:
    """The command line for the machine of a recording."""
    words = [
        PROGRAM, "-machine", "pc,accel=tcg,memory-backend=ram", "-nodefaults", "-display", "none",
        "-object", f"memory-backend-file,id=ram,size={MEMORY_SIZE},mem-path={folder}/ram,share=on",
        "-m", f"{MEMORY_SIZE >> 20}M", "-bios", f"{folder}/rom", "-icount", "shift=0,sleep=off",
        "-rtc", "base=1970-01-01T00:00:00,clock=vm",
        "-device", "pvpanic", "-action", "panic=none", "-qmp", "stdio", "-no-user-config", "-S",
        "-cpu", "qemu64,-apic",
    ]  # fmt: skip
    hub = net["hub"]
    for name in net["ports"]:
        if name == "user":
            options = f",{net['user']}" if net["user"] else ""
            words += ["-netdev", f"user,id=user,ipv6=off{options}"]
            if hub:
                words += ["-netdev", "hubport,id=huser,hubid=0,netdev=user"]
            words += _dump("user", "user", "tx", folder)
        elif hub:
            words += ["-netdev", f"hubport,id=h{name},hubid=0"]
            words += _dump("A", "hA", "rx", folder) if name == "A" else []
    if not hub:
        words += _dump("A", "user", "rx", folder)
    for name in (name for name in net["ports"] if name != "user"):
        mac = device["mac"] if name == "A" else net["peers"][name]["mac"]
        more = f",{device['options']}" if name == "A" and device["options"] else ""
        peer = f"h{name}" if hub else "user"
        model = device["model"]
        place = f"netdev={peer},mac={mac},id=nic{name},addr={SLOTS[name]},romfile="
        words += ["-device", f"{model},{place}{more}"]
    return words


def _dump(name: str, netdev: str, queue: str, folder: Path) -> list[str]:
    options = f"id=dump{name}{queue},netdev={netdev},queue={queue},file={folder}/{name}.pcap"
    return ["-object", f"filter-dump,{options}"]


def set_link(up: bool) -> dict[str, Any]:
    """The monitor's command for the card's link."""
    return {"execute": "set_link", "arguments": {"name": "nicA", "up": up}}


def run(
    device: Mapping[str, Any],
    net: Mapping[str, Any],
    code: Code,
    memory: Mapping[int, bytes],
    pauses: Sequence[Sequence[Mapping[str, Any]]],
    take: Callable[[Left], None],
) -> None:
    """Run ``code`` to its end, and give ``take`` what it has left.

    ``pauses`` are the monitor's commands, for each time that the program has the machine
    stopped. Raises ``QemuError``.
    """
    with tempfile.TemporaryDirectory(prefix="desim-against-") as name:
        folder = Path(name)
        (folder / "rom").write_bytes(rom(code.start))
        with (folder / "ram").open("w+b") as file:
            file.truncate(MEMORY_SIZE)
            with mmap.mmap(file.fileno(), MEMORY_SIZE) as ram:
                before = {IDT: idt(code.handler), CODE: code.image(), DATA: bytes(code.data)}
                for at, data in [*before.items(), *memory.items()]:
                    ram[at : at + len(data)] = data
                first = [set_link(False)] if device["link_down_at_start"] else []

                def resumed(number: int) -> None:
                    ram[RESUMED] = number

                _to_its_end(arguments(device, net, folder), first, pauses, resumed)
                sent = {
                    path.stem: _pcap(path.read_bytes()) for path in sorted(folder.glob("*.pcap"))
                }
                take(Left(lambda at, size: ram[at : at + size], sent))


Commands = Sequence[Mapping[str, Any]]


def _to_its_end(
    words: Sequence[str],
    first: Commands,
    pauses: Sequence[Commands],
    resumed: Callable[[int], None],
) -> None:
    with tempfile.TemporaryFile() as said:
        qemu = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
            start_new_session=True,  # Ctrl-C is for whoever searches
            preexec_fn=_end_with_the_parent if sys.platform == "linux" else None,
        )  # fmt: skip
        watch = threading.Timer(END_S, qemu.kill)
        watch.start()
        try:
            assert qemu.stdin is not None
            assert qemu.stdout is not None
            Monitor(qemu.stdin, qemu.stdout, resumed).guide(first, pauses)
        except (OSError, ValueError) as error:
            said.seek(0)
            words_said = said.read().decode(errors="replace")[-500:]
            raise QemuError(f"QEMU is gone: {error}: {words_said}") from None
        finally:
            # It is not asked to end: memory and captures are in files already.
            watch.cancel()
            qemu.kill()
            qemu.communicate()


def _end_with_the_parent() -> None:
    """Called in the new process. A worker that is killed cannot kill its QEMU, which would go on
    for ever: time without ``sleep`` passes as fast as it can."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Monitor:
    """QEMU's monitor (QMP)."""

    def __init__(self, to: IO[bytes], answers: IO[bytes], resumed: Callable[[int], None]) -> None:
        self._to = to
        self._resumed = resumed
        self._answers = answers
        self._panics = 0

    def guide(self, first: Commands, pauses: Sequence[Commands]) -> None:
        """Do ``first``, let the machine go, do what is to be done at each pause, see its end.

        The machine runs when it asks for a pause: if its processor rested, QEMU would let time
        jump. ``resumed`` tells it which pause is over.
        """
        self._next()  # the greeting
        self._say({"execute": "qmp_capabilities"})
        for command in first:
            self._say(command)
        self._say({"execute": "cont"})
        for number, commands in enumerate(pauses, 1):
            self._panic()
            for command in ({"execute": "stop"}, *commands):
                self._say(command)
            self._resumed(number)
            self._say({"execute": "cont"})
        self._panic()

    def _panic(self) -> None:
        while not self._panics:
            if not self._next():
                raise OSError("it has ended before its program")
        self._panics -= 1

    def _next(self) -> dict[str, Any]:
        """A message; empty when QEMU has ended."""
        line = self._answers.readline()
        message: dict[str, Any] = json.loads(line) if line.strip() else {}
        self._panics += message.get("event") == "GUEST_PANICKED"
        return message

    def _say(self, command: Mapping[str, Any]) -> None:
        self._to.write(json.dumps(command).encode() + b"\n")
        self._to.flush()
        while answer := self._next():
            if "error" in answer:
                raise QemuError(f"QEMU's monitor: {answer['error'].get('desc')}")
            if "return" in answer:
                return


def _pcap(data: bytes) -> list[tuple[int, bytes]]:
    """Time in us and frame of each packet of a capture in this machine's byte order."""
    found = []
    at = 24
    while at + 16 <= len(data):
        seconds, micro, size, _ = (
            int.from_bytes(data[at + n : at + n + 4], "little") for n in (0, 4, 8, 12)
        )
        found.append((seconds * 1_000_000 + micro, data[at + 16 : at + 16 + size]))
        at += 16 + size
    return found
