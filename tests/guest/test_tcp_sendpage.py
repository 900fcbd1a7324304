"""sendfile() on a connection of the guest: pages, segments, PSH, and what waits for what.

The rules are those of do_tcp_sendpages, tcp_build_frag, tcp_splice_eof (net/ipv4/tcp.c) and
splice_direct_to_actor (fs/splice.c) of Linux 6.1.166.
"""

from __future__ import annotations

import contextlib
import errno
import itertools

import pytest
from fakes_net import SLIRP, Guest, Peer

from desim.guest.kernel import GuestKernel
from desim.guest.net.socket import TcpSocket
from desim.guest.printk import KernelLog
from desim.spool import Log
from desim.userland.files import Quota, Socket, Terminal, VirtualTree
from desim.userland.process import Blocked, Process
from desim.userland.program import Call, Program
from desim.userland.uapi import SHUT_WR, SO_SNDBUF, TCP_CORK
from desim.wire.tcp import ACK, FIN, PSH, RST, SYN

MSS = 1460
GOAL = 22 * MSS
"""Of a packet in the write queue: half of a window of 65535, in whole segments."""
FILLED = GOAL + 10 * MSS
"""What a small buffer takes: one full packet behind the ten segments that have been cut from it."""
DATA = bytes(range(251)) * 1000
HUGE = (1 << 63) - 1
HEADER = b"h" * 217


def _nothing() -> Program:
    yield Call("now", ())


class Task:
    """A process of the guest with a file, and a connection to ``peer``."""

    def __init__(self, size: int = len(DATA)) -> None:
        self.guest = Guest().know_slirp()
        self.kernel = GuestKernel(
            cpu=self.guest.cpu,
            stack=self.guest.stack,
            log=KernelLog(self.guest.cpu.now),
            random=self.guest.random,
            files=lambda name: {"data": Log.of(DATA[:size])}[name],
            tree=VirtualTree(Quota(1 << 20)),
        )
        self.process: Process = self.kernel.spawn_program(
            "httpd", _nothing(), Terminal("t", now=self.guest.cpu.now, quota=Quota(1 << 20))
        )
        self.file = self.call("open", "data")
        self.fd = self.call("socket", "tcp")
        self.call("set_nonblocking", self.fd, True)
        with pytest.raises(BlockingIOError):
            self.call("connect", self.fd, SLIRP, 80)
        (syn,) = self.guest.segments()
        self.peer = Peer(self.guest, sport=80, dport=syn.sport, iss=0)
        self.peer.ack = syn.seq + 1
        self.peer.send(SYN | ACK, mss=MSS)
        self.call("set_nonblocking", self.fd, False)
        self.guest.segments()

    def call(self, name: str, *arguments: object) -> object:
        return self.kernel.syscall(self.process, Call(name, arguments))

    def sendfile(self, offset: int | None, count: int = HUGE >> 1) -> object:
        return self.call("sendfile", self.fd, self.file, offset, count)

    @property
    def file_of_socket(self) -> Socket:
        assert isinstance(self.fd, int)
        file = self.process.files[self.fd]
        assert isinstance(file, Socket)
        return file

    @property
    def sock(self) -> TcpSocket:
        sock = getattr(self.file_of_socket, "sock", None)
        assert isinstance(sock, TcpSocket)
        return sock

    def sent(self) -> list[tuple[int, int]]:
        """Sizes and flags of what the guest has sent."""
        return [(len(s.payload), s.flags) for s in self.guest.segments()]

    def acknowledge(self, size: int) -> list[tuple[int, int]]:
        self.peer.ack += size
        return [(len(s.payload), s.flags) for s in self.peer.send(ACK)]


def test_a_small_file_waits_for_the_acknowledgement_of_its_header() -> None:
    """MSG_MORE is set to the end; then splice_eof() pushes, and Nagle has the last word."""
    task = Task(size=28)
    task.call("write", task.fd, HEADER)
    assert task.sent() == [(217, ACK | PSH)]
    assert task.sendfile(0) == 28
    assert task.sent() == []
    assert task.acknowledge(217) == [(28, ACK | PSH)]
    task.call("shutdown", task.fd, SHUT_WR)
    assert task.sent() == [(0, ACK | FIN)]


def test_a_small_file_goes_with_the_fin_if_that_comes_before_the_acknowledgement() -> None:
    task = Task(size=28)
    task.call("write", task.fd, HEADER)
    task.sendfile(0)
    task.call("shutdown", task.fd, SHUT_WR)
    assert task.sent() == [(217, ACK | PSH), (28, ACK | PSH | FIN)]


def test_where_nothing_is_in_flight_the_end_of_the_file_sends_the_rest() -> None:
    task = Task(size=MSS + 100)
    assert task.sendfile(0) == MSS + 100
    assert task.sent() == [(MSS, ACK), (100, ACK | PSH)]


