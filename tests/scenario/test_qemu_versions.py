"""Old spellings and the slirp that goes with them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from desim.config import InputFile, MachineConfig
from desim.devices import SlirpVersion
from desim.errors import UserError
from desim.scenario.command_line import machine_from_options
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario
from desim.scenario.qemu_options import Network, parse_qemu_options

MENU = InputFile(name="menu", data=b"boot")


def folder(name: str) -> dict[str, InputFile]:
    if name == "root":
        return {"menu": MENU}
    raise ValueError("no such folder")


def network(line: str) -> Network:
    return parse_qemu_options(shlex.split(line), open_folder=folder)


def chosen(line: str, asked: SlirpVersion | None = None) -> str:
    found = network(line)
    found.choose_slirp(asked)
    assert found.user is not None
    return found.user.version


def refused(line: str, asked: SlirpVersion | None) -> list[str]:
    with pytest.raises(UserError) as caught:
        network(line).choose_slirp(asked)
    return caught.value.messages


OLD = [
    "-redir tcp:5555::5556",
    "-net nic,vlan=0 -net user",
    "-net nic,vlan=3 -net user,vlan=3",
    "-tftp root",
    "-bootp menu",
]
NEW = ["", "-net nic -net user,hostfwd=tcp::1-:2", "-netdev user,id=u -device e1000,netdev=u"]


@pytest.mark.parametrize("line", OLD)
def test_an_old_spelling_selects_the_slirp_of_its_time(line: str) -> None:
    assert chosen(line) == "2.8"
    assert chosen(line, "2.8") == "2.8"


@pytest.mark.parametrize("line", NEW)
def test_without_one_slirp_is_todays_unless_asked(line: str) -> None:
    assert chosen(line) == "4.7"
    assert chosen(line, "2.8") == "2.8"


def test_a_version_that_nobody_asked_for_is_noted() -> None:
    found = network("-redir tcp:1::2 -bootp x")
    found.choose_slirp(None)
    text = "-redir tcp:1::2, -bootp x: an old spelling, so slirp is that of QEMU 2.8"
    assert found.notes == [text]
    asked = network("-redir tcp:1::2")
    asked.choose_slirp("2.8")
    assert asked.notes == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "-redir tcp:5555::5556",
            "-redir tcp:5555::5556: invalid option; "
            "today's spelling is -net nic -net user,hostfwd=tcp::5555-:5556",
        ),
        (
            "-netdev user,id=u -device e1000,netdev=u -redir udp:53:10.0.2.20:54",
            "-redir udp:53:10.0.2.20:54: invalid option; "
            "today's spelling is hostfwd=udp::53-10.0.2.20:54 in its -netdev user (or -net)",
        ),
        ("-tftp root", "-tftp root: invalid option; today's spelling is -net nic -net user,tftp="),
        ("-bootp x", "-bootp x: invalid option; today's spelling is -net nic -net user,bootfile=x"),
        (
            "-net nic,vlan=2 -net user,vlan=2",
            "-net nic,vlan=2: Invalid parameter 'vlan'; today leave it out, or write "
            "-netdev hubport,id=ID,hubid=2,netdev=ID",
        ),
    ],
)
def test_with_a_newer_version_it_is_refused_with_todays_spelling(line: str, message: str) -> None:
    assert refused(line, "4.7")[0].startswith(message)


@pytest.mark.parametrize("line", OLD)
def test_every_old_spelling_is_told(line: str) -> None:
    count = line.count("vlan=") or 1
    assert len(refused(line, "4.7")) == count


@pytest.mark.parametrize("key", ["domainname", "tftp-server-name"])
def test_what_came_after_2_8_is_refused_with_its_slirp(key: str) -> None:
    option = f"-netdev user,id=u,{key}=x"
    line = f"{option} -device e1000,netdev=u"
    expected = f"{option}: Invalid parameter '{key}'; it came after QEMU 2.8; ask for slirp 4.7"
    assert refused(line, "2.8") == [expected]
    assert refused(f"{line} -redir tcp:1::2", None) == [expected]
    assert chosen(line) == "4.7"


def test_tftp_and_bootp_are_for_networks_that_do_not_say_themselves() -> None:
    user = network("-tftp root -bootp menu").user
    assert user is not None
    assert (user.tftp, user.bootfile) == ({"menu": MENU.data}, "menu")
    user = network("-tftp nowhere -bootp other -net nic -net user,tftp=root,bootfile=menu").user
    assert user is not None
    assert (user.tftp, user.bootfile) == ({"menu": MENU.data}, "menu")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("-tftp nowhere", "-tftp nowhere: tftp=nowhere: no such folder"),
        ("-bootp " + "x" * 128, "the name cannot exceed 127 bytes"),
        ("-net none -bootp x", "-bootp x: user mode network stack not in use"),
        ("-net channel,4:stdio -net nic", "channels are not modelled; use guestfwd=tcp:10.0.2.4:"),
    ],
)
def test_old_spellings_have_mistakes_of_their_own(line: str, text: str) -> None:
    with pytest.raises(UserError) as caught:
        network(line)
    assert any(text in message for message in caught.value.messages), caught.value.messages


def scenario(text: str) -> MachineConfig:
    return parse_scenario(text.encode(), "x.toml", Inputs(Path("/nonexistent")))


def test_a_scenario_says_which_line_asked_for_the_newer_version() -> None:
    config = scenario('qemu = "-redir tcp:1::2"')
    assert config.user is not None
    assert config.user.version == "2.8"
    assert len(config.notes) == 1
    with pytest.raises(UserError) as caught:
        scenario('qemu = "-redir tcp:1::2"\nslirp = "4.7"')
    (message,) = caught.value.messages
    assert message.startswith("x.toml:2: slirp: -redir tcp:1::2: invalid option; today's spelling")


def test_a_version_without_a_user_network_has_no_effect_and_a_note_says_so() -> None:
    config = scenario('qemu = "-net none"\nslirp = "2.8"')
    assert config.notes == ["slirp 2.8: no effect, the machine has no user network"]
    assert scenario('qemu = "-net none"').notes == []


def test_so_does_the_command_line() -> None:
    def machine(version: SlirpVersion | None) -> MachineConfig:
        return machine_from_options(
            ["-redir", "tcp:1::2"], guest=(), host=(), folder=Path(), version=version
        )

    user = machine(None).user
    assert user is not None
    assert user.version == "2.8"
    with pytest.raises(UserError, match="invalid option"):
        machine("4.7")
