"""The law of an exit code: wget succeeds if, and only if, it has the whole page.

Whatever is lost, late, repeated, overtaken or spoilt between guest and host, whichever of
them serves, and whenever the server is interrupted: of a page whose length the server tells,

* the file is a beginning of the page;
* the exit code is 0 exactly if the file is the page. A script that looks at the code alone
  is never wrong.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_machine_tcp_laws import EXAMPLES, MS, SECOND, STOP_NS, faults

from desim.config import InputFile, RunCommand, Side
from desim.machine import Machine
from desim.scenario.command_line import machine_from_options

FORWARDED, SERVED = 8000, 9000
"""The port that QEMU forwards to the guest, and that of a server on the host."""


SLOW = "filter-delay,id=f,netdev=u,delay=50ms"
"""So slow that a large page is not through when its server is interrupted."""


def page(size: int) -> bytes:
    """Bytes without a period of a power of 2."""
    return bytes(i * 7 % 251 for i in range(size))


def fetched(
    asks: Side, size: int, objects: list[str], seed: int = 1, stopped_ms: int | None = None
) -> tuple[int | None, bytes | None]:
    """wget's exit code, and the file that it left, if there is one.

    The server is interrupted so much after wget's start.
    """
    config = machine_from_options(
        [
            *("-netdev", f"user,id=u,ipv6=off,hostfwd=tcp::{FORWARDED}-:{FORWARDED}"),
            *("-device", "e1000,netdev=u"),
            *(word for o in objects for word in ("-object", o)),
        ],
        guest=[],
        host=[],
        folder=Path(),
    )
    config.seed = seed
    head = f"HTTP/1.0 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
    answer = InputFile(name="answer", data=head + page(size))
    config.guest_files["answer"] = config.host_files["answer"] = answer
    port, server = (FORWARDED, "localhost") if asks == "host" else (SERVED, "10.0.2.2")
    serve = f"nc -N -l -p {port} < answer"
    ask = f"wget -q -O page {server}:{port}/page"
    stop_ns = STOP_NS if stopped_ms is None else 7 * SECOND + stopped_ms * MS

    def command(side: Side) -> RunCommand:
        if side == asks:
            return RunCommand(
                side=side, command=ask, terminal=side, at_ns=7 * SECOND, stop_ns=STOP_NS
            )
        return RunCommand(
            side=side, command=serve, terminal=side, at_ns=6 * SECOND, stop_ns=stop_ns
        )

    config.guest, config.host = [command("guest")], [command("host")]
    ran = Machine(config)
    ran.run()
    (status,) = (t.status for t in ran.transcripts() if t.command == ask)
    return status, ran.files().get(f"{asks}/page")


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(
    st.sampled_from(["host", "guest"]),
    st.one_of(st.sampled_from([1, 1460, 5000]), st.integers(1, 300_000)),
    faults,
    st.integers(0, 1 << 32),
    st.one_of(st.none(), st.sampled_from([1, 10, 100, 1000])),
)
@example("host", 3_000_000, [SLOW], 1, 600)
@example("guest", 3_000_000, [SLOW], 1, 600)
def test_wget_succeeds_exactly_if_it_has_the_page(
    asks: Side, size: int, objects: list[str], seed: int, stopped_ms: int | None
) -> None:
    status, file = fetched(asks, size, objects, seed, stopped_ms)
    assert page(size).startswith(file or b"")
    assert (status == 0) == (file == page(size)), f"exit code {status}, {len(file or b'')} bytes"


def test_without_faults_there_is_a_page() -> None:
    assert fetched("host", 5000, []) == (0, page(5000))
    assert fetched("guest", 5000, []) == (0, page(5000))


@pytest.mark.slow
@pytest.mark.parametrize("asks", ["host", "guest"])
def test_of_a_server_that_is_interrupted_there_is_a_part(asks: Side) -> None:
    status, file = fetched(asks, 3_000_000, [SLOW], stopped_ms=600)
    assert status == 1
    assert file
    assert page(3_000_000).startswith(file)
