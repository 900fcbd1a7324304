"""``ping`` of busybox 1.35 (networking/ping.c), over IPv4.

Theory of operation
-------------------
Requests go out through a raw socket, the first at once and each other one an interval after
the one before, however long that took. The first four bytes of the payload are the clock in
microseconds; the reply brings them back, and the difference is the round trip. The real one
sleeps in ``recvfrom`` and sends from the handler of an alarm; here a poll until the next
sending takes the alarm's place.

It ends when as many replies came as ``-c`` wanted; or, once all requests are out, after
``-W`` seconds (10) if there was no reply at all, else after twice the longest round trip in
whole seconds, at least one; or at the first sending that ``-w`` leaves no time for; or by
Ctrl-C. Status 1 if nothing came back.

A pattern (``-p``) fills the code of the ICMP header too, as it does in the real one.

Not modelled: ``-6``, ``-A``, ``-I`` and ``-t`` (refused when a line is read); warnings
about other ICMP messages, which carry no identifier of ours.
"""

from __future__ import annotations

from desim.ports import POLLIN
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.busybox import BANNER, Fatal, applet, number
from desim.userland.programs.getopt import GetoptError, getopt, unmodelled
from desim.userland.programs.output import Step, put
from desim.userland.programs.resolver import getaddrinfo
from desim.userland.programs.small import duration_ns
from desim.userland.uapi import SO_BROADCAST, SO_RCVBUF
from desim.wire.addresses import ip_text
from desim.wire.checksum import checksum
from desim.wire.icmp import ICMP_ECHO, ICMP_ECHOREPLY

SPEC = "c:s:t:w:W:I:np:qi:A46"
MODELLED = "4cinpqsWw"
USAGE = (
    BANNER
    + """
Usage: ping [OPTIONS] HOST

Send ICMP ECHO_REQUESTs to HOST

\t-4,-6\t\tForce IP or IPv6 name resolution
\t-c CNT\t\tSend only CNT pings
\t-s SIZE\t\tSend SIZE data bytes in packets (default 56)
\t-i SECS\t\tInterval
\t-A\t\tPing as soon as reply is received
\t-t TTL\t\tSet TTL
\t-I IFACE/IP\tSource interface or IP address
\t-W SEC\t\tSeconds to wait for the first response (default 10)
\t\t\t(after all -c CNT packets are sent)
\t-w SEC\t\tSeconds until ping exits (default:infinite)
\t\t\t(can exit earlier with -c CNT)
\t-q\t\tQuiet, only display output at start/finish
\t-p HEXBYTE\tPayload pattern
"""
)

NS = 1_000_000_000
DEFDATALEN = 56
MAX_SIZE = 65535
MAXWAIT_S = 10
MINHEADER = 8
MAXICMPLEN = 76
MAXIPLEN = 60
STAMP_LEN = 4


class Options:
    """The command line. Raises ``GetoptError`` and ``Fatal``."""

    def __init__(self, argv: list[str]) -> None:
        options, operands = getopt(argv, SPEC)
        values = dict(options)
        self.count = number(values.get("c", "0"))
        self.size = number(values.get("s", str(DEFDATALEN)), high=MAX_SIZE)
        self.interval_ns = _interval_ns(values.get("i", "1"))
        self.timeout_s = number(values.get("W", str(MAXWAIT_S)))
        self.deadline_s = number(values.get("w", "0"))
        self.pattern = _pattern(values.get("p", "0"))
        self.quiet = "q" in values
        if len(operands) != 1:
            raise GetoptError("")
        self.host = operands[0]


def _interval_ns(text: str) -> int:
    interval = duration_ns(text)
    if interval is None:
        raise Fatal(f"invalid number '{text}'")
    return interval


def _pattern(text: str) -> int:
    try:
        value = int(text, 16)
    except ValueError:
        raise Fatal(f"invalid number '{text}'") from None
    if not 0 <= value <= 255:
        raise Fatal(f"number {text} is not in 0..255 range")
    return value


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    return unmodelled(argv, SPEC, MODELLED)


def check_host(argv: list[str]) -> str:
    """The host's programs are not root, and its kernel is modelled for one interface only."""
    return "ping: not modelled on the host, which has loopback and no raw sockets; the guest has it"


def ping(argv: list[str]) -> Program:
    """``ping_main``."""
    return applet("ping", USAGE, _main(argv))


def _main(argv: list[str]) -> Program:
    options = Options(argv)
    try:
        address = yield from getaddrinfo(options.host)
    except OSError:
        raise Fatal(f"bad address '{options.host}'") from None
    return (yield from Pinger(options, address).run())


