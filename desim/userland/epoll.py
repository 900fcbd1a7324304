"""epoll (fs/eventpoll.c), over what each file's ``poll_events`` says.

An interest belongs to a descriptor and the file that it stands for, and ends when that file's
last descriptor is closed. What has been reported goes behind the others, so that a program
which takes few events at once hears of all.

Not modelled: EPOLLET, EPOLLEXCLUSIVE and EPOLLWAKEUP (refused: use the level-triggered kind, with
EPOLLONESHOT to be told once), and the order in which files became ready: those that have not
been reported come in the order in which they were added.
"""

from __future__ import annotations

import errno

from desim.data import NamedTuple
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDHUP
from desim.userland.errors import failure
from desim.userland.files import File
from desim.userland.uapi import EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLONESHOT

EVENTS = POLLIN | POLLPRI | POLLOUT | POLLERR | POLLHUP | POLLRDHUP | EPOLLONESHOT
ALWAYS = POLLERR | POLLHUP
MAX_NESTS = 4
"""EP_MAX_NESTS: so many epoll files may stand below another in a row."""


class Interest(NamedTuple):
    """What a program wants to hear of one descriptor."""

    file: File
    events: int
    data: int


class Epoll(File):
    """What ``epoll_create`` makes."""

    __slots__ = ("holders", "interests")

    can_poll = True

    def __init__(self) -> None:
        super().__init__("epoll")
        self.interests: dict[tuple[int, File], Interest] = {}
        """By descriptor and file: whose turn it is first."""
        self.holders: list[Epoll] = []
        """The epoll files that wait for this one."""

    def control(self, what: int, fd: int, file: File, events: int, data: int) -> None:
        """``epoll_ctl`` of a file that can be waited for: EEXIST, ENOENT, EINVAL, ELOOP."""
        if file is self or events & ~EVENTS:
            raise failure(errno.EINVAL)
        key = (fd, file)
        self._forget_closed()
        if what == EPOLL_CTL_ADD:
            if key in self.interests:
                raise failure(errno.EEXIST)
            if isinstance(file, Epoll):
                if file.holds(self) or file.below() + 1 + self.above() > MAX_NESTS:
                    raise failure(errno.ELOOP)
                file.holders.append(self)
            self.interests[key] = Interest(file, events | ALWAYS, data)
        elif what not in (EPOLL_CTL_DEL, EPOLL_CTL_MOD):
            raise failure(errno.EINVAL)
        elif key not in self.interests:
            raise failure(errno.ENOENT)
        elif what == EPOLL_CTL_DEL:
            self._drop(key)
        else:
            self.interests[key] = Interest(file, events | ALWAYS, data)

    def ready(self, limit: int) -> list[tuple[int, int]]:
        """(events, data) of at most ``limit`` files that are ready."""
        self._forget_closed()
        found = []
        for key, interest in list(self.interests.items()):
            events = interest.file.poll_events() & interest.events
            if events:
                found.append((events, interest.data))
                del self.interests[key]
                if interest.events & EPOLLONESHOT:
                    interest = interest._replace(events=EPOLLONESHOT)
                self.interests[key] = interest
                if len(found) == limit:
                    break
        return found

    def holds(self, other: Epoll) -> bool:
        """Whether ``other`` stands below here."""
        return any(file is other or file.holds(other) for file in self._nested())

    def below(self) -> int:
        """How many epoll files stand in a row below here."""
        return max((1 + file.below() for file in self._nested()), default=0)

    def above(self) -> int:
        """How many stand in a row above."""
        return max((1 + holder.above() for holder in self.holders), default=0)

    def _nested(self) -> list[Epoll]:
        return [i.file for i in self.interests.values() if isinstance(i.file, Epoll)]

    def read(self, size: int) -> bytes:
        raise failure(errno.EINVAL)

    def write(self, data: bytes) -> int:
        raise failure(errno.EINVAL)

    def poll_events(self) -> int:
        self._forget_closed()
        for interest in self.interests.values():
            if interest.file.poll_events() & interest.events:
                return POLLIN
        return 0

    def sources(self) -> list[File]:
        self._forget_closed()
        found: list[File] = []
        for interest in self.interests.values():
            found += interest.file.sources()
        return found

    def close(self) -> None:
        for key in list(self.interests):
            self._drop(key)

    def _forget_closed(self) -> None:
        for key, interest in list(self.interests.items()):
            if not interest.file.users:
                self._drop(key)

    def _drop(self, key: tuple[int, File]) -> None:
        file = self.interests.pop(key).file
        if isinstance(file, Epoll):
            file.holders.remove(self)
