"""The real libslirp 4.7.0: conversations of a guest and the host's programs with it.

Each conversation is held with the real library (player.py, in a process of its own: worker.py).
That gives a recording, which is replayed on our stack as all recordings are. What the kernel did
to one recording by chance is no difference: the library has to do it each time.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from desim.against.libslirp.conversations import CHANGES, scripts
from desim.against.libslirp.library import VERSION
from desim.against.libslirp.player import Player
from desim.against.marks import marks
from desim.against.original import MOVES, Held, Input, Judged
from desim.conform.slirp.recordings import frame_bytes
from desim.conform.slirp.replay import Replay
from desim.engine.draw import Draw
from desim.errors import DifferenceError, UserError

SERVICES = {67: "DHCP", 69: "TFTP", 547: "DHCPv6", 53: "DNS"}
ROOMS = ("desim.slirp",)
NEVER = ("fork_exec", "net_slirp_receive", "slirp_output")
"""Functions between slirp and QEMU, and one that starts a program: nobody converses with those."""
ATTEMPTS = 3
"""How often a conversation is held before its difference counts as the kernel's doing."""


class Libslirp:
    """``--against libslirp``."""

    name = "libslirp"
    version = f"libslirp {VERSION}"
    things = "conversations"
    core = "slirp"
    by_chance = ATTEMPTS

    def open(self) -> Library:
        """The library in a process of its own."""
        return Library()

    def draw(self, number: int) -> Input:
        """Conversation ``number``."""
        return scripts.draw(Draw(number, f"fuzz {self.name}"))

    def changed(self, given: Input, draw: Draw) -> Input:
        """``given`` with another setting."""
        key, value = draw.pick(CHANGES)
        return {**given, "config": {**given["config"], key: value}}

    def is_input(self, given: Mapping[str, Any]) -> bool:
        """Whether settings are known, and every move is one, with as many arguments as it takes."""
        if set(given) != {"config", "guest", MOVES} or set(given["guest"]) != HABITS:
            return False
        known = all(setting in CHANGES for setting in given["config"].items())
        return known and all(_is_move(move) for move in given[MOVES])

    def judge(self, recording: dict[str, Any], *, watch: bool = True) -> Judged:
        """Replay it on our stack."""
        try:
            if not watch:
                Replay(recording).run()
                return Judged("", "", frozenset())
            with marks(ROOMS, NEVER).watched() as hit:
                made = Replay(recording)
                try:
                    made.run()
                finally:
                    found = hit(made.ledger)
            return Judged("", "", found)
        except DifferenceError as difference:
            first, _, rest = str(difference).partition("\n")
            return Judged(first, rest, frozenset())

    def known_marks(self) -> list[str]:
        """The functions of slirp, and its reasons to lose a frame."""
        return marks(ROOMS, NEVER).known


HABITS = {"resolves", "opens", "acks"}


def _is_move(move: object) -> bool:
    if not isinstance(move, list) or not move or not isinstance(move[0], str):
        return False
    method = getattr(Player, f"_do_{move[0]}", None)
    return method is not None and len(inspect.signature(method).parameters) == len(move)


class Library:
    """The worker process. Raises ``UserError`` if this machine cannot do it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "desim.against.libslirp.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for whoever searches
        )
        reason = self._read().get("unavailable", "the worker does not start")
        if reason is not None:
            self.close()
            raise UserError(f"--against libslirp: {reason}")

    def hold(self, given: Input) -> Held:
        """Hold one conversation."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(given) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        if "recording" in answer:
            return Held(answer["recording"], counts=_counted(answer))
        if "crash" in answer:
            crash = f"{answer['crash']} {answer['said']}".strip()
            return Held(crash=crash, counts={"crashes of the library": 1})
        return Held(error=str(answer.get("error", "the worker has died")))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line.strip() else {}
        return answer


def _counted(answer: Mapping[str, Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for step in answer["recording"]["steps"]:
        counts[f"sent: {stimulus(step['do'])}"] += 1
        counts.update(f"seen: {event['ev']}" for event in step["out"])
    counts.update({f"left out: {name}": count for name, count in answer["excluded"].items()})
    return counts


def stimulus(do: dict[str, Any]) -> str:
    """The kind of a step: its operation, or the protocol of the guest's frame."""
    if do["op"] != "guest_frame":
        return str(do["op"])
    raw = frame_bytes(do)
    if raw[12:14] == b"\x08\0" and len(raw) >= 34:
        fragment = raw[20] & 0x3F or raw[21]
        protocol = {1: "ICMP", 6: "TCP", 17: "UDP"}.get(raw[23], "other IP")
        ports = raw[14 + (raw[14] & 15) * 4 :][:4]
        if protocol == "UDP":
            protocol = SERVICES.get(int.from_bytes(ports[2:4], "big"), protocol)
        return "fragment" if fragment else protocol
    if raw[12:14] == b"\x86\xdd" and len(raw) >= 54:
        protocol = {6: "TCP6", 17: "UDP6", 58: "ICMP6"}.get(raw[20], "other IP6")
        if protocol == "UDP6":
            protocol = SERVICES.get(int.from_bytes(raw[56:58], "big"), protocol)
        return protocol
    return "ARP" if raw[12:14] == b"\x08\6" else "other frame"
