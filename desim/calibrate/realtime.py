"""A profile in ns for QEMU under TCG in real time, from recorded runs with a host in them.

Two things are fitted, both to medians over all runs:

* how long an instruction of the guest lasts: by what factor the stretches in which only the
  guest's processor works (a request until its frame leaves, a frame until the kernel has
  it, and until the program has) took longer than the instructions that they are;
* what QEMU and its host take: each recorded stretch of their path as it is. A stretch that
  several functions share is charged to the one that it is named after here.

Such a machine is not repeatable, and one factor for cold code and warm is rough: medians
over a busy machine, good for orders of magnitude.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from desim.calibrate.fit import Fitted
from desim.conform.linux.predict import configuration, predicted, printed, simulate
from desim.conform.linux.recording import Run, Test
from desim.costs.profile import INSTRUCTIONS, Profile
from desim.data import NamedTuple
from desim.errors import UserError
from desim.machine import Machine

STRETCHES = {
    "qemu_recv_call": ("host kernel", "recv", "enter"),
    "qemu_send_call": ("host kernel", "send", "enter"),
    "qemu_sendto_call": ("host kernel", "sendto", "enter"),
    "recvfrom_call": ("host kernel", "recvfrom", "enter"),
    "host_send_to_qemu_recv": ("host kernel", "ppoll", "leave"),
    "qemu_recv_to_frame": ("slirp/tcp_output.c", "tcp_output", "enter"),
    "frame_to_qemu_send": ("slirp/tcp_input.c", "tcp_input", "enter"),
    "frame_to_qemu_sendto": ("slirp/udp.c", "udp_input", "enter"),
    "recvfrom_to_frame": ("slirp/udp.c", "udp_output", "enter"),
}
"""A recorded stretch, and the figure that it becomes."""

PINGS = ("send_to_frame_ns", "frame_to_kernel_rx_ns", "kernel_rx_to_read_ns")


class Factor(NamedTuple):
    """Ns per instruction of the guest, with what it is the median of."""

    ns: float
    ratios: list[tuple[str, float]]

    @property
    def deviation(self) -> float:
        """The median deviation of the ratios, relative."""
        return median(abs(ratio - self.ns) for _, ratio in self.ratios) / self.ns


def instruction_ns(runs: Sequence[Run], costs: str) -> Factor:
    """How long an instruction lasts; ``costs`` is a profile in instructions.

    Raises ``UserError`` if no run has a test that tells.
    """
    ratios: list[tuple[str, float]] = []
    for run in runs:
        tests = [t for t in run.tests if t.out.get("test") == "ping" and t.out.get("train") == 1]
        if tests:
            machine = simulate(configuration(run, costs=costs, tests=tests))
            for test in tests:
                for name, instructions in _ping_stretches(machine, test):
                    if instructions and test.components.get(name):
                        ratio = test.components[name] / instructions
                        ratios.append((f"{run.name} {test.name} {name}", ratio))
    if not ratios:
        raise UserError("calibrate: no run in real time has a ping of which parts were measured")
    return Factor(median(ratio for _, ratio in ratios), ratios)


def _ping_stretches(machine: Machine, test: Test) -> Iterator[tuple[str, int]]:
    """The medians of a simulated ping's parts, by their recorded names."""
    found = printed(machine, test.name)
    packets = predicted(machine, test).packets
    echo = [p for p in packets if p.frame.raw[12:14] == b"\x08\x00" and p.frame.raw[23] == 1]
    requests = [p.time for p in echo if not p.to_guest]
    replies = [p.time for p in echo if p.to_guest]
    start = found["t0_ns"]
    ends = ([start + ns for ns in found[name]] for name in ("send_ns", "krx_ns", "recv_ns"))
    sent, stamped, read = ends
    pairs = ((sent, requests), (replies, stamped), (stamped, read))
    for name, (begin, end) in zip(PINGS, pairs, strict=True):
        if begin and len(begin) == len(end):
            yield name, round(median(b - a for a, b in zip(begin, end, strict=True)))


def comment(runs: Sequence[Run], base: Profile, factor: Factor) -> str:
    """What stands on top of the profile."""
    ratios = sorted(ratio for _, ratio in factor.ratios)
    return "\n".join(
        [
            f"Made by: desim calibrate RECORDINGS... --real-time {base.name}",
            "from the recorded runs",
            "",
            *(f"  {run.name}" for run in runs),
            "",
            f"The guest's figures are those of {base.name}, at {factor.ns:.2f} ns an instruction:",
            f"the median of {len(ratios)} ratios from {ratios[0]:.1f} to {ratios[-1]:.1f}. Code",
            "that runs for the first time takes more, warm code less; one factor stands for both.",
            "",
            "QEMU's and the host's figures are medians of recorded stretches, each charged whole",
            "to one function of it. A residual here is the median deviation. Nothing was typed in",
            "by hand. The recorded machine had two cores, and other work to do.",
        ]
    )


def real_time(runs: Sequence[Run], base: Profile, costs: str) -> tuple[Factor, list[Fitted]]:
    """The figures, in ns; ``costs`` is what ``base`` is loaded by.

    Raises ``UserError`` for a base that is not in instructions.
    """
    if base.unit != INSTRUCTIONS:
        raise UserError(f"calibrate: --real-time {base.name}: its costs are not in instructions")
    factor = instruction_ns(runs, costs)
    figures = [
        Fitted((file, stage, field), value * factor.ns, len(factor.ratios), factor.deviation)
        for (file, stage), cost in sorted(base.costs.items())
        for field, value in cost._asdict().items()
        if value
    ]
    measured: dict[str, list[int]] = defaultdict(list)
    for run in runs:
        for test in run.tests:
            for name, value in test.components.items():
                if name in STRETCHES and value > 0:
                    measured[name].append(value)
    for name, values in sorted(measured.items()):
        middle = median(values)
        spread = median(abs(value - middle) for value in values) / middle
        figures.append(Fitted(STRETCHES[name], middle, len(values), spread))
    return factor, sorted(figures, key=lambda one: one.figure)
