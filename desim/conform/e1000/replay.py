"""Replays a recording of the real device against the card, and finds the first difference.

The format, ``e1000-vector/1``, is described beside the recordings, in
tests/vectors/e1000/README.md: a program of register accesses, memory writes and
frames, each at an exact time, with all that the device answered.

Theory of operation
-------------------
The devices of the recording (A, which is under test, and its peers) are made on one
``VirtualClock``, each with a memory of its own. For each operation all timers that
are due *before* it run out, the clock is set, the operation is carried out, and what it
returned is compared. Interrupts and sent frames are compared at the end.

The net layer between them is the project's own (network.py), and so is the user-mode
network (user.py); a test can bring another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from desim.conform.e1000.decode import compare, decode, register_name
from desim.conform.e1000.network import NetCoreNetwork
from desim.conform.e1000.recordings import check_recording
from desim.conform.e1000.user import user_network
from desim.data import NamedTuple, Protocol
from desim.devices import CARD_SWITCHES, Nic
from desim.e1000.card import E1000
from desim.e1000.receive import DESCRIPTOR, EOP
from desim.e1000.registers import RCTL, RDBAL, RDH, RDLEN, RDT
from desim.errors import RecordingError
from desim.ports import Clock, NetClient, NetPort
from desim.testing import Ledger, Memory, VirtualClock
from desim.wire.frame import Frame

MAX_LATE_NS = 100
"""How much an interrupt that the recording marks as late may be behind its real time."""

COMMAND = 0x04
COMMAND_BY_FIRMWARE = 0x103
"""I/O, memory and SERR#, with which the firmware leaves the command register."""
COMMAND_MASTER = 0x4
INTERRUPT_LINE = 0x3C
INTERRUPT_LINE_BY_FIRMWARE = 11

NO_EFFECT = ("migrate_tso_props",)
"""A property of the card that only says what migration saves."""
SWITCH = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}

PEER_SETUP_NS = 1_000_000
PEER_RING = 0x10_0000
PEER_BUFFERS = 0x20_0000
PEER_BUFFER_SIZE = 4096
PEER_DESCRIPTORS = 256
PEER_RCTL = 0x0603_803A


class UserFactory(Protocol):
    """Makes the user-mode network of one recording from QEMU's own options for it."""

    def __call__(self, options: str, *, clock: Clock, port: NetPort) -> NetClient: ...


class Difference(NamedTuple):
    """The first place where card and recording disagree."""

    op: int | None
    """Index of the operation; None for what is compared at the end."""
    time: int | None
    what: str
    """The operation, with the register's name."""
    expected: str
    got: str
    detail: str = ""

    def __str__(self) -> str:
        where = "" if self.op is None else f"op {self.op}, "
        when = "" if self.time is None else f"t={self.time} ns, "
        tail = f" ({self.detail})" if self.detail else ""
        return f"{where}{when}{self.what}: expected {self.expected}, got {self.got}{tail}"


class _UnequalError(Exception):
    """Raised inside an operation with ``what``, ``expected``, ``got`` and ``detail``."""


class _Controller:
    """The interrupt controller as the recording describes it: edges, or entries."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._high = False
        self._level_mode = False
        self._masked = False
        self.entries: list[tuple[int, bool]] = []

    def set_irq(self, level: bool) -> None:
        rising = level and not self._high
        self._high = level
        if rising and not self._masked:
            self._enter()

    def set_mode(self, mode: str) -> None:
        self._level_mode = mode == "level"
        self._masked = False
        if self._level_mode and self._high:
            self._enter()

    def unmask(self) -> None:
        self._masked = False
        if self._high:
            self._enter()

    def _enter(self) -> None:
        self._masked = self._level_mode
        self.entries.append((self._clock.now(), self._level_mode))


class _Bus:
    """A device's memory and its way to the controller."""

    def __init__(self, set_irq: Callable[[bool], None]) -> None:
        self.memory = Memory()
        self.set_irq = set_irq

    def dma(self) -> Memory:
        return self.memory


class _Sent(NamedTuple):
    time: int
    op: int
    data: str


