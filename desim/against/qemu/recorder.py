"""Runs a program on QEMU's card and writes it down as a recording (``e1000-vector/1``).

A program has the ``device`` and ``net`` of a recording, and moves:

=================================== ================================================================
``["wait", ns]``                    about so much time passes
``["r", reg, size]``                read ``size`` bytes of the card's register window
``["w", reg, value, size]``         write them
``["mem", address, hex]``           put bytes into memory
``["dump", address, size]``         look at memory
``["inject", peer, [hex...]]``      a peer sends these frames, all at one instant
``["line"]``                        look at the card's interrupt line (PCI status)
``["cfgr", offset]``                read configuration space
``["cfgw", offset, value]``         write it
``["link", up]``                    the machine is stopped, the card's link set, and it goes on
=================================== ================================================================

Every interrupt and every frame that leaves is in the recording, whatever the moves are. Behind the
last move stand the interrupt line, and what the peers have received.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from desim.against.original import MOVES, Held, Input
from desim.against.qemu.code import (
    HANDLER,
    IRQ_ENTRY,
    IRQ_LOG,
    PUSHES,
    ROUND,
    Code,
    Noted,
)
from desim.against.qemu.machine import SLOTS, Left, QemuError, run, set_link
from desim.conform.e1000.recordings import FORMAT
from desim.conform.e1000.replay import (
    COMMAND,
    COMMAND_BY_FIRMWARE,
    COMMAND_MASTER,
    INTERRUPT_LINE,
    INTERRUPT_LINE_BY_FIRMWARE,
    PEER_BUFFER_SIZE,
    PEER_DESCRIPTORS,
    PEER_RCTL,
    PEER_SETUP_NS,
)
from desim.e1000.receive import DESCRIPTOR, EOP
from desim.e1000.registers import (
    RCTL,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    TCTL,
    TDBAL,
    TDLEN,
    TDT,
)

WINDOWS = {"A": 0xF000_0000, "B": 0xF002_0000, "C": 0xF004_0000}
"""Where the cards' registers are."""
PIIX3, PIRQ_ROUTES = 1, 0x60
BAR0 = 0x10
PEERS = {"B": 0x0200_0000, "C": 0x0220_0000}
"""Where a peer's memory begins: ring, buffers, ring of what it sends."""
BUFFERS, SENDING, FRAMES = 0x1_0000, 0x11_0000, 0x12_0000
SENDING_MAX, FRAMES_SIZE = 2048, 0xE_0000
TCTL_EN = 2
TX_END = 0x0100_0000
"""A legacy transmit descriptor's EOP."""
READY_NS = 2_000_000
"""When a program begins, if no peer receives."""
HOLD_OFF_NS = 1_002_000_000
"""When one begins if a peer does: RCTL was written in the second millisecond."""
ENTRY = 1
"""Between the instant at which the line rises and the handler's first instruction, in ns."""


class InexactError(Exception):
    """An interrupt came in the middle of something that takes many instructions."""


