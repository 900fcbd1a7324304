"""A Perfetto file as tests look at it, read with Perfetto's own classes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest

pb = pytest.importorskip(
    "perfetto.protos.perfetto.trace.perfetto_trace_pb2",
    reason="needs perfetto (pip install desim[test])",
)


@dataclass
class Slice:
    begin: int
    end: int
    name: str
    file: str
    category: str
    parent: Slice | None

    def stack(self) -> list[str]:
        """Innermost first, as gdb has it."""
        return [self.name, *(self.parent.stack() if self.parent else [])]


@dataclass
class Instant:
    time: int
    name: str
    track: str
    values: dict[str, int | str]
    flows: tuple[int, ...]
    last_of: tuple[int, ...]
    parent: Slice | None


@dataclass
class Timeline:
    groups: list[str] = field(default_factory=list)
    tracks: dict[int, tuple[str, str]] = field(default_factory=dict)
    slices: dict[tuple[str, str], list[Slice]] = field(default_factory=lambda: defaultdict(list))
    instants: list[Instant] = field(default_factory=list)
    counters: dict[tuple[str, str], list[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )


def read(data: bytes) -> Timeline:
    """As trace_processor reads it: by time, what is at one instant in the order of the file."""
    trace = pb.Trace()
    trace.ParseFromString(data)
    made = Timeline()
    groups: dict[int, str] = {}
    names: dict[str, dict[int, Any]] = {"event": {}, "category": {}, "location": {}}
    events = []
    assert trace.packet[0].sequence_flags == pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
    for packet in trace.packet[1:]:
        assert packet.trusted_packet_sequence_id == 1
        assert packet.sequence_flags == pb.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        names["event"] |= {n.iid: n.name for n in packet.interned_data.event_names}
        names["category"] |= {n.iid: n.name for n in packet.interned_data.event_categories}
        names["location"] |= {n.iid: n for n in packet.interned_data.source_locations}
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            assert track.uuid not in made.tracks
            if track.HasField("process"):
                groups[track.process.pid] = groups[track.uuid] = track.process.process_name
                made.groups.append(track.process.process_name)
            elif track.HasField("thread"):
                made.tracks[track.uuid] = (groups[track.thread.pid], track.thread.thread_name)
            else:
                made.tracks[track.uuid] = (groups[track.parent_uuid], track.name)
        else:
            assert packet.HasField("track_event")
            events.append((packet.timestamp, packet.track_event))
    _happen(made, names, sorted(events, key=lambda one: one[0]))
    return made


def _happen(made: Timeline, names: dict[str, dict[int, Any]], events: list[Any]) -> None:
    kind = pb.TrackEvent
    stacks: dict[int, list[Slice]] = defaultdict(list)
    for time, event in events:
        stack, track = stacks[event.track_uuid], made.tracks[event.track_uuid]
        if event.type == kind.TYPE_SLICE_BEGIN:
            place = names["location"].get(event.source_location_iid)
            name = names["event"][event.name_iid]
            assert place is None or place.function_name == name
            category = names["category"][event.category_iids[0]]
            parent = stack[-1] if stack else None
            stack.append(Slice(time, -1, name, place.file_name if place else "", category, parent))
            made.slices[track].append(stack[-1])
        elif event.type == kind.TYPE_SLICE_END:
            stack.pop().end = time
        elif event.type == kind.TYPE_COUNTER:
            made.counters[track].append((time, event.counter_value))
        else:
            values = {
                a.name: a.int_value if a.HasField("int_value") else a.string_value
                for a in event.debug_annotations
            }
            made.instants.append(
                Instant(
                    time,
                    names["event"][event.name_iid],
                    track[1],
                    values,
                    tuple(event.flow_ids),
                    tuple(event.terminating_flow_ids),
                    stack[-1] if stack else None,
                )
            )
    assert not any(stacks.values()), "a slice without an end"
