"""QEMU lines in circulation: manuals, guides, scripts, libvirt's logs, and people's mistakes.

``qemu_lines.tsv`` has one a row: what becomes of it, what is said, and the line. A line that
runs is the machine that QEMU 7.2 makes of it: the third column is its card with the
properties that are off. A line that is refused says what to do; one that asks for a list
gets it. To add a line, write it with ``?`` in the other columns and look at the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.devices import CARD_SWITCHES
from desim.errors import UserError
from desim.scenario.qemu_options import Network, help_text, parse_qemu_options
from desim.scenario.qemu_words import split_line

LINES = [
    tuple(line.split("\t"))
    for line in (Path(__file__).with_name("qemu_lines.tsv")).read_text("utf-8").splitlines()
]


def card(network: Network) -> str:
    nic = network.nic
    if nic is None:
        return "no card"
    return " ".join(
        [nic.model, *sorted(f"{s}=off" for s in CARD_SWITCHES.values() if not getattr(nic, s))]
    )


def outcome(line: str) -> tuple[str, str]:
    """What becomes of a line, and what is said first."""
    words = split_line(line)
    try:
        listed = help_text(words)
        if listed is not None:
            return "help", listed.splitlines()[0]
        return "run", card(parse_qemu_options(words, open_folder=lambda name: {}))
    except UserError as error:
        return "refuse", error.messages[0]


@pytest.mark.parametrize(("what", "said", "line"), LINES)
def test_a_line_in_circulation_is_right_or_refused_with_the_way_out(
    what: str, said: str, line: str
) -> None:
    assert outcome(line) == (what, said)


def test_there_are_many_of_each_kind() -> None:
    assert len(LINES) >= 108
    for what in ("run", "refuse", "help"):
        assert sum(row[0] == what for row in LINES) >= 10


def test_a_machine_that_sets_properties_says_so() -> None:
    network = parse_qemu_options(
        split_line("qemu-system-x86_64 -M pc-i440fx-2.4 -nic user"), open_folder=lambda name: {}
    )
    assert network.notes == [
        "-machine pc-i440fx-2.4 sets e1000.extra_mac_registers=off, e1000.init-vet=off, "
        "e1000.migrate_tso_props=off"
    ]


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ('{"type":"user","id":"n"}', [("type", "user"), ("id", "n")]),
        (
            '{"hostfwd":[{"str":"tcp::1-:2"},{"str":"udp::3-:4"}]}',
            [("hostfwd", "tcp::1-:2"), ("hostfwd", "udp::3-:4")],
        ),
        (
            '{"restrict":true,"ipv6":false,"ipv6-prefixlen":64,"tftp":null}',
            [("restrict", "on"), ("ipv6", "off"), ("ipv6-prefixlen", "64")],
        ),
        ('{"remote":{"type":"inet","port":"1"}}', [("remote.type", "inet"), ("remote.port", "1")]),
        ("{}", []),
    ],
)
def test_json_is_the_same_keys(value: str, parts: list[tuple[str, str]]) -> None:
    from desim.scenario.qemu_words import json_parts

    assert json_parts(value) == parts


def test_json_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(UserError, match="JSON"):
        parse_qemu_options(["-netdev", '{"a":' * 100_000], open_folder=lambda name: {})
