"""``-object filter-...``: what QEMU 7.2 makes of it, its texts, and the faults beside it."""

from __future__ import annotations

import shlex
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.config import InputFile
from desim.errors import UserError
from desim.filters import (
    BufferFilter,
    Chosen,
    CorruptFilter,
    DelayFilter,
    DumpFilter,
    DuplicateFilter,
    LossFilter,
    NetFilter,
    ReorderFilter,
)
from desim.scenario.qemu_options import parse_qemu_options

DIRECT = "-netdev user,id=u -device e1000,netdev=u "
HUB = (
    "-netdev user,id=u -netdev hubport,id=p,hubid=0,netdev=u"
    " -netdev hubport,id=q,hubid=0 -device e1000,netdev=q "
)


def no_folder(name: str) -> dict[str, InputFile]:
    raise ValueError("no such folder")


def filters(objects: str, wiring: str = DIRECT) -> list[NetFilter]:
    return parse_qemu_options(shlex.split(wiring + objects), open_folder=no_folder).filters


def mistakes(objects: str, wiring: str = DIRECT) -> list[str]:
    with pytest.raises(UserError) as caught:
        filters(objects, wiring)
    return caught.value.messages


@pytest.mark.parametrize(
    ("options", "filter_"),
    [
        ("filter-buffer,id=f,netdev=u,interval=1000", BufferFilter(id="f", interval_us=1000)),
        ("filter-buffer,id=f,netdev=u,interval=0x10", BufferFilter(id="f", interval_us=16)),
        ("filter-buffer,id=f,netdev=u,interval=010", BufferFilter(id="f", interval_us=8)),
        (
            "qom-type=filter-buffer,id=f,netdev=u,interval=1,queue=rx,status=off",
            BufferFilter(id="f", interval_us=1, queue="rx", on=False),
        ),
        ("filter-dump,id=f,netdev=u,file=./a//b", DumpFilter(id="f", file="a/b")),
        (
            "filter-dump,id=f,netdev=u,file=a,maxlen=96,position=head",
            DumpFilter(id="f", file="a", maxlen=96, position="head"),
        ),
        (
            "filter-loss,id=f,netdev=u,queue=tx,probability=1%",
            LossFilter(id="f", queue="tx", chosen=Chosen(probability=Fraction(1, 100))),
        ),
        (
            "filter-loss,id=f,netdev=u,probability=0.25,first=9",
            LossFilter(id="f", chosen=Chosen(probability=Fraction(1, 4), first=9)),
        ),
        (
            "filter-loss,id=f,netdev=u,every=10,first=3",
            LossFilter(id="f", chosen=Chosen(every=10, first=3)),
        ),
        (
            "filter-duplicate,id=f,netdev=u,frames=3:7:12-14",
            DuplicateFilter(id="f", chosen=Chosen(frames=[(3, 3), (7, 7), (12, 14)])),
        ),
        (
            "filter-delay,id=f,netdev=u,delay=10ms",
            DelayFilter(id="f", chosen=Chosen(every=1), delay_ns=10_000_000),
        ),
        (
            "filter-delay,id=f,netdev=u,delay=1us,jitter=1.5us,probability=1/3",
            DelayFilter(
                id="f",
                chosen=Chosen(probability=Fraction(1, 3)),
                delay_ns=1000,
                jitter_ns=1500,
            ),
        ),
        (
            "filter-reorder,id=f,netdev=u,every=2",
            ReorderFilter(id="f", chosen=Chosen(every=2)),
        ),
        (
            "filter-reorder,id=f,netdev=u,every=2,behind=3,timeout=1s",
            ReorderFilter(id="f", chosen=Chosen(every=2), behind=3, timeout_ns=10**9),
        ),
        (
            "filter-corrupt,id=f,netdev=u,every=2,offsets=0:20-23",
            CorruptFilter(id="f", chosen=Chosen(every=2), offsets=[(0, 0), (20, 23)]),
        ),
        (
            "filter-corrupt,id=f,netdev=u,every=2,bits=3",
            CorruptFilter(id="f", chosen=Chosen(every=2), bits=3),
        ),
    ],
)
def test_what_is_written_is_what_there_is(options: str, filter_: NetFilter) -> None:
    assert filters(f"-object {options}") == [filter_]


def test_a_filter_may_be_written_before_its_netdev() -> None:
    options = "-object filter-dump,id=f,netdev=u,file=a " + DIRECT
    assert filters("", options) == [DumpFilter(id="f", file="a")]


@pytest.mark.parametrize(
    ("wiring", "netdev", "end"),
    [
        (DIRECT, "u", "user"),
        (HUB, "u", "user"),
        (HUB, "p", "user_port"),
        (HUB, "q", "nic_port"),
        ("", "user.0", "user"),
        ("-nic user,id=n,model=e1000 ", "n", "user"),
    ],
)
def test_every_backend_with_an_id_can_have_filters(wiring: str, netdev: str, end: str) -> None:
    assert filters(f"-object filter-dump,id=f,netdev={netdev},file=a", wiring)[0].netdev == end


