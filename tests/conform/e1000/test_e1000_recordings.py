"""The card against what QEMU 7.2.22's did (tests/vectors/e1000/README.md), fact by fact."""

from __future__ import annotations

import copy
import json
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desim.conform.e1000.recordings import read_recordings
from desim.conform.e1000.replay import Difference, Replay
from desim.errors import RecordingError
from desim.ports import Clock, NetPort
from desim.reasons import Reason
from desim.wire.frame import Frame

VECTORS = Path(__file__).parents[2] / "vectors" / "e1000"
FAMILIES = ("reset", "intr", "rx", "tx", "mit", "hub", "mix", "user")

RECORDINGS = {
    vector["name"]: vector
    for family in FAMILIES
    for _, vector in read_recordings(VECTORS / f"{family}.tar.xz")
}


def difference(vector: dict[str, Any]) -> Difference | None:
    return Replay(vector).run()


@pytest.mark.parametrize("name", RECORDINGS)
def test_card_does_what_was_recorded(name: str) -> None:
    assert difference(RECORDINGS[name]) is None


def test_card_does_what_qemu_did_with_programs_of_the_fuzzer() -> None:
    """Those that were the first to hit a mark, and some more (``desim fuzz --against qemu``)."""
    found = {
        name: difference(vector) for name, vector in read_recordings(VECTORS / "against.tar.xz")
    }
    assert len(found) >= 20
    assert {name: what for name, what in found.items() if what is not None} == {}


# Altering any one recorded fact makes the recording fail.

Alteration = Callable[[dict[str, Any]], None]


def flip(text: str) -> str:
    """The first hexadecimal digit changed."""
    return f"{int(text[0], 16) ^ 1:x}{text[1:]}"


def facts(vector: dict[str, Any]) -> Iterator[tuple[str, Alteration]]:
    """Every fact of a recording, with what alters it in a copy."""
    for n, op in enumerate(vector["ops"]):
        yield from operation_facts(n, op)
    for n, _ in enumerate(vector["irqs"]):
        yield f"irqs[{n}].t", lambda v, n=n: v["irqs"][n].update(t=v["irqs"][n]["t"] + 1)
        yield f"irqs[{n}]", lambda v, n=n: v["irqs"].pop(n)
    for n, frame in enumerate(vector["tx"]):
        yield f"tx[{n}]", lambda v, n=n: v["tx"].pop(n)
        yield f"tx[{n}].t_us", lambda v, n=n: v["tx"][n].update(t_us=v["tx"][n]["t_us"] + 1)
        if frame["data"]:
            yield (
                f"tx[{n}].data",
                lambda v, n=n: v["tx"][n].update(data=flip(v["tx"][n]["data"])),
            )
        if frame.get("op") is not None:
            yield f"tx[{n}].op", lambda v, n=n: v["tx"][n].update(op=v["tx"][n]["op"] + 1)
    for n, _ in enumerate(vector.get("user_tx", [])):
        yield f"user_tx[{n}]", lambda v, n=n: v["user_tx"].pop(n)
        yield (
            f"user_tx[{n}].data",
            lambda v, n=n: v["user_tx"][n].update(data=flip(v["user_tx"][n]["data"])),
        )
        yield (
            f"user_tx[{n}].t_us",
            lambda v, n=n: v["user_tx"][n].update(t_us=v["user_tx"][n]["t_us"] + 1),
        )


