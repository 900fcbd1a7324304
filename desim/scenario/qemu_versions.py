"""Which slirp a line asks for: spellings that QEMU had at one time and not at another.

A spelling that is gone today selects the slirp of QEMU 2.8, the last release to have
them all, unless a version is asked for. A version that is asked for and does not go with
a spelling is refused in the words of the QEMU that lacks it, with what to write instead.

================================  ================  ==============================
gone                              asked for 4.7     today
================================  ================  ==============================
``-redir``, ``-tftp``, ``-bootp``    invalid option    a parameter of ``-netdev user``
``vlan=`` of ``-net``               Invalid parameter  left out, or ``-netdev hubport``
================================  ================  ==============================

``domainname=`` and ``tftp-server-name=`` came after 2.8, whose DHCP has no such options.
``lifetimes`` says of an option which releases take what it spells (docs/about/removed-features.rst;
``since`` in qapi/net.json; net/net.c and vl.c for ``-nic`` and JSON).
"""

from __future__ import annotations

from collections.abc import Iterator

from desim.data import Data, NamedTuple, field
from desim.devices import SlirpVersion
from desim.errors import UserError
from desim.scenario.qemu_words import Option

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


class Spellings(Data):
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


class Lifetime(NamedTuple):
    """Which releases take something that not all from 2.8 on do: from one on, or up to one."""

    written: str
    first: str | None = None
    last: str | None = None

    def __str__(self) -> str:
        return f"up to QEMU {self.last}" if self.last else f"QEMU {self.first} and later"


_FLAGS = {
    "-nic": Lifetime("-nic", first="2.12"),
    "-redir": Lifetime("-redir", last="3.0"),
    "-tftp": Lifetime("-tftp", last="3.0"),
    "-bootp": Lifetime("-bootp", last="3.0"),
}
_JSON = {"-object": "6.0", "-device": "6.2", "-netdev": "7.2"}
_KEYS = {
    ("-net", "vlan"): Lifetime("vlan=", last="2.12"),
    ("-net", "name"): Lifetime("name=", last="5.0"),
    ("-device", "init-vet"): Lifetime("init-vet=", first="6.1"),
    ("-device", "migrate_tso_props"): Lifetime("migrate_tso_props=", first="2.12"),
}
_USER_KEYS = {
    "domainname": Lifetime("domainname=", first="3.0"),
    "tftp-server-name": Lifetime("tftp-server-name=", first="3.1"),
}


def lifetimes(option: Option) -> Iterator[Lifetime]:
    """What of ``option`` not every QEMU from 2.8 on takes."""
    if option.flag in _FLAGS:
        yield _FLAGS[option.flag]
    if option.value.startswith("{") and option.flag in _JSON:
        yield Lifetime(f"{option.flag} in JSON", first=_JSON[option.flag])
    for key in dict.fromkeys(key for key, _ in option.parts):
        if (option.flag, key) in _KEYS:
            yield _KEYS[option.flag, key]
        if option.flag in ("-netdev", "-net", "-nic") and key in _USER_KEYS:
            yield _USER_KEYS[key]
    if option.last("type") in ("stream", "dgram"):
        yield Lifetime(f"{option.flag} {option.last('type')}", first="7.2")
    if option.last("type") == "hubport" and option.last("netdev") is not None:
        yield Lifetime("netdev= of a hubport", first="2.12")
