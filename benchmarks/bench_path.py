"""Data segments per second through the whole path, with and without costs and trace.

    python benchmarks/bench_path.py [MEGABYTES [ROUNDS]]

A bulk transfer from a host program to a guest program: socket, slirp, net core, card,
driver, TCP, reader; every acknowledgement comes back the same way. The variants take
turns, and the ratio is taken inside a turn, because machines are noisy. CPU time of
one process; building the machine and booting the guest are measured apart.
"""

from __future__ import annotations

import statistics
import sys
import time

from desim.config import InputFile, MachineConfig, RunCommand
from desim.devices import HostFwd, Nic, UserNet
from desim.machine import Machine

MSS = 1460


def machine(megabytes: int, costs: str, *, strict: bool = False) -> Machine:
    """A machine that sends ``megabytes`` MB into the guest, or only boots."""
    data = bytes(megabytes * 1_000_000)
    config = MachineConfig(
        user=UserNet(hostfwd=[HostFwd(host_port=5555, guest_port=5556)]),
        nic=Nic(netdev="user.0"),
        hub=False,
        costs=costs,
        strict=strict,
        guest=[
            RunCommand(
                side="guest",
                terminal="guest 1",
                command="busybox nc -l -p 5556 < /dev/null > copy",
            )
        ],
        host=[RunCommand(side="host", terminal="host 1", command="nc -N localhost 5555 < data")],
        host_files={"data": InputFile(name="data", data=data, sha256="")},
    )
    if not megabytes:
        config.host = []
        config.until_ns = 4_000_000_000
    return Machine(config)


def seconds(made: Machine) -> float:
    """CPU time of one run."""
    start = time.process_time()
    made.run()
    return time.process_time() - start


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    segments = -(-megabytes * 1_000_000 // MSS)
    boot = statistics.median(seconds(machine(0, "study-2016")) for _ in range(3))
    times: dict[str, list[float]] = {"zero": [], "study-2016": [], "study-2016, strict": []}
    for _ in range(rounds):
        for name, spent in times.items():
            made = machine(megabytes, name.split(",")[0], strict="strict" in name)
            spent.append(seconds(made) - boot)
            assert len(made.files()["guest/copy"]) == megabytes * 1_000_000
    print(f"{megabytes} MB, {segments} data segments, {rounds} rounds; boot {boot:.3f} s")
    base = times["zero"]
    for name, spent in times.items():
        rate = segments / statistics.median(spent)
        ratio = statistics.median(b / s for b, s in zip(base, spent, strict=True))
        print(f"{name:20} {rate:8.0f} segments/s   {ratio:.2f} of zero")


if __name__ == "__main__":
    main()