class Replay:
    """One recording on its way; ``run`` says where it first differs.

    Raises ``RecordingError`` for a recording that is not one.
    """

    def __init__(self, vector: Mapping[str, Any], *, user: UserFactory = user_network) -> None:
        check_recording(vector)
        self.vector = vector
        self.clock = VirtualClock()
        self.op = -1
        self.sent: list[_Sent] = []
        self.user_sent: list[_Sent] = []
        self.controller = _Controller(self.clock)
        self.ledger = Ledger()
        names = vector["net"]["ports"]
        self.net = NetCoreNetwork(names, hub=vector["net"]["hub"], ledger=self.ledger)
        self.cards: dict[str, E1000] = {}
        self.buses: dict[str, _Bus] = {}
        self._dumped: dict[str, int] = {}
        for name in names:
            if name == "user":
                self._make_user(user)
            else:
                self._make_card(name)
        self._power_on()
        self._do: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "w": partial(self._access, 4),
            "w8": partial(self._access, 1),
            "w16": partial(self._access, 2),
            "r": partial(self._access, 4),
            "r8": partial(self._access, 1),
            "r16": partial(self._access, 2),
            "range": self._range,
            "mem": self._mem,
            "memfill": self._memfill,
            "dump": self._dump,
            "inject": self._inject,
            "line": self._line,
            "cfgr": self._cfgr,
            "cfgw": self._cfgw,
            "peerdump": self._peerdump,
            "irqmode": self._irqmode,
            "unmask": self._unmask,
            "pause": self._pause,
        }

    def run(self) -> Difference | None:
        """Carry out all operations: the first difference, or None if there is none."""
        for number in range(len(self.vector["ops"])):
            found = self.step(number)
            if found is not None:
                return found
        try:
            self._compare_irqs()
            self._compare_sent("tx", self.sent)
            self._compare_sent("user_tx", self.user_sent)
        except _UnequalError as unequal:
            return Difference(None, None, *unequal.args)
        return None

    def step(self, number: int) -> Difference | None:
        """Carry out one operation, after the timers that are due before it."""
        op = self.vector["ops"][number]
        self.op = number
        self.clock.advance_to(op["t"])
        try:
            self._do[op["op"]](op)
        except _UnequalError as unequal:
            return Difference(number, op["t"], *unequal.args)
        return None

    # Set-up

    def _make_card(self, name: str) -> None:
        device = self.vector["device"]
        peer = self.vector["net"]["peers"].get(name)
        nic = Nic(
            model=device["model"], mac=bytes.fromhex((peer or device)["mac"].replace(":", ""))
        )
        if not peer:
            set_properties(nic, device["options"])
        if name == "A":
            self.net.watch(name, self._note_sent)
        self.buses[name] = bus = _Bus(self.controller.set_irq if name == "A" else _no_irq)
        self.cards[name] = card = E1000(
            clock=self.clock,
            pci=bus,
            net=self.net.port(name),
            ledger=self.ledger,
            nic=nic,
        )
        self._dumped[name] = 0
        self.net.attach(name, card)

    def _make_user(self, user: UserFactory) -> None:
        self.net.watch("user", self._note_user_sent)
        options = self.vector["net"]["user"] or ""
        port = self.net.port("user")
        self.net.attach("user", user(options, clock=self.clock, port=port))

    def _power_on(self) -> None:
        """What the firmware leaves, and receiving peers set up as the format page says."""
        device = self.vector["device"]
        if device["link_down_at_start"]:
            self.net.set_link("A", False)
        for name, card in self.cards.items():
            master = name != "A" or device["pci_bus_master"]
            command = COMMAND_BY_FIRMWARE | (COMMAND_MASTER if master else 0)
            card.config_write(COMMAND, command)
            card.config_write(INTERRUPT_LINE, INTERRUPT_LINE_BY_FIRMWARE, 1)
        self.clock.advance_to(PEER_SETUP_NS)
        for name, peer in self.vector["net"]["peers"].items():
            if peer["rx"]:
                self._receive_at(name)

    def _receive_at(self, name: str) -> None:
        card = self.cards[name]
        memory = self.buses[name].memory
        for n in range(PEER_DESCRIPTORS):
            address = PEER_BUFFERS + n * PEER_BUFFER_SIZE
            memory.write(PEER_RING + 16 * n, address.to_bytes(16, "little"))
        for register, value in (
            (RDBAL, PEER_RING),
            (RDLEN, 16 * PEER_DESCRIPTORS),
            (RDH, 0),
            (RDT, PEER_DESCRIPTORS - 1),
            (RCTL, PEER_RCTL),
        ):
            card.mmio_write(register * 4, value)

    # Operations

    def _access(self, size: int, op: Mapping[str, Any]) -> None:
        card = self.cards[op.get("dev", "A")]
        if op["op"].startswith("w"):
            card.mmio_write(op["reg"], op["val"], size)
            return
        got = card.mmio_read(op["reg"], size)
        if got != op["val"]:
            raise self._unequal_register("read of", op["reg"], op["val"], got)

    def _unequal_register(self, verb: str, offset: int, expected: int, got: int) -> _UnequalError:
        name = register_name(offset)
        return _UnequalError(
            f"{verb} {name}",
            decode(name, expected),
            decode(name, got),
            compare(name, expected, got),
        )

    def _range(self, op: Mapping[str, Any]) -> None:
        card = self.cards[op.get("dev", "A")]
        for offset in range(op["reg"], op["reg"] + 4 * op["count"], 4):
            got = card.mmio_read(offset)
            expected = op["nonzero"].get(str(offset), 0)
            if got != expected:
                raise self._unequal_register("range read of", offset, expected, got)

    def _mem(self, op: Mapping[str, Any]) -> None:
        self.buses["A"].memory.write(op["addr"], bytes.fromhex(op["data"]))

    def _memfill(self, op: Mapping[str, Any]) -> None:
        self.buses["A"].memory.write(op["addr"], bytes([op["byte"]]) * op["len"])

    def _dump(self, op: Mapping[str, Any]) -> None:
        what = f"dump of {op.get('what', 'memory')} at 0x{op['addr']:x}"
        memory = self.buses["A"].memory
        if "data" in op:
            expected = bytes.fromhex(op["data"])
            got = memory.read(op["addr"], len(expected))
            if got != expected:
                raise _UnequalError(what, *_around(expected, got))
        else:
            digest = hashlib.sha256(memory.read(op["addr"], op["len"])).hexdigest()
            if digest != op["sha256"]:
                raise _UnequalError(what, f"sha256 {op['sha256']}", digest)

    def _inject(self, op: Mapping[str, Any]) -> None:
        port = self.net.port(op["dev"])
        frames = [bytes.fromhex(frame) for frame in op["frames"]]
        for _ in range(op.get("repeat", 1)):
            for raw in frames:
                port.send(Frame(raw))

    def _line(self, op: Mapping[str, Any]) -> None:
        got = self.cards["A"].config_read(COMMAND) >> 19 & 1
        if got != op["val"]:
            raise _UnequalError("interrupt line", str(op["val"]), str(got))

    def _cfgr(self, op: Mapping[str, Any]) -> None:
        got = self.cards["A"].config_read(op["off"])
        if got != op["val"]:
            what = f"configuration space at 0x{op['off']:02x}"
            raise _UnequalError(what, f"0x{op['val']:08x}", f"0x{got:08x}")

    def _cfgw(self, op: Mapping[str, Any]) -> None:
        self.cards["A"].config_write(op["off"], op["val"])

    def _peerdump(self, op: Mapping[str, Any]) -> None:
        got = list(self._received(op["dev"]))
        _compare_lists(f"frames received by {op['dev']}", op["frames"], got)

    def _received(self, name: str) -> Iterator[str]:
        """What the peer has received since the last time, from its ring."""
        memory = self.buses[name].memory
        card = self.cards[name]
        frame = b""
        for _ in range(PEER_DESCRIPTORS):
            if self._dumped[name] == card.mmio_read(RDH * 4):
                return
            at = PEER_RING + 16 * self._dumped[name]
            self._dumped[name] = (self._dumped[name] + 1) % PEER_DESCRIPTORS
            address, length, _, status, _, _ = DESCRIPTOR.unpack(memory.read(at, 16))
            frame += memory.read(address, length)
            if status & EOP:
                yield frame.hex()
                frame = b""

    def _irqmode(self, op: Mapping[str, Any]) -> None:
        self.controller.set_mode(op["mode"])

    def _unmask(self, op: Mapping[str, Any]) -> None:
        self.controller.unmask()

    def _pause(self, op: Mapping[str, Any]) -> None:
        self.net.stop()
        for command in op["monitor"]:
            arguments = command["arguments"]
            self.net.set_link(arguments["name"].removeprefix("nic"), arguments["up"])
        self.net.resume()

    # What is compared at the end

    def _note_sent(self, frame: Frame) -> None:
        self.sent.append(_Sent(self.clock.now(), self.op, frame.raw.hex()))

    def _note_user_sent(self, frame: Frame) -> None:
        self.user_sent.append(_Sent(self.clock.now(), self.op, frame.raw.hex()))

    def _compare_irqs(self) -> None:
        expected = self.vector["irqs"]
        got = self.controller.entries
        for n, (irq, (time, level)) in enumerate(zip(expected, got, strict=False)):
            late = irq["t"] - time
            if not 0 <= late <= (MAX_LATE_NS if irq.get("late") else 0):
                raise _UnequalError(f"interrupt {n}", f"t={irq['t']} ns", f"t={time} ns")
            if level != bool(irq.get("level")):
                raise _UnequalError(f"interrupt {n}", _kind(not level), _kind(level))
        if len(expected) != len(got):
            n = min(len(expected), len(got))
            times = [f"t={irq['t']} ns" for irq in expected[n : n + 1]]
            more = [f"t={time} ns" for time, _ in got[n : n + 1]]
            raise _UnequalError(f"interrupt {n}", _or_none(times), _or_none(more))

    def _compare_sent(self, what: str, got: list[_Sent]) -> None:
        expected = self.vector.get(what, [])
        _compare_lists(f"frames in {what}", [e["data"] for e in expected], [s.data for s in got])
        for n, (frame, sent) in enumerate(zip(expected, got, strict=True)):
            if frame["t_us"] != sent.time // 1000:
                times = (f"t={frame['t_us']} us", f"t={sent.time // 1000} us")
                raise _UnequalError(f"{what} frame {n}", *times)
            op = frame.get("op")
            if op is not None and op != sent.op:
                raise _UnequalError(
                    f"{what} frame {n}", f"sent by op {op}", f"sent by op {sent.op}"
                )


