"""``desim trace``: what it prints and writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import shipped_run

from desim.cli import main
from desim.experiment import output


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("trace") / "out"
    output.write(shipped_run("hello"), folder)
    return str(folder)


def test_the_life_of_a_packet_that_carries_a_line(
    out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", out, "--packet", "18"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    text = " ".join(" ".join(lines).split())
    story = [
        "71 bytes to the guest; arrived",
        "carries bytes 0 to 16 from the client of connection 1",
        "nc[29702] the program sends its last byte to the host's kernel",
        "main QEMU takes its last byte, in recv",
        "main leaves slirp, in slirp_output (slirp.c)",
        "main the card writes it into the guest's memory, in e1000_receive_iov (e1000.c)",
        "main arrives at nic",
        "the interrupt line rises: the driver lets interrupts through again (NAPI)",
        "the guest's processor takes an interrupt of the card",
        "vcpu the driver takes it out of the ring, in e1000_clean_rx_irq (e1000_main.c)",
        "vcpu the guest's program has its last byte",
    ]
    places = [text.find(part) for part in story]
    assert -1 not in places, story[places.index(-1)]
    assert places == sorted(places)


def test_why_a_packet_waited_and_why_one_was_lost(
    out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", out, "--packet", "4"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "cannot go on at e1000.0" in text
    assert "waits: hold-off: no frame for 1 s after RCTL is written" in text
    assert main(["trace", out, "--packet", "1"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "90 bytes from the guest; lost at slirp: IPv6 hop-by-hop header" in text


def test_a_line_for_each_packet(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", out, "--packets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [int(line[:6]) for line in lines[1:]] == list(range(1, 23))
    assert "< lost at slirp (ip6-hop-by-hop): IP6" in lines[1]
    assert all(len(line) <= 80 for line in lines)


def test_folder_and_scenario_say_the_same(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for run in (out, "hello"):
        assert main(["trace", run, "--folded"]) == 0
        said.append(capsys.readouterr().out)
        assert main(["trace", run, "--perfetto", str(tmp_path / "a.pftrace")]) == 0
        assert capsys.readouterr().out.endswith(" bytes; ui.perfetto.dev opens it\n")
        said.append((tmp_path / "a.pftrace").read_bytes())
    assert said[:2] == said[2:]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{out}"], "one of the arguments --perfetto --folded --packets --packet is required"),
        (["{out}", "--packet", "23"], "no such packet in this run; there are packets 1 to 22"),
        (["{out}", "--packet", "0"], "counted from 1"),
        (["{out}", "--seed", "2", "--folded"], "only a scenario can be changed"),
        (["{out}", "--perfetto", "{out}/no/x"], "there is no folder"),
        (["{out}", "--perfetto", "{out}"], "is a folder"),
        (["{out}", "--perfetto", "/dev/null"], "is no file"),
        (["{out}/guest", "--folded"], "guest: a folder"),
        (["{out}", "--perfetto", "/"], "names no file"),
        (["nothing", "--folded"], "nothing"),
    ],
)
def test_what_cannot_be_done(
    out: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", *(word.replace("{out}", out) for word in words)]) == 2
    assert said in capsys.readouterr().err
