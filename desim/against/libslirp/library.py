"""libslirp 4.7.0 through ctypes: its configuration, its callbacks, its calls.

The layouts are those of libslirp.h of 4.7.0. Only the process made for one conversation
opens it (worker.py): the library can crash, and it keeps its clock in a global variable.
"""

from __future__ import annotations

import ctypes as c
import errno
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from desim.against.libslirp.interpose import interpose
from desim.devices import GuestFwd, UserNet
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI

SONAME = "libslirp.so.0"
VERSION = "4.7.0"
CONFIG_VERSION = 4
NO_LIMIT_MS = (1 << 31) - 1

BITS = {1: POLLIN, 2: POLLOUT, 4: POLLPRI, 8: POLLERR, 16: POLLHUP}
"""The library's poll bits, and those of poll(2)."""


class LibraryError(Exception):
    """The library is not here, or is not the one that is modelled; says which."""


IN = c.c_uint32
IN6 = c.c_uint32 * 4


class Config(c.Structure):
    """``SlirpConfig`` of libslirp.h, up to the fields of version 4."""

    _fields_ = [
        ("version", c.c_uint32),
        ("restricted", c.c_int),
        ("in_enabled", c.c_bool),
        ("vnetwork", IN),
        ("vnetmask", IN),
        ("vhost", IN),
        ("in6_enabled", c.c_bool),
        ("vprefix_addr6", IN6),
        ("vprefix_len", c.c_uint8),
        ("vhost6", IN6),
        ("vhostname", c.c_char_p),
        ("tftp_server_name", c.c_char_p),
        ("tftp_path", c.c_char_p),
        ("bootfile", c.c_char_p),
        ("vdhcp_start", IN),
        ("vnameserver", IN),
        ("vnameserver6", IN6),
        ("vdnssearch", c.POINTER(c.c_char_p)),
        ("vdomainname", c.c_char_p),
        ("if_mtu", c.c_size_t),
        ("if_mru", c.c_size_t),
        ("disable_host_loopback", c.c_bool),
        ("enable_emu", c.c_bool),
        ("outbound_addr", c.c_void_p),
        ("outbound_addr6", c.c_void_p),
        ("disable_dns", c.c_bool),
        ("disable_dhcp", c.c_bool),
    ]


SEND = c.CFUNCTYPE(c.c_ssize_t, c.c_void_p, c.c_size_t, c.c_void_p)
ERROR = c.CFUNCTYPE(None, c.c_char_p, c.c_void_p)
NOW = c.CFUNCTYPE(c.c_int64, c.c_void_p)
TIMER_NEW = c.CFUNCTYPE(c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p)
TIMER_FREE = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p)
TIMER_MOD = c.CFUNCTYPE(None, c.c_void_p, c.c_int64, c.c_void_p)
DESCRIPTOR = c.CFUNCTYPE(None, c.c_int, c.c_void_p)
NOTIFY = c.CFUNCTYPE(None, c.c_void_p)
ADD_POLL = c.CFUNCTYPE(c.c_int, c.c_int, c.c_int, c.c_void_p)
GET_REVENTS = c.CFUNCTYPE(c.c_int, c.c_int, c.c_void_p)
TIMER = c.CFUNCTYPE(None, c.c_void_p)
WRITE = c.CFUNCTYPE(c.c_ssize_t, c.c_void_p, c.c_size_t, c.c_void_p)
SEND_TO_HOST = c.CFUNCTYPE(c.c_ssize_t, c.c_int, c.c_void_p, c.c_size_t, c.c_int, use_errno=True)

HOSTFWD_UDP, HOSTFWD_V6ONLY = 1, 2


class Callbacks(c.Structure):
    """``SlirpCb`` of libslirp.h."""

    _fields_ = [
        ("send_packet", SEND),
        ("guest_error", ERROR),
        ("clock_get_ns", NOW),
        ("timer_new", TIMER_NEW),
        ("timer_free", TIMER_FREE),
        ("timer_mod", TIMER_MOD),
        ("register_poll_fd", DESCRIPTOR),
        ("unregister_poll_fd", DESCRIPTOR),
        ("notify", NOTIFY),
        ("init_completed", c.c_void_p),
        ("timer_new_opaque", c.c_void_p),
    ]


