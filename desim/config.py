"""The configuration of a run and its machines: what every spelling ends in.

Scenario files, QEMU's options and tests all make a :class:`MachineConfig`;
``machine.py`` builds a machine from it and knows nothing of the spellings.
Plain data: nothing here checks, parses or opens anything, and nothing refers to
the machine the simulation happens to run on except ``folder``, which no output
may show.

Times are ``int`` nanoseconds, addresses packed ``bytes``, as at the ports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from desim.data import Data, field
from desim.devices import HostFwd, HubPort, Nic, SocketNet, UserNet
from desim.record import Record
from desim.spool import Log

if TYPE_CHECKING:
    from desim.filters import NetFilter

SECOND_NS = 1_000_000_000

DEFAULT_MODPROBE = "e1000"

Side = Literal["guest", "host"]


class InputFile:
    """A real file that the machine reads, as it was when the configuration was made.

    ``name`` is as the command or option spells it, ``log`` what the file holds. It never
    changes, so copies of a configuration share it.
    """

    __slots__ = ("_sha256", "log", "name")

    def __init__(self, *, name: str, data: bytes | Log) -> None:
        self.name = name
        self.log = Log.of(data)
        self._sha256 = ""

    @property
    def data(self) -> bytes:
        """All that it holds, at once."""
        return self.log.whole()

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        if not self._sha256:
            self._sha256 = self.log.sha256()
        return self._sha256

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InputFile):
            return NotImplemented
        return (self.name, self.sha256) == (other.name, other.sha256)

    def __repr__(self) -> str:
        return f"InputFile(name={self.name!r}, data={self.log!r})"

    __hash__ = None  # type: ignore[assignment]  # as that of all configurations


RecordKind = Literal["A", "AAAA", "CNAME", "PTR"]


class DnsRecord(Data, kw_only=True):
    """One record that the host's name server has."""

    name: str
    """Without a dot at its end."""
    kind: RecordKind
    value: bytes | str
    """A packed address, or a name."""
    ttl_s: int = 300


class HostDns(Data, kw_only=True):
    """How the host resolves names, which is what slirp's DNS address stands for."""

    resolvers: list[bytes] = field(default_factory=list)
    """The name servers in the host's /etc/resolv.conf; none: the host has no resolver."""
    records: list[DnsRecord] = field(default_factory=list)
    """What a name server at all of these addresses answers; with none, there is no such server,
    and who listens there is a matter of the host's commands."""


class RunCommand(Data, kw_only=True):
    """One command line typed into a terminal of the guest or of the host."""

    side: Side
    command: str
    terminal: str
    """What reports call the terminal: ``guest 1``, ``host 2``; ``b 1`` in a machine called b."""
    machine: str = ""
    """``guest``: in which machine; "": in the first."""
    at_ns: int | None = None
    """When it starts. None: the guest's when its network is up, the host's at the
    first whole second at which every guest program that has started waits for input."""
    ready_ns: int = 0
    """When a guest's program, started at ``at_ns``, reads the clock for the first time, if a
    recording tells: it takes until then to be loaded. 0: the costs alone say it (``execve``)."""
    stop_ns: int | None = None
    """When it is stopped, as with Ctrl-C; counted from its start if ``stop_relative``."""
    stop_relative: bool = False
    expect_exit: int | None = None
    """The exit status that it must end with; None: any, or none."""
    expect_output: str | None = None
    """Text that must be in what its terminal shows; None: any."""
    expect_time: str | None = None
    """The condition on how long it took, as written; None: any."""


class MonitorCommand(Data, kw_only=True):
    """One command of QEMU's monitor."""

    at_ns: int
    words: list[str]
    rule: HostFwd | None = None
    """``hostfwd_add`` and ``hostfwd_remove``: the rule; what is removed has no guest's end."""


class Expect(Data, kw_only=True):
    """What must be true after the run; ``guest_files`` and ``host_files`` map name to content."""

    guest_files: Mapping[str, bytes | Log] = field(default_factory=dict)
    host_files: Mapping[str, bytes | Log] = field(default_factory=dict)
    other_files: Mapping[str, Mapping[str, bytes | Log]] = field(default_factory=dict)
    """The same for guests of further machines, by the machine's name."""
    metrics: dict[str, str] = field(default_factory=dict)
    """Conditions on figures of the run, as written, by the figure's name."""
    fingerprint: str = ""
    """How the fingerprint begins, in hexadecimal; "": as it likes."""
    laws: tuple[str, ...] = ()
    """The laws that the run must keep, by name (``desim.laws``)."""


class Limits(Data, kw_only=True):
    """Where a run is stopped whatever happens in it: all is counted, so it stops where it did."""

    events: int = 200_000_000
    """Steps of the engine."""
    frames: int = 250_000
    """Frames on the wire of each machine, with those that filters and hubs make; each takes up to
    3 kB on the disk."""
    marks: int = 50_000_000
    """Entries and exits of stages; 10 bytes each on the disk."""
    notes: int = 2_000_000
    """Events of the trace; some 30 bytes each on the disk."""
    output_bytes: int = 1 << 30
    """Of all files that programs write, together."""


