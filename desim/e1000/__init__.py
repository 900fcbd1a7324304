"""The card: QEMU's e1000, its registers, rings, interrupts and mitigation."""

from desim.e1000.card import E1000
from desim.e1000.pci import MODELS

__all__ = ["E1000", "MODELS"]
