"""Registers, configuration space, reset and stages: what the recordings do not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from card_fixture import MAC, TX_BUFFERS, TX_RING, Bed, ethernet
from hypothesis import example, given
from hypothesis import strategies as st

from desim.conform.e1000.decode import decode, register_name
from desim.devices import Nic
from desim.e1000 import E1000
from desim.e1000.registers import (
    ALL,
    CTRL,
    CTRL_RST,
    CTRL_SLU,
    EECD,
    EERD,
    GPRC,
    ICR,
    ICS,
    IMS,
    ITR,
    LEDCTL,
    LSC,
    MDIC,
    MPC,
    MTA,
    RA,
    RADV,
    RCTL,
    RDH,
    RDT,
    RDTR,
    RNBC,
    RXT0,
    STATUS,
    STATUS_LU,
    TADV,
    TCTL,
    TDH,
    TDT,
    TORL,
    TPR,
    TXDW,
    TXQE,
    VET,
)
from desim.stages import marks_of
from desim.testing import Ledger, MemoryBus, VirtualClock, Wire

T = TypeVar("T")
EOP_RS = 1 << 24 | 1 << 27
MS = 1_000_000


# Properties and models


@pytest.mark.parametrize("register", [ITR, RDTR, RADV, TADV])
def test_without_mitigation_its_registers_are_not_there(register: int) -> None:
    bed = Bed(mitigation=False)
    bed[register] = 0x1234
    assert bed[register] == 0
    bed = Bed()
    bed[register] = 0x1_1234
    assert bed[register] == 0x1234


def test_without_extra_mac_registers_statistics_read_zero_but_count() -> None:
    bed = Bed(extra_mac_registers=False).receive_ring()
    for _ in range(8):
        bed.card.receive(ethernet())
    assert bed[RNBC] == 0
    assert bed[MPC] == 1
    assert (bed[TPR], bed[GPRC]) == (7, 7)
    assert bed[TORL] == 7 * 64


def test_only_the_first_of_a_gated_array_is_gated() -> None:
    bed = Bed(extra_mac_registers=False)
    for offset in (0x9800, 0x9808):  # FFVT
        bed.card.mmio_write(offset, 7)
    assert [bed.card.mmio_read(offset) for offset in (0x9800, 0x9808)] == [0, 7]


def test_without_init_vet_the_vlan_type_is_zero() -> None:
    assert Bed(init_vet=False)[VET] == 0
    assert Bed()[VET] == 0x8100


def test_without_autonegotiation_a_restart_does_nothing() -> None:
    bed = Bed(autonegotiation=False)
    bed[MDIC] = 1 << 26 | 1 << 21 | 0x1200
    assert bed[STATUS] & STATUS_LU


def test_without_autonegotiation_the_link_comes_back_at_once() -> None:
    bed = Bed(autonegotiation=False)
    flushes = bed.wire.flushes
    bed.card.set_link(False)
    assert bed[ICR] == LSC
    bed.card.set_link(True)
    assert bed[STATUS] & STATUS_LU
    assert bed[ICR] == LSC
    assert bed.wire.flushes == flushes + 1


def phy(bed: Bed, register: int) -> int:
    """A register of the PHY, through MDIC."""
    bed[MDIC] = 1 << 27 | 1 << 21 | register << 16
    return bed[MDIC] & 0xFFFF


def negotiate(bed: Bed) -> None:
    bed[MDIC] = 1 << 26 | 1 << 21 | 0x1200
    bed.clock.advance_to(bed.clock.now() + 501 * MS)


def test_a_cut_link_takes_back_what_was_negotiated() -> None:
    bed = Bed()
    negotiate(bed)
    assert [phy(bed, 1), phy(bed, 5)] == [0x796D, 0x41E0]
    bed.card.set_link(False)
    assert [phy(bed, 1), phy(bed, 5)] == [0x7949, 0x01E0]


def test_a_link_that_is_up_and_negotiated_stays_when_it_is_set_up_again() -> None:
    bed = Bed()
    negotiate(bed)
    bed[ICR] = ALL
    bed.card.set_link(True)
    assert bed[STATUS] & STATUS_LU
    assert bed[ICR] == 0


def test_frames_that_wait_for_the_link_come_in_front_of_its_interrupt() -> None:
    """RADV counts for the window only if RXT0 is what raised the line."""
    bed = Bed().receive_ring(mask=RXT0 | LSC)
    bed[RDTR], bed[RADV], bed[ITR] = 1, 2000, 0xFFFF
    bed.wire.flush = lambda: bed.card.receive(ethernet())
    negotiate(bed)
    (edge,) = bed.bus.edges
    assert bed[ICR] == RXT0 | LSC
    assert bed.card.interrupts.mit_timer.deadline == edge + 2000 * 1024


def test_only_a_write_of_the_command_register_lets_in_what_waits() -> None:
    bed = Bed()
    flushes = bed.wire.flushes
    bed.card.config_write(0x3C, 11, 1)
    assert bed.wire.flushes == flushes
    bed.card.config_write(4, 0x7)
    bed.card.config_write(4, 0x3)
    assert bed.wire.flushes == flushes + 1


def test_counters_stop_at_their_end() -> None:
    bed = Bed().receive_ring()
    reg = bed.card.mac_reg
    reg[TPR], reg[TORL], reg[TORL + 1] = ALL, ALL - 10, ALL
    bed.offer(ethernet())
    assert (reg[TPR], reg[TORL], reg[TORL + 1]) == (ALL, ALL, ALL)
    reg[TORL], reg[TORL + 1] = ALL - 10, 7
    bed.offer(ethernet())
    assert (reg[TORL], reg[TORL + 1]) == (64 - 11, 8)
    reg[RDT], reg[MPC], reg[RNBC] = reg[RDH], ALL, ALL - 1
    assert [bed.card.receive(ethernet()) for _ in range(2)] == [-1, -1]
    assert (reg[MPC], reg[RNBC]) == (ALL, ALL)


def test_unknown_models_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no such model: 'e1000e'; there are e1000, e1000-82544gc"):
        Bed(model="e1000e")


def test_a_mac_has_six_bytes() -> None:
    clock = VirtualClock()
    with pytest.raises(ValueError, match="6 bytes, not 2: 52:54"):
        E1000(
            clock=clock, pci=MemoryBus(clock), net=Wire(), ledger=Ledger(), nic=Nic(mac=b"\x52\x54")
        )


# Access


def test_an_unaligned_read_joins_the_two_registers_around_it() -> None:
    bed = Bed()
    bed[MTA], bed[MTA + 1] = 0x44332211, 0x88776655
    assert bed.card.mmio_read(MTA * 4 + 1) == 0x55443322
    assert bed.card.mmio_read(MTA * 4 + 3) == 0x77665544


def test_an_unaligned_read_of_16_bits_joins_whole_registers() -> None:
    """Both reads at +0 and +2 give all 32 bits, which then overlap."""
    bed = Bed()
    bed[MTA], bed[MTA + 1] = 0x44332211, 0x88776655
    assert bed.card.mmio_read(MTA * 4 + 1, 2) == 0x3322 | 0x2211 << 8 & 0xFFFF
    assert bed.card.mmio_read(MTA * 4 + 3, 2) == 0x3322 | 0x6655 << 8 & 0xFFFF


def test_an_unaligned_read_has_the_side_effects_of_both() -> None:
    bed = Bed()
    bed[ICS] = 0x84
    bed.card.mac_reg[ITR] = 0xABCD
    assert bed.card.mmio_read(ICR * 4 + 1) == 0xCD000000
    assert bed[ICR] == 0


def test_8_bits_are_always_aligned_and_show_the_low_part() -> None:
    bed = Bed()
    bed[MTA] = 0x44332211
    assert bed.card.mmio_read(MTA * 4 + 3, 1) == 0x11


def test_an_unaligned_write_is_single_bytes_that_replace_registers() -> None:
    bed = Bed()
    bed.card.mmio_write(MTA * 4 + 2, 0xDDCCBBAA)
    assert (bed[MTA], bed[MTA + 1]) == (0xBB, 0xDD)
    bed.card.mmio_write(MTA * 4 + 1, 0xFFEE, 2)
    assert bed[MTA] == 0xFF


def test_the_window_repeats() -> None:
    bed = Bed()
    assert bed.card.mmio_read(0x20000 + STATUS * 4) == bed[STATUS]


def test_without_memory_space_no_register_answers() -> None:
    bed = Bed()
    bed.card.config_write(4, 0x4)
    bed[LEDCTL] = 1
    assert bed[STATUS] == 0
    bed.card.config_write(4, 0x6)
    assert bed[LEDCTL] == 0x602


def test_the_io_window_is_inert() -> None:
    bed = Bed()
    bed.card.io_write(0, 0)
    bed.card.io_write(4, CTRL_RST)
    assert bed.card.io_read(4) == 0
    assert bed[CTRL] & CTRL_SLU


# Configuration space


def test_bars_tell_their_size() -> None:
    bed = Bed()
    for offset, mask in ((0x10, 0xFFFE0000), (0x14, 0xFFFFFFC1), (0x30, 0xFFFC0001), (0x18, 0)):
        bed.card.config_write(offset, ALL)
        assert bed.card.config_read(offset) == mask


def test_configuration_is_written_in_bytes_and_words() -> None:
    bed = Bed()
    bed.card.config_write(0x3C, 0x0B, 1)
    bed.card.config_write(0x3D, 0x02, 1)
    assert bed.card.config_read(0x3C, 2) == 0x010B
    bed.card.config_write(0x10, 0xFEB8, 2)
    bed.card.config_write(0x12, 0xFEB8, 2)
    assert bed.card.config_read(0x10) == 0xFEB80000


def test_configuration_ends_after_256_bytes() -> None:
    bed = Bed()
    bed.card.config_write(0xFE, 0x11223344)
    assert bed.card.config_read(0xFE, 2) == 0x3344
    assert bed.card.config_read(0x100) == ALL


def test_without_bus_master_descriptors_read_as_zeros() -> None:
    bed = Bed().transmit_ring(mask=TXQE)
    bed.put(0, b"x" * 60, EOP_RS)
    bed.card.config_write(4, 0x3)
    bed[TDT] = 1
    assert bed.sent() == []
    assert bed[TDH] == 1
    assert bed[ICR] == TXQE
    assert bed.memory.read(TX_RING + 12, 4) == bytes(4)


def test_becoming_bus_master_lets_in_what_waits() -> None:
    bed = Bed()
    bed.card.config_write(4, 0x3)
    before = bed.wire.flushes
    bed.card.config_write(4, 0x7)
    assert bed.wire.flushes == before + 1


# Reset


def test_a_reset_takes_everything_back() -> None:
    bed = Bed().receive_ring(mask=RXT0).transmit_ring(mask=TXDW)
    bed.card.receive(ethernet())
    assert bed.bus.level
    bed[MDIC] = 1 << 26 | 1 << 21 | 0x1200
    bed.card.reset()
    assert not bed.bus.level
    assert bed.card.config_read(4, 2) == 0
    bed.card.config_write(4, 7)
    assert [bed[n] for n in (ICR, IMS, RCTL, RDT, TCTL)] == [0] * 5
    assert bed[STATUS] & STATUS_LU
    assert bed.card.mmio_read(RA * 4 + 4) == 0x80005634
    assert all(timer.deadline is None for timer in timers(bed))


def timers(bed: Bed) -> list[Any]:
    card = bed.card
    return [card.interrupts.mit_timer, card.phy.autoneg_timer, card.rx.flush_queue_timer]


def test_a_link_that_is_cut_stays_cut_over_a_reset() -> None:
    bed = Bed()
    bed.card.set_link(False)
    bed.card.reset()
    bed.card.config_write(4, 7)
    assert not bed[STATUS] & STATUS_LU
    assert bed[ICR] == 0


def test_ctrl_rst_resets_nothing() -> None:
    bed = Bed()
    bed[LEDCTL] = 5
    bed[CTRL] = CTRL_RST | CTRL_SLU
    assert (bed[CTRL], bed[LEDCTL]) == (CTRL_SLU, 5)


# EEPROM


def test_eeprom_words_sum_up_to_baba() -> None:
    for model in ("e1000", "e1000-82544gc", "e1000-82545em"):
        words = Bed(model=model).card.eeprom.words
        assert sum(words) & 0xFFFF == 0xBABA
        assert len(words) == 64
        assert b"".join(word.to_bytes(2, "little") for word in words[:3]) == MAC


def test_eeprom_by_bits_and_by_words_is_the_same() -> None:
    bed = Bed()
    for address in (0, 11, 63):
        bed[EERD] = address << 8 | 1
        assert read_bits(bed, address) == bed[EERD] >> 16


def read_bits(bed: Bed, address: int) -> int:
    """A Microwire read: start bit, opcode 10, six bits of address, 16 bits of data."""
    bed[EECD] = 0
    for bit in f"110{address:06b}":
        level = 2 | 4 * int(bit)
        bed[EECD] = level
        bed[EECD] = level | 1
    value = 0
    for _ in range(16):
        bed[EECD] = 2
        value = value << 1 | bed[EECD] >> 3 & 1
        bed[EECD] = 3
    return value


PIN_LEVELS = st.lists(st.integers(0, 15) | st.sampled_from([2, 3, 6, 7]), max_size=40)


def pins(bed: Bed) -> list[int]:
    """What can be seen of the shifter from now on."""
    return [bed[EECD], *(read_on(bed) for _ in range(20))]


def read_on(bed: Bed) -> int:
    bed[EECD] = 3
    bed[EECD] = 2
    return bed[EECD]


@given(
    address=st.none() | st.integers(0, 63),
    before=PIN_LEVELS,
    level=st.integers(0, 15),
    clock=st.sampled_from([1, 1, 1, 0, 4]),
    keep=st.sampled_from([~5, ~1, ~7, ~0]),
    count=st.sampled_from([0, 1, 2, 16, 40]),
)
@example(address=63, before=[2], level=2, clock=1, keep=~5, count=16)
@example(address=63, before=[2], level=2, clock=1, keep=~5, count=40)
@example(address=63, before=[2], level=2, clock=1, keep=~7, count=16)
def test_eeprom_pins_at_one_go_are_as_one_by_one(
    address: int | None, before: list[int], level: int, clock: int, keep: int, count: int
) -> None:
    one, all_ = Bed(), Bed()
    if address is not None:
        read_bits(one, address)
        read_bits(all_, address)
    for value in before:
        one[EECD] = value
    all_.card.eeprom.set_pins(before)
    values = []
    held = level
    for _ in range(count):
        one[EECD] = held | clock
        values.append(one[EECD])
        held = values[-1] & keep
        one[EECD] = held & 0xFFFF_FFFF
    assert all_.card.eeprom.clock_in(level, clock, keep, count) == values
    assert pins(all_) == pins(one)


# Stages


def recorded(calls: list[str]) -> Callable[[type[T]], type[T]]:
    """A ``Build`` whose parts note the names of their marked methods as they are entered."""

    def build(cls: type[T], /) -> type[T]:
        def wrap(method: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
            def noted(self: Any, *args: Any) -> Any:
                calls.extend(names)
                return method(self, *args)

            return noted

        marked = {key: wrap(getattr(cls, key), mark.names) for key, mark in marks_of(cls)}
        return type(cls.__name__, (cls,), marked)

    return build


def built(calls: list[str]) -> tuple[E1000, MemoryBus]:
    build = recorded(calls)
    clock = VirtualClock()
    bus = MemoryBus(clock)
    nic = Nic(mac=MAC)
    card = build(E1000)(clock=clock, pci=bus, net=Wire(), ledger=Ledger(), nic=nic, build=build)
    card.config_write(4, 7)
    return card, bus


def test_a_sent_frame_passes_the_stages_of_qemu() -> None:
    calls: list[str] = []
    card, bus = built(calls)
    address = TX_BUFFERS.to_bytes(8, "little")
    bus.memory.write(TX_RING, address + (60 | EOP_RS).to_bytes(8, "little"))
    card.mmio_write(0x3800, TX_RING)
    card.mmio_write(0x3808, 128)
    card.mmio_write(0x400, 2)
    calls.clear()
    card.mmio_write(0x3818, 1)
    assert calls == [
        "e1000_mmio_write",
        "set_tctl",
        "start_xmit",
        "process_tx_desc",
        "xmit_seg",
        "e1000_send_packet",
        "set_ics",
        "set_interrupt_cause",
    ]


def test_a_received_frame_passes_the_stages_of_qemu() -> None:
    calls: list[str] = []
    card, _ = built(calls)
    card.rx.rxbuf_size = 2048
    card.mac_reg[RCTL] = 0x8002
    card.mac_reg[RDT] = 4
    card.mac_reg[RDH] = 0
    card.mmio_write(0x2808, 128)
    calls.clear()
    assert card.receive(ethernet()) == -1  # all descriptors are null
    assert calls == ["e1000_receive_iov", "receive_filter", "set_ics", "set_interrupt_cause"]


def test_a_timer_passes_its_stage() -> None:
    calls: list[str] = []
    card, _ = built(calls)
    card.mmio_write(ICS * 4, 4)
    card.mmio_write(IMS * 4, 4)
    calls.clear()
    card.interrupts.mit_timer.fire()
    assert calls == ["e1000_mit_timer", "set_interrupt_cause"]


def test_set_ics_says_what_qemu_prints() -> None:
    bed = Bed()
    bed[ICS] = 0x80
    bed[IMS] = 0x9D
    says = bed.card.interrupts.STAGES["set_ics"].says
    assert says is not None
    assert says(bed.card.interrupts, 0, 0x10) == "set_ics 10, ICR 80, IMR 9d"


# Names and examples


def test_registers_are_decoded_for_people() -> None:
    assert register_name(0x00C0) == "ICR"
    assert register_name(0x5204) == "MTA[1]"
    assert register_name(0x0018) == "offset 0x00018 (no register)"
    assert decode("ICR", 0x84) == "0x00000084 (LSC RXT0)"
    assert decode("VET", 0x8100) == "0x00008100"
