"""``help`` on QEMU's command line: what can be given here, which is less than in QEMU.

QEMU prints a list and ends for ``-device help``, ``-device e1000,help``, ``-netdev help``,
``-nic model=help``, ``-net nic,model=?``, ``-machine help``, ``-object help`` and
``-object filter-loss,help``. The lists here name what is modelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from desim.scenario.qemu_words import Option

WORDS = ("help", "?")


def help_asked(options: Sequence[Option], lists: dict[str, Callable[[str], str]]) -> str | None:
    """The list that the first option which asks for one gets; None if none does.

    ``lists`` has, for each kind of list (``machine``, ``device``, ``card``, ``netdev``,
    ``object``), what makes its text for a name, or for ``""``.
    """
    for option in options:
        asked = _asked(option)
        if asked is not None:
            kind, name = asked
            return lists[kind](name)
    return None


def _asked(option: Option) -> tuple[str, str] | None:
    """Which list an option asks for, and of what."""
    first = option.parts[0][1] if option.parts else ""
    wants = first in WORDS or any(key in WORDS and value == "on" for key, value in option.parts)
    if option.flag in ("-machine", "-M") and wants:
        return "machine", ""
    if option.flag in ("-net", "-nic") and option.last("model") in WORDS:
        return "card", ""
    if option.flag in ("-netdev", "-net", "-nic") and wants:
        return "netdev", ""
    kind = {"-device": "device", "-object": "object"}.get(option.flag)
    if kind is not None and wants:
        return kind, "" if first in WORDS else first
    return None
