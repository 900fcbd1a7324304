"""slirp's recordings (format ``slirp-vector/1``), of libslirp 4.7.0 and of QEMU 2.8's own stack.

The replay itself is ``desim.conform.slirp.replay``. A recording says in ``library`` which of
the two it is of.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from desim.conform.slirp.recordings import read_recordings
from desim.conform.slirp.replay import replay
from desim.conform.suite import Outcome, Suite
from desim.errors import DifferenceError, RecordingError
from desim.slirp.version import VERSION_2_8, VERSION_4_7, Version


class SlirpSuite(Suite):
    """For both versions of the user-mode stack."""

    def read(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """The recordings of one file or archive."""
        return read_recordings(path)

    def check(self, place: str, recording: dict[str, Any]) -> Outcome:
        """Replay one recording on a fresh stack; the first difference is shown decoded."""
        version = library_version(recording.get("library"))
        try:
            replay(recording, version)
        except DifferenceError as found:
            first, _, rest = str(found).partition("\n")
            return Outcome(
                place=place, difference=first, shown=rest, fields={"what": first, "decoded": rest}
            )
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            # The format has too many fields to check them all before their use.
            raise RecordingError(f"a field is missing or wrong ({error!r})") from error
        return Outcome(place=place)


def library_version(library: object) -> Version:
    """The version that a recording's ``library`` names."""
    if isinstance(library, str):
        if library.startswith("libslirp 4.7.0"):
            return VERSION_4_7
        if library.startswith("QEMU user networking of November 2016"):
            return VERSION_2_8
    raise RecordingError(f"library {library!r} is neither libslirp 4.7.0 nor QEMU 2.8's stack")
