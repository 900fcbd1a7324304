"""Programs for the card: what a driver, well or badly written, and a wire may do to it.

Each program switches most kinds of moves off (swarm style), so that what is left meets often.
Memory has a plan, and registers that say where it is are written by the plan alone: a program that
let the card write over itself would say nothing of the card.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from desim.against.libslirp.guest import arp, datagram, packet
from desim.against.original import MOVES, Input
from desim.e1000.registers import (
    ICR,
    ICS,
    IMC,
    IMS,
    ITR,
    RADV,
    RCTL,
    RDBAH,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    RDTR,
    TABLE,
    TADV,
    TCTL,
    TDBAH,
    TDBAL,
    TDH,
    TDLEN,
    TDT,
    WINDOW_SIZE,
)
from desim.engine.draw import Draw
from desim.wire.addresses import ip

FIRST, LAST = 0x0100_0000, 0x0200_0000
"""The memory that is the card's."""
RX_RING, RX_BUFFERS, TX_RING, TX_DATA = 0x0100_0000, 0x0120_0000, 0x0140_0000, 0x0160_0000
RX_STEP, TX_STEP = 0x4000, 0x4000
PLANNED = {RDBAL: RX_RING, TDBAL: TX_RING, RDBAH: 0, TDBAH: 0}
"""Registers that only ever get these values."""
OWN, PEER, THIRD = "52:54:00:12:34:56", "52:54:00:12:34:57", "52:54:00:12:34:58"
CONFIG_OFFSETS = (0x00, 0x04, 0x08, 0x2C, 0x34, 0x3C)
COMMAND, COMMAND_ON = 0x04, 0x0103
COMMAND_BITS = 0x0404
"""Bus master and INTx disable, which a program may change."""
ALONE = "restrict=on"
"""The user-mode network without the host: what that answers is no matter of the card."""
WAIT_MAX_NS = 3_000_000_000
FRAME_MAX, FRAMES_MAX, SENT_MAX = 16_500, 40, 2000

STATISTICS = tuple(range(0x4000, 0x4100, 4))
KNOWN = tuple(
    4 * (row.first + n)
    for row in TABLE
    for n in (range(row.length) if row.length < 8 else (0, 1, row.length - 1))
)
UNKNOWN = (0x4, 0x18, 0x28, 0x108, 0x420, 0x5000, 0x3820, 0x1FFFC)
BITS = tuple(1 << n for n in range(32))

KINDS = (
    "registers", "interrupts", "receive", "receive", "send", "send", "phy", "eeprom", "delays",
    "link", "pci", "statistics", "filters", "loopback", "hold-off", "rings", "serve", "serve",
)  # fmt: skip


def program(number: int) -> Input:
    """Program ``number``."""
    return _Maker(Draw(number, "fuzz qemu")).made()


