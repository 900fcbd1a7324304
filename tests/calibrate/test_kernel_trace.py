"""Lines of a kernel trace become the points that the simulation has, too."""

from __future__ import annotations

import pytest

from desim.calibrate.kernel_trace import FUNCTION, parse_trace

PLACE = "           ltool-345     [000] b..1.  10259"


@pytest.mark.parametrize(
    ("what", "point"),
    [
        ("net_dev_queue: dev=eth0 skbaddr=(____ptrval____) len=98", "__dev_queue_xmit>"),
        ("net_dev_xmit: dev=eth0 skbaddr=(____ptrval____) len=98 rc=0", "dev_hard_start_xmit<"),
        ("irq_handler_entry: irq=11 name=eth0", "__handle_irq_event_percpu>"),
        ("softirq_entry: vec=3 [action=NET_RX]", "net_rx_action>"),
        ("softirq_exit: vec=2 [action=NET_TX]", "net_tx_action<"),
        ("softirq_entry: vec=1 [action=TIMER]", ""),
        ("e1000_clean_rx_irq <-e1000_clean", "e1000_clean_rx_irq>"),
        ("e1000_maybe_stop_tx <-e1000_xmit_frame", ""),
        ("sys_sendto(fd: 3, buff: 2af5e7d0, len: 40, flags: 0)", "sys_sendto>"),
        ("sys_sendto -> 0x40", "sys_sendto<"),
        ("kmem_cache_alloc: call_site=x", ""),
    ],
)
def test_an_event_is_a_point_of_the_model_or_none(what: str, point: str) -> None:
    (event,) = parse_trace(f"{PLACE}731064: {what}")
    assert (event.time, event.point) == (10259731064, point)


def test_the_tools_own_result_and_comments_are_no_events() -> None:
    lines = ['{"test":"ping","t0_ns":10276875414}', "# tracer: nop", f"{PLACE}1: irq_noise: x"]
    assert [event.time for event in parse_trace("\n".join(lines))] == [102591]


def test_functions_are_written_otherwise_than_events() -> None:
    function, event = parse_trace(
        f"{PLACE}1: e1000_intr <-__handle_irq_event_percpu\n{PLACE}2: net_dev_queue: dev=eth0 len=9"
    )
    assert function.written == (FUNCTION,)
    assert event.written != function.written
