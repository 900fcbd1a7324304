"""``desim conform linux``: what is read, which figures, how they are judged, what is said."""

from __future__ import annotations

import copy
import gzip
import io
import json
import math
import shutil
import struct
import tarfile
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_runs import LINUX, documents, of_test, recorded_packets, recorded_run

import desim.conform.linux.recording as recording
import desim.conform.linux.suite as suite_module
from benchmarks.archives import unpack
from desim.cli import main
from desim.conform.linux.figures import RESOLVED_US, Figures, Wire, measured, percentile
from desim.conform.linux.judgement import (
    LABELS,
    MOST_MEDIAN,
    SPREAD,
    Compared,
    family,
    is_judged,
    judge,
)
from desim.conform.linux.predict import configuration
from desim.conform.linux.recording import (
    METRICS,
    SAMPLES,
    Run,
    parse_run,
    places,
    read_runs,
)
from desim.conform.linux.suite import LinuxSuite
from desim.conform.suite import Outcome, conform
from desim.errors import RecordingError
from desim.machine.capture import Captured
from desim.wire.frame import Frame

META = "meta.json"
DET = LINUX / "det.tar.xz"
EQUAL = ("det_default", "det_itr0", "det_itr8000", "det_itr0_rx32_rxabs64")
"""Settings of equal effect: every interval they ask for is below QEMU's floor of 128 us."""
FAMILIES = {
    "det_default": "det",
    "det_itr0_nomit": "det",
    "sizes_icount0_itr0": "sizes",
    "vt_default": "vt",
    "ftrace_icount0_default": "ftrace",
    "rt_default": "rt",
    "tcp_refused": "facts",
}

Say = tuple[int, list[str], str]


def run(capsys: pytest.CaptureFixture[str], *words: object) -> Say:
    code = main(["conform", "linux", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out.splitlines(), printed.err


def folder_of(where: Path, name: str, **changes: Any) -> Path:
    """A folder with one run, its documents replaced by ``changes`` (``meta=...``)."""
    folder = where / name
    folder.mkdir(parents=True)
    for file, document in documents(name).items():
        document = changes.get(file.partition(".")[0], document)
        text = document if isinstance(document, str) else json.dumps(document)
        (folder / file).write_text(text)
    return folder


def altered(name: str, file: str, alter: Callable[[Any], None]) -> dict[str, Any]:
    """One document of a run, changed."""
    document = copy.deepcopy(documents(name)[file])
    alter(document)
    found: dict[str, Any] = document
    return found


# Reading


def test_folders_and_archives_hold_the_same_runs(tmp_path: Path) -> None:
    with tarfile.open(DET) as archive:
        unpack(archive, tmp_path / "runs")
    packed = {place.rpartition(":")[2]: found for place, found in read_runs(DET)}
    loose = {Path(place).name: found for place, found in read_runs(tmp_path / "runs")}
    assert packed == loose
    (one,) = read_runs(tmp_path / "runs" / "det_itr0")
    assert one[1] == packed["det_itr0"]


def test_lists_may_be_compressed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "det_itr0")
    samples = folder / SAMPLES
    (folder / f"{SAMPLES}.gz").write_bytes(gzip.compress(samples.read_bytes()))
    samples.unlink()
    ((_, found),) = read_runs(folder)
    assert found == documents("det_itr0")


def test_runs_and_archives_are_found_below_a_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", "tcp_refused")
    shutil.copy(DET, tmp_path / "b.tar.xz")
    (tmp_path / "note.json").write_text("{}")
    assert list(places(tmp_path)) == [folder, tmp_path / "b.tar.xz"]


def test_the_settings_of_a_run_are_read() -> None:
    found = recorded_run("det_itr0_rdrand")
    assert found.modprobe == "e1000 InterruptThrottleRate=0"
    assert (found.shift, found.never_idle, found.seeded) == (0, True, True)
    assert found.warm_up == ["ltool ping 10.0.2.2 5 20000 56 1"]
    assert found.tests[0].command == "ltool ping 10.0.2.2 3 300000 56 1"
    assert not found.not_modelled


def test_servers_on_the_host_are_known_by_what_they_printed() -> None:
    words = {test.name: test.host.words for test in recorded_run("rt_default").tests if test.host}
    assert words["g2h1"] == ["sink", "21061"]
    assert words["gpp"] == ["tcpsrv", "21064", "1", "300"]
    assert words["uecho1"] == words["uecho16b"] == ["udpecho", "21065"]


def in_tar(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w:xz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"run/{name.replace('_', '.')}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"meta_json": b"{}"}, "no metrics.json beside meta.json"),
        ({"meta_json": b"{}", "metrics_json": b"{"}, "metrics.json: "),
        ({"meta_json": b"[]", "metrics_json": b"{}"}, "meta.json: not a JSON object"),
        ({"meta_json": b"{}", "metrics_json": b"[" * 100_000}, "metrics.json: "),
        ({"meta_json": b"{}", "metrics_json": b"\xff"}, "metrics.json: "),
        ({"meta_json": b"{}", "metrics_json": b"{}", "samples_json_gz": b"x"}, "samples.json.gz: "),
        ({"meta_json": b"{}", "metrics_json": b"{}"}, "not as a recorded run is"),
        ({"other_json": b"{}"}, "no recordings in it"),
    ],
)
def test_a_broken_run_is_named_and_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: dict[str, bytes], complaint: str
) -> None:
    archive = in_tar(tmp_path / "a.tar.xz", **files)
    code, lines, complaints = run(capsys, archive)
    assert code == 2
    assert lines == []
    assert complaint in complaints
    assert complaints.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tar.xz", b"\xfd7zXZ\x00garbage"),
        ("a.tar.gz", b""),
        ("a.json", b"{}"),
        ("cut.tar.xz", (LINUX / "tcp.tar.xz").read_bytes()[:5000]),
    ],
)
def test_what_is_no_archive_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    code, _, complaints = run(capsys, tmp_path / name)
    assert code == 2
    assert str(tmp_path / name) in complaints
    assert complaints.count("\n") == 1


