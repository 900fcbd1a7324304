"""What ``iperf3`` counts and prints: intervals, and the results at the end (iperf_api.c of 3.12).

Times are in microseconds, as iperf3's are; a jitter is in femtoseconds.

A kernel that has no TCP_INFO (the host's) says nothing of retransmissions and windows: iperf3
prints its reports without these columns then, as it does on such systems.
"""

from __future__ import annotations

from fractions import Fraction

from desim.data import NamedTuple
from desim.userland.programs.decimals import fixed, general

US = 1_000_000
FS_OF_US = 10**9
JITTER_GAIN = 16
"""RFC 1889, section A.8."""

BYTES = ("Byte", "KByte", "MByte", "GByte", "TByte")
BITS = ("bit", "Kbit", "Mbit", "Gbit", "Tbit")
SEPARATOR = "- - - - - - - - - - - - - - - - - - - - - - - - -\n"
HEAD = "[ ID] Interval           Transfer     Bitrate"
HEADS = {
    "": "",
    "retr": "         Retr",
    "cwnd": "         Retr  Cwnd",
    "udp": "         Jitter    Lost/Total Datagrams",
    "sent": "         Total Datagrams",
}


def unit(value: Fraction, form: str) -> str:
    """``unit_snprintf``: four places and a unit; of a number of bytes, ``form`` says which."""
    bits = form.islower()
    base = 1000 if bits else 1024
    value = value * 8 if bits else value
    power = "akmgt".index(form.lower())
    if not power:
        while value >= Fraction(base) ** (power + 1) and power < 4:
            power += 1
    value /= Fraction(base) ** power
    places = 2 if value < Fraction("9.995") else 1 if value < Fraction("99.95") else 0
    return f"{fixed(value, places):>4} {(BITS if bits else BYTES)[power]}"


class Interval(NamedTuple):
    """What happened between two reports."""

    start: int
    end: int
    size: int
    retrans: int = 0
    cwnd: int = 0
    packets: int = 0
    errors: int = 0
    jitter: int = 0

    @property
    def rate(self) -> Fraction:
        """Bytes in a second."""
        return _rate(self.size, self.end - self.start)


class Stream:
    """One connection of a test, or a pair of UDP endpoints."""

    def __init__(self, fd: int, number: int, sender: bool, data: bytes) -> None:
        self.fd = fd
        self.id = number if number == 1 else number + 1
        """The second has number 3, as in iperf3."""
        self.sender = sender
        self.data = data
        self.pending = 0
        self.green = True
        self.start = self.end = 0
        self.sent = self.received = self.this_interval = 0
        self.intervals: list[Interval] = []
        self.retrans = self.total_retrans = 0
        self.packets = self.peer_packets = self.errors = self.disordered = 0
        self.jitter = 0
        self._transit = 0
        self.sender_us = self.receiver_us = 0

    def arrived(self, number: int, transit_us: int) -> None:
        """A datagram has come, and is not counted yet: whether one is missing, and how much
        later it is than the one before."""
        if number > self.packets:
            self.errors += number - 1 - self.packets
            self.packets = number
        else:
            self.disordered += 1
            self.errors -= self.errors > 0
        transit = transit_us * FS_OF_US
        if not self.received:
            self._transit = transit
        late = abs(transit - self._transit)
        self._transit = transit
        self.jitter += (late - self.jitter) // JITTER_GAIN

    def close_interval(self, now: int, info: dict[str, int] | None, udp: bool) -> None:
        """``iperf_stats_callback``: what was counted since the last one is an interval."""
        made = Interval(self.end if self.intervals else self.start, now, self.this_interval)
        self.end = now
        if udp:
            before = sum(one.packets for one in self.intervals)
            lost = sum(one.errors for one in self.intervals)
            made = made._replace(
                packets=self.packets - before, errors=self.errors - lost, jitter=self.jitter
            )
        elif info is not None:
            retrans = info["total_retrans"] - self.total_retrans
            self.total_retrans = info["total_retrans"]
            self.retrans += retrans
            made = made._replace(retrans=retrans, cwnd=info["snd_cwnd"] * info["snd_mss"])
        self.intervals.append(made)
        self.this_interval = 0


