"""The figures of a run that have a name, and how their values are shown.

Here stand the names, what each is and which kind of value it has; ``desim.experiment.metrics``
works them out, ``desim.scenario.conditions`` reads conditions on them. All arithmetic is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from desim.data import NamedTuple
from desim.scenario.durations import UNITS

if TYPE_CHECKING:
    from fractions import Fraction

Kind = Literal["time", "count", "rate", "frequency", "share", "ratio"]
"""What a value is: ns; a number of things; bytes per second; times per second; a part of a whole;
so many of one for one of another."""

Value: TypeAlias = "int | Fraction"


Exactness = Literal["verified", "modelled", "costs"]
"""How far a figure can be trusted, beyond that it is what happened in the run."""

EXACTNESS: dict[Exactness, str] = {
    "verified": "counted; tests hold what is counted to recordings of the real thing (how often it "
    "comes may hang on times, and so on the costs)",
    "modelled": "counted; no recording shows the real thing's figure",
    "costs": "a time, or made of times: as good as the cost profile, whose status a run says",
}


class Metric(NamedTuple):
    """One figure."""

    kind: Kind
    about: str
    exactness: Exactness = "verified"
    asked: bool = False
    """Whether it is made only when it is asked for by its name, as it takes a walk through the
    trace or the captures."""


def _walked(kind: Kind, about: str, exactness: Exactness = "modelled") -> Metric:
    return Metric(kind, about, exactness, True)


METRICS = {
    "end": Metric("time", "the virtual time at which the run ended", "costs"),
    "boot": Metric("time", "the virtual time at which the guest's network was up", "costs"),
    "message.time": Metric(
        "time", "the first message from the host: from send() to read()", "costs"
    ),
    "message.own": Metric("time", "of that, how long somebody worked on it", "costs"),
    "message.waiting": Metric("time", "of that, how long it waited for something else", "costs"),
    "ping.sent": Metric("count", "echo requests of all `ping` and `ltool ping` commands"),
    "ping.lost": Metric("count", "those without an answer, as these count them"),
    "ping.min": Metric("time", "the shortest round trip that they show", "costs"),
    "ping.mean": Metric("time", "the mean of all round trips", "costs"),
    "ping.p50": Metric("time", "the round trip that half of all are not longer than", "costs"),
    "ping.p90": Metric("time", "the same of 90 percent", "costs"),
    "ping.p95": Metric("time", "the same of 95 percent", "costs"),
    "ping.p99": Metric("time", "the same of 99 percent", "costs"),
    "ping.max": Metric("time", "the longest round trip", "costs"),
    "to_guest.sent": _walked("count", "messages and datagrams that programs of the host sent"),
    "to_guest.arrived": _walked("count", "those that a program of the guest has read"),
    "to_guest.min": _walked("time", "the shortest time that one was under way", "costs"),
    "to_guest.p50": _walked("time", "the time that half of all were not longer", "costs"),
    "to_guest.p90": _walked("time", "the same of 90 percent", "costs"),
    "to_guest.p99": _walked("time", "the same of 99 percent", "costs"),
    "to_guest.max": _walked("time", "the longest time", "costs"),
    "to_host.sent": _walked("count", "messages and datagrams that programs of the guest sent"),
    "to_host.arrived": _walked("count", "those that a program of the host has read"),
    "to_host.min": _walked("time", "the shortest time that one was under way", "costs"),
    "to_host.p50": _walked("time", "the time that half of all were not longer", "costs"),
    "to_host.p90": _walked("time", "the same of 90 percent", "costs"),
    "to_host.p99": _walked("time", "the same of 99 percent", "costs"),
    "to_host.max": _walked("time", "the longest time", "costs"),
    "transfers": Metric("count", "directions of TCP connections that carried data"),
    "transfer.bytes": Metric("count", "bytes of all transfers, each once"),
    "transfer.time": Metric("time", "how long transfers were under way", "costs"),
    "transfer.rate": Metric("rate", "bytes of all transfers by that time", "costs"),
    "transfer.slowest": Metric("rate", "the rate of the slowest transfer", "costs"),
    "transfer.retransmissions": Metric("count", "frames whose bytes had all been sent before"),
    "tcp.segments": _walked("count", "segments with data, both ways", "verified"),
    "tcp.acks": _walked("count", "segments without data, behind the handshakes", "verified"),
    "tcp.segments_per_ack": _walked("ratio", "segments with data for one without", "verified"),
    "tcp.window_min": _walked(
        "count", "bytes of the smallest window that an end has offered", "verified"
    ),
    "tcp.window_max": _walked("count", "bytes of the largest one", "verified"),
    "frames.to_guest": Metric("count", "frames that the card received"),
    "frames.from_guest": Metric("count", "frames that the card sent"),
    "frames.lost": Metric("count", "frames that ended on their way, but for unwanted multicast"),
    "lost.ring": Metric("count", "of these, for want of a receive descriptor, or of FIFO"),
    "lost.queue": Metric("count", "of these, because a queue of the net layer was full"),
    "lost.fault": Metric("count", "of these, in a packet filter, on purpose", "modelled"),
    "lost.other": Metric("count", "of these, for any other reason"),
    "irq": Metric("count", "interrupts of the card that the guest took"),
    "irq_busy": Metric("count", "of these, while transfers were under way"),
    "irq_rate": Metric(
        "frequency",
        "interrupts per second while transfers were under way; without any, from the first to "
        "the last frame behind the boot",
        "costs",
    ),
    "irq_requested": Metric(
        "frequency",
        "interrupts per second that InterruptThrottleRate asks for; none in a dynamic mode",
    ),
    "irq_programmed": Metric(
        "frequency",
        "interrupts per second that ITR stood for in that time, on the average over its windows",
    ),
    "irq_allowed": Metric(
        "frequency",
        "interrupts per second that these windows allow, with the floor and the other registers",
    ),
    "irq_frames": Metric("ratio", "frames for an interrupt in that time", "costs"),
    "irq_bytes": Metric("ratio", "bytes of frames for an interrupt in that time", "costs"),
    "irq_held": Metric("count", "interrupts that waited for a window of mitigation to end"),
    "irq_held_time": Metric("time", "for how long, in all", "costs"),
    "irq_held_by.itr": Metric("count", "of these, for one whose length ITR had decided"),
    "irq_held_by.radv": Metric("count", "the same, RADV"),
    "irq_held_by.tadv": Metric("count", "the same, TADV"),
    "irq_held_by.floor": Metric("count", "the same, QEMU's floor of 128 us"),
    "irq_windows.itr": Metric("share", "windows of mitigation whose length ITR has decided"),
    "irq_windows.radv": Metric("share", "the same, RADV"),
    "irq_windows.tadv": Metric("share", "the same, TADV"),
    "irq_windows.floor": Metric("share", "the same, QEMU's floor of 128 us"),
    "polls": _walked("count", "polls of the driver behind the boot", "verified"),
    "poll_frames": _walked("ratio", "frames that it took, for a poll", "costs"),
    "ring.max": _walked("count", "frames in the receive ring behind the boot, at the most"),
    "ring.mean": _walked("ratio", "the same, on the average over time", "costs"),
    "queue.max": _walked("count", "frames between slirp and the card, at the most"),
    "queue.mean": _walked("ratio", "the same, on the average over time", "costs"),
    "cpu.task": _walked("share", "time behind the boot in programs and kernel threads", "costs"),
    "cpu.softirq": _walked("share", "in soft interrupts, also in ksoftirqd", "costs"),
    "cpu.hardirq": _walked("share", "in interrupts", "costs"),
    "cpu.idle": _walked("share", "in which the guest's processor had nothing to do", "costs"),
}
"""All there are, in the order in which they are shown."""

USUAL = tuple(name for name, metric in METRICS.items() if not metric.asked)
"""Those that a summary has, and a sweep unless others are asked for."""

_UNITS: dict[Kind, str] = {
    "time": "ns",
    "count": "count",
    "rate": "bytes/s",
    "frequency": "1/s",
    "share": "part",
    "ratio": "ratio",
}


def unit(kind: Kind) -> str:
    """The unit of a figure's value; ``part`` for a part of 1."""
    return _UNITS[kind]


def show_value(value: Value, kind: Kind) -> str:
    """A value of ``kind`` for people, to three places; rates in MB/s."""
    if kind == "time":
        unit = next((name for name in ("s", "ms", "us") if value >= UNITS[name]), "ns")
        return f"{decimal(exact(value) / UNITS[unit])}{unit}"
    if kind == "rate":
        return f"{decimal(exact(value) / 10**6)} MB/s"
    if kind == "share":
        return f"{decimal(exact(value) * 100)}%"
    return decimal(exact(value))


def exact(value: Value | str, of: int = 1) -> Fraction:
    """``value``, or so much of ``of``, as a fraction."""
    from fractions import Fraction  # slow to load, with decimal, and many runs have none

    return Fraction(value) / of


def round_half_up(value: Value) -> int:
    """The nearest whole number."""
    return int((exact(value) * 2 + 1) // 2)


def decimal(value: Fraction) -> str:
    """``value`` to three places, without zeros at its end."""
    thousandths = round_half_up(value * 1000)
    text = f"{thousandths // 1000}.{thousandths % 1000:03d}"
    return text.rstrip("0").rstrip(".")