def test_a_path_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, complaints = run(capsys, "no/such/run")
    assert (code, complaints) == (2, "desim: no/such/run: no such file or folder\n")


def test_files_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path, "det_itr0")
    monkeypatch.setattr("desim.conform.archives.MAX_SIZE", 10_000)
    bomb = gzip.compress(b" " * 1_000_000)
    archive = in_tar(
        tmp_path / "a.tar.xz", meta_json=b"{}", metrics_json=b"{}", samples_json_gz=bomb
    )
    with pytest.raises(RecordingError, match="larger than 10000 bytes"):
        list(read_runs(archive))
    with pytest.raises(RecordingError, match="larger than 10000 bytes"):
        list(read_runs(folder))


@pytest.mark.parametrize("window", [[-1, 5], [9, 5], [0, 1 << 62]])
def test_a_window_that_cannot_be_is_refused(window: list[int]) -> None:
    def alter(metrics: Any) -> None:
        metrics["tests"][0]["window_us"] = window

    found = {**documents("tcp_refused"), METRICS: altered("tcp_refused", METRICS, alter)}
    with pytest.raises(RecordingError, match="window"):
        parse_run(found)


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from nodes(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value[:8]):
            yield from nodes(item, (*path, index))


SMALL = {key: documents("tcp_refused")[key] for key in (META, METRICS)}
PLACES = [path for path in nodes(SMALL) if len(path) > 1]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 300),
    st.just(1 << 70),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
    st.just(["x", 1]),
    st.floats(allow_nan=True),
)


