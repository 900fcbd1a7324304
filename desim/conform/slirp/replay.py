"""Replays recordings of the real stack and compares (tests/vectors/slirp/README.md).

The recorded stimuli are given to ``Slirp`` on a host (host.py) at their virtual times, by
a poll loop as the recordings' own: it wakes for each stimulus and at each deadline, and
polls until two polls in a row have brought nothing. Compared are all frames with their times,
what each of the host's programs saw and when, the results of the steps, and the times
at which the loop woke by itself (compare.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from desim.conform.slirp.compare import (
    Event,
    compare_end,
    compare_events,
    compare_result,
)
from desim.conform.slirp.host import RecordedHost
from desim.conform.slirp.recordings import Recording, frame_bytes, payload
from desim.devices import GuestFwd, HostFwd, UserNet
from desim.errors import DifferenceError, RecordingError
from desim.slirp.slirp import Slirp
from desim.slirp.version import VERSION_4_7, Version
from desim.testing import Ledger, NoLoop, VirtualClock
from desim.userland.programs import HOST_PROGRAMS
from desim.userland.shell import ShellError, parse_program
from desim.wire.addresses import ip, ip_text
from desim.wire.describe import describe
from desim.wire.frame import Frame

IDLE_POLLS = 2
"""Polls that bring nothing, after which the loop sleeps."""
MAX_ROUNDS = 64
"""Polls at one instant, after which the stack is spinning."""
# fmt: off
SETTINGS = {
    "net", "mask", "host", "dns", "dhcp_start", "in_enabled", "in6_enabled", "prefix6",
    "prefix6_len", "host6", "dns6", "restricted", "hostname", "domainname", "dnssearch",
    "bootfile", "tftp_server_name", "tftp", "tftp_files", "if_mtu", "if_mru",
    "disable_host_loopback", "disable_dns", "disable_dhcp", "hostfwd", "guestfwd",
    "clock_start_ns", "host_resolvers", "ra_interval_ms", "kick",
}
# fmt: on
"""All that a recording's ``config`` may say: what is not read must not be there."""


class _Guest:
    """The guest's end of the wire: notes frames among the host's events."""

    def __init__(self, host: RecordedHost) -> None:
        self.host = host

    def send(self, frame: Frame) -> int:
        self.host.note("frame", raw=frame.raw)
        return len(frame.raw)

    def flush(self) -> None:
        """The guest always takes frames."""

    def loopback(self, frame: Frame) -> int:
        """slirp never loops a frame back."""
        raise AssertionError("slirp never loops a frame back")


def config_of(recorded: dict[str, Any], version: Version) -> UserNet:
    """The network that a recording names; its rules in the order in which they were set up."""
    unknown = sorted(recorded.keys() - SETTINGS)
    if unknown:
        raise RecordingError(f"config: unknown setting {unknown[0]!r}")
    files = {name: payload(data) for name, data in recorded["tftp_files"].items()}
    return UserNet(
        version=version.name,
        net=ip(recorded["net"]),
        mask=ip(recorded["mask"]),
        host=ip(recorded["host"]),
        dns=ip(recorded["dns"]),
        dhcpstart=ip(recorded["dhcp_start"]),
        ipv4=recorded["in_enabled"],
        ipv6=recorded["in6_enabled"],
        ipv6_prefix=ip(recorded["prefix6"]),
        ipv6_prefixlen=recorded["prefix6_len"],
        ipv6_host=ip(recorded["host6"]),
        ipv6_dns=ip(recorded["dns6"]),
        restrict=recorded["restricted"],
        hostname=recorded["hostname"],
        domainname=recorded["domainname"],
        dnssearch=recorded["dnssearch"] or [],
        bootfile=recorded["bootfile"],
        tftp_server_name=recorded["tftp_server_name"],
        tftp=files if recorded["tftp"] else None,
        if_mtu=recorded["if_mtu"] or 1500,
        if_mru=recorded["if_mru"] or 1500,
        disable_host_loopback=recorded["disable_host_loopback"],
        disable_dns=recorded["disable_dns"],
        disable_dhcp=recorded["disable_dhcp"],
        hostfwd=[_hostfwd(rule) for rule in recorded["hostfwd"]],
        guestfwd=[_guestfwd(rule) for rule in recorded["guestfwd"]],
    )


def _hostfwd(rule: dict[str, Any]) -> HostFwd:
    if rule["proto"] not in ("tcp", "udp"):
        raise RecordingError(f"hostfwd of protocol {rule['proto']!r}; expected tcp or udp")
    host, guest = rule["host"], rule["guest"]
    return HostFwd(
        proto=rule["proto"],
        host_addr=ip(host[0]),
        host_port=host[1],
        guest_addr=ip(guest[0]),
        guest_port=guest[1],
    )