def operation_facts(n: int, op: dict[str, Any]) -> Iterator[tuple[str, Alteration]]:
    kind = op["op"]
    if kind in ("r", "r8", "r16", "line", "cfgr"):
        yield f"ops[{n}].val", lambda v: v["ops"][n].update(val=op["val"] ^ 1)
    elif kind == "range":
        yield f"ops[{n}].nonzero", lambda v: v["ops"][n]["nonzero"].popitem()
        yield f"ops[{n}].nonzero", lambda v: v["ops"][n]["nonzero"].update({"24": 1})
    elif kind == "dump" and op.get("data"):
        yield f"ops[{n}].data", lambda v: v["ops"][n].update(data=flip(op["data"]))
    elif kind == "dump" and "sha256" in op:
        yield f"ops[{n}].sha256", lambda v: v["ops"][n].update(sha256=flip(op["sha256"]))
    elif kind == "peerdump":
        yield f"ops[{n}].frames", lambda v: v["ops"][n]["frames"].append("00" * 60)
        if op["frames"]:
            yield f"ops[{n}].frames[0]", lambda v: v["ops"][n]["frames"].pop(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_an_altered_fact_is_found(name: str) -> None:
    """Three facts of each recording, spread by its name; all of them would take minutes."""
    vector = RECORDINGS[name]
    all_facts = list(facts(vector))
    start = zlib.crc32(name.encode())
    for n in range(3):
        place, alter = all_facts[(start + n * 7919) % len(all_facts)]
        altered = copy.deepcopy(vector)
        alter(altered)
        assert difference(altered) is not None, f"{name}: {place} altered, and nobody noticed"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reset_all_000", "pci_intx_000", "hub3_000", "mix_000"])
def test_every_altered_fact_of_some_recordings_is_found(name: str) -> None:
    vector = RECORDINGS[name]
    for place, alter in facts(vector):
        altered = copy.deepcopy(vector)
        alter(altered)
        assert difference(altered) is not None, f"{name}: {place} altered, and nobody noticed"


def test_an_interrupt_that_was_not_recorded_is_found() -> None:
    vector = copy.deepcopy(RECORDINGS["mit_linux_000"])
    vector["irqs"].insert(1, {"t": vector["irqs"][0]["t"] + 1})
    assert "interrupt 1" in str(difference(vector))


# What a difference says


def test_a_difference_names_operation_register_and_bits() -> None:
    vector = copy.deepcopy(RECORDINGS["icr_random_000"])
    number, op = next(
        (n, op) for n, op in enumerate(vector["ops"]) if op["op"] == "r" and op["reg"] == 0xC0
    )
    op["val"] ^= 0x80
    found = difference(vector)
    assert found is not None
    assert (found.op, found.time, found.what) == (number, op["t"], "read of ICR")
    assert found.detail == "differing bits: RXT0"
    assert "RXT0" in found.expected or "RXT0" in found.got


def test_late_interrupts_may_be_late() -> None:
    vector = copy.deepcopy(RECORDINGS["mit_linux_000"])
    vector["irqs"][0].update(t=vector["irqs"][0]["t"] + 99, late=1)
    assert difference(vector) is None
    vector["irqs"][0]["t"] += 2
    assert difference(vector) is not None


# Reading


def test_folders_files_and_archives_read_alike(tmp_path: Path) -> None:
    vector = RECORDINGS["reset_all_000"]
    folder = tmp_path / "folder" / "reset"
    folder.mkdir(parents=True)
    file = folder / "one.json"
    file.write_text(json.dumps(vector))
    with tarfile.open(tmp_path / "one.tar.gz", "w:gz") as tar:
        tar.add(file, "one.json")
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.write(file, "one.json")
    for path in (file, folder.parent, tmp_path / "one.tar.gz", tmp_path / "one.zip"):
        assert [read for _, read in read_recordings(path)] == [vector]


def without(key: str, *, inside: str = "") -> dict[str, Any]:
    vector: dict[str, Any] = copy.deepcopy(RECORDINGS["reset_all_000"])
    del (vector[inside] if inside else vector)[key]
    return vector


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('"x"', "not a recording"),
        ('{"format": "other/1"}', "not a recording"),
        (json.dumps(without("ops")), "recording.ops: expected list, not None"),
        (json.dumps(without("mac", inside="device")), "device.mac: expected str"),
    ],
)
def test_what_is_not_a_recording_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(RecordingError, match=r"bad\.json") as refusal:
        list(read_recordings(file))
    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    ("operation", "complaint"),
    [
        ({"t": 1, "op": "w", "reg": 0}, "t=1 lies before"),
        ({"t": 1 << 40, "op": "jump"}, "unknown operation 'jump'"),
        ({"t": 1 << 40, "op": "w", "reg": 0}, "val: expected int, not None"),
        ({"t": 1 << 40, "op": "w", "reg": -4, "val": 0}, "reg: -4 is out of range"),
        ({"t": 1 << 40, "op": "mem", "addr": 0, "data": "xy"}, "data: not hexadecimal"),
        ({"t": 1 << 40, "op": "inject", "dev": "Z", "frames": []}, "no device 'Z'"),
        ({"t": 1 << 40, "op": "dump", "addr": 0}, "len: expected int"),
        (7, "an object was expected"),
    ],
)
def test_a_wrong_operation_is_refused(operation: object, complaint: str) -> None:
    vector = copy.deepcopy(RECORDINGS["reset_all_000"])
    vector["ops"].append(operation)
    if complaint.startswith("t=1"):
        operation["val"] = 0
    with pytest.raises(RecordingError) as refusal:
        difference(vector)
    assert complaint in str(refusal.value)