def test_a_filter_can_stand_before_or_behind_an_earlier_one() -> None:
    dump = "-object filter-dump,netdev=u,id={0},file={0}{1} "
    found = filters(
        dump.format("a", "")
        + dump.format("b", ",position=id=a")
        + dump.format("c", ",position=id=a,insert=before")
    )
    assert [(f.position, f.before) for f in found] == [("tail", False), ("a", False), ("a", True)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("filter-buffer,netdev=u,interval=1", "Parameter 'id' is missing"),
        ("filter-buffer,id=7,netdev=u,interval=1", "Parameter 'id' expects an identifier"),
        ("filter-buffer,id=f,interval=1", "Parameter 'netdev' is missing"),
        (
            "filter-buffer,id=f,netdev=uu,interval=1",
            "Parameter 'netdev' expects a network backend id (it is 'uu')",
        ),
        ("filter-buffer,id=f,netdev=u", "Parameter 'interval' is missing"),
        (
            "filter-buffer,id=f,netdev=u,interval=0",
            "Property 'filter-buffer.interval' requires a positive value",
        ),
        ("filter-buffer,id=f,netdev=u,interval=1ms", "Parameter 'interval' expects an integer"),
        ("filter-buffer,id=f,netdev=u,interval=4294967296", "expects uint32_t"),
        (
            "filter-buffer,id=f,netdev=u,interval=1,intervall=2",
            "Parameter 'intervall' is unexpected; did you mean 'interval'?",
        ),
        (
            "filter-buffer,id=f,netdev=u,interval=1,queue=both",
            "Parameter 'queue' does not accept value 'both'; allowed are all, rx, tx",
        ),
        (
            "filter-buffer,id=f,netdev=u,interval=1,status=yes",
            "Invalid value for netfilter status, should be 'on' or 'off'",
        ),
        (
            "filter-buffer,id=f,netdev=u,interval=1,insert=after,position=id=f",
            "Parameter 'insert' does not accept value 'after'; allowed are behind, before",
        ),
        ("filter-buffer,id=f,netdev=u,interval=1,insert=before", "has no effect without position"),
        (
            "filter-buffer,id=f,netdev=u,interval=1,position=first",
            "Parameter 'position' expects 'head', 'tail' or 'id=<id>'",
        ),
        (
            "filter-buffer,id=f,netdev=u,interval=1,position=id=g",
            "filter 'g' not found; there is none yet",
        ),
        ("filter-dump,id=f,netdev=u", "Parameter 'file' is missing"),
        ("filter-dump,id=f,netdev=u,file=/tmp/a", "is absolute"),
        ("filter-dump,id=f,netdev=u,file=../a", "leads out of the run's own folder"),
        (
            "filter-dump,id=f,netdev=u,file=a,maxlen=0",
            "Property 'filter-dump.maxlen' doesn't take value '0'",
        ),
        ("filter-loss,id=f,netdev=u", "says which packets; there is none"),
        ("filter-loss,id=f,netdev=u,every=1,frames=2", "there are every and frames"),
        ("filter-loss,id=f,netdev=u,every=0", "every=0: must be a whole number from 1 to"),
        ("filter-loss,id=f,netdev=u,frames=0", "neither a number from 1 on nor a range"),
        ("filter-loss,id=f,netdev=u,frames=7-3", "'7-3' is neither"),
        ("filter-loss,id=f,netdev=u,frames=3,first=2", "first= has no effect with frames="),
        ("filter-loss,id=f,netdev=u,probability=101%", "a probability from 0 to 1"),
        ("filter-loss,id=f,netdev=u,probability=1/0", "a probability from 0 to 1"),
        ("filter-loss,id=f,netdev=u,probability=-1", "a probability from 0 to 1"),
        ("filter-loss,id=f,netdev=u,probability=1%,every=", "there are probability and every"),
        ("filter-loss,id=f,netdev=u,every=", "every=: must be a whole number from 1"),
        ("filter-loss,id=f,netdev=u,every=2,first=", "first=: must be a whole number from 1"),
        ("filter-loss,id=f,netdev=u,every=2,position=", "expects 'head', 'tail' or 'id=<id>'"),
        ("filter-delay,id=f,netdev=u", "Parameter 'delay' is missing"),
        ("filter-delay,id=f,netdev=u,delay=10", "a duration needs its unit"),
        ("filter-delay,id=f,netdev=u,delay=1s,jitter=5s", "must be 4s at most"),
        ("filter-reorder,id=f,netdev=u,every=2,behind=0", "from 1 to 1000"),
        ("filter-corrupt,id=f,netdev=u,every=2,bits=1,offsets=3", "exclude each other"),
        ("filter-corrupt,id=f,netdev=u,every=2,bits=65", "from 1 to 64"),
        ("filter-los,id=f,netdev=u", "'filter-los'; did you mean 'filter-loss'?"),
        ("filter-redirector,id=f,netdev=u", "this network filter is not modelled"),
    ],
)
def test_what_cannot_be_is_refused_and_said(options: str, text: str) -> None:
    found = mistakes(f"-object {options}")
    assert any(text in message for message in found), found
    assert all(message.startswith("-object ") for message in found)


@pytest.mark.parametrize(
    ("second", "text"),
    [
        ("id=f,netdev=u,file=b", "attempt to add duplicate property 'f' to object"),
        ("id=g,netdev=u,file=a", "filter 'f' writes this file already"),
        ("id=g,netdev=p,file=b,position=id=f", "filter 'f' belongs to a different netdev"),
    ],
)
def test_two_filters_must_go_together(second: str, text: str) -> None:
    first = "-object filter-dump,id=f,netdev=u,file=a -object filter-dump,"
    assert text in mistakes(first + second, HUB)[0]


def test_other_objects_are_none_of_ours() -> None:
    assert filters("-object rng-builtin,id=r") == []


@given(st.integers(0, 9_999_999))
def test_a_probability_is_exact(numerator: int) -> None:
    text = f"0.{numerator:07d}"
    (found,) = filters(f"-object filter-loss,id=f,netdev=u,probability={text}")
    assert isinstance(found, LossFilter)
    assert found.chosen.probability == Fraction(numerator, 10_000_000)
