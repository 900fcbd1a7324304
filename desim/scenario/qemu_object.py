"""``-object filter-...``: packet filters, QEMU's own and the faults that are ours.

QEMU makes filters behind all backends and in the order of the words, so ``netdev=`` may
name what comes later on the line, and ``position=id=OTHER`` only a filter that came
before. Its texts are those of QEMU 7.2, with what is allowed behind them.

===================  ================================================================
every filter         ``id=``, ``netdev=`` (a user network or hub port), ``queue=all|rx|tx``,
                     ``status=on|off``, ``position=head|tail|id=OTHER``,
                     ``insert=behind|before``
``filter-buffer``    ``interval=`` in microseconds
``filter-dump``      ``file=``, ``maxlen=``
``filter-loss``      a choice
``filter-delay``     ``delay=``, ``jitter=``; a choice, or all packets
``filter-duplicate`` a choice
``filter-reorder``   a choice, ``behind=`` (1), ``timeout=`` (100ms)
``filter-corrupt``   a choice, ``bits=`` (1) or ``offsets=``
===================  ================================================================

A choice says which packets the fault falls on, counted from 1 as the filter sees them:
``probability=`` (``1%``, ``0.01``, ``1/100``: exact), from packet ``first=`` on;
``every=N``, beginning with ``first=`` (or N); or ``frames=3:7:12-14``.

Refused: the filters of COLO, ``filter-replay``, ports that a hub makes by itself
(``-net``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from desim.data import Data
from desim.errors import UserError, nearest
from desim.filters import (
    BufferFilter,
    Chosen,
    CorruptFilter,
    DelayFilter,
    DumpFilter,
    DuplicateFilter,
    LossFilter,
    NetdevEnd,
    NetFilter,
    ReorderFilter,
)
from desim.scenario.durations import parse_duration
from desim.scenario.qemu_user import Complain, allowed
from desim.scenario.qemu_words import Option, word_set
from desim.userland.files import normalise

COMMON_KEYS = word_set("qom-type id netdev queue status position insert")
CHOICE_KEYS = word_set("probability every frames first")
OTHER_FILTERS = word_set(
    "filter-mirror filter-redirector filter-rewriter filter-replay colo-compare"
)
U32 = 1 << 32
MAX_JITTER_NS = 4_000_000_000
MAX_BITS = 64
MAX_RANGES = 1000

_PERCENT = r"([0-9]{1,3}(?:\.[0-9]{1,7})?)(%?)|([0-9]{1,10})/([0-9]{1,10})"
_RANGE = r"([0-9]{1,9})(?:-([0-9]{1,9}))?"


def is_filter(option: Option) -> bool:
    """Whether an ``-object`` is a packet filter, or tries to be one."""
    kind = option.last("qom-type") or ""
    return kind.startswith("filter-") or kind == "colo-compare"


def read_filters(
    options: Sequence[Option],
    netdevs: Mapping[str, NetdevEnd],
    complainer: Callable[[Option], Complain],
) -> list[NetFilter]:
    """The filters among ``options``, in order; ``netdevs`` are the backends by their ids."""
    filters: list[NetFilter] = []
    for option in options:
        read = _Reading(option, netdevs, filters, complainer(option)).read()
        if read is not None:
            filters.append(read)
    return filters


class _Reading(Data):
    """One option on its way to a filter; mistakes go to ``complain``."""

    option: Option
    netdevs: Mapping[str, NetdevEnd]
    earlier: list[NetFilter]
    complain: Complain

    def read(self) -> NetFilter | None:
        """The filter, or None if there is no telling what it was to be."""
        kind = self.option.last("qom-type") or ""
        if kind in OTHER_FILTERS:
            self.complain(f"this network filter is not modelled; modelled are {', '.join(_KINDS)}")
        elif kind not in _KINDS:
            self.complain(
                f"Parameter 'qom-type' does not accept value '{kind}'{allowed(kind, _KINDS)}"
            )
        else:
            keys, make = _KINDS[kind]
            known = COMMON_KEYS | keys
            for key, _ in self.option.parts:
                if key not in known:
                    self.complain(f"Parameter '{key}' is unexpected{allowed(key, known)}")
            made = make(self, self.name())
            self.common(made)
            return made
        return None

    # What every filter has

    def name(self) -> str:
        name = self.need("id")
        if name is None:
            return ""
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name):
            self.complain(f"Parameter 'id' expects an identifier (it is '{name}')")
        elif any(name == other.id for other in self.earlier):
            self.complain(
                f"attempt to add duplicate property '{name}' to object (type 'container')"
            )
        return name

    def common(self, made: NetFilter) -> None:
        netdev = self.need("netdev")
        if netdev is not None:
            if netdev in self.netdevs:
                made.netdev = self.netdevs[netdev]
            else:
                self.complain(
                    "Parameter 'netdev' expects a network backend id "
                    f"(it is '{netdev}'){self.there(netdev, self.netdevs)}"
                )
        match self.word("queue", "all", "rx", "tx"):
            case "rx":
                made.queue = "rx"
            case "tx":
                made.queue = "tx"
        status = self.option.last("status")
        if status not in (None, "on", "off"):
            self.complain(
                f"Invalid value for netfilter status, should be 'on' or 'off' (it is '{status}')"
            )
        made.on = status != "off"
        made.before = self.word("insert", "behind", "before") == "before"
        made.position = self.position(made)
        if self.option.last("insert") is not None and made.position in ("head", "tail"):
            self.complain("insert= has no effect without position=id=OTHER; leave it out")

    def position(self, made: NetFilter) -> str:
        given = self.option.last("position")
        if given is None:
            return "tail"
        if given in ("head", "tail"):
            return given
        name = given.removeprefix("id=")
        other = next((f for f in self.earlier if f.id == name), None)
        if name == given:
            self.complain(
                f"Parameter 'position' expects 'head', 'tail' or 'id=<id>' (it is '{given}')"
            )
        elif other is None:
            names = [f.id for f in self.earlier]
            self.complain(f"filter '{name}' not found{self.there(name, names)}")
        elif other.netdev != made.netdev:
            self.complain(f"filter '{name}' belongs to a different netdev")
        else:
            return name
        return "tail"

    @staticmethod
    def there(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
        listed = f"; there are {', '.join(known)}" if known else "; there is none yet"
        return nearest(name, known) or listed

    # Values

    def need(self, key: str) -> str | None:
        value = self.option.last(key)
        if value is None:
            self.complain(f"Parameter '{key}' is missing")
        return value

    def word(self, key: str, *words: str) -> str:
        """One of ``words``, the first of which is the default."""
        value = self.option.last(key)
        if value is None:
            return words[0]
        if value not in words:
            self.complain(
                f"Parameter '{key}' does not accept value '{value}'; allowed are {', '.join(words)}"
            )
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number of our own properties."""
        value = self.option.last(key)
        if value is None:
            return default
        if re.fullmatch("[0-9]{1,12}", value) and low <= int(value) <= high:
            return int(value)
        self.complain(f"{key}={value}: must be a whole number from {low} to {high}")
        return default

    def u32(self, key: str) -> int | None:
        """A number of QEMU's, as it reads it: decimal, hexadecimal or octal."""
        value = self.option.last(key)
        if value is None:
            return None
        try:
            number = int(value, 8 if re.fullmatch("0[0-7]+", value) else 0)
        except ValueError:
            self.complain(f"Parameter '{key}' expects an integer (it is '{value[:20]}')")
            return None
        if not 0 <= number < U32:
            self.complain(f"Parameter '{key}' expects uint32_t (it is {value[:20]})")
            return None
        return number

    def duration(self, key: str, default: int) -> int:
        value = self.option.last(key)
        if value is None:
            return default
        try:
            return parse_duration(value)
        except ValueError as error:
            self.complain(f"{key}={value}: {error}")
            return default

    def ranges(self, key: str, low: int) -> list[tuple[int, int]]:
        """``3:7:12-14``"""
        value = self.option.last(key)
        if value is None:
            return []
        ranges = []
        for part in value.split(":"):
            match = re.fullmatch(_RANGE, part)
            first = int(match[1]) if match else -1
            last = int(match[2] or first) if match else -1
            if not low <= first <= last:
                self.complain(
                    f"{key}={value}: '{part}' is neither a number from {low} on nor a range; "
                    "write such as 3:7:12-14"
                )
                return []
            ranges.append((first, last))
        if len(ranges) > MAX_RANGES:
            self.complain(f"{key}=: more than {MAX_RANGES} ranges")
        return ranges

    def fraction(self, key: str) -> Fraction | None:
        """``1%``, ``0.01`` or ``1/100``"""
        value = self.option.last(key)
        if value is None:
            return None
        match = re.fullmatch(_PERCENT, value)
        exact = None
        if match is not None and match[1] is not None:
            exact = Fraction(match[1]) / (100 if match[2] else 1)
        elif match is not None and int(match[4]):
            exact = Fraction(int(match[3]), int(match[4]))
        if exact is None or not exact <= 1 or exact.denominator > U32:
            self.complain(
                f"{key}={value}: must be a probability from 0 to 1, such as 1%, 0.01 or 1/100"
            )
            return None
        return exact

    def chosen(self) -> Chosen:
        """What the keys of a choice come to; the filter needs one."""
        last = self.option.last
        given = [key for key in ("probability", "every", "frames") if last(key) is not None]
        if len(given) != 1:
            what = f"there are {' and '.join(given)}" if given else "there is none"
            self.complain(f"one of probability=, every= and frames= says which packets; {what}")
        first = self.number("first", 1, 1, U32 - 1) if last("first") is not None else None
        if first is not None and given == ["frames"]:
            self.complain("first= has no effect with frames=; leave it out")
        return Chosen(
            probability=self.fraction("probability"),
            every=self.number("every", 1, 1, U32 - 1) if "every" in given else None,
            frames=self.ranges("frames", 1),
            first=first,
        )


