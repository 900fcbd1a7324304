"""Scenario files: what they may say, and every mistake of a file at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desim.config import MachineConfig
from desim.errors import UserError
from desim.experiment.verdict import expects_something
from desim.scenario.inputs import Inputs
from desim.scenario.loader import load_scenario, parse_scenario
from desim.scenario.shipped import shipped_scenarios
from desim.spool import Log

GOOD = """
description = "One line of text"
qemu = "-netdev user,id=user.0,hostfwd=tcp::5555-:5556 -device e1000,netdev=user.0"
costs = "zero"
seed = 7
until = "2min"
slirp = "2.8"

[[guest.run]]
command = "nc -lvp 5556 > hello.txt"

[[host.run]]
at = "5s"
stop = "+3.5s"
command = "echo 'Hello qemu Geust' | nc localhost 5555"

[expect]
guest.file."hello.txt" = "Hello qemu Geust\\n"
"""


def parse(text: str, folder: Path = Path("/nonexistent")) -> MachineConfig:
    return parse_scenario(text.encode(), "x.toml", Inputs(folder))


def mistakes(text: str, folder: Path = Path("/nonexistent")) -> list[str]:
    with pytest.raises(UserError) as caught:
        parse(text, folder)
    return caught.value.messages


def mistake(text: str, folder: Path = Path("/nonexistent")) -> str:
    found = mistakes(text, folder)
    assert len(found) == 1, found
    return found[0]


def host_command(command: str) -> str:
    return f"[[host.run]]\ncommand = '''{command}'''"


# What a file says


def test_a_good_file_becomes_a_configuration() -> None:
    config = parse(GOOD)
    assert config.name == "x"
    assert config.description == "One line of text"
    assert config.user is not None
    assert config.user.hostfwd[0].host_port == 5555
    assert config.user.version == "2.8"
    assert config.nic is not None
    assert config.nic.netdev == "user.0"
    assert not config.hub
    assert (config.costs, config.seed, config.until_ns) == ("zero", 7, 120_000_000_000)
    (guest,), (host,) = config.guest, config.host
    assert (guest.command, guest.terminal) == ("nc -lvp 5556 > hello.txt", "guest 1")
    assert (guest.at_ns, guest.stop_ns) == (None, None)
    assert (host.at_ns, host.stop_ns, host.stop_relative) == (5_000_000_000, 3_500_000_000, True)
    assert config.expect.guest_files == {"hello.txt": b"Hello qemu Geust\n"}


def test_an_empty_file_is_qemus_default_machine() -> None:
    config = parse("")
    assert config.hub
    assert config.until_ns == 3600 * 10**9
    assert config.guest == config.host == []


def test_options_may_be_a_list_or_many_lines() -> None:
    a = parse('qemu = ["-netdev", "user,id=u", "-device e1000,netdev=u"]')
    b = parse("qemu = '''\n-netdev user,id=u \\\n -device e1000,netdev=u\n'''")
    assert a.user == b.user
    assert not a.hub
    assert not b.hub


def test_an_absolute_stop_is_told_from_a_relative_one() -> None:
    (run,) = parse('[[host.run]]\ncommand = "nc localhost 1"\nstop = "9s"').host
    assert (run.stop_ns, run.stop_relative) == (9_000_000_000, False)


# Mistakes


TEN = """descripton = "x"
qemu = "-netdev user,id=u,hostfwd=tcp::x-:1 -device e100,netdev=u"
costs = "zeroo"
seed = -1
until = 5
strict = "yes"
slirp = "4.8"
[[guest.run]]
comand = "nc"
at = "5 sec"
[[host.run]]
command = "nc localhost 5555 < nofile"
stop = "+3.5x"
[expect]
guest.file."../x" = "y"
gest = 3
"""


def test_all_mistakes_of_a_file_are_reported_at_once_in_its_order(tmp_path: Path) -> None:
    found = mistakes(TEN, tmp_path)
    places = [message.split(": ")[0:2] for message in found]
    assert places == [
        ["x.toml:1", "descripton"],
        ["x.toml:2", "qemu"],
        ["x.toml:2", "qemu"],
        ["x.toml:3", "costs"],
        ["x.toml:4", "seed"],
        ["x.toml:5", "until"],
        ["x.toml:6", "strict"],
        ["x.toml:7", "slirp"],
        ["x.toml:8", "guest.run[0].command"],
        ["x.toml:9", "guest.run[0].comand"],
        ["x.toml:10", "guest.run[0].at"],
        ["x.toml:12", "host.run[0].command"],
        ["x.toml:13", "host.run[0].stop"],
        ["x.toml:15", 'expect.guest.file."../x"'],
        ["x.toml:16", "expect.gest"],
    ]
    text = "\n".join(found)
    for hint in ("'description'", "'e1000'", "'zero'", '"5s"', "'s'", "'command'", "'guest'"):
        assert f"did you mean {hint}" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\na = 2\n", 'x.toml:2: "a = 2": Cannot overwrite a value (column'),
        ("\na = ", "x.toml:2: Invalid value (at the end of the file)"),
        ("x = 1\nx = 2", "x.toml:2: Cannot overwrite a value ("),
        ("seed = 1.5", "x.toml:1: seed: 1.5: must be a whole number"),
        ("seed = true", "x.toml:1: seed: true: must be a whole number"),
        ("seed = 9223372036854775808", "must be less than 9223372036854775808"),
        ("description = 3", "x.toml:1: description: 3: must be text, in quotes"),
        ("guest = 3", "x.toml:1: guest: 3: must be a table"),
        ("guest.run = 3", "guest.run: 3: must be an array of tables: write [[guest.run]]"),
        ('[guest.run]\ncommand = "nc"', "must be an array of tables"),
        ("qemu = 3", "x.toml:1: qemu: 3: must be text, or a list of texts"),
        ("qemu = 'a \"b'", "No closing quotation"),
        ('until = "+3s"', "only stop may be relative"),
        ('[[host.run]]\ncommand = ""', 'host.run[0].command: "": must not be empty'),
        (f'description = "{"x" * 70_000}"', "too long; at most 65536 characters are allowed"),
        ("run.limits.notes = 0", "x.toml:1: run.limits.notes: 0: must be 1 or more"),
        ("run.limits.notes = 9999999999999", "9999999999999: must be 1000000000000 or less"),
        ("dns.record = [{name = 1}]", "x.toml:1: dns.record[0].name: 1: must be text, in quotes"),
        ('[[host.run]]\nat = "5s"\nstop = "3s"\ncommand = "netstat"', "before it starts, at 5s"),
        ("[expect]\nguest.file.x = 3", "must be the text of the file"),
        ("until = 2016-11-26", '"2016-11-26": a duration is text'),
        ("seed = " + "9" * 5000, "Exceeds the limit"),
        ("a = " + "[" * 2000 + "]" * 2000, "nested more than 16 levels deep"),
        ("a = " + "[" * 20 + "]" * 20, "nested more than 16 levels deep"),
        ("a" + ".a" * 20 + " = 1", "x.toml:1: a key of more than 16 parts"),
        ("#" * 300_000, "x.toml: larger than 256 KiB"),
    ],
)
def test_a_mistake_says_where_and_what_is_allowed(text: str, message: str) -> None:
    assert message in mistake(text)


def test_text_that_is_not_utf8_is_a_mistake_of_its_line() -> None:
    with pytest.raises(UserError) as caught:
        parse_scenario(b"a = 1\nb = '\xff'", "x.toml", Inputs(Path("/nonexistent")))
    assert caught.value.messages == ["x.toml:2: not UTF-8 text"]


def test_too_many_commands_are_refused() -> None:
    text = '[[host.run]]\ncommand = "netstat"\n' * 65
    assert "too many; at most 64" in mistake(text)


def test_a_long_value_is_cut_in_its_message() -> None:
    assert len(mistake(f'slirp = "{"x" * 5000}"')) < 200


# Files


def test_a_file_beside_the_scenario_is_read_with_its_sum(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"\0\xff" * 1000)
    config = parse(host_command("nc -N localhost 5555 < data.bin"), tmp_path)
    file = config.host_files["data.bin"]
    assert file.data == b"\0\xff" * 1000
    assert len(file.sha256) == 64
    assert config.guest_files == {}


def test_dev_null_is_not_a_file_of_the_user(tmp_path: Path) -> None:
    assert parse(host_command("nc localhost 1 < /dev/null"), tmp_path).host_files == {}


def test_a_missing_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "payload.bin").write_bytes(b"")
    text = host_command("nc localhost 1 < paylod.bin")
    assert "did you mean 'payload.bin'?" in mistake(text, tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "link", "folder/link"])
def test_a_file_outside_the_scenarios_folder_needs_the_users_word(
    tmp_path: Path, name: str
) -> None:
    inside = tmp_path / "inside"
    (inside / "folder").mkdir(parents=True)
    (tmp_path / "outside").write_bytes(b"secret")
    (inside / "link").symlink_to(tmp_path / "outside")
    (inside / "folder" / "link").symlink_to("../../outside")
    text = host_command(f"nc localhost 1 < {name}")
    assert "--allow-read DIR" in mistake(text, inside)


def test_allow_read_opens_one_more_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "data").write_bytes(b"x")
    scenario = tmp_path / "a" / "s.toml"
    scenario.write_text(host_command("nc localhost 1 < ../b/data"))
    with pytest.raises(UserError, match="allow-read"):
        load_scenario(str(scenario))
    config = load_scenario(str(scenario), allow_read=[tmp_path / "b"])
    assert config.host_files["../b/data"].data == b"x"


def test_a_fifo_or_folder_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in mistake(host_command("nc localhost 1 < fifo"), tmp_path)
    assert "regular file" in mistake(host_command("nc localhost 1 < ."), tmp_path)


def test_tftp_shows_only_folders_of_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "boot" / "efi").mkdir(parents=True)
    (tmp_path / "boot" / "pxelinux.0").write_bytes(b"\1")
    (tmp_path / "boot" / "efi" / "grub").write_bytes(b"\2")
    (tmp_path / "boot" / "link").symlink_to("pxelinux.0")
    (tmp_path / "boot" / "out").symlink_to("/etc/passwd")
    (tmp_path / "boot" / "etc").symlink_to("/etc")
    line = 'qemu = "-netdev user,id=u,tftp={} -device e1000,netdev=u"'
    config = parse(line.format("boot"), tmp_path)
    assert config.user is not None
    assert config.user.tftp is not None
    assert config.user.tftp == {"pxelinux.0": b"\1", "link": b"\1", "efi/grub": b"\2"}
    assert "--allow-read DIR" in mistake(line.format("/etc"), tmp_path)
    assert "no such folder" in mistake(line.format("boat"), tmp_path)


def test_expected_contents_may_be_those_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\0\1")
    config = parse('[expect]\nguest.file.copy = { same_as = "data" }', tmp_path)
    assert config.expect.guest_files == {"copy": Log.of(b"\0\1")}
    assert "allow-read" in mistake('[expect]\nguest.file.x.same_as = "/etc/passwd"', tmp_path)


# Finding a scenario


@pytest.mark.parametrize("name", sorted(shipped_scenarios()))
def test_every_shipped_scenario_is_found_by_its_bare_name(name: str) -> None:
    config = load_scenario(name)
    assert config.name == name
    assert config.description
    assert expects_something(config)


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'hello'"):
        load_scenario("helo")
    (tmp_path / "mine.toml").write_text("")
    with pytest.raises(UserError, match=r"no such file; did you mean 'mine\.toml'"):
        load_scenario(str(tmp_path / "mien.toml"))


# Whatever is in the file


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(max_size=200) | st.from_regex(r'(\[\[?[a-z.]{1,9}\]?\]\n|[a-z.]+ = "?[0-9a-z]+"?\n)*')
)
def test_any_text_is_a_configuration_or_a_user_error(text: str) -> None:
    try:
        parse(text)
    except UserError as error:
        for message in error.messages:
            assert message.startswith("x.toml")


keys = st.sampled_from(
    ["qemu", "seed", "until", "guest", "host", "run", "command", "at", "stop", "expect", "file"]
)
values = st.recursive(
    st.integers() | st.booleans() | st.floats() | st.text(max_size=9) | st.just("5s"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(keys, values, max_size=4))
def test_any_values_are_a_configuration_or_a_user_error(data: dict[str, object]) -> None:
    import tomlkit

    try:
        parse(tomlkit.dumps(data))
    except UserError as error:
        for message in error.messages:
            assert message.startswith("x.toml")
