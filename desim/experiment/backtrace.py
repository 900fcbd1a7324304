"""A breakpoint, and the stack that was found there, in gdb's form.

The stack is the running thread's own: its open stages at the moment of the hit,
innermost first. What an interrupt interrupted lies below the interrupt, because it
runs nested on the same stack.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from desim.data import NamedTuple
from desim.engine.thread import Thread
from desim.engine.watched import OpenStage, Watcher
from desim.errors import UserError
from desim.guest.skb import Skb
from desim.stages import known_stages
from desim.wire.describe import describe
from desim.wire.frame import Frame

VERSIONS = "names, files and call chains: QEMU 2.8 and its slirp (the study's), guest: Linux 6.1"


class StackFrame(NamedTuple):
    """One line of a backtrace."""

    function: str
    file: str


class CalledStage(NamedTuple):
    """A stage that was entered below the breakpoint: how deep, when, and what it printed."""

    depth: int
    function: str
    file: str
    at_ns: int
    says: str | None


class Backtrace(NamedTuple):
    """What the debugger shows at a breakpoint."""

    thread: str
    at_ns: int
    hit: int
    frames: list[StackFrame]
    packet: int | None
    packet_text: str | None
    calls: list[CalledStage] | None

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """In gdb's form."""
        top = self.frames[0]
        lines = [f'Thread "{self.thread}" hit Breakpoint 1, {top.function} at {top.file}']
        lines.append(f"{self.at_ns // 10**9}.{self.at_ns % 10**9:09d} s, hit {self.hit}")
        if self.packet_text is not None:
            packet = "packet" if self.packet is None else f"packet {self.packet}"
            lines.append(f"{packet}: {self.packet_text}")
        lines.append("(gdb) bt")
        for number, frame in enumerate(self.frames):
            where = "in " if number else ""
            lines.append(f"#{number:<3}{where}{frame.function} at {frame.file}")
        if self.calls is not None:
            lines.append(f"until {top.function} returned:")
            for call in self.calls:
                says = f"    {call.says}" if call.says else ""
                lines.append(f"{'  ' * call.depth}{call.function} at {call.file}{says}")
        lines.append(f"({VERSIONS})")
        return "\n".join(lines)

    def json(self) -> str:
        """The same as JSON."""
        document: dict[str, Any] = {
            "thread": self.thread,
            "at_ns": self.at_ns,
            "hit": self.hit,
            "packet": self.packet,
            "packet_text": self.packet_text,
            "names": VERSIONS,
            "frames": [frame._asdict() for frame in self.frames],
        }
        if self.calls is not None:
            document["calls"] = [call._asdict() for call in self.calls]
        return json.dumps(document, indent=2)


Function = tuple[str, str]
"""A function that is modelled: its name and its file."""


def find_functions(wanted: str) -> list[Function]:
    """The modelled functions that ``wanted`` means, in alphabetical order of names and files.

    ``wanted`` is a name, or ``FILE:NAME`` with the file's path or the end of it; a name may
    have the wildcards of a shell's file names. Raises ``UserError`` if there is none, or if a
    file is named that is several.
    """
    file, _, name = wanted.rpartition(":")
    known = sorted(known_stages())
    if set(name) & set("*?["):
        found = [one for one in known if fnmatchcase(one[0], name)]
    else:
        found = [one for one in known if one[0] == name]
    if not found:
        near = get_close_matches(name, sorted({one for one, _ in known}), n=3, cutoff=0.5)
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        raise UserError(f"{wanted or repr(wanted)}: no modelled function has this name{hint}")
    if not file:
        return found
    meant = [one for one in found if one[1] == file or one[1].endswith(f"/{file}")]
    if len({path for _, path in meant}) != 1:
        which = "is in more than one such file" if meant else "is not in this file"
        files = ", ".join(sorted({path for _, path in found}))
        raise UserError(f"{wanted}: {name} {which}; it is in {files}")
    return meant


class Hit(Exception):  # noqa: N818 - not an error: the run has got where it was to get
    """Ends the run at the breakpoint."""

    def __init__(self, backtrace: Backtrace) -> None:
        super().__init__()
        self.backtrace = backtrace


class Breakpoint(Watcher):
    """Watches the stages of a run and stops it at the wanted entry of one of ``functions``."""

    def __init__(
        self,
        functions: Iterable[Function],
        *,
        hit: int = 1,
        packet: int | None = None,
        after_ns: int | None = None,
        calls: bool = False,
    ) -> None:
        self.functions = frozenset(functions)
        self.wanted = hit
        self.packet = packet
        self.after_ns = after_ns or 0
        self.calls = calls
        self.hits = 0
        self._found: Backtrace | None = None
        self._thread: Thread | None = None
        self._depth = 0

    def entered(self, thread: Thread, stack: list[OpenStage]) -> None:
        if self._found is not None:
            if thread is self._thread and self._found.calls is not None:
                stage = stack[-1]
                self._found.calls.append(
                    CalledStage(
                        len(stack) - self._depth, stage.name, stage.file, thread.now, stage.says()
                    )
                )
            return
        stage = stack[-1]
        if (stage.name, stage.file) not in self.functions:
            return
        if thread.now < self.after_ns:
            return
        frame, raw = _packet_in(stack)
        if self.packet is not None and (frame is None or frame.number != self.packet):
            return
        self.hits += 1
        if self.hits < self.wanted:
            return
        self._found = Backtrace(
            thread.name,
            thread.now,
            self.hits,
            [StackFrame(open_.name, open_.file) for open_ in reversed(stack)],
            frame.number if frame is not None else None,
            describe(raw) if raw is not None else None,
            [] if self.calls else None,
        )
        self._thread = thread
        self._depth = len(stack)
        if not self.calls:
            raise Hit(self._found)

    def left(self, thread: Thread, stage: OpenStage, depth: int) -> None:
        if self._found is not None and thread is self._thread and depth < self._depth:
            raise Hit(self._found)

    def unfinished(self) -> Backtrace | None:
        """The stack that was found, if the run ended before the function returned."""
        return self._found


def _packet_in(stack: list[OpenStage]) -> tuple[Frame | None, bytes | None]:
    """The packet that the innermost stage with one was called with: a frame, and its bytes.

    A packet that the guest is about to send is no frame yet, and has no number.
    """
    for stage in reversed(stack):
        for argument in stage.args:
            # A list of packets is told by its first.
            one = argument[0] if isinstance(argument, list) and argument else argument
            if isinstance(one, Skb):
                if one.frame is not None:
                    return one.frame, one.frame.raw
                if any(one.head[12:14]):  # its Ethernet header is there
                    return None, bytes(one.head) + b"".join(one.frags)
            elif isinstance(one, Frame):
                return one, one.raw
    return None, None
