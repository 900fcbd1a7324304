"""The command line, with the simulation itself replaced by what a test wants to see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from desim.api import running
from desim.api.scenario import Scenario
from desim.cli import main
from desim.cli._screen import printable
from desim.config import MachineConfig
from desim.costs import profile
from desim.experiment import output
from desim.scenario.shipped import shipped_scenarios
from desim.spool import Log

SCENARIO = """
costs = "zero"
[[host.run]]
command = "netstat -natp"
"""


@dataclass
class Result:
    ended: str = "all programs ended"
    failed: bool = False
    end_ns: int = 8_500_000_000
    expectations: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=lambda: {"ended": "all programs ended"})
    written: dict[str, Log] = field(default_factory=lambda: {"guest/hello.txt": Log.of(b"Hello\n")})
    capture_files: dict[str, list[bytes]] = field(default_factory=dict)
    trace_text: list[bytes] = field(default_factory=list)
    captured: bool = True
    traced: bool = True
    show: Callable[..., None] = lambda width, verbosity, colours: print("the report")

    def save(self, folder: Path, *, force: bool) -> None:
        output.write(self, folder, force=force)


class Backtrace:
    def text(self) -> str:
        return "#0  e1000_receive_iov at hw/net/e1000.c"

    def json(self) -> str:
        return "[]"


@dataclass
class Simulation:
    """What the commands ask of the simulation, and what it answers."""

    result: Result = field(default_factory=Result)
    configs: list[MachineConfig] = field(default_factory=list)
    backtraces: list[tuple[list[tuple[str, str]], dict[str, Any]]] = field(default_factory=list)

    def machine(self, scenario: Scenario, config: MachineConfig) -> SimpleNamespace:
        profile.load(config.costs)

        def run(progress: object, *, interrupted: object) -> Result:
            self.configs.append(config)
            return self.result

        return SimpleNamespace(notes=config.notes, run=run)

    def backtrace(self, config: MachineConfig, functions: Any, **more: Any) -> Backtrace:
        self.configs.append(config)
        self.backtraces.append((functions, more))
        return Backtrace()


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Simulation:
    made = Simulation()
    monkeypatch.setattr(running, "Machine", made.machine)
    monkeypatch.setattr(running, "run_to", made.backtrace)
    return made


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "s.toml"
    path.write_text(SCENARIO)
    return str(path)


def desim(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "desim", *words], capture_output=True, text=True, **more
    )


# Exit codes


def test_a_run_shows_its_report(simulation: Simulation, scenario: str, capsys: Any) -> None:
    assert main(["run", scenario]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("the report\n", "")


def test_an_expectation_that_failed_exits_1(
    simulation: Simulation, scenario: str, capsys: Any
) -> None:
    simulation.result.expectations = ["guest/hello.txt: was not written"]
    assert main(["run", scenario]) == 1
    assert "desim: expected otherwise: guest/hello.txt: was not written" in capsys.readouterr().err


def test_an_interrupted_run_keeps_what_there_is(
    simulation: Simulation, scenario: str, tmp_path: Path, capsys: Any
) -> None:
    simulation.result.ended = "interrupted"
    assert main(["run", scenario, "--out", str(tmp_path / "out")]) == 130
    out, err = capsys.readouterr()
    assert out == "the report\n"
    assert "interrupted at 8.500000000 s of virtual time" in err
    assert (tmp_path / "out" / "guest" / "hello.txt").read_bytes() == b"Hello\n"


def test_ctrl_c_elsewhere_has_no_traceback(
    simulation: Simulation, scenario: str, capsys: Any
) -> None:
    def interrupt(width: int, verbosity: int, colours: object) -> None:
        raise KeyboardInterrupt

    simulation.result.show = interrupt
    assert main(["run", scenario]) == 130
    assert capsys.readouterr().err == "desim: interrupted\n"


def test_a_reader_that_left_is_no_error(
    simulation: Simulation, scenario: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def gone(width: int, verbosity: int, colours: object) -> None:
        raise BrokenPipeError

    read, write = os.pipe()
    os.close(read)
    with open(write, "w", closefd=True) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        simulation.result.show = gone
        assert main(["run", scenario]) == 141
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rum"], "desim: rum: no such command; there are run, qemu, "),
        (["rum"], "did you mean 'run'?"),
        (["hello"], "did you mean 'desim run hello'?"),
        (["./my.toml"], "did you mean 'desim run ./my.toml'?"),
        (["-netdev", "user,id=a"], "QEMU's options come after 'desim qemu'"),
        (["help", "rum"], "rum: no such command"),
        (["run"], "desim: run: the following arguments are required: scenario"),
        (["run", "nosuch"], "desim: nosuch: neither a file nor a shipped scenario"),
        (["run", "helo"], "did you mean 'hello'?"),
        (
            ["run", "{s}", "--sed", "1"],
            "desim: run: --sed: no such argument; did you mean '--seed'",
        ),
        (["run", "{s}", "--seed", "x"], "argument --seed: 'x': must be a whole number"),
        (["run", "{s}", "--until", "5"], "did you mean '5s'?"),
        (["run", "{s}", "--costs", "zeroo"], "no such cost profile; there are"),
        (["run", "{s}", "--costs", "./no.toml"], "costs ./no.toml: no such file"),
        (["run", "{s}", "--json", "--quiet"], "not allowed with argument"),
        (["backtrace", "{s}"], "the following arguments are required: --break"),
        (["backtrace", "{s}", "--break", "x", "--hit", "0"], "counted from 1"),
        (["qemu", "-netdev", "tap,id=t"], "the backend 'tap' is not modelled"),
        (["qemu", "--gest", "nc"], "desim: qemu: --gest: no such argument; did you mean '--guest'"),
        (["qemu", "--guest", "nc < nofile"], "--guest 'nc < nofile': < nofile: no such file"),
        (["qemu", "--netdev", "user,id=a"], "-netdev user,id=a: netdev has no peer"),
        (["qemu", "-netdev user,id=a"], "an option and its value are two words: -netdev user"),
        (["qemu", "-netdev=user,id=a"], "an option and its value are two words: -netdev user"),
        (["run", "--helo"], "desim: run: --helo: no such argument; did you mean '--help'?"),
        (["run", "{s}", "--slirp", "3"], "desim: run: --slirp: no such argument\n"),
        (["topology", "{s}", "--costs", "zero"], "topology: --costs: no such argument\n"),
        (["run", "hello.toml"], "no such file; the shipped scenario is called 'hello'"),
        (["run", "/dev/null"], "/dev/null: not a regular file"),
        (["run", "/"], "/: a folder"),
        (["run", ""], "'': neither a file nor a shipped scenario"),
        (["run", "{s}", "--seed", "9223372036854775808"], "must be less than 9223372036854775808"),
        (["run", "{s}", "--costs", "/"], "costs /: not a regular file"),
        (["qemu", "--host", "nc localhost 1 < n\udcff"], "its name is not UTF-8"),
        (["qemu", "--guest"], "argument --guest: expected one argument"),
    ],
)
def test_the_users_mistakes_exit_2_with_one_line_each(
    simulation: Simulation, scenario: str, words: list[str], message: str, capsys: Any
) -> None:
    assert main([word.replace("{s}", scenario) for word in words]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""
    assert all(line.startswith("desim: ") for line in err.splitlines())
    assert simulation.configs == []


def test_a_bad_scenario_exits_2_with_all_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('seeed = 1\nuntil = 5\n[[host.run]]\nat = "x"\n')
    done = desim("run", str(path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 4
    assert "Traceback" not in done.stderr


def test_what_has_no_effect_is_a_note(simulation: Simulation, capsys: Any) -> None:
    assert main(["qemu", "-nic", "none", "--semantics", "datasheet", "--quiet"]) == 0
    assert capsys.readouterr().err == (
        "desim: --semantics 'datasheet': no effect, the machine has no card\n"
    )


def test_mistakes_of_all_arguments_are_told_at_once(simulation: Simulation, capsys: Any) -> None:
    words = ["--guest", "nc < nofile", "--modprobe", "e1000 debug=on", "--set", "gest.ipv6=false"]
    assert main(["qemu", "-netdev", "tap,id=t", *words, "--set", "seed=x"]) == 2
    told = [line.partition(": ")[2].split(": ")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == [
        "-netdev tap,id=t",
        "--guest 'nc < nofile'",
        "--set gest.ipv6",
        "--set seed 'x'",
        "--modprobe 'e1000 debug=on'",
    ]


# What reaches the simulation


@pytest.mark.parametrize("command", ["run", "backtrace"])
def test_set_changes_keys_of_the_scenario(
    simulation: Simulation, scenario: str, command: str, capsys: Any
) -> None:
    words = ["--break", "ip_input"] if command == "backtrace" else ["--quiet"]
    words += ["--set", "seed=7", "--set", "guest.modprobe=e1000 InterruptThrottleRate=500"]
    words += ["--set", "guest.ipv6=false", "--set", 'host.run[0].command="netstat -na"']
    words += ["--set", "until=2min", "--set", "slirp=4.7"]
    assert main([command, scenario, *words]) == 0
    (config,) = simulation.configs
    assert (config.seed, config.until_ns, config.guest_ipv6) == (7, 120 * 10**9, False)
    assert config.modprobe == "e1000 InterruptThrottleRate=500"
    assert [run.command for run in config.host] == ["netstat -na"]


def test_set_shows_another_wiring_too(scenario: str, capsys: Any) -> None:
    assert main(["topology", scenario, "--set", "qemu=-nic user"]) == 0
    assert "hub" not in capsys.readouterr().out


def test_arguments_overrule_the_scenario(simulation: Simulation, scenario: str) -> None:
    words = ["--seed", "9", "--until", "2.5s", "--strict", "--costs", "zero", "--quiet"]
    assert main(["run", scenario, *words]) == 0
    (config,) = simulation.configs
    assert (config.seed, config.until_ns, config.strict) == (9, 2_500_000_000, True)
    assert config.costs == "zero"


def test_without_arguments_the_scenario_holds(simulation: Simulation, scenario: str) -> None:
    assert main(["run", scenario, "--quiet"]) == 0
    (config,) = simulation.configs
    assert (config.seed, config.until_ns, config.strict) == (1, 3600 * 10**9, False)


def test_json_prints_the_summary_alone(simulation: Simulation, scenario: str, capsys: Any) -> None:
    assert main(["run", scenario, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == simulation.result.summary


def test_quiet_prints_nothing(simulation: Simulation, scenario: str, capsys: Any) -> None:
    assert main(["run", scenario, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_out_is_checked_before_the_run(
    simulation: Simulation, scenario: str, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    assert main(["run", scenario, "--out", str(tmp_path / "out")]) == 2
    assert simulation.configs == []
    assert "not desim's" in capsys.readouterr().err


def test_without_out_nothing_is_written(
    simulation: Simulation, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    assert main(["run", scenario]) == 0
    assert list((tmp_path / "cwd").iterdir()) == []


def test_qemu_words_and_ours_may_be_mixed(
    simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_bytes(b"\0\xff")
    words = ["--guest", "nc -lvp 5556 > hello.txt", "-append", "--quiet", "-m", "256"]
    words += ["-netdev", "user,id=user.0,hostfwd=tcp::5555-:5556", "--seed=3"]
    words += ["-device", "e1000,netdev=user.0", "--host", "nc -N localhost 5555 < FILE"]
    assert main(["qemu", *words]) == 0
    (config,) = simulation.configs
    assert [run.command for run in config.guest] == ["nc -lvp 5556 > hello.txt"]
    assert [run.command for run in config.host] == ["nc -N localhost 5555 < FILE"]
    assert config.host_files["FILE"].data == b"\0\xff"
    assert config.seed == 3
    assert not config.hub
    assert "ignored: -append, -m" in capsys.readouterr().err


def test_qemu_on_the_command_line_may_read_any_file(
    simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    (tmp_path / "data").write_bytes(b"x")
    monkeypatch.chdir(tmp_path / "cwd")
    assert main(["qemu", "--host", f"nc localhost 1 < {tmp_path}/data", "--quiet"]) == 0
    assert main(["qemu", "--host", "nc localhost 1 < ../data", "--quiet"]) == 0


def test_backtrace_passes_on_what_to_stop_at(
    simulation: Simulation, scenario: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    words = ["--break", "e1000_receive_iov", "--hit", "2", "--packet", "7", "--after", "5s"]
    assert main(["backtrace", scenario, *words, "--calls"]) == 0
    ((function, more),) = simulation.backtraces
    assert function == [("e1000_receive_iov", "hw/net/e1000.c")]
    assert more == {"hit": 2, "packet": 7, "after_ns": 5_000_000_000, "calls": True}
    assert capsys.readouterr().out.startswith("#0  e1000_receive_iov")


def test_an_unknown_function_is_answered_with_the_nearest(
    simulation: Simulation, scenario: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert main(["backtrace", scenario, "--break", "e1000_recieve_iov"]) == 2
    assert "the nearest are e1000_receive_iov" in capsys.readouterr().err


# What is printed


def test_help_names_every_command() -> None:
    done = desim("--help")
    assert done.returncode == 0
    for name in ("run", "qemu", "backtrace", "topology", "scenarios", "costs"):
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", ["run", "qemu", "backtrace", "topology", "scenarios", "costs"])
def test_every_command_has_its_own_help(name: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"desim {name}" in capsys.readouterr().out


def test_help_and_a_command_is_the_commands_help(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["help", "backtrace"])
    assert "usage: desim backtrace" in capsys.readouterr().out


def test_scenarios_lists_all_that_are_shipped(capsys: Any) -> None:
    assert main(["scenarios"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(shipped_scenarios())
    assert "hello" in listed


def test_costs_lists_the_profiles(capsys: Any) -> None:
    assert main(["costs"]) == 0
    assert "zero" in [line.split()[0] for line in capsys.readouterr().out.splitlines()]


def test_version(capsys: Any) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("desim 0.")


def test_control_characters_are_never_obeyed(capsys: Any) -> None:
    assert main(["\x1b]0;owned\x07"]) == 2
    assert "\x1b" not in capsys.readouterr().err
    assert printable("a\x1b[31m\u202eb\udcff\n") == "a\\x1b[31m\\u202eb\\udcff\n"


def test_output_to_a_closed_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb", closefd=True) as gone:
        done = subprocess.run(
            [sys.executable, "-m", "desim", "scenarios"], stdout=gone, stderr=subprocess.PIPE
        )
    assert done.stderr == b""


def test_a_run_that_hit_a_limit_exits_with_1_and_says_so(simulation, capsys) -> None:
    simulation.result.ended = "stopped: more than 300 events by 5 ns"
    simulation.result.failed = True
    assert main(["run", "hello"]) == 1
    assert "stopped: more than 300 events by 5 ns; the results are those up to" in (
        capsys.readouterr().err
    )


def test_run_takes_the_drivers_line_as_qemu_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "hello", "--modprobe", "e1000 RxDescriptors=128", "-v"]) == 0
    assert "guest$ insmod e1000 RxDescriptors=128;" in capsys.readouterr().out
    assert main(["run", "hello", "--modprobe", "e1000 debug=on"]) == 2
    assert "--modprobe 'e1000 debug=on': e1000: `on' invalid" in capsys.readouterr().err
