"""``desim diff``: where two runs part, why, and what comes of it."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from runs import config, shipped_run

from desim.cli import main
from desim.compare.causes import Causes
from desim.compare.report import _stations, changed, lines, same
from desim.events import FrameTaken
from desim.experiment import output
from desim.experiment.journey.statistics import statistics
from desim.experiment.run import RunResult, run
from desim.scenario.command_line import machine_from_options

SLOW = "e1000 InterruptThrottleRate=500"


@cache
def throttled() -> RunResult:
    return run(config("hello", modprobe=SLOW))


def shown() -> list[str]:
    return list(lines(shipped_run("hello"), throttled()))


def test_a_run_is_the_same_as_itself() -> None:
    hello = shipped_run("hello")
    assert same(hello, hello)
    assert list(lines(hello, hello))[-1] == "the same: every time, every function, every byte"


def test_runs_part_where_the_register_first_counts() -> None:
    text = "\n".join(shown())
    assert "they part at 0.333242680 s on vcpu; up to there all is the same" in text
    assert "  A  mitigation: by floor, until 0.333370680 s" in text
    assert "  B  mitigation: by ITR, until 0.335242552 s" in text
    assert "what led there, in both" in text
    assert "in set_interrupt_cause < set_ics <" in text
    assert all(len(line) <= 80 for line in shown())


def test_the_change_of_a_message_is_that_of_its_stations() -> None:
    text = shown()
    at = next(n for n, line in enumerate(text) if line.startswith("  message.time"))
    assert text[at].split() == ["message.time", "1.948", "ms", "->", "3.631", "ms", "+1.683", "ms"]
    assert text[at + 1].strip() == "+1.738 ms in the host's socket buffer: handshake"
    held = next(n for n, line in enumerate(text) if line.startswith("  irq_held "))
    assert text[held + 1].strip() == "by ITR: never -> 3 times, 4.503 ms"


PING = "ltool ping 10.0.2.2 5 300 56 1"


def pings(rate: int) -> RunResult:
    guest = [PING]
    return run(
        machine_from_options(
            ["-nic", "user,model=e1000"],
            guest=guest,
            host=[],
            folder=Path(),
            modprobe=f"e1000 InterruptThrottleRate={rate}",
        )
    )


def test_the_change_of_all_messages_is_that_of_their_stations() -> None:
    both = pings(8000), pings(500)
    (before,), (after,) = (statistics(one.journeys) for one in both)
    assert before.mean_ns is not None
    assert after.mean_ns is not None
    changes = _stations((before.arrived, before.rows), (after.arrived, after.rows))
    assert sum(ns for _, ns in changes) == after.mean_ns - before.mean_ns > 0
    text = list(lines(*both))
    at = text.index("  ping round trip: 5 messages")
    assert text[at + 1].startswith("    p50 ")
    assert any("in the card's receive ring: interrupt mitigation" in line for line in text[at:])


def test_figures_are_in_the_order_of_their_change() -> None:
    changes = list(changed(shipped_run("hello").summary, throttled().summary))
    sizes = [change.size for change in changes]
    assert sizes == sorted(sizes, reverse=True)
    assert {"message.time", "irq_held", "boot"} < {change.name for change in changes}
    assert "transfers" not in {change.name for change in changes}


def chain_of(frame: int) -> list[str]:
    """What led to the driver's taking a frame out of the ring."""
    hello = shipped_run("hello")
    taken = next(one for one in hello.trace.happened(FrameTaken) if one.event.frame == frame)
    chain = Causes(hello).chain(taken.record.name, taken.time, taken.position)
    assert all(later.time >= earlier.time for later, earlier in pairwise(chain))
    return [f"{cause.thread}: {cause.what}" for cause in chain]


def test_an_interrupt_is_traced_to_the_packet_and_to_who_sent_it() -> None:
    said = chain_of(20)
    assert said[0].startswith("vcpu: in e1000_clean_rx_irq < e1000_clean < __napi_poll <")
    assert said[1:] == [
        "main: the interrupt line rises, in set_interrupt_cause",
        "main: packet 20: IP 10.0.2.2.39866 > 10.0.2.15.5556: Flags [F.], seq 512019, "
        "ack 3920094224, win 65535, length 0",
        "nc[29702]: closes its side of a connection",
    ]


def test_a_window_of_mitigation_is_a_cause() -> None:
    assert chain_of(10)[2] == "vcpu: a window of interrupt mitigation that floor decides begins"


def test_commands_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output.write(shipped_run("hello"), tmp_path / "out")
    out = str(tmp_path / "out")
    assert main(["diff", out, out]) == 0
    assert "the same" in capsys.readouterr().out
    output.write(throttled(), tmp_path / "other")
    assert main(["diff", out, str(tmp_path / "other")]) == 1
    text = capsys.readouterr().out
    assert text.splitlines()[2:] == shown()[2:]
    hello = tmp_path / "out" / "guest" / "hello.txt"
    hello.write_bytes(b"Hello qemu Guest\n")
    assert main(["diff", out, "hello"]) == 1
    text = capsys.readouterr().out
    assert "they part in nothing that was recorded of their threads; frames or files differ" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hello"], "names one run and changes nothing of it"),
        (["hello", "nothing"], "nothing"),
        (["hello", "hello", "--set", "seeed=3"], "seeed"),
    ],
)
def test_what_cannot_be_compared(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", *words]) == 2
    assert said in capsys.readouterr().err
