"""What the applets of busybox 1.35.0, as Debian 12 ships it, have in common."""

from __future__ import annotations

from desim.userland.program import Program
from desim.userland.programs.getopt import GetoptError
from desim.userland.programs.output import err

BANNER = "BusyBox v1.35.0 (Debian 1:1.35.0-4+deb12u1+b1) multi-call binary.\n"


class Fatal(Exception):  # noqa: N818 - an end with a message, as the C function is
    """``bb_error_msg_and_die``: the message, without the applet's name."""


def applet(name: str, usage: str, main: Program) -> Program:
    """Run ``main``; what it raises is printed, and the exit status is 1."""
    try:
        return (yield from main)
    except GetoptError as error:
        yield from err((f"{name}: {error}\n" if str(error) else "") + usage)
    except Fatal as fatal:
        yield from err(f"{name}: {fatal}\n")
    return 1


SUFFIXES = {"b": 512, "k": 1024, "m": 1024**2}
"""``bkm_suffixes``."""


def suffixed(text: str, suffixes: dict[str, int] = SUFFIXES, low: int = 0) -> int:
    """A number with a suffix (``xatou_range_sfx``)."""
    digits = len(text) - len(text.lstrip("0123456789"))
    factor = suffixes.get(text[digits:], 0) if text[digits:] else 1
    if not digits or not factor or digits > 19:
        raise Fatal(f"invalid number '{text}'")
    value = int(text[:digits]) * factor
    if value < low:
        raise Fatal(f"number {text} is not in {low}..{2**63 - 1} range")
    return value


def number(text: str, low: int = 0, high: int = 2**31 - 1) -> int:
    """A number of an option (``xatou_range``)."""
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise Fatal(f"invalid number '{text}'")
    if not low <= int(text) <= high:
        raise Fatal(f"number {text} is not in {low}..{high} range")
    return int(text)
