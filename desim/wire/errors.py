"""What goes wrong on a wire: one error for everything that cannot be read or written."""

from __future__ import annotations


class WireError(ValueError):
    """Bytes or values that no header can hold; says what was given and what is allowed."""
