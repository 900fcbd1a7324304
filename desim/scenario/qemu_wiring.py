"""What QEMU's options wire up: cards, backends, hubs; and whether they reach each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desim.data import Data, field
from desim.devices import (
    CARD_SWITCHES,
    CardModel,
    HubPort,
    Nic,
    SlirpVersion,
    SocketNet,
    UserNet,
)
from desim.scenario.qemu_machine import E1000, Board
from desim.scenario.qemu_machine import note as board_note
from desim.scenario.qemu_user import Complain, OpenFolder
from desim.scenario.qemu_versions import Spellings
from desim.scenario.qemu_words import Chardevs, Option

if TYPE_CHECKING:
    from desim.filters import NetdevEnd, NetFilter

IGNORED = "no effect on the network, ignored: "
"""How the note on what has none begins; a list follows."""


class Network(Data):
    """What the options come to."""

    user: UserNet | None
    nic: Nic | None
    hub: bool
    notes: list[str]
    sockets: list[SocketNet] = field(default_factory=list)
    hub_ports: list[HubPort] | None = None
    """None: the user network's and the card's."""
    filters: list[NetFilter] = field(default_factory=list)
    spellings: Spellings = field(default_factory=Spellings)
    """What of the line not every QEMU has."""
    icount_shift: int | None = None
    """An instruction of the guest lasts ``2 ** icount_shift`` ns; None: not said."""

    def clients(self) -> list[str]:
        """Net clients by the names that QEMU's monitor has for them."""
        ends = [end.name for end in (self.nic,) if end is not None]
        ends += [end.id for end in (self.user, *self.sockets) if end is not None]
        ports = [port.name for port in self.hub_ports or ()]
        if self.hub and not ports:
            ports = [f"hub0port{number}" for number in range(len(ends))]
        return ends + ports

    def choose_slirp(self, asked: SlirpVersion | None) -> None:
        """Settle whose slirp it is; :class:`UserError` if the line does not go with ``asked``."""
        version = self.spellings.choose(asked, self.notes)
        if self.user is not None:
            self.user.version = version
        elif asked is not None:
            self.notes.append(f"slirp {asked}: no effect, the machine has no user network")


class Hub(Data):
    number: int
    ports: list[HubPort] = field(default_factory=list)
    """In the order in which they are made; a card is called ``CARD`` until its name is known."""

    def add(self, client: str | None, name: str = "") -> None:
        """One more port; it has a name by itself."""
        name = name or f"hub{self.number}port{len(self.ports)}"
        self.ports.append(HubPort(name=name, client=client))

    def has(self, client: str) -> bool:
        """Whether a client is at one of the ports."""
        return any(port.client == client for port in self.ports)


CARD = "\0card"


class Wiring(Data):
    """The options read so far; ``users``, ``sockets`` and ``ports`` share one space of names."""

    open_folder: OpenFolder
    mistakes: list[str]
    chardevs: Chardevs
    board: Board
    users: dict[str, UserNet] = field(default_factory=dict)
    sockets: dict[str, SocketNet] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    """Hub ports by id, with the number of their hub."""
    hubs: dict[int, Hub] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    """Ids of backends that have a peer."""
    refused: set[str] = field(default_factory=set)
    """Ids of backends that were a mistake: naming one of them is no second one."""
    nics: list[Nic] = field(default_factory=list)
    direct: str | None = None
    """The backend that is the card's own peer."""
    ignored: list[str] = field(default_factory=list)
    filters: list[Option] = field(default_factory=list)
    """``-object filter-...``, to be read when all backends are there."""
    spellings: Spellings = field(default_factory=Spellings)
    default_net: bool = False
    """QEMU adds its own card and user network, because no option speaks of any."""

    def complainer(self, option: Option) -> Complain:
        return lambda text: self.mistakes.append(f"{option}: {text}")

    def ignore(self, place: str, option: Option, keys: frozenset[str]) -> None:
        """Note which of ``keys`` are given: they have no effect here."""
        self.ignored += [f"{place},{key}={value}" for key, value in option.parts if key in keys]

    def netdevs(self) -> dict[str, NetdevEnd]:
        """All backends with an id, and which end of the wiring each is."""
        cards = {nic.netdev for nic in self.nics}
        found: dict[str, NetdevEnd] = dict.fromkeys(self.users, "user")
        found |= {name: f"netdev:{name}" for name in self.sockets}
        if self.wide():
            return found | {name: f"netdev:{name}" for name in self.ports}
        for name in self.ports:
            found[name] = "nic_port" if name in cards else "user_port"
        for name in self.refused:
            found.setdefault(name, "user")
        return found

    def wide(self) -> bool:
        """Whether there is a hub of other than the user network's port and the card's."""
        for hub in self.hubs.values():
            if sorted(port.client or "" for port in hub.ports) != sorted([CARD, *self.users]):
                return True
        return False

    def card(self, model: CardModel = E1000, name: str | None = None) -> Nic:
        """A card with the id ``name`` and the properties that the machine gives it."""
        nic = Nic(model=model, id=name)
        for key, name in CARD_SWITCHES.items():
            if key in self.board.off:
                setattr(nic, name, False)
        return nic

    def hub(self, number: int) -> Hub:
        return self.hubs.setdefault(number, Hub(number))


