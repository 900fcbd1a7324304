"""Why a frame ended early, has to wait, or came into being.

A reason is a code with its text. What differs from frame to frame stands in the text as
``{name}`` and is the reason's data: an instant or another number, or a name (of a protocol,
an address). So reasons can be compared, and counted together: two frames that waited until
two instants waited for the same reason.

Each core declares its own in a module ``reasons`` (``desim.net.reasons``,
``desim.slirp.reasons``, ``desim.e1000.reasons``); ``desim.machine.reasons`` has all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from desim.data import NamedTuple

Datum = int | str


class Reason(NamedTuple):
    """One reason. ``str()`` gives its text with its data in it."""

    code: str
    """What it is called where programs read it: unique in a machine, words joined by ``-``."""
    text: str
    """What people read; ``{name}`` stands for the datum of that name."""
    data: tuple[tuple[str, Datum], ...] = ()
    """Name and value of each datum. A name that ends in ``_ns`` is an instant."""

    def of(self, **data: Datum) -> Reason:
        """The same reason with the data of one frame."""
        return Reason(self.code, self.text, tuple(data.items()))

    def __str__(self) -> str:
        return self.text.format_map(dict(self.data)) if self.data else self.text

    @property
    def group(self) -> tuple[str, tuple[str, ...]]:
        """Equal for reasons that are counted together: the same code, about the same names."""
        return self.code, tuple(value for _, value in self.data if isinstance(value, str))


def together(reasons: Sequence[Reason]) -> str:
    """The text of reasons of one group: a number that differs is given as a range."""
    first = reasons[0]
    shown: dict[str, Datum] = {}
    for place, (name, value) in enumerate(first.data):
        shown[name] = value
        if isinstance(value, int):
            found = [reason.data[place][1] for reason in reasons]
            numbers = [number for number in found if isinstance(number, int)]
            if min(numbers) != max(numbers):
                shown[name] = f"{min(numbers)} to {max(numbers)}"
    return str(first.of(**shown)) if shown else str(first)