# One reader per filter


def _buffer(reading: _Reading, name: str) -> NetFilter:
    reading.need("interval")
    interval_us = reading.u32("interval")
    if interval_us == 0:
        reading.complain("Property 'filter-buffer.interval' requires a positive value")
    return BufferFilter(id=name, interval_us=interval_us or 1)


def _dump(reading: _Reading, name: str) -> NetFilter:
    file = reading.need("file")
    if file is not None:
        try:
            file = normalise(file)
        except ValueError as error:
            reading.complain(f"file={file}: {error}")
        twin = next(
            (f for f in reading.earlier if isinstance(f, DumpFilter) and f.file == file), None
        )
        if twin is not None:
            reading.complain(f"file={file}: filter '{twin.id}' writes this file already")
    maxlen = reading.u32("maxlen")
    if maxlen == 0:
        reading.complain("Property 'filter-dump.maxlen' doesn't take value '0'")
    return DumpFilter(id=name, file=file or "", maxlen=maxlen or 65536)


def _loss(reading: _Reading, name: str) -> NetFilter:
    return LossFilter(id=name, chosen=reading.chosen())


def _delay(reading: _Reading, name: str) -> NetFilter:
    reading.need("delay")
    jitter_ns = reading.duration("jitter", 0)
    if jitter_ns > MAX_JITTER_NS:
        reading.complain(f"jitter={reading.option.last('jitter')}: must be 4s at most")
    choice = any(reading.option.last(key) is not None for key in CHOICE_KEYS)
    return DelayFilter(
        id=name,
        chosen=reading.chosen() if choice else Chosen(every=1),
        delay_ns=reading.duration("delay", 0),
        jitter_ns=jitter_ns,
    )


