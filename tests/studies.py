"""The studies of ``docs/experiments.md``: which runs their tables are made of.

A study varies the keys of a shipped scenario; its table has a row for each set of values and
a column for each figure. A comment on the page says where (``<!-- study: NAME -->``).

Run as a program (``nox -s pages``) this writes the tables anew, and a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from documents import ROOT, read

import desim
from desim.scenario.metrics import METRICS
from desim.userland.programs.decimals import fixed

PAGE = ROOT / "docs" / "experiments.md"
_TABLE = re.compile(r"(<!-- study: ([a-z-]+) -->\n\n)((?:\|.*\n)*)\n*")

Changes = Mapping[str, object]


class Run(NamedTuple):
    """One run of a scenario with other values for some keys."""

    scenario: str
    changes: Changes


class Column(NamedTuple):
    """One figure: of which of the row's runs, and how it is shown."""

    head: str
    run: int
    show: Callable[[desim.Result], str]


class Study(NamedTuple):
    """A table: what its rows are called, and what is run for each."""

    heads: tuple[str, ...]
    rows: Sequence[tuple[tuple[str, ...], Sequence[Run]]]
    columns: tuple[Column, ...]


def number(value: int | Fraction | None, unit: int = 1) -> str:
    """Four digits; a whole number as it is."""
    if value is None:
        return "–"
    scaled = Fraction(value, unit)
    if scaled.denominator == 1:
        return str(scaled)
    return fixed(scaled, max(0, 4 - len(str(int(scaled)))))


def figure(name: str, head: str, *, run: int = 0, unit: int = 1) -> Column:
    """A named figure, in ``unit``."""
    assert name in METRICS
    return Column(head, run, lambda result: number(result.metric(name), unit))


def received(run: int, head: str) -> Column:
    """How many datagrams ``ltool udprecv`` got."""
    return Column(head, run, lambda result: str(_measured(result, "udprecv")["n"]))


def sent_per_second(run: int, head: str) -> Column:
    """How many datagrams in a second ``ltool udpsend`` sent."""

    def show(result: desim.Result) -> str:
        found = _measured(result, "udpsend")
        return f"{len(found['sent_ns']) * 10**9 // found['sent_ns'][-1]}"

    return Column(head, run, show)


def _measured(result: desim.Result, test: str) -> Mapping[str, Any]:
    (found,) = [one for p in result.programs for one in p.measured if one["test"] == test]
    return found


US, MS, MB = 10**3, 10**6, 10**6
DATAGRAMS = 500
THROTTLES = ("0", "500", "2000", "4000", "8000", "20000")


def throttled(name: str, rate: str, **more: object) -> Run:
    """A scenario with a value of ``InterruptThrottleRate``."""
    return Run(name, {"guest.modprobe": f"e1000 InterruptThrottleRate={rate}", **more})


def itr() -> Study:
    """Fixed rates under three loads."""
    return Study(
        ("InterruptThrottleRate",),
        [
            ((rate,), [throttled(f"itr-{load}", rate) for load in ("light", "medium", "heavy")])
            for rate in THROTTLES
        ],
        (
            figure("ping.p50", "light: p50, us", unit=US),
            figure("ping.max", "longest, us", unit=US),
            figure("irq_busy", "interrupts"),
            figure("ping.p50", "medium: p50, us", run=1, unit=US),
            figure("ping.p99", "p99, us", run=1, unit=US),
            figure("irq_busy", "interrupts", run=1),
            figure("transfer.rate", "heavy: MB/s", run=2, unit=MB),
            figure("irq_rate", "interrupts/s", run=2),
        ),
    )


def adaptive() -> Study:
    """The dynamic modes beside fixed rates, in both timings of the card."""
    modes = {"1": "1 (dynamic)", "3": "3 (dynamic conservative)"}
    return Study(
        ("timing", "InterruptThrottleRate"),
        [
            (
                (timing, modes.get(rate, rate)),
                [throttled(f"itr-{load}", rate, semantics=timing) for load in ("light", "heavy")],
            )
            for timing in ("qemu", "datasheet")
            for rate in ("1", "3", "4000", "20000")
        ],
        (
            figure("ping.p50", "light: p50, us", unit=US),
            figure("ping.max", "longest, us", unit=US),
            figure("transfer.rate", "heavy: MB/s", run=1, unit=MB),
            figure("irq_rate", "interrupts/s", run=1),
            figure("irq_frames", "frames each", run=1),
        ),
    )


def rdtr() -> Study:
    """The receive delays in both timings of the card."""
    driver = "e1000 InterruptThrottleRate=0"
    return Study(
        ("RxIntDelay", "RxAbsIntDelay"),
        [
            (
                (str(delay), str(most)),
                [
                    Run(
                        "rdtr",
                        {
                            "guest.modprobe": f"{driver} RxIntDelay={delay} RxAbsIntDelay={most}",
                            "semantics": timing,
                            "expect.message": {"time": "> 0ns"},
                        },
                    )
                    for timing in ("qemu", "datasheet")
                ],
            )
            for delay, most in ((0, 0), (32, 0), (128, 512), (500, 0), (2000, 2000))
        ],
        (
            figure("message.time", "QEMU: the line, us", unit=US),
            figure("irq_held", "held back"),
            figure("message.time", "Intel's manual: the line, us", run=1, unit=US),
        ),
    )