def test_without_more_to_come_the_last_page_is_pushed() -> None:
    """As many bytes as asked for: the last part of the file, or the whole, is no MSG_MORE."""
    task = Task()
    assert task.sendfile(0, 5000) == 5000
    assert task.sent() == [(MSS, ACK)] * 3 + [(620, ACK | PSH)]


def test_pages_fill_packets_without_a_push_between_them() -> None:
    task = Task(size=20_000)
    assert task.sendfile(0) == 20_000
    packets = [skb for skb in task.guest.driver.packets if skb.frags]
    # One packet of five pages: what the congestion window of ten lets go is cut from it.
    assert [[len(frag) for frag in skb.frags] for skb in packets] == [
        [4096, 3204],
        [892, 4096, 2312],
    ]
    assert [size for size, _ in task.sent()] == [MSS] * 10
    rest = task.acknowledge(10 * MSS)
    assert rest == [(MSS, ACK)] * 3 + [(1020, ACK | PSH)]


def test_a_packet_is_full_at_half_of_the_peers_window() -> None:
    task = Task()
    task.sock.sk.snd_cwnd = 100
    assert task.sendfile(0, 40_000) == 40_000
    queue = [*task.sock.sk.rtx_queue, *task.sock.sk.write_queue]
    assert [skb.len for skb in queue] == [GOAL, 40_000 - GOAL]
    assert [len(piece) for piece in queue[0].pieces] == [4096] * 7 + [GOAL - 7 * 4096]
    assert len(queue[1].pieces[0]) == 8 * 4096 - GOAL


def test_the_rest_of_a_page_joins_the_piece_before_it() -> None:
    task = Task()
    task.call("setsockopt", task.fd, TCP_CORK, 1)
    task.sock.sk.snd_cwnd = 0
    task.sendfile(0, 5000)
    task.sendfile(5000, 3192)
    task.sendfile(8192, 8)
    (skb,) = task.sock.sk.write_queue
    assert [len(piece) for piece in skb.pieces] == [4096, 4096, 8]
    assert b"".join(skb.payload()) == DATA[:8200]


def test_writes_behind_each_other_are_one_piece() -> None:
    """As skb_can_coalesce() finds them: they lie in one block of pages."""
    task = Task()
    task.call("setsockopt", task.fd, TCP_CORK, 1)
    for n in range(100):
        task.call("write", task.fd, bytes([n]) * 10)
    task.call("setsockopt", task.fd, TCP_CORK, 0)
    (packet,) = [skb for skb in task.guest.driver.packets if skb.frags]
    assert [len(frag) for frag in packet.frags] == [1000]


def test_what_is_written_is_cut_where_its_block_of_pages_ends_and_nowhere_else() -> None:
    """As in the recording ``ftrace_icount0``, where 256 KiB go up in writes of 64 KiB.

    There each data descriptor of a packet takes e1000_xmit_frame() 133 ns more, and all 21 large
    packets have taken just as long as pieces that end at each 32 KiB of the stream make it.
    """
    task = Task()
    sent = 0
    inside: list[int] = []
    for _ in range(4):
        with contextlib.suppress(Blocked):
            task.call("write", task.fd, bytes(65536))
        while task.sent() or task.sock.sk.packets_out:
            task.acknowledge(task.sock.sk.snd_nxt - task.sock.sk.snd_una)
    for packet in task.guest.driver.packets:
        inside += [sent + size for size in itertools.accumulate(map(len, packet.frags[:-1]))]
        sent += sum(map(len, packet.frags))
    assert sent == 4 * 65536
    assert set(inside) <= set(range(32768, sent, 32768))
    assert len(inside) >= 3  # where no packet ends by chance


def test_a_block_of_pages_with_less_than_32_bytes_left_is_full() -> None:
    task = Task()
    task.call("setsockopt", task.fd, TCP_CORK, 1)
    task.sock.sk.snd_cwnd = 0
    task.call("write", task.fd, bytes(32768 - 31))
    task.call("write", task.fd, bytes(1000))
    pieces = [len(piece) for skb in task.sock.sk.write_queue for piece in skb.pieces]
    assert pieces == [GOAL, 32768 - 31 - GOAL, 1000]


def test_a_packet_of_seventeen_pieces_is_full_and_goes() -> None:
    task = Task()
    task.call("setsockopt", task.fd, TCP_CORK, 1)
    for page in range(20):
        assert task.sendfile(page * 4096, 1) == 1
    assert task.sent() == [(17, ACK | PSH)]
    task.call("write", task.fd, b"x")
    (skb,) = task.sock.sk.write_queue
    assert [len(piece) for piece in skb.pieces] == [1, 1, 1, 1]