class Pinger:
    """One run: what ping.c keeps in its globals."""

    def __init__(self, options: Options, address: bytes) -> None:
        self.options = options
        self.address = address
        self.fd = -1
        self.ident = 0
        self.ntransmitted = 0
        self.received: set[int] = set()
        """The sequence numbers, on 16 bits, of the replies since the counter last wrapped."""
        self.nreceived = self.nrepeats = 0
        self.times_us: list[int] = []
        """Of the round trips: the shortest, their sum, the longest, their number."""

    def run(self) -> Program:
        """``ping4``."""
        options = self.options
        where = ip_text(self.address)
        yield from put(f"PING {options.host} ({where}): {options.size} data bytes\n")
        self.ident = (yield from sys.getpid()) & 0xFFFF
        try:
            self.fd = yield from sys.socket("icmp")
        except OSError:
            raise Fatal("permission denied (are you root?)") from None
        yield from sys.catch_sigint()
        yield from sys.setsockopt(self.fd, SO_BROADCAST, 1)
        yield from sys.setsockopt(self.fd, SO_RCVBUF, options.size * 2 + 7 * 1024)
        try:
            yield from self._send_and_wait()
        except InterruptedError:
            pass  # Ctrl-C
        return (yield from self._print_stats())

    def _send_and_wait(self) -> Step:
        options = self.options
        start = yield from sys.now()
        now = start
        while not (options.deadline_s and now - start >= options.deadline_s * NS):
            yield from self._sendping()
            if not (yield from self._wait_for_replies()):
                return
            now = yield from sys.now()

    def _sendping(self) -> Step:
        options = self.options
        stamp = (yield from sys.now()) // 1000 & 0xFFFFFFFF
        payload = bytes((options.pattern,)) * options.size
        if options.size >= STAMP_LEN:
            payload = stamp.to_bytes(STAMP_LEN, "little") + payload[STAMP_LEN:]
        name = self.ident.to_bytes(2, "big") + (self.ntransmitted & 0xFFFF).to_bytes(2, "big")
        head = bytes((ICMP_ECHO, options.pattern))
        total = checksum(head + bytes(2) + name + payload)
        self.received.discard(self.ntransmitted & 0xFFFF)
        self.ntransmitted += 1
        try:
            packet = head + total.to_bytes(2, "big") + name + payload
            yield from sys.sendto(self.fd, packet, (self.address, 0))
        except InterruptedError:
            raise
        except OSError as error:
            raise Fatal(f"sendto: {error.strerror}") from None

    def _wait_for_replies(self) -> Part[bool]:
        """Until the next request is due: True; False if there is none, or all replies are here."""
        options = self.options
        wait_ns = options.interval_ns
        all_sent = bool(options.count) and self.ntransmitted >= options.count
        if all_sent:
            longest_s = self.times_us[2] // (512 * 1024) if self.times_us else 0
            wait_ns = (max(longest_s, 1) if self.nreceived else options.timeout_s) * NS
        now = yield from sys.now()
        until = now + wait_ns
        while now < until:
            found = yield from sys.poll([(self.fd, POLLIN)], until - now)
            if not found[0][1]:
                break
            data, sender = yield from sys.recvfrom(self.fd, options.size + MAXIPLEN + MAXICMPLEN)
            now = yield from sys.now()
            yield from self._unpack(data, ip_text(sender[0]), now // 1000 & 0xFFFFFFFF)
            if options.count and self.nreceived >= options.count:
                return False
        return not all_sent

    def _unpack(self, packet: bytes, sender: str, now_us: int) -> Step:
        """``unpack4``, ``unpack_tail``: count and show a reply to this process."""
        if len(packet) < self.options.size + MINHEADER:
            return
        start = (packet[0] & 15) * 4
        message = packet[start:]
        if message[0] != ICMP_ECHOREPLY or int.from_bytes(message[4:6], "big") != self.ident:
            return
        sequence = int.from_bytes(message[6:8], "big")
        time = ""
        if len(message) >= MINHEADER + STAMP_LEN:
            sent_us = int.from_bytes(message[8 : 8 + STAMP_LEN], "little")
            trip_us = (now_us - sent_us) & 0xFFFFFFFF
            low, total, high, count = self.times_us or (trip_us, 0, 0, 0)
            self.times_us = [min(low, trip_us), total + trip_us, max(high, trip_us), count + 1]
            time = f" time={_ms(trip_us)} ms"
        again = ""
        if sequence in self.received:
            self.nrepeats += 1
            again = " (DUP!)"
        else:
            self.received.add(sequence)
            self.nreceived += 1
        if not self.options.quiet:
            size, ttl = len(message), packet[8]
            yield from put(f"{size} bytes from {sender}: seq={sequence} ttl={ttl}{time}{again}\n")

    def _print_stats(self) -> Program:
        """``print_stats_and_exit``."""
        sent, back = self.ntransmitted, self.nreceived
        repeats = f"{self.nrepeats} duplicates, " if self.nrepeats else ""
        text = (
            f"\n--- {self.options.host} ping statistics ---\n"
            f"{sent} packets transmitted, {back} packets received, {repeats}"
            f"{(sent - back) * 100 // max(sent, 1)}% packet loss\n"
        )
        if self.times_us:
            low, total, high, count = self.times_us
            average = total // count
            text += f"round-trip min/avg/max = {_ms(low)}/{_ms(average)}/{_ms(high)} ms\n"
        yield from put(text)
        return 0 if back else 1


def _ms(time_us: int) -> str:
    return f"{time_us // 1000}.{time_us % 1000:03d}"
