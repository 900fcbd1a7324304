"""Every figure that desim is held to, bench by bench."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import simpy

from benchmarks import engine, peers
from benchmarks.archives import unpack
from benchmarks.calls import COUNTS, measure
from benchmarks.path import seconds
from benchmarks.processes import ROOT, bare, desim
from benchmarks.runner import Bench, Row, Target, at_least, at_most
from benchmarks.workloads import MSS, boot, bulk, clients, exchanges, idle
from desim import Runner, load
from desim.config import MachineConfig

MB = 1_000_000
MIB = 1 << 20
ROUNDS = 5

CALL_TARGETS = {
    "host to guest, 16 KiB reads, zero, none": at_most(150),
    "host to guest, 16 KiB reads, study-2016, none": at_most(220),
    "host to guest, 16 KiB reads, zero, trace": at_most(330),
    "host to guest, 16 KiB reads, study-2016, trace": at_most(450),
}
ENGINE_TARGETS = {
    "Timeout in a process": at_least(1.25),
    "Timeout with a callback": at_least(1.25),
    "Store": at_least(1.1),
    "plain call": at_least(2),
    "sleep for an int": at_least(2),
}


def _stock_s() -> float:
    """CPU seconds that stock SimPy takes for a million Timeouts: the yardstick of ``ms*``."""
    env = simpy.Environment()
    count = 100_000
    start = time.process_time()
    engine.timeouts(env, count)
    return (time.process_time() - start) * MB / count


def _scaled(what: str, work: Callable[[], float], target: Target | None = None) -> Row:
    """A row in ms of a machine on which stock SimPy makes a million Timeouts a second."""
    work()
    found = []
    for _ in range(ROUNDS):
        before = _stock_s()
        taken = work()
        found.append(taken * 1000 / ((before + _stock_s()) / 2))
    return Row(what, statistics.median(found), "ms*", target)


def _ratio(first: Callable[[], float], second: Callable[[], float], rounds: int = ROUNDS) -> float:
    """How many times as much the first takes: the median over turns."""
    first(), second()
    return statistics.median(first() / second() for _ in range(rounds))


# --- rows


def _calls() -> Iterator[Row]:
    for what, count in COUNTS.items():
        yield Row(what, measure(count), f"a {count.unit}", CALL_TARGETS.get(what))


def _engine() -> Iterator[Row]:
    for name, (ours, theirs) in engine.BENCHES.items():
        _, times = engine.ratio(ours, theirs, 30_000, 15)
        yield Row(name, times, "of SimPy", ENGINE_TARGETS[name])


def _start() -> Iterator[Row]:
    # A bare start is ten milliseconds: one turn is off by a tenth, and more.
    times = _ratio(lambda: desim("run", "hello").cpu_s, lambda: bare().cpu_s, 25)
    yield Row("desim run hello, .pyc present", times, "of bare", at_most(12))


def _exchange() -> Iterator[Row]:
    few, many = 20, 220
    for level in ("none", "trace"):

        def once(level: Any = level) -> float:
            taken = seconds(exchanges(many, "study-2016", level))
            return (taken - seconds(exchanges(few, "study-2016", level))) / (many - few)

        yield _scaled(f"one byte each way, study-2016, {level}", once, at_most(1))


def _many_s(count: int) -> float:
    """CPU seconds of ``count`` runs of a tiny scenario, those of all processes."""
    scenario = load("hello")
    before = sum(os.times()[:4])
    with Runner(workers=1, each=lambda result: result.summary["frames"]) as runner:
        for _ in runner.map([scenario] * count):
            pass
    return sum(os.times()[:4]) - before


def _tiny() -> Iterator[Row]:
    runs = 40
    yield _scaled(
        "hello after the first, boot included",
        lambda: (_many_s(1 + runs) - _many_s(1)) / runs,
        at_most(12),
    )


def _growth() -> Iterator[Row]:
    """What grows with the number of forwards and clients, and with time alone."""
    segments_size = 2 * MB

    def transfer(forwards: int) -> float:
        return seconds(bulk(segments_size, "zero", forwards=forwards))

    ratio = _ratio(lambda: transfer(1000), lambda: transfer(1))
    yield Row("a bulk with 1,000 forwards", ratio, "of with 1", at_most(1.1))

    def each(count: int) -> float:
        return seconds(clients(count)) / count

    ratio = _ratio(lambda: each(1000), lambda: each(100), 3)
    yield Row("a client, when there are 1,000", ratio, "of 100", at_most(1.1))
    yield _scaled(
        "one idle virtual hour",
        lambda: seconds(idle(3601)) - seconds(idle(1)),
        at_most(50),
    )


SCENARIO = """\
description = "{size} bytes from the host to the guest"
qemu = "-netdev user,id=n0,hostfwd=tcp::5555-:5556 -device e1000,netdev=n0"
costs = "zero"
run.limits.frames = 10_000_000

