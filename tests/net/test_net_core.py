"""Clients, queues and the hub: who gets a packet, who has to wait, and what is lost."""

import pytest

from desim.net import MAXLEN, Net
from desim.net.client import NET_BUFSIZE
from desim.net.hub import NetHub
from desim.reasons import Reason
from desim.testing import Ledger, NoLoop
from desim.wire.frame import Frame


class Handler:
    """A model behind a client: takes what it has room for, answers as it is told."""

    def __init__(self, room=1000, answer=None):
        self.room = room
        self.answer = answer
        self.got = []
        self.links = []

    def can_receive(self):
        return self.room > 0

    def blocked_by(self):
        return None if self.room > 0 else Reason("no-room", "no room")

    def receive(self, frame):
        if self.answer is not None:
            return self.answer
        if self.room == 0:
            return -1
        self.room -= 1
        self.got.append(frame.raw)
        return len(frame.raw)

    def set_link(self, up):
        self.links.append(up)


def told(entries):
    """Lines of a ledger, as what they say of which bytes."""
    return [(entry.frame.raw, entry.where, str(entry.why)) for entry in entries]


def frame(text):
    return Frame(text.encode())


@pytest.fixture
def net():
    return Net(loop=NoLoop(), ledger=Ledger())


@pytest.fixture
def client(net):
    def make(name, handler=None, **options):
        made = net.client(name, **options)
        made.handler = handler or Handler()
        return made

    return make


@pytest.fixture
def pair(client):
    """Two clients that are each other's peers: a sender and a receiver."""
    sender, receiver = client("user"), client("nic", is_nic=True)
    sender.connect(receiver)
    return sender, receiver


def test_a_packet_is_delivered_inside_the_send(pair):
    sender, receiver = pair
    assert sender.send(frame("one")) == 3
    assert receiver.handler.got == [b"one"]


def test_what_the_receiver_cannot_take_waits_and_says_why(net, pair):
    sender, receiver = pair
    receiver.handler.room = 0
    assert sender.send(frame("one")) == 0
    assert len(receiver.incoming_queue) == 1
    assert told(net.ledger.waits) == [(b"one", "nic", "no room")]


def test_a_flush_delivers_in_order_and_wakes_the_main_loop(net, pair):
    sender, receiver = pair
    receiver.handler.room = 0
    for text in ("one", "two"):
        sender.send(frame(text))
    receiver.handler.room = 5
    receiver.flush()
    assert receiver.handler.got == [b"one", b"two"]
    assert net.loop.notified == 1


def test_a_flush_does_not_ask_again_so_what_does_not_fit_is_refused(pair):
    sender, receiver = pair
    receiver.handler.room = 0
    for text in ("one", "two", "three"):
        sender.send(frame(text))
    receiver.handler.room = 1
    receiver.flush()
    assert receiver.handler.got == [b"one"]
    assert len(receiver.incoming_queue) == 0, "an answer below 0 counts as done"


def test_an_answer_of_0_keeps_the_packet_and_shuts_the_gate_until_a_flush(pair):
    sender, receiver = pair
    receiver.handler.answer = 0
    sender.send(frame("one"))
    receiver.handler.answer = None
    assert receiver.receive_disabled
    sender.send(frame("two"))
    assert receiver.handler.got == []
    receiver.flush()
    assert receiver.handler.got == [b"one", b"two"]


def test_a_packet_refused_in_the_middle_of_a_flush_keeps_its_place(pair):
    """``qemu_net_queue_flush`` puts it back at the head."""
    sender, receiver = pair
    receiver.handler.room = 0
    for text in ("one", "two", "three"):
        sender.send(frame(text))
    receiver.handler.room = 5
    take = receiver.handler.receive
    receiver.handler.receive = lambda packet: 0 if packet.raw == b"two" else take(packet)
    receiver.flush()
    assert receiver.handler.got == [b"one"]
    receiver.handler.receive = take
    receiver.flush()
    assert receiver.handler.got == [b"one", b"two", b"three"]


def test_a_packet_that_gets_through_takes_the_older_ones_with_it(pair):
    sender, receiver = pair
    receiver.handler.room = 0
    sender.send(frame("old"))
    receiver.handler.room = 5
    sender.send(frame("new"))
    assert receiver.handler.got == [b"new", b"old"]


def test_a_full_queue_drops_the_newest(net, pair):
    sender, receiver = pair
    receiver.handler.room = 0
    for _ in range(MAXLEN + 1):
        sender.send(frame("x"))
    assert len(receiver.incoming_queue) == MAXLEN
    assert told(net.ledger.losses) == [(b"x", "nic", "queue full (10000 packets)")]


def test_without_a_peer_a_packet_is_reported_sent_and_lost(net, client):
    alone = client("user")
    assert alone.send(frame("one")) == 3
    assert told(net.ledger.losses) == [(b"one", "user", "no link")]


