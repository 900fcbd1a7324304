"""``iperf3`` 3.12 (iperf_client_api.c, iperf_server_api.c, iperf_tcp.c, iperf_udp.c).

Theory of operation
-------------------
A control connection carries states of one byte. The client sends a cookie of 37 bytes; the
server asks for parameters (JSON behind its length in four bytes), then for streams, then says
that the test starts and runs. Each TCP stream begins with the cookie; each UDP stream with a
datagram that the server answers, to which it then connects its socket.

Each side has one loop around select(): the control connection, the streams, and timers for the
end, the statistics and reports of each interval, and, with ``-b``, every millisecond for the
rate. A sender writes up to ten blocks in a turn, or one with ``-b``. At the end the client says
so, both sides exchange what they have counted, and each prints its results.

The numbers in brackets are the real one's descriptors, which are opened here in its order: its
source of random bytes, and a file behind each stream's buffer.

Not modelled: all other options (``iperf3_options``), 64-bit counters, the limits for idle
clients, the share of the processor (0 in the exchange), and a listener on the IPv6 wildcard
address. A name that does not resolve is said to be unavailable, whatever the reason.
"""

from __future__ import annotations

from desim.ports import POLLIN
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.iperf3_core import (
    ACCESS_DENIED,
    BACKLOG,
    CLIENT_TERMINATE,
    COOKIE_LETTERS,
    COOKIE_SIZE,
    CREATE_STREAMS,
    DEFAULT_UDP_BLOCK,
    DISPLAY_RESULTS,
    EXCHANGE_RESULTS,
    IPERF_DONE,
    LOOPBACK_MSS,
    PACING_US,
    PARAM_EXCHANGE,
    RULE,
    SERVER_TERMINATE,
    TEST_END,
    TEST_RUNNING,
    TEST_START,
    UDP_CONNECT_MSG,
    UDP_CONNECT_REPLY,
    UDP_TIMEOUT_NS,
    VERSION,
    Failed,
    Test,
    attempt,
    now_us,
    read_all,
)
from desim.userland.programs.iperf3_options import Options
from desim.userland.programs.output import Stdio, Step, err
from desim.userland.programs.resolver import getaddrinfo
from desim.userland.uapi import SO_RCVTIMEO, SO_REUSEADDR, TCP_MAXSEG, TCP_NODELAY
from desim.wire.addresses import IP_ANY, ip_text


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled, and what the real one refuses."""
    try:
        Options(argv)
    except ValueError as error:
        return f"iperf3: {error}"
    return None


def iperf3(argv: list[str]) -> Program:
    """``main``."""
    options = Options(argv)
    out = Stdio()
    yield from sys.ignore_sigpipe()
    yield from sys.catch_sigint()
    status = 0
    try:
        status = yield from (_serve(options, out) if options.server else _run(options, out))
    except Failed as failed:
        status = 1
        yield from err(f"iperf3: {failed}\n")
    yield from out.flush()
    return status


def _interrupted(test: Test) -> Step:
    """``iperf_got_sigend``: print what there is, tell the other side."""
    if not test.server or test.state == TEST_RUNNING:
        test.done = True
        yield from test.statistics(0, last=True)
        yield from test.print_results()
    if test.control >= 0:
        state = SERVER_TERMINATE if test.server else CLIENT_TERMINATE
        try:
            yield from sys.write(test.control, bytes([state]))
        except OSError:
            pass  # nobody is there
    raise Failed(f"interrupt - the {'server' if test.server else 'client'} has terminated")


# --- the client


def _run(options: Options, out: Stdio) -> Program:
    test = Test(options, out)
    test.sender = not options.reverse
    try:
        yield from _client(test)
    except InterruptedError:
        yield from _interrupted(test)
    return 0


def _client(test: Test) -> Step:
    options = test.options
    test.entropy = yield from sys.open("/dev/urandom")
    letters = yield from sys.read(test.entropy, COOKIE_SIZE)
    test.cookie = bytes(COOKIE_LETTERS[letter % 32] for letter in letters[:-1]) + b"\0"
    yield from _connect(test)
    while test.state != IPERF_DONE:
        now = yield from now_us()
        running = test.state == TEST_RUNNING
        draining = test.state == TEST_END and not test.sender
        fds = [(test.control, POLLIN)]
        fds += test.watched() if running or draining else []
        # Before and after the test the real one does not run its timers, but does not wait
        # beyond them either: it runs in circles, as with a stream that needs nothing more.
        found = yield from sys.poll(fds, test.timeout_ns(now) if running else None)
        ready = {fd for fd, revents in found if revents}
        if test.control in ready:
            yield from _client_message(test)
        if test.state == TEST_RUNNING:
            if not running and not options.udp:
                for stream in test.streams:
                    yield from sys.set_nonblocking(stream.fd, True)
            yield from (test.send(ready) if test.sender else test.receive(ready))
            yield from test.run_timers()
            if test.done or test.enough():
                yield from _end(test)
        elif test.state == TEST_END and not test.sender:
            yield from test.receive(ready)
    yield from test.say("\niperf Done.\n")


def _connect(test: Test) -> Step:
    options = test.options
    try:
        address = yield from getaddrinfo(options.host)
    except OSError:
        text = "Resource temporarily unavailable"
        raise Failed(f"error - unable to connect to server: {text}") from None
    test.control = yield from sys.socket("tcp")
    try:
        yield from sys.connect(test.control, address, options.port)
    except InterruptedError:
        raise
    except OSError as error:
        raise Failed(f"error - unable to connect to server: {error.strerror}") from None
    yield from sys.setsockopt(test.control, TCP_NODELAY, 1)
    yield from sys.write(test.control, test.cookie)
    if options.udp and not options.block:
        options.block = yield from _mss(test.control)


def _mss(fd: int) -> Part[int]:
    """What fits one segment; the host's kernel says it of loopback as the real one does."""
    try:
        mss = yield from sys.getsockopt(fd, TCP_MAXSEG)
    except OSError:
        return LOOPBACK_MSS
    return mss or DEFAULT_UDP_BLOCK


