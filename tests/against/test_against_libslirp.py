"""The differential test's own parts; a few conversations where the real library is here."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

from desim.against.libslirp import library
from desim.against.libslirp.guest import (
    ACK,
    GUEST_MAC,
    HOST,
    HOST6,
    ICMP,
    ISN,
    ROUTER_MAC,
    SYN,
    Connection,
    Guest,
    arp,
    datagram,
    mangled,
    packet,
    with_ip_options,
)
from desim.against.libslirp.interpose import interpose
from desim.against.libslirp.original import Library, Libslirp, stimulus
from desim.against.libslirp.player import CONFIG
from desim.against.original import Held
from desim.against.search import Hand
from desim.cli import main
from desim.conform.slirp.recordings import Recording
from desim.conform.slirp.replay import Replay, replay
from desim.errors import DifferenceError, UserError
from desim.slirp.version import VERSION_2_8
from desim.wire.checksum import ones_sum
from desim.wire.segment import build_segment


@pytest.fixture(scope="module")
def real() -> Iterator[Library]:
    try:
        worker = Library()
    except UserError as reason:
        pytest.skip(str(reason))
    yield worker
    worker.close()


HABITS = {"resolves": True, "opens": True, "acks": True}
ECHO = packet(HOST, ICMP, b"\x08\0\0\0\0\1\0\1ping")


def recorded(held: Held) -> Recording:
    assert held.recording is not None, held
    return held.recording


def script(*moves: list[Any], **config: Any) -> dict[str, Any]:
    return {"config": config, "guest": HABITS, "moves": list(moves)}


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "SONAME", "libslirp-that-is-not-here.so.0")
    with pytest.raises(library.LibraryError, match=r"libslirp0"):
        library.load()


def test_another_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Named:
        restype: object = None

        def __call__(self) -> bytes:
            return b"4.8.0"

    class Newer:
        def __init__(self, name: str) -> None:
            self.slirp_version_string = Named()

    monkeypatch.setattr(ctypes, "CDLL", Newer)
    with pytest.raises(library.LibraryError, match=r"is libslirp 4\.8\.0; libslirp 4\.7\.0 is"):
        library.load()


def test_without_the_library_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unavailable() -> None:
        raise UserError("--against libslirp: there is none; install libslirp 4.7.0")

    monkeypatch.setattr("desim.against.libslirp.original.Library", unavailable)
    assert main(["fuzz", "--against", "libslirp"]) == 2
    assert "install libslirp 4.7.0" in capsys.readouterr().err


def test_a_mended_header_sums_up_again() -> None:
    raw = mangled(ECHO, [(10, 77)], None, True)
    assert raw[22] == 77
    assert ones_sum(raw[14:34]) == 0xFFFF


def test_a_cut_leaves_the_beginning() -> None:
    assert mangled(ECHO, [], 3, False) == ECHO[:15]


def test_the_guest_answers_arp_only_if_it_is_told_to() -> None:
    question = bytes(6) + arp(1, HOST)[6:38] + bytes((10, 0, 2, 15))
    silent = Guest(resolves=False, opens=True, acks=True)
    silent.saw(question)
    assert not silent.answers
    willing = Guest(resolves=True, opens=True, acks=True)
    willing.saw(question)
    assert [raw[20:22] for raw in willing.answers] == [b"\0\2"]


def test_the_guest_follows_what_the_stack_sends() -> None:
    guest = Guest(resolves=True, opens=True, acks=True)
    conn = Connection(4000, (HOST, 8080), snd_nxt=ISN + 1)
    guest.connections.append(conn)
    for flags, seq, data in ((SYN | ACK, 500, b""), (ACK, 501, b"abc"), (ACK, 600, b"lost")):
        guest.saw(
            build_segment(
                GUEST_MAC, ROUTER_MAC, HOST, bytes((10, 0, 2, 15)), 8080, 4000, seq, ISN + 1,
                flags, 100, data, ident=0, ttl=64, tos=0, df=False,
            ).raw
        )  # fmt: skip
    assert [int.from_bytes(raw[42:46], "big") for raw in guest.answers] == [501, 504, 504]


def test_a_conversation_with_the_library_is_a_recording_that_our_stack_passes(
    real: Library,
) -> None:
    answer = real.hold(
        script(
            ["syn", "10.0.2.2", 8080, 4000, 1460, 65535, 0],
            ["data", 0, 100, 0, 65535],
            ["host_send", 0, 5000, False],
            ["host_connect", 0, None],
            ["host_send", 1, 10, False],
            ["data", 0, 0, 1, 65535],
            ["host_close", 0, False],
            ["udp", 3000, "10.0.2.2", 9000, "00", 64, 0],
            ["udp_answer", "u", 7],
            ["wait", 12_000_000],
        )
    )
    replay(recorded(answer))
    kinds = {event["ev"] for step in recorded(answer)["steps"] for event in step["out"]}
    assert kinds == {"accept", "frame", "host_connected", "host_data", "host_eof", "udp"}


def test_the_same_conversation_twice_is_the_same_recording(real: Library) -> None:
    moves = script(["host_connect", 0, None], ["wait", 30_000_000], kick=False)
    assert real.hold(moves) == real.hold(moves)


def test_a_stack_that_differs_is_found_and_made_small(
    real: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Older(Replay):
        def __init__(self, recording: Recording) -> None:
            super().__init__(recording, VERSION_2_8)

    monkeypatch.setattr("desim.against.libslirp.original.Replay", Older)
    monkeypatch.setattr(Libslirp, "open", lambda self: real)
    monkeypatch.setattr(Libslirp, "by_chance", 1)
    hand = Hand(Libslirp())
    found = hand.judge(
        7, script(["wait", 1000], ["syn", "10.0.2.2", 8080, 4000, 1460, 65535, 0])
    ).difference
    assert found is not None
    assert "frame 0 of the step differs" in found.text
    assert "tcp.win" in found.shown
    assert found.moves == 1
    with pytest.raises(DifferenceError, match=r"tcp\.win"):
        replay(found.recording, VERSION_2_8)
    replay(found.recording)


def test_known_defects_of_the_library_are_left_out_and_counted(real: Library) -> None:
    answer = real.hold(
        script(
            ["syn", "10.0.2.2", 8080, 4000, 1460, 65535, 0],
            ["segment", 0, 0x30, 5, 0, 0, 65535, 100],
            ["mangle", [[8, 0x00], [9, 1]], None, True],
            ["ping", "10.0.2.2", 20, 64, 0],
        )
    )
    assert {key: count for key, count in answer.counts.items() if key.startswith("left out")} == {
        "left out: a fragment out of order (Debian's library is miscompiled: it crashes)": 1,
        "left out: an urgent pointer beyond the data (the library reads beyond its buffer)": 1,
    }
    replay(recorded(answer))


def kinds(recording: dict[str, Any]) -> set[str]:
    """The kinds of all stimuli and events."""
    stimuli = {stimulus(step["do"]) for step in recording["steps"]}
    return stimuli | {event["ev"] for step in recording["steps"] for event in step["out"]}


def data_of(recording: dict[str, Any], kind: str) -> list[int]:
    """The sizes of a kind of event, in order."""
    return [e["len"] for step in recording["steps"] for e in step["out"] if e["ev"] == kind]


def test_a_program_that_takes_only_so_much(real: Library) -> None:
    answer = real.hold(
        script(
            ["syn", "10.0.2.2", 8080, 4000, 1460, 65535, 0],
            ["accept_bytes", 0, 30],
            ["data", 0, 100, 0, 65535],
            ["data", 0, 20, 0, 65535],
            ["wait", 1000],
            ["accept_bytes", 0, None],
        )
    )
    assert data_of(recorded(answer), "host_data") == [30, 90]
    replay(recorded(answer))


def test_limits_are_those_of_one_connection_of_a_forwarded_port(real: Library) -> None:
    answer = real.hold(
        script(
            ["host_connect", 0, None],
            ["host_connect", 0, None],
            ["accept_bytes", 0, 0],
            ["data", 0, 7, 0, 65535],
            ["data", 1, 5, 0, 65535],
        )
    )
    assert data_of(recorded(answer), "host_data") == [5]
    replay(recorded(answer))


def test_programs_behind_guestfwd(real: Library) -> None:
    answer = real.hold(
        script(
            ["syn", "10.0.2.100", 1234, 4010, 1460, 65535, 0],
            ["data", 0, 9, 0, 65535],
            ["guestfwd_send", 0, 70_000],
            ["syn", "10.0.2.101", 80, 4011, 1460, 65535, 0],
            ["data", 1, 4, 0, 65535],
            ["guestfwd_remove", 2],
            restricted=True,
        )
    )
    assert data_of(recorded(answer), "gfwd_data") == [9]
    assert data_of(recorded(answer), "host_data") == [4]
    results = [step["result"] for step in recorded(answer)["steps"] if "result" in step]
    assert [r["taken"] if isinstance(r, dict) else r for r in results] == [70_000, -1]
    replay(recorded(answer))


def test_router_advertisements_come_by_themselves(real: Library) -> None:
    answer = real.hold(script(["wait", 1_300_000], ra_interval_ms=500))
    frames = [e for step in recorded(answer)["steps"] for e in step["out"]]
    assert [frame["t"] for frame in frames] == [1_500_000_000, 2_000_000_000]
    replay(recorded(answer))


def test_hosts_reach_the_guest_by_ipv6(real: Library) -> None:
    answer = real.hold(
        script(
            ["host_connect", 2, None],
            ["host_send", 0, 10, False],
            ["data", 0, 3, 0, 65535],
            ["udp_in", "c6", 5],
        )
    )
    assert data_of(recorded(answer), "host_data") == [3]
    assert {"TCP6", "ICMP6", "host_connected"} <= kinds(recorded(answer))
    replay(recorded(answer))


def test_options_are_put_into_headers_that_stay_right() -> None:
    raw = with_ip_options(ECHO, b"\7\7\4\0\0\0\0")
    assert (raw[14], len(raw)) == (0x47, len(ECHO) + 8)
    assert ones_sum(raw[14:42]) == 0xFFFF
    assert with_ip_options(raw, b"\1") == raw


def test_a_function_that_is_not_imported_cannot_be_replaced(real: Library) -> None:
    with pytest.raises(LookupError, match="imports no fork_bomb"):
        interpose(library.load(), "fork_bomb", library.SEND_TO_HOST(lambda *_: 0))


def test_stimuli_are_told_apart() -> None:
    def of(raw: bytes) -> str:
        return stimulus({"op": "guest_frame", "hex": raw.hex()})

    assert of(ECHO) == "ICMP"
    assert of(arp(1, HOST)) == "ARP"
    assert of(datagram(3000, HOST, 69, b"", ttl=64, tos=0)) == "TFTP"
    assert of(datagram(3000, HOST6, 547, b"", ttl=64, tos=0)) == "DHCPv6"
    assert of(ECHO[:20] + b"\x20" + ECHO[21:]) == "fragment"
    assert of(b"") == "other frame"
    assert stimulus({"op": "advance", "to": 1}) == "advance"


def test_the_configuration_is_one_that_recordings_have() -> None:
    assert {"kick", "hostfwd", "guestfwd", "tftp_files", "host_resolvers"} <= set(CONFIG)
