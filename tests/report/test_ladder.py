"""The ladder: each step once, in the order of time, relative numbers, at most sixty rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import config, desim, shipped_run

from desim.experiment.run import run
from desim.report import ladder
from desim.report.ladder import END, PAUSE_NS, ROWS, Fold, Line, Pause, Step, rows, steps, text
from desim.report.page.run import page

NAMES = ["hello", "lossy", "upload", "netboot"]


@pytest.mark.parametrize("name", NAMES)
def test_it_has_sixty_rows_at_most_in_the_order_of_time(name: str) -> None:
    made = steps(shipped_run(name))
    found = rows(made)
    assert 1 < len(found) <= ROWS
    shown = [row for row in found if isinstance(row, Step)]
    assert [step.time for step in shown] == sorted(step.time for step in shown)
    hidden = sum(row.steps for row in found if isinstance(row, Fold))
    assert len(shown) + hidden == len(made)


@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_longer_than_the_terminal(name: str) -> None:
    for width in (64, 80, 120):
        assert max(map(len, text(shipped_run(name), width))) <= width


def test_every_frame_behind_the_first_call_is_there() -> None:
    made = steps(shipped_run("hello"))
    frames = [step for step in made if step.kind == "frame"]
    card = [one for one in shipped_run("hello").packets["nic"] if one.time >= made[0].time]
    assert [step.time for step in frames] == [one.time for one in card]


def test_numbers_are_relative_to_each_directions_first() -> None:
    said = [step.said for step in steps(shipped_run("hello")) if step.kind == "frame"]
    tcp = [words for words in said if words.startswith("[")]
    assert tcp == [
        "[S], seq 0",
        "[S.], seq 0, ack 1",
        "[.], ack 1",
        "[P.], seq 1:18, ack 1",
        "[.], ack 18",
        "[F.], seq 18, ack 1",
        "[F.], seq 1, ack 19",
        "[.], ack 2",
    ]


def test_the_message_goes_down_the_ladder_in_its_order() -> None:
    made = steps(shipped_run("hello"))
    way = ["nc send() 17 bytes", "QEMU recv() 17 bytes", "[P.], seq 1:18, ack 1"]
    way += ["takes frame 18 out of the ring", "read() 17 bytes"]
    places = [next(n for n, step in enumerate(made) if step.said == said) for said in way]
    assert places == sorted(places)


def test_losses_say_where_and_why() -> None:
    lost = [step for step in steps(shipped_run("lossy")) if step.kind == "loss"]
    assert lost
    assert all(" lost at " in step.what for step in lost)


def test_the_same_call_again_and_again_is_one_row() -> None:
    call = Step(0, Line.HOST, Line.SLIRP, "nc send()", "call", 100)
    again = [call._replace(time=n) for n in range(5)]
    (one,) = ladder._together(again)
    assert one.said == "nc send() 5 times, 500 bytes"
    assert (one.time, one.end) == (0, 4)
    assert list(ladder._together(again[:2])) == again[:2]
    other = call._replace(what="nc close()")
    assert list(ladder._together([*again[:2], other, call])) == [*again[:2], other, call]


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=200))
def test_pauses_and_steps_add_up_to_the_time(gaps: list[int]) -> None:
    at, made = 0, []
    for gap in gaps:
        at += gap
        made.append(Step(at, Line.CARD, Line.KERNEL, "x", "pin"))
    found = rows(made)
    assert len(found) <= ROWS
    assert all(row.ns >= PAUSE_NS for row in found if isinstance(row, Pause))
    shown = [row for row in found if isinstance(row, Step)]
    assert (shown[0], shown[-1]) == (made[0], made[-1])
    if any(isinstance(row, Fold) for row in found):
        assert isinstance(found[-END - 1], Fold)


def test_a_run_without_anything_says_so() -> None:
    made = config("hello", until_ns=1000)
    assert list(text(run(made))) == ["ladder      nothing happened behind the boot"]


def test_the_page_has_it_with_the_same_rows() -> None:
    found = page(shipped_run("hello"))
    for step in steps(shipped_run("hello")):
        assert step.said in found


@pytest.mark.slow
def test_the_command_shows_it_below_the_screen() -> None:
    done = desim("run", "hello", "--ladder")
    below = done.stdout.split("\n\n")[-1]
    assert below == "\n".join(text(shipped_run("hello"))) + "\n"
    done = desim("run", "hello", "--ladder", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--ladder: shows something, which --json does not want" in done.stderr