class Recorder:
    """One program on its way to being a recording."""

    def __init__(self, program: Input) -> None:
        self.program = program
        self.code = Code()
        self.memory: dict[int, bytes] = {}
        self.ops: list[tuple[dict[str, Any], Noted]] = []
        self.pauses: list[list[dict[str, Any]]] = []
        self.recording: dict[str, Any] = {}
        self._sent = dict.fromkeys(PEERS, 0)
        self._used = dict.fromkeys(PEERS, 0)
        self._power_on()
        for move, *values in program[MOVES]:
            MAKE[move](self, *values)
        self._line()  # so that there is an operation behind whatever the last wait brings
        self.code.end()

    def run(self) -> dict[str, Any]:
        """The recording. Raises ``QemuError``, ``InexactError``."""
        device, net = self.program["device"], self.program["net"]
        run(device, net, self.code, self.memory, self.pauses, self._take)
        return self.recording

    # -- before the program

    def _power_on(self) -> None:
        """What the firmware would leave, and the peers set up as the format page says."""
        code = self.code
        code.config_write(_config(PIIX3, PIRQ_ROUTES), 0x0B0B_0B0B)
        net = self.program["net"]
        for name in (name for name in net["ports"] if name != "user"):
            master = name != "A" or self.program["device"]["pci_bus_master"]
            command = COMMAND_BY_FIRMWARE | (COMMAND_MASTER if master else 0)
            code.config_write(_config(SLOTS[name], BAR0), WINDOWS[name])
            code.config_write(_config(SLOTS[name], COMMAND), command)
            code.config_write(_config(SLOTS[name], INTERRUPT_LINE), INTERRUPT_LINE_BY_FIRMWARE)
        code.wait(PEER_SETUP_NS)
        for name, peer in net["peers"].items():
            self._peer(name, receives=peer["rx"])
        receives = any(peer["rx"] for peer in net["peers"].values())
        code.wait((HOLD_OFF_NS if receives else READY_NS) - PEER_SETUP_NS)

    def _peer(self, name: str, *, receives: bool) -> None:
        base, window = PEERS[name], WINDOWS[name]
        for register, value in (
            (TDBAL, base + SENDING), (TDLEN, 16 * SENDING_MAX), (TCTL, TCTL_EN),
        ):  # fmt: skip
            self.code.write(window + 4 * register, value)
        if not receives:
            return
        ring = b"".join(
            (base + BUFFERS + n * PEER_BUFFER_SIZE).to_bytes(16, "little")
            for n in range(PEER_DESCRIPTORS)
        )
        self.memory[base] = ring
        for register, value in (
            (RDBAL, base), (RDLEN, 16 * PEER_DESCRIPTORS), (RDH, 0),
            (RDT, PEER_DESCRIPTORS - 1), (RCTL, PEER_RCTL),
        ):  # fmt: skip
            self.code.write(window + 4 * register, value)

    # -- moves

    def _wait(self, duration_ns: int) -> None:
        self.code.wait(duration_ns)

    def _read(self, register: int, size: int) -> None:
        noted = self.code.read(WINDOWS["A"] + register, size)
        self.ops.append(({"op": _sized("r", size), "reg": register}, noted))

    def _write(self, register: int, value: int, size: int) -> None:
        noted = self.code.write(WINDOWS["A"] + register, value, size)
        self.ops.append(({"op": _sized("w", size), "reg": register, "val": value}, noted))

    def _mem(self, address: int, data: str) -> None:
        noted = self.code.fill(address, bytes.fromhex(data))
        self.ops.append(({"op": "mem", "addr": address, "data": data}, noted))

    def _dump(self, address: int, size: int) -> None:
        self.ops.append(({"op": "dump", "addr": address}, self.code.dump(address, size)))

    def _inject(self, peer: str, frames: list[str]) -> None:
        base = PEERS[peer]
        for frame in frames:
            raw = bytes.fromhex(frame)
            at = base + FRAMES + self._used[peer]
            self._used[peer] += len(raw)
            descriptor = struct.pack("<QII", at, len(raw) | TX_END, 0)
            self.memory[at] = raw
            self.memory[base + SENDING + 16 * self._sent[peer]] = descriptor
            self._sent[peer] += 1
        noted = self.code.write(WINDOWS[peer] + 4 * TDT, self._sent[peer])
        self.ops.append(({"op": "inject", "dev": peer, "frames": frames}, noted))

    def _line(self) -> None:
        self.ops.append(({"op": "line"}, self.code.config_read(_config(SLOTS["A"], COMMAND))))

    def _cfgr(self, offset: int) -> None:
        noted = self.code.config_read(_config(SLOTS["A"], offset))
        self.ops.append(({"op": "cfgr", "off": offset}, noted))

    def _cfgw(self, offset: int, value: int) -> None:
        noted = self.code.config_write(_config(SLOTS["A"], offset), value)
        self.ops.append(({"op": "cfgw", "off": offset, "val": value}, noted))

    def _link(self, up: bool) -> None:
        command = set_link(up)
        self.pauses.append([command])
        noted = self.code.pause(len(self.pauses))
        self.ops.append(({"op": "pause", "monitor": [command]}, noted))

    # -- what has come of it

    def _take(self, left: Left) -> None:
        entries = list(_interrupts(left))
        begins = sorted(noted.begin for _, noted in self.ops)
        hits = Counter(place for _, place in entries)
        ops = [
            _pause(op, noted, left, entries)
            if op["op"] == "pause"
            else self._op(op, noted, left, hits)
            for op, noted in self.ops
        ]
        start = ops[0]["t"] if ops else READY_NS
        last = ops[-1]["t"] if ops else READY_NS
        for name, peer in self.program["net"]["peers"].items():
            if peer["rx"]:
                frames = list(_received(left, name))
                ops.append({"t": last, "op": "peerdump", "dev": name, "frames": frames})
        assert begins == [noted.begin for _, noted in self.ops], "code is in the order of moves"
        self.recording = {
            "format": FORMAT,
            "name": "program",
            "family": "qemu",
            "description": "Found by desim fuzz --against qemu.",
            "device": self.program["device"],
            "net": self.program["net"],
            "t_start": start,
            "quantum_ns": 1,
            "ops": ops,
            "irqs": [{"t": time} for time, _ in entries],
            "tx": _frames(left, "A"),
        }
        if "user" in self.program["net"]["ports"]:
            self.recording["user_tx"] = _frames(left, "user")

    def _op(
        self, op: dict[str, Any], noted: Noted, left: Left, hits: Mapping[int, int]
    ) -> dict[str, Any]:
        places = [place for place in hits if noted.begin <= place < noted.end]
        if not noted.steps and places:
            raise InexactError(f"an interrupt in the middle of {op['op']}")
        before = sum(hits[place] for place in places if place <= noted.access)
        (stamp,) = struct.unpack("<Q", left.memory(noted.at, 8))
        made = {"t": stamp + noted.steps + HANDLER * before, **op}
        data = left.memory(noted.at + 8, noted.size)
        if op["op"] == "dump":
            made["data"] = data.hex()
        elif op["op"] == "line":
            made["val"] = int.from_bytes(data, "little") >> 19 & 1
        elif noted.size:
            made["val"] = int.from_bytes(data, "little")
        return made


