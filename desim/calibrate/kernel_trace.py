"""Kernel traces (ftrace) of the recorded guest, as points that the simulation has, too.

A trace event becomes the point where the model enters or leaves the same function. Events
without a model are kept as such: writing them down took time that belongs to no stage.
Time stamps are those of the guest's cycle counter: with counted instructions, virtual ns
plus a constant.
"""

from __future__ import annotations

import re

from desim.data import NamedTuple

EVENT, FIELD, FUNCTION = "event", "field of an event", "function"
"""What writing a trace down consists of: an event of the kernel's and each field of it, an event
of the function tracer. Entry and exit of system calls (``sys_enter``, ``sys_exit``) are of
kinds of their own."""

_LINE = re.compile(r"^\s*\S+-\d+\s+\[\d+\]\s+\S{5,6}\s+(\d+): (.*)$")

_POINTS = {
    "net_dev_queue": "__dev_queue_xmit>",
    "net_dev_start_xmit": "dev_hard_start_xmit>",
    "net_dev_xmit": "dev_hard_start_xmit<",
    "irq_handler_entry": "__handle_irq_event_percpu>",
    "irq_handler_exit": "__handle_irq_event_percpu<",
    "napi_gro_receive_entry": "napi_gro_receive>",
    "netif_receive_skb": "__netif_receive_skb_core>",
    "napi_poll": "__napi_poll<",
    "tcp_probe": "tcp_rcv_established>",
}
_SOFTIRQS = {"vec=2": "net_tx_action", "vec=3": "net_rx_action"}
_FUNCTIONS = frozenset(
    {
        "e1000_xmit_frame",
        "e1000_intr",
        "e1000_clean",
        "e1000_clean_rx_irq",
        "e1000_alloc_rx_buffers",
        "e1000_unmap_and_free_tx_resource",
        "e1000_update_itr",
    }
)
EXITED = "do_exit<"
"""A task that has ended gives the processor away."""
POINTS = frozenset(
    {point[:-1] for point in _POINTS.values()} | set(_SOFTIRQS.values()) | _FUNCTIONS
) | {"do_syscall_64", "do_exit"}


class Event(NamedTuple):
    """One line of a trace. ``point`` is "" for what has no model."""

    time: int
    written: tuple[str, ...]
    """What writing it down consisted of."""
    point: str


def parse_trace(text: str) -> list[Event]:
    """The events of a trace, in order; its first line, the tool's own result, is passed over."""
    events = []
    for line in text.splitlines():
        if match := _LINE.match(line):
            time, what = match.groups()
            kind, point = _point(what)
            fields = what.count("=") if kind == EVENT else 0
            events.append(Event(int(time), (kind, *[FIELD] * fields), point))
    return events


def _point(what: str) -> tuple[str, str]:
    if " <-" in what:
        function = what.partition(" ")[0]
        return FUNCTION, f"{function}>" if function in _FUNCTIONS else ""
    if what.startswith("sys_"):
        name, entry, _ = re.split(r"(\(| -> )", what, maxsplit=1)
        entering = entry == "("
        return "sys_enter" if entering else "sys_exit", name + (">" if entering else "<")
    name, _, detail = what.partition(": ")
    if name in ("softirq_entry", "softirq_exit"):
        handler = _SOFTIRQS.get(detail.partition(" ")[0])
        return EVENT, handler + (">" if name.endswith("entry") else "<") if handler else ""
    if name == "sched_switch" and "prev_state=Z" in detail:
        return EVENT, EXITED
    return EVENT, _POINTS.get(name, "")
