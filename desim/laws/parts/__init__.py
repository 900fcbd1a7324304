"""Laws about parts: a queue, a card, a slirp, a stack, a thread, each driven by itself.

A run shows little of what its parts would do with other inputs: the guest's driver never lets the
card's ring run dry in the middle of a flush, slirp's guest never sends fragments that overlap.
So these laws take a bare part (``desim.testing``), give it inputs that they draw from the run
(``draw``), and hold what it does against what the manual, the RFC or the recordings say: a list, a
sum, a few lines of arithmetic that stand beside it. No two runs draw the same, so a search by
``desim fuzz`` tries a few thousand such inputs a minute.

* ``net``: queues, the hub, filters
* ``card``: interrupts, transmission, reception; ``driver``: its rings
* ``slirp``, on the bed that is in ``stack``; ``guest``; ``host``
* ``engine``: alarms and threads
"""
