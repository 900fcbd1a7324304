"""Which slirp a line asks for: spellings that QEMU had at one time and not at another.

A spelling that is gone today selects the slirp of QEMU 2.8, the last release to have
them all, unless a version is asked for. A version that is asked for and does not go with
a spelling is refused in the words of the QEMU that lacks it, with what to write instead.

================================  ================  ==============================
gone (last in)                    asked for 4.7     today
================================  ================  ==============================
``-redir``, ``-tftp``, ``-bootp``    invalid option    a parameter of ``-netdev user``
``vlan=`` of ``-net``               Invalid parameter  left out, or ``-netdev hubport``
================================  ================  ==============================

``domainname=`` and ``tftp-server-name=`` came after 2.8, whose DHCP has no such options.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from desim.devices import SlirpVersion
from desim.errors import UserError

NEWEST: SlirpVersion = "4.7"
OLDEST: SlirpVersion = "2.8"

NEWER_KEYS = ("domainname", "tftp-server-name")
"""Keys of ``-netdev user`` that are without effect in QEMU 2.8: it has none such."""


class Spelling(NamedTuple):
    """Something on the line that not every QEMU has."""

    written: str
    refusal: str
    """What a QEMU without it says."""
    instead: str
    """What to do about that."""

    def __str__(self) -> str:
        return f"{self.written}: {self.refusal}; {self.instead}"


@dataclass(slots=True)
class Spellings:
    """Those of one line, in the order written."""

    gone: list[Spelling] = field(default_factory=list)
    """What only QEMU up to 2.8 (or not long after) has."""
    newer: list[Spelling] = field(default_factory=list)
    """What QEMU 2.8 does not have yet."""

    def choose(self, asked: SlirpVersion | None, notes: list[str]) -> SlirpVersion:
        """The version, given the one that was asked for; :class:`UserError` if they disagree.

        What the line decided by itself is added to ``notes``.
        """
        version = asked or (OLDEST if self.gone else NEWEST)
        if refused := self.gone if version == NEWEST else self.newer:
            raise UserError(*map(str, refused))
        if self.gone and asked is None:
            written = ", ".join(dict.fromkeys(spelling.written for spelling in self.gone))
            notes.append(f"{written}: an old spelling, so slirp is that of QEMU {OLDEST}")
        return version
