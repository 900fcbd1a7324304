"""Messages on their way: each call of a program that sends, to the call that reads its last byte.

Theory of operation
-------------------
At every instant a message is in exactly one place: in the hands of a thread that carries it on,
or laid down somewhere until the next thread takes it up. So the way is a chain of legs without
gaps, and the times of the legs add up to the total (``legs`` shows them for each direction).

Where a leg begins and ends is told by landmarks: functions of which the cores say in their
tables of stages what they mean for a message (``desim.stages.Landmark``). So a second card
or another stack brings its own.

What is followed is the last byte of a message. Latency follows bytes of the stream: frames are
matched by their sequence numbers, whatever they were cut into. A datagram is matched by what is
in it, and a ping by its sequence number.

=====================  ========================================================================
``values``             ``Message``, ``Journey``, ``Row``: what others get
``journeys``           ``Journeys``: the messages and journeys of a run
``tracker``            one pass through the events; ``datagram_tracker`` has UDP and pings
``statistics``         how long messages took, and where their time went
``select``             which message somebody means
``course``             what is known of one message: the events of its way
``legs``               who carries it from when to when
``stacks``             what was open on a thread at some moment
``stays``, ``tally``   legs as stations: in order of time, or counted
=====================  ========================================================================
"""

from desim.experiment.journey.values import (
    DIRECTIONS,
    EMULATOR,
    GUEST_KERNEL,
    GUEST_PROGRAM,
    HOST_PROGRAM,
    KINDS,
    ROUND_TRIP,
    TO_GUEST,
    TO_HOST,
    Carrier,
    Direction,
    Journey,
    Kind,
    Message,
    Row,
)

__all__ = [
    "DIRECTIONS",
    "EMULATOR",
    "GUEST_KERNEL",
    "GUEST_PROGRAM",
    "HOST_PROGRAM",
    "KINDS",
    "ROUND_TRIP",
    "TO_GUEST",
    "TO_HOST",
    "Carrier",
    "Direction",
    "Journey",
    "Kind",
    "Message",
    "Row",
]
