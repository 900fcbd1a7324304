"""The study's experiment against the recordings of it: packet for packet, and its waits."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from recorded import Discovery, discovery, read, recorded, recording, reduced
from runs import config, shipped_run

from desim.experiment.run import run
from desim.machine.capture import Captured
from desim.scenario.command_line import machine_from_options
from desim.wire import pcapng
from desim.wire.dhcp import Dhcp
from desim.wire.ethernet import ETH_P_IP, Ethernet
from desim.wire.ipv4 import Ipv4
from desim.wire.udp import Udp

SECOND = 10**9
OFFER = 2


def captured(scenario: str, point: str) -> bytes:
    return shipped_run(scenario).captures[f"capture-{point}.pcapng"]


def offer(scenario: str, point: str) -> Captured:
    """The DHCP server's OFFER as it passed ``point``."""
    for packet in shipped_run(scenario).packets[point]:
        ethernet = Ethernet.parse(packet.frame.raw)
        if not packet.to_guest or ethernet.ethertype != ETH_P_IP:
            continue
        ip = Ipv4.parse(ethernet.payload)
        if ip.protocol == 17:
            dhcp = Dhcp.parse(Udp.parse(ip.payload, ip.src, ip.dst).payload)
            if dhcp.option(53) == bytes((OFFER,)):
                return packet
    raise AssertionError(f"no OFFER at {point}")


@pytest.mark.parametrize(
    ("scenario", "point", "recording"),
    [
        ("hello", "slirp", "seed_direct_tcg_openbsd_plain"),
        ("hello", "slirp", "seed_direct_icount3_openbsd_plain"),
        ("hello-close", "slirp", "seed_direct_tcg_busybox_N"),
        ("hello-hub", "slirp", "seed_hub_tcg_openbsd_plain"),
        ("hello-hub", "nic", "seed_hub_tcg_openbsd_plain_card"),
    ],
)
def test_a_capture_equals_the_recording_packet_for_packet(
    scenario: str, point: str, recording: str
) -> None:
    assert reduced(read(captured(scenario, point))) == recorded(recording)


@pytest.mark.parametrize(
    ("point", "recording"),
    [("slirp", "seed_hub_tcg_openbsd_plain"), ("nic", "seed_hub_tcg_openbsd_plain_card")],
)
def test_todays_spelling_of_redir_equals_the_recording_packet_for_packet(
    point: str, recording: str
) -> None:
    # The recording is QEMU 7.2's, which has no -redir; its default wiring is the same hub.
    shipped = config("hello-redir")
    today = machine_from_options(
        ["-net", "nic", "-net", "user,hostfwd=tcp::5555-:5556"],
        guest=(),
        host=(),
        folder=Path(),
        version="4.7",
    )
    today.guest, today.host, today.costs = shipped.guest, shipped.host, shipped.costs
    assert reduced(read(run(today).captures[f"capture-{point}.pcapng"])) == recorded(recording)


def test_with_the_slirp_of_redirs_time_windows_segment_sizes_and_padding_differ() -> None:
    # And nothing else.
    ours = reduced(read(captured("hello-redir", "slirp")))
    theirs = recorded("seed_hub_tcg_openbsd_plain")
    assert len(ours) == len(theirs)
    differing = {
        (str(mine["from"]), key)
        for mine, other in zip(ours, theirs, strict=True)
        for key in mine.keys() | other.keys()
        if mine.get(key) != other.get(key)
    }
    assert differing == {("slirp", "window"), ("slirp", "options"), ("slirp", "length")}


DIRECT = ("seed_direct_tcg_openbsd_plain", "seed_direct_icount3_openbsd_plain")
HUB = ("seed_hub_tcg_openbsd_plain", "seed_hub_tcg_openbsd_plain_card")
MS = 10**6


