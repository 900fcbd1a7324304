"""The machines that are measured: each workload once, for counts, times and memory alike.

Bulk transfers name their reader. OpenBSD's ``nc`` reads up to 16 KiB at a time, busybox's 1 KiB,
``ltool sink`` 64 KiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from desim.config import SECOND_NS, InputFile, MachineConfig, RunCommand, Side
from desim.devices import HostFwd, Nic, UserNet
from desim.record import Record

MSS = 1460
"""Bytes in each data segment of a bulk transfer."""

GUEST_PORT, HOST_PORT = 5556, 5555
PAGE_BYTES = 1000
FIRST_RESTED_NS = 4_000_000_000
"""The guest has booted, and its interface is up."""

Reader = Literal["nc", "busybox nc", "ltool sink"]

READERS: dict[Reader, tuple[str, str]] = {
    "nc": ("nc -l {port} > copy", "16 KiB"),
    "busybox nc": ("busybox nc -l -p {port} < /dev/null > copy", "1 KiB"),
    "ltool sink": ("ltool sink {port} > copy", "64 KiB"),
}
"""The command of each reader, and how much it reads at a time."""


def run_command(side: Side, number: int, command: str, at_ns: int | None = None) -> RunCommand:
    """One command in a terminal of its own."""
    return RunCommand(side=side, terminal=f"{side} {number}", command=command, at_ns=at_ns)


def machine_config(
    *,
    costs: str,
    level: Record = "none",
    guest: Sequence[RunCommand] = (),
    host: Sequence[RunCommand] = (),
    forwards: int = 1,
    **more: Any,
) -> MachineConfig:
    """A card and slirp that are each other's peers, and what runs on both sides.

    ``level`` is what the run keeps: with ``"trace"`` also captures, else no captures. The first
    of ``forwards`` forwarded ports is HOST_PORT; the others lie above it.
    """
    ports = [HostFwd(host_port=HOST_PORT + n, guest_port=GUEST_PORT + n) for n in range(forwards)]
    return MachineConfig(
        user=UserNet(hostfwd=ports),
        nic=Nic(netdev="user.0"),
        hub=False,
        costs=costs,
        record=level,
        capture=level == "trace",
        guest=list(guest),
        host=list(host),
        **more,
    )


def boot(costs: str, level: Record = "none") -> MachineConfig:
    """A machine whose guest boots, and nothing else."""
    return machine_config(costs=costs, level=level, until_ns=FIRST_RESTED_NS)


def bulk(
    size: int,
    costs: str,
    level: Record = "none",
    *,
    to_guest: bool = True,
    reader: Reader = "nc",
    **more: Any,
) -> MachineConfig:
    """``size`` bytes of zeros from ``nc`` on one side to ``reader`` on the other."""
    data = InputFile(name="data", data=bytes(size))
    listen = READERS[reader][0].format(port=GUEST_PORT)
    if to_guest:
        guest = run_command("guest", 1, listen)
        host = run_command("host", 1, f"nc -N localhost {HOST_PORT} < data")
        more |= {"host_files": {"data": data}}
    else:
        send = f"nc -N 10.0.2.2 {GUEST_PORT} < data"
        guest = run_command("guest", 1, send, FIRST_RESTED_NS)
        host = run_command("host", 1, listen, FIRST_RESTED_NS - 1)
        more |= {"guest_files": {"data": data}}
    return machine_config(costs=costs, level=level, guest=[guest], host=[host], **more)


def pings(count: int, costs: str, level: Record = "none") -> MachineConfig:
    """``count`` pings of the guest, which slirp answers."""
    ping = f"ping -c {count} -i 0.2 10.0.2.2 > copy"
    return machine_config(costs=costs, level=level, guest=[run_command("guest", 1, ping)])


def exchanges(count: int, costs: str, level: Record = "none") -> MachineConfig:
    """``count`` times one byte to the guest and one back, over one connection."""
    server = run_command("guest", 1, f"ltool tcpsrv {GUEST_PORT} 1 {count} > copy")
    client = f"ltool tcpcli 127.0.0.1 {HOST_PORT} 1 {count} 0 > copy"
    return machine_config(
        costs=costs, level=level, guest=[server], host=[run_command("host", 1, client)]
    )


def clients(count: int, costs: str = "zero", level: Record = "none") -> MachineConfig:
    """``count`` clients of the host, one each 10 ms, which all get a page from the guest."""
    server = run_command("guest", 1, f"httpd -f -p {GUEST_PORT}")
    get = f"wget -q -O - http://localhost:{HOST_PORT}/page"
    hosts = [
        run_command("host", 1 + n, get, FIRST_RESTED_NS + 10_000_000 * n) for n in range(count)
    ]
    page = {"page": InputFile(name="page", data=bytes(PAGE_BYTES))}
    return machine_config(costs=costs, level=level, guest=[server], host=hosts, guest_files=page)


def idle(seconds: int, costs: str = "study-2016", level: Record = "none") -> MachineConfig:
    """A guest that boots and then sleeps."""
    sleep = run_command("guest", 1, f"sleep {seconds}")
    until_ns = (seconds + 60) * SECOND_NS
    return machine_config(costs=costs, level=level, guest=[sleep], until_ns=until_ns)
