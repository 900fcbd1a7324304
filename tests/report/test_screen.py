"""The first screen: the answer, in the terminal's width."""

from __future__ import annotations

import pytest
import screens

from desim.experiment.figures import transfers
from desim.report import screen, stations, terminal
from desim.report.text import amount, cut, duration


@pytest.mark.slow
@pytest.mark.parametrize("width", screens.WIDTHS)
@pytest.mark.parametrize("name", screens.NAMES)
def test_the_screen_is_that_which_was_looked_at(name: str, width: int) -> None:
    path = screens.FOLDER / f"{name}-{width}.txt"
    assert screens.screen(name, width) == path.read_text("utf-8"), "nox -s results rewrites it"


@pytest.mark.slow
@pytest.mark.parametrize("width", [50, *screens.WIDTHS, 200])
@pytest.mark.parametrize("name", screens.NAMES)
def test_no_line_is_longer_than_the_terminal(name: str, width: int) -> None:
    shown = screens.screen(name, width).splitlines()
    assert max(map(len, shown)) <= width
    assert len(shown) <= 60


def test_a_short_run_fits_one_screen() -> None:
    assert len(screens.screen("hello", 80).splitlines()) <= 30


def test_red_is_only_for_what_is_wrong() -> None:
    result = screens.result("hello")
    assert not [x for x in terminal.lines(result, result.config, 80, 2) if "red" in x.style]
    result = screens.result("failed")
    red = [line.text for line in screen.lines(result, result.config) if "red" in line.style]
    assert any("exit 22" in text for text in red)
    assert any("NOT written" in text for text in red)
    assert red[-1] == "failed      2 programs"


def test_every_heading_of_the_long_report_has_a_short_name() -> None:
    headings = {stations.HOST, stations.QEMU, stations.GUEST_KERNEL, stations.QEMU_BELOW_GUEST}
    headings |= {stations.GUEST_PROGRAM, stations.HOST_READS, stations.GUEST_WRITES}
    headings |= {*stations.LIES.values()}
    assert set(screen.SHORT) == headings
    assert max(map(len, screen.SHORT.values())) <= 19


@pytest.mark.slow
def test_a_retransmission_is_a_frame_that_was_lost() -> None:
    result = screens.result("loss")
    found = transfers(result.packets, result.config)
    assert len(found) == 20
    assert all(t.size > 65_536 for t in found if t.sender == "guest:80")
    again = sum(t.retransmitted for t in found)
    (lost,) = [e for e in result.summary["frames"]["lost"] if e["code"] == "filter-loss"]
    assert 0 < again <= lost["frames"]


@pytest.mark.slow
def test_a_transfer_is_all_bytes_once() -> None:
    result = screens.result("download")
    request, answer = transfers(result.packets, result.config)
    assert request.sender == answer.receiver
    assert (request.size, request.retransmitted, answer.retransmitted) == (86, 0, 0)
    head = answer.size - 5_242_880
    assert 100 < head < 400
    assert answer.rate == answer.size * 10**9 // answer.duration_ns


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.000 us"),
        (999_999, "999.9 us"),
        (1_948_370, "1.948 ms"),
        (451_312_345, "451.3 ms"),
        (12_050_000_000, "12.05 s"),
        (3_600_000_000_000, "3600 s"),
        (36_000_000_000_000, "36000 s"),
    ],
)
def test_durations_have_four_digits(ns: int, shown: str) -> None:
    assert duration(ns) == shown


@pytest.mark.parametrize(
    ("size", "shown"), [(17, "17 B"), (1_000, "1.000 kB"), (5_242_880, "5.242 MB")]
)
def test_amounts_have_four_digits(size: int, shown: str) -> None:
    assert amount(size) == shown


def test_a_long_line_is_cut_in_its_middle() -> None:
    assert cut("0123456789" * 5, 20) == "01234567890...456789"
    assert cut("short", 20) == "short"