# At the card's own port answers may have waited for the receiver: there only contents compare.
@pytest.fixture(params=[*DIRECT, HUB[0], "seed_direct_tcg_busybox_N", "ours"])
def start(request: pytest.FixtureRequest) -> list[Discovery]:
    """How a guest begins with IPv6: real ones, and ours."""
    if request.param == "ours":
        return discovery(captured("hello", "slirp"))
    return discovery(recording(request.param))


def times(start: list[Discovery], kind: int, src: str = "", target: str = "") -> list[int]:
    return [d.time_ns for d in start if d.kind == kind and src in d.source and target in d.content]


def test_ipv6_frames_say_what_recorded_ones_say() -> None:
    said = {d[1:] for d in discovery(captured("hello", "slirp"))}
    assert len(said) == 6
    for name in (*DIRECT, *HUB, "seed_direct_tcg_busybox_N"):
        assert {d[1:] for d in discovery(recording(name))} == said


def test_ipv6_begins_in_the_recorded_order_and_within_the_kernels_limits(
    start: list[Discovery],
) -> None:
    """Delays and the order of what is drawn vary from run to run; these hold in all."""
    first_report, *_ = reports = times(start, 143)
    own_reports = times(start, 143, "fe80::")
    (link_local,) = times(start, 135, target="fe80::")
    (site_local,) = times(start, 135, target="fec0::")
    asked, answered = times(start, 133), times(start, 134)
    # A report comes from :: as long as the address is not ours.
    assert len(reports) == 4
    assert len(own_reports) in (2, 3)
    assert start[0].time_ns == first_report
    assert 0 <= link_local - first_report + 30 * MS <= 1100 * MS
    assert 1000 * MS <= own_reports[-2] - link_local <= 1050 * MS
    assert 0 < asked[0] - own_reports[-2] < 3 * MS
    # Each solicitation is answered at once. The first answer may come too early to count.
    assert len(asked) == len(answered) <= 2
    assert all(0 <= b - a < 2 * MS for a, b in zip(asked, answered, strict=True))
    assert all(3500 * MS <= b - a <= 4800 * MS for a, b in itertools.pairwise(asked))
    assert 0 <= site_local - answered[0] <= 1100 * MS
    assert own_reports[-1] - own_reports[-2] <= 1100 * MS


def test_the_recordings_of_two_programs_differ() -> None:
    # Or the comparison above would prove nothing.
    assert recorded("seed_direct_tcg_openbsd_plain") != recorded("seed_direct_tcg_busybox_N")


def test_the_guest_has_carrier_two_virtual_seconds_after_its_interface_was_opened() -> None:
    output = shipped_run("hello").transcripts[0].output.decode()
    times = {
        line.partition("] ")[2]: float(line[1:].partition("]")[0])
        for line in output.splitlines()
        if line.startswith("[")
    }
    (opened,) = (t for text, t in times.items() if text.endswith("PRO/1000 Network Connection"))
    (carrier,) = (t for text, t in times.items() if "NIC Link is Up" in text)
    assert 2.0 <= carrier - opened < 2.1


@pytest.mark.parametrize("scenario", ["hello", "hello-hub", "hello-redir"])
def test_the_offer_waits_most_of_a_second_for_the_card(scenario: str) -> None:
    sent, taken = offer(scenario, "slirp"), offer(scenario, "nic")
    assert taken.frame.number == sent.frame.number
    assert 0.9 * SECOND < taken.time - sent.time < SECOND


def test_no_other_frame_waits_for_the_card() -> None:
    packets = shipped_run("hello").packets
    sent = {p.frame.number: p.time for p in packets["slirp"] if p.to_guest}
    waits = [p.time - sent[p.frame.number] for p in packets["nic"] if p.to_guest]
    assert sum(wait > SECOND // 1000 for wait in waits) == 1


@pytest.mark.parametrize("point", ["slirp", "nic"])
def test_the_stamps_of_a_capture_never_go_back(point: str) -> None:
    times = [packet.time_ns for packet in pcapng.read(captured("hello", point))]
    assert times == sorted(times)