def load() -> c.CDLL:
    """The library; raises ``LibraryError`` if it is missing or another version."""
    if c.sizeof(c.c_void_p) != 8:
        raise LibraryError("its layouts are known for 64-bit machines only")
    try:
        library = c.CDLL(SONAME)
    except OSError as error:
        raise LibraryError(
            f"{SONAME} cannot be loaded ({error}); install libslirp {VERSION} "
            "(Debian package libslirp0)"
        ) from None
    library.slirp_version_string.restype = c.c_char_p
    found = library.slirp_version_string().decode()
    if found != VERSION:
        raise LibraryError(f"{SONAME} is libslirp {found}; libslirp {VERSION} is what is modelled")
    library.slirp_new.restype = c.c_void_p
    library.slirp_new.argtypes = [c.POINTER(Config), c.POINTER(Callbacks), c.c_void_p]
    library.slirp_input.argtypes = [c.c_void_p, c.c_char_p, c.c_int]
    library.slirp_input.restype = None
    library.slirp_pollfds_fill.argtypes = [c.c_void_p, c.POINTER(c.c_uint32), ADD_POLL, c.c_void_p]
    library.slirp_pollfds_fill.restype = None
    library.slirp_pollfds_poll.argtypes = [c.c_void_p, c.c_int, GET_REVENTS, c.c_void_p]
    library.slirp_pollfds_poll.restype = None
    library.slirp_add_hostfwd.argtypes = [c.c_void_p, c.c_int, IN, c.c_int, IN, c.c_int]
    library.slirp_remove_hostfwd.argtypes = [c.c_void_p, c.c_int, IN, c.c_int]
    end: list[Any] = [c.c_char_p, c.c_uint32]
    library.slirp_add_hostxfwd.argtypes = [c.c_void_p, *end, *end, c.c_int]
    library.slirp_remove_hostxfwd.argtypes = [c.c_void_p, *end, c.c_int]
    address = c.POINTER(IN)
    library.slirp_add_guestfwd.argtypes = [c.c_void_p, WRITE, c.c_void_p, address, c.c_int]
    library.slirp_add_unix.argtypes = [c.c_void_p, c.c_char_p, address, c.c_int]
    library.slirp_remove_guestfwd.argtypes = [c.c_void_p, IN, c.c_int]
    library.slirp_socket_can_recv.argtypes = [c.c_void_p, IN, c.c_int]
    library.slirp_socket_can_recv.restype = c.c_size_t
    library.slirp_socket_recv.argtypes = [c.c_void_p, IN, c.c_int, c.c_char_p, c.c_int]
    library.slirp_socket_recv.restype = None
    return library


