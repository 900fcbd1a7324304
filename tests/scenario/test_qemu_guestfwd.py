"""``guestfwd=`` and ``-chardev``: rules, devices, and QEMU's answers to wrong ones."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.config import InputFile
from desim.devices import Chardev, GuestFwd, UserNet
from desim.errors import UserError
from desim.scenario.qemu_options import parse_qemu_options

SERVER = bytes((10, 0, 2, 100))
NULL = Chardev(kind="null")


def no_folder(name: str) -> dict[str, InputFile]:
    raise ValueError("no such folder")


def user_of(*rules: str, chardevs: str = "", extra: str = "") -> UserNet:
    written = "".join(f",guestfwd={rule.replace(',', ',,')}" for rule in rules)
    words = ["-netdev", f"user,id=u{extra}{written}", "-device", "e1000,netdev=u"]
    user = parse_qemu_options([*words, *shlex.split(chardevs)], open_folder=no_folder).user
    assert user is not None
    return user


def mistake(*rules: str, chardevs: str = "", extra: str = "") -> str:
    with pytest.raises(UserError) as caught:
        user_of(*rules, chardevs=chardevs, extra=extra)
    (message,) = caught.value.messages
    return message


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("tcp:10.0.2.100:1234-null", GuestFwd(server=SERVER, port=1234, chardev=NULL)),
        (":10.0.2.100:1234-chardev:n", GuestFwd(server=SERVER, port=1234, chardev=NULL)),
        ("tcp::7-cmd:cat -", GuestFwd(server=bytes((10, 0, 2, 4)), port=7, command="cat -")),
        (
            "tcp:10.0.2.100:9-file:logs/x.txt",
            GuestFwd(server=SERVER, port=9, chardev=Chardev(kind="file", path="logs/x.txt")),
        ),
        (
            "tcp:10.0.2.100:9-chardev:f",
            GuestFwd(server=SERVER, port=9, chardev=Chardev(kind="file", path="y", append=True)),
        ),
        (
            "tcp:10.0.2.100:9-cmd:echo 'a - b' c,d",
            GuestFwd(server=SERVER, port=9, command="echo 'a - b' c,d"),
        ),
    ],
)
def test_every_form_of_a_rule(rule: str, expected: GuestFwd) -> None:
    devices = "-chardev null,id=n -chardev file,id=f,path=./y,append=on"
    assert user_of(rule, chardevs=devices).guestfwd == [expected]


def test_a_device_may_write_a_log() -> None:
    devices = "-chardev null,id=n,logfile=a.log -chardev null,id=m,logfile=./b,logappend=on"
    first, second = user_of("tcp::7-chardev:n", "tcp::8-chardev:m", chardevs=devices).guestfwd
    assert first.chardev == Chardev(kind="null", logfile="a.log")
    assert second.chardev == Chardev(kind="null", logfile="b", logappend=True)


def test_an_address_left_out_is_the_fourth_of_the_network() -> None:
    user = user_of("tcp::7-cmd:cat", extra=",net=192.168.7.0/24")
    assert user.guestfwd[0].server == bytes((192, 168, 7, 4))


def test_the_order_of_the_rules_is_kept() -> None:
    user = user_of("tcp::7-cmd:cat", "tcp::8-cmd:cat", "tcp::9-cmd:cat")
    assert [rule.port for rule in user.guestfwd] == [7, 8, 9]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("", "expected tcp:SERVER:PORT-DEV or tcp:SERVER:PORT-cmd:COMMAND"),
        ("tcp:10.0.2.100:1234", "expected tcp:SERVER:PORT-DEV"),
        ("udp:10.0.2.100:1234-null", "only tcp is forwarded"),
        ("tcp:10.0.2.x:1234-null", "'10.0.2.x' is no IPv4 address"),
        ("tcp:10.0.2.100:0-null", "the port is a number from 1 to 65535"),
        ("tcp:10.0.2.100:65536-null", "the port is a number from 1 to 65535"),
        ("tcp:10.0.2.100:0x50-null", "the port is a number from 1 to 65535"),
        ("tcp:10.0.2.100:80 -null", "the port is a number from 1 to 65535"),
    ],
)
def test_a_malformed_rule_is_refused_in_qemus_words(rule: str, reason: str) -> None:
    assert f": Invalid guest forwarding rule '{rule}' ({reason}" in mistake(rule)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (["tcp:10.0.3.1:80-null"], "10.0.3.1 is not in 10.0.2.0"),
        (["tcp:10.0.2.2:80-null"], "10.0.2.2 is the host address"),
        (["tcp:10.0.2.3:80-cmd:cat"], "10.0.2.3 is the DNS address"),
        (["tcp::80-cmd:cat", "tcp:10.0.2.4:80-cmd:cat"], "another rule has 10.0.2.4:80"),
    ],
)
def test_an_address_that_is_not_free_is_a_conflict(rules: list[str], reason: str) -> None:
    expected = f"Conflicting/invalid host:port in guest forwarding rule '{rules[-1]}' ({reason})"
    assert mistake(*rules).endswith(expected)


@pytest.mark.parametrize(
    ("target", "chardevs", "reason"),
    [
        ("chardev:nul", "-chardev null,id=null", "no -chardev with id=nul; did you mean 'null'?"),
        ("socket:x", "", "the character device 'socket' is not modelled; modelled are null, file"),
        ("nul", "", "'nul' is not a valid char driver name; did you mean 'null'?"),
        ("file:", "", "'' is not a file name"),
        ("file:/etc/motd", "", "is absolute; files are written below the run's own folder"),
    ],
)
def test_a_device_that_cannot_be_opened(target: str, chardevs: str, reason: str) -> None:
    said = mistake(f"tcp:10.0.2.100:80-{target}", chardevs=chardevs)
    assert "Could not open guest forwarding device 'guestfwd.tcp.80' (" in said
    assert reason in said


@pytest.mark.parametrize(
    ("chardev", "reason"),
    [
        ("pty,id=c", "the character device 'pty' is not modelled"),
        ("file,id=c", "chardev: file: no filename given"),
        ("file,id=c,path=../x", "leads out of the run's own folder"),
        ("file,id=c,path=x,append=perhaps", "Parameter 'append' expects 'on' or 'off'"),
        ("file,id=c,path=x,mux=on", "'mux' is not modelled; allowed are append, id, logappend,"),
        ("null,id=c,logfile=../x", "leads out of the run's own folder"),
        ("null,id=c,logfile=x,logappend=1", "Parameter 'logappend' expects 'on' or 'off'"),
        ("null,id=c,logappend=on", "logappend= has no effect without logfile=; leave it out"),
        ("null,id=c,path=x", "a null device has neither path nor append"),
        ("id=c", 'chardev: "c" missing backend'),
    ],
)
def test_a_device_of_its_own_option_that_cannot_be_opened(chardev: str, reason: str) -> None:
    said = mistake("tcp::80-chardev:c", chardevs=f"-chardev {chardev}")
    assert f"-chardev {chardev}: " in said
    assert reason in said


def test_a_device_serves_one_rule_only() -> None:
    rules = ("tcp::80-chardev:c", "tcp::81-chardev:c")
    assert mistake(*rules, chardevs="-chardev null,id=c").endswith("Device 'c' is in use")
    # A device inside a rule is named after the port alone.
    said = mistake("tcp::80-null", "tcp:10.0.2.9:80-null")
    assert "Could not open guest forwarding device 'guestfwd.tcp.80' (another rule has" in said


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/usr/sbin/smbd", "column 1"),
        ("cat | cat", "it is started without a shell: no pipes, lists or redirections"),
        ("cat > x", "it is started without a shell"),
        ("", "column 1"),
        ("cat $HOME", "column 5"),
    ],
)
def test_only_a_program_of_the_host_can_be_started(command: str, reason: str) -> None:
    said = mistake(f"tcp::7-cmd:{command}")
    assert f": cmd:{command}: " in said
    assert reason in said


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("-chardev null", "-chardev null: chardev: no id specified"),
        ("-chardev null,id=a -chardev null,id=a", "Duplicate ID 'a' for chardev"),
    ],
)
def test_a_chardev_has_a_name_of_its_own(options: str, text: str) -> None:
    assert text in mistake(chardevs=options)


def test_a_chardev_that_no_rule_names_has_no_effect_whatever_its_kind() -> None:
    words = shlex.split("-chardev socket,id=mon,path=/run/x,server=on -chardev null,id=n")
    network = parse_qemu_options(
        [*words, "-net", "user,guestfwd=tcp::7-chardev:n", "-net", "nic"], open_folder=no_folder
    )
    assert network.notes == ["no effect on the network, ignored: -chardev socket"]


@given(st.text(alphabet="tcpudmfilenul:-./x0123456789", max_size=40))
def test_any_rule_is_taken_or_refused(rule: str) -> None:
    try:
        (made,) = user_of(rule).guestfwd
    except UserError:
        return
    assert 1 <= made.port <= 65535
    assert (made.chardev is None) != (made.command is None)