MAKE: Mapping[str, Callable[..., None]] = {
    "wait": Recorder._wait,
    "r": Recorder._read,
    "w": Recorder._write,
    "mem": Recorder._mem,
    "dump": Recorder._dump,
    "inject": Recorder._inject,
    "line": Recorder._line,
    "cfgr": Recorder._cfgr,
    "cfgw": Recorder._cfgw,
    "link": Recorder._link,
}
"""What makes code of each move."""


def _pause(
    op: dict[str, Any], noted: Noted, left: Left, entries: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """When the machine was stopped: at the interrupt of the link, or else in the last round."""
    (stamp,) = struct.unpack("<Q", left.memory(noted.at, 8))
    risen = [
        time
        for time, place in entries
        if noted.begin <= place < noted.end and time >= stamp - HANDLER - ROUND
    ]
    return {"t": risen[-1] if risen else stamp, **op}


def hold(program: Input) -> Held:
    """Run ``program`` on QEMU."""
    try:
        recording = Recorder(program).run()
    except InexactError as error:
        return Held(counts={f"left out: {error}": 1})
    except QemuError as error:
        return Held(error=str(error))
    counts = Counter(f"done: {op['op']}" for op in recording["ops"])
    counts["seen: interrupt"] = len(recording["irqs"])
    counts["seen: frame of the card"] = len(recording["tx"])
    counts["seen: frame of the user's network"] = len(recording.get("user_tx", []))
    return Held(recording, counts=+counts)


def _config(slot: int, offset: int) -> int:
    return 1 << 31 | slot << 11 | offset


def _sized(name: str, size: int) -> str:
    return name if size == 4 else f"{name}{8 * size}"


def _interrupts(left: Left) -> Iterator[tuple[int, int]]:
    """When the line rose, and which instruction was to be next."""
    at = IRQ_LOG
    while any(entry := left.memory(at, IRQ_ENTRY)):
        stamp, place = struct.unpack("<QI", entry)
        yield stamp - PUSHES - ENTRY, place
        at += IRQ_ENTRY


def _received(left: Left, name: str) -> Iterator[str]:
    """What a peer has received, from its ring."""
    base = PEERS[name]
    frame = b""
    for n in range(PEER_DESCRIPTORS):
        address, length, _, status, _, _ = DESCRIPTOR.unpack(left.memory(base + 16 * n, 16))
        if not status & 1:
            return
        frame += left.memory(address, length)
        if status & EOP:
            yield frame.hex()
            frame = b""


def _frames(left: Left, name: str) -> list[dict[str, Any]]:
    return [{"t_us": time, "data": raw.hex()} for time, raw in left.sent.get(name, [])]