class Timer:
    """A timer that the library made: what it runs, and when."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run
        self.deadline_ns: int | None = None


class RealSlirp:
    """One instance of the library. Its only clock is the one it is given."""

    def __init__(
        self,
        config: UserNet,
        *,
        now: Callable[[], int],
        send: Callable[[bytes], None],
        closed: Callable[[int], None],
        room: Callable[[int, int], int],
        guestfwd: Callable[[GuestFwd, bytes], None],
        ra_interval_ms: int | None,
        tftp_path: str | None,
    ) -> None:
        """``room``: how many of so many bytes a descriptor takes now. ``guestfwd``: the
        guest's bytes for a rule. ``ra_interval_ms``: what its timers are set to, instead of
        what it draws; None: they never run out."""
        self._library = load()
        self._watched: list[tuple[int, int]] = []
        self._revents: dict[int, int] = {}
        self._now = now
        self._ra_interval_ms = ra_interval_ms
        self._timers: list[Timer] = []
        self._guestfwd = guestfwd
        self._room = room
        self._libc = c.CDLL(None, use_errno=True)
        self._libc.send.argtypes = [c.c_int, c.c_void_p, c.c_size_t, c.c_int]
        self._libc.send.restype = c.c_ssize_t

        def send_packet(data: int, size: int, _: object) -> int:
            send(c.string_at(data, size))
            return size

        # ctypes forgets callbacks that nobody holds.
        self._callbacks = Callbacks(
            SEND(send_packet),
            ERROR(lambda message, _: None),
            NOW(lambda _: now()),
            TIMER_NEW(self._timer_new),
            TIMER_FREE(lambda timer, _: None),
            TIMER_MOD(self._timer_mod),
            DESCRIPTOR(lambda fd, _: None),
            DESCRIPTOR(lambda fd, _: closed(fd)),
            NOTIFY(lambda _: None),
        )
        self._send_to_host = SEND_TO_HOST(self._send)
        interpose(self._library, "send", self._send_to_host)
        self._writes: list[Any] = []
        self._add_poll = ADD_POLL(self._watch)
        self._get_revents = GET_REVENTS(lambda index, _: self._revents.get(index, 0))
        self._config = _config(config, tftp_path)
        self._slirp = self._library.slirp_new(c.byref(self._config), c.byref(self._callbacks), None)
        if not self._slirp:
            raise LibraryError("slirp_new refuses the configuration")
        for rule in config.hostfwd:
            self.add_hostfwd(
                rule.proto, (rule.host_addr, rule.host_port), (rule.guest_addr, rule.guest_port)
            )
        for guest_rule in config.guestfwd:
            self.add_guestfwd(guest_rule)

    def input(self, frame: bytes) -> None:
        """A frame of the guest."""
        self._library.slirp_input(self._slirp, frame, len(frame))

    def fill(self) -> tuple[int, list[tuple[int, int]]]:
        """How long the loop may sleep, in ms; the descriptors to watch, with poll(2)'s bits."""
        self._watched = []
        timeout_ms = c.c_uint32(NO_LIMIT_MS)
        self._library.slirp_pollfds_fill(self._slirp, c.byref(timeout_ms), self._add_poll, None)
        return timeout_ms.value, self._watched

    def poll(self, found: list[int]) -> None:
        """Let it look at its descriptors: what was found for each, in the order of ``fill``."""
        self._revents = {
            index: sum(bit for bit, poll_bit in BITS.items() if events & poll_bit)
            for index, events in enumerate(found)
        }
        self._library.slirp_pollfds_poll(self._slirp, 0, self._get_revents, None)

    def deadlines_ns(self) -> list[int]:
        """When its timers run out."""
        return [timer.deadline_ns for timer in self._timers if timer.deadline_ns is not None]

    def fire(self) -> None:
        """Let all due timers run out."""
        for timer in self._timers:
            if timer.deadline_ns is not None and timer.deadline_ns <= self._now():
                timer.deadline_ns = None
                timer.run()

    def add_hostfwd(self, protocol: str, host: tuple[bytes, int], guest: tuple[bytes, int]) -> bool:
        """False if the port cannot be bound."""
        is_udp = protocol == "udp"
        if len(host[0]) == len(guest[0]) == 4:
            done = self._library.slirp_add_hostfwd(
                self._slirp, is_udp, _in(host[0]), host[1], _in(guest[0]), guest[1]
            )
        else:
            done = self._library.slirp_add_hostxfwd(
                self._slirp, *_sockaddr(host), *_sockaddr(guest), _flags(protocol, host)
            )
        return bool(done == 0)

    def remove_hostfwd(self, protocol: str, host: tuple[bytes, int]) -> bool:
        """False if there is no such rule."""
        if len(host[0]) == 4:
            is_udp = protocol == "udp"
            done = self._library.slirp_remove_hostfwd(self._slirp, is_udp, _in(host[0]), host[1])
        else:
            done = self._library.slirp_remove_hostxfwd(
                self._slirp, *_sockaddr(host), _flags(protocol, host)
            )
        return bool(done == 0)

    def add_guestfwd(self, rule: GuestFwd) -> None:
        """Raises ``LibraryError`` if its address is not free."""
        address = IN(_in(rule.server))
        if rule.unix is not None:
            done = self._library.slirp_add_unix(
                self._slirp, rule.unix.encode(), c.byref(address), rule.port
            )
        else:

            def write(data: int, size: int, _: object) -> int:
                self._guestfwd(rule, c.string_at(data, size))
                return size

            self._writes.append(WRITE(write))
            done = self._library.slirp_add_guestfwd(
                self._slirp, self._writes[-1], None, c.byref(address), rule.port
            )
        if done != 0:
            raise LibraryError(f"the library refuses {rule}")

    def remove_guestfwd(self, address: bytes, port: int) -> bool:
        """False if there is no such rule."""
        done = self._library.slirp_remove_guestfwd(self._slirp, _in(address), port)
        return bool(done == 0)

    def guestfwd_can_recv(self, address: bytes, port: int) -> int:
        """How many bytes the guest can be given now."""
        room: int = self._library.slirp_socket_can_recv(self._slirp, _in(address), port)
        return room

    def guestfwd_recv(self, address: bytes, port: int, data: bytes) -> None:
        """Give them to the guest."""
        self._library.slirp_socket_recv(self._slirp, _in(address), port, data, len(data))

    def _timer_new(self, callback: int, opaque: int | None, _: object) -> int:
        run = TIMER(callback)
        self._timers.append(Timer(lambda: run(opaque)))
        return len(self._timers)

    def _timer_mod(self, number: int, expires: int, _: object) -> None:
        if self._ra_interval_ms is not None:
            # As the library counts, in whole milliseconds.
            now_ms = self._now() // 1_000_000
            self._timers[number - 1].deadline_ns = (now_ms + self._ra_interval_ms) * 1_000_000

    def _send(self, fd: int, data: int, size: int, flags: int) -> int:
        taken = self._room(fd, size)
        if size and not taken:
            c.set_errno(errno.EAGAIN)
            return -1
        sent: int = self._libc.send(fd, data, taken, flags)
        return sent

    def _watch(self, fd: int, events: int, _: object) -> int:
        self._watched.append((fd, sum(BITS[bit] for bit in BITS if events & bit)))
        return len(self._watched) - 1


