"""Character devices behind ``guestfwd=`` (qemu-char.c): ``null`` and ``file``.

What the guest sends goes into the device inside the guest's own access to the card, all
of it; neither kind ever has anything for the guest. A file is there, empty, from the
start of the run, as QEMU opens it when it reads its command line. A log (``logfile=``) gets
what the device has taken, behind it, and is there from the start, too.

Not modelled: every other kind of character device, and multiplexing.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.devices import Chardev
from desim.stages import QEMU, mark, stages
from desim.userland.files import File, Null, VirtualTree

TOUCH_POINT = "user"


class CharBackend:
    """A device as its user sees it; ``touch`` meets the other threads before each write."""

    STAGES = stages(
        QEMU,
        qemu_chr_fe_write_all=mark("qemu_chr_fe_write_all", file="qemu-char.c", size="data"),
    )

    def __init__(self, device: Chardev, *, tree: VirtualTree, touch: Callable[[], None]) -> None:
        self.touch = touch
        self.file: File = Null()
        if device.kind == "file":
            self.file = tree.open(device.path, append=device.append)
        self.log: File = Null()
        if device.logfile:
            self.log = tree.open(device.logfile, append=device.logappend)

    def qemu_chr_fe_write_all(self, data: bytes) -> None:
        """Write ``data``; ``OSError`` if the run may leave no more bytes behind."""
        self.touch()
        self.file.write(data)
        self.log.write(data)
