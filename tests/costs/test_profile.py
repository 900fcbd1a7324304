"""A cost profile says where each figure comes from, and mistakes are named together."""

from pathlib import Path

import pytest

from desim.costs.profile import (
    FOLDER,
    Cost,
    load,
    parse,
    shipped,
)
from desim.errors import ProfileError
from desim.stages import GUEST, Known

KNOWN = {
    ("fake_output", "fake/output.c"): Known(GUEST, sized=True),
    ("fake_input", "fake/output.c"): Known(GUEST, sized=False),
}

GOOD = """
description = "test"
status = "assumed"
["fake/output.c"]
fake_output = { enter = 400, per_1000_bytes = 12, leave = 5, source = "measured on a Tuesday" }
"""


def test_a_profile_gives_the_cost_of_a_stage():
    profile = parse("p", GOOD, "p.toml", KNOWN)
    assert profile.cost("fake/output.c", "fake_output") == Cost(400, 12, 5)
    assert profile.cost("fake/output.c", "another") == Cost()


def test_instructions_last_as_long_as_icount_says():
    profile = parse("p", 'unit = "instructions"' + GOOD, "p.toml", KNOWN)
    assert profile.in_ns(0).cost("fake/output.c", "fake_output") == Cost(400, 12, 5)
    assert profile.in_ns(3).cost("fake/output.c", "fake_output") == Cost(3200, 96, 40)
    assert profile.in_ns(3).in_ns(3).cost("fake/output.c", "fake_output") == Cost(3200, 96, 40)


def test_nanoseconds_are_not_instructions():
    profile = parse("p", GOOD, "p.toml", KNOWN)
    assert profile.in_ns(3) is profile


def test_a_cost_per_byte_of_what_has_no_bytes_is_a_mistake():
    text = '["fake/output.c"]\nfake_input = { per_1000_bytes = 1, source = "x" }'
    with pytest.raises(ProfileError, match="fake_input: per_1000_bytes: this stage has no bytes"):
        parse("p", text, "p.toml", KNOWN)


def test_zero_is_free():
    assert load("zero").is_free


def test_all_mistakes_are_named_at_once():
    text = """
status = "guessed"
unit = "ms"
["fake/output.c"]
fake_outptu = { enter = 1, source = "x" }
fake_output = { enter = 0.5, laeve = 3 }
["fake/outputs.c"]
fake_output = { enter = 1, source = "x" }
"""
    with pytest.raises(ProfileError) as caught:
        parse("p", text, "p.toml", KNOWN)
    message = str(caught.value)
    assert "status: 'guessed'" in message
    assert "unit: 'ms' is neither" in message
    assert "did you mean 'fake_output'?" in message
    assert "enter: 0.5 is not a whole number" in message
    assert "source: missing" in message
    assert "laeve: unknown; did you mean 'leave'?" in message
    assert "did you mean 'fake/output.c'?" in message


def test_an_unknown_profile_is_answered_with_the_nearest():
    with pytest.raises(ProfileError, match="did you mean 'zero'"):
        load("zeor")


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(ProfileError, match=r"none\.toml: no such file"):
        load(str(tmp_path / "none.toml"))
    with pytest.raises(ProfileError, match="not a regular file"):
        load(f"{tmp_path}/")


def test_shipped_profiles_are_listed():
    assert "zero" in shipped()


@pytest.mark.parametrize("name", shipped())
def test_every_stage_of_a_shipped_profile_is_one_of_a_model(name):
    """A run takes it on trust, because looking stages up loads all models."""
    text = Path(FOLDER, f"{name}.toml").read_text(encoding="utf-8")
    assert vars(parse(name, text, name)) == vars(load(name))