def livelock() -> Study:
    """Three drivers under more and more datagrams."""
    drivers = ("e1000", "e1000_plain", "e1000_polling period_us=250")

    def run(gap_us: int, driver: str) -> Run:
        command = f"ltool udpsend localhost 5555 1 {DATAGRAMS} 100 {gap_us} 0 0"
        return Run("livelock", {"guest.modprobe": driver, "host.run[0].command": command})

    return Study(
        (),
        [((), [run(gap_us, driver) for driver in drivers]) for gap_us in (500, 200, 100, 50, 20)],
        (
            sent_per_second(0, "sent in a second"),
            received(0, f"`e1000`: of {DATAGRAMS} got"),
            figure("irq_busy", "interrupts"),
            received(1, "`e1000_plain`: got"),
            figure("irq_busy", "interrupts", run=1),
            received(2, "`e1000_polling`: got"),
        ),
    )


def ring() -> Study:
    """Rings of several sizes, and bursts of several lengths."""
    bursts = (50, 100, 200, 400)

    def run(size: int, burst: int) -> Run:
        return Run(
            "burst",
            {
                "guest.modprobe": f"e1000 RxDescriptors={size} InterruptThrottleRate=500",
                "guest.run[0].command": f"ltool udprecv 5556 {burst} 1000",
                "host.run[0].command": f"ltool udpsend localhost 5555 1 {burst} 100 0 0 0",
            },
        )

    return Study(
        ("RxDescriptors",),
        [((str(size),), [run(size, burst) for burst in bursts]) for size in (80, 128, 256, 512)],
        tuple(
            figure("frames.lost", f"of {burst}" if n else f"lost of {burst}", run=n)
            for n, burst in enumerate(bursts)
        ),
    )


def window() -> Study:
    """What a window gives at several delays of the wire."""
    wire = "-object filter-delay,id=wire,netdev=u,queue=all,delay="
    line = "-netdev user,id=u,hostfwd=tcp::5555-:5556 -device e1000,netdev=u"

    def run(delay_ms: int, pieces: int) -> Run:
        command = f"dd if=/dev/zero bs=100000 count={pieces} | nc -N localhost 5555"
        qemu = f"{line} {wire}{delay_ms}ms" if delay_ms else line
        return Run("window", {"qemu": qemu, "host.run[0].command": command})

    return Study(
        ("round trip of the wire", "65,535 bytes in each, MB/s"),
        [
            (
                (f"{2 * delay} ms", number(Fraction(65535, 2 * delay * 1000)) if delay else "–"),
                [run(delay, 5), run(delay, 20)],
            )
            for delay in (0, 1, 5, 20)
        ],
        (
            figure("transfer.rate", "500 kB: MB/s", unit=MB),
            figure("transfer.rate", "2 MB: MB/s", run=1, unit=MB),
            figure("irq_rate", "interrupts/s", run=1),
        ),
    )


def dhcp() -> Study:
    """The boot in both timings of the card, with three drivers."""
    return Study(
        ("driver",),
        [
            (
                (f"`{driver}`",),
                [
                    Run("dhcp", {"guest.modprobe": driver, "semantics": timing})
                    for timing in ("qemu", "datasheet")
                ],
            )
            for driver in ("e1000", "e1000_plain", "e1000_polling")
        ],
        (
            figure("boot", "QEMU: address after, ms", unit=MS),
            figure("boot", "Intel's manual: after, ms", run=1, unit=MS),
        ),
    )


STUDIES: dict[str, Callable[[], Study]] = {
    "itr": itr,
    "adaptive": adaptive,
    "rdtr": rdtr,
    "livelock": livelock,
    "ring": ring,
    "window": window,
    "dhcp": dhcp,
}


def table(name: str) -> list[str]:
    """A study's table in Markdown; its runs are made for it."""
    study = STUDIES[name]()
    heads = [*study.heads, *(column.head for column in study.columns)]
    lines = [heads, ["---"] * len(heads)]
    for labels, runs in study.rows:
        results = [desim.run(desim.load(run.scenario).set(run.changes)) for run in runs]
        lines.append([*labels, *(c.show(results[c.run]) for c in study.columns)])
    return [f"| {' | '.join(line)} |" for line in lines]


def tables(text: str) -> dict[str, list[str]]:
    """The tables that the page has, line by line."""
    return {found[2]: found[3].splitlines() for found in _TABLE.finditer(text)}


def page(old: str) -> str:
    """The page, with its tables made anew."""
    return _TABLE.sub(lambda m: m[1] + "".join(f"{line}\n" for line in table(m[2])) + "\n", old)


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(page(read(PAGE)), encoding="utf-8")


if __name__ == "__main__":
    main()
