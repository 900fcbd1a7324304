"""A run that goes on from a booted machine is the run from power-on, to the last mark."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import SHIPPED, config

from desim.config import Boot, InputFile, MachineConfig, RunCommand
from desim.experiment.run import RunResult
from desim.filters import Chosen, LossFilter
from desim.machine import Machine
from desim.machine.booted import Booted, begin_key, halt_ns, machine_key
from desim.scenario.command_line import machine_from_options

SECOND = 10**9
EXAMPLES = 12 if settings.default is not None and settings.default.derandomize else 300
FORWARDED = ["-netdev", "user,id=u,hostfwd=tcp::5555-:5556", "-device", "e1000,netdev=u"]


def left(made: MachineConfig, machine: Machine) -> tuple[object, ...]:
    """What a run leaves, and how many steps of the engine it took (``run.limits.events``)."""
    machine.run()
    result = RunResult(made, machine)
    return result.fingerprint, result.summary, dict(result.files), machine.env.steps


def booted(made: MachineConfig) -> Booted:
    """What a second run of ``made`` could go on from."""
    first = Booted(made, None)
    return first if first.serves(made) else Booted(made, first.up_ns)


def hold(made: MachineConfig) -> None:
    """Hold a configuration to the law: from its boot, and there again if there is a way back."""
    from_boot = booted(made)
    assert from_boot.serves(made)
    alone = left(made, Machine(made))
    again = from_boot.remember()
    assert left(made, from_boot.go_on(made)) == alone
    if again and from_boot.rewind():
        assert left(made, from_boot.go_on(made)) == alone


@pytest.mark.parametrize("name", [name for name in SHIPPED if not config(name).others])
def test_shipped_scenarios_go_on_from_their_boot(name: str) -> None:
    hold(config(name))


def test_several_machines_whose_commands_start_with_them_boot_for_each_run_anew() -> None:
    made = config("two-guests")
    assert not Booted(made, None).serves(made)


def timed(name: str, at_ns: int, **changes: Any) -> MachineConfig:
    """A shipped scenario whose commands start by the clock, 100 ms from each other."""
    made = config(name, **changes)
    for number, command in enumerate(made.commands):
        command.at_ns = at_ns + number * SECOND // 10
    return made


def test_several_machines_have_one_boot_if_all_commands_have_a_time() -> None:
    made = timed("two-guests", 6 * SECOND)
    boot = Booted(made, None)
    assert boot.up_ns is not None
    assert not boot.serves(config("two-guests"))
    assert left(made, boot.go_on(made)) == left(made, Machine(made))
    assert not boot.rewind()


@pytest.mark.parametrize("modprobe", ["e1000", "e1000_plain", "e1000_polling"])
def test_where_all_commands_have_a_time_the_boot_goes_on_to_the_next_whole_second(
    modprobe: str,
) -> None:
    made = timed("hello-close", 4 * SECOND, modprobe=modprobe)
    boot = Booted(made, None)
    assert boot.up_ns is not None
    assert boot.halted_ns == (boot.up_ns // SECOND + 1) * SECOND
    assert boot.remember()
    alone = left(made, Machine(made))
    for _ in range(3):
        assert left(made, boot.go_on(made)) == alone
        if not boot.rewind():
            assert modprobe == "e1000_polling"  # it is at work at each whole second
            boot = Booted(made, None)
    assert not boot.serves(timed("hello-close", boot.halted_ns - 1, modprobe=modprobe))
    assert not boot.serves(config("hello-close", modprobe=modprobe))


def test_a_run_that_is_over_before_the_next_whole_second_has_a_boot_that_ends_where_it_is_up() -> (
    None
):
    made = timed("hello-close", 4 * SECOND)
    boot = Booted(made, None)
    assert boot.up_ns is not None
    for changed in (
        timed("hello-close", 4 * SECOND, until_ns=4 * SECOND),
        timed("hello-close", boot.up_ns + 1),
        config("hello-close", guest=[], host=[]),
    ):
        assert not boot.serves(changed)
        assert halt_ns(changed, boot.up_ns) == boot.up_ns


@pytest.mark.parametrize(
    "changes",
    [
        {"costs": "zero"},
        {"costs": "icount", "seed": 4},
        {"strict": True},
        {"modprobe": "e1000_polling"},
        {"guest_ipv6": False, "boot": Boot(insmod_ns=SECOND, up_ns=2 * SECOND, seeded=True)},
        {"until_ns": 5_500_000_000},
        {
            "filters": [
                LossFilter(id="f", netdev="nic_port", chosen=Chosen(probability=Fraction(1, 4)))
            ]
        },
    ],
    ids=str,
)
def test_it_does_with_other_settings(changes: dict[str, Any]) -> None:
    hold(config("hello-close", **changes))


def test_one_boot_serves_other_commands_and_files() -> None:
    first = config("upload")
    second = config("upload", description="another one", until_ns=50 * SECOND)
    name = next(iter(second.host_files))
    second.host_files[name] = InputFile(name=name, data=b"other")
    second.expect.guest_files.clear()
    assert machine_key(first) == machine_key(second)
    assert left(second, Booted(first, None).go_on(second)) == left(second, Machine(second))


def test_a_machine_is_rewound_after_any_run_and_serves_any_other() -> None:
    runs = [config("hello-close"), config("hello"), config("refused"), config("hello-close")]
    boot = Booted(runs[0], None)
    assert {machine_key(made) for made in runs} == {machine_key(runs[0])}
    assert boot.remember()
    for made in runs:
        assert left(made, boot.go_on(made)) == left(made, Machine(made))
        assert boot.rewind()


def test_there_is_no_way_back_from_a_temporary_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desim.spool.BLOCK", 1 << 12)
    made = config("hello")
    boot = Booted(made, None)
    assert boot.remember()
    boot.machine.spool.room = 0
    left(made, boot.go_on(made))
    assert boot.machine.spool.in_file
    assert not boot.rewind()


@pytest.mark.parametrize("name", ["names", "http"], ids=["a name server", "an early command"])
def test_a_machine_where_somebody_else_sleeps_cannot_be_rewound(name: str) -> None:
    boot = booted(config(name))
    assert not boot.remember()
    boot.go_on(config(name)).close()
    assert not boot.rewind()


def test_a_boot_is_another_with_another_seed_option_or_early_command() -> None:
    plain = config("http")
    up_ns = Booted(plain, None).up_ns
    later = config("http")
    later.host[0].at_ns = 10 * SECOND
    keys = {
        machine_key(made) + begin_key(made, up_ns, up_ns)
        for made in (plain, later, config("http", seed=2), config("http", hub=not plain.hub))
    }
    assert len(keys) == 4


def test_a_boot_serves_no_run_that_is_over_or_has_begun_before() -> None:
    made = config("hello")
    boot = Booted(made, None)
    assert boot.up_ns is not None
    assert boot.serves(made)
    assert not boot.serves(config("hello", until_ns=boot.up_ns))
    early = config("hello")
    early.host[0].at_ns = boot.up_ns
    assert not boot.serves(early)
    assert Booted(early, boot.up_ns).serves(early)


def test_a_guest_that_does_not_boot_in_time_serves_nobody() -> None:
    made = config("hello", until_ns=SECOND)
    boot = Booted(made, None)
    assert boot.up_ns is None
    assert not boot.serves(config("hello"))


# Made-up runs

INSTANTS = st.one_of(
    st.none(),
    st.sampled_from([0, SECOND, 3 * SECOND, 3_370_945_100, 4 * SECOND, 4 * SECOND + 1]),
    st.integers(0, 6 * SECOND),
)
STOPS = st.one_of(
    st.none(),
    st.sampled_from([(0, True), (100_000_000, True), (4 * SECOND, False), (5 * SECOND, False)]),
)
LINES = {
    "guest": ["nc -lp 5556 > got", "ping -c 2 10.0.2.2", "ifconfig eth0", "sleep 1", "echo x > f"],
    "host": [
        "echo hello | nc -N localhost 5555", "nc localhost 5555 < /dev/null", "netstat -natp",
        "httpd -f -p 8080", "sleep 2", "echo y > g",
    ],
}  # fmt: skip


def commands(side: Any) -> st.SearchStrategy[list[RunCommand]]:
    """Command lines of a side, whenever they start and stop."""

    def made(drawn: list[tuple[str, int | None, tuple[int, bool] | None]]) -> list[RunCommand]:
        return [
            RunCommand(
                side=side,
                command=line,
                terminal=f"{side} {number}",
                at_ns=at,
                stop_ns=None if stop is None else stop[0],
                stop_relative=stop is not None and stop[1],
            )
            for number, (line, at, stop) in enumerate(drawn)
        ]

    one = st.tuples(st.sampled_from(LINES[side]), INSTANTS, STOPS)
    return st.lists(one, max_size=4).map(made)


@settings(max_examples=EXAMPLES)
@given(commands("guest"), commands("host"), st.integers(1, 3), st.sampled_from(["zero", "icount"]))
def test_made_up_runs_go_on_from_their_boot(
    guest: list[RunCommand], host: list[RunCommand], seed: int, costs: str
) -> None:
    made = machine_from_options(FORWARDED, guest=[], host=[], folder=Path())
    made.guest, made.host, made.seed, made.costs = guest, host, seed, costs
    made.until_ns = 20 * SECOND
    hold(made)
