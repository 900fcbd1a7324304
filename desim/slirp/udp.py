"""UDP between guest and host (slirp/udp.c, RFC 768).

A session is one guest address and port, whatever it talks to: the latest
destination decides how an answer's sender is shown. It lives 240 s after the last
datagram; after an answer 240 s, or 10 s if the latest destination is port 53. A
forwarded port's session (hostfwd) lives until it is removed.

Datagrams to port 67 of the host or of everybody are DHCP's, those to port 69 of
the host are TFTP's; a restricted network lets nothing else through.
"""

from __future__ import annotations

import struct
from operator import attrgetter
from typing import TYPE_CHECKING

from desim.ports import Endpoint, Fd
from desim.slirp import reasons
from desim.slirp.datagram import Datagram
from desim.slirp.icmp import ICMP_TIMXCEED, ICMP_UNREACH, ICMP_UNREACH_NET
from desim.slirp.ip import IPDEFTTL, IPPROTO_UDP
from desim.slirp.socket import (
    NEWS,
    SO_EXPIRE,
    SS_HOSTFWD,
    SS_ISFCONNECTED,
    SS_PERSISTENT_MASK,
    UDP_QUEUED_MAX,
    Socket,
)
from desim.stages import QEMU, mark, stages
from desim.wire.addresses import IP_BROADCAST
from desim.wire.checksum import checksum, pseudo_sum

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

BOOTP_SERVER = 67
TFTP_SERVER = 69
UDP_HLEN = 8

_HEADER = struct.Struct("!HHHH")


