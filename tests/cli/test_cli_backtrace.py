"""``desim backtrace``: which function is meant, and what is said if it is never reached."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from desim.cli import main
from desim.errors import UserError
from desim.experiment.backtrace import find_functions
from desim.stages import known_stages


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("if_encap", ["slirp/slirp.c:if_encap"]),
        ("slirp/slirp.c:if_encap", ["slirp/slirp.c:if_encap"]),
        ("slirp.c:if_encap", ["slirp/slirp.c:if_encap"]),
        ("slirp/ip_output.c:ip_output", ["slirp/ip_output.c:ip_output"]),
        ("ipv4/ip_output.c:ip_output", ["net/ipv4/ip_output.c:ip_output"]),
        ("ip_output", ["net/ipv4/ip_output.c:ip_output", "slirp/ip_output.c:ip_output"]),
        ("slirp/ip_output.c:ip_out*", ["slirp/ip_output.c:ip_output"]),
        ("set_ic*", ["hw/net/e1000.c:set_icr", "hw/net/e1000.c:set_ics"]),
    ],
)
def test_a_file_may_be_given_in_full_or_by_its_end_and_a_name_as_a_pattern(
    wanted: str, found: list[str]
) -> None:
    assert [f"{file}:{name}" for name, file in find_functions(wanted)][: len(found)] == found


def test_a_name_of_two_functions_stops_in_both_and_says_so(
    scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtrace", scenario, "--break", "ip_output"]) == 0
    err = capsys.readouterr().err
    assert "ip_output is in net/ipv4/ip_output.c and slirp/ip_output.c" in err


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("ip_output.c:ip_output", "ip_output is in more than one such file; it is in net/ipv4/"),
        ("output.c:ip_output", "ip_output is not in this file; it is in net/ipv4/"),
        ("slirp/if.c:if_encap", "if_encap is not in this file; it is in slirp/slirp.c"),
        ("slirp/slirp.c:if_encapp", "no modelled function has this name; the nearest are if_encap"),
        ("zz*", "no modelled function has this name"),
        ("slirp.c:e1000_*", "is not in this file"),
        ("", "no modelled function has this name"),
        (":", "no modelled function has this name"),
    ],
)
def test_what_is_meant_must_be_clear(wanted: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        find_functions(wanted)
    assert message in str(caught.value)


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "s.toml"
    path.write_text('costs = "zero"\n[[host.run]]\ncommand = "echo"\n')
    return str(path)


def test_a_breakpoint_that_is_never_hit_exits_1(
    scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--break", "e1000_receive_iov", "--hit", "500", "--after", "1500ms", "--packet", "3"]
    assert main(["backtrace", scenario, *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "the run ended without this hit: hit 500, packet 3, from 1500ms on" in err


def test_the_frames_as_json_name_the_file(
    scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--break", "slirp/ip_output.c:ip_output", "--json"]
    assert main(["backtrace", scenario, *words]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["frames"][0] == {"function": "ip_output", "file": "slirp/ip_output.c"}
    assert document["hit"] == 1


def test_of_a_pattern_the_first_that_is_called_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtrace", "hello", "--break", "e1000_rec*", "--after", "5s"]) == 0
    out, err = capsys.readouterr()
    assert "hit Breakpoint 1, e1000_receive_iov at hw/net/e1000.c" in out
    assert "e1000_rec* is 2 functions; the first that is called counts: e1000_receive_iov, " in err


def test_the_packet_of_a_function_of_the_guest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtrace", "hello", "--break", "tcp_v4_rcv", "--after", "5s"]) == 0
    received = capsys.readouterr().out.splitlines()[2]
    assert re.match(r"packet \d+: IP 10\.0\.2\.2\.\d+ > 10\.0\.2\.15\.5556: Flags", received)
    assert main(["backtrace", "hello", "--break", "e1000_xmit_frame", "--after", "5s"]) == 0
    sent = capsys.readouterr().out.splitlines()[2]
    assert sent == "packet: ARP, Request who-has 10.0.2.2 tell 10.0.2.15"


def test_the_list_has_every_function_by_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtrace", "hello", "--break", "list"]) == 0
    out = capsys.readouterr().out
    named = re.findall(r"[\w()]+", " ".join(line for line in out.splitlines() if line[0] == " "))
    assert set(named) == {name for name, _ in known_stages()}
    assert all(len(line) <= 80 for line in out.splitlines())