class Boot(Data, kw_only=True):
    """When and how the guest boots: where its clock stands, and what its script waits for."""

    insmod_ns: int = 0
    """The instant at which the driver is loaded."""
    up_ns: int = 0
    """The instant before which the interface is not opened."""
    jiffies_zero_ns: int = 0
    """The instant of the tick that counts as 0: power-on, or before it."""
    seeded: bool = False
    """Whether the kernel's random generator is ready, as it is on a CPU with RDRAND."""
    draws: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """The first numbers of random streams, by stream, where they are known; the rest is the
    seed's."""


class Train(Data, kw_only=True):
    """Frames that the injector sends: the first at ``at_ns``, the others so much later."""

    at_ns: int
    frames: list[tuple[int, bytes]]
    """When, counted from ``at_ns`` (ns, not falling), and which."""


class QemuConfig(Data, kw_only=True):
    """One QEMU with its guest: what its command line says, and what runs in it."""

    machine: str = ""
    """Its name; that of the first has none."""
    qemu: str = ""
    """The options as they were given, for reports."""
    user: UserNet | None = field(default_factory=UserNet)
    """None with ``-net none``."""
    nic: Nic | None = field(default_factory=Nic)
    """None with ``-net none``."""
    sockets: list[SocketNet] = field(default_factory=list)
    """``-netdev socket``, ``stream`` and ``dgram``, in the order of the options."""
    hub: bool = True
    """Whether the clients meet in a hub (``-net``, ``-redir``, ``hubport``, QEMU's default);
    else the card and what it is plugged into are each other's peers (``-netdev`` with ``-device``
    or ``-nic``)."""
    hub_ports: list[HubPort] | None = None
    """The hub's ports, oldest first; None: the user network's and the card's."""
    filters: list[NetFilter] = field(default_factory=list)
    """In the order of the options."""
    inject: list[Train] = field(default_factory=list)
    """What the injector sends. With any of these it is there, at one more port of the hub."""
    boot: Boot = field(default_factory=Boot)
    icount_shift: int | None = None
    """An instruction of the guest lasts ``2 ** icount_shift`` ns (``-icount shift=N``); None:
    not said, and 1 ns. Without effect on costs that are in ns."""
    modprobe: str = DEFAULT_MODPROBE
    """How the guest loads its driver: the module's name, then ``PARAMETER=VALUE`` words."""
    sysctl: tuple[str, ...] = ()
    """Settings of the guest's TCP as sysctl(8) takes them, ``net.ipv4.tcp_NAME=VALUE``."""
    guest_address: tuple[bytes, int] | None = None
    """The guest's address and the bits of its network; None: DHCP gives it one."""
    guest_ipv6: bool = True
    """Whether the guest's kernel speaks IPv6 (what ``ipv6.disable=1`` takes away)."""
    guest_dns: bool = False
    """Whether the guest asks name servers, for names and for those of addresses."""
    guest: list[RunCommand] = field(default_factory=list)
    monitor: list[MonitorCommand] = field(default_factory=list)
    guest_files: dict[str, InputFile] = field(default_factory=dict)

    @property
    def guest_side(self) -> str:
        """What reports and folders call the guest: ``guest``, or the machine's name."""
        return self.machine or "guest"


class MachineConfig(QemuConfig, kw_only=True):
    """A first QEMU, others beside it, what runs around them, and how the run is measured."""

    name: str = "scenario"
    description: str = ""
    others: list[QemuConfig] = field(default_factory=list)
    """Further machines on the same host; they start in this order, behind the first."""
    dns: HostDns = field(default_factory=HostDns)
    costs: str = "study-2016"
    """The name of a cost profile, or the path of one."""
    seed: int = 1
    strict: bool = False
    record: Record = "trace"
    """What the run keeps (``desim.record``); it changes nothing of what happens."""
    capture: bool = True
    """Whether it keeps the frames that pass the capture points."""
    statistics: bool = False
    """Whether the summary says how long all messages took, and where their time went."""
    until_ns: int = 3600 * SECOND_NS
    limits: Limits = field(default_factory=Limits)
    host: list[RunCommand] = field(default_factory=list)
    host_files: dict[str, InputFile] = field(default_factory=dict)
    expect: Expect = field(default_factory=Expect)
    notes: list[str] = field(default_factory=list)
    """What the user should know before trusting the run: options that had no effect."""

    @property
    def machines(self) -> list[QemuConfig]:
        """All QEMUs, the first one first."""
        return [self, *self.others]

    @property
    def commands(self) -> list[RunCommand]:
        """Those of all guests, then the host's."""
        return [command for one in self.machines for command in one.guest] + self.host
