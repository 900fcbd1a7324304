"""Which machine a line is for: the program's name, ``-machine``, and what they make of the card.

A machine decides two things about the network. When no option names a card, it has one of
its own, and the older ones set properties of an e1000 as the QEMU of their version had it
(hw/core/machine.c, hw/i386/pc.c, pc_piix.c; ``*_compat_*`` and ``default_nic_model``):

================================  =====================  =================================
machine                           card of its own        properties of an e1000
================================  =====================  =================================
``pc``, ``pc-i440fx-6.1`` and later  e1000                  as in QEMU today
``pc-i440fx-6.0`` and before       e1000                  ``init-vet=off``
``... 2.11`` and before            e1000                  and ``migrate_tso_props=off``
``... 2.4`` and before             e1000                  and ``extra_mac_registers=off``
``... 1.6`` and before             e1000                  and ``mitigation=off``
``pc-1.3`` and before              e1000                  and ``autonegotiation=off``
``q35``, ``pc-q35-2.12`` and later   e1000e                 as of the same version of ``pc``
``pc-q35-2.11`` and before         e1000                  as of the same version of ``pc``
``isapc``                         ne2k_isa
``microvm``, ``none``, ``xenpv``    none
================================  =====================  =================================

``autonegotiation=off`` is in no QEMU that also takes today's options, and is here for lines
of that time. Machines of other architectures are known by the cards they have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from desim.data import NamedTuple
from desim.devices import CardModel
from desim.errors import nearest
from desim.scenario.qemu_words import Option, Program, word_set

E1000: CardModel = "e1000"
UNKNOWN = "?"
"""A card that is none of those that are modelled, whichever it is."""

COMPAT = (
    ((6, 0), "init-vet"),
    ((2, 11), "migrate_tso_props"),
    ((2, 4), "extra_mac_registers"),
    ((1, 6), "mitigation"),
    ((1, 3), "autonegotiation"),
)
"""The last version whose machines switch a property of the card off, newest first."""

Q35_E1000E = (2, 12)
"""The first version whose q35 has an e1000e."""

_PLAIN = {
    "pc": E1000,
    "q35": "e1000e",
    "isapc": "ne2k_isa",
    "microvm": None,
    "none": None,
    "xenfv": "e1000",
    "xenpv": None,
    "x-remote": None,
    "nitro-enclave": None,
}
"""Machines of x86 without a version in their names, and their own cards."""

_VERSIONED = r"pc(-i440fx|-q35|)-([0-9])\.([0-9]{1,2})(\.[0-9])?"

_OTHERS = {
    "aarch64": {"virt": "virtio-net-pci", "sbsa-ref": "e1000e", "raspi3b": "usb-net"},
    "arm": {
        "virt": "virtio-net-pci",
        "vexpress-a9": "lan9118",
        "vexpress-a15": "lan9118",
        "versatilepb": "smc91c111",
        "versatileab": "smc91c111",
        "realview-pb-a8": "lan9118",
        "realview-pbx-a9": "lan9118",
    },
    "riscv64": {"virt": "virtio-net-device", "sifive_u": "cadence_gem"},
    "riscv32": {"virt": "virtio-net-device"},
    "ppc64": {"pseries": "spapr-vlan", "powernv": "e1000e", "mac99": "sungem"},
    "ppc": {"g3beige": "ne2k_pci", "mac99": "sungem"},
    "mips": {"malta": "pcnet"},
    "mipsel": {"malta": "pcnet"},
    "mips64": {"malta": "pcnet"},
    "mips64el": {"malta": "pcnet", "loongson3-virt": "virtio-net-pci"},
    "s390x": {"s390-ccw-virtio": "virtio-net-ccw"},
    "sparc": {"SS-5": "lance"},
    "sparc64": {"sun4u": "sunhme"},
    "m68k": {"q800": "dp83932", "virt": "virtio-net-device"},
    "loongarch64": {"virt": "virtio-net-pci"},
    "hppa": {"hppa": "tulip"},
    "alpha": {"clipper": "e1000"},
}
"""Machines of other architectures that lines name, and their own cards."""

_X86 = word_set("x86_64 i386")


class Board(NamedTuple):
    """What the machine decides about the network."""

    name: str
    """As a message calls it: ``-machine q35``, ``qemu-system-aarch64 -machine virt``."""
    card: str | None
    """The model of its own card, which a card without a model is, too; None: it has none."""
    off: frozenset[str]
    """Properties of an e1000 that are off unless an option says otherwise."""
    is_x86: bool

    def refusal(self) -> str | None:
        """Why its own card cannot be had here, and what to do; None if it can."""
        if self.card == E1000:
            return None
        way_out = "name a card that is modelled: -nic user,model=e1000"
        if self.card is None:
            return f"{self.name} has no card of its own; {way_out}"
        if self.card == UNKNOWN:
            return f"the card of {self.name} is none that is modelled; {way_out}"
        return f"the card of {self.name} is {self.card}, which is not modelled; {way_out}"


def read_board(program: Program, options: Sequence[Option], mistakes: list[str]) -> Board:
    """The machine of a line; the last ``-machine`` that names a type counts, as in QEMU."""
    name, option = None, None
    for one in options:
        named = one.last("type")
        if named is not None:
            name, option = named, one
    arch = program.arch
    if arch not in _X86:
        return _other(arch, program, name)
    shown = f"-machine {name}" if name else "-machine pc"
    if name is None:
        return Board(shown, E1000, frozenset(), True)
    if name in _PLAIN:
        return Board(shown, _PLAIN[name], frozenset(), True)
    found = re.fullmatch(_VERSIONED, name)
    if found is None:
        known = [*_PLAIN, "pc-i440fx-7.2", "pc-q35-7.2"]
        mistakes.append(f"{option}: unsupported machine type '{name}'{nearest(name, known)}")
        return Board(shown, E1000, frozenset(), True)
    version = (int(found[2]), int(found[3]))
    off = frozenset(key for last, key in COMPAT if version <= last)
    newer_q35 = found[1] == "-q35" and version >= Q35_E1000E
    return Board(shown, "e1000e" if newer_q35 else E1000, off, True)


def _other(arch: str, program: Program, name: str | None) -> Board:
    known = _OTHERS.get(arch, {})
    shown = f"{program.name} -machine {name}" if name else program.name
    # A name with a version, such as virt-7.2, is that machine as it was then.
    plain = re.sub(r"-[0-9]+\.[0-9]+$", "", name) if name else ""
    return Board(shown, known.get(plain, UNKNOWN), frozenset(), False)


def note(board: Board) -> list[str]:
    """What the user should know of the machine before trusting the run."""
    if not board.is_x86:
        return [f"{board.name}: the guest is modelled as a PC with Linux, whatever the machine is"]
    off = sorted(board.off)
    if not off:
        return []
    return [f"{board.name} sets {', '.join(f'e1000.{key}=off' for key in off)}"]


def machine_list() -> str:
    """What ``-machine help`` lists: machines whose own card is modelled, and the others."""
    own = "".join(f"{name:<20} its own card is {card or 'none'}\n" for name, card in _PLAIN.items())
    return (
        "Machines of x86 (what is modelled is the network; a card that a line names runs on any):\n"
        f"{own}"
        f"{'pc-i440fx-VERSION':<20} its own card is e1000, with the properties of that QEMU\n"
        f"{'pc-q35-VERSION':<20} its own card is e1000e, up to 2.11 e1000\n"
    )
