"""Why the net layer loses a frame, lets one wait, or makes one."""

from __future__ import annotations

from desim.reasons import Reason

NO_LINK = Reason("no-link", "no link")
"""The sender's end: it is down, or has no peer."""
LINK_DOWN = Reason("receiver-link-down", "link down")
BEYOND_BUFFER = Reason("beyond-buffer", "longer than {limit} bytes")
QUEUE_FULL = Reason("queue-full", "queue full ({limit} packets)")
MACHINE_STOPPED = Reason("machine-stopped", "the machine is stopped")
NESTED = Reason("delivering-another", "another packet is being delivered")
NOT_NOW = Reason("not-now", "it said not now")
PURGED_BY_STOP = Reason("purged-by-stop", "purged: the machine stopped")
PURGED_BY_BUFFER = Reason("purged-by-buffer", "purged: filter-buffer was being emptied")

EMPTY = Reason("empty-frame", "an empty frame: what QEMU does with it is not modelled")
HUB_COPY = Reason("hub-copy", "the hub has more than one port to pass it to")
SOCKET_CLOSED = Reason("socket-closed", "its socket is not connected")
SOCKET_ERROR = Reason("socket-error", "its socket says: {error}")
SOCKET_FULL = Reason("socket-full", "its socket takes no more now")
UNHEARD = Reason("datagram-unheard", "nobody has the datagram, or no room for it")
"""A datagram is lost without a word, as on the real host."""

FILTER_BUFFER = Reason("filter-buffer", "filter-buffer")
FILTER_CORRUPT = Reason("filter-corrupt", "filter-corrupt")
FILTER_CORRUPTED = Reason("filter-corrupted", "filter-corrupt: goes on changed")
FILTER_DELAY = Reason("filter-delay", "filter-delay")
FILTER_DUPLICATE = Reason("filter-duplicate", "filter-duplicate")
FILTER_LOSS = Reason("filter-loss", "filter-loss")
FILTER_REORDER = Reason("filter-reorder", "filter-reorder")
