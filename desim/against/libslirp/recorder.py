"""Holds a conversation with the real library and writes it down as a recording.

The loop around the library, the host's programs and the form are those that
tests/vectors/slirp/README.md describes; the programs use real sockets on the loopback
interface of a network namespace that has nothing else. Whoever replays the recording
(desim.conform.slirp.replay) finds out whether our stack does the same.
"""

from __future__ import annotations

import array
import errno
import fcntl
import hashlib
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from desim.against.libslirp.library import VERSION, RealSlirp
from desim.conform.slirp.recordings import FORMAT, Recording, payload
from desim.conform.slirp.replay import IDLE_POLLS, MAX_ROUNDS, config_of
from desim.devices import GuestFwd
from desim.ports import POLLERR, POLLHUP, POLLOUT
from desim.slirp.version import VERSION_4_7
from desim.wire.addresses import ip, ip_text

START_NS = 1_000_000_000
LONG = 1024
"""Bytes; of more, a recording keeps the hash."""
GONE = -1
SIOCOUTQNSD = 0x894B
QUEUE_FULL_S = 0.1
"""On the loopback interface a connection is there at once, or it waits for a full queue."""
IP_RECVTTL = 12
"""Linux; the socket module does not name it."""
ADDRESS_FAMILY = {4: socket.AF_INET, 16: socket.AF_INET6}


