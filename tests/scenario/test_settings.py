"""Keys of single settings: a word of ``guest.modprobe``, a line of ``guest.sysctl``."""

from __future__ import annotations

from pathlib import Path

import pytest

import desim

TWO = """
qemu = "-netdev socket,id=s,listen=127.0.0.1:1234 -device e1000,netdev=s"
[machine.b]
qemu = "-netdev socket,id=s,connect=127.0.0.1:1234 -device e1000,netdev=s,mac=52:54:00:12:34:57"
"""


def changed(changes: dict[str, object]) -> tuple[str, tuple[str, ...]]:
    config = desim.from_qemu("-nic user", changes=changes).configuration()
    return config.modprobe, config.sysctl


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"guest.modprobe.RxIntDelay": 8}, "e1000 RxIntDelay=8"),
        ({"guest.modprobe.RxIntDelay": "8,16"}, "e1000 RxIntDelay=8,16"),
        (
            {"guest.modprobe": "e1000 RxIntDelay=1 TxIntDelay=2", "guest.modprobe.RxIntDelay": 8},
            "e1000 TxIntDelay=2 RxIntDelay=8",
        ),
        (
            {"guest.modprobe.RxIntDelay": 8, "guest.modprobe.TxIntDelay": 9},
            "e1000 RxIntDelay=8 TxIntDelay=9",
        ),
        (
            {"guest.modprobe": "e1000_polling", "guest.modprobe.period_us": 5},
            "e1000_polling period_us=5",
        ),
    ],
)
def test_one_parameter_of_the_driver_is_changed_and_the_others_stay(
    changes: dict[str, object], line: str
) -> None:
    assert changed(changes)[0] == line


def test_one_sysctl_is_changed_and_the_others_stay() -> None:
    before = {"guest.sysctl": ["net.ipv4.tcp_sack=0", "net.ipv4.tcp_retries2=3"]}
    after = changed({**before, "guest.sysctl.net.ipv4.tcp_sack": True})[1]
    assert after == ("net.ipv4.tcp_retries2=3", "net.ipv4.tcp_sack=1")
    assert changed({"guest.sysctl.net.ipv4.tcp_rmem": "4096 8192 16384"})[1] == (
        "net.ipv4.tcp_rmem=4096 8192 16384",
    )


def test_a_further_machine_has_settings_too(tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text(TWO, encoding="utf-8")
    scenario = desim.load(tmp_path / "two.toml", {"machine.b.guest.modprobe.RxIntDelay": 8})
    config = scenario.configuration()
    assert [one.modprobe for one in config.machines] == ["e1000", "e1000 RxIntDelay=8"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"guest.modprobe.RxIntDelai": 8},
            "e1000 has no such parameter.*did you mean 'RxIntDelay'",
        ),
        ({"guest.modprobe": "e1000_plain", "guest.modprobe.X": 1}, "e1000_plain has.*takes none"),
        ({"guest.modprobe.RxIntDelay": "8 9"}, "a parameter's value is one word"),
        ({"guest.modprobe.RxIntDelay": [8]}, "must be a whole number or text"),
        ({"guest.modprobe": 1, "guest.modprobe.RxIntDelay": 8}, "guest.modprobe names no module"),
        ({"guest.sysctl": "x", "guest.sysctl.a.b": 8}, "guest.sysctl is no list"),
        ({"guest": 3, "guest.sysctl.a.b": 8}, "guest is no table"),
        ({"guest.sysctl.net.ipv4.tcp_sak": 0}, "no setting of the modelled guest"),
    ],
)
def test_what_cannot_be(changes: dict[str, object], told: str) -> None:
    with pytest.raises(desim.ScenarioError, match=told):
        changed(changes)