def connect(wiring: Wiring, backends: Sequence[Option]) -> Network:
    """Check that the card and the backends reach each other, and say how."""
    mistakes = wiring.mistakes
    if len(wiring.nics) > 1:
        why = ""
        if wiring.default_net:
            why = " (one is QEMU's own, as there is no -netdev, -net or -nic)"
        mistakes.append(
            f"{len(wiring.nics)} network cards{why}: more than one is not modelled; "
            "a further machine has one of its own ([machine.NAME] in a scenario)"
        )
    if len(wiring.users) > 1:
        names = ", ".join(wiring.users)
        mistakes.append(f"{len(wiring.users)} user networks ({names}): more than one not modelled")
    user = next(iter(wiring.users.values()), None)
    nic = wiring.nics[0] if wiring.nics else None
    notes = board_note(wiring.board)
    if not mistakes:
        wrong = _same_name(wiring, nic) or _reaches(wiring, user, nic)
        if wrong:
            mistakes.append(f"{_listed(backends)}: {wrong}")
        notes += _warnings(wiring)
    wiring.ignored += [f"-chardev {option.last('backend')}" for option in wiring.chardevs.unused()]
    if wiring.ignored:
        notes.append(IGNORED + ", ".join(wiring.ignored))
    ports = None
    if wiring.direct is None and wiring.hubs:
        (hub,) = list(wiring.hubs.values())[:1]
        card = None if nic is None else nic.name
        ports = [
            HubPort(name=port.name, client=card if port.client == CARD else port.client)
            for port in hub.ports
        ]
    return Network(
        user=user,
        nic=nic,
        hub=wiring.direct is None,
        notes=notes,
        sockets=list(wiring.sockets.values()),
        hub_ports=ports,
        spellings=wiring.spellings,
    )


def _same_name(wiring: Wiring, nic: Nic | None) -> str:
    """Which name two clients have; "" if each has its own."""
    names = [*wiring.users, *wiring.sockets, *([nic.name] if nic is not None else [])]
    for hub in wiring.hubs.values():
        names += [port.name for port in hub.ports]
    names += ["inject"] if wiring.hubs else []
    for name in names:
        if names.count(name) > 1:
            return (
                f"Duplicate ID '{name}': something else has this name; give the netdev another id"
            )
    return ""


def _reaches(wiring: Wiring, user: UserNet | None, nic: Nic | None) -> str:
    """What is wrong with the wiring; "" if nothing is."""
    hubs = list(wiring.hubs.values())
    if len(hubs) > 1 or (hubs and wiring.direct is not None):
        what = "a second hub" if len(hubs) > 1 else "a hub beside a card with a peer of its own"
        return f"{what} is not modelled; put all on one hub"
    hub = hubs[0] if hubs else Hub(0)
    if nic is None:
        if user is None or len(hub.ports) > 1:
            return ""
        return "netdev has no peer; it needs a card (-device e1000,netdev=ID or -net nic)"
    if wiring.direct is None and not hub.has(CARD):
        if user is not None:
            return (
                f"the card has no way to {user.id}; connect them (-device e1000,netdev={user.id})"
            )
        return (
            "nic has no peer; it needs a user network (-netdev user,id=ID or -net user), "
            "a socket or a hub port"
        )
    if user is not None and wiring.direct != user.id and not hub.has(user.id):
        return f"the card has no way to {user.id}; connect them (-device e1000,netdev={user.id})"
    return ""


def _warnings(wiring: Wiring) -> list[str]:
    """What QEMU warns of and runs all the same."""
    found = []
    for hub in wiring.hubs.values():
        found += [
            f"warning: hub port {port.name} has no peer"
            for port in hub.ports
            if port.client is None
        ]
        if not hub.has(CARD):
            found.append(f"warning: hub {hub.number} with no nics")
        elif not any(port.client not in (None, CARD) for port in hub.ports):
            found.append(f"warning: hub {hub.number} is not connected to host network")
    found += [
        f"warning: netdev {name} has no peer" for name in wiring.sockets if name not in wiring.taken
    ]
    return found


def _listed(options: Sequence[Option]) -> str:
    return " ".join(map(str, options)) or "-device"
