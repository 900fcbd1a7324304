"""``[[at]]``: what happens at an instant, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import desim
from desim.config import MachineConfig
from desim.errors import ScenarioError
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario

HEAD = """
qemu = "-netdev user,id=u -device e1000,netdev=u,id=card -object filter-loss,id=f0,netdev=u,every=2"
guest.run = [{command = "ping 10.0.2.2"}, {command = "sleep 1", stop = "9s"}]
host.run = [{command = "nc -l 80"}]
"""


def read(text: str) -> MachineConfig:
    return parse_scenario(f"{HEAD}{text}".encode(), "x.toml", Inputs(Path()))


def test_all_that_happens_is_what_other_tables_would_have_said() -> None:
    config = read("""
    [[at]]
    at = "4s"
    stop = "guest 1"
    guest = "ethtool eth0"
    filter.f0 = "off"
    link = {card = "off", u = "on"}
    monitor = "info network"
    [[at]]
    at = "5s"
    host = "echo hello"
    link.card = "on"
    """)
    assert [(c.at_ns // 10**9, " ".join(c.words)) for c in config.monitor] == [
        (4, "set_link card off"),
        (4, "set_link u on"),
        (4, "qom-set f0 status off"),
        (4, "info network"),
        (5, "set_link card on"),
    ]
    assert [(c.terminal, c.command, c.at_ns) for c in config.guest][2:] == [
        ("guest 3", "ethtool eth0", 4 * 10**9)
    ]
    assert [(c.terminal, c.command, c.at_ns) for c in config.host][1:] == [
        ("host 2", "echo hello", 5 * 10**9)
    ]
    assert (config.guest[0].stop_ns, config.guest[0].stop_relative) == (4 * 10**9, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at[0]: nothing happens; there are link, filter, monitor, guest, host, stop"),
        ("link.u = 'of'", "at[0].link.u: \"of\": allowed is 'on' or 'off'"),
        ("link.nic = 'on'", "at[0].link: nic: no such net client; there are card, u"),
        ("filter.f1 = 'on'", "at[0].filter: f1: no such filter; there are f0"),
        ("stop = 'guest 4'", "there are guest 1, host 1; did you mean 'guest 1'?"),
        ("stop = 'guest 2'", "no such terminal"),  # it has a stop of its own
        ("guest = 'nosuch'", "no program 'nosuch'"),
        ("host = 'ethtool eth0'", "no program 'ethtool'"),
        ("monitor = 'stop'", "a machine that stands still is not modelled"),
        ("monitor = 'qom-set f0 interval 5'", "a filter's status is modelled: qom-set ID status"),
        ("kill = 'guest 1'", 'at[0].kill: stop = "guest 1" ends a program'),
        ("sysctl = 'x'", "at[0].sysctl: guest.sysctl holds for the whole run"),
        ("command = 'x'", "at[0].command: say where: guest, host or monitor"),
        ("gest = 'x'", "no such key; allowed are at, filter, guest, host, link, monitor, stop"),
    ],
)
def test_mistakes_say_what_there_is(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(f"[[at]]\nat = '4s'\n{text}\n")
    assert said in str(caught.value)


def test_an_event_needs_an_instant() -> None:
    with pytest.raises(ScenarioError, match=r"at\[0\]\.at: missing"):
        read("[[at]]\nlink.card = 'off'\n")


def test_what_happens_happens() -> None:
    scenario = desim.from_qemu(
        "-netdev user,id=u -device e1000,netdev=u,id=card "
        "-object filter-loss,id=f0,netdev=u,every=2,status=off",
        guest=["ping -i 0.1 10.0.2.2"],
        changes={
            "at": [
                {"at": "4.05s", "link": {"card": "off"}},
                {"at": "4.55s", "link": {"card": "on"}},
                {"at": "7.05s", "filter": {"f0": "on"}},
                {"at": "8.05s", "stop": "guest 1"},
            ]
        },
    )
    result = desim.run(scenario)
    (monitor, ping) = [t for t in result.programs if t.name in ("monitor", "guest 1")]
    assert monitor.output.decode().split("\r\n")[:3] == [
        "(qemu) set_link card off",
        "(qemu) set_link card on",
        "(qemu) qom-set f0 status on",
    ]
    assert ping.status == 0  # ping shows its statistics at a Ctrl-C
    assert ping.ended_ns is not None
    assert 8_050_000_000 <= ping.ended_ns < 8_060_000_000
    lost = {row["where"] for row in result.summary["frames"]["lost"]}
    assert {"card", "f0"} <= lost
    assert result.metric("ping.lost") != 0