class OneRun(LinuxSuite):
    """A suite that finds this run everywhere."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__("zero")
        self.found = found

    def read(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "junk", self.found


@pytest.mark.slow
@settings(max_examples=200)
@given(place=st.sampled_from(PLACES), junk=JUNK)
def test_no_junk_in_a_run_escapes_as_an_exception(place: tuple[Any, ...], junk: Any) -> None:
    found = copy.deepcopy(SMALL)
    inside: Any = found
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = junk
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite_module, "simulate", lambda config: NoMachine())
        patch.setattr(suite_module, "predicted", lambda machine, test: test)
        patch.setattr(suite_module, "simulated", lambda test, found: Figures())
        patch.setattr(suite_module, "ipv6_sent", lambda found: 0)
        for outcome in conform(OneRun(found), [Path("junk.tar")]):
            assert isinstance(outcome, Outcome)


# What is not modelled


class NoMachine:
    """Stands for a simulation in which nothing went wrong."""

    failed = False

    @staticmethod
    def transcripts() -> list[Any]:
        return []


def scripted(name: str, line: str, script: str) -> dict[str, Any]:
    """A run whose test ``line`` has another command."""

    def alter(meta: Any) -> None:
        lines = meta["guest_script"].splitlines()
        meta["guest_script"] = "\n".join(script if old.startswith(line) else old for old in lines)

    return altered(name, META, alter)


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("T refused iperf3 -c 10.0.2.2", "iperf3"),
        ("T refused ltool dripp 10.0.2.2 9 1 1 0", "there is no 'dripp'; did you mean 'drip'?"),
        ("T refused ltool drip 10.0.2.2 9", "usage: ltool [--json] drip"),
        ("ip link set eth0 mtu 1400", "not modelled: script: ip link set eth0 mtu 1400"),
    ],
)
def test_a_program_that_is_not_modelled_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, script: str, complaint: str
) -> None:
    meta = scripted("tcp_refused", "T refused ", script)
    # Of a family that is judged: there it is a mistake.
    meta.update(kind="det", guest_never_idle=True)
    folder = folder_of(tmp_path, "tcp_refused", meta=meta)
    code, lines, complaints = run(capsys, folder, "--costs", "zero")
    assert (code, lines) == (2, [])
    assert complaint in complaints
    assert complaints.count("\n") == 1


@pytest.mark.slow
def test_of_runs_that_are_not_judged_it_is_only_said(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, complaints = run(capsys, LINUX / "tcp.tar.xz", "--costs", "zero")
    assert (code, complaints) == (0, "")
    assert lines[-1] == "0 passed, 0 failed, 5 not judged"
    said = [line for line in lines if "not predicted" in line]
    assert len(said) == 2
    assert "tcp_rto_small (facts): not predicted" in said[0]
    assert "not modelled: script: ip addr add" in said[1]


@pytest.mark.parametrize(
    ("run_name", "profile"), [("rt_default", "tcg"), ("det_default", "icount")]
)
def test_a_profile_that_does_not_ship_is_named(
    monkeypatch: pytest.MonkeyPatch, run_name: str, profile: str
) -> None:
    monkeypatch.setattr(suite_module, "shipped", lambda: ["zero"])
    suite = LinuxSuite()
    if is_judged(family(recorded_run(run_name))):
        with pytest.raises(RecordingError, match=f"need the cost profile '{profile}'"):
            suite.check("x", documents(run_name))
    else:
        outcome = suite.check("x", documents(run_name))
        assert f"need the cost profile '{profile}'" in outcome.shown
        assert not outcome.judged


# Figures


def test_a_percentile_is_a_value_of_the_list() -> None:
    assert percentile([], 50) is None
    assert percentile([3, 1, 2], 50) == 2
    assert percentile(list(range(100)), 95) == 95
    assert percentile([7], 95) == 7


@pytest.mark.parametrize("name", ["det_default", "sizes_icount0_itr0", "rt_default"])
def test_measured_round_trips_are_those_of_the_recordings_own_tables(name: str) -> None:
    tables = {
        test["name"]: test.get("components") or {} for test in documents(name)[METRICS]["tests"]
    }
    compared = 0
    for test in recorded_run(name).tests:
        own = tables[test.name].get("rtt_ns")
        if own is not None:
            assert measured(test).rtt_p50 == own["p50"], test.name
            compared += 1
    assert compared >= 3


def test_interrupts_and_frames_are_the_counters(tmp_path: Path) -> None:
    figures = measured(recorded_run("det_default").tests[8])
    assert (figures.interrupts, figures.frames) == (49, 768)


def test_a_transfer_too_short_for_its_stamps_has_no_rate() -> None:
    rates = {t.name: measured(t).mbit_s for t in recorded_run("sizes_icount0_itr0").tests}
    assert rates["up1"] is rates["up2920"] is None
    assert rates["up262144"] == pytest.approx(1804.78, abs=0.01)
    assert rates["tftp8"] is not None


def frame_of(packet: Any, sport: int, dport: int) -> Frame:
    """As much of a frame as ``Wire`` looks at."""
    size = 40 + packet.payload
    ip = struct.pack("!BBHIBBH8x", 0x45, 0, size, 0, 64, 6, 0)
    tcp = struct.pack(
        "!HHIIBBHI", sport, dport, packet.seq, packet.ack, 0x50, packet.flags, packet.window, 0
    )
    return Frame(bytes(12) + b"\x08\x00" + ip + tcp + bytes(packet.payload))


@pytest.mark.parametrize("name", ["tcp_acks_tcg", "tcp_delack_tcg"])
def test_rates_from_packets_are_those_of_the_recordings_own_tables(name: str) -> None:
    run = recorded_run(name)
    for number, test in enumerate(run.tests):
        packets = [p for p in of_test(run, number, recorded_packets(name)) if p.sport]
        wire = Wire(
            [
                Captured(p.t_us * 1000, p.packet.to_guest, frame_of(p.packet, p.sport, p.dport))
                for p in packets
            ]
        )
        figures = measured(test)
        own = test.tcp[0].get("wire")
        if own and own["all_acked_us"] - own["first_data_us"] >= RESOLVED_US:
            assert wire.mbit_s() == figures.mbit_s == own["mbit_s_to_last_ack"]
            if figures.segments_per_ack is not None:
                assert wire.segments_per_ack() == figures.segments_per_ack


# Judgement


@pytest.mark.parametrize(("name", "of"), FAMILIES.items())
def test_the_family_of_a_run(name: str, of: str) -> None:
    assert family(recorded_run(name)) == of


def test_a_run_with_an_idle_guest_is_not_judged_as_one_without() -> None:
    meta = altered("det_itr0", META, lambda meta: meta.pop("guest_never_idle"))
    idle = parse_run({**documents("det_itr0"), META: meta})
    assert family(idle) == "idlewarp"
    assert not is_judged("idlewarp")


def judged(name: str, test: str, **changes: float | None) -> Any:
    """The verdict on one test of a run whose prediction is right but for ``changes``."""
    found = recorded_run(name)
    (one,) = (t for t in found.tests if t.name == test)
    figures = measured(one)
    return judge(found, [Compared(one, figures, figures._replace(**changes))])


def test_a_right_prediction_passes() -> None:
    found = recorded_run("det_default")
    verdict = judge(found, [Compared(t, measured(t), measured(t)) for t in found.tests])
    assert verdict.why == ""
    assert verdict.median == 0
    assert len(verdict.errors()) == 45


@pytest.mark.parametrize(
    ("test", "figure", "factor", "passes"),
    [
        ("ping_10ms", "rtt_p50", 1.0199, True),
        ("ping_10ms", "rtt_p50", 1.0201, False),
        ("ping_10ms", "rtt_p50", 0.9799, False),
        ("ping_10ms", "rtt_p95", 3, True),
        ("train64_20ms", "interrupts", 50 / 49, False),
        ("tftp512", "frames", 586 / 587, False),
        ("tftp512", "mbit_s", 2, True),
        ("up4m", "interrupts", 30 / 54, True),
        ("up4m", "interrupts", 29 / 54, False),
        ("up1m", "interrupts", 27 / 15, True),
        ("up1m", "interrupts", 28 / 15, False),
        ("up4m", "mbit_s", 1.0999, True),
        ("up4m", "mbit_s", 1.1001, False),
        ("up64k", "frames", 106 / 105, True),
        ("up64k", "frames", 107 / 105, False),
        ("up64k", "segments_per_ack", 1.02, False),
    ],
)
def test_figures_of_det_runs_have_their_tolerances(
    test: str, figure: str, factor: float, passes: bool
) -> None:
    (one,) = (t for t in recorded_run("det_default").tests if t.name == test)
    value = getattr(measured(one), figure) * factor
    value = round(value) if figure in ("interrupts", "frames") else value
    verdict = judged("det_default", test, **{figure: value})
    assert (verdict.why == "") is passes
    if not passes:
        assert f"{test}: {LABELS[figure][0]}" in verdict.why


@pytest.mark.parametrize(("interrupts", "passes"), [(199, False), (200, True), (202, True)])
def test_an_ipv6_frame_is_no_frame_and_may_be_an_interrupt(interrupts: int, passes: bool) -> None:
    """The guest repeated a router solicitation in the middle of this test, and got an answer."""
    found = recorded_run("det_itr0_nomit")
    (ping,) = (t for t in found.tests if t.name == "ping_1ms")
    assert (ping.frames, ping.ipv6, ping.interrupts) == (402, (2, 1), 201)
    figures = measured(ping)
    assert figures.frames == 400
    predicted = figures._replace(interrupts=interrupts)
    verdict = judge(found, [Compared(ping, figures, predicted, noise=ping.ipv6[1])])
    assert (verdict.why == "") is passes


def test_a_figure_that_was_not_predicted_is_wrong_by_all_of_it() -> None:
    verdict = judged("det_default", "up4m", mbit_s=None)
    assert "throughput 2208.836, predicted -" in verdict.why
    assert max(verdict.errors()) == 1


def test_the_tolerances_of_uploads_are_what_equal_recordings_show() -> None:
    runs = [
        {t.name: measured(t) for t in recorded_run(name).tests if t.out["test"] == "source"}
        for name in EQUAL
    ]
    for figure, tolerance in SPREAD.items():
        seen = 0.0
        for one, other in combinations(runs, 2):
            for test, figures in one.items():
                low, high = sorted((getattr(figures, figure), getattr(other[test], figure)))
                seen = max(seen, (high - low) / low)
        assert tolerance == pytest.approx(math.ceil(round(seen * 100, 6)) / 100), figure


@pytest.mark.parametrize("name", ["sizes_icount0_itr0", "vt_default"])
@pytest.mark.parametrize(("error", "passes"), [(0.049, True), (0.051, False)])
def test_sizes_and_vt_runs_pass_by_the_median_of_their_errors(
    name: str, error: float, passes: bool
) -> None:
    found = recorded_run(name)
    pairs = [Compared(t, measured(t), scaled(measured(t), 1 + error)) for t in found.tests]
    verdict = judge(found, pairs)
    assert verdict.median == pytest.approx(error)
    assert (verdict.why == "") is passes
    assert f"{MOST_MEDIAN:.0%}" in verdict.why or passes


def scaled(figures: Figures, factor: float) -> Figures:
    return Figures(*(None if figure is None else figure * factor for figure in figures))


@pytest.mark.parametrize(
    ("name", "kind", "most"),
    [
        ("sizes_icount0_itr0", "rtt_p50", 0.05),
        ("sizes_icount0_itr0", "rtt_p95", 0.05),
        ("vt_default", "mbit_s", 0.1),
    ],
)
def test_times_and_rates_have_a_limit_of_their_own(name: str, kind: str, most: float) -> None:
    """Frames are easily right, and would fill the median of all."""
    found = recorded_run(name)

    def verdict(error: float) -> str:
        pairs = []
        for test in found.tests:
            figures = measured(test)
            value = getattr(figures, kind)
            changed = figures if value is None else figures._replace(**{kind: value * (1 + error)})
            pairs.append(Compared(test, figures, changed))
        return judge(found, pairs).why

    assert verdict(most - 0.001) == ""
    assert verdict(most + 0.001) == (
        f"the median error of {LABELS[kind][0]} is {most + 0.001:.1%}, more than {most:.0%}"
    )


def test_the_limit_of_rates_is_how_far_two_equal_recordings_are_apart() -> None:
    one, other = (recorded_run(name).tests for name in ("vt_default", "vt_default_again"))
    rates = [(measured(a).mbit_s, measured(b).mbit_s) for a, b in zip(one, other, strict=True)]
    apart = [abs(a - b) / min(a, b) for a, b in rates if a and b]
    assert math.ceil(max(apart) * 100) / 100 == SPREAD["mbit_s"]


def test_two_equal_recordings_in_virtual_time_would_predict_each_other() -> None:
    one, other = recorded_run("vt_default"), recorded_run("vt_default_again")
    pairs = [
        Compared(t, measured(t), measured(u)) for t, u in zip(one.tests, other.tests, strict=True)
    ]
    assert judge(one, pairs).why == ""


def test_what_was_measured_as_nothing_has_no_error() -> None:
    found = recorded_run("vt_default")
    (idle,) = (t for t in found.tests if t.name == "hsrv")
    verdict = judge(found, [Compared(idle, measured(idle), Figures(interrupts=5, frames=0))])
    assert [f.error for f in verdict.figures] == [None, None]
    assert verdict.why == "nothing in it can be judged"


def test_runs_that_are_not_judged_do_not_fail() -> None:
    found = recorded_run("rt_default")
    verdict = judge(found, [Compared(t, measured(t), Figures()) for t in found.tests])
    assert (verdict.why, verdict.errors(), verdict.judged) == ("", [], False)


# What is said


@pytest.fixture
def as_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulations that come to what was measured, but twice the interrupts in ``det_itr8000``."""

    def simulated(test: recording.Test, found: Run) -> Figures:
        figures = measured(test)
        wrong = found.name == "det_itr8000" and test.name == "ping_1ms"
        return figures._replace(interrupts=400) if wrong else figures

    class Machine(NoMachine):
        def __init__(self, name: str) -> None:
            self.run = recorded_run(name)

    monkeypatch.setattr(suite_module, "simulate", lambda config: Machine(config.name))
    monkeypatch.setattr(suite_module, "predicted", lambda machine, test: machine.run)
    monkeypatch.setattr(suite_module, "simulated", simulated)
    monkeypatch.setattr(suite_module, "ipv6_sent", lambda found: 0)