def _client_message(test: Test) -> Step:
    data = yield from attempt("receive control message", sys.read(test.control, 1))
    if not data:
        raise Failed("error - control socket has closed unexpectedly")
    test.state = data[0]
    if test.state == PARAM_EXCHANGE:
        yield from test.send_json(_parameters(test))
        options = test.options
        yield from test.say(f"Connecting to host {options.host}, port {options.port}\n")
        if options.reverse:
            yield from test.say(f"Reverse mode, remote host {options.host} is sending\n")
    elif test.state == CREATE_STREAMS:
        for _ in range(test.options.streams):
            yield from _create_stream(test)
    elif test.state == TEST_START:
        yield from test.start()
    elif test.state == EXCHANGE_RESULTS:
        yield from test.send_results()
        yield from test.receive_results()
    elif test.state == DISPLAY_RESULTS:
        yield from test.close_streams()
        yield from test.print_results()
        yield from test.set_state(IPERF_DONE)
        yield from sys.close(test.control)
    elif test.state == SERVER_TERMINATE:
        yield from test.statistics(0, last=True)
        yield from test.print_results()
        raise Failed("error - the server has terminated")
    elif test.state == ACCESS_DENIED:
        raise Failed("error - the server is busy running a test. try again later")


def _parameters(test: Test) -> str:
    options = test.options
    rows = ['"udp":true' if options.udp else '"tcp":true', '"omit":0']
    rows += [f'"time":{options.duration_s}', f'"num":{options.bytes}']
    rows += [f'"blockcount":{options.blocks}']
    rows += ['"nodelay":true'] if options.no_delay else []
    rows += [f'"parallel":{options.streams}']
    rows += ['"reverse":true'] if options.reverse else []
    rows += [f'"len":{options.block}']
    rows += [f'"bandwidth":{options.rate}'] if options.rate else []
    rows += [f'"pacing_timer":{PACING_US}', f'"client_version":"{VERSION}"']
    return "{" + ",".join(rows) + "}"


def _create_stream(test: Test) -> Step:
    options = test.options
    address, _ = yield from sys.getpeername(test.control)
    fd = yield from sys.socket("udp" if options.udp else "tcp")
    if options.no_delay and not options.udp:
        yield from sys.setsockopt(fd, TCP_NODELAY, 1)
    try:
        yield from sys.connect(fd, address, options.port)
        if options.udp:
            yield from sys.setsockopt(fd, SO_RCVTIMEO, UDP_TIMEOUT_NS)
            yield from sys.write(fd, UDP_CONNECT_MSG)
            yield from sys.read(fd, len(UDP_CONNECT_REPLY))
            yield from sys.setsockopt(fd, SO_RCVTIMEO, 0)
        else:
            yield from sys.write(fd, test.cookie)
    except InterruptedError:
        raise
    except OSError as error:
        what = "read from" if options.udp else "connect"
        raise Failed(f"error - unable to {what} stream: {error.strerror}") from None
    yield from test.add_stream(fd)


def _end(test: Test) -> Step:
    """The test is over: tell the server."""
    if not test.options.udp:
        for stream in test.streams:
            yield from sys.set_nonblocking(stream.fd, False)
    test.done = True
    yield from test.statistics(0, last=True)
    yield from test.set_state(TEST_END)


# --- the server


def _serve(options: Options, out: Stdio) -> Program:
    number = 0
    while True:
        number += 1
        test = Test(Options(["iperf3", "-s"]), out)
        test.options.port, test.options.unit = options.port, options.unit
        test.options.interval_us = options.interval_us
        try:
            yield from _server(test, number)
        except InterruptedError:
            yield from _interrupted(test)
        except Failed as failed:
            yield from err(f"iperf3: {failed}\n")
        yield from _clean_up(test)
        if options.one_off:
            return 0