def test_a_written_byte_behind_seventeen_pages_is_in_a_packet_of_its_own() -> None:
    task = Task()
    task.call("setsockopt", task.fd, TCP_CORK, 1)
    for page in range(17):
        task.sendfile(page * 4096, 1)
    assert task.sent() == []
    task.call("write", task.fd, b"x")
    assert task.sent() == [(17, ACK | PSH)]


def test_a_full_buffer_makes_it_wait_inside_a_page_and_go_on_there() -> None:
    task = Task()
    task.call("setsockopt", task.fd, SO_SNDBUF, 2304)
    arguments = (task.fd, task.file, 0, 60_000)
    with pytest.raises(Blocked) as waits:
        task.call("sendfile", *arguments)
    assert task.file_of_socket.queue in waits.value.queues
    assert task.process.progress == FILLED  # packets are filled whatever the buffer's size
    got = b"".join(s.payload for s in task.guest.segments())
    for _ in range(20):
        task.peer.ack = (task.peer.ack + len(got) - task_acked(task)) & 0xFFFFFFFF
        got += b"".join(s.payload for s in task.peer.send(ACK))
        try:
            assert task.call("sendfile", *arguments) == 60_000
        except Blocked:
            continue
        finally:
            got += b"".join(s.payload for s in task.guest.segments())
        break
    else:
        pytest.fail("sendfile never ended")
    while len(got) < 60_000:
        task.peer.ack = (task.peer.ack + len(got) - task_acked(task)) & 0xFFFFFFFF
        got += b"".join(s.payload for s in task.peer.send(ACK))
    assert got == DATA[:60_000]


def task_acked(task: Task) -> int:
    """How many bytes the peer has acknowledged."""
    return task.sock.sk.bytes_acked - 1  # and the SYN


def test_without_waiting_it_says_how_much_went_and_then_that_nothing_does() -> None:
    task = Task()
    task.call("setsockopt", task.fd, SO_SNDBUF, 2304)
    task.call("set_nonblocking", task.fd, True)
    assert task.sendfile(0, 60_000) == FILLED
    with pytest.raises(BlockingIOError):
        task.sendfile(FILLED, 60_000)
    assert task.process.splice_pipe.pieces == []


def test_a_reset_in_the_middle_is_not_told_of_by_sendfile() -> None:
    """The last page has taken the error off the socket, and its return counts for nothing."""
    task = Task()
    task.process.ignores_sigpipe = True
    task.call("setsockopt", task.fd, SO_SNDBUF, 2304)
    with pytest.raises(Blocked):
        task.sendfile(0, 60_000)
    task.peer.send(RST | ACK)
    assert task.sendfile(0, 60_000) == FILLED
    with pytest.raises(BrokenPipeError):
        task.call("write", task.fd, b"x")


def test_a_reset_in_the_middle_of_a_write_is_told_of_by_the_next() -> None:
    task = Task()
    task.process.ignores_sigpipe = True
    task.call("setsockopt", task.fd, SO_SNDBUF, 2304)
    with pytest.raises(Blocked):
        task.call("write", task.fd, DATA[:60_000])
    task.peer.send(RST | ACK)
    assert task.call("write", task.fd, DATA[:60_000]) == FILLED
    with pytest.raises(ConnectionResetError):
        task.call("write", task.fd, b"x")
    with pytest.raises(BrokenPipeError):
        task.call("write", task.fd, b"x")


def test_sigpipe_comes_even_behind_bytes_that_were_taken() -> None:
    task = Task()
    task.call("setsockopt", task.fd, SO_SNDBUF, 2304)
    with pytest.raises(Blocked):
        task.sendfile(0, 60_000)
    task.call("shutdown", task.fd, SHUT_WR)  # as another thread of the program might
    with pytest.raises(BrokenPipeError):
        task.sendfile(0, 60_000)
    assert task.process.exit_status == -13


def test_a_page_counts_for_its_bytes_in_the_send_buffer() -> None:
    task = Task()
    sk = task.sock.sk
    sk.snd_cwnd = 0
    before = sk.wmem_queued
    task.sendfile(0, 5000)
    (skb,) = sk.write_queue
    assert sk.wmem_queued - before == skb.truesize
    assert skb.truesize - 5000 == 1280


def test_only_a_connection_takes_pages() -> None:
    task = Task()
    task.fd = task.call("socket", "tcp")
    task.process.ignores_sigpipe = True
    with pytest.raises(BrokenPipeError):
        task.sendfile(0, 1)
    task.fd = task.call("socket", "udp")
    with pytest.raises(OSError, match="not supported") as refused:
        task.sendfile(0, 1)
    assert refused.value.errno == errno.EOPNOTSUPP
