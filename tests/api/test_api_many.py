"""Many runs: as they are one by one, whoever makes them; and who dies leaves nobody behind."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import islice, repeat

import needs
import pytest

import desim
from desim.experiment import many, warm
from desim.record import Record


def tiny(text: str = "x", **changes: object) -> desim.Scenario:
    """One line from the host to the guest."""
    return desim.from_qemu(
        "-netdev user,id=u,hostfwd=tcp::5555-:5556 -device e1000,netdev=u",
        guest="nc -lp 5556 > got",
        host=f"echo {text} | nc -N localhost 5555",
        changes={"costs": "zero", **changes},
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_those_of_single_runs_in_their_order(workers: int) -> None:
    scenarios = [tiny("a"), tiny("b", seed=2), desim.load("http"), tiny("c"), desim.load("http")]
    results = list(desim.run_many(scenarios, workers=workers, record="trace", capture=True))
    for scenario, result in zip(scenarios, results, strict=True):
        alone = desim.run(scenario)
        assert result.scenario is scenario
        assert result.fingerprint == alone.fingerprint
        assert result.summary == alone.summary
        assert dict(result.files) == dict(alone.files)
        assert result.report(verbosity=2) == alone.report(verbosity=2)


def test_runs_keep_counters_unless_more_is_asked_for() -> None:
    (result,) = desim.run_many([tiny()], workers=1)
    alone = desim.run(tiny(), record="counters", capture=False)
    assert result.summary == alone.summary
    assert result.summary["frames"]["points"]["slirp"]["to_guest"] > 5
    with pytest.raises(desim.UserError, match="journey: not recorded"):
        _ = result.journey
    with pytest.raises(desim.UserError, match="fingerprint: not recorded"):
        _ = result.fingerprint


def test_each_is_called_where_the_run_was_made_and_only_its_value_comes() -> None:
    here = os.getpid()
    seen = []  # not to be pickled along: a process of its own has its own

    def each(result: desim.Result) -> tuple[bool, bytes]:
        seen.append(result)
        return os.getpid() == here, result.files["guest/got"]

    found = list(desim.run_many([tiny("a"), tiny("b")], each=each, costs="icount"))
    assert found == [(False, b"a\n"), (False, b"b\n")]
    assert not seen


def test_endless_scenarios_are_taken_as_they_are_needed() -> None:
    taken = 0

    def scenarios() -> Iterator[desim.Scenario]:
        nonlocal taken
        for scenario in repeat(tiny()):
            taken += 1
            yield scenario

    results = list(islice(desim.run_many(scenarios(), workers=1), 3))
    assert len(results) == 3
    assert taken <= 3 + many.AHEAD


@needs.fork
def test_a_run_goes_on_from_the_boot_of_an_earlier_one() -> None:
    with desim.Runner(workers=1, each=lambda _: os.getppid()) as runner:
        first, second, third = (runner.run(tiny(text)) for text in "abc")
        assert first == second == third
        assert runner.run(tiny(seed=9)) != first


@needs.fork
def test_a_process_makes_many_runs_and_then_another_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warm, "RUNS", 2)
    with desim.Runner(workers=1, each=lambda run: (os.getpid(), run.files["guest/got"])) as runner:
        made = list(runner.map(map(tiny, "abcde")))
    assert b"".join(got for _, got in made) == b"a\nb\nc\nd\ne\n"
    a, b, c, d, e = (pid for pid, _ in made)
    assert a == b != c == d != e


@needs.fork
def test_a_machine_that_cannot_be_rewound_has_a_process_for_each_run() -> None:
    named = desim.load("names")
    with desim.Runner(workers=1, each=lambda run: (os.getpid(), run.summary)) as runner:
        first, second = runner.map([named, named])
    assert first[1] == second[1]
    assert first[0] != second[0]


@needs.fork
def test_what_the_runs_took_is_counted_as_that_of_children() -> None:
    before = os.times()
    with desim.Runner(workers=1, each=lambda _: sum(os.times()[:2])) as runner:
        taken = [runner.run(tiny()) for _ in range(3)][-1]
    after = os.times()
    assert after[2] + after[3] - before[2] - before[3] >= taken


@needs.fork
def test_few_warm_processes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "WARM", 1)
    with desim.Runner(workers=1, each=lambda result: result.files["guest/got"]) as runner:
        scenarios = [tiny("a"), tiny("b", seed=2), tiny("c"), tiny("d", seed=2)]
        assert list(runner.map(scenarios)) == [b"a\n", b"b\n", b"c\n", b"d\n"]
        assert len(runner._many._warm) == 1


# What goes wrong


def test_an_error_of_each_is_raised_in_its_place_and_says_whose_it_is() -> None:
    def each(result: desim.Result) -> int:
        return 1 // (result.files["guest/got"] != b"b\n")

    with desim.Runner(workers=2, each=each) as runner:
        results = runner.map([tiny("a"), tiny("b"), tiny("c")])
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError) as caught:
            next(results)
        assert "in the run of qemu" in "".join(caught.value.__notes__)
        assert runner.run(tiny("d")) == 1


def test_an_error_of_the_run_is_that_of_a_single_one() -> None:
    with pytest.raises(desim.ProfileError) as alone:
        desim.run(tiny(), costs="gone.toml")
    with (
        desim.Runner(workers=1, costs="gone.toml") as runner,
        pytest.raises(desim.ProfileError) as in_a_child,
    ):
        runner.run(tiny())
    assert in_a_child.value.messages == alone.value.messages


def test_a_value_that_cannot_travel_is_told() -> None:
    with (
        desim.Runner(workers=1, each=lambda _: lambda: None) as runner,
        pytest.raises(desim.UserError, match="must be something that can be pickled"),
    ):
        runner.run(tiny())


def test_an_error_that_cannot_travel_comes_as_text() -> None:
    class HereOnlyError(Exception):
        pass

    def each(_: desim.Result) -> None:
        raise HereOnlyError("so be it")

    with (
        desim.Runner(workers=1, each=each) as runner,
        pytest.raises(desim.WorkerError, match="HereOnlyError: so be it"),
    ):
        runner.run(tiny())


@needs.fork
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_whose_process_is_killed_is_told_and_the_next_one_is_made(
    number: signal.Signals,
) -> None:
    def each(result: desim.Result) -> bytes:
        if result.files["guest/got"] == b"die\n":
            os.kill(os.getpid(), number)
        return result.files["guest/got"]

    with desim.Runner(workers=1, each=each) as runner:
        assert runner.run(tiny("a")) == b"a\n"
        with pytest.raises(
            desim.WorkerError, match=f"run of qemu: .*{signal.Signals(number).name}"
        ):
            runner.run(tiny("die"))
        assert runner.run(tiny("b")) == b"b\n"


@needs.fork
def test_a_run_that_leaves_in_the_middle_is_told() -> None:
    with desim.Runner(workers=1, each=lambda _: os._exit(0)) as runner:
        with pytest.raises(desim.WorkerError) as caught:
            runner.run(tiny())
        assert str(caught.value) == "the run of qemu: its process has ended with status 1"


@needs.fork
def test_a_warm_process_that_has_died_is_replaced() -> None:
    with desim.Runner(workers=1, each=lambda _: os.getppid()) as runner:
        first = runner.run(tiny())
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert runner.run(tiny()) != first


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_workers_are_counted_from_one(workers: object) -> None:
    with pytest.raises(desim.UserError, match=r"workers .*: must be a whole number from 1 on"):
        desim.run_many([], workers=workers)  # type: ignore[call-overload]  # what is tested


def test_a_wrong_record_is_told_at_once() -> None:
    with pytest.raises(desim.UserError, match="record 'counter': must be"):
        desim.run_many([], record="counter")  # type: ignore[call-overload]  # what is tested


# Who dies leaves nobody behind


def no_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@needs.fork
def test_nobody_is_left_when_results_are_taken_or_left() -> None:
    assert no_children()
    assert len(list(desim.run_many([tiny(), tiny()], workers=2))) == 2
    assert no_children()
    results = desim.run_many(repeat(tiny()), workers=2)
    next(results)
    results.close()
    assert no_children()


SCRIPT = """
import os, signal, time
import desim