def set_properties(nic: Nic, options: str) -> None:
    """QEMU's ``-device`` options of a card, such as ``mitigation=off``.

    ``migrate_tso_props`` is taken and has no effect: nothing is migrated here. Raises
    ``RecordingError`` for an option that is not there.
    """
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        if name not in (*CARD_SWITCHES, *NO_EFFECT) or value not in SWITCH:
            raise RecordingError(f"device.options: {option!r} is not a property of the card")
        if name in CARD_SWITCHES:
            setattr(nic, CARD_SWITCHES[name], SWITCH[value])


def _no_irq(level: bool) -> None:
    """The interrupts of peers are never enabled."""


def _kind(level: bool) -> str:
    return "an entry (level mode)" if level else "an edge"


def _or_none(items: list[str]) -> str:
    return items[0] if items else "none"


def _compare_lists(what: str, expected: list[str], got: list[str]) -> None:
    for n, (one, other) in enumerate(zip(expected, got, strict=False)):
        if one != other:
            raise _UnequalError(f"{what}, {n}", *_around(bytes.fromhex(one), bytes.fromhex(other)))
    if len(expected) != len(got):
        raise _UnequalError(what, f"{len(expected)} frames", f"{len(got)} frames")


def _around(expected: bytes, got: bytes) -> tuple[str, str, str]:
    """Some bytes from where two byte strings begin to differ."""
    same = next(
        (n for n, (one, other) in enumerate(zip(expected, got, strict=False)) if one != other),
        min(len(expected), len(got)),
    )
    start = same & ~3
    detail = f"first at byte {same}"
    if len(expected) != len(got):
        detail += f"; {len(expected)} bytes expected, {len(got)} got"
    return expected[start : start + 16].hex(), got[start : start + 16].hex(), detail
