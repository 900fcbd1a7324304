"""Laws about the card and its driver: rings and interrupts."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from desim.engine.trace import E, Happened
from desim.events import FramePassed, FrameStored, FrameTaken, PinDriven
from desim.laws.law import Broken, Run, stated
from desim.machine.conduct import ALL_ENDED, ALL_WAIT
from desim.machine.remains import DESCRIPTOR_LEN, RingRemains
from desim.machine.vm import is_card, machine_of

AT_REST = (ALL_ENDED, ALL_WAIT)
"""Why a run ended in which nothing was in motion any more."""
DD = 1
LONGEST_WINDOW_NS = 0xFFFF * 1024
"""What RADV and TADV can hold back at most; ITR a quarter of that."""
FLOOR_NS = 128_000
"""500 units of 256 ns: tests/vectors/e1000 (mit). A law takes no figure from what it judges."""

_RECEIVED = struct.Struct("<QHHBBH")
_STATUS = 12
"""Where a descriptor of either kind has its status."""


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="tests/vectors/e1000 (rx, tx); 8254x manual, sections 3.2.6 and 3.4",
)
def each_descriptor_has_one_owner(run: Run) -> Iterator[str]:
    """Of each ring a descriptor belongs to the driver or to the card, and both agree.

    From head to tail it is the card's: not done, and with the buffer that the driver put there.
    The driver's tail is the card's, and neither index is outside of the ring. Judged of a run
    at whose end nothing was in motion, with Linux's driver; while it runs the driver checks each
    descriptor as it gives it away and as it gets it back.
    """
    card = run.remains.card
    if not _at_rest(run) or card is None:
        return
    for name, ring in (("receive", card.rx), ("transmit", card.tx)):
        if ring is not None:
            for what in (*_indices(ring, receives=name == "receive"), *_card_side(ring)):
                yield f"{name} ring: {what}"


def _at_rest(run: Run) -> bool:
    """Whether nothing was in motion at the end, not even an interrupt that is held back."""
    card = run.remains.card
    held = card is not None and card.opens_ns is not None and card.causes & card.mask
    return run.ended in AT_REST and not held


def _indices(ring: RingRemains, *, receives: bool) -> Iterator[str]:
    count = ring.size
    for name in ("next_to_clean", "next_to_use", "head", "tail"):
        value = getattr(ring, name)
        if value >= count:
            yield f"{name} is {value}, and there are {count} descriptors"
    given = (ring.next_to_use or count) - 1 if receives else ring.next_to_use
    if ring.tail != given:
        yield f"the card's tail is {ring.tail}, and the driver has given it {given}"
    if receives and ring.head != ring.next_to_clean:
        yield f"the card's head is {ring.head}, and the driver looks at {ring.next_to_clean}"
    if not receives and ring.head != ring.tail:
        yield f"nothing is in motion, head is {ring.head} and tail {ring.tail}"


def _card_side(ring: RingRemains) -> Iterator[str]:
    place = ring.head
    while place != ring.tail and place < ring.size:
        at = place * DESCRIPTOR_LEN
        if ring.descriptors[at + _STATUS] & DD:
            yield f"descriptor {place} is the card's, and done"
        if ring.buffers:
            (address,) = struct.unpack_from("<Q", ring.descriptors, at)
            if address != ring.buffers[place] or not address:
                yield (
                    f"descriptor {place} has the buffer {address:#x}, and the driver has "
                    f"{ring.buffers[place]:#x} there"
                )
        place = (place + 1) % ring.size


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="tests/vectors/e1000 (intr, mit)",
)
def no_interrupt_is_lost(run: Run) -> Iterator[Broken | str]:
    """A cause that is pending and not masked raises the line, at once or when the window opens.

    No window is longer than RADV or TADV can say (67.1 ms). And when nothing is in motion any more
    no received frame is left for which the driver got no interrupt.
    """
    card = run.remains.card
    if card is None or run.config.nic is None:
        return
    if run.config.nic.semantics == "qemu" and card.causes & card.mask and not card.level:
        if card.opens_ns is None:
            yield Broken(
                f"causes {card.causes & card.mask:#x} are pending, the line is low, and no "
                "window is closed",
                run.end_ns,
            )
        elif not run.end_ns <= card.opens_ns <= run.end_ns + LONGEST_WINDOW_NS:
            yield Broken(f"the window opens at {card.opens_ns} ns", run.end_ns)
    if _at_rest(run):
        stored = [one.event.frame for one in _of_first(run, run.trace.happened(FrameStored))]
        taken = [one.event.frame for one in _of_first(run, run.trace.happened(FrameTaken))]
        left = set(stored) - set(taken)
        if run.config.modprobe.split()[0] == "e1000" and left and not _ever_down(run):
            yield f"frames {sorted(left)} are in the ring, and the driver never took them"


def _machine(run: Run, one: Happened[E]) -> str:
    """The machine on whose thread something happened."""
    return machine_of(one.record.name, [other.machine for other in run.config.others])


def _of_first(run: Run, happened: Iterable[Happened[E]]) -> Iterator[Happened[E]]:
    """What happened in the first machine."""
    return (one for one in happened if not _machine(run, one))


def _ever_down(run: Run) -> bool:
    """Whether a command may have closed the interface or changed its ring, and so emptied it."""
    return any(
        word in command.command
        for command in run.config.guest
        for word in ("ifconfig", "ip ", "ethtool")
    )


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="tests/vectors/e1000 (mit)",
)
def mitigation_has_a_floor(run: Run) -> Iterator[Broken]:
    """QEMU's card raises its line at most once in 128 us, unless mitigation is off."""
    nics = {machine.machine: machine.nic for machine in run.config.machines}
    last: dict[str, int] = {}
    for one in run.trace.happened(PinDriven):
        machine = _machine(run, one)
        nic = nics[machine]
        if not one.event.level or nic is None:
            continue
        if not nic.mitigation or nic.semantics != "qemu":
            continue
        before = last.get(machine)
        if before is not None and one.time - before < FLOOR_NS:
            yield Broken(f"the line rises {one.time - before} ns after it rose before", one.time)
        last[machine] = one.time


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="tests/vectors/e1000 (rx)",
)
def a_frame_is_passed_stored_and_taken_in_order(run: Run) -> Iterator[Broken]:
    """A frame passes the card's end, is in the guest's memory, and is taken, in that order.

    The card fills descriptors in the order in which frames arrive, and the driver takes them in
    the order in which they were stored.
    """
    arrived = {
        one.event.frame: one.time
        for one in run.trace.happened(FramePassed)
        if is_card(one.event.point) and one.event.to_guest
    }
    stored: dict[int, int] = {}
    for kept in run.trace.happened(FrameStored):
        stored[kept.event.frame] = kept.time
    last: dict[str, int] = {}
    for one in run.trace.happened(FrameTaken):
        number, machine = one.event.frame, _machine(run, one)
        latest = last.get(machine, 0)
        if number not in stored:
            yield Broken(f"frame {number} was taken, and never stored", one.time)
            continue
        if one.time < stored[number]:
            yield Broken(f"frame {number} was taken before it was stored", one.time)
        if number not in arrived and number:
            yield Broken(f"frame {number} was taken, and never arrived", one.time)
        # Of one instant on two threads there is no order to tell.
        if stored[number] < latest:
            yield Broken(f"frame {number} was taken after one that was stored later", one.time)
        last[machine] = max(latest, stored[number])
