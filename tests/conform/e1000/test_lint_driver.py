"""``desim lint-driver``: each rule by a minimal log, and silence about Linux's driver."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from driver_logs import MS, r, record_linux, recording, trace, trace_line, w
from hypothesis import given, settings
from hypothesis import strategies as st

from desim.cli import main
from desim.conform.e1000.driver_log import Report, lint_recording, lint_trace
from desim.conform.e1000.lint import RULES, Finding, Lint
from desim.conform.e1000.lint.judge import NO_COMMAND, NO_MEMORY, NO_RDH, NO_WIDTH
from desim.conform.e1000.lint.registers import ABSENT, TUNING
from desim.conform.e1000.recordings import read_recordings
from desim.e1000.registers import TABLE

CTRL, STATUS, EERD, MDIC, ICR, ICS, IMS, IMC = 0x0, 0x8, 0x14, 0x20, 0xC0, 0xC8, 0xD0, 0xD8
RCTL, TCTL = 0x100, 0x400
RDBAL, RDLEN, RDH, RDT = 0x2800, 0x2808, 0x2810, 0x2818
TDBAL, TDLEN, TDH, TDT = 0x3800, 0x3808, 0x3810, 0x3818
MTA, RAL, RAH, WUFC = 0x5200, 0x5400, 0x5404, 0x5808
EN = 0x8002
RING, TX_RING = 0x100_0000, 0x110_0000
EOP, RS = 1 << 24, 1 << 27

VECTORS = Path(__file__).parents[2] / "vectors" / "e1000"

Ops = list[dict[str, Any]]


def receive_ring(size: int = 8, tail: int = 7) -> Ops:
    return [w(RDBAL, RING), w(RDLEN, size * 16), w(RDH, 0), w(RDT, tail)]


def transmit_ring() -> Ops:
    return [w(TDBAL, TX_RING), w(TDLEN, 128), w(TDH, 0), w(TDT, 0), w(TCTL, 2)]


def descriptor(n: int, command: int) -> dict[str, Any]:
    data = struct.pack("<QII", 0x120_0000, command | 60, 0)
    return {"op": "mem", "addr": TX_RING + 16 * n, "data": data.hex()}


def findings(*ops: dict[str, Any], bus_master: bool = True) -> list[Finding]:
    return lint_recording("log", recording(*ops, bus_master=bus_master)).findings


def rules(*ops: dict[str, Any], bus_master: bool = True) -> list[tuple[str, str]]:
    return [(f.where, f.rule.name) for f in findings(*ops, bus_master=bus_master)]


def report(tmp_path: Path, text: str) -> Report:
    """What a trace of one card comes to."""
    (tmp_path / "qemu.log").write_text(text)
    (only,) = lint_trace(tmp_path / "qemu.log")
    return only


def traced(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    return [(f.where, f.rule.name) for f in report(tmp_path, text).findings]


def test_a_careful_driver_gives_no_finding() -> None:
    assert not rules(
        *receive_ring(),
        *transmit_ring(),
        w(RCTL, EN),
        w(IMS, 0x80),
        descriptor(0, EOP | RS),
        w(TDT, 1),
        r(ICR, 3),
        {"op": "dump", "addr": TX_RING, "data": "00" * 12 + "01000000"},
    )


# Each rule by itself


def test_receive_enabled_with_rdlen_0() -> None:
    assert rules(w(RDBAL, RING), w(RCTL, EN)) == [("op 1", "ring-missing")]


def test_receive_enabled_and_rdba_never_written() -> None:
    found = findings(w(RDLEN, 128), w(RDT, 7), w(RCTL, EN))
    assert [(f.where, f.rule.name) for f in found] == [("op 2", "ring-missing")]
    assert "RDBA was never written" in str(found[0])


def test_transmit_with_tdlen_0() -> None:
    assert rules(w(TDBAL, TX_RING), w(TCTL, 2), w(TDT, 1)) == [("op 2", "ring-missing")]


@pytest.mark.parametrize("register", [RDLEN, TDLEN])
def test_a_ring_length_that_is_not_aligned(register: int) -> None:
    assert rules(w(register, 16 * 10)) == [("op 0", "ring-length")]


@pytest.mark.parametrize("register", [RDBAL, TDBAL])
def test_a_ring_base_that_is_not_aligned(register: int) -> None:
    assert rules(w(register, RING + 8)) == [("op 0", "ring-base")]


def test_rdt_brought_to_rdh() -> None:
    ops = [*receive_ring(), w(RCTL, EN), w(RDT, 0)]
    assert rules(*ops) == [("op 5", "rdt-at-rdh")]


def test_rdt_brought_to_rdh_where_frames_have_moved_it() -> None:
    mem = {"op": "mem", "addr": RING, "data": struct.pack("<QQ", 0x130_0000, 0).hex()}
    frame = "ff" * 6 + "525400123457" + "88b5" + "00" * 46
    inject = {"op": "inject", "dev": "B", "frames": [frame], "t": 3000 * MS}
    ops = [mem, *receive_ring(), w(RCTL, EN), inject]
    assert not rules(*ops, w(RDT, 0, t=3001 * MS))
    assert rules(*ops, w(RDT, 1, t=3001 * MS)) == [("op 7", "rdt-at-rdh")]


def test_a_ring_that_never_gets_a_descriptor() -> None:
    ops = [*receive_ring(tail=0), w(RCTL, EN)]
    assert rules(*ops) == [("op 4", "rdt-at-rdh")]
    assert not rules(*ops, w(RDT, 7)), "Linux's order: enabled first, filled then"
    assert rules(*receive_ring()[:3], w(RCTL, EN)) == [("op 3", "rdt-at-rdh")], "not once"


@pytest.mark.parametrize("tail", [8, 200])
def test_rdt_beyond_the_ring(tail: int) -> None:
    assert rules(*receive_ring(tail=tail), w(RCTL, EN)) == [("op 3", "tail-beyond-ring")]


def test_tdt_beyond_the_ring() -> None:
    assert ("op 4", "tail-beyond-ring") in rules(*transmit_ring()[:4], w(TDT, 8))


def test_a_head_written_while_the_ring_runs() -> None:
    ops = [*receive_ring(), w(RCTL, EN), w(RDH, 0)]
    assert rules(*ops) == [("op 5", "head-while-running")]


def test_a_cause_that_is_enabled_and_never_acknowledged() -> None:
    ops = [w(IMS, 0x80), w(0xC8, 0x80), w(IMC, 0x80), w(IMS, 0x80)]
    found = findings(*ops)
    assert [(f.where, f.rule.name) for f in found] == [("op 0", "not-acknowledged")]
    assert "RXT0" in found[0].text
    assert not rules(*ops, r(ICR, 0x80))
    assert not rules(*ops, w(ICR, 0x80))
    assert rules(*ops, w(ICR, 0x01)) == [("op 0", "not-acknowledged")]


def test_a_cause_that_never_came_needs_no_acknowledgement() -> None:
    assert not rules(w(IMS, 0x80))


def test_transmit_without_rs_while_waiting_for_dd() -> None:
    dump = {"op": "dump", "addr": TX_RING + 12, "data": "00"}
    ops = [*transmit_ring(), descriptor(0, EOP), w(TDT, 1)]
    assert not rules(*ops), "a driver that looks at TDH needs no RS"
    found = findings(*ops, dump)
    assert [(f.where, f.rule.name) for f in found] == [("op 7", "no-report-status")]
    assert "op 6" in found[0].text


def test_transmit_without_rs_while_waiting_for_txdw() -> None:
    ops = [*transmit_ring(), w(IMS, 1), descriptor(0, EOP), descriptor(1, EOP), w(TDT, 2)]
    assert rules(*ops) == [("op 8", "no-report-status")]
    ops = [*transmit_ring(), w(IMS, 1), descriptor(0, EOP), descriptor(1, EOP | RS), w(TDT, 2)]
    assert not rules(*ops, r(ICR, 3))


def test_bus_master_off() -> None:
    ops = [*receive_ring(), w(RCTL, EN)]
    assert rules(*ops, bus_master=False) == [("op 4", "bus-master-off")]
    on = {"op": "cfgw", "off": 4, "val": 0x107}
    assert not rules(on, *ops, bus_master=False)


def test_rctl_rewritten_later() -> None:
    ops = [*receive_ring(), w(RCTL, EN)]
    found = findings(*ops, w(RCTL, EN | 8, t=5000 * MS))
    assert [(f.where, f.rule.name) for f in found] == [("op 5", "rctl-rewritten")]
    assert "until 6000 ms" in found[0].text
    assert not rules(*ops, w(RCTL, 0, t=5000 * MS)), "switched off"


def test_rctl_rewritten_with_the_filters_is_a_note() -> None:
    ops = [*receive_ring(), w(RCTL, EN), w(RCTL, EN, t=5000 * MS), w(MTA, 1, t=5000 * MS)]
    said = lint_recording("log", recording(*ops))
    assert not said.findings
    assert said.notes == [
        "op 5: RCTL is rewritten with the filters; each RCTL write makes the card deaf for a "
        "second, until 6000 ms"
    ]


def test_ctrl_rst_resets_nothing() -> None:
    assert rules(w(CTRL, 1 << 26 | 0x40)) == [("op 0", "ctrl-rst")]
    assert not rules(w(CTRL, 0x40))


def test_registers_that_qemu_does_not_have() -> None:
    found = findings(w(0x2828, 0x01010000), r(0x2828, 0), r(0x3900, 0))
    assert [(f.where, f.count) for f in found] == [("op 0", 2), ("op 2", 1)]
    assert "RXDCTL" in found[0].text


def test_tuning_registers_are_noted_unless_they_are_read_back() -> None:
    tidv, other = 0x3820, 0x38
    said = lint_recording("log", recording(w(tidv, 64)))
    assert not said.findings
    assert said.notes == ["TIDV is not there on QEMU, and has no effect"]
    assert rules(w(tidv, 64), r(tidv, 0), r(other, 0x8100)) == [("op 1", "no-such-register")]
    assert not rules(w(tidv, 64), r(tidv, 0), w(tidv, 65)), "changing some bits is no check"


def test_accesses_that_are_not_32_bits() -> None:
    ops: Ops = [{"op": "w16", "reg": 0xC4, "val": 500}, {"op": "r8", "reg": 0x9, "val": 0x83}]
    assert rules(*ops) == [("op 0", "narrow-access"), ("op 1", "narrow-access")]


# Drivers that are dead on QEMU


@pytest.mark.parametrize("rctl", [0x2, 0xA], ids=["EN", "EN UPE"])
def test_no_filter_lets_broadcasts_in(rctl: int) -> None:
    ops = [*receive_ring(), w(RCTL, rctl)]
    assert rules(*ops) == [("op 4", "no-broadcast")]
    assert rules(*ops, w(RCTL, 0)) == [("op 4", "no-broadcast")]


@pytest.mark.parametrize(
    "opened",
    [
        [w(RCTL, 0x8002)],
        [w(RCTL, 0x12)],
        [w(RAL + 8, 0xFFFFFFFF), w(RAH + 8, 0x8000FFFF), w(RCTL, 0x2)],
        [w(MTA + 127 * 4, 1 << 31), w(RCTL, 0x2)],
    ],
    ids=["BAM", "MPE", "exact address", "hash table"],
)
def test_a_filter_lets_broadcasts_in(opened: Ops) -> None:
    assert not rules(*receive_ring(), *opened)
    assert not rules(*receive_ring(), *opened[::-1]), "the filter behind RCTL"


def test_a_receive_address_without_av() -> None:
    ops = [w(RAL, 0x12005452), w(RAH, 0x5634)]
    (found,) = findings(*ops)
    assert (found.where, found.rule.name) == ("op 1", "address-not-valid")
    assert "RAH0 = 0x5634 has no AV" in found.text
    assert not rules(*ops, w(RAH, 0x80005634))


def test_an_address_that_is_switched_off_is_no_mistake() -> None:
    off = [w(RAL + 8, 0), w(RAH + 8, 0)]
    assert not rules(*off)
    assert not rules(w(RAL + 8, 0x5E0001), w(RAH + 8, 0x80000100), w(RAH + 8, 0x100))


def test_the_cards_own_address_switched_off() -> None:
    ops = [w(RAL, 0), w(RAH, 0), *receive_ring()]
    assert rules(*ops, w(RCTL, EN)) == [("op 1", "address-not-valid")]
    assert not rules(*ops, w(RCTL, EN | 8)), "UPE"


def test_descriptors_that_are_never_given_back(tmp_path: Path) -> None:
    start = [*receive_ring(), w(RCTL, EN), w(IMS, 0x80)]
    frames = [r(ICR, 0x80)] * 7
    assert traced(tmp_path, trace([*start, *frames, r(ICR, 0)])) == [("line 4", "never-given-back")]
    assert not traced(tmp_path, trace([*start, *frames[1:]])), "one is left"
    assert not traced(tmp_path, trace([*start, *frames, w(RDT, 6)]))
    assert traced(tmp_path, trace([*start, *frames, w(RDT, 7)])), "the value it had"


def test_descriptors_that_were_given_back_once(tmp_path: Path) -> None:
    start = [*receive_ring(), w(RCTL, EN), r(ICR, 0x80), w(RDT, 0)]
    assert traced(tmp_path, trace([*start, *[r(ICR, 0x80)] * 7])) == [
        ("line 7", "never-given-back")
    ]


def test_causes_that_the_driver_raises_are_no_frames(tmp_path: Path) -> None:
    start = [*receive_ring(), w(RCTL, EN)]
    assert not traced(tmp_path, trace([*start, *[w(ICS, 0x80), r(ICR, 0x80)] * 7]))


def test_rdt_that_is_perhaps_brought_to_rdh_is_a_note(tmp_path: Path) -> None:
    start = [*receive_ring(), w(RCTL, EN), r(ICR, 0x80)]
    said = report(tmp_path, trace([*start, w(RDT, 1), r(ICR, 0)]))
    assert said.findings == []
    assert said.notes[-2] == NO_RDH
    assert said.notes[-1].startswith("line 7: RDT = 1 gives back 2 descriptors, one more than RXT0")
    for healthy in ([w(RDT, 0)], [w(RDT, 1), r(ICR, 0x80)], [w(RDT, 3)]):
        assert report(tmp_path, trace([*start, *healthy])).notes[-1] == NO_RDH


def test_a_ring_that_is_never_enabled() -> None:
    assert rules(*receive_ring()) == [("op 3", "never-enabled")]
    assert rules(*transmit_ring()[:-1], w(TDT, 1)) == [("op 4", "never-enabled")]
    assert not rules(w(RDT, 7), w(TDT, 1)), "the set-up is not in the log"


def test_loopback_by_rctl() -> None:
    found = findings(*receive_ring(), w(RCTL, EN | 0xC0))
    assert [(f.where, f.rule.name) for f in found] == [("op 4", "loopback-mode")]
    assert "PHY" in found[0].text


def test_eerd_with_the_address_where_other_chips_have_it() -> None:
    assert rules(w(EERD, 1 << 2 | 1)) == [("op 0", "eerd-layout")]
    assert not rules(w(EERD, 1 << 8 | 1), r(EERD), w(EERD, 63 << 8 | 1))


def test_eerd_polled_for_a_bit_that_never_comes() -> None:
    poll = r(EERD, 0x1 << 16 | 0x10)
    assert not rules(w(EERD, 1), *[poll] * 3)
    (found,) = findings(w(EERD, 1), *[poll] * 30)
    assert (found.where, found.rule.name, found.count) == ("op 4", "eerd-layout", 1)


def test_a_receiver_enabled_for_wake_up_needs_no_descriptors() -> None:
    ops = [*receive_ring(tail=0), w(RCTL, EN)]
    assert rules(*ops) == [("op 4", "rdt-at-rdh")]
    assert not rules(*ops, w(WUFC, 2))


def test_each_finding_names_operation_rule_and_source() -> None:
    (found,) = findings(w(RDLEN, 100), w(RDLEN, 100))
    assert str(found) == (
        "op 0: ring-length: RDLEN = 100 is no multiple of 128: it becomes 0 (and 1 more) "
        "[8254x manual 13.4.27, 13.4.38 (RDLEN, TDLEN: 128-byte aligned)]"
    )


def test_every_rule_has_a_source_and_a_name_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.source for rule in RULES)


def test_absent_registers_are_absent() -> None:
    there = {row.first * 4 for row in TABLE}
    assert not there & ABSENT.keys()
    assert TUNING.items() <= ABSENT.items()


# QEMU's trace


def test_a_trace_is_read_and_says_what_was_not_checked(tmp_path: Path) -> None:
    text = "QEMU 7.2 monitor\n" + trace([*receive_ring(), w(RCTL, EN), w(RDT, 0)])
    said = report(tmp_path, text)
    assert said.findings == []
    assert said.notes == [NO_MEMORY, NO_COMMAND, NO_WIDTH, NO_RDH]


def test_a_trace_with_a_ring_that_was_meant_full(tmp_path: Path) -> None:
    ops = [*receive_ring(tail=0), w(RCTL, EN), w(RDT, 0), w(0x38, 0)]
    assert traced(tmp_path, trace(ops)) == [("line 6", "rdt-at-rdh")]


def test_the_line_of_the_manual_page(tmp_path: Path) -> None:
    line = (
        "memory_region_ops_write cpu 0 mr 0x55d addr 0xfebc0000 value 0x4140260 size 4 "
        "name 'e1000-mmio'\n"
    )
    assert traced(tmp_path, line) == [("line 1", "ctrl-rst")]


def test_other_devices_and_other_lines_are_passed_over(tmp_path: Path) -> None:
    lines = [
        trace_line("write", 0, 1 << 26, name="rtl8139"),
        "\xff\x00 garbage",
        "9@1700000000.000001:" + trace_line("write", RDLEN, 100),
    ]
    assert traced(tmp_path, "\n".join(lines)) == [("line 3", "ring-length")]


def config_lines(command: int, *, bar: int = 0xFEBC0000) -> list[str]:
    def line(name: str, address: int, value: int) -> str:
        return (
            f"memory_region_ops_write cpu 0 mr 0x1 addr 0x{address:x} value 0x{value:x} size 4 "
            f"name '{name}'"
        )

    return [
        line("pci-conf-idx", 0xCF8, 0x80001810),
        line("pci-conf-data", 0xCFC, bar),
        line("pci-conf-idx", 0xCF8, 0x80001804),
        line("pci-conf-data", 0xCFC, command),
    ]


def test_bus_master_is_seen_in_the_configuration_accesses(tmp_path: Path) -> None:
    start = trace([*receive_ring(), w(RCTL, EN)])
    off = "\n".join(config_lines(0x103)) + "\n" + start
    assert traced(tmp_path, off) == [("line 9", "bus-master-off")]
    assert report(tmp_path, off).notes == [NO_MEMORY, NO_WIDTH]
    assert not traced(tmp_path, "\n".join(config_lines(0x107)) + "\n" + start)
    assert not traced(tmp_path, "\n".join(config_lines(0x103, bar=0xFEA00000)) + "\n" + start)


@pytest.mark.parametrize(
    "comes",
    [[w(ICS, 0x4)], [r(ICS, 0x4)], [w(TCTL, 2)], [w(MDIC, 1 << 29)]],
    ids=["ICS written", "ICS read", "transmit", "MDIC"],
)
def test_a_cause_that_comes_needs_an_acknowledgement_in_a_trace(comes: Ops, tmp_path: Path) -> None:
    ops = [w(IMS, 0x206), *comes]
    assert traced(tmp_path, trace(ops)) == [("line 1", "not-acknowledged")]
    assert not traced(tmp_path, trace([*ops, r(ICR, 0x206)]))
    assert not traced(tmp_path, trace([*ops, w(ICR, 0x206)]))
    assert not traced(tmp_path, trace([*comes, r(ICR, 0x206), w(IMS, 0x206)]))


def test_a_cause_that_need_not_have_come_is_a_note(tmp_path: Path) -> None:
    said = report(tmp_path, trace([r(ICR), w(IMS, 0x80)]))
    assert said.findings == []
    assert said.notes[-1] == (
        "line 2: 0x00000080 (RXT0) is enabled, and ICR is neither read nor written after that; "
        "whether it comes does not show"
    )
    assert report(tmp_path, trace([w(IMS, 0x80), r(ICR)])).notes == [
        NO_MEMORY,
        NO_COMMAND,
        NO_WIDTH,
    ]


def test_rctl_rewritten_later_in_a_trace(tmp_path: Path) -> None:
    ops = [*receive_ring(), w(RCTL, EN), w(IMC, 1), w(RCTL, EN | 8)]
    assert traced(tmp_path, trace(ops)) == [("line 7", "rctl-rewritten")]


def test_equal_notes_are_one(tmp_path: Path) -> None:
    ops = [*receive_ring(), w(RCTL, EN), *[w(0x38, 0), w(RCTL, EN), w(MTA, 1)] * 13]
    assert report(tmp_path, trace(ops)).notes[-1] == (
        "line 7: RCTL is rewritten with the filters; each RCTL write makes the card deaf for a "
        "second (13 times)"
    )


def test_each_card_has_a_report(tmp_path: Path) -> None:
    one, other = w(CTRL, 1 << 26), w(RDLEN, 100, base=0xFEB00000)
    (tmp_path / "qemu.log").write_text(trace([one, other, r(STATUS)]))
    assert [
        (report.place, [(f.where, f.rule.name) for f in report.findings])
        for report in lint_trace(tmp_path / "qemu.log")
    ] == [
        (f"{tmp_path}/qemu.log, card at 0xfebc0000", [("line 1", "ctrl-rst")]),
        (f"{tmp_path}/qemu.log, card at 0xfeb00000", [("line 2", "ring-length")]),
    ]


@pytest.mark.parametrize(
    ("written", "width"), [(0xABCD, "16-bit access"), (0xCD, "8- or 16-bit access")]
)
def test_the_width_of_an_access_that_a_trace_hides(
    written: int, width: str, tmp_path: Path
) -> None:
    """QEMU prints size 4 for it."""
    (found,) = report(tmp_path, trace([w(MTA + 2, written)])).findings
    assert found.text.startswith(f"{width} (QEMU prints size 4) to MTA[0] at 0x05202")


def test_an_odd_address_is_8_bits(tmp_path: Path) -> None:
    (found,) = report(tmp_path, trace([r(MTA + 1, 0xABCD)])).findings
    assert found.text.startswith("8-bit access (QEMU prints size 4) to MTA[0] at 0x05201")


def test_an_access_that_is_not_aligned_in_a_recording() -> None:
    (found,) = findings(w(MTA + 2, 1))
    assert found.text.startswith("32-bit access to MTA[0] at 0x05202: on QEMU a read joins the two")


# The I/O window


def io_line(kind: str, offset: int, value: int) -> str:
    return trace_line(kind, offset, value, name="e1000-io", base=0xC000)


def test_the_io_window_does_nothing(tmp_path: Path) -> None:
    lines = [io_line("write", 0, 0x8), io_line("read", 4, 0), io_line("write", 4, 7)]
    (found,) = report(tmp_path, "\n".join(lines)).findings
    assert (found.where, found.rule.name, found.count) == ("line 2", "io-window", 2)
    assert found.text.startswith("read of STATUS through the I/O window")


def test_linuxs_reset_through_the_io_window_is_a_note(tmp_path: Path) -> None:
    lines = [io_line("write", 0, 0), io_line("write", 4, 0x4140240)]
    said = report(tmp_path, "\n".join(lines))
    assert said.findings == []
    assert said.notes[-1].startswith("CTRL.RST through the I/O window (BAR 1)")


def test_a_cards_io_window_belongs_to_it(tmp_path: Path) -> None:
    bars = config_lines(0x107) + [
        line.replace("0x80001810", "0x80001814").replace("0xfebc0000", "0xc001")
        for line in config_lines(0x107)[:2]
    ]
    lines = [*bars, trace_line("write", CTRL, 1 << 26), io_line("read", 4, 0)]
    found = report(tmp_path, "\n".join(lines)).findings
    assert [f.rule.name for f in found] == ["ctrl-rst", "io-window"]
    (tmp_path / "qemu.log").write_text("\n".join(lines[len(bars) :]))
    assert [report.place for report in lint_trace(tmp_path / "qemu.log")] == [
        f"{tmp_path}/qemu.log, card at 0xfebc0000",
        f"{tmp_path}/qemu.log, card with the I/O window at 0xc000",
    ]


# The driver of Linux


@pytest.fixture(scope="module")
def linux() -> Ops:
    with pytest.MonkeyPatch.context() as patch:
        return record_linux(patch, "hello-hub")


DRIVER_LIKE = [
    vector
    for _, vector in read_recordings(VECTORS / "mit.tar.xz")
    if vector["name"].startswith("mit_linux")
]


@pytest.mark.parametrize("vector", DRIVER_LIKE, ids=lambda vector: vector["name"])
def test_recorded_driver_like_programs_give_no_finding(vector: dict[str, Any]) -> None:
    assert lint_recording(vector["name"], vector).findings == []


def test_linuxs_driver_gives_no_finding(linux: Ops) -> None:
    kinds = {op["op"] for op in linux}
    assert kinds >= {"w", "r", "mem", "cfgw", "inject"}
    assert sum(op.get("reg") == TDT and op["op"] == "w" for op in linux) > 3
    said = lint_recording("linux", recording(*linux, bus_master=False))
    assert [str(finding) for finding in said.findings] == []


def test_linuxs_driver_gives_no_finding_in_a_trace(linux: Ops, tmp_path: Path) -> None:
    assert traced(tmp_path, trace(linux)) == []


# The command


def test_the_command_prints_findings_and_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "driver.json"
    log.write_text(json.dumps(recording(w(CTRL, 1 << 26), w(0x3820, 1))))
    assert main(["lint-driver", str(log)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{log}: op 0: ctrl-rst: ")
    assert lines[1] == f"{log}: note: TIDV is not there on QEMU, and has no effect"
    assert lines[-1] == "1 findings"


def test_the_command_says_in_json_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "qemu.log"
    log.write_text(trace([w(RDLEN, 100)]))
    assert main(["lint-driver", "--json", str(log)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["findings"] == 1
    (only,) = found["logs"][0]["findings"]
    assert (only["where"], only["rule"], only["count"]) == ("line 1", "ring-length", 1)
    assert found["logs"][0]["notes"] == [NO_MEMORY, NO_COMMAND, NO_WIDTH]


def test_a_clean_log_is_exit_code_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "qemu.log"
    log.write_text(trace([w(CTRL, 0x40)]))
    assert main(["lint-driver", str(log)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 findings"


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.log", "nothing of interest\n", "no accesses to 'e1000-mmio' or 'e1000-io'"),
        (
            "a.log",
            "memory_region_ops_write cpu 0 mr 0x1 addr 0xfebc0000 value 0x0 size 4\n",
            "QEMU 6.0 or later prints them",
        ),
        ("a.json", "{}", "not a recording"),
        ("a.tar", "", "a.tar"),
    ],
)
def test_bad_logs_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, complaint: str
) -> None:
    (tmp_path / name).write_text(text)
    assert main(["lint-driver", str(tmp_path / name)]) == 2
    printed = capsys.readouterr()
    assert complaint in printed.err
    assert str(tmp_path / name) in printed.err


def test_a_log_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint-driver", "no/such.log"]) == 2
    assert "no/such.log" in capsys.readouterr().err


def test_any_accesses_can_be_judged() -> None:
    lint = Lint()
    for offset in range(0, 0x20000, 0x3FC):
        for size in (1, 2, 4):
            lint.write("op", offset, 0xFFFFFFFF, size)
            lint.read("op", offset, 0, size)
    assert lint.finish()


REGISTERS = (CTRL, EERD, ICR, ICS, IMS, RCTL, TCTL, RDLEN, RDH, RDT, TDLEN, TDT, RAH)


@settings(deadline=None)
@given(
    accesses=st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from(
                [CTRL, EERD, ICR, ICS, IMS, RCTL, TCTL, RDLEN, RDH, RDT, TDLEN, TDT, RAH]
            )
            | st.integers(0, 0x3FFFF),
            st.integers(0, 1 << 32) | st.sampled_from([0, EN, 1 << 40]),
            st.sampled_from([1, 2, 4, 8]),
        ),
        max_size=30,
    ),
    master=st.none() | st.booleans(),
    is_trace=st.booleans(),
)
def test_no_sequence_of_accesses_is_too_odd_to_judge(
    accesses: list[tuple[bool, int, int, int]], master: bool | None, is_trace: bool
) -> None:
    lint = Lint(trace=is_trace)
    if master is not None:
        lint.bus_master(master)
    for n, (writes, offset, value, size) in enumerate(accesses):
        (lint.write if writes else lint.read)(f"line {n}", offset, value, size, n)
        lint.io(f"line {n}", writes, offset & 0x3F, value)
    for finding in lint.finish():
        assert finding.rule in RULES
        assert finding.count >= 1
        assert int(finding.where.split()[1]) < len(accesses)


def test_of_what_cannot_be_read_nothing_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, message in (("none", "No such file"), ("", "no recordings in it")):
        assert main(["lint-driver", str(tmp_path / name)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
