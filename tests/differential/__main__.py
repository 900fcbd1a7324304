"""The differential test: our slirp against the real libslirp 4.7.0, conversation by conversation.

``nox -s differential`` runs it; ``nox -s differential -- --examples 2000 --seed 7`` more of it.

Each conversation that hypothesis makes up is held with the real library (player.py, in a
process of its own: worker.py). That gives a recording, which is replayed on our stack as
all recordings are. A difference is shrunk to the smallest conversation that still shows
it, and left in ``--save`` DIR, for ``desim conform slirp`` and for a test. What the kernel
did to one recording by chance is no difference: the library has to do it twice.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from differential.conversations import scripts
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisException

from desim.conform.slirp.recordings import Recording, frame_bytes
from desim.conform.slirp.replay import replay
from desim.errors import DifferenceError

SERVICES = {67: "DHCP", 69: "TFTP", 547: "DHCPv6", 53: "DNS"}
SAVE = Path("build/differential")
ATTEMPTS = 3
"""How often a conversation is held before its difference counts as the kernel's doing."""


class UnavailableError(Exception):
    """This machine cannot hold conversations with the library; says why."""


class Library:
    """The worker process."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parent.parent
        path = os.pathsep.join([str(root), *sys.path])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "differential.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        reason = self._read().get("unavailable", "the worker does not start")
        if reason is not None:
            self.close()
            raise UnavailableError(reason)

    def hold(self, script: dict[str, Any]) -> dict[str, Any]:
        """``recording`` and ``excluded``, or ``crash`` or ``error``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(script) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line.strip() else {}
        return answer


class Differences:
    """The test's body, and what it has counted."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.counts: Counter[str] = Counter()
        self.stimuli: Counter[str] = Counter()
        """What was done to both, by kind."""
        self.events: Counter[str] = Counter()
        """What came of it, by kind."""
        self.excluded: Counter[str] = Counter()
        self.crashes: list[dict[str, Any]] = []
        """What made the library crash and how; there is nothing then to compare with."""
        self.found: tuple[Recording, DifferenceError] | None = None

    def check(self, script: dict[str, Any]) -> None:
        """Raises ``DifferenceError`` if the library and our stack differ, and do so again."""
        self.counts["conversations"] += 1
        for attempt in range(1, ATTEMPTS + 1):
            answer = self.library.hold(script)
            if "recording" not in answer:
                self._no_recording(answer, script)
                return
            try:
                replay(answer["recording"])
            except DifferenceError as difference:
                self.found = (answer["recording"], difference)
                if attempt == ATTEMPTS:
                    raise
            else:
                self.found = None
                self._count(answer)
                return
            self.counts["held again"] += 1

    def _count(self, answer: dict[str, Any]) -> None:
        self.excluded.update(answer["excluded"])
        for step in answer["recording"]["steps"]:
            self.counts["stimuli"] += 1
            self.stimuli[stimulus(step["do"])] += 1
            self.events.update(event["ev"] for event in step["out"])

    def _no_recording(self, answer: dict[str, Any], script: dict[str, Any]) -> None:
        if "crash" not in answer:
            raise RuntimeError(f"the worker failed: {answer.get('error')} on {json.dumps(script)}")
        self.counts["crashes of the library"] += 1
        self.crashes.append({"crash": answer["crash"], "said": answer["said"], "script": script})


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


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


def run(examples: int, number: int, save: Path) -> int:
    """The exit status; says what was done."""
    try:
        library = Library()
    except UnavailableError as reason:
        print(f"differential: skipped: {reason}")
        return 0
    differences = Differences(library)

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(scripts)
    def conversation(script: dict[str, Any]) -> None:
        differences.check(script)

    start = time.monotonic()
    status = 0
    try:
        conversation()
    except (DifferenceError, HypothesisException):
        if differences.found is None:
            raise
        status = 1
    library.close()
    seconds = time.monotonic() - start
    print(f"differential: seed {number}: {listed(differences.counts)}; {seconds:.0f} s")
    print(f"differential: stimuli: {listed(differences.stimuli)}")
    print(f"differential: seen: {listed(differences.events)}")
    for name, count in sorted(differences.excluded.items()):
        print(f"differential: {count} times left out: {name}")
    if differences.crashes:
        save.mkdir(parents=True, exist_ok=True)
        path = save / f"crashes-{number}.json"
        path.write_text(json.dumps(differences.crashes, indent=1) + "\n")
        print(f"differential: what made the library crash is in {path}")
    if differences.found is not None:
        _show(*differences.found, save, number)
    else:
        print("differential: no difference")
    return status


def _show(recording: Recording, difference: DifferenceError, save: Path, number: int) -> None:
    print(f"differential: the library and desim differ: {difference}")
    save.mkdir(parents=True, exist_ok=True)
    path = save / f"difference-{number}.json"
    path.write_text(json.dumps(recording, indent=1) + "\n")
    print(f"differential: the conversation is {path}; show it: desim conform slirp {path}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="nox -s differential --",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--examples", type=int, default=200, help="conversations (200)")
    parser.add_argument("--seed", type=int, default=1, help="what they are made up from (1)")
    parser.add_argument(
        "--save",
        type=Path,
        default=SAVE,
        metavar="DIR",
        help=f"where a conversation that differs is left ({SAVE})",
    )
    options = parser.parse_args()
    if options.examples < 1:
        parser.error(f"--examples {options.examples}: expected 1 or more")
    return run(options.examples, options.seed, options.save)


if __name__ == "__main__":
    sys.exit(main())
