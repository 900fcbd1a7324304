"""``-netdev socket`` alone: pieces of frames, sockets that are full, connections that end."""

import errno

import pytest

from desim.devices import SocketNet
from desim.net import Net
from desim.net.client import NET_BUFSIZE
from desim.net.socket import AsyncClientState, NetSocketDgram, NetSocketStream
from desim.testing import Ledger, NoLoop
from desim.wire.frame import Frame

ANY, HERE = bytes(4), bytes((127, 0, 0, 1))
LISTENS = SocketNet(id="s", role="listen", local=(ANY, 1234))
SENDS = SocketNet(id="s", role="udp", local=(ANY, 1), remote=(HERE, 2))


class Sockets:
    """A host that takes as much as it is told to, and gives what a test has put there."""

    def __init__(self):
        self.room = 1 << 20
        self.sent = b""
        self.incoming = []
        self.closed = []
        self.error = None
        self.unheard = 0

    def listen_stream(self, address, port):
        return 8

    def accept(self, fd):
        return 9 + len(self.closed), (HERE, 40000)

    def send(self, fd, data):
        if self.error:
            raise OSError(self.error, "")
        if not self.room:
            raise BlockingIOError(errno.EAGAIN, "")
        taken = data[: self.room]
        self.room -= len(taken)
        self.sent += taken
        return len(taken)

    def recv(self, fd, size):
        if not self.incoming:
            raise BlockingIOError(errno.EAGAIN, "")
        return self.incoming.pop(0)[:size]

    def close(self, fd):
        self.closed.append(fd)

    def open_datagram(self, address, port, group=None):
        return 8

    def send_datagram(self, fd, data, to):
        if self.error:
            raise OSError(self.error, "")
        self.sent += data
        return len(data), self.unheard


class Handlers(dict):
    def set_fd_handler(self, fd, read, write):
        self[fd] = (read is not None, write is not None)


class Peer:
    """Whoever is at the other end of the netdev's wire."""

    def __init__(self):
        self.room = 1000
        self.got = []

    def can_receive(self):
        return self.room > 0

    def blocked_by(self):
        return None

    def receive(self, frame):
        self.room -= 1
        self.got.append(frame.raw)
        return len(frame.raw)

    def set_link(self, up):
        pass


class Bed:
    def __init__(self, made, config):
        self.ledger = Ledger()
        net = Net(loop=NoLoop(), ledger=self.ledger)
        self.nc = net.client("s", made=AsyncClientState)
        self.far = net.client("far")
        self.peer = self.far.handler = Peer()
        self.nc.connect(self.far)
        self.sockets, self.handlers = Sockets(), Handlers()
        self.netdev = self.nc.handler = made(
            config, nc=self.nc, port=self.nc, sockets=self.sockets, handlers=self.handlers
        )
        self.netdev.start()

    def sends(self, *texts):
        for text in texts:
            self.far.send(Frame(text))

    def reads(self, *pieces):
        for piece in pieces:
            self.sockets.incoming.append(piece)
            self.netdev.readable()

    @property
    def lost(self):
        return [(entry.frame.raw, entry.where, entry.why.code) for entry in self.ledger.losses]


@pytest.fixture
def stream():
    bed = Bed(NetSocketStream, LISTENS)
    bed.netdev.accept()
    return bed


@pytest.fixture
def datagrams():
    return Bed(NetSocketDgram, SENDS)


def packed(*frames):
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)


def test_until_somebody_connects_the_link_is_down():
    bed = Bed(NetSocketStream, LISTENS)
    bed.sends(b"early")
    assert bed.lost == [(b"early", "s", "receiver-link-down")]
    assert bed.handlers == {8: (True, False)}
    bed.netdev.accept()
    assert bed.handlers == {8: (False, False), 9: (True, False)}
    bed.sends(b"later")
    assert bed.sockets.sent == packed(b"later")
    assert bed.netdev.info == "socket: connection from 127.0.0.1:40000"