def test_unknown_device_properties_are_refused() -> None:
    vector = copy.deepcopy(RECORDINGS["reset_all_000"])
    vector["device"]["options"] = "mitigation=off,turbo=on"
    with pytest.raises(RecordingError, match="turbo=on"):
        difference(vector)


def test_what_migration_saves_has_no_effect() -> None:
    """``migrate_tso_props`` is a property of QEMU's card, and nothing is migrated."""
    vector = copy.deepcopy(RECORDINGS["reset_all_000"])
    vector["device"]["options"] = "migrate_tso_props=off"
    assert difference(vector) is None
    vector["device"]["options"] = "migrate_tso_props=perhaps"
    with pytest.raises(RecordingError, match="migrate_tso_props=perhaps"):
        difference(vector)


# The user-mode network


class Echo:
    """A user-mode network that sends every frame back at once."""

    def __init__(self, port: NetPort) -> None:
        self.port = port

    def blocked_by(self) -> Reason | None:
        return None

    def can_receive(self) -> bool:
        return True

    def receive(self, frame: Frame) -> int:
        self.port.send(frame)
        return len(frame)

    def set_link(self, up: bool) -> None:
        """It has none."""


def echo(options: str, *, clock: Clock, port: NetPort) -> Echo:
    return Echo(port)


def echo_recording() -> dict[str, Any]:
    """One broadcast that comes back before its own descriptor is done: RXT0, TXDW, TXQE."""
    frame = "ff" * 6 + "525400123456" + "88b5" + "00" * 46
    program = [
        (0x2800, 0x1000000),
        (0x2808, 128),
        (0x2818, 7),
        (0x100, 0x4008002),
        (0x3800, 0x1001000),
        (0x3808, 128),
        (0x400, 2),
    ]
    t = 1_000_000
    late = 2_000_000_000
    return {
        "format": "e1000-vector/1",
        "name": "echo",
        "family": "user",
        "device": {
            "model": "e1000",
            "options": "",
            "mac": "52:54:00:12:34:56",
            "pci_bus_master": True,
            "link_down_at_start": False,
        },
        "net": {"hub": False, "ports": ["A", "user"], "peers": {}, "user": ""},
        "ops": [
            *({"t": t, "op": "w", "reg": reg, "val": val} for reg, val in program),
            {"t": t, "op": "mem", "addr": 0x1000000, "data": "0000020100000000" + "00" * 8},
            {"t": t, "op": "mem", "addr": 0x1001000, "data": "00000301000000003c00000900000000"},
            {"t": t, "op": "mem", "addr": 0x1030000, "data": frame},
            {"t": late, "op": "w", "reg": 0x3818, "val": 1},
            {"t": late, "op": "dump", "addr": 0x1020000, "data": frame},
            {"t": late, "op": "r", "reg": 0xC0, "val": 0x83},
        ],
        "irqs": [],
        "tx": [{"t_us": late // 1000, "data": frame, "op": 10}],
        "user_tx": [{"t_us": late // 1000, "data": frame}],
    }


def test_a_user_network_is_a_port_like_any_other() -> None:
    vector = echo_recording()
    assert Replay(vector, user=echo).run() is None
    vector["user_tx"][0]["data"] = flip(vector["user_tx"][0]["data"])
    found = Replay(vector, user=echo).run()
    assert found is not None
    assert found.what == "frames in user_tx, 0"
