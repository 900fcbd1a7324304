"""What the injector sends on a hub meets what the real one's peers met: order, waits and losses.

The family ``hub`` of the recordings: three ports, some of them deaf, queues to their limit. The
frames that a peer's card was recorded to send are sent by an injector in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from documents import ROOT

from desim.config import Train
from desim.conform.e1000.recordings import read_recordings
from desim.conform.e1000.replay import Replay
from desim.machine.injector import Injector

ARCHIVE = ROOT / "tests" / "vectors" / "e1000" / "hub.tar.xz"
HUB = {
    vector["name"]: vector
    for _, vector in read_recordings(ARCHIVE)
    if any(op["op"] == "inject" for op in vector["ops"])
}


class Injected(Replay):
    """Its peers' frames are an injector's."""

    injectors = 0

    def _inject(self, op: Mapping[str, Any]) -> None:
        frames = [(0, bytes.fromhex(frame)) for frame in op["frames"]] * op.get("repeat", 1)
        train = Train(at_ns=self.clock.now(), frames=frames)
        injector = Injector([train], port=self.net.port(op["dev"]), clock=self.clock)
        injector.send()
        assert not injector.pending
        Injected.injectors += 1


@pytest.mark.parametrize("name", HUB)
def test_an_injector_on_the_hub_is_as_good_as_a_recorded_peer(name: str) -> None:
    before = Injected.injectors
    assert Injected(HUB[name]).run() is None
    assert Injected.injectors > before