def _in(address: bytes) -> int:
    """``struct in_addr``: the wire's bytes, whatever the machine's order."""
    return int.from_bytes(address, sys.byteorder)


def _flags(protocol: str, host: tuple[bytes, int]) -> int:
    return HOSTFWD_UDP * (protocol == "udp") | HOSTFWD_V6ONLY * (len(host[0]) == 16)


def _sockaddr(end: tuple[bytes, int]) -> tuple[bytes, int]:
    """``struct sockaddr_in`` or ``sockaddr_in6``, and its size."""
    address, port = end
    if len(address) == 4:
        raw = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, address)
    else:
        raw = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16sI", port, 0, address, 0)
    return raw, len(raw)


def _in6(address: bytes) -> Any:
    return IN6.from_buffer_copy(address)


def _text(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _config(config: UserNet, tftp_path: str | None) -> Config:
    names = [name.encode() for name in config.dnssearch]
    return Config(
        version=CONFIG_VERSION,
        restricted=config.restrict,
        in_enabled=config.ipv4,
        vnetwork=_in(config.net),
        vnetmask=_in(config.mask),
        vhost=_in(config.host),
        in6_enabled=config.ipv6,
        vprefix_addr6=_in6(config.ipv6_prefix),
        vprefix_len=config.ipv6_prefixlen,
        vhost6=_in6(config.ipv6_host),
        vhostname=_text(config.hostname),
        tftp_server_name=_text(config.tftp_server_name),
        tftp_path=_text(tftp_path),
        bootfile=_text(config.bootfile),
        vdhcp_start=_in(config.dhcpstart),
        vnameserver=_in(config.dns),
        vnameserver6=_in6(config.ipv6_dns),
        vdnssearch=(c.c_char_p * (len(names) + 1))(*names, None) if names else None,
        vdomainname=_text(config.domainname),
        if_mtu=config.if_mtu,
        if_mru=config.if_mru,
        disable_host_loopback=config.disable_host_loopback,
        disable_dns=config.disable_dns,
        disable_dhcp=config.disable_dhcp,
    )
