"""Strategies for hypothesis: scenarios, drawn piece by piece, so that it can shrink each piece.

What a strategy draws is text and tables as a scenario file has them; ``scenarios`` puts them
together. Needs the extra ``desim[fuzz]``.
"""

from __future__ import annotations

from typing import Any

from desim.api.scenario import Scenario
from desim.errors import UserError
from desim.fuzz.scenario import scenario_from, scenario_of

try:
    from hypothesis import strategies as st
except ImportError:  # pragma: no cover - the tests have it
    raise UserError(
        "desim.testing.strategies needs hypothesis: pip install 'desim[fuzz]'"
    ) from None

FIRST_PORT = 5000
SERVERS = "4s"
CLIENTS_MS = 4_500


def sizes() -> st.SearchStrategy[int]:
    """Bytes of a transfer: the edges of segments, or anything up to 12,000."""
    return st.one_of(st.sampled_from([0, 1, 17, 1460, 1461]), st.integers(0, 12_000))


@st.composite
def faults(draw: st.DrawFn, name: str = "f0") -> str:
    """A fault on the wire, as ``-object`` takes it; behind the guest's DHCP."""
    kind = draw(
        st.sampled_from(
            ["loss", "duplicate", "corrupt", "reorder,behind=2", "delay,delay=2ms,jitter=1ms"]
        )
    )
    queue = draw(st.sampled_from(["all", "rx", "tx"]))
    choice = draw(
        st.one_of(
            st.builds("probability={}%,first=5".format, st.integers(1, 40)),
            st.builds("every={},first=5".format, st.integers(2, 30)),
            st.builds("frames={}".format, st.integers(5, 40)),
        )
    )
    return f"filter-{kind},id={name},netdev=u,queue={queue},{choice}"


def drivers() -> st.SearchStrategy[str]:
    """What the guest loads for its card (``guest.modprobe``)."""
    return st.one_of(
        st.just("e1000"),
        st.builds("e1000 InterruptThrottleRate={}".format, st.sampled_from([0, 1, 3, 500, 8000])),
        st.builds("e1000 RxDescriptors={}".format, st.sampled_from([48, 80, 256])),
        st.just("e1000_plain"),
    )


@st.composite
def transfers(draw: st.DrawFn, slot: int = 0) -> dict[str, dict[str, Any]]:
    """A server and a client of TCP, one of which sends: the commands of guest and host.

    What arrives is in the file ``got`` of the side that gets it, with the slot's number.
    """
    port, size = FIRST_PORT + slot, draw(sizes())
    start = f"{CLIENTS_MS + draw(st.integers(0, 500))}ms"
    says = f"seq {1000 * (slot + 1)} 99999 | head -c {size} | "
    keeps = f" < /dev/null > got{slot}"
    if draw(st.booleans()):
        server, client = f"nc -l -p {port}{keeps}", f"{says}nc -N localhost {port}"
    else:
        server, client = f"{says}nc -N -l -p {port}", f"nc localhost {port}{keeps}"
    return {
        "guest": {"at": SERVERS, "command": server},
        "host": {"at": start, "command": client},
    }


@st.composite
def scenarios(draw: st.DrawFn, *, faulty: bool = True) -> Scenario:
    """A machine with some transfers at once, and with faults on its wire if it is ``faulty``."""
    count = draw(st.integers(1, 3))
    made = [draw(transfers(slot)) for slot in range(count)]
    forwards = "".join(f",hostfwd=tcp::{FIRST_PORT + n}-:{FIRST_PORT + n}" for n in range(count))
    options = [f"-netdev user,id=u{forwards}", "-device e1000,netdev=u"]
    if faulty:
        number = draw(st.integers(0, 2))
        options += [f"-object {draw(faults(f'f{n}'))}" for n in range(number)]
    data = {
        "qemu": options,
        "until": "20s",
        "seed": draw(st.integers(1, 999)),
        "guest": {"modprobe": draw(drivers()), "run": [one["guest"] for one in made]},
        "host": {"run": [one["host"] for one in made]},
    }
    return scenario_from(data, "drawn")


def examples() -> st.SearchStrategy[Scenario]:
    """Examples of ``desim fuzz``, by their number: wider than ``scenarios``, shrunk worse."""
    return st.integers(0, (1 << 32) - 1).map(scenario_of)
