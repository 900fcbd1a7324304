"""The stages of the driver: what gdb would show, in the order of a packet."""

from __future__ import annotations

import pytest
from fakes_driver import MAC, SECOND, Guest, noting

from desim.guest.skb import Skb
from desim.wire.frame import Frame

MEMORY = {
    "e1000_copybreak",
    "e1000_alloc_frag",
    "napi_build_skb",
    "__page_frag_cache_refill",
    "__alloc_pages",
}
HELPERS = {"e1000_read_phy_reg", "e1000_write_phy_reg", "e1000_read_eeprom"}


@pytest.fixture
def noted() -> tuple[Guest, list[str]]:
    entered: list[str] = []
    guest = Guest(build=noting(entered)).up()
    entered.clear()
    return guest, entered


def test_a_received_frame(noted: tuple[Guest, list[str]]) -> None:
    guest, entered = noted
    guest.net.inject(Frame(MAC.ljust(60, b"\0")))
    assert [name for name in entered if name not in MEMORY] == [
        "e1000_intr",
        "e1000_clean",
        "e1000_clean_tx_irq",
        "e1000_clean_rx_irq",
        "e1000_receive_skb",
        "e1000_alloc_rx_buffers",
        "e1000_set_itr",
        "e1000_update_itr",
        "e1000_update_itr",
    ]


def test_a_sent_packet_and_the_interrupt_inside_its_tail_write(
    noted: tuple[Guest, list[str]],
) -> None:
    guest, entered = noted
    guest.send(Skb(bytes(60)))
    assert entered[:4] == ["e1000_xmit_frame", "e1000_tx_csum", "e1000_tx_map", "e1000_tx_queue"]
    assert entered[4:10] == [
        "e1000_intr",
        "e1000_clean",
        "e1000_clean_tx_irq",
        "e1000_unmap_and_free_tx_resource",
        "napi_consume_skb",
        "e1000_clean_rx_irq",
    ]


def test_a_pass_of_the_watchdog(noted: tuple[Guest, list[str]]) -> None:
    guest, entered = noted
    guest.cpu.run(2 * SECOND)
    first = entered.index("e1000_watchdog")
    assert [name for name in entered[first:] if name not in HELPERS][:5] == [
        "e1000_watchdog",
        "e1000_has_link",
        "e1000_update_stats",
        "e1000_update_adaptive",
        "e1000_intr",
    ]


def test_probe_and_open() -> None:
    entered: list[str] = []
    guest = Guest(build=noting(entered))
    guest.driver.init_module()
    guest.driver.open()
    order = [
        "e1000_init_module",
        "e1000_probe",
        "e1000_init_hw_struct",
        "e1000_reset_hw",
        "e1000_validate_eeprom_checksum",
        "e1000_read_mac_addr",
        "e1000_reset",
        "e1000_init_hw",
        "e1000_setup_link",
        "e1000_setup_copper_link",
        "e1000_copper_link_autoneg",
        "e1000_phy_get_info",
        "e1000_open",
        "e1000_setup_tx_resources",
        "e1000_setup_rx_resources",
        "e1000_configure",
        "e1000_set_rx_mode",
        "e1000_configure_tx",
        "e1000_setup_rctl",
        "e1000_configure_rx",
        "e1000_alloc_rx_buffers",
        "e1000_intr",
    ]
    places = [entered.index(name) for name in order]
    assert places == sorted(places)
