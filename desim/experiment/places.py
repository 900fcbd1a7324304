"""Which machine a thread or a capture point is of.

The first machine's are called ``vcpu``, ``main``, ``slirp``, ``nic``; those of a further machine
``b`` are ``b vcpu``, ``b main``, ``b-slirp``, ``b-nic``.
"""

from __future__ import annotations

import re

VCPU, MAIN = "vcpu", "main"
_THREAD = re.compile(rf"(?:(.+) )?({VCPU}|{MAIN})")
_END = r"(slirp|nic|injector|socket-.+)"


def machine_thread(name: str) -> tuple[str, str] | None:
    """The machine and the kind (``vcpu``, ``main``) of one of QEMU's threads; None for others."""
    found = _THREAD.fullmatch(name)
    return None if found is None else (found[1] or "", found[2])


def machine_point(point: str) -> tuple[str, str]:
    """The machine of a capture point, and what it stands in front of, such as ``slirp``."""
    found = re.fullmatch(_END, point)
    if found is not None:
        return "", found[1]
    found = re.fullmatch(rf"(.+?)-{_END}", point)
    return ("", point) if found is None else (found[1], found[2])
