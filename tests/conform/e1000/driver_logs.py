"""Logs for ``desim lint-driver``: programs of a few accesses, and what our own driver does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from desim.e1000.card import E1000
from desim.machine import Machine
from desim.machine.ports import Bus
from desim.ports import Dma
from desim.scenario.loader import load_scenario
from desim.wire.frame import Frame

BASE = 0xFEBC0000
MS = 1_000_000


def recording(*ops: dict[str, Any], bus_master: bool = True) -> dict[str, Any]:
    """A recording of a driver alone: no results but those in ``ops``, 1 ms apart without ``t``."""
    return {
        "format": "e1000-vector/1",
        "name": "driver",
        "family": "driver",
        "device": {
            "model": "e1000",
            "options": "",
            "mac": "52:54:00:12:34:56",
            "pci_bus_master": bus_master,
            "link_down_at_start": False,
        },
        "net": {
            "hub": True,
            "ports": ["A", "B"],
            "peers": {"B": {"mac": "52:54:00:12:34:57", "rx": False}},
            "user": None,
        },
        "ops": [{"t": (n + 1) * MS, **op} for n, op in enumerate(ops)],
        "irqs": [],
        "tx": [],
    }


def w(reg: int, val: int, **more: Any) -> dict[str, Any]:
    return {"op": "w", "reg": reg, "val": val, **more}


def r(reg: int, val: int = 0, **more: Any) -> dict[str, Any]:
    return {"op": "r", "reg": reg, "val": val, **more}


def trace_line(
    kind: str,
    offset: int,
    value: int,
    size: int = 4,
    name: str = "e1000-mmio",
    base: int = BASE,
) -> str:
    return (
        f"memory_region_ops_{kind} cpu 0 mr 0x55d0c0ffee00 addr 0x{base + offset:x} "
        f"value 0x{value:x} size {size} name '{name}'"
    )


def trace(ops: list[dict[str, Any]]) -> str:
    """The register accesses of a recording, as QEMU prints them."""
    kinds = {"w": ("write", 4), "r": ("read", 4), "w16": ("write", 2), "r8": ("read", 1)}
    lines = [
        trace_line(
            kinds[op["op"]][0],
            op["reg"],
            op["val"],
            kinds[op["op"]][1],
            base=op.get("base", BASE),
        )
        for op in ops
        if op["op"] in kinds
    ]
    return "\n".join(lines) + "\n"


class Listener:
    """Writes down, in the recordings' format, what a guest's driver does to the card."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ops = self.ops = list[dict[str, Any]]()
        read, write = E1000.mmio_read, E1000.mmio_write
        make, config_write, dma = E1000.__init__, E1000.config_write, Bus.dma
        into: list[int] = []

        def note(card: E1000, **op: Any) -> None:
            ops.append({"t": card.rx.clock.now(), **op})

        def mmio_read(card: E1000, offset: int, size: int = 4) -> int:
            value = read(card, offset, size)
            note(card, op="r", reg=offset, val=value)
            return value

        def mmio_write(card: E1000, offset: int, value: int, size: int = 4) -> None:
            note(card, op="w", reg=offset, val=value)
            into.append(len(ops) - 1)
            write(card, offset, value, size)
            into.pop()

        def cfgw(card: E1000, offset: int, value: int, size: int = 4) -> None:
            config_write(card, offset, value, size)
            word = card.config_read(offset & ~3)
            note(card, op="cfgw", off=offset & ~3, val=word & (0xFFFF if offset < 8 else -1))

        def made(card: E1000, **parts: Any) -> None:
            make(card, **parts)
            receive = card.receive

            def take(frame: Frame) -> int:
                note(card, op="inject", dev="B", frames=[frame.raw.hex()])
                into.append(len(ops) - 1)
                taken = receive(frame)
                place = into.pop()
                if taken <= 0:
                    del ops[place]
                return taken

            card.receive = take

        class Heard:
            """The guest's memory."""

            def __init__(self, memory: Dma) -> None:
                self.write, self.write_frame = memory.write, memory.write_frame
                self._read = memory.read

            def read(self, address: int, size: int) -> bytes:
                data = self._read(address, size)
                if into:
                    # What a write or a frame makes the card read was in memory before it.
                    op = {"t": ops[into[-1]]["t"], "op": "mem", "addr": address}
                    ops.insert(into[-1], {**op, "data": data.hex()})
                    into[-1] += 1
                return data

        monkeypatch.setattr(E1000, "mmio_read", mmio_read)
        monkeypatch.setattr(E1000, "mmio_write", mmio_write)
        monkeypatch.setattr(E1000, "config_write", cfgw)
        monkeypatch.setattr(E1000, "__init__", made)
        for quiet in ("quiet_read", "quiet_write"):  # every access is to come by
            monkeypatch.setattr(E1000, quiet, lambda card, offset: None)
        monkeypatch.setattr(Bus, "dma", lambda bus: Heard(dma(bus)))


def record_linux(monkeypatch: pytest.MonkeyPatch, scenario: str | Path) -> list[dict[str, Any]]:
    """The accesses of the guest's driver in a whole scenario."""
    with monkeypatch.context() as patch:
        listener = Listener(patch)
        Machine(load_scenario(str(scenario))).run()
    return listener.ops
