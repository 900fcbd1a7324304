"""Laws about the host's kernel."""

from __future__ import annotations

from collections.abc import Iterator

from desim.laws.law import Run, stated
from desim.laws.parts.draw import drawn
from desim.testing import Host
from desim.wire.addresses import LOOPBACK

PORT = 5000


@stated(
    test="tests/host/test_host_tcp.py",
    recording="Linux, sk_acceptq_is_full; tests/vectors/linux",
)
def a_listener_takes_one_more_than_its_backlog(run: Run) -> Iterator[str]:
    """Until its program accepts, a listener of the host has room for its backlog and one more."""
    draw = drawn(run, "host backlog")
    host = Host()
    sockets = host.sockets
    backlog = draw.between(1, 5)
    listener = sockets.listen(LOOPBACK, PORT, backlog=backlog)
    for _ in range(backlog + 3):
        sockets.connect(LOOPBACK, PORT)
    host.settle(host.time)
    open_now = 0
    while True:
        try:
            sockets.accept(listener)
        except OSError:
            break
        open_now += 1
    if open_now != backlog + 1:
        yield f"a backlog of {backlog} has taken {open_now} connections"
