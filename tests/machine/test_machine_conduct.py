"""When programs start and stop, how a run ends, and that it says which."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from runs import config, shipped_run, tree

from desim.config import MachineConfig, RunCommand
from desim.data import replace
from desim.experiment.run import RunResult, run
from desim.scenario.loader import load_scenario
from desim.wire import pcapng

SECOND = 10**9
HEAD = 'qemu = "-nic user,hostfwd=tcp::5555-:5556"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def scenario(folder: Path, text: str) -> MachineConfig:
    path = folder / "test.toml"
    path.write_text(HEAD + text)
    return load_scenario(str(path))


def program(result: RunResult, command: str) -> dict[str, int]:
    """The line of the summary about a command, the first that begins so."""
    found: dict[str, int] = next(
        p for p in result.summary["programs"] if p["command"].startswith(command)
    )
    return found


# How runs end


@pytest.mark.parametrize("name", ["hello", "hello-close", "upload"])
def test_a_run_is_over_when_all_programs_have_ended(name: str) -> None:
    result = shipped_run(name)
    assert result.ended == "all programs have ended"
    assert all(p["ended_ns"] is not None for p in result.summary["programs"])


def test_a_run_is_over_when_all_wait_and_nothing_else_would_ever_happen(folder: Path) -> None:
    # OpenBSD's nc stays open after its input has ended, and nobody stops it.
    result = run(
        scenario(
            folder,
            """
            guest.run = [{command = "nc -lp 5556 > got"}]
            host.run = [{at = "5s", command = "echo hi | nc localhost 5555"}]
            """,
        )
    )
    assert result.ended == "all programs wait and only periodic timers remain"
    assert 5 * SECOND < result.end_ns < 60 * SECOND
    assert program(result, "echo")["ended_ns"] is None
    assert result.files["guest/got"] == b"hi\n"


def test_a_run_is_not_over_while_a_command_is_still_to_come(folder: Path) -> None:
    result = run(
        scenario(
            folder,
            """
            guest.run = [{command = "nc -lp 5556"}]
            host.run = [{at = "20s", command = "true"}]
            """,
        )
    )
    assert result.end_ns > 20 * SECOND


def test_a_sleeping_program_is_waited_for(folder: Path) -> None:
    result = run(scenario(folder, 'host.run = [{at = "5s", command = "sleep 30"}]'))
    assert result.ended == "all programs have ended"
    assert 35 * SECOND < result.end_ns < 36 * SECOND


def test_a_run_is_over_at_until() -> None:
    result = run(config("hello", until_ns=6 * SECOND))
    assert result.ended == "the time given by until has come"
    assert result.end_ns == 6 * SECOND
    assert program(result, "echo")["ended_ns"] is None
    assert program(result, "nc")["status"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "until_ns", [1, 2_100_000_000, *range(4_000_400_000, 4_016_000_000, 1_111_111)]
)
def test_what_is_left_at_until_is_what_there_was_then(until_ns: int) -> None:
    # A lazy run is ahead of itself by then, a strict one never is.
    lazy = run(config("upload", until_ns=until_ns))
    strict = run(config("upload", until_ns=until_ns, strict=True))
    assert lazy.summary == strict.summary
    assert lazy.captures == strict.captures
    assert b"".join(lazy.trace_text) == b"".join(strict.trace_text)


# When programs start and stop


def test_a_guest_command_starts_when_the_network_is_up() -> None:
    result = shipped_run("hello")
    console = result.transcripts[0].output.decode()
    assert "lease of 10.0.2.15 obtained" in console
    started = program(result, "nc")["started_ns"]
    assert started == program(result, "ifconfig")["started_ns"]
    assert 3 * SECOND < started < 4 * SECOND


def test_a_host_command_starts_at_the_first_whole_second_at_which_all_guests_wait(
    folder: Path,
) -> None:
    result = run(
        scenario(
            folder,
            """
            guest.run = [{command = "sleep 4"}, {command = "nc -lp 5556", stop = "10s"}]
            host.run = [{command = "true"}, {command = "netstat"}]
            """,
        )
    )
    slept_until = program(result, "sleep")["ended_ns"]
    assert slept_until % SECOND
    first_second = (slept_until // SECOND + 1) * SECOND
    assert program(result, "true")["started_ns"] == first_second
    assert program(result, "netstat")["started_ns"] == first_second


def test_a_guest_command_with_a_later_start_is_not_waited_for(folder: Path) -> None:
    result = run(
        scenario(
            folder,
            """
            guest.run = [
                {command = "busybox nc -l -p 5556 < /dev/null > got"},
                {at = "4.5s", command = "sleep 1"},
                {at = "60s", command = "netstat"},
            ]
            host.run = [{command = "echo hi | nc -N localhost 5555"}]
            """,
        )
    )
    assert program(result, "echo")["started_ns"] == 4 * SECOND
    assert program(result, "netstat")["started_ns"] == 60 * SECOND
    assert result.files["guest/got"] == b"hi\n"


def test_a_guest_command_with_a_start_of_its_own_is_waited_for_once_it_runs(folder: Path) -> None:
    result = run(
        scenario(
            folder,
            """
            guest.run = [{at = "3s", command = "sleep 4"}]
            host.run = [{command = "true"}]
            """,
        )
    )
    assert program(result, "true")["started_ns"] == 8 * SECOND


def test_without_guest_commands_the_host_waits_for_the_boot(folder: Path) -> None:
    result = run(scenario(folder, 'host.run = [{command = "true"}]'))
    assert program(result, "true")["started_ns"] == 4 * SECOND


def test_commands_are_told_apart_without_a_look_at_what_is_in_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = config("hello")
    client = given.host[-1]
    given.host.append(replace(client, terminal="host 3"))  # which begins at the same instant

    def compared(*_: object) -> bool:
        raise AssertionError("with a thousand clients that is half a million times")

    monkeypatch.setattr(RunCommand, "__eq__", compared)
    ended = [one for one in run(given).summary["programs"] if one["command"] == client.command]
    assert len(ended) == 2


def test_a_command_with_stop_is_interrupted_then() -> None:
    result = shipped_run("hello")
    stopped = program(result, "echo")
    assert stopped["ended_ns"] == 8_500_000_000
    assert stopped["status"] == 130
    assert result.transcripts[-1].output.endswith(b"^C\n")


# Ctrl-C

INTERRUPTED = """
import os, signal, sys
from desim.cli import main
from desim.e1000.receive import Receiver