[[guest.run]]
command = "nc -l 5556 > copy"

[[host.run]]
command = "nc -N localhost 5555 < data"
"""


def _peak(folder: Path, size: int) -> float:
    with open(folder / "data", "wb") as data:  # a child begins with the peak of its parent
        data.truncate(size)
    (folder / "bulk.toml").write_text(SCENARIO.format(size=size), encoding="utf-8")
    return desim("run", "bulk.toml", "--out", f"out{size}", folder=folder).peak_kib / 1024


def _memory() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        little, much = (_peak(Path(name), size * MIB) for size in (16, 256))
    yield Row("peak of 16 MiB with --out, 16 KiB reads", little, "MiB")
    yield Row("peak of 256 MiB", much, "MiB")
    yield Row("the two", much / little, "times", at_most(1.1))


def _recorded() -> Iterator[Row]:
    """A recorded configuration of real QEMU, predicted; and what QEMU took for it."""
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(ROOT / "tests" / "vectors" / "linux" / "det.tar.xz") as files:
            unpack(files, name)
        folder = Path(name) / "det_default"
        row = _scaled(
            "conform linux det_default",
            lambda: desim("conform", "linux", str(folder)).cpu_s,
            at_most(1500),
        )
        yield row
        wall_s = json.loads((folder / "meta.json").read_text())["wall_s"]
        ours_s = desim("conform", "linux", str(folder)).cpu_s
    yield Row("the same: real QEMU's time, its boot included", wall_s / ours_s, "of ours")


def _rate(config: MachineConfig, size: int, booted: float) -> float:
    return size / MSS / (seconds(config) - booted)


def _peers() -> Iterator[Row]:
    megabytes = 20
    size = megabytes * MB
    for costs, target in (("zero", at_least(0.75)), ("study-2016", at_least(0.55))):
        if why := peers.missing(peers.NS3):
            yield Row(f"{costs}, of ns-3's rate", None, why, target)
            continue
        booted = seconds(boot(costs))
        ours = [
            _rate(bulk(size, costs), size, booted) / peers.rate(peers.NS3, megabytes)
            for _ in range(ROUNDS)
        ]
        yield Row(f"{costs}, of ns-3's rate", statistics.median(ours), "times", target)
    yield Row("ns-3 models", None, peers.NS3.models)
    if why := peers.missing(peers.NSPY):
        yield Row("zero, of ns.py's rate", None, why)
    else:
        booted = seconds(boot("zero"))
        ours = [
            _rate(bulk(size // 4, "zero"), size // 4, booted) / peers.rate(peers.NSPY, 3)
            for _ in range(ROUNDS)
        ]
        yield Row("zero, of ns.py's rate", statistics.median(ours), "times")
    yield Row("ns.py models", None, peers.NSPY.models)


ONE = """\
import sys
from benchmarks.workloads import bulk
from desim.collector import collect_rarely
from desim.engine import wrappers
from desim.machine import Machine
collect_rarely()
wrappers.FEW = 0  # texts are written at first calls, and not in between
Machine(bulk(int(sys.argv[1]), sys.argv[2])).run()
"""


def _instructions() -> Iterator[Row]:
    """As cachegrind counts them: the difference of two sizes, both of which have warmed up."""
    valgrind = shutil.which("valgrind")
    for costs in ("zero", "study-2016"):
        what = f"host to guest, 16 KiB reads, {costs}, none"
        if valgrind is None:
            yield Row(what, None, "valgrind is not installed")
            continue
        small, large = (_counted_instructions(valgrind, str(size), costs) for size in (MB, 2 * MB))
        yield Row(what, (large - small) / (MB / MSS) / 1000, "k a segment")


def _counted_instructions(valgrind: str, *words: str) -> int:
    command = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run(
        [*command, sys.executable, "-c", ONE, *words],
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    (refs,) = re.findall(r"I\s+refs:\s+([\d,]+)", done.stderr)
    return int(refs.replace(",", ""))


BENCHES: dict[str, Bench] = {
    "calls": Bench("Python and builtin calls per unit of work", _calls),
    "engine": Bench("the engine's primitives beside stock SimPy's", _engine),
    "start": Bench("a process, in starts of the bare interpreter", _start),
    "tiny": Bench("many runs of a tiny scenario (desim.Runner, one worker)", _tiny),
    "exchange": Bench("a small question and its answer, CPU time", _exchange),
    "growth": Bench("what must not grow", _growth),
    "recorded": Bench("recorded runs of real QEMU, predicted", _recorded),
    "peers": Bench("bulk TCP, 16 KiB reads, nothing recorded, beside other simulators", _peers),
    "instructions": Bench("instructions of a data segment", _instructions, slow=True),
    "memory": Bench("memory, flat with the length of a run", _memory, slow=True),
}