def _listen(kind: str, port: int) -> Part[int]:
    fd = yield from sys.socket(kind)
    yield from sys.setsockopt(fd, SO_REUSEADDR, 1)
    try:
        yield from sys.bind(fd, IP_ANY, port)
        if kind == "tcp":
            yield from sys.listen(fd, BACKLOG)
    except InterruptedError:
        raise
    except OSError as error:
        text = f"error - unable to start listener for connections: {error.strerror}"
        yield from err(f"iperf3: {text}\n")
        raise Failed("exiting") from None
    return fd


def _server(test: Test, number: int) -> Step:
    options = test.options
    test.listener = yield from _listen("tcp", options.port)
    text = f"{RULE}Server listening on {options.port} (test #{number})\n{RULE}"
    yield from test.say(text)
    waiting = test.listener
    """Where the next stream comes."""
    while test.state != IPERF_DONE:
        now = yield from now_us()
        timeout_ns = test.timeout_ns(now)
        fds = [(fd, POLLIN) for fd in sorted({test.listener, test.control, waiting} - {-1})]
        fds += test.watched() if test.state == TEST_RUNNING else []
        found = yield from sys.poll(fds, timeout_ns)
        ready = {fd for fd, revents in found if revents}
        if test.listener in ready and test.state != CREATE_STREAMS:
            yield from _accept(test)
            if test.state == CREATE_STREAMS and options.udp:
                waiting = yield from _listen("udp", options.port)
                yield from test.set_state(CREATE_STREAMS)
        if test.control in ready:
            yield from _server_message(test)
        if test.state == CREATE_STREAMS and waiting in ready:
            waiting = yield from _accept_stream(test, waiting)
            if len(test.streams) == options.streams:
                if options.udp:
                    yield from sys.close(waiting)
                waiting = test.listener
                yield from test.set_state(TEST_START)
                yield from test.start()
                yield from test.set_state(TEST_RUNNING)
        if test.state == TEST_RUNNING and ready:
            yield from (test.send(ready) if test.sender else test.receive(ready))
        if not ready or timeout_ns == 0:
            yield from test.run_timers()


def _accept(test: Test) -> Step:
    fd, client = yield from sys.accept(test.listener)
    if test.control >= 0:
        yield from sys.write(fd, bytes([ACCESS_DENIED]))
        yield from sys.close(fd)
        return
    test.control = fd
    yield from sys.setsockopt(fd, TCP_NODELAY, 1)
    part = read_all(fd, COOKIE_SIZE)
    test.cookie = yield from attempt("receive cookie at server", part)
    yield from test.set_state(PARAM_EXCHANGE)
    found = yield from test.receive_json("parameters")
    options = test.options
    options.udp = "udp" in found
    options.reverse = test.sender = "reverse" in found
    options.no_delay = "nodelay" in found
    options.duration_s = found.get("time", 10)
    options.bytes, options.blocks = found.get("num", 0), found.get("blockcount", 0)
    options.streams = found.get("parallel", 1)
    options.block = found.get("len", options.block)
    options.rate = found.get("bandwidth", 0)
    test.state = CREATE_STREAMS
    if not options.udp:
        yield from test.set_state(CREATE_STREAMS)
    yield from test.say(f"Accepted connection from {ip_text(client[0])}, port {client[1]}\n")


def _accept_stream(test: Test, waiting: int) -> Part[int]:
    """A stream has come; where the next one will."""
    if test.options.udp:
        _, client = yield from sys.recvfrom(waiting, len(UDP_CONNECT_MSG))
        yield from sys.connect(waiting, *client)
        following = yield from _listen("udp", test.options.port)
        yield from sys.write(waiting, UDP_CONNECT_REPLY)
        yield from test.add_stream(waiting)
        yield from sys.set_nonblocking(waiting, not test.sender)
        return following
    fd, _ = yield from sys.accept(waiting)
    cookie = yield from read_all(fd, COOKIE_SIZE)
    if cookie != test.cookie:
        yield from sys.write(fd, bytes([ACCESS_DENIED]))
        yield from sys.close(fd)
        return waiting
    yield from test.add_stream(fd)
    yield from sys.set_nonblocking(fd, True)
    return waiting


def _server_message(test: Test) -> Step:
    data = yield from attempt("receive control message", read_all(test.control, 1))
    if not data:
        yield from err("iperf3: the client has unexpectedly closed the connection\n")
        test.state = IPERF_DONE
        return
    test.state = data[0]
    if test.state == TEST_END:
        test.done = True
        yield from test.statistics(0, last=True)
        yield from test.close_streams()
        yield from test.print_results()
        yield from test.set_state(EXCHANGE_RESULTS)
        yield from test.receive_results()
        yield from test.send_results()
        yield from test.set_state(DISPLAY_RESULTS)
    elif test.state == CLIENT_TERMINATE:
        yield from test.print_results()
        yield from err("iperf3: the client has terminated\n")
        yield from test.close_streams()
        test.state = IPERF_DONE


def _clean_up(test: Test) -> Step:
    """Close what is open but standard input and output."""
    for fd in range(3, 3 + 4 * (len(test.streams) + 2)):
        try:
            yield from sys.close(fd)
        except OSError:
            pass  # it was not open
