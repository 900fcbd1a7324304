"""Logs of a driver, given to ``desim.conform.e1000.lint``: recordings, and QEMU's own traces.

A recording holds memory, frames and times, so a card is run along with it: that one
knows where RDH is, which causes are raised, and which descriptors a TDT write hands
over. A trace holds register accesses only; what they do not tell is not judged, and
the report says so. Each card of a trace has a report of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from desim.conform.archives import ARCHIVES
from desim.conform.e1000.lint import Finding, Lint
from desim.conform.e1000.qemu_trace import Card, TraceReader
from desim.conform.e1000.recordings import read_recordings
from desim.conform.e1000.replay import Replay
from desim.conform.suite import check_regular
from desim.data import NamedTuple
from desim.disk import kind_of
from desim.e1000.registers import (
    ICR,
    IMS,
    RDH,
    TCTL,
    TCTL_EN,
    TDBAH,
    TDBAL,
    TDH,
    TDLEN,
    TDT,
    WINDOW_SIZE,
)
from desim.e1000.transmit import DESCRIPTOR, DESCRIPTOR_LEN, RPS, RS
from desim.errors import RecordingError

MAX_LINE = 4096
SIZES = {"w": 4, "r": 4, "w16": 2, "r16": 2, "w8": 1, "r8": 1}


class Report(NamedTuple):
    """What was found in one log about one card."""

    place: str
    findings: list[Finding]
    notes: list[str]


def lint_log(path: Path) -> Iterator[Report]:
    """The reports for each log below ``path``; raises ``RecordingError``, ``OSError``."""
    is_folder = kind_of(path) == "folder"
    if not is_folder:
        check_regular(path)
    recorded = is_folder or path.name.endswith((".json", *ARCHIVES))
    if recorded:
        some = False
        for place, vector in read_recordings(path):
            some = True
            yield lint_recording(place, vector)
        if not some:
            raise RecordingError("no recordings in it")
    else:
        yield from lint_trace(path)


def lint_recording(place: str, vector: dict[str, Any]) -> Report:
    """The driver in a recording of the format ``e1000-vector/1``."""
    replay = Replay(vector)
    card = replay.cards["A"]
    lint = Lint()
    for number, op in enumerate(vector["ops"]):
        replay.clock.advance_to(op["t"])
        lint.raised(card.mac_reg[ICR] & card.mac_reg[IMS])
        lint.bus_master(card.pci.bus_master)
        lint.head(card.mac_reg[RDH])
        where = f"op {number}"
        kind = op["op"]
        registers = kind in SIZES and op.get("dev", "A") == "A"
        if registers and kind.startswith("w"):
            lint.write(where, op["reg"], op["val"], SIZES[kind], op["t"])
            lint.handed_over(where, list(_handed_over(replay, op)))
        # What the log says counts; a card that answers otherwise is `desim conform`'s matter.
        replay.step(number)
        if registers and kind.startswith("r"):
            lint.read(where, op["reg"], op["val"], SIZES[kind], op["t"])
        elif kind == "mem":
            lint.overwritten(op["addr"], len(op["data"]) // 2)
        elif kind == "memfill":
            lint.overwritten(op["addr"], op["len"])
        elif kind == "dump" and "data" in op:
            lint.looked_at(where, op["addr"], bytes.fromhex(op["data"]))
        lint.raised(card.mac_reg[ICR] & card.mac_reg[IMS])
    return Report(place, lint.finish(), lint.notes)


def _handed_over(replay: Replay, op: dict[str, Any]) -> Iterator[tuple[int, bool]]:
    """The descriptors that a write of TDT or TCTL is going to send, from memory."""
    card = replay.cards["A"]
    reg = card.mac_reg
    index = op["reg"] % WINDOW_SIZE >> 2
    control = op["val"] if index == TCTL else reg[TCTL]
    if index not in (TDT, TCTL) or not control & TCTL_EN:
        return
    tail = op["val"] & 0xFFFF if index == TDT else reg[TDT]
    size = reg[TDLEN] // DESCRIPTOR_LEN
    base = reg[TDBAH] << 32 | reg[TDBAL] & ~0xF
    head = reg[TDH]
    for _ in range(size):
        if head == tail or head >= size:
            return
        at = base + head * DESCRIPTOR_LEN
        _, lower, _ = DESCRIPTOR.unpack(card.pci.dma().read(at, DESCRIPTOR_LEN))
        yield at, bool(lower & (RS | RPS))
        head = (head + 1) % size


def lint_trace(path: Path) -> list[Report]:
    """The driver of each card in what QEMU printed."""
    lints: dict[Card, Lint] = {}
    reader = TraceReader()
    with path.open("rb") as file:
        for access in reader.read(_lines(file)):
            lint = lints.get(access.card)
            if lint is None:
                lint = lints[access.card] = Lint(trace=True)
            where = f"line {access.line}"
            if access.offset is None:
                lint.bus_master(bool(access.value))
            elif access.io:
                lint.io(where, access.writes, access.offset, access.value)
            else:
                tell = lint.write if access.writes else lint.read
                tell(where, access.offset, access.value, access.size, access.time_ns)
    if not reader.accesses:
        why = "no accesses to 'e1000-mmio' or 'e1000-io' in it"
        if reader.unnamed:
            why += f"; its {reader.unnamed} accesses have no names: QEMU 6.0 or later prints them"
        raise RecordingError(f"{path}: {why}")
    reports = []
    for card, lint in lints.items():
        place = str(path) if len(lints) == 1 else f"{path}, {card}"
        findings = lint.finish()
        reports.append(Report(place, findings, [*lint.unchecked(), *lint.notes]))
    return reports


def _lines(file: BinaryIO) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        yield line.decode("utf-8", "replace")