def _duplicate(reading: _Reading, name: str) -> NetFilter:
    return DuplicateFilter(id=name, chosen=reading.chosen())


def _reorder(reading: _Reading, name: str) -> NetFilter:
    return ReorderFilter(
        id=name,
        chosen=reading.chosen(),
        behind=reading.number("behind", 1, 1, 1000),
        timeout_ns=reading.duration("timeout", 100_000_000),
    )


def _corrupt(reading: _Reading, name: str) -> NetFilter:
    if reading.option.last("bits") and reading.option.last("offsets"):
        reading.complain("bits= (at random) and offsets= (given) exclude each other")
    return CorruptFilter(
        id=name,
        chosen=reading.chosen(),
        bits=reading.number("bits", 1, 1, MAX_BITS),
        offsets=reading.ranges("offsets", 0),
    )


_KINDS: dict[str, tuple[frozenset[str], Callable[[_Reading, str], NetFilter]]] = {
    "filter-buffer": (word_set("interval"), _buffer),
    "filter-dump": (word_set("file maxlen"), _dump),
    "filter-loss": (CHOICE_KEYS, _loss),
    "filter-delay": (CHOICE_KEYS | word_set("delay jitter"), _delay),
    "filter-duplicate": (CHOICE_KEYS, _duplicate),
    "filter-reorder": (CHOICE_KEYS | word_set("behind timeout"), _reorder),
    "filter-corrupt": (CHOICE_KEYS | word_set("bits offsets"), _corrupt),
}


def filter_list(kind: str) -> str:
    """What ``-object help`` lists, or the keys of one kind. Raises ``UserError`` for another."""
    if not kind:
        return "Modelled objects:\n" + "".join(f"{name}\n" for name in sorted(_KINDS))
    if kind not in _KINDS:
        raise UserError(f"-object {kind},help: not modelled{allowed(kind, _KINDS)}")
    keys = sorted((COMMON_KEYS - {"qom-type"}) | _KINDS[kind][0])
    return f"{kind} options: {', '.join(keys)}\n"