# A shell without job control puts what it starts in the background with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def each(result):
    os.write(1, b"running\\n")
    time.sleep(10_000)

scenario = desim.from_qemu("-nic user", guest="sleep 1")
list(desim.run_many([scenario] * 2, workers=2, each=each))
"""


@needs.fork
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nobody_is_left_when_the_parent_dies(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"running\n"
        assert parent.stdout.readline() == b"running\n"
        parent.send_signal(number)
        # All of them have this pipe: its end is theirs.
        assert parent.stdout.read() == b""
        assert parent.wait() == -number


# Where a process cannot be forked


def test_beside_another_thread_runs_are_made_here_with_the_same_results() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        scenarios = [tiny("a"), tiny("b"), desim.load("http")]
        here = list(
            desim.run_many(scenarios, each=lambda result: (os.getpid(), result.summary), workers=2)
        )
    finally:
        over.set()
        thread.join()
    there = list(desim.run_many(scenarios, each=lambda result: result.summary, workers=2))
    assert here == [(os.getpid(), summary) for summary in there]


# Values


@pytest.mark.parametrize("record", ["none", "counters", "journeys", "trace"])
def test_a_result_can_be_pickled(record: Record) -> None:
    result = desim.run(tiny(), record=record, capture=record == "trace")
    again = pickle.loads(pickle.dumps(result))
    assert again.scenario == result.scenario
    assert again.summary == result.summary
    assert again.report(verbosity=2) == result.report(verbosity=2)
    with pytest.raises(AttributeError, match="does not change"):
        again.scenario = None


def test_a_scenario_can_be_pickled() -> None:
    scenario = desim.load("http", {"seed": 3})
    again = pickle.loads(pickle.dumps(scenario))
    assert again == scenario
    assert repr(again) == repr(scenario)
    assert again.set({"seed": 4}) == scenario.set({"seed": 4})