signal.signal(signal.SIGINT, signal.default_int_handler)
receive_filter = Receiver.receive_filter
count = 0

def with_ctrl_c(self, raw):
    global count
    count += 1
    if count == 1000:
        os.kill(os.getpid(), signal.SIGINT)
    return receive_filter(self, raw)

Receiver.receive_filter = with_ctrl_c
sys.exit(main(sys.argv[1:]))
"""
"""A user who presses Ctrl-C as the card looks at its thousandth frame.

Ctrl-C is handled as in the foreground, whatever the tests inherited: a shell starts what
it puts in the background with SIGINT ignored.
"""


@pytest.mark.slow
def test_ctrl_c_keeps_what_there_is_and_says_how_far_it_got(tmp_path: Path) -> None:
    size = 10_000_000
    (tmp_path / "FILE").write_bytes(bytes(size))
    out = tmp_path / "out"
    words = ["-nic", "user,model=e1000,hostfwd=tcp::5555-:5556"]
    words += ["--guest", "busybox nc -l -p 5556 < /dev/null > copy", "--out", str(out)]
    words += ["--host", f"nc -N localhost 5555 < {tmp_path}/FILE"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "qemu", *words], capture_output=True, text=True
    )
    assert done.returncode == 130, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["ended"] == "interrupted"
    end_ns = summary["end_ns"]
    assert 4 * SECOND < end_ns < 10 * SECOND
    far = f"{end_ns // SECOND}.{end_ns % SECOND:09d}"
    assert f"desim: interrupted at {far} s of virtual time\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert "interrupted" in done.stdout
    assert "\nmessage " in done.stdout
    files = tree(out)
    assert 0 < len(files["guest/copy"]) < size
    packets = pcapng.read(files["capture-nic.pcapng"])
    assert 1000 <= len(packets) < 3000
    assert max(packet.time_ns for packet in packets) < end_ns
    assert files["trace.jsonl"].endswith(b"\n")
