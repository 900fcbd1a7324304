"""``todays_words``: the same network in words that every QEMU of today takes."""

from __future__ import annotations

import shlex

import pytest
from test_qemu_lines import LINES

from desim.scenario.qemu_machine import read_board
from desim.scenario.qemu_options import Network, parse_qemu_options
from desim.scenario.qemu_today import todays_words
from desim.scenario.qemu_versions import lifetimes
from desim.scenario.qemu_words import read_words, split_line

MORE = [
    "qemu -redir tcp:5555::5556",
    "qemu -tftp files -bootp pxelinux.0 -redir udp:69::69",
    "qemu -net nic,vlan=3,model=e1000 -net user,vlan=3,name=u",
    "qemu -net user,vlan=1 -netdev hubport,id=p,hubid=1 -device e1000,netdev=p,id=card",
    "qemu -netdev user,id=u -netdev hubport,id=p,hubid=0,netdev=u -net nic,model=e1000,name=card",
    "qemu -nic user,model=e1000,hostname=a,,b",
    "qemu -M pc-i440fx-1.6 -nic user -global e1000.mitigation=on",
    "qemu -M pc-i440fx-2.4 -device e1000,netdev=u,extra_mac_registers=on -netdev user,id=u",
    "qemu -net none",
    "qemu -nodefaults",
    "qemu -icount shift=4,sleep=off -nic user",
    "qemu -nic user,guestfwd=tcp:10.0.2.9:7-chardev:c -chardev file,id=c,path=log",
    "qemu -nic user,id=n -object filter-loss,id=l,netdev=n,every=3",
]

RUN = [line for what, _, line in LINES if what == "run"] + MORE


def read(words: list[str]) -> Network:
    return parse_qemu_options(words, open_folder=lambda name: {})


def today(line: str) -> list[str]:
    found = read_words(split_line(line), [])
    machines = [option for option in found.options if option.flag in ("-M", "-machine")]
    return todays_words(found.options, read_board(found.program, machines, []))


@pytest.mark.parametrize("line", RUN)
def test_todays_words_make_the_same_network(line: str) -> None:
    before, after = read(split_line(line)), read(today(line))
    assert after.nic == before.nic
    assert after.user == before.user
    assert after.hub == before.hub
    assert after.filters == before.filters
    assert after.icount_shift == before.icount_shift


@pytest.mark.parametrize("line", RUN)
def test_todays_qemu_takes_them_and_nothing_is_without_effect(line: str) -> None:
    words = today(line)
    after = read(words)
    assert not after.spellings.gone
    assert not [note for note in after.notes if "-global" in note or "-device" in note]
    found = read_words(words, []).options
    assert all(one.last is None for option in found for one in lifetimes(option))
    assert read(today(shlex.join(["qemu", *words]))) == after


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("qemu", "-net nic,model=e1000 -net user"),
        ("qemu -redir tcp:5555::5556", "-net nic,model=e1000 -net user,hostfwd=tcp::5555-:5556"),
        (
            "qemu -net user,vlan=1 -netdev hubport,id=p,hubid=1 -device e1000,netdev=p",
            "-netdev user,id=user.0 -netdev hubport,id=user-port,hubid=1,netdev=user.0 "
            "-netdev hubport,id=p,hubid=1 -device e1000,netdev=p",
        ),
        (
            "qemu -M pc-i440fx-1.6 -nic user",
            "-nic user,model=e1000 -global e1000.mitigation=off "
            "-global e1000.extra_mac_registers=off -global e1000.init-vet=off",
        ),
    ],
)
def test_words(line: str, words: str) -> None:
    assert " ".join(today(line)) == words


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("-net user,vlan=0 -net nic,vlan=0", ["vlan=: up to QEMU 2.12"] * 2),
        ("-redir tcp:1::1", ["-redir: up to QEMU 3.0"]),
        ("-netdev user,id=u,hostfwd=tcp::1-:1 -device e1000,netdev=u", []),
        ('-netdev {"type":"user","id":"u"}', ["-netdev in JSON: QEMU 7.2 and later"]),
        ('-device {"driver":"e1000"}', ["-device in JSON: QEMU 6.2 and later"]),
        (
            "-nic user,domainname=a,tftp-server-name=b",
            [
                "-nic: QEMU 2.12 and later",
                "domainname=: QEMU 3.0 and later",
                "tftp-server-name=: QEMU 3.1 and later",
            ],
        ),
    ],
)
def test_which_releases_take_it(line: str, told: list[str]) -> None:
    options = read_words(split_line(line), []).options
    found = [one for option in options for one in lifetimes(option)]
    assert [f"{one.written}: {one}" for one in found] == told
