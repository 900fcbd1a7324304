"""Why the card loses a frame, or does not take one now."""

from __future__ import annotations

from desim.reasons import Reason

# What keeps it from receiving, in the order in which it is looked for.
LINK_DOWN = Reason("link-down", "link down (STATUS.LU)")
RECEIVER_OFF = Reason("receiver-off", "receiver off (RCTL.EN)")
NOT_BUS_MASTER = Reason("not-bus-master", "not bus master (PCI command register)")
HOLD_OFF = Reason(
    "hold-off",
    "hold-off: no frame for 1 s after RCTL is written (until {until_ns} ns)",
)
RING_EMPTY = Reason("ring-empty", "ring empty (RDH = RDT = {rdt})")
NO_MEMORY_SPACE = Reason(
    "no-memory-space", "PCI memory space off (PCI command register): no register can be written"
)
"""In place of RECEIVER_OFF and RING_EMPTY, which only a register write ends."""

# A queue that is flushed does not ask again, so the frame is lost.
LINK_DOWN_IN_FLUSH = Reason("link-down-in-flush", f"{LINK_DOWN.text} when the queue was flushed")
RECEIVER_OFF_IN_FLUSH = Reason(
    "receiver-off-in-flush", f"{RECEIVER_OFF.text} when the queue was flushed"
)

OVERSIZE = Reason("oversize", "oversize: {size} bytes (RCTL.LPE, ROC)")
FILTERED_VLAN = Reason("filtered-vlan", "filtered: VLAN {vlan} is not in VFTA")
FILTERED_ADDRESS = Reason("filtered-address", "filtered: {kind} address {address} not accepted")
NO_DESCRIPTORS = Reason("no-descriptors", "no receive descriptors (RXO)")
WHOLE_RING = Reason("whole-ring", "it took every descriptor of the ring (RXO)")
LOOPBACK_REFUSED = Reason("loopback-refused", "loopback while the receiver was not ready")

# With the manual's timing.
WIRE_BUSY = Reason("wire-busy", "another frame is on the wire")
LINK_DOWN_ON_ARRIVAL = Reason("link-down-on-arrival", f"{LINK_DOWN.text} when it arrived")
RECEIVER_OFF_ON_ARRIVAL = Reason("receiver-off-on-arrival", f"{RECEIVER_OFF.text} when it arrived")
FIFO_FULL = Reason("fifo-full", "receive FIFO full (RXO, MPC)")
IN_FIFO = Reason("in-fifo", "no receive descriptors: it waits in the FIFO")
RESET = Reason("reset", "reset")