class Report:
    """The lines of one test. ``retransmits``: whether the sender knows of its own."""

    def __init__(
        self, streams: list[Stream], *, server: bool, udp: bool, sender: bool, form: str
    ) -> None:
        self.streams = streams
        self.server = server
        self.udp = udp
        self.sender = sender
        self.form = form
        self.retransmits = False

    def interval(self, least_us: int) -> str:
        """The last interval of each stream, and their sum; nothing if it is short and empty."""
        last = [(one, one.intervals[-1]) for one in self.streams if one.intervals]
        if not any(i.end - i.start >= least_us or i.size for _, i in last):
            return ""
        text = ""
        if last[0][1].start == last[0][0].start:
            text = self._head("cwnd" if self.retransmits else "", "sent" if self.sender else "udp")
        elif len(self.streams) > 1:
            text = SEPARATOR
        for stream, one in last:
            text += self._interval(f"{stream.fd:3d}", one, stream.start)
        if len(self.streams) > 1:
            stream, first = last[0]
            together = first._replace(
                size=sum(one.size for _, one in last),
                retrans=sum(one.retrans for _, one in last),
                packets=sum(one.packets for _, one in last),
                errors=sum(one.errors for _, one in last),
                jitter=sum(one.jitter for _, one in last) // len(last),
            )
            text += self._interval("SUM", together, stream.start)
        return text

    def _head(self, tcp: str, udp: str) -> str:
        return HEAD + HEADS[udp if self.udp else tcp] + "\n"

    def _interval(self, name: str, one: Interval, zero: int) -> str:
        text = self._begin(name, one.start - zero, one.end - zero, one.size, one.rate)
        if self.udp and self.sender:
            return f"{text}  {one.packets}  \n"
        if self.udp:
            return f"{text}{_loss(one.jitter, one.errors, one.packets)}  \n"
        if not (self.retransmits and self.sender):
            return f"{text}                  \n"
        if name == "SUM":
            return f"{text}  {one.retrans:3d}             \n"
        return f"{text}  {one.retrans:3d}   {unit(Fraction(one.cwnd), 'A')}s       \n"

    def _begin(self, name: str, start: int, end: int, size: int, rate: Fraction) -> str:
        times = f"{fixed(Fraction(start, US), 2):>6}-{fixed(Fraction(end, US), 2):<6}"
        size_text = unit(Fraction(size), "A")
        return f"[{name}] {times} sec  {size_text}s  {unit(rate, self.form)}s/sec"

    def results(self) -> str:
        """The whole test, as the sender and the receiver saw it; a server knows one of them."""
        text = SEPARATOR + self._head("retr" if self.retransmits else "", "udp")
        if not self.streams:
            return text
        first = self.streams[0]
        end = first.end - first.start
        if first.sender:
            sender_us, receiver_us = end, first.receiver_us or end
        else:
            sender_us, receiver_us = first.sender_us or end, end
        for one in self.streams:
            text += self._result(f"{one.fd:3d}", [one], sender_us, receiver_us)
        if len(self.streams) > 1:
            text += self._result("SUM", self.streams, sender_us, receiver_us)
        return text

    def _result(self, name: str, streams: list[Stream], sender_us: int, receiver_us: int) -> str:
        sent, received = sum(s.sent for s in streams), sum(s.received for s in streams)
        text = ""
        if not self.server or self.sender:
            text += self._begin(name, 0, sender_us, sent, _rate(sent, sender_us))
            packets = sum(s.packets if s.sender else s.peer_packets for s in streams)
            if self.udp:
                text += _loss(0, 0, packets) + "  sender\n"
            elif self.retransmits:
                text += f"  {sum(s.retrans for s in streams):3d}             sender\n"
            else:
                text += "                  sender\n"
        late = sum(s.disordered for s in streams)
        if self.udp and late and name != "SUM":
            times = f"{fixed(Fraction(0), 1):>4}-{fixed(Fraction(sender_us, US), 1):>4}"
            text += f"[SUM] {times} sec  {late} datagrams received out-of-order\n"
        if not self.server or not self.sender:
            text += self._begin(name, 0, receiver_us, received, _rate(received, receiver_us))
            packets = sum(s.peer_packets if s.sender else s.packets for s in streams)
            jitter = sum(s.jitter for s in streams) // len(streams)
            lost = _loss(jitter, sum(s.errors for s in streams), packets)
            text += (lost + "  receiver\n") if self.udp else "                  receiver\n"
        return text


def _rate(size: int, time_us: int) -> Fraction:
    return Fraction(size * US, time_us) if time_us else Fraction(0)


def _loss(jitter: int, errors: int, packets: int) -> str:
    percent = general(Fraction(100 * errors, packets), 2) if packets > 0 and errors > 0 else "0"
    return f"  {fixed(Fraction(jitter, 10**12), 3):>5} ms  {errors}/{packets} ({percent}%)"