def test_a_frame_that_is_cut_anywhere_is_put_together(stream):
    data = packed(b"one", b"2", b"three" * 100)
    for cut in range(1, len(data), 7):
        stream.peer.got.clear()
        stream.reads(data[:cut], data[cut:])
        assert stream.peer.got == [b"one", b"2", b"three" * 100]


def test_the_rest_of_a_frame_goes_when_the_socket_takes_it(stream):
    stream.sockets.room = 6
    stream.sends(b"abcdef", b"second")
    assert stream.sockets.sent == packed(b"abcdef")[:6]
    assert stream.handlers[9] == (True, True)
    stream.sockets.room = 3
    stream.netdev.writable()
    assert stream.handlers[9] == (True, True)
    stream.sockets.room = 1000
    stream.netdev.writable()
    assert stream.sockets.sent == packed(b"abcdef", b"second")
    assert stream.handlers[9] == (True, False)
    assert stream.lost == []


def test_an_empty_frame_is_lost(stream):
    stream.reads(packed(b"", b"behind"))
    assert (stream.peer.got, stream.lost) == ([b"behind"], [(b"", "s", "empty-frame")])


def test_a_frame_that_has_to_wait_stops_the_reading_until_it_has_left(stream):
    stream.peer.room = 1
    stream.reads(packed(b"a", b"b", b"c"))
    assert (stream.peer.got, stream.handlers[9]) == ([b"a"], (False, False))
    stream.peer.room = 1000
    stream.far.flush()
    assert (stream.peer.got, stream.handlers[9]) == ([b"a", b"b", b"c"], (True, False))


def test_frames_of_a_socket_wait_however_many_there_are(stream):
    stream.peer.room = 0
    for _ in range(11):
        stream.reads(packed(*[b"x"] * 1000))
    assert (len(stream.far.incoming_queue), stream.lost) == (11_000, [])


TOO_LONG = [(NET_BUFSIZE + 1).to_bytes(4, "big"), bytes(NET_BUFSIZE), b"!"]


@pytest.mark.parametrize("pieces", [[b"\0\0\0\5ab", b""], TOO_LONG], ids=["ends", "too long"])
def test_a_connection_that_ends_leaves_room_for_the_next(stream, pieces):
    stream.reads(*pieces[:-1])
    assert not stream.sockets.closed
    stream.reads(pieces[-1])
    assert (stream.sockets.closed, stream.nc.link_down) == ([9], True)
    assert (stream.handlers[8], stream.netdev.info) == ((True, False), "")
    stream.netdev.accept()
    stream.reads(packed(b"new"))
    assert stream.peer.got == [b"new"]


def test_a_broken_stream_goes_on_in_the_middle_of_a_frame_as_the_real_one(stream):
    stream.sockets.room = 5
    stream.sends(b"abc")
    stream.reads(b"")
    stream.netdev.accept()
    stream.sockets.room, stream.sockets.sent = 1000, b""
    stream.netdev.writable()
    assert stream.sockets.sent == b"bc"


def test_a_frame_that_the_socket_refuses_is_lost(stream):
    stream.sockets.error = errno.EPIPE
    stream.sends(b"gone")
    assert stream.lost == [(b"gone", "s", "socket-error")]
    assert str(stream.ledger.losses[0].why) == "its socket says: Broken pipe"


def test_a_datagram_is_a_frame(datagrams):
    datagrams.sends(b"out")
    datagrams.reads(b"in")
    assert (datagrams.sockets.sent, datagrams.peer.got, datagrams.lost) == (b"out", [b"in"], [])


def test_a_datagram_that_nobody_has_is_counted(datagrams):
    datagrams.sockets.unheard = 2
    datagrams.sends(b"out")
    assert datagrams.lost == [(b"out", "s", "datagram-unheard")] * 2


def test_an_empty_datagram_ends_the_reading(datagrams):
    assert datagrams.handlers[8] == (True, False)
    datagrams.reads(b"")
    assert datagrams.handlers[8] == (False, False)