@pytest.mark.slow
@pytest.mark.usefixtures("as_measured")
def test_each_run_is_a_table_and_the_last_line_counts(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, complaints = run(capsys, DET, "--costs", "zero")
    assert (code, complaints) == (1, "")
    assert lines[-1] == "median error 0.00%, 95th percentile 0.00%; 6 passed, 1 failed"
    heads = [line for line in lines if line.endswith("(det), costs zero")]
    assert len(heads) == 7
    (failed,) = (line for line in lines if line.startswith(f"{DET}:det_itr8000: "))
    assert failed.endswith(
        "1 of 45 judged figures beyond their tolerance, first: ping_1ms: interrupts 200, "
        "predicted 400"
    )
    (row,) = (line for line in lines if line.endswith("exact: beyond"))
    assert row.split() == ["interrupts", "200", "400", "+100.0%", "exact:", "beyond"]
    assert max(map(len, lines)) < 200


@pytest.mark.slow
@pytest.mark.usefixtures("as_measured")
def test_all_passed_is_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(capsys, LINUX / "vt.tar.xz", "--costs", "zero")
    assert code == 0
    assert lines[-1].endswith("; 3 passed, 0 failed")
    assert any(line.startswith("median error 0.0% (at most 5%)") for line in lines)


@pytest.mark.usefixtures("as_measured")
def test_the_rest_is_judged_beside_a_broken_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder_of(tmp_path, "det_itr0")
    folder_of(tmp_path, "det_default", metrics="{")
    code, lines, complaints = run(capsys, tmp_path, "--costs", "zero")
    assert code == 2
    assert lines[-1].endswith("; 1 passed, 0 failed")
    assert complaints.count("\n") == 1
    assert "det_default" in complaints


@pytest.mark.slow
@pytest.mark.usefixtures("as_measured")
def test_json_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "linux", "--json", "--costs", "zero", str(DET)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {key: found[key] for key in ("passed", "failed", "unreadable", "not_judged")} == {
        "passed": 6,
        "failed": 1,
        "unreadable": 0,
        "not_judged": 0,
    }
    assert found["errors"] == {"judged": 7 * 45, "median": 0, "p95": 0}
    records = {record["place"].rpartition(":")[2]: record for record in found["recordings"]}
    record = records["det_itr8000"]
    assert (record["result"], record["family"], record["costs"]) == ("failed", "det", "zero")
    assert record["difference"]["what"].startswith("1 of 45 judged figures")
    tests = {test["name"]: test["figures"] for test in record["tests"]}
    (interrupts,) = (f for f in tests["ping_1ms"] if f["figure"] == "interrupts")
    assert interrupts == {
        "figure": "interrupts",
        "measured": 200,
        "predicted": 400,
        "error": 1,
        "judged": True,
        "tolerance": 0,
        "within": False,
    }
    assert records["det_default"]["result"] == "passed"
    assert records["det_default"]["median_error"] == 0


def test_runs_that_are_not_judged_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    archive = LINUX / "ftrace.tar.xz"
    code, lines, _ = run(capsys, archive, "--costs", "zero")
    assert code == 0
    assert lines[0] == f"{archive}:ftrace_icount0_default (ftrace), costs zero"
    assert all(line.endswith("no") for line in lines[2:-2])
    assert lines[-2:] == ["not judged", "0 passed, 0 failed, 1 not judged"]


@pytest.mark.slow
def test_any_number_of_processes_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    one = run(capsys, LINUX / "tcp.tar.xz", "--costs", "zero")
    assert run(capsys, LINUX / "tcp.tar.xz", "--costs", "zero", "-j", 2) == one


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["conform", "e1000", "--costs", "zero", "x"], "only linux has costs"),
        (["conform", "linux", "--costs", "icuont", "x"], "no such cost profile"),
        (["conform", "linux", "--costs", "no/such.toml", "x"], "no such file"),
        (["conform", "linus", "x"], "linus"),
    ],
)
def test_mistakes_in_the_command_are_told(
    capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert main(words) == 2
    assert complaint in capsys.readouterr().err


def test_mistakes_in_a_profile_are_told_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "p.toml").write_text('["no/such.c"]\n')
    code, lines, complaints = run(capsys, DET, "--costs", tmp_path / "p.toml")
    assert (code, lines) == (2, [])
    assert complaints.count("no/such.c") == 1


