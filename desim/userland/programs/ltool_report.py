"""What ``ltool`` prints: one line for people, or one line of JSON with every stamp.

The tool of the recordings prints the JSON; ``ltool --json`` prints the same. The line for
people is desim's own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from desim.stages import GUEST, mark, stages
from desim.userland.calls import sys
from desim.userland.programs.ltool_common import Result
from desim.userland.programs.output import Step, put


class Output:
    """The tool's own code for its results."""

    STAGES = stages(
        GUEST,
        print_result=mark("print_result", file="ltool.c", size="text"),
    )

    def print_result(self, text: str) -> str:
        """Format a line: what was received last waits in the socket meanwhile."""
        return text


def say(result: Result, *, as_json: bool) -> Step:
    """Print the line of results."""
    line = json_line(result) if as_json else _told(result)
    code = yield from sys.load(Output)
    yield from put(code.print_result(line + "\n"))


def json_line(result: Result) -> str:
    """Every figure and every stamp."""
    return "{" + ",".join(f'"{key}":{_json(value)}' for key, value in result.items()) + "}"


def _json(value: Any) -> str:
    return str(value) if isinstance(value, Decimal) else json.dumps(value, separators=(",", ":"))


def _told(result: Result) -> str:
    if "connect_errno" in result:
        return f"connect: {os.strerror(result['connect_errno'])}"
    return _LINES[result["test"]](result)


def _us(duration_ns: int) -> str:
    return f"{duration_ns // 1000}.{duration_ns % 1000:03d}"


def _ms(duration_ns: int) -> str:
    thousandths = (duration_ns + 500) // 1000
    return f"{thousandths // 1000}.{thousandths % 1000:03d}"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def _trips(trips: list[int]) -> str:
    """The round trips (ns) of all that was answered, to the nanosecond where that is short."""
    if not trips:
        return ""
    values = (min(trips), sum(trips) // len(trips), max(trips))
    show, unit = (_ms, "ms") if values[-1] >= 1_000_000 else (_us, "us")
    return f", rtt min/avg/max {'/'.join(map(show, values))} {unit}"


def _answered(result: Result) -> list[int]:
    stamps = zip(result["recv_ns"], result["send_ns"], strict=False)
    return [got - went for got, went in stamps if got >= 0]


def _last(stamps: list[int]) -> str:
    return f"{_ms(stamps[-1])} ms" if stamps else "no time"


def _ping(result: Result) -> str:
    text = f"{result['received']} of {len(result['send_ns'])} answered"
    return text + _trips(_answered(result))


def _udpsend(result: Result) -> str:
    sent = len(result["send_ns"])
    text = f"{_counted(sent, 'datagram')} of {result['size']} bytes in {_last(result['sent_ns'])}"
    received = result["received"]
    return f"{text}, {received} came back{_trips(_answered(result))}" if received else text


def _udprecv(result: Result) -> str:
    numbers: set[int] = set(result["seq"])
    last = max(numbers, default=-1)
    missing = last + 1 - len(numbers)
    text = f"{_counted(result['n'], 'datagram')} in {_last(result['recv_ns'])}"
    again = int(result["n"]) - len(numbers)
    text += f", {missing} missing before number {last}" * (missing > 0)
    return text + f", {again} twice" * (again > 0)


def _udpecho(result: Result) -> str:
    return f"{_counted(result['n'], 'datagram')} sent back"


def _tftp(result: Result) -> str:
    blocks = _counted(result["blocks"], "block")
    rate = f"{_ms(result['elapsed_ns'])} ms, {result['mbit_s']} Mbit/s"
    error = f", {os.strerror(result['err'])}" if result["err"] else ""
    return f"{result['bytes']} bytes in {blocks}, {rate}{error}"


def _source(result: Result) -> str:
    return (
        f"{result['bytes']} bytes in {_counted(result['writes'], 'write')}, "
        f"acknowledged after {_ms(result['acked_ns'])} ms, {result['mbit_s']} Mbit/s"
    )


def _sink(result: Result) -> str:
    return (
        f"{result['bytes']} bytes in {_counted(result['reads'], 'read')}, "
        f"the last after {_ms(result['last_ns'])} ms, {result['mbit_s']} Mbit/s"
    )


def _tcpcli(result: Result) -> str:
    text = f"{len(result['recv_ns'])} of {result['n']} answered"
    return text + _trips(_answered(result))


def _served(result: Result) -> str:
    count = _counted(len(result["read_ns"]), "message")
    return f"{count} of {result['msg']} bytes, the last after {_last(result['read_ns'])}"


def _drip(result: Result) -> str:
    writes = f"{_counted(len(result['send_ns']), 'write')} of {result['size']} bytes"
    text = f"{writes}, acknowledged after {_ms(result['acked_ns'])} ms"
    if result["outq"]:
        text = f"{writes}, {result['outq']} bytes not acknowledged"
    return f"{text}, {os.strerror(result['errno'])}" if result["errno"] else text


_LINES: dict[str, Callable[[Result], str]] = {
    "ping": _ping,
    "tftp": _tftp,
    "source": _source,
    "sink": _sink,
    "tcpcli": _tcpcli,
    "tcpsrv": _served,
    "drip": _drip,
    "slowsrv": _served,
    "udpsend": _udpsend,
    "udprecv": _udprecv,
    "udpecho": _udpecho,
}
