"""What the names of files mean: the system's own, what programs have written, the user's.

Not modelled: files of the system beyond a few.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping

from desim.ports import Random
from desim.spool import Log
from desim.userland.errors import failure
from desim.userland.files import (
    DEVICES,
    File,
    InputFile,
    Null,
    RandomBytes,
    VirtualTree,
    Zero,
    plain,
)
from desim.userland.uapi import FileStatus
from desim.wire.addresses import LOOPBACK, ip_text

ROOT = "./"


class FileSystem:
    """The files of one side.

    ``files`` gives the user's file of that name, or raises ``KeyError``; that of a folder
    (``NAME/``) lists the files below it, one per line; ``ROOT`` all that there are. ``tree``
    takes what programs write. ``hosts`` is /etc/hosts, ``random`` gives /dev/urandom its key.
    ``system`` makes each file of the system anew at each reading.
    """

    def __init__(
        self,
        *,
        files: Callable[[str], Log],
        tree: VirtualTree,
        random: Random,
        hosts: Mapping[str, bytes] | None = None,
    ) -> None:
        self.files = files
        self.tree = tree
        self._random = random
        self.hosts = {"localhost": LOOPBACK} if hosts is None else dict(hosts)
        self.resolv_conf = ""
        """/etc/resolv.conf."""
        self.asks_names = True
        """Whether names that are not in /etc/hosts are asked of name servers (nsswitch.conf)."""
        self.asks_addresses = False
        """Whether addresses that are not there are, too."""
        self.system: dict[str, Callable[[], str]] = {
            "/dev/null": lambda: "",
            "/etc/hosts": self._etc_hosts,
            "/etc/resolv.conf": lambda: self.resolv_conf,
        }

    def open(self, kind: str, name: str) -> File:
        """Open a file as a redirection does: ``<``, ``>`` or ``>>``.

        ENOENT, EISDIR, ENOTDIR; ``ValueError`` for a name that may not be written.
        """
        if name in DEVICES:
            return self._device(name)
        if kind == "<":
            return InputFile(name, self.content(name))
        return self.tree.open(name, append=kind == ">>")

    def _device(self, name: str) -> File:
        if name == "/dev/null":
            return Null()
        if name == "/dev/zero":
            return Zero()
        stream = self._random("urandom")
        return RandomBytes(b"".join(stream.u32().to_bytes(4, "big") for _ in range(8)))

    def content(self, name: str) -> Log:
        """What the file ``name`` holds now; ENOENT if there is none, EISDIR for a folder."""
        show = self.system.get(name)
        if show is not None:
            return Log.of(show().encode())
        written = self.tree.files.get(plain(name))
        if written is not None:
            return written.log
        try:
            return self.files(plain(name))
        except KeyError:
            code = errno.EISDIR if self._is_folder(name) else errno.ENOENT
            raise failure(code) from None

    def status(self, name: str) -> FileStatus:
        """What ``stat`` says; ENOENT if there is nothing of that name."""
        written = self.tree.files.get(plain(name))
        if written is not None:
            return FileStatus(written.log.size, written.modified_ns, False)
        try:
            return FileStatus(self.content(name).size, 0, False)
        except IsADirectoryError:
            return FileStatus(0, 0, True)

    def listdir(self, name: str) -> list[str]:
        """The names in a folder, sorted; ENOENT, or ENOTDIR for a file."""
        if not self.status(name).folder:
            raise failure(errno.ENOTDIR)
        path = plain(name)
        prefix = path + "/" if path else ""
        known = [*self.tree.files, *self._users()]
        below = {one[len(prefix) :].partition("/")[0] for one in known if one.startswith(prefix)}
        return sorted(below)

    def _users(self) -> list[str]:
        """The names of the user's files."""
        try:
            return self.files(ROOT).whole().decode().splitlines()
        except KeyError:
            return []

    def _etc_hosts(self) -> str:
        rows = (f"{ip_text(address)}\t{known}\n" for known, address in self.hosts.items())
        return "".join(rows)

    def _is_folder(self, name: str) -> bool:
        path = plain(name)
        if path == "":
            return True
        below = path + "/"
        if any(one.startswith(below) for one in (*self.tree.files, *self._users())):
            return True
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth]) + "/"
            try:
                names = self.files(folder).whole().decode().split("\n")
            except KeyError:
                continue
            return folder == below or any((folder + one).startswith(below) for one in names)
        return False