class _Maker:
    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.moves: list[list[Any]] = []
        self.kinds = draw.some(KINDS, 2, 7)
        self.ring = draw.pick([8, 8, 8, 16, 32])
        self.tx_ring = draw.pick([8, 16, 16, 32])
        self.tail = 0
        self.rdt = 0
        self.data = TX_DATA
        self.net = self._net()

    def made(self) -> Input:
        draw = self.draw
        device = {
            "model": draw.pick(["e1000"] * 6 + ["e1000-82544gc", "e1000-82545em"]),
            "mac": OWN,
            "options": draw.pick([""] * 5 + ["mitigation=off", "autonegotiation=off",
                                             "extra_mac_registers=off", "init-vet=off"]),
            "pci_bus_master": not draw.chance(16),
            "link_down_at_start": draw.chance(16),
        }  # fmt: skip
        self._set_up()
        for _ in range(draw.between(5, 40)):
            MAKE[draw.pick(self.kinds)](self)
            if not draw.chance(3):
                self._wait()
        self._tear_down()
        return {"device": device, "net": self.net, MOVES: self.moves}

    def _net(self) -> dict[str, Any]:
        draw = self.draw
        if draw.chance(8):
            return {"hub": False, "ports": ["A", "user"], "peers": {}, "user": ALONE}
        ports, peers = ["A", "B"], {"B": {"mac": PEER, "rx": draw.chance(3)}}
        if draw.chance(4):
            ports.append("C")
            peers["C"] = {"mac": THIRD, "rx": draw.chance(2)}
        if draw.chance(4):
            ports.append("user")
        return {
            "hub": True, "ports": ports, "peers": peers, "user": ALONE if "user" in ports else None,
        }  # fmt: skip

    # -- pieces

    def _w(self, register: int, value: int, size: int = 4) -> None:
        self.moves.append(["w", register, value, size])

    def _r(self, register: int, size: int = 4) -> None:
        self.moves.append(["r", register, size])

    def _index(self, index: int, value: int) -> None:
        self._w(4 * index, value)

    def _wait(self) -> None:
        draw = self.draw
        near = draw.pick([500, 3_000, 60_000, 127_900, 128_000, 128_100, 256_000, 300_000])
        self.moves.append(["wait", draw.pick([0, 30, near, near, near + draw.between(0, 4000)])])

    def _long_wait(self) -> None:
        self.moves.append(
            ["wait", self.draw.pick([1_000_000, 499_500_000, 501_000_000, 1_000_500_000])]
        )

    def _value(self) -> int:
        draw = self.draw
        return draw.pick(
            [0, 1, 0xFFFF_FFFF, draw.pick(BITS), draw.between(0, 0xFFFF),
             draw.between(0, 0xFFFF_FFFF), draw.pick(BITS) | draw.pick(BITS)]
        )  # fmt: skip

    def _set_up(self) -> None:
        draw = self.draw
        size = draw.pick([2048, 2048, 2048, 1024, 512, 256, 4096, 8192, 16384])
        field = {2048: 0, 1024: 1, 512: 2, 256: 3, 16384: 1, 8192: 2, 4096: 3}[size]
        rctl = 2 | field << 16 | (1 << 25 if size > 2048 else 0)
        for bit in (2, 3, 4, 5, 15, 15, 18, 22, 23, 26, 26):
            if draw.chance(3):
                rctl ^= 1 << bit
        rctl |= draw.between(0, 3) << 8 | draw.between(0, 3) << 12
        ring = b"".join(self._rx_descriptor(n) for n in range(self.ring))
        self.rdt = draw.pick([self.ring - 1, self.ring - 1, 1, 2, 0])
        if draw.chance(8):
            self.moves.append(["mem", RX_BUFFERS, bytes(range(1, 200)).hex()])
        self.moves.append(["mem", RX_RING, ring.hex()])
        self._index(RDBAL, RX_RING)
        self._index(RDLEN, 16 * self.ring)
        self._index(RDT, self.rdt)
        self._index(RCTL, rctl)
        self._index(TDBAL, TX_RING)
        self._index(TDLEN, 16 * self.tx_ring)
        self._index(TCTL, draw.pick([2, 2, 2, 0x0004_00FA, 0]))
        self._index(IMS, draw.pick([0xFFFF_FFFF, 0x9D, 0x9D, 0x80, 0x83, 0]))
        if "delays" in self.kinds:
            self._delays()
        if not draw.chance(4):
            self.moves.append(["wait", 1_000_100_000])
        self.size = size

    def _rx_descriptor(self, n: int) -> bytes:
        draw = self.draw
        address = 0 if draw.chance(40) else RX_BUFFERS + n * RX_STEP + draw.pick([0, 0, 0, 1, 2])
        rest = bytes(8) if draw.chance(2) else bytes(draw.between(0, 255) for _ in range(8))
        return address.to_bytes(8, "little") + rest

    def _tear_down(self) -> None:
        self._r(4 * ICR)
        if self.draw.chance(2):
            self._long_wait()
            self._r(4 * ICR)
        self.moves.append(["dump", RX_RING, 16 * self.ring])
        self.moves.append(["dump", TX_RING, 16 * self.tx_ring])
        for n in range(self.ring if self.ring == 8 else 5):
            self.moves.append(["dump", RX_BUFFERS + n * RX_STEP, self.draw.pick([128, 128, 1600])])
        for index in (RDH, RDT, TDH, TDT):
            self._r(4 * index)
        for register in STATISTICS:
            if self.draw.chance(3):
                self._r(register)

    # -- kinds of moves

    def _registers(self) -> None:
        draw = self.draw
        register = draw.pick(KNOWN) if not draw.chance(6) else draw.pick(UNKNOWN)
        size = draw.pick([4, 4, 4, 2, 1])
        register += draw.pick(range(0, 4, size)) if not draw.chance(6) else draw.between(0, 3)
        register = min(register, WINDOW_SIZE - size)
        if draw.chance(2) and may_write(register, size):
            value = self._value() & ((1 << 8 * size) - 1)
            self._w(register, value, size)
        self._r(register, size)

    def _interrupts(self) -> None:
        draw = self.draw
        index = draw.pick([ICR, ICS, ICS, IMS, IMS, IMC])
        causes = draw.pick([0x80, 0x80, 0x01, 0x03, 0x04, 0x10, 0xFFFF_FFFF, 0x9D, self._value()])
        if index == ICR and draw.chance(2):
            self._r(4 * ICR)
        else:
            self._index(index, causes)
        if draw.chance(3):
            self.moves.append(["line"])
        if draw.chance(3):
            self._r(4 * draw.pick([ICR, ICS, IMS]))

    def _serve(self) -> None:
        """As a driver's interrupt routine does, or its poll."""
        draw = self.draw
        self._r(4 * ICR)
        if draw.chance(3):
            self._index(IMC, 0xFFFF_FFFF)
            self._wait()
            self._index(IMS, draw.pick([0x9D, 0xFFFF_FFFF]))

    def _rings(self) -> None:
        draw = self.draw
        index = draw.pick([RDH, RDT, RDLEN, TDH, TDT, TDLEN, RCTL, TCTL])
        if index in (RDLEN, TDLEN):
            value = draw.pick([0, 16, 127, 128, 256, 512, 4096, 0xF_FFFF, 0xFFFF_FFFF])
        elif index == RCTL:
            value = self._value() | draw.pick([0, 2])
        elif index == TCTL:
            value = draw.pick([0, 2, 2, 0xFFFF_FFFF])
        else:
            value = draw.pick([0, 1, 7, 8, 15, 16, 0xFFFF, 0x1_0000, draw.between(0, 40)])
        self._index(index, value)
        if draw.chance(2):
            self._r(4 * draw.pick([RDH, TDH, ICR]))

    def _delays(self) -> None:
        draw = self.draw
        self._index(
            draw.pick([ITR, RDTR, RADV, TADV]),
            draw.pick([0, 1, 8, 32, 125, 126, 195, 488, 500, 501, 976, 2000, 0xFFFF, 0x1_0001]),
        )

    def _receive(self) -> None:
        draw = self.draw
        peers = sorted(self.net["peers"])
        if peers and not draw.chance(4):
            frames = [self._frame().hex() for _ in range(draw.pick([1, 1, 1, 2, 3, 5, 12]))]
            self.moves.append(["inject", draw.pick(peers), frames])
        else:
            self.rdt = (self.rdt + draw.pick([1, 1, 2, 3, self.ring // 2])) % self.ring
            if draw.chance(2):
                self.moves.append(
                    ["mem", RX_RING + 16 * self.rdt, self._rx_descriptor(self.rdt).hex()]
                )
            self._index(RDT, self.rdt if not draw.chance(10) else self._value() & 0xFFFF)
        if draw.chance(2):
            self._r(4 * ICR)

    def _frame(self) -> bytes:
        draw = self.draw
        own, peer = (bytes.fromhex(mac.replace(":", "")) for mac in (OWN, PEER))
        to = draw.pick([own, own, own, own, b"\xff" * 6, b"\xff" * 6, b"\1\0\x5e\0\0\1",
                        b"\x33\x33\0\0\0\1", peer, b"\2\0\0\0\0\7"])  # fmt: skip
        size = draw.pick([14, 20, 59, 60, 61, 64, 100, 124, 128, 252, 256, 508, 512, 1000, 1514,
                          1518, 1519, 1522, 1523, 2000, 4000, 9000, 16384, 16385])  # fmt: skip
        if size > 2000 and not draw.chance(3):
            size = draw.between(60, 1514)
        head = to + peer
        if draw.chance(4):
            head += draw.pick([b"\x81\0", b"\x81\0", b"\x88\xa8"]) + bytes((0x20, 7))
        head += draw.pick([b"\x08\0", b"\x08\6", b"\x86\xdd", b"\0\x40"])
        start = draw.between(0, 255)
        body = bytes((start + 7 * n) & 255 for n in range(max(0, size - len(head))))
        return (head + body)[: max(size, 14)]

    def _send(self) -> None:
        draw = self.draw
        count = draw.pick([0, 1, 1, 1, 2, 3])
        for _ in range(count):
            for descriptor in draw.pick([self._legacy, self._legacy, self._offloaded])():
                at = TX_RING + 16 * self.tail
                self.moves.append(["mem", at, descriptor.hex()])
                self.tail = (self.tail + 1) % self.tx_ring
        if draw.chance(20):
            self._index(draw.pick([TDH, TDT]), self._value() & 0xFFFF)
        self._index(TDT, self.tail)
        if draw.chance(3):
            self._r(4 * draw.pick([ICR, TDH]))

    def _placed(self, data: bytes) -> int:
        at, self.data = self.data, self.data + TX_STEP
        if self.data > LAST - 0x2_0000:
            self.data = TX_DATA
        self.moves.append(["mem", at, data.hex()])
        return at

    def _guest_frame(self) -> bytes:
        """What slirp answers at once, inside the card's access, or not at all.

        No ping: its answer may wait for ARP, and then for QEMU's main loop, in real time.
        """
        draw = self.draw
        way = draw.between(0, 4)
        if way == 0:
            return arp(1, ip(draw.pick(["10.0.2.2", "10.0.2.3", "10.0.2.15", "10.0.2.9"])))
        if way == 1:
            return datagram(68, ip("255.255.255.255"), 67, bytes(draw.pick([0, 20, 300])),
                            ttl=64, tos=0)  # fmt: skip
        return self._frame()

    def _bits(self) -> int:
        """Command bits of a descriptor: RS, RPS, IFCS, IC, VLE, IDE."""
        draw = self.draw
        bits = 0
        for bit, one_in in ((27, 2), (27, 2), (28, 8), (25, 2), (26, 8), (30, 4), (31, 3)):
            if draw.chance(one_in):
                bits |= 1 << bit
        return bits

    def _legacy(self) -> list[bytes]:
        draw = self.draw
        raw = self._guest_frame()
        parts = [raw]
        if draw.chance(3):
            cut = draw.between(0, len(raw))
            parts = [raw[:cut], raw[cut:]]
        found = []
        bits = self._bits()
        for n, part in enumerate(parts):
            end = 1 << 24 if n == len(parts) - 1 and not draw.chance(12) else 0
            upper = self._upper()
            lower = len(part) | bits | end | draw.pick([0, 0, 0, draw.between(0, 255) << 16])
            lower &= ~(1 << 29)
            found.append(struct.pack("<QII", self._placed(part), lower, upper))
        return found

    def _upper(self) -> int:
        draw = self.draw
        return draw.pick([0, 0, draw.between(0, 0xFFFF) << 16, draw.between(0, 0xFFFF_FFFF)])

    def _offloaded(self) -> list[bytes]:
        """A context and data descriptors: checksums, segmentation."""
        draw = self.draw
        six, tcp = draw.chance(3), draw.chance(2)
        if "user" in self.net["ports"]:
            tcp = False  # slirp's reset may wait for ARP, as a ping's answer may
        transport = 20 if tcp else 8
        network = 40 if six else 20
        size = draw.pick([0, 1, 100, 1000, 1460, 1461, 3000, 7000])
        header = self._headers(six, tcp, size)
        raw = header + bytes((11 * n) & 255 for n in range(size))
        mss = draw.pick([1460, 1000, 536, 100, 1448, 1, 0])
        if size // max(mss, 1) > 30:
            mss = 1000
        segments = draw.chance(2)
        whole = 14 + network + transport
        hdrlen = draw.pick([whole] * 6 + [0, 1, 14, whole - 1, whole + 4, 255])
        context = struct.pack(
            "<BBHBBHII",
            14, draw.pick([24, 24, 24, 200]), 14 + network - 1,
            14 + network, draw.pick([14 + network + (16 if tcp else 6), 0, 250]),
            draw.pick([0, 0, 0, 14 + network + 40]),
            (size if segments else draw.pick([0, size])) | 1 << 29 | tcp << 24 | (not six) << 25
            | segments << 26 | self._bits() & ~(1 << 30 | 1 << 26 | 1 << 25 | 1 << 24),
            mss << 16 | hdrlen << 8 if segments else draw.pick([0, mss << 16]),
        )  # fmt: skip
        found = [context] if not draw.chance(12) else []
        cut = draw.pick([len(raw), len(raw), len(header), draw.between(0, len(raw))])
        parts = [part for part in (raw[:cut], raw[cut:]) if part]
        options = draw.between(0, 3) << 8
        for n, part in enumerate(parts):
            end = 1 << 24 if n == len(parts) - 1 else 0
            lower = len(part) | 1 << 29 | 1 << 20 | segments << 26 | end
            lower |= self._bits() & ~(1 << 26)
            upper = options | (self._upper() & 0xFFFF_0000)
            found.append(struct.pack("<QII", self._placed(part), lower, upper))
        return found

    def _headers(self, six: bool, tcp: bool, size: int) -> bytes:
        draw = self.draw
        flags = draw.pick([0x10, 0x18, 0x19, 0x98])
        if tcp:
            transport = struct.pack("!HHIIBBHHH", 40000, 80, 1000, 2000, 0x50, flags, 500, 0, 0)
        else:
            transport = struct.pack("!HHHH", 40000, 9, 8 + size, draw.pick([0, 0x1234]))
        return packet(ip("fec0::9" if six else "10.0.2.77"), 6 if tcp else 17, transport)

    def _phy(self) -> None:
        draw = self.draw
        phy = draw.pick([1, 1, 1, 1, 0, 2])
        register = draw.pick([0, 0, 1, 2, 3, 4, 5, 6, 9, 10, 16, 17, 20, 21, 7, 31])
        value = draw.pick([0x1200, 0x1140, 0x1340, 0x0200, 0x8000, 0x4140, draw.between(0, 0xFFFF)])
        if "loopback" not in self.kinds:
            value &= ~0x4000
        operation = draw.pick([0x0800_0000, 0x0400_0000, 0x0400_0000, 0])
        interrupt = draw.pick([0, 0, 1 << 29])
        self._w(0x20, operation | interrupt | phy << 21 | register << 16 | value)
        self._r(0x20)
        if draw.chance(3):
            self._r(0x8)
        if draw.chance(6):
            self._long_wait()

    def _eeprom(self) -> None:
        draw = self.draw
        if draw.chance(2):
            self._w(0x14, draw.pick([0, 1, 1]) | draw.between(0, 70) << 8)
            self._r(0x14)
            return
        word = draw.between(0, 63)
        self._w(0x10, 0x40)
        bits = [
            1,
            draw.pick([1, 1, 0]),
            draw.pick([0, 0, 1]),
            *(word >> n & 1 for n in range(5, -1, -1)),
        ]
        self._w(0x10, 0x42)
        for bit in bits:
            self._w(0x10, 0x42 | bit << 2)
            self._w(0x10, 0x43 | bit << 2)
        for _ in range(draw.between(1, 17)):
            self._w(0x10, 0x42)
            self._r(0x10)
            self._w(0x10, 0x43)
        self._w(0x10, draw.pick([0x40, 0x42, 0]))

    def _link(self) -> None:
        self.moves.append(["link", self.draw.chance(2)])
        self._r(0x8)
        if self.draw.chance(3):
            self._long_wait()
            self._r(0x8)

    def _pci(self) -> None:
        draw = self.draw
        if draw.chance(2):
            self.moves.append(["cfgr", draw.pick(CONFIG_OFFSETS)])
        else:
            bits = draw.pick([0x4, 0x4, 0x404, 0, 0x400])
            self.moves.append(["cfgw", COMMAND, COMMAND_ON | bits])
        if draw.chance(2):
            self.moves.append(["line"])

    def _statistics(self) -> None:
        self._r(self.draw.pick(STATISTICS))

    def _filters(self) -> None:
        draw = self.draw
        register = draw.pick([0x5400, 0x5404, 0x5408, 0x540C, 0x5200, 0x5204, 0x5600, 0x38, 0x0])
        value = draw.pick([0xFFFF_FFFF, 0, 1 << 7, 0x8000_0700, 0x0000_0002, 0x8100, 0x4014_0240,
                           self._value()])  # fmt: skip
        self._w(register, value)

    def _loopback(self) -> None:
        value = 0x4140 if self.draw.chance(2) else 0x0140
        self._w(0x20, 0x0400_0000 | 1 << 21 | value)
        self._send()

    def _hold_off(self) -> None:
        draw = self.draw
        self._index(RCTL, 2 | draw.pick([0x8000, 0x8018, 0x0402_8000, 0x0004_8000, 0]))
        if draw.chance(2):
            self._receive()
        if draw.chance(2):
            self._long_wait()


MAKE: Mapping[str, Any] = {
    "registers": _Maker._registers,
    "interrupts": _Maker._interrupts,
    "delays": _Maker._delays,
    "receive": _Maker._receive,
    "send": _Maker._send,
    "phy": _Maker._phy,
    "eeprom": _Maker._eeprom,
    "link": _Maker._link,
    "pci": _Maker._pci,
    "statistics": _Maker._statistics,
    "filters": _Maker._filters,
    "loopback": _Maker._loopback,
    "hold-off": _Maker._hold_off,
    "rings": _Maker._rings,
    "serve": _Maker._serve,
}


# -- what is a program


def may_write(register: int, size: int) -> bool:
    """Whether any value may be written to so many bytes at an offset of the window."""
    return not {register >> 2, (register + size - 1) >> 2} & PLANNED.keys()


def is_program(given: Mapping[str, Any]) -> bool:
    """Whether ``given`` is one that leaves the rest of memory alone."""
    if set(given) != {"device", "net", MOVES} or set(given["device"]) != set(DEVICE):
        return False
    net = given["net"]
    if set(net) != {"hub", "ports", "peers", "user"} or "A" not in net["ports"]:
        return False
    if not net["hub"] and net["ports"] != ["A", "user"]:
        return False
    if set(net["ports"]) - {"A", "user"} != set(net["peers"]):
        return False
    if any(set(peer) != {"mac", "rx"} for peer in net["peers"].values()):
        return False
    if net["user"] != (ALONE if "user" in net["ports"] else None):
        return False
    if any(not isinstance(given["device"][key], kind) for key, kind in DEVICE.items()):
        return False
    sent: dict[str, int] = {}
    for move in given[MOVES]:
        if not isinstance(move, list) or not move or not isinstance(move[0], str):
            return False
        check = CHECKS.get(move[0])
        kinds = TYPES.get(move[0])
        if check is None or kinds is None or len(move) != 1 + len(kinds):
            return False
        if any(type(value) is not kind for value, kind in zip(move[1:], kinds, strict=True)):
            return False
        if not check(given, *move[1:]):
            return False
        if move[0] == "inject":
            sent[move[1]] = sent.get(move[1], 0) + len(move[2])
    pauses = sum(move[0] == "link" for move in given[MOVES])
    return pauses < 256 and all(count < SENT_MAX for count in sent.values())


DEVICE = {
    "model": str, "mac": str, "options": str, "pci_bus_master": bool, "link_down_at_start": bool,
}  # fmt: skip
TYPES: Mapping[str, tuple[type, ...]] = {
    "wait": (int,), "r": (int, int), "w": (int, int, int), "mem": (int, str), "dump": (int, int),
    "inject": (str, list), "line": (), "cfgr": (int,), "cfgw": (int, int), "link": (bool,),
}  # fmt: skip


def _in_window(register: int, size: int) -> bool:
    return size in (1, 2, 4) and 0 <= register <= WINDOW_SIZE - size


def _is_write(register: int, value: int, size: int) -> bool:
    if not _in_window(register, size) or not 0 <= value < 1 << 8 * size:
        return False
    if may_write(register, size):
        return True
    return register & 3 == 0 and size == 4 and value == PLANNED[register >> 2]


def _is_hex(text: object) -> bool:
    if not isinstance(text, str) or len(text) % 2:
        return False
    return all(c in "0123456789abcdef" for c in text)


def _is_mem(address: int, data: str) -> bool:
    return _is_hex(data) and FIRST <= address <= LAST - len(data) // 2


CHECKS: Mapping[str, Any] = {
    "wait": lambda given, ns: 0 <= ns <= WAIT_MAX_NS,
    "r": lambda given, register, size: _in_window(register, size),
    "w": lambda given, *values: _is_write(*values),
    "mem": lambda given, *values: _is_mem(*values),
    "dump": lambda given, at, size: FIRST <= at <= LAST - size and size > 0 and size % 4 == 0,
    "inject": lambda given, peer, frames: (
        peer in given["net"]["peers"]
        and 0 < len(frames) <= FRAMES_MAX
        and all(_is_hex(raw) and 28 <= len(raw) <= 2 * FRAME_MAX for raw in frames)
    ),
    "line": lambda given: True,
    "cfgr": lambda given, offset: offset in CONFIG_OFFSETS,
    "cfgw": lambda given, offset, value: offset == COMMAND and value & ~COMMAND_BITS == COMMAND_ON,
    "link": lambda given, up: True,
}
"""What the arguments of each move must be, if they are of these types."""