def test_a_card_follows_the_link_of_its_peer_and_packets_vanish(net, pair):
    sender, receiver = pair
    net.set_link("user", False)
    assert receiver.link_down
    assert receiver.handler.links == [False]
    sender.send(frame("one"))
    net.set_link("user", True)
    sender.send(frame("two"))
    assert receiver.handler.got == [b"two"]


def test_the_peer_of_a_card_does_not_follow_its_link(net, pair):
    sender, receiver = pair
    net.set_link("nic", False)
    assert receiver.handler.links == [False]
    assert (sender.link_down, sender.handler.links) == (False, [])


def test_a_packet_in_pieces_that_is_too_long_disappears(net, pair):
    sender, receiver = pair
    assert sender.sendv(Frame(bytes(NET_BUFSIZE))) == NET_BUFSIZE
    assert sender.sendv(Frame(bytes(NET_BUFSIZE + 1))) == NET_BUFSIZE + 1
    assert [len(raw) for raw in receiver.handler.got] == [NET_BUFSIZE]
    assert [(where, why) for _, where, why in told(net.ledger.losses)] == [
        ("user", f"longer than {NET_BUFSIZE} bytes")
    ]


def test_a_receiver_that_flushes_while_it_takes_a_packet_gets_no_other_one_meanwhile(pair):
    sender, receiver = pair
    order = []

    def take(packet):
        order.append((packet.raw, "begins"))
        receiver.flush()
        order.append((packet.raw, "ends"))
        return len(packet.raw)

    receiver.handler.room = 0
    for text in ("one", "two"):
        sender.send(frame(text))
    receiver.handler.receive = take
    receiver.flush()
    assert order == [(b"one", "begins"), (b"one", "ends"), (b"two", "begins"), (b"two", "ends")]


def test_a_client_gets_nothing_back_from_itself_while_it_takes_a_packet(pair):
    sender, receiver = pair
    answers = []

    def take(packet):
        answers.append(receiver.loopback(packet) if len(answers) < 2 else 0)
        return len(packet.raw)

    receiver.handler.receive = take
    sender.send(frame("one"))
    assert answers == [0]


def test_a_hub_repeats_to_all_others_newest_port_first(net, client):
    hub = NetHub(net)
    order = []

    class Noting(Handler):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def receive(self, frame):
            order.append(self.name)
            return super().receive(frame)

    clients = {name: client(name, Noting(name)) for name in ("a", "b", "c")}
    for made in clients.values():
        hub.add_port(made)
    clients["a"].send(frame("one"))
    assert order == ["c", "b"]


def test_a_hub_takes_a_packet_if_any_other_port_can(net, client):
    hub = NetHub(net)
    sender, ready, busy = (client(name) for name in ("a", "b", "c"))
    for made in (sender, ready, busy):
        hub.add_port(made)
    busy.handler.room = 0
    sender.send(frame("one"))
    assert ready.handler.got == [b"one"]
    assert len(busy.incoming_queue) == 1
    busy.handler.room = 1
    busy.flush()
    assert busy.handler.got == [b"one"]


def test_when_no_other_port_can_the_packet_waits_at_the_senders_port(net, client):
    hub = NetHub(net)
    sender, card = client("user"), client("nic", is_nic=True)
    port = hub.add_port(sender)
    hub.add_port(card)
    card.handler.room = 0
    sender.send(frame("one"))
    assert len(port.client.incoming_queue) == 1
    assert told(net.ledger.waits) == [(b"one", "hub0port0", "no room")]
    card.handler.room = 1
    card.flush()
    assert card.handler.got == [b"one"]


def test_a_flush_behind_a_hub_pushes_what_waits_at_every_other_port_newest_port_first(net, client):
    hub = NetHub(net)
    older, newer, card = client("user"), client("other"), client("nic", is_nic=True)
    for made in (older, newer, card):
        hub.add_port(made)
    card.handler.room = 0
    older.handler.room = newer.handler.room = 0
    older.send(frame("one"))
    newer.send(frame("two"))
    card.handler.room = 2
    card.flush()
    assert card.handler.got == [b"two", b"one"]


def test_a_machine_that_stops_pushes_what_waits_and_drops_what_is_not_taken(net, pair):
    sender, receiver = pair
    receiver.handler.room = 0
    sender.send(frame("one"))
    receiver.handler.answer = 0
    net.stop()
    assert len(receiver.incoming_queue) == 0
    assert told(net.ledger.losses) == [(b"one", "nic", "purged: the machine stopped")]


def test_what_is_sent_while_the_machine_is_stopped_comes_when_it_goes_on(net, pair):
    sender, receiver = pair
    net.stop()
    sender.send(frame("two"))
    assert told(net.ledger.waits) == [(b"two", "nic", "the machine is stopped")]
    net.resume()
    assert receiver.handler.got == [b"two"]


def test_names_are_given_once(net, client):
    client("user")
    with pytest.raises(ValueError, match="user"):
        client("user")
    with pytest.raises(KeyError):
        net.find("nobody")
