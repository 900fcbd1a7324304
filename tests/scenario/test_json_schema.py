"""The JSON Schema: it takes what desim takes, and an editor refuses what the schema refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from documents import PAGES, ROOT, blocks
from hypothesis import given
from hypothesis import strategies as st

from desim.errors import ScenarioError
from desim.scenario.inputs import Inputs
from desim.scenario.json_schema import json_schema, keys
from desim.scenario.key_texts import KEYS
from desim.scenario.loader import parse_scenario

SHIPPED = sorted((ROOT / "scenarios").glob("*.toml"))
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

FULL: dict[str, Any] = {
    "description": "all keys",
    "qemu": ["-nic user,model=e1000"],
    "slirp": "4.7",
    "semantics": "qemu",
    "costs": "zero",
    "seed": 3,
    "until": "1.5 s",
    "strict": False,
    "run": {"limits": {"events": 10, "frames": 1, "marks": 1, "notes": 1}},
    "dns": {
        "resolver": ["127.0.0.53"],
        "record": [{"name": "a.example", "a": "10.0.0.1", "aaaa": ["fd00::1"], "ttl": "1min"}],
    },
    "guest": {
        "run": [
            {"command": "cat", "at": "5s", "stop": "+1s", "expect": {"exit": 0, "time": "< 1s"}}
        ],
        "modprobe": "e1000",
        "sysctl": ["net.ipv4.tcp_retries2=5"],
        "ipv6": True,
    },
    "host": {"run": [{"command": "cat", "at": "5 µs"}]},
    "monitor": {"run": [{"at": "5s", "command": "info usernet"}]},
    "machine": {
        "b": {
            "guest": {"address": "10.0.0.2/24", "modprobe_at": "1s", "run": [{"command": "cat"}]},
            "monitor": {"run": [{"at": "5s", "command": "info network"}]},
            "inject": [{"at": "5s", "frames": "ff" * 14, "every": "1ms", "times": 2}],
            "expect": {"file": {"c": "text"}},
        }
    },
    "expect": {
        "guest": {"file": {"a": "text"}},
        "host": {"file": {"b": "text"}},
        "ping": {"p99": "< 400us"},
        "irq_rate": "<= 7813",
        "fingerprint": "0123abcd",
    },
}


def taken(data: dict[str, Any]) -> bool:
    """Whether desim takes a document."""
    import tomlkit

    try:
        parse_scenario(tomlkit.dumps(data).encode(), "x.toml", Inputs(Path()))
    except ScenarioError:
        return False
    return True


def test_every_key_has_its_words_and_no_other() -> None:
    assert sorted(keys()) == sorted(KEYS)


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    json.dumps(SCHEMA)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_it_takes_what_ships(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#:schema scenario.schema.json\n")
    VALIDATOR.validate(tomllib.loads(text))


def test_it_takes_the_examples_of_the_documents() -> None:
    found = [
        block.text
        for page in PAGES
        for block in blocks(page, "toml")
        if block.remark.startswith("example:")
    ]
    assert found
    for text in found:
        VALIDATOR.validate(tomllib.loads(text))


def test_it_takes_a_file_with_every_key() -> None:
    assert taken(FULL)
    VALIDATOR.validate(FULL)


def places(data: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [way] if way else []
    if isinstance(data, (dict, list)):
        entries = data.items() if isinstance(data, dict) else enumerate(data)
        for name, value in entries:
            found += places(value, (*way, name))
    return found


VALUES = st.one_of(
    st.sampled_from(
        ["", "5s", "-1s", "+2ms", "3 parsecs", "4.7", "x", True, False, 0, -1, 1 << 63]
    ),
    st.sampled_from(
        [[], ["a"], [1], {}, {"same_as": "x"}, {"command": "cat"}, 1.5, [[]], "a" * 70]
    ),
)


@given(st.sampled_from(places(FULL)), VALUES, st.booleans())
def test_it_refuses_nothing_that_desim_takes(
    place: tuple[Any, ...], value: Any, remove: bool
) -> None:
    data = deepcopy(FULL)
    at: Any = data
    for part in place[:-1]:
        at = at[part]
    if remove:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    if taken(data):
        VALIDATOR.validate(data)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seeed", 1),
        ("seed", "1"),
        ("seed", -1),
        ("until", 5),
        ("until", "5 parsecs"),
        ("slirp", "4.8"),
        ("strict", 1),
        ("qemu", 3),
        ("guest", {"run": {}}),
        ("guest", {"run": [{"at": "1s"}]}),
        ("guest", {"run": [{"command": ""}]}),
        ("expect", {"guest": {"file": {"a": {"as": "b"}}}}),
    ],
)
def test_it_refuses_what_an_editor_can_see(key: str, value: Any) -> None:
    data = {**FULL, key: value}
    assert not VALIDATOR.is_valid(data)
    assert not taken(data)


def test_an_editor_checks_and_describes_by_it(tmp_path: Path) -> None:
    """Taplo is what editors run for TOML."""
    taplo = shutil.which("taplo", path=sysconfig.get_path("scripts"))
    assert taplo is not None, "the tests' extra installs it"
    shutil.copy(ROOT / "scenarios" / "scenario.schema.json", tmp_path)
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    shutil.copy(ROOT / "scenarios" / "hello.toml", good)
    bad.write_text("#:schema scenario.schema.json\nseeed = 3\n", encoding="utf-8")

    def lint(path: Path) -> tuple[int, str]:
        done = subprocess.run(
            [taplo, "lint", path.name], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    assert lint(good)[0] == 0
    code, text = lint(bad)
    assert code != 0
    assert "'seeed' was unexpected" in text
    for key in ("seed", "until", "guest.modprobe"):
        at = SCHEMA
        for part in key.split("."):
            at = at["properties"][part]
        assert KEYS[key].text.split(":")[0].split(",")[0] in at["description"]