class Recorder:
    """One conversation: each method is one step of the recording."""

    def __init__(self, config: dict[str, Any], tftp_path: str) -> None:
        self.time_ns: int = config["clock_start_ns"]
        self.config = config
        self.steps: list[dict[str, Any]] = []
        self.wakes: list[int] = []
        self.unsettled = 0
        self._events: list[dict[str, Any]] = []
        self._listeners: dict[str, socket.socket] = {}
        self._accepted: dict[str, int] = {}
        self._conns: dict[str, socket.socket] = {}
        self._ended: set[str] = set()
        self._socks: dict[str, socket.socket] = {}
        self._peers: dict[str, Any] = {}
        self._labels: dict[int, str] = {}
        self._limits: dict[str, int] = {}
        self._ends: dict[tuple[Any, ...], str] = {}
        """The ends of a connection, the library's own first; its name."""
        folder = Path(tftp_path).parent
        settings = config_of(config, VERSION_4_7)
        for guest_rule in settings.guestfwd:
            if guest_rule.unix is not None:
                self._listeners[guest_rule.unix] = _unix(folder / guest_rule.unix)
                guest_rule.unix = str(folder / guest_rule.unix)
        self._forwarded = {r.host_port: r for r in settings.hostfwd if r.proto == "udp"}
        self._watched: list[tuple[int, int]] = []
        self._slirp = RealSlirp(
            settings,
            now=lambda: self.time_ns,
            send=lambda raw: self._note("frame", hex=raw.hex()),
            closed=self._closed,
            room=self._room,
            guestfwd=self._guestfwd_output,
            ra_interval_ms=config["ra_interval_ms"],
            tftp_path=tftp_path if config["tftp"] else None,
        )
        self._prepare()
        self._settle()
        self.initial = self._take()

    def recording(self, name: str, description: str) -> Recording:
        """Everything so far."""
        return {
            "format": FORMAT,
            "family": "differential",
            "name": name,
            "description": description,
            "library": f"libslirp {VERSION}",
            "config": self.config,
            "initial_out": self.initial,
            "steps": self.steps,
            "wakes": _runs(self.wakes),
            "unsettled": self.unsettled,
            "mask": [],
        }

    def open_connections(self) -> list[str]:
        """The host programs' connections that they have not closed, by name."""
        return list(self._conns)

    # -- steps -------------------------------------------------------------------------

    def guest_frame(self, raw: bytes) -> list[bytes]:
        """The guest sends ``raw``; what it gets during this step."""
        kick = self.config["kick"]
        return self._step(
            {"op": "guest_frame", "hex": raw.hex()}, lambda: self._slirp.input(raw), kick
        )

    def advance(self, duration_ns: int) -> list[bytes]:
        """Time passes."""
        start, end = self.time_ns, self.time_ns + duration_ns
        while (wake := min([self._deadline_ns, *self._slirp.deadlines_ns()])) <= end:
            self.time_ns = wake
            self.wakes.append(self.time_ns)
            self._settle()
        self.time_ns = end
        return self._write(start, {"op": "advance", "to": end}, None)

    def host_listen(self, listener: str, address: tuple[str, int]) -> list[bytes]:
        def listen() -> None:
            sock = self._listeners[listener] = _socket(address, socket.SOCK_STREAM)
            sock.bind(address)
            sock.listen(64)

        do = {"op": "host_listen", "listener": listener, "addr": list(address)}
        return self._step(do, listen)

    def host_connect(self, conn: str, source: tuple[str, int], to: tuple[str, int]) -> list[bytes]:
        """No step at all if the kernel's queue of the listening port is full."""
        sock = _socket(source, socket.SOCK_STREAM)
        sock.bind(source)
        outcome = sock.connect_ex(to)
        if outcome == errno.EINPROGRESS:
            _, done, _ = select.select([], [sock], [], QUEUE_FULL_S)
            if not done:
                sock.close()
                return []
            outcome = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if outcome not in (0, errno.ECONNREFUSED):
            raise OSError(outcome, f"{source} cannot be connected to {to}")

        def connected() -> None:
            if outcome == 0:
                self._connected(conn, sock)
                self._note("host_connected", conn=conn)
            else:
                sock.close()
                self._note("host_refused", conn=conn)

        do = {"op": "host_connect", "conn": conn, "from": list(source), "to": list(to)}
        return self._step(do, connected)

    def host_send(self, conn: str, data: dict[str, Any], *, oob: bool = False) -> list[bytes]:
        def send() -> str | None:
            sock = self._conns[conn]
            try:
                sock.send(payload(data), socket.MSG_OOB if oob else 0)
            except OSError as error:
                return errno.errorcode[error.errno or errno.EIO]
            _wait_until_sent(sock)
            return None

        do = {"op": "host_send", "conn": conn, "data": data, **({"oob": True} if oob else {})}
        return self._step(do, send)

    def host_shutdown(self, conn: str) -> list[bytes]:
        def shutdown() -> None:
            try:
                self._conns[conn].shutdown(socket.SHUT_WR)
            except OSError:
                # The connection is gone: that was seen, or will be, as an event of its own.
                pass

        return self._step({"op": "host_shutdown", "conn": conn}, shutdown)

    def host_close(self, conn: str, *, reset: bool = False) -> list[bytes]:
        def close() -> None:
            sock = self._conns.pop(conn)
            self._limits.pop(conn, None)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

        do = {"op": "host_close", "conn": conn, **({"reset": True} if reset else {})}
        return self._step(do, close)

    def host_accept_bytes(self, conn: str, count: int | None) -> list[bytes]:
        """The program takes ``count`` more bytes; None: any number."""

        def limit() -> None:
            self._limits.pop(conn, None)
            if count is not None:
                self._limits[conn] = count

        return self._step({"op": "host_accept_bytes", "conn": conn, "n": count}, limit)

    def guestfwd_send(self, address: str, port: int, data: dict[str, Any]) -> list[bytes]:
        """As much of ``data`` for the guest as it has room for."""

        def send() -> dict[str, int]:
            room = self._slirp.guestfwd_can_recv(ip(address), port)
            taken = payload(data)[:room]
            if taken:
                self._slirp.guestfwd_recv(ip(address), port, taken)
            return {"can_recv": room, "taken": len(taken)}

        do = {"op": "guestfwd_send", "addr": address, "port": port, "data": data}
        return self._step(do, send)

    def guestfwd_remove(self, address: str, port: int) -> list[bytes]:
        def remove() -> int:
            return 0 if self._slirp.remove_guestfwd(ip(address), port) else -1

        return self._step({"op": "guestfwd_remove", "addr": address, "port": port}, remove)

    def udp_bind(self, sock: str, address: tuple[str, int]) -> list[bytes]:
        def bind() -> None:
            made = self._socks[sock] = _socket(address, socket.SOCK_DGRAM)
            if made.family == socket.AF_INET:
                made.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            else:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            made.bind(address)

        return self._step({"op": "udp_bind", "sock": sock, "addr": list(address)}, bind)

    def udp_send(self, sock: str, to: tuple[str, int] | None, data: dict[str, Any]) -> list[bytes]:
        """``to`` None: to whoever sent the last datagram."""

        def send() -> str | None:
            address = self._peers.get(sock) if to is None else to
            if address is None:
                return "no peer"
            try:
                self._socks[sock].sendto(payload(data), address)
            except ConnectionRefusedError:
                # That an earlier datagram found nobody; the recordings' programs do not care.
                self._socks[sock].sendto(payload(data), address)
            return None

        target = "peer" if to is None else list(to)
        return self._step({"op": "udp_send", "sock": sock, "to": target, "data": data}, send)

    def hostfwd_add(self, rule: dict[str, Any]) -> list[bytes]:
        def add() -> int:
            done = self._slirp.add_hostfwd(
                rule["proto"],
                (ip(rule["host"][0]), rule["host"][1]),
                (ip(rule["guest"][0]), rule["guest"][1]),
            )
            return 0 if done else -1

        return self._step({"op": "hostfwd_add", "rule": rule}, add)

    def hostfwd_remove(self, rule: dict[str, Any]) -> list[bytes]:
        def remove() -> int:
            host = (ip(rule["host"][0]), rule["host"][1])
            return 0 if self._slirp.remove_hostfwd(rule["proto"], host) else -1

        return self._step({"op": "hostfwd_remove", "rule": rule}, remove)

    def _step(
        self, do: dict[str, Any], action: Callable[[], object], kick: bool | None = None
    ) -> list[bytes]:
        result = action()
        self._drain()
        if kick is None:
            kick = self.config["kick"] or self._ready()
        if kick:
            self._settle()
        return self._write(self.time_ns, do, result)

    def _write(self, start_ns: int, do: dict[str, Any], result: object) -> list[bytes]:
        step: dict[str, Any] = {"t": start_ns, "do": do, "out": self._take()}
        if result is not None:
            step["result"] = result
        self.steps.append(step)
        return [bytes.fromhex(e["hex"]) for e in step["out"] if e["ev"] == "frame"]

    # -- the poll loop -----------------------------------------------------------------

    def _prepare(self) -> None:
        timeout_ms, self._watched = self._slirp.fill()
        self._deadline_ns = self.time_ns + timeout_ms * 1_000_000

    def _ready(self) -> bool:
        poll = select.poll()
        for fd, events in self._watched:
            if fd != GONE:
                poll.register(fd, events)
        found = {fd: self._unlimited(fd, events) for fd, events in poll.poll(0)}
        wanted = [(fd, events | POLLERR | POLLHUP) for fd, events in self._watched]
        self._found = [found.get(fd, 0) & events for fd, events in wanted]
        return any(self._found)

    def _closed(self, gone: int) -> None:
        """The library closes a descriptor; its number may soon be another's."""
        self._watched = [(GONE if fd == gone else fd, events) for fd, events in self._watched]

    def _settle(self) -> None:
        idle = 0
        for _ in range(MAX_ROUNDS):
            self._ready()
            before = len(self._events)
            self._slirp.poll(self._found)
            self._slirp.fire()
            self._drain()
            self._prepare()
            self._drain()
            busy = self._ready() or len(self._events) > before
            idle = 0 if busy else idle + 1
            if idle == IDLE_POLLS:
                return
        self.unsettled += 1

    # -- programs that take only so much -----------------------------------------------

    def _connected(self, conn: str, sock: socket.socket) -> None:
        self._conns[conn] = sock
        if sock.family != socket.AF_UNIX:
            self._ends[sock.getpeername(), sock.getsockname()] = conn

    def _limit(self, fd: int) -> tuple[str, int] | None:
        """The connection that a descriptor of the library belongs to, and what it takes."""
        if not self._limits:
            return None
        with socket.socket(fileno=os.dup(fd)) as sock:
            try:
                conn = self._ends.get((sock.getsockname(), sock.getpeername()))
            except OSError:
                # It listens, or has lost its peer.
                return None
        if conn is None or conn not in self._limits:
            return None
        return conn, self._limits[conn]

    def _room(self, fd: int, size: int) -> int:
        limit = self._limit(fd)
        if limit is None:
            return size
        conn, left = limit
        taken = min(size, left)
        self._limits[conn] = left - taken
        return taken

    def _unlimited(self, fd: int, events: int) -> int:
        """What poll finds, but for the room that the kernel has and the program has not."""
        if events & POLLOUT and not events & (POLLERR | POLLHUP):
            limit = self._limit(fd)
            if limit is not None and limit[1] == 0:
                return events & ~POLLOUT
        return events

    def _guestfwd_output(self, rule: GuestFwd, data: bytes) -> None:
        self._note("gfwd_data", addr=ip_text(rule.server), port=rule.port, **_data(data))

    # -- what the host's programs see --------------------------------------------------

    def _note(self, kind: str, **fields: Any) -> None:
        self._events.append({"t": self.time_ns, "ev": kind, **fields})

    def _take(self) -> list[dict[str, Any]]:
        events, self._events = self._events, []
        return events

    def _drain(self) -> None:
        for name, listener in self._listeners.items():
            self._accept(name, listener)
        for name, sock in self._conns.items():
            if name not in self._ended:
                self._read(name, sock)
        for name, sock in self._socks.items():
            self._receive(name, sock)

    def _accept(self, name: str, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            self._accepted[name] = number = self._accepted.get(name, 0) + 1
            sock.setblocking(False)
            _set_up(sock)
            self._connected(f"{name}.{number}", sock)
            self._note("accept", listener=name, conn=f"{name}.{number}")

    def _read(self, name: str, sock: socket.socket) -> None:
        while True:
            try:
                data = sock.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                self._ended.add(name)
                self._note("host_reset", conn=name)
                return
            if not data:
                self._ended.add(name)
                self._note("host_eof", conn=name)
                return
            self._note("host_data", conn=name, **_data(data))

    def _receive(self, name: str, sock: socket.socket) -> None:
        while True:
            try:
                data, extra, _, sender = sock.recvmsg(1 << 16, 256)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            self._peers[name] = sender
            ttl = struct.unpack("i", extra[0][2])[0]
            self._note("udp", sock=name, source=self._source(sender), ttl=ttl, **_data(data))

    def _source(self, sender: Any) -> str | list[Any]:
        port = sender[1]
        if port in self._forwarded:
            return [sender[0], port]
        return self._labels.setdefault(port, f"port-{len(self._labels) + 1}")


def _socket(address: tuple[str, int], kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(ADDRESS_FAMILY[len(ip(address[0]))], kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == socket.SOCK_STREAM:
        _set_up(sock)
    sock.setblocking(False)
    return sock


def _unix(path: Path) -> socket.socket:
    """A listening Unix socket."""
    sock = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    sock.bind(str(path))
    sock.listen(64)
    sock.setblocking(False)
    return sock


def _set_up(sock: socket.socket) -> None:
    """Deliver at once, and read urgent bytes with all others, as the recordings' programs."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)


def _wait_until_sent(sock: socket.socket) -> None:
    """The recordings' hosts deliver at once; the kernel may wait for an acknowledgement."""
    if sock.family == socket.AF_UNIX:
        return
    left = array.array("i", [1])
    for _ in range(1000):
        fcntl.ioctl(sock.fileno(), SIOCOUTQNSD, left)
        if not left[0]:
            return
        time.sleep(0.001)


def _data(data: bytes) -> dict[str, Any]:
    if len(data) > LONG:
        return {"len": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {"len": len(data), "hex": data.hex()}


def _runs(times: list[int]) -> list[list[int]]:
    """Times as runs of ``[first, period, count]``."""
    runs: list[list[int]] = []
    for time_ns in times:
        if runs:
            first, period, count = runs[-1]
            if count == 1 or time_ns == first + period * count:
                runs[-1] = [first, time_ns - first if count == 1 else period, count + 1]
                continue
        runs.append([time_ns, 0, 1])
    return runs