# Predictions: a sample for the gate; all of them are `desim conform linux tests/vectors/linux`.


@pytest.mark.slow
def test_a_prediction_without_costs_has_the_frames_and_the_windows_of_the_card() -> None:
    """Costs decide how long work takes, not how many packets there are."""
    outcome = LinuxSuite("zero").check("x", documents("det_default"))
    tests = {test["name"]: test["figures"] for test in outcome.details["tests"]}
    for name in ("ping_10ms", "ping_1ms", "train4_10ms", "train16_10ms", "tftp512", "tftp1428"):
        (frames,) = (f for f in tests[name] if f["figure"] == "frames")
        assert frames["within"], name
    (floor,) = (f for f in tests["tftp512"] if f["figure"] == "rtt_p50")
    assert floor["predicted"] == 128_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "det_default",
        "det_itr0",
        "det_itr0_nomit",
        "det_itr0_rdrand",
        "det_itr0_rx32_rxabs64",
        "det_itr8000",
        "det_itr8000_rx128_rxabs512",
    ],
)
def test_every_figure_of_a_recorded_run_is_within_its_tolerance(name: str) -> None:
    outcome = LinuxSuite().check(name, documents(name))
    assert outcome.passed, f"{outcome.difference}\n{outcome.shown}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sizes_icount0_itr0", "vt_default_again"])
def test_the_median_of_a_runs_figures_is_predicted(name: str) -> None:
    outcome = LinuxSuite().check(name, documents(name))
    assert outcome.passed, f"{outcome.difference}\n{outcome.shown}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sizes_icount0_itr0", "vt_default"])
def test_a_guest_whose_work_takes_no_time_fails(name: str) -> None:
    assert not LinuxSuite("zero").check(name, documents(name)).passed


def test_a_runs_machine_is_the_recorded_one() -> None:
    config = configuration(recorded_run("det_itr0_nomit"), costs="zero")
    assert config.nic is not None
    assert not config.nic.mitigation
    assert config.modprobe == "e1000 InterruptThrottleRate=0"
    assert [command.command for command in config.guest[:2]] == [
        "ltool spin",
        "ltool --json ping 10.0.2.2 5 20000 56 1",
    ]
