"""Perfetto's trace format (protos/perfetto/trace): tracks, slices, instants, counters, flows.

A file is a sequence of ``TracePacket``. Each track is described once; an event names its track
by number. Names of slices and files are interned: written with the first packet that uses them,
numbers afterwards. Times are virtual ns since power-on. Packets need not be in order of time,
but events of one track at one instant keep the order of the file.

Field numbers are those of trace_packet.proto, track_descriptor.proto, track_event.proto and
interned_data.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from desim.timeline.protobuf import fixed64, message, number, text

SEQUENCE = 1
"""All packets are of one writer, so that one table of names serves all."""

_PACKET = 1
_TIMESTAMP, _SEQUENCE_ID, _TRACK_EVENT, _INTERNED, _FLAGS, _DESCRIPTOR = 8, 10, 11, 12, 13, 60
_CLEARED, _NEEDED = 1, 2
_UUID, _NAME, _PROCESS, _THREAD, _PARENT, _COUNTER, _ORDERING, _RANK = 1, 2, 3, 4, 5, 8, 11, 12
_EXPLICIT = 3
_ARGUMENTS, _TYPE, _NAME_IID, _TRACK, _VALUE, _LOCATION_IID = 4, 9, 10, 11, 30, 34
_CATEGORY_IID, _FLOW, _LAST_FLOW = 3, 47, 48
_BEGIN, _END, _INSTANT, _COUNT = 1, 2, 3, 4
_CATEGORIES, _EVENT_NAMES, _LOCATIONS = 1, 2, 4

Values = Mapping[str, int | str]
"""What is told of an event beside its name."""


class TraceFile:
    """Makes the packets of one file. Each method adds one or two; ``take`` them now and then."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._tracks = 0
        self._interned: dict[tuple[int, str, str], int] = {}
        self._begins: dict[tuple[int, str, str, str], bytes] = {}
        self._ends: dict[int, bytes] = {}
        """NOTE: what does not change from one packet to the next is made once (half the time)."""
        self._new: list[bytes] = []
        self._tail = number(_SEQUENCE_ID, SEQUENCE) + number(_FLAGS, _NEEDED)
        first = number(_SEQUENCE_ID, SEQUENCE) + number(_FLAGS, _CLEARED)
        self._parts.append(message(_PACKET, first))

    def take(self) -> bytes:
        """What has been added since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken

    @property
    def waiting(self) -> int:
        """How many packets there are to take."""
        return len(self._parts)

    # --- tracks

    def group(self, name: str, rank: int) -> int:
        """A group of tracks, shown as a process."""
        self._tracks += 1
        process = message(_PROCESS, number(1, self._tracks), text(6, name))
        return self._track(process, number(_ORDERING, _EXPLICIT), number(_RANK, rank))

    def thread(self, name: str, group: int) -> int:
        """A thread of ``group``."""
        self._tracks += 1
        thread = message(_THREAD, number(1, group), number(2, self._tracks), text(5, name))
        return self._track(thread)

    def track(self, name: str, group: int, rank: int = 0) -> int:
        """Another track of ``group``; the lower ``rank`` is shown first."""
        self._tracks += 1
        return self._track(text(_NAME, name), number(_PARENT, group), number(_RANK, rank))

    def counter(self, name: str, group: int, unit: str, rank: int = 0) -> int:
        """A track of ``group`` that shows how a number changes; ``unit`` is its unit's name."""
        self._tracks += 1
        parts = text(_NAME, name), number(_PARENT, group), number(_RANK, rank)
        return self._track(*parts, message(_COUNTER, text(6, unit)))

    def _track(self, *parts: bytes) -> int:
        described = message(_DESCRIPTOR, number(_UUID, self._tracks), *parts)
        self._parts.append(message(_PACKET, described, self._tail))
        return self._tracks

    # --- events

    def begin(
        self,
        track: int,
        time: int,
        name: str,
        category: str,
        file: str = "",
        values: Values = MappingProxyType({}),
    ) -> None:
        """A slice begins; ``file`` is where the function that it is named after stands."""
        key = track, name, category, file
        known = self._begins.get(key)
        if known is None:
            parts = [number(_TRACK, track), number(_TYPE, _BEGIN), *self._named(name, category)]
            if file:
                parts.append(number(_LOCATION_IID, self._intern(_LOCATIONS, name, file)))
            known = self._begins[key] = b"".join(parts)
        self._event(time, known, *_arguments(values))

    def end(self, track: int, time: int) -> None:
        """The innermost open slice of the track ends."""
        known = self._ends.get(track)
        if known is None:
            known = self._ends[track] = number(_TRACK, track) + number(_TYPE, _END)
        self._event(time, known)

    def instant(
        self,
        track: int,
        time: int,
        name: str,
        category: str,
        values: Values,
        flows: Iterable[int] = (),
        last_of: Iterable[int] = (),
    ) -> None:
        """Something happens; it stands on the way of ``flows``, and is the end of others."""
        self._event(
            time,
            number(_TRACK, track),
            number(_TYPE, _INSTANT),
            *self._named(name, category),
            *_arguments(values),
            *(fixed64(_FLOW, flow) for flow in flows),
            *(fixed64(_LAST_FLOW, flow) for flow in last_of),
        )

    def count(self, track: int, time: int, value: int) -> None:
        """A counter has another value from now on."""
        self._event(time, number(_TRACK, track), number(_TYPE, _COUNT), number(_VALUE, value))

    def _named(self, name: str, category: str) -> tuple[bytes, bytes]:
        return (
            number(_CATEGORY_IID, self._intern(_CATEGORIES, category)),
            number(_NAME_IID, self._intern(_EVENT_NAMES, name)),
        )

    def _event(self, time: int, *parts: bytes) -> None:
        event = message(_TRACK_EVENT, *parts)
        stamp = number(_TIMESTAMP, time)
        if self._new:
            interned = message(_INTERNED, *self._new)
            self._new.clear()
            self._parts.append(message(_PACKET, stamp, interned, event, self._tail))
        else:
            self._parts.append(message(_PACKET, stamp, event, self._tail))

    def _intern(self, table: int, name: str, file: str = "") -> int:
        key = (table, name, file)
        known = self._interned.get(key)
        if known is None:
            known = self._interned[key] = len(self._interned) + 1
            parts = [text(2, file), text(3, name)] if table == _LOCATIONS else [text(2, name)]
            self._new.append(message(table, number(1, known), *parts))
        return known


def _arguments(values: Values) -> Iterable[bytes]:
    """Debug annotations: each a name, and a number or text."""
    for name, value in values.items():
        told = number(4, value) if isinstance(value, int) else text(6, value)
        yield message(_ARGUMENTS, text(10, name), told)
