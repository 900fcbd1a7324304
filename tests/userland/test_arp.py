"""``arp`` of busybox over a /proc/net/arp that Linux wrote."""

from __future__ import annotations

import pytest

from desim.engine.streams import Streams
from desim.guest.net.neigh import NUD_FAILED, NUD_PERMANENT, NUD_REACHABLE
from desim.guest.procfs import arp_seq_show
from desim.host.kernel import HostKernel
from desim.spool import Log
from desim.testing import VirtualClock
from desim.userland.files import Quota, Terminal, VirtualTree
from desim.userland.programs import GUEST_PROGRAMS
from desim.userland.shell import parse
from desim.wire.addresses import ip, mac

TABLE = (
    "IP address       HW type     Flags       HW address            Mask     Device\n"
    "192.0.2.1        0x1         0x2         02:fc:00:00:00:05     *        eth0\n"
    "192.0.2.77       0x1         0x0         00:00:00:00:00:00     *        eth0\n"
    "127.0.0.1        0x1         0x6         02:fc:00:00:00:06     *        eth1\n"
)


def run(line: str) -> tuple[str, int | None]:
    kernel = HostKernel(
        now=lambda: 0,
        timer=VirtualClock().timer,
        wake_up=lambda queue: None,
        random=Streams(1),
        touch=lambda: None,
        files=lambda name: Log.of(b""),
        tree=VirtualTree(Quota(1)),
    )
    kernel.filesystem.system["/proc/net/arp"] = lambda: TABLE
    terminal = Terminal("t", now=lambda: 0, quota=Quota(10_000))
    (process,) = kernel.spawn(parse(line, GUEST_PROGRAMS), terminal)
    call = process.resume()
    while call is not None:
        call = process.resume(kernel.syscall(process, call))
    return terminal.output().decode(), process.exit_status


ONE = "? (192.0.2.1) at 02:fc:00:00:00:05 [ether]  on eth0\n"
TWO = "? (192.0.2.77) at <incomplete>  on eth0\n"
THREE = "localhost (127.0.0.1) at 02:fc:00:00:00:06 [ether] PERM  on eth1\n"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("arp", ONE + TWO + THREE),
        ("busybox arp -a", ONE + TWO + THREE),
        ("arp -an", ONE + TWO + THREE.replace("localhost", "?")),
        ("arp -a 192.0.2.1", ONE),
        ("arp -a -i eth1", THREE),
        ("arp -a 9.9.9.9", "No match found in 3 entries\n"),
        ("arp -i lo", "No match found in 3 entries\n"),
    ],
)
def test_arp_shows_the_table_as_the_real_one(line: str, shown: str) -> None:
    assert run(line) == (shown, 0)


def test_an_unknown_option_is_refused_in_busyboxs_words() -> None:
    said, status = run("arp -z")
    assert said.startswith("arp: invalid option -- 'z'\nBusyBox v1.35.0 (Debian")
    assert status == 1


class Entry:
    """A neighbour, as far as the file shows it."""

    def __init__(self, address: str, state: int, hardware: str, device: str) -> None:
        self.primary_key = ip(address)
        self.nud_state = state
        self.ha = mac(hardware)
        self.device = type("Device", (), {"name": device})()


def test_the_file_has_linuxs_columns() -> None:
    entries = [
        Entry("192.0.2.1", NUD_REACHABLE, "02:fc:00:00:00:05", "eth0"),
        Entry("192.0.2.77", NUD_FAILED, "00:00:00:00:00:00", "eth0"),
        Entry("127.0.0.1", NUD_PERMANENT, "02:fc:00:00:00:06", "eth1"),
    ]
    assert arp_seq_show(entries) == TABLE
