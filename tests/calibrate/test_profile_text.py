"""What calibration writes is what ``--costs`` reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.calibrate.calibrate import guest_stages
from desim.calibrate.fit import Fitted
from desim.calibrate.observe import EVENT_FILE
from desim.calibrate.profile_text import is_profile, profile_text, uniform
from desim.costs.profile import Cost, parse
from desim.stages import GUEST, Known

FILE = "fake/written.c"
KNOWN = {("written", FILE): Known(GUEST, sized=True)}


def text(*figures: Fitted) -> str:
    return profile_text(figures, description='a "test"', comment="made\n\nhere", status="measured")


def figure(field: str, value: float, observations: int = 3) -> Fitted:
    return Fitted((FILE, "written", field), value, observations, 0.0123)


@given(enter=st.integers(1, 10**9), per_1000_bytes=st.integers(1, 10**9))
def test_figures_come_back(enter: int, per_1000_bytes: int) -> None:
    profile = parse(
        "p",
        text(figure("enter", enter), figure("per_1000_bytes", per_1000_bytes)),
        "p.toml",
        KNOWN,
    )
    assert profile.costs == {(FILE, "written"): Cost(enter, per_1000_bytes)}
    assert (profile.description, profile.status) == ('a "test"', "measured")
    assert profile.unit == "instructions"


def test_each_figure_says_how_well_it_is_known() -> None:
    found = text(figure("enter", 99.6, 3), figure("per_1000_bytes", 7, 12))
    assert (
        'written = { enter = 100, per_1000_bytes = 7, source = "fitted to 12 observations, '
        'residual 1.2%" }'
    ) in found.splitlines()
    assert found.startswith("# made\n#\n# here\n")


def test_what_comes_to_nothing_and_what_a_trace_takes_is_left_out() -> None:
    event = Fitted((EVENT_FILE, "event", "enter"), 560.0, 100, 0.0)
    assert parse("p", text(figure("enter", 0.4), event), "p.toml", KNOWN).is_free


def test_the_order_of_figures_does_not_matter() -> None:
    other = Fitted(("fake/another.c", "other", "enter"), 5.0, 1, 0.0)
    assert text(figure("enter", 1), other) == text(other, figure("enter", 1))


def test_the_profile_to_begin_with_has_every_stage_of_the_guest_and_none_of_qemu() -> None:
    profile = parse("p", uniform(guest_stages(), 300), "p.toml")
    assert profile.cost("net/ipv4/tcp_output.c", "tcp_write_xmit") == Cost(300)
    assert profile.cost("slirp/tcp_output.c", "tcp_output") == Cost()


@pytest.mark.parametrize(
    "other",
    [
        "",
        "not toml",
        "[project]\nname = 'desim'",
        "status = 'fine'",
        "status = 'measured'\nnumbers = [1]",
        "status = 'measured'\n['a.c']\nb = 3",
        "status = 'measured'\n['a.c']\nb = { enter = 3 }",
    ],
)
def test_another_file_is_no_profile(other: str) -> None:
    assert not is_profile(other)


def test_a_profile_is_one_whatever_its_stages_are_called() -> None:
    assert is_profile(text(figure("enter", 5)))
    assert is_profile("status = 'assumed'\n['gone.c']\nold = { enter = 1, source = 'x' }\n")
