"""What the debugger shows: the running thread's own stack, as gdb showed it in the study."""

from __future__ import annotations

import json
from typing import Any

import pytest
from runs import HELLO, config, desim, shipped_run

from desim.experiment.backtrace import Backtrace, find_functions
from desim.experiment.run import backtrace

SECOND = 10**9

STUDY = """
e1000_receive_iov hw/net/e1000.c
qemu_deliver_packet_iov net/net.c
qemu_net_queue_deliver_iov net/queue.c
qemu_net_queue_send_iov net/queue.c
qemu_sendv_packet_async net/net.c
qemu_sendv_packet net/net.c
net_hub_receive_iov net/hub.c
net_hub_port_receive_iov net/hub.c
qemu_deliver_packet_iov net/net.c
qemu_net_queue_deliver net/queue.c
qemu_net_queue_send net/queue.c
qemu_send_packet_async_with_flags net/net.c
qemu_send_packet_async net/net.c
qemu_send_packet net/net.c
slirp_output net/slirp.c
if_encap slirp/slirp.c
if_start slirp/if.c
if_output slirp/if.c
ip_output slirp/ip_output.c
tcp_output slirp/tcp_output.c
tcp_connect slirp/tcp_subr.c
slirp_pollfds_poll slirp/slirp.c
main_loop_wait main-loop.c
main_loop vl.c
main vl.c
"""
"""As gdb printed it, with each function's file."""

HUB = range(1, 8)
"""What of it is the hub's: the second delivery and what led to it."""

TRANSMIT = """
tcp_input slirp/tcp_input.c
ip_input slirp/ip_input.c
slirp_input slirp/slirp.c
net_slirp_receive net/slirp.c
qemu_deliver_packet_iov net/net.c
qemu_net_queue_deliver net/queue.c
qemu_net_queue_send net/queue.c
qemu_send_packet_async_with_flags net/net.c
qemu_send_packet_async net/net.c
qemu_send_packet net/net.c
e1000_send_packet hw/net/e1000.c
xmit_seg hw/net/e1000.c
process_tx_desc hw/net/e1000.c
start_xmit hw/net/e1000.c
set_tctl hw/net/e1000.c
e1000_mmio_write hw/net/e1000.c
e1000_xmit_frame drivers/net/ethernet/intel/e1000/e1000_main.c
dev_hard_start_xmit net/core/dev.c
sch_direct_xmit net/sched/sch_generic.c
__dev_queue_xmit net/core/dev.c
"""

WAITS_FOR_ARP = """
__neigh_update net/core/neighbour.c
neigh_update net/core/neighbour.c
arp_rcv net/ipv4/arp.c
"""

INTERRUPT = """
__napi_poll net/core/dev.c
net_rx_action net/core/dev.c
__do_softirq kernel/softirq.c
irq_exit_rcu kernel/softirq.c
common_interrupt arch/x86/kernel/irq.c
default_idle_call kernel/sched/idle.c
do_idle kernel/sched/idle.c
tcg_cpu_exec cpus.c
qemu_tcg_cpu_thread_fn cpus.c
"""


def lines(text: str) -> list[tuple[str, str]]:
    return [(name, file) for name, file in (line.split() for line in text.split("\n") if line)]


def at(scenario: str, function: str, **more: Any) -> Backtrace:
    found = backtrace(config(scenario), find_functions(function), **more)
    assert found is not None
    return found


@pytest.mark.parametrize("scenario", ["hello-redir", "hello-hub"])
def test_through_the_hub_the_studys_25_functions(scenario: str) -> None:
    found = at(scenario, "e1000_receive_iov", after_ns=5 * SECOND)
    assert len(found.frames) == 25
    assert found.frames == lines(STUDY)
    assert found.thread == "main"


def test_without_a_hub_18_functions() -> None:
    found = at("hello", "e1000_receive_iov", after_ns=5 * SECOND)
    assert len(found.frames) == 18
    direct = [frame for number, frame in enumerate(lines(STUDY)) if number not in HUB]
    assert found.frames == direct


def test_slirp_gets_a_frame_inside_the_guests_own_write_of_tdt() -> None:
    found = at("hello", "tcp_input", after_ns=5 * SECOND)
    assert found.thread == "vcpu"
    assert found.frames[:20] == lines(TRANSMIT)
    # The SYN-ACK had to wait for ARP, so it leaves when the answer is received.
    assert found.frames[20:23] == lines(WAITS_FOR_ARP)
    assert found.frames[-9:] == lines(INTERRUPT)


