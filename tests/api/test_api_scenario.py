"""Scenarios as values: what they are equal to, how they are changed, what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

import desim
from desim.scenario.document import dotted, read_key, read_setting

FORWARD = "-netdev user,id=u,hostfwd=tcp::5555-:5556 -device e1000,netdev=u"


def mistakes(scenario: desim.Scenario, changes: dict[str, object]) -> list[str]:
    with pytest.raises(desim.ScenarioError) as caught:
        scenario.set(changes)
    return caught.value.messages


@pytest.fixture
def hello() -> desim.Scenario:
    return desim.load("hello")


# Values


@pytest.mark.parametrize(
    "made",
    [
        "desim.load('hello')",
        "desim.load('hello', allow_read=['/tmp'])",
        "desim.load('hello').set({'seed': 7, 'guest.run[0].command': 'nc -l 1 > x'})",
        "desim.from_qemu('')",
        "desim.from_qemu(['-nic', 'user'], guest=['true', 'true'], host=['netstat -na'])",
        "desim.from_qemu(('-nic', 'user,hostname=a b')).set({'seed': 3})",
    ],
)
def test_its_repr_makes_it_again(made: str) -> None:
    scenario = eval(made)
    assert repr(scenario) == made
    assert eval(repr(scenario)) == scenario
    assert hash(eval(repr(scenario))) == hash(scenario)


def test_it_is_equal_to_what_says_the_same(hello: desim.Scenario) -> None:
    assert hello.set({"seed": 1}) == hello
    assert hello.set({"seed": 2}) != hello
    assert hello != "hello"
    sweep = {hello.set({"seed": seed}): seed for seed in range(5)}
    assert sweep[hello.set({"seed": 3})] == 3


def test_files_that_have_changed_make_another_scenario(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('host.run = [{ command = "cat data" }]')
    (tmp_path / "data").write_text("one")
    before = desim.load(path)
    (tmp_path / "data").write_text("two")
    assert desim.load(path) != before
    assert eval(repr(before)) == desim.load(path)


def test_it_never_changes(hello: desim.Scenario) -> None:
    with pytest.raises(AttributeError, match="a scenario does not change"):
        hello.name = "other"
    with pytest.raises(AttributeError, match="a scenario does not change"):
        del hello._config
    commands = [{"command": "true"}]
    changed = hello.set({"guest.run": commands})
    commands.append({"command": "false"})
    assert changed == hello.set({"guest.run": [{"command": "true"}]})
    config = changed.configuration()
    config.guest.clear()
    assert len(changed.configuration().guest) == 1


def test_one_command_needs_no_list() -> None:
    assert desim.from_qemu(guest="true") == desim.from_qemu(guest=["true"])


# Keys


def test_any_key_of_a_file_can_be_set(hello: desim.Scenario) -> None:
    config = hello.set(
        {
            "description": "other",
            "slirp": "2.8",
            "semantics": "datasheet",
            "costs": "zero",
            "until": "7s",
            "strict": True,
            "guest.ipv6": False,
            "host.run[0].at": "6s",
            "dns": {"resolver": "127.0.0.53", "record": [{"name": "a", "a": "10.0.0.1"}]},
            'expect.guest.file."hello.txt"': b"\xff",
            "expect.host.file.x": "y",
        }
    ).configuration()
    assert (config.description, config.costs, config.until_ns) == ("other", "zero", 7 * 10**9)
    assert (config.strict, config.guest_ipv6) == (True, False)
    assert config.user is not None
    assert config.user.version == "2.8"
    assert config.nic is not None
    assert config.nic.semantics == "datasheet"
    assert config.host[0].at_ns == 6 * 10**9
    assert config.dns.records[0].name == "a"
    assert config.expect.guest_files == {"hello.txt": b"\xff"}
    assert config.expect.host_files == {"x": b"y"}


def test_all_mistakes_are_told_at_once_in_the_order_given(hello: desim.Scenario) -> None:
    found = mistakes(
        hello,
        {
            "guest.run[7].at": "1s",
            "description.x": 1,
            "a b": 1,
            "guest.modprob": "e1000",
            "seed": -1,
            "host.run[0].at": 5,
            "dns.record": [{"name": "a"}],
            "costs": "zeroo",
        },
    )
    assert [message.split(": ")[0] for message in found] == [
        "guest.run[7].at",
        "description.x",
        "a b",
        "guest.modprob",
        "seed -1",
        "host.run[0].at 5",
        "dns.record[0]",
        "costs 'zeroo'",
    ]
    text = "\n".join(found)
    assert "guest.run has 2 elements, counted from 0" in text
    assert "a key is names with dots between them" in text
    allowed = "address, hosts, ipv6, modprobe, modprobe_at, run, sysctl"
    assert f"allowed are {allowed}; did you mean 'modprobe'?" in text
    assert "must be 0 or more" in text
    assert mistakes(hello, {"host.run": "echo", "guest.sysctl": "x=5"}) == [
        "host.run 'echo': must be an array of tables: write [[host.run]]",
        "guest.sysctl 'x=5': must be a list, in brackets",
    ]
    assert 'did you mean "5s"?' in text
    assert "did you mean 'zero'?" in text


def test_a_file_and_changes_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("seed = 1\nuntil = 5\n")
    with pytest.raises(desim.ScenarioError) as caught:
        desim.load(path, {"seed": "x"})
    assert [message.rpartition("/")[2].split(": ")[0] for message in caught.value.messages] == [
        "s.toml:2",
        "seed 'x'",
    ]
    assert desim.load(path, {"until": "5s"}).configuration().until_ns == 5 * 10**9


def test_a_value_nested_too_deep_is_a_mistake(hello: desim.Scenario) -> None:
    value: object = 1
    for _ in range(40):
        value = [value]
    assert mistakes(hello, {"seed": value}) == ["seed: nested more than 16 levels deep"]


def test_commands_and_options_are_told_by_what_they_are() -> None:
    with pytest.raises(desim.ScenarioError) as caught:
        desim.from_qemu("-netdev tap,id=t", guest=["nc < nofile"], host=["nosuch"])
    assert [message.split(": ")[0] for message in caught.value.messages] == [
        "-netdev tap,id=t",
        "guest 'nc < nofile'",
        "host 'nosuch'",
    ]


def test_a_program_with_its_own_spelling_says_what_keys_are_called() -> None:
    with pytest.raises(desim.ScenarioError) as caught:
        desim.from_qemu(guest="nosuch", changes={"seed": -1}, place=lambda key: f"--{key}")
    assert [message.split(": ")[0] for message in caught.value.messages] == [
        "--guest 'nosuch'",
        "--seed -1",
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("seed", ("seed",)),
        ("guest.run[0].at", ("guest", "run", 0, "at")),
        (' guest . run [ 0 ] [12]."a.b" ', None),
        ("a[0][12].'b.c'", ("a", 0, 12, "b.c")),
        ('a."b\\"]=c"', ("a", 'b"]=c')),
    ],
)
def test_a_key_is_read_as_messages_write_it(text: str, key: tuple[str | int, ...] | None) -> None:
    if key is None:
        with pytest.raises(ValueError, match="not a key"):
            read_key(text)
        return
    assert read_key(text) == key
    assert read_key(dotted(key)) == key


@pytest.mark.parametrize("text", ["", ".", "a.", "a..b", "a[x]", "[0]", "a]", 'a."b', "é"])
def test_what_is_no_key_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        read_key(text)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("seed=7", "seed", 7),
        ("seed=x", "seed", "x"),
        ("strict=true", "strict", True),
        ("guest.ipv6=false", "guest.ipv6", False),
        ("slirp=4.7", "slirp", "4.7"),
        ("description=2016-11-26", "description", "2016-11-26"),
        ("until=5s", "until", "5s"),
        ('until="5s"', "until", "5s"),
        ("guest.modprobe=e1000 Speed=7", "guest.modprobe", "e1000 Speed=7"),
        ('guest.run=[{command="true"}]', "guest.run", [{"command": "true"}]),
        ("qemu=-nic user,id=u", "qemu", "-nic user,id=u"),
        ('expect.guest.file."a=b"=c=d', 'expect.guest.file."a=b"', "c=d"),
        ("description=a\nseed = 9", "description", "a\nseed = 9"),
        ("description=1\nseed = 9", "description", "1\nseed = 9"),
        ("description=", "description", ""),
    ],
)
def test_a_setting_is_a_key_and_what_would_stand_in_a_file(
    text: str, key: str, value: object
) -> None:
    assert read_setting(text) == (key, value)


@pytest.mark.parametrize("text", ["seed", "=", "a b=1", ""])
def test_what_is_no_setting_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a key|KEY=VALUE"):
        read_setting(text)
