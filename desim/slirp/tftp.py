"""The TFTP server (slirp/tftp.c, RFC 1350, RFC 2347 to 2349).

Read requests in octet mode only, 20 sessions at once, whose slots are taken again
after 5 idle seconds. Options blksize and tsize, two at most. Each ACK, whatever its
number, sends the next block: nothing is ever sent again.

The files are those of the configuration; names are taken below that root, and
"../" is refused.

Not modelled: how large a folder is. The real one's tsize is that of the file system it lies
in (4,096 bytes on ext4, by the number of its entries on tmpfs); here it is 0.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from desim.ports import Endpoint
from desim.slirp import reasons
from desim.slirp.datagram import Datagram
from desim.slirp.socket import IPTOS_LOWDELAY
from desim.slirp.udp import UDP_HLEN
from desim.stages import QEMU, mark, stages

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

TFTP_SESSIONS_MAX = 20
TFTP_FILENAME_MAX = 512
TFTP_BLOCKSIZE = 512
SESSION_IDLE_MS = 5000
OPTIONS_MAX = 2

TFTP_RRQ = 1
TFTP_DATA = 3
TFTP_ACK = 4
TFTP_ERROR = 5
TFTP_OACK = 6

NOT_FOUND = (1, b"File not found")
VIOLATION = (2, b"Access violation")
BAD_MODE = (4, b"Unsupported transfer mode")

_NUMBER = rb"[ \t\n\v\f\r]*([+-]?[0-9]+)"


class _Session:
    """One transfer."""

    __slots__ = ("block_nr", "block_size", "client", "content", "server", "timestamp")

    def __init__(self, client: Endpoint, server: Endpoint, timestamp: int) -> None:
        self.client = client
        self.server = server
        self.timestamp = timestamp
        self.block_nr = 0
        self.block_size = TFTP_BLOCKSIZE
        self.content: bytes | None = b""
        """None: it can be opened but not read, a directory."""


class Tftp:
    """The sessions and the protocol."""

    STAGES = stages(
        QEMU,
        tftp_input=mark("tftp_input", file="slirp/tftp.c"),
        _handle_rrq=mark("tftp_handle_rrq", file="slirp/tftp.c"),
        _send_next_block=mark("tftp_send_next_block", file="slirp/tftp.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        self._sessions: list[_Session | None] = [None] * TFTP_SESSIONS_MAX

    def tftp_input(self, datagram: Datagram, sport: int, dport: int) -> None:
        """A datagram for port 69 of the host."""
        message = datagram.payload[UDP_HLEN:]
        if len(message) < 2:
            self.slirp.drop(datagram.frame, reasons.TFTP_TOO_SHORT)
            return
        op = message[0] << 8 | message[1]
        client = (datagram.src, sport)
        server = (datagram.dst, dport)
        slot = self._find(client)
        if op == TFTP_RRQ:
            if slot is not None:
                self._sessions[slot] = None
            self._handle_rrq(client, server, message[2:])
        elif slot is not None:
            if op == TFTP_ACK:
                self._send_next_block(slot, server)
            elif op == TFTP_ERROR:
                self._sessions[slot] = None

    def _find(self, client: Endpoint) -> int | None:
        for slot, session in enumerate(self._sessions):
            if session is not None and session.client == client:
                return slot
        return None

    def _allocate(self, client: Endpoint, server: Endpoint) -> int | None:
        now = self.slirp.curtime
        for slot, session in enumerate(self._sessions):
            if session is None or now - session.timestamp > SESSION_IDLE_MS:
                self._sessions[slot] = _Session(client, server, now)
                return slot
        return None

    def _handle_rrq(self, client: Endpoint, server: Endpoint, request: bytes) -> None:
        slot = self._allocate(client, server)
        if slot is None:
            return
        session = self._sessions[slot]
        assert session is not None
        answer = self._open(session, request)
        if isinstance(answer, tuple):
            self._send_error(slot, server, answer)
        elif answer:
            self._send(session, server, TFTP_OACK.to_bytes(2, "big") + answer)
        else:
            self._send_next_block(slot, server)

    def _open(self, session: _Session, request: bytes) -> bytes | tuple[int, bytes]:
        """Look into a read request: the options to confirm, or an error."""
        files = self.slirp.config.tftp
        if files is None:
            return VIOLATION
        end = request.find(b"\0", 0, TFTP_FILENAME_MAX)
        if end < 0 or len(request) - end - 1 < 6:
            return VIOLATION
        name = request[:end]
        at = end + 1
        if request[at : at + 6].lower() != b"octet\0":
            return BAD_MODE
        if b"../" in name or name in (b"",) or name.endswith(b"/"):
            return VIOLATION
        path = posixpath.normpath(b"/" + name).lstrip(b"/").decode("utf-8", "surrogateescape")
        if path in files:
            session.content = files[path]
        elif path == "" or any(known.startswith(path + "/") for known in files):
            session.content = None
        else:
            return NOT_FOUND
        if request[-1]:
            return VIOLATION
        return self._options(session, request[at + 6 :])

    def _options(self, session: _Session, rest: bytes) -> bytes | tuple[int, bytes]:
        limit = self.slirp.version.tftp_blocksize_max
        confirmed: list[bytes] = []
        words = rest.split(b"\0")[:-1]
        while words and len(confirmed) < OPTIONS_MAX:
            if len(words) < 2:
                return VIOLATION
            key, value = words[0].lower(), _atoi(words[1])
            del words[:2]
            if key == b"tsize":
                size = value or len(session.content or b"")
                confirmed.append(b"tsize\0%d\0" % (size & 0xFFFFFFFF))
            elif key == b"blksize" and value >= self.slirp.version.tftp_blocksize_min:
                session.block_size = min(value, limit)
                confirmed.append(b"blksize\0%d\0" % session.block_size)
        return b"".join(confirmed)

    def _send_next_block(self, slot: int, server: Endpoint) -> None:
        session = self._sessions[slot]
        assert session is not None
        if session.content is None:
            # slirp takes the server's port from the wrong, empty, buffer here.
            self._send_error(slot, (server[0], 0), NOT_FOUND)
            return
        start = session.block_nr * session.block_size
        data = session.content[start : start + session.block_size]
        number = (session.block_nr + 1) & 0xFFFF
        head = TFTP_DATA.to_bytes(2, "big") + number.to_bytes(2, "big")
        self._send(session, server, head + data)
        if len(data) == session.block_size:
            session.timestamp = self.slirp.curtime
        else:
            self._sessions[slot] = None
        session.block_nr += 1

    def _send_error(self, slot: int, server: Endpoint, error: tuple[int, bytes]) -> None:
        session = self._sessions[slot]
        assert session is not None
        code, text = error
        message = TFTP_ERROR.to_bytes(2, "big") + code.to_bytes(2, "big") + text + b"\0"
        self._send(session, server, message)
        self._sessions[slot] = None

    def _send(self, session: _Session, server: Endpoint, message: bytes) -> None:
        self.slirp.datagram_output(None, server, session.client, message, IPTOS_LOWDELAY)


def _atoi(text: bytes) -> int:
    match = re.match(_NUMBER, text)
    return int(match[1]) if match else 0