def test_a_program_that_sends_is_below_the_driver_in_the_stack() -> None:
    found = at("hello-close", "tcp_input", hit=2, after_ns=5 * SECOND)
    for expected in (lines(TRANSMIT)[:16], [("qemu_tcg_cpu_thread_fn", "cpus.c")]):
        assert [frame for frame in found.frames if frame in expected] == expected


def test_what_an_interrupt_interrupted_is_below_it() -> None:
    names = [frame.function for frame in at("upload", "e1000_intr", hit=12).frames]
    assert names[:1] == ["e1000_intr"]
    assert "common_interrupt" in names
    assert names[-1] == "qemu_tcg_cpu_thread_fn"


def test_calls_go_on_to_set_ics_with_its_line_and_set_interrupt_cause() -> None:
    found = at("hello-redir", "e1000_receive_iov", after_ns=5 * SECOND, calls=True)
    assert found.frames == lines(STUDY)
    assert found.calls is not None
    assert [(call.depth, call.function, call.says) for call in found.calls] == [
        (1, "receive_filter", None),
        (1, "set_ics", "set_ics 80, ICR 0, IMR 9d"),
        (2, "set_interrupt_cause", None),
    ]
    assert "  set_ics at hw/net/e1000.c    set_ics 80, ICR 0, IMR 9d" in found.text()


def test_hit_counts_the_entries() -> None:
    first = at("hello", "e1000_receive_iov")
    second = at("hello", "e1000_receive_iov", hit=2)
    assert (first.hit, second.hit) == (1, 2)
    assert first.at_ns < second.at_ns
    assert first.packet != second.packet


def test_after_counts_from_that_instant_on() -> None:
    found = at("hello", "e1000_receive_iov", after_ns=5 * SECOND)
    assert found.hit == 1
    assert found.at_ns >= 5 * SECOND
    at_it = at("hello", "e1000_receive_iov", after_ns=found.at_ns)
    behind = at("hello", "e1000_receive_iov", after_ns=found.at_ns + 1)
    assert at_it.at_ns == found.at_ns
    assert behind.at_ns > found.at_ns


def test_packet_stops_at_that_packet_only() -> None:
    (line,) = (p for p in shipped_run("hello").packets["slirp"] if HELLO in p.frame.raw)
    found = at("hello", "e1000_receive_iov", packet=line.frame.number)
    assert found.packet == line.frame.number
    assert found.packet_text is not None
    assert "length 17" in found.packet_text


def test_a_packet_that_never_comes_is_no_hit() -> None:
    assert backtrace(config("refused"), find_functions("e1000_receive_iov"), packet=99) is None


def test_a_file_tells_functions_of_one_name_apart() -> None:
    for file in ("slirp/ip_output.c", "net/ipv4/ip_output.c"):
        assert at("hello", f"{file}:ip_output").frames[0] == ("ip_output", file)


def test_a_breakpoint_changes_nothing_before_it() -> None:
    strict = backtrace(config("hello", strict=True), find_functions("tcp_input"), hit=3)
    assert strict == at("hello", "tcp_input", hit=3)


def test_the_command_prints_gdbs_form() -> None:
    done = desim("backtrace", "hello-redir", "--break", "e1000_receive_iov", "--after", "5s")
    assert done.returncode == 0, done.stderr
    assert 'Thread "main" hit Breakpoint 1, e1000_receive_iov at hw/net/e1000.c' in done.stdout
    numbered = [line.split() for line in done.stdout.splitlines() if line.startswith("#")]
    assert [int(words[0][1:]) for words in numbered] == list(range(25))
    assert [(words[-3], words[-1]) for words in numbered] == lines(STUDY)


def test_the_command_prints_json_on_request() -> None:
    done = desim("backtrace", "hello-redir", "--break", "e1000_receive_iov", "--after=5s", "--json")
    document = json.loads(done.stdout)
    found = [(frame["function"], frame["file"]) for frame in document["frames"]]
    assert found == lines(STUDY)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    done = desim("backtrace", "hello", "--break", "e1000_recieve_iov")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "e1000_recieve_iov: no modelled function has this name" in done.stderr
    assert "the nearest are e1000_receive_iov" in done.stderr
