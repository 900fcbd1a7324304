"""A breakpoint, and the stack that was found there, in gdb's form.

The stack is the running thread's own: its open stages at the moment of the hit,
innermost first. What an interrupt interrupted lies below the interrupt, because it
runs nested on the same stack.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Any

from desim.data import NamedTuple
from desim.engine.instrument import OpenStage, Watcher
from desim.engine.thread import Thread
from desim.errors import UserError
from desim.stages import files_of, known_stages
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
            lines.append(f"packet {self.packet}: {self.packet_text}")
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


def find_function(wanted: str) -> str:
    """``wanted`` as a breakpoint understands it: a name, or a whole ``FILE:NAME``.

    A bare name that several files have stops in any of them. Raises ``UserError`` for a
    function that is not modelled, or not in that file.
    """
    file, _, name = wanted.rpartition(":")
    files = files_of(name)
    if not files:
        known_names = sorted({known for known, _ in known_stages()})
        near = get_close_matches(name, known_names, n=3, cutoff=0.5)
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        raise UserError(f"{wanted or repr(wanted)}: no modelled function has this name{hint}")
    if not file:
        return name
    meant = [known for known in files if known == file or known.endswith(f"/{file}")]
    if len(meant) != 1:
        which = "is in more than one such file" if meant else "is not in this file"
        raise UserError(f"{wanted}: {name} {which}; it is in {', '.join(files)}")
    return f"{meant[0]}:{name}"


class Hit(Exception):  # noqa: N818 - not an error: the run has got where it was to get
    """Ends the run at the breakpoint."""

    def __init__(self, backtrace: Backtrace) -> None:
        super().__init__()
        self.backtrace = backtrace


class Breakpoint(Watcher):
    """Watches the stages of a run and stops it at the wanted entry of ``function``.

    ``function`` is a name, or ``FILE:NAME`` where several files have one.
    """

    def __init__(
        self,
        function: str,
        *,
        hit: int = 1,
        packet: int | None = None,
        after_ns: int | None = None,
        calls: bool = False,
    ) -> None:
        file, _, name = function.rpartition(":")
        self.name = name
        self.file = file
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
        if stage.name != self.name or (self.file and stage.file != self.file):
            return
        if thread.now < self.after_ns:
            return
        frame = _frame_in(stack)
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
            describe(frame.raw) if frame is not None else None,
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


def _frame_in(stack: list[OpenStage]) -> Frame | None:
    """The frame that the innermost stage with one was called with."""
    for stage in reversed(stack):
        for argument in stage.args:
            if isinstance(argument, Frame):
                return argument
    return None
