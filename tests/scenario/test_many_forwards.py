"""Ten thousand forwarding rules take ten times what a thousand take."""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest

from desim.errors import UserError
from desim.scenario.qemu_options import parse_qemu_options


def steps(count: int) -> int:
    """How many lines of Python it takes to read so many rules: counted, not timed."""
    rules = ",".join(f"hostfwd=tcp::{port}-:80" for port in range(1, count + 1))
    words = ["-netdev", f"user,id=u,{rules}", "-device", "e1000,netdev=u"]
    lines: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        lines[event] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        network = parse_qemu_options(words, open_folder=lambda _: {})
    finally:
        sys.settrace(before)
    assert network.user is not None
    assert len(network.user.hostfwd) == count
    return lines["line"]


def test_rules_are_read_in_time_that_grows_with_their_number() -> None:
    assert steps(1000) < 11 * steps(100)


@pytest.mark.parametrize(
    ("first", "second"), [("", "127.0.0.1"), ("127.0.0.1", ""), ("127.0.0.1", "127.0.0.1")]
)
def test_a_port_is_taken_once_also_by_a_wildcard_and_an_address(first: str, second: str) -> None:
    rules = f"hostfwd=tcp:{first}:80-:1,hostfwd=udp::80-:1,hostfwd=tcp:{second}:80-:1"
    with pytest.raises(UserError, match="tcp port 80 of the host is already forwarded"):
        parse_qemu_options(["-netdev", f"user,id=u,{rules}"], open_folder=lambda _: {})
