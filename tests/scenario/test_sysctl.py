"""``guest.sysctl``: settings of the guest's TCP in a scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.errors import UserError
from desim.scenario.loader import load_scenario

SCENARIO = """
description = "x"
qemu = "-netdev user,id=u -device e1000,netdev=u"
[guest]
sysctl = [{lines}]
[[guest.run]]
command = "ifconfig"
"""


def loaded(tmp_path: Path, *lines: str) -> tuple[str, ...]:
    path = tmp_path / "s.toml"
    path.write_text(SCENARIO.format(lines=", ".join(f'"{line}"' for line in lines)))
    return load_scenario(str(path)).sysctl


def test_settings_reach_the_configuration(tmp_path: Path) -> None:
    lines = ("net.ipv4.tcp_slow_start_after_idle=0", "net.ipv4.tcp_rmem=4096 540000 15728640")
    assert loaded(tmp_path, *lines) == lines
    assert loaded(tmp_path) == ()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("net.ipv4.tcp_ecn=1", "the modelled guest does not obey it"),
        ("net.ipv4.tcp_rmen=1 2 3", "did you mean 'net.ipv4.tcp_rmem'?"),
        ("net.ipv4.tcp_rmem=1", "expected three numbers from 1 to 2147483647"),
    ],
)
def test_a_setting_that_is_not_obeyed_is_a_mistake_at_its_place(
    tmp_path: Path, line: str, told: str
) -> None:
    with pytest.raises(UserError) as caught:
        loaded(tmp_path, line)
    (message,) = caught.value.messages
    assert "guest.sysctl[0]" in message
    assert told in message