def _guestfwd(rule: dict[str, Any]) -> GuestFwd:
    kind = rule["kind"]
    if kind not in ("callback", "unix", "exec"):
        raise RecordingError(f"guestfwd of kind {kind!r}; expected callback, unix or exec")
    found = GuestFwd(server=ip(rule["addr"]), port=rule["port"])
    if kind == "unix":
        found.unix = rule["listener"]
    elif kind == "exec":
        found.command = _command(rule["cmd"])
    return found


def _command(line: str) -> str:
    """``line``, if it is one program of the host that is modelled."""
    try:
        parse_program(line, HOST_PROGRAMS)
    except ShellError as error:
        raise RecordingError(f"guestfwd command {line!r}: {error}") from None
    return line


class Replay:
    """One recording, played on a fresh stack."""

    def __init__(self, recording: Recording, version: Version = VERSION_4_7) -> None:
        self.recording = recording
        config = recording["config"]
        self.clock = VirtualClock(config["clock_start_ns"])
        resolvers = [ip(text) for text in config["host_resolvers"]]
        self.host = RecordedHost(self.clock, resolvers, named_ports(recording))
        for rule in config["guestfwd"]:
            if rule["kind"] == "unix":
                self.host.host_listen_unix(rule["listener"])
        self.kick = config["kick"]
        self.wakes: list[int] = []
        self.unsettled = 0
        interval: int | None = config["ra_interval_ms"]
        if interval is not None and interval < 1:
            raise RecordingError(f"config: ra_interval_ms {interval}; expected 1 or more, or null")
        network = config_of(config, version)
        self.ledger = Ledger()
        self.slirp = Slirp(
            clock=self.clock,
            net=_Guest(self.host),
            sockets=self.host.sockets,
            loop=NoLoop(),
            ledger=self.ledger,
            config=network,
            ra_interval_ms=None if interval is None else lambda: interval,
        )
        self.slirp.guestfwd.output = self._guestfwd_output
        for rule in network.hostfwd:
            self.slirp.add_hostfwd(rule)
        for guest_rule in network.guestfwd:
            if not self.slirp.add_guestfwd(guest_rule):
                raise RecordingError(f"config: guestfwd {guest_rule}: its address is not free")
        self._prepare()
        self._settle()
        self.created = self._events()
        """What happened before the first step."""

    def run(self) -> None:
        """Play it; raises ``DifferenceError`` at the first one."""
        steps = self.recording["steps"]
        number = -1
        try:
            compare_events(self.recording["initial_out"], self.created)
            for number in range(len(steps)):
                step = steps[number]
                if self.clock.now() != step["t"]:
                    raise DifferenceError(f"virtual time is {self.clock.now()} ns")
                result, events = self.step(step)
                compare_events(step["out"], events)
                compare_result(step.get("result"), result)
            number = len(steps)
            compare_end(self.recording, self.wakes, self.unsettled)
        except (DifferenceError, RecordingError) as error:
            raise type(error)(f"{_place(steps, number)}: {error}") from None

    def step(self, step: dict[str, Any]) -> tuple[object, list[Event]]:
        """Do what one step says: its result, and all that came of it."""
        do = step["do"]
        action = ACTIONS.get(do["op"])
        if action is None:
            raise RecordingError(f"unknown operation {do['op']!r}")
        result = action(self, do)
        self.host.run()
        if do["op"] != "advance":
            is_ready = do["op"] != "guest_frame" and self.host.sockets.ready()
            if self.kick or is_ready:
                self._settle()
        return result, self._events()

    # -- the poll loop -----------------------------------------------------------------

    def _prepare(self) -> None:
        self.deadline = self.clock.now() + self.slirp.pollfds_fill() * 1_000_000
        self.host.run()

    def _settle(self) -> None:
        """Poll until two polls in a row have left nothing ready and made nothing happen."""
        idle = 0
        for _ in range(MAX_ROUNDS):
            self.host.sockets.collect()
            before = len(self.host.events)
            self.slirp.pollfds_poll()
            self.clock.pass_by(0)
            self.host.run()
            self._prepare()
            busy = self.host.sockets.ready() or len(self.host.events) > before
            idle = 0 if busy else idle + 1
            if idle == IDLE_POLLS:
                return
        self.unsettled += 1

    # -- stimuli -----------------------------------------------------------------------

    def _advance(self, do: dict[str, Any]) -> None:
        end: int = do["to"]
        if end < self.clock.now():
            raise RecordingError("virtual time goes back")
        while (wake := self._next_wake()) <= end:
            self.clock.advance_to(wake)
            self.wakes.append(wake)
            self._settle()
        self.clock.advance_to(end)

    def _next_wake(self) -> int:
        timer = self.clock.next_deadline()
        return self.deadline if timer is None else min(self.deadline, timer)

    def _guest_frame(self, do: dict[str, Any]) -> None:
        self.slirp.slirp_input(Frame(frame_bytes(do)))

    def _host_connect(self, do: dict[str, Any]) -> None:
        self.host.host_connect(do["conn"], _endpoint(do["from"]), _endpoint(do["to"]))

    def _host_send(self, do: dict[str, Any]) -> str | None:
        return self.host.host_send(do["conn"], payload(do["data"]), do.get("oob", False))

    def _host_close(self, do: dict[str, Any]) -> None:
        self.host.host_close(do["conn"], do.get("reset", False))

    def _udp_send(self, do: dict[str, Any]) -> str | None:
        to = do["to"] if isinstance(do["to"], str) else _endpoint(do["to"])
        return self.host.udp_send(do["sock"], to, payload(do["data"]))

    def _hostfwd_add(self, do: dict[str, Any]) -> int:
        rule = _hostfwd(do["rule"])
        try:
            self.slirp.add_hostfwd(rule)
        except OSError:
            return -1
        return 0

    def _hostfwd_remove(self, do: dict[str, Any]) -> int:
        rule = _hostfwd(do["rule"])
        removed = self.slirp.remove_hostfwd(rule.proto, (rule.host_addr, rule.host_port))
        return 0 if removed else -1

    def _guestfwd_remove(self, do: dict[str, Any]) -> int:
        return 0 if self.slirp.remove_guestfwd(ip(do["addr"]), do["port"]) else -1

    def _guestfwd_send(self, do: dict[str, Any]) -> dict[str, int]:
        room = self.slirp.guestfwd.can_recv(ip(do["addr"]), do["port"])
        data = payload(do["data"])[:room]
        if data:
            self.slirp.guestfwd.recv(ip(do["addr"]), do["port"], data)
        return {"can_recv": room, "taken": len(data)}

    def _guestfwd_output(self, rule: GuestFwd, data: bytes) -> None:
        self.host.note("gfwd_data", addr=ip_text(rule.server), port=rule.port, data=data)

    def _events(self) -> list[Event]:
        events = self.host.events
        self.host.events = []
        return events


