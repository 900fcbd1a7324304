"""The originals that there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from desim.against.original import Original


def _libslirp() -> Original:
    from desim.against.libslirp.original import Libslirp

    return Libslirp()


def _qemu() -> Original:
    from desim.against.qemu.original import Qemu

    return Qemu()


ORIGINALS: Mapping[str, Callable[[], Original]] = {"libslirp": _libslirp, "qemu": _qemu}
"""By name; called when it is asked for."""