class Udp:
    """UDP over IPv4, and the sessions of both families."""

    STAGES = stages(
        QEMU,
        udp_input=mark("udp_input", file="slirp/udp.c"),
        udp_output=mark("udp_output", file="slirp/udp.c", size="data"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        self.udb: dict[Socket, None] = {}
        """The sessions (``slirp->udb``), oldest first."""
        self.sessions: dict[Socket, None] = {}
        """Those that are no forwarded ports, oldest first."""
        self._forwards: dict[Fd, Socket] = {}
        self._held_back: list[Socket] = []
        """Forwarded ports that the last poll did not watch."""
        self._attached = 0
        self._by_guest: dict[Endpoint, Socket] = {}
        """The newest session of each of the guest's ends."""
        self.udp_last_so: Socket | None = None
        """What the last lookup that found something found."""

    def udp_input(self, datagram: Datagram) -> None:
        """A UDP datagram from the guest."""
        slirp = self.slirp
        config = slirp.config
        datagram.strip_options()
        payload = datagram.payload
        if len(payload) < UDP_HLEN:
            slirp.drop(datagram.frame, reasons.UDP_TOO_SHORT)
            return
        sport, dport, length, sum_field = _HEADER.unpack_from(payload)
        if length > len(payload):
            slirp.drop(datagram.frame, reasons.UDP_TOO_LONG)
            return
        untrimmed = payload
        payload = datagram.payload = payload[:length]
        src, dst = datagram.src, datagram.dst
        if sum_field and checksum(payload, pseudo_sum(src, dst, IPPROTO_UDP, length)):
            slirp.drop(datagram.frame, reasons.UDP_CHECKSUM)
            return
        if dport == BOOTP_SERVER and dst in (config.host, IP_BROADCAST):
            slirp.bootp.bootp_input(datagram)
            return
        if dport == TFTP_SERVER and dst == config.host:
            slirp.tftp.tftp_input(datagram, sport, dport)
            return
        if config.restrict:
            slirp.drop(datagram.frame, reasons.RESTRICTED)
            return
        # Checking a sum wipes out the TOS: it lasts only in datagrams without one.
        so = self.session((src, sport), 0 if sum_field else datagram.tos)
        if so is None:
            slirp.drop(datagram.frame, reasons.NO_UDP_SOCKET)
            return
        so.so_ffamily = 4
        so.fhost = (dst, dport)
        ttl: int | None = None
        if slirp.version.udp_ttl:
            ttl = datagram.ttl - 1
            if ttl <= 0:
                slirp.icmp.icmp_send_error(datagram, ICMP_TIMXCEED, 0)
                slirp.drop(datagram.frame, reasons.TTL_EXCEEDED)
                return
        if datagram.behind:
            # What is sent is as long as the buffer says, not the header.
            payload = (untrimmed + datagram.behind)[: length + len(datagram.behind)]
        # A length below the header's own makes a negative size, which no host accepts.
        if len(payload) < UDP_HLEN or not slirp.socket_io.sosendto(so, payload[UDP_HLEN:], ttl):
            slirp.icmp.icmp_send_error(datagram, ICMP_UNREACH, ICMP_UNREACH_NET)
            slirp.drop(datagram.frame, reasons.HOST_CANNOT_SEND)
            return
        so.so_m = datagram

    def udp_output(
        self, so: Socket | None, src: Endpoint, dst: Endpoint, data: bytes, iptos: int
    ) -> None:
        """Send ``data`` to the guest's ``dst`` as if from ``src``."""
        length = UDP_HLEN + len(data)
        header = _HEADER.pack(src[1], dst[1], length & 0xFFFF, 0)
        total = checksum(header + data, pseudo_sum(src[0], dst[0], IPPROTO_UDP, length & 0xFFFF))
        # 0 means "no checksum", so a sum of 0 is sent as its other form.
        header = header[:6] + (total or 0xFFFF).to_bytes(2, "big")
        self.slirp.ip.ip_output(
            so, src[0], dst[0], IPPROTO_UDP, IPDEFTTL, iptos, False, header + data
        )

    def solookup(self, guest: Endpoint) -> Socket | None:
        """The session of ``guest``: of several the one found last time, or the newest."""
        last = self.udp_last_so
        if last is not None and last.lhost == guest:
            return last
        found = self._by_guest.get(guest)
        if found is not None:
            self.udp_last_so = found
        return found

    def session(self, guest: Endpoint, iptos: int = 0) -> Socket | None:
        """The session of ``guest``, a new one if need be; None if the host has no socket."""
        so = self.solookup(guest)
        if so is None:
            so = Socket()
            try:
                so.fd = self.slirp.sockets.bind_udp(bytes(len(guest[0])), 0)
            except OSError:
                return None
            so.so_expire = self.slirp.curtime + SO_EXPIRE
            so.lhost = guest
            so.so_iptos = iptos
            self._attach(so)
            self.sessions[so] = None
            self._by_guest[guest] = so
        return so

    def _attach(self, so: Socket) -> None:
        """Give ``so`` its place in the list."""
        self._attached += 1
        so.number = self._attached
        self.udb[so] = None

    def watch_forwards(self) -> None:
        """Of the forwarded ports, those with many frames in the output queues are not watched
        by the next poll."""
        interface, sockets = self.slirp.interface, self.slirp.sockets
        waiting = interface.fastq or interface.batchq
        if not waiting and not self._held_back:
            return
        for so in self._held_back:
            if not so.closed:
                so.watched = True
                sockets.watch_always(so.fd, NEWS)
        sessions = (session.so for session in (*interface.fastq, *interface.batchq))
        self._held_back = [
            so
            for so in dict.fromkeys(sessions)
            if so is not None and self._forwards.get(so.fd) is so and so.so_queued > UDP_QUEUED_MAX
        ]
        for so in self._held_back:
            so.watched = False
            sockets.stop_watching(so.fd)

    def to_look_at(self, ready: list[Fd]) -> list[Socket]:
        """The sessions, and the forwarded ports that are ``ready``, newest first."""
        forwards = self._forwards
        found = [*self.sessions, *(forwards[fd] for fd in ready if fd in forwards)]
        return sorted(found, key=attrgetter("number"), reverse=True)

    def udp_detach(self, so: Socket) -> None:
        """The session is over."""
        del self.udb[so]
        self.sessions.pop(so, None)
        self._forwards.pop(so.fd, None)
        if self.udp_last_so is so:
            self.udp_last_so = None
        self._name_newest(so.lhost)
        self.slirp.sofree(so)

    def _name_newest(self, guest: Endpoint) -> None:
        """Note which of the sessions of ``guest`` is the newest."""
        newest = next((so for so in reversed(self.udb) if so.lhost == guest), None)
        if newest is None:
            self._by_guest.pop(guest, None)
        else:
            self._by_guest[guest] = newest

    def udp_listen(self, host: Endpoint, guest: Endpoint) -> Socket:
        """Forward a UDP port of the host; raises OSError."""
        slirp = self.slirp
        so = Socket()
        so.fd = slirp.sockets.bind_udp(host[0], host[1])
        so.so_ffamily = 4 if len(guest[0]) == 4 else 6
        so.fhost = slirp.sockets.sockname(so.fd)
        slirp.socket_io.sotranslate_accept(so)
        so.lhost = guest
        so.so_state = SS_ISFCONNECTED | SS_HOSTFWD
        self._attach(so)
        self._forwards[so.fd] = so
        slirp.fresh.append(so)
        self._by_guest[guest] = so
        return so

    def rename(self, so: Socket, guest: Endpoint) -> None:
        """The guest's address for a forwarded port is known at last."""
        before, so.lhost = so.lhost, guest
        self._name_newest(before)
        self._name_newest(guest)

    def sent(self, so: Socket) -> None:
        """A datagram of ``so`` went out: it lives on, and is polled."""
        if so.so_expire:
            so.so_expire = self.slirp.curtime + SO_EXPIRE
        so.so_state = so.so_state & SS_PERSISTENT_MASK | SS_ISFCONNECTED