ACTIONS: dict[str, Callable[[Replay, dict[str, Any]], Any]] = {
    "guest_frame": Replay._guest_frame,
    "advance": Replay._advance,
    "host_connect": Replay._host_connect,
    "host_listen": lambda r, do: r.host.host_listen(do["listener"], _endpoint(do["addr"])),
    "host_send": Replay._host_send,
    "host_shutdown": lambda r, do: r.host.host_shutdown(do["conn"]),
    "host_close": Replay._host_close,
    "host_accept_bytes": lambda r, do: r.host.host_accept_bytes(do["conn"], do["n"]),
    "udp_bind": lambda r, do: r.host.udp_bind(do["sock"], _endpoint(do["addr"])),
    "udp_send": Replay._udp_send,
    "hostfwd_add": Replay._hostfwd_add,
    "hostfwd_remove": Replay._hostfwd_remove,
    "guestfwd_remove": Replay._guestfwd_remove,
    "guestfwd_send": Replay._guestfwd_send,
}
"""What each operation of a step does."""


def named_ports(recording: Recording) -> Iterator[int]:
    """The ports that programs of the host and forwarding rules ask for."""
    for step in recording["steps"]:
        for key in ("from", "addr"):
            if isinstance(step["do"].get(key), list):
                yield step["do"][key][1]
        if "rule" in step["do"]:
            yield step["do"]["rule"]["host"][1]
    for rule in recording["config"]["hostfwd"]:
        yield rule["host"][1]


def _endpoint(pair: list[Any]) -> tuple[bytes, int]:
    return ip(pair[0]), pair[1]


def _place(steps: list[dict[str, Any]], number: int) -> str:
    """Which step it is, and what is done in it."""
    if number < 0:
        return "at creation"
    if number == len(steps):
        return f"after {number} steps"
    step = steps[number]
    do = step["do"]
    what = f"step {number} ({do['op']} at {step['t']} ns"
    if do["op"] == "guest_frame":
        what += f": {describe(frame_bytes(do))}"
    elif do["op"] == "advance":
        what += f": to {do['to']} ns"
    else:
        words = [f"{key} {value}" for key, value in do.items() if key != "op"]
        what += f": {', '.join(words)}"
    return what + ")"


def replay(recording: Recording, version: Version = VERSION_4_7) -> None:
    """Play ``recording``; raises ``DifferenceError`` where the stack is not like the real one."""
    Replay(recording, version).run()
