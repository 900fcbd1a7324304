"""Which message somebody means: ``conn=2,msg=last``, ``guest-to-host,msg=slowest``, ``ping=17``.

=====================================  =====================================================
``host-to-guest``, ``guest-to-host``   only messages that go this way
``tcp``, ``udp``, ``ping``             only those
``conn=N``                             only those of the N-th connection between host and guest
``msg=N``                              the N-th of these, in the order in which they were sent
``msg=first``, ``last``                the first (it is, if nothing is said), the last
``msg=fastest``, ``slowest``           by how long it took
``msg=p99``                            the one that 99 percent are not slower than; any percentile
``ping=N``                             the ping with that sequence number; or a word as for msg
=====================================  =====================================================

Messages that have not arrived have no journey, and are passed over by all but numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fractions import Fraction

from desim.data import NamedTuple
from desim.errors import UserError, nearest
from desim.experiment.journey.values import KINDS, TO_GUEST, TO_HOST, Direction, Kind, Message

WORDS: dict[str, Direction] = {"host-to-guest": TO_GUEST, "guest-to-host": TO_HOST}
WHICH = ("first", "last", "fastest", "slowest")
_PERCENTILE = re.compile(r"p(100|[0-9]{1,2}(?:\.[0-9]{1,3})?)")
_FORMS = (*WORDS, *KINDS, "conn=2", "msg=last", "msg=17", "msg=p99", "ping=17")


class Selector(NamedTuple):
    """What is asked for; ``text`` is how."""

    text: str
    direction: Direction | None = None
    kind: Kind | None = None
    conn: int | None = None
    which: str = "first"

    def matches(self, message: Message) -> bool:
        """Whether it is one of those that are looked at."""
        return (
            self.direction in (None, message.direction)
            and self.kind in (None, message.kind)
            and self.conn in (None, message.conn)
        )


def read_selector(text: str) -> Selector:
    """What ``text`` asks for. Raises ``UserError``."""
    found = Selector(text)
    for word in (part.strip() for part in text.split(",")):
        name, equals, value = word.partition("=")
        if word in WORDS:
            found = found._replace(direction=WORDS[word])
        elif word in KINDS:
            found = found._replace(kind=next(kind for kind in KINDS if kind == word))
        elif equals and name == "conn" and value.isdecimal():
            found = found._replace(conn=int(value))
        elif equals and name in ("msg", "ping") and _is_which(value):
            found = found._replace(which=value)
            if name == "ping":
                found = found._replace(kind="ping")
        elif equals and name in ("msg", "ping"):
            wanted = f"{', '.join(WHICH)}, a percentile such as p99, or a number"
            raise UserError(f"{text}: {name}: must be {wanted}{nearest(value, WHICH)}")
        else:
            raise UserError(
                f"{text}: {word!r} selects no message; there are {', '.join(_FORMS)}"
                f"{nearest(word, _FORMS)}"
            )
    return found


def _is_which(value: str) -> bool:
    return value in WHICH or value.isdecimal() or _PERCENTILE.fullmatch(value) is not None


def select(messages: Iterable[Message], selector: Selector) -> Message:
    """The message that is meant. Raises ``UserError`` if there is none."""
    found = [message for message in messages if selector.matches(message)]
    if not found:
        raise UserError(f"{selector.text}: no message of this run is one of those")
    which = selector.which
    if which.isdecimal():
        return _by_number(found, selector)
    arrived = [message for message in found if message.end_ns is not None]
    if not arrived:
        why = found[0].fate
        raise UserError(f"{selector.text}: none of these {len(found)} has arrived ({why})")
    percentile = _PERCENTILE.fullmatch(which)
    if percentile is not None:
        ordered = sorted(arrived, key=_took)
        rank = -(-len(ordered) * Fraction(percentile[1]) // 100)
        return ordered[max(int(rank), 1) - 1]
    choose: dict[str, Callable[[list[Message]], Message]] = {
        "first": lambda those: min(those, key=_sent),
        "last": lambda those: max(those, key=_sent),
        "fastest": lambda those: min(those, key=_took),
        "slowest": lambda those: max(those, key=_took),
    }
    return choose[which](arrived)


def _by_number(found: list[Message], selector: Selector) -> Message:
    number = int(selector.which)
    if selector.kind == "ping":
        known = [message for message in found if message.index == number]
        if not known:
            there = sorted(message.index for message in found)
            raise UserError(
                f"{selector.text}: there are pings with sequence numbers {there[0]} to {there[-1]}"
            )
        message = known[0]
    elif not 1 <= number <= len(found):
        raise UserError(f"{selector.text}: there are {len(found)} of these messages, from 1 on")
    else:
        message = sorted(found, key=_sent)[number - 1]
    if message.end_ns is None:
        raise UserError(f"{selector.text}: it has not arrived: {message.fate}")
    return message


def _sent(message: Message) -> tuple[int, int]:
    return message.begin_ns, message.first_byte


def _took(message: Message) -> tuple[int, int]:
    return message.total_ns or 0, message.begin_ns
