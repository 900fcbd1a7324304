"""``desim conform e1000``: the card's recordings (``e1000-vector/1``), each by ``Replay``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from desim.conform.e1000.recordings import read_recordings
from desim.conform.e1000.replay import Replay
from desim.conform.suite import Outcome, Suite


class CardSuite(Suite):
    """For QEMU 7.2's e1000."""

    def read(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """The recordings of one file or archive."""
        return read_recordings(path)

    def check(self, place: str, recording: dict[str, Any]) -> Outcome:
        """Replay one recording on a fresh card."""
        found = Replay(recording).run()
        if found is None:
            return Outcome(place=place)
        return Outcome(
            place=place,
            difference=str(found),
            fields={
                "op": found.op,
                "t_ns": found.time,
                "what": found.what,
                "expected": found.expected,
                "got": found.got,
                "detail": found.detail,
            },
        )
