"""Byte queue limits (lib/dynamic_queue_limits.c).

Theory of operation
-------------------
The card's ring may hold ``limit`` bytes that are not completed yet; what exceeds it
stops the queue until a completion. The limit starts at 0, so the first packet always
passes and the queue then waits. A completion that finds the ring empty although the
queue had been stopped (starved) raises the limit by what went out meanwhile; a ring
that was never short for a second (slack) lowers it by the least slack seen.
"""

from __future__ import annotations

from desim.guest.cpu.context import HZ

_SLACK_HOLD_TIME = HZ
_NO_SLACK = 1 << 62


class Dql:
    """``struct dql``: counts bytes given to and completed by the card."""

    __slots__ = (
        "adj_limit",
        "last_obj_cnt",
        "limit",
        "lowest_slack",
        "num_completed",
        "num_queued",
        "prev_last_obj_cnt",
        "prev_num_queued",
        "prev_ovlimit",
        "slack_start_time",
    )

    def __init__(self, jiffies: int) -> None:
        self.limit = 0
        self.reset(jiffies)

    def reset(self, jiffies: int) -> None:
        """``dql_reset``: the ring has been emptied."""
        self.limit = 0
        self.num_queued = 0
        self.num_completed = 0
        self.last_obj_cnt = 0
        self.prev_num_queued = 0
        self.prev_last_obj_cnt = 0
        self.prev_ovlimit = 0
        self.lowest_slack = _NO_SLACK
        self.slack_start_time = jiffies
        self.adj_limit = 0

    def queued(self, count: int) -> None:
        """``dql_queued``: ``count`` more bytes are in the ring."""
        self.last_obj_cnt = count
        self.num_queued += count

    def avail(self) -> int:
        """``dql_avail``: bytes that may still be queued; negative when over the limit."""
        return self.adj_limit - self.num_queued

    def completed(self, count: int, jiffies: int) -> None:
        """``dql_completed``: the card is done with ``count`` bytes; adapt the limit."""
        num_queued = self.num_queued
        completed = self.num_completed + count
        assert completed <= num_queued, "the driver completed more bytes than it was given"
        limit = self.limit
        over = max(num_queued - self.num_completed - limit, 0)
        in_progress = num_queued - completed
        prev_in_progress = self.prev_num_queued - self.num_completed
        all_prev_completed = completed >= self.prev_num_queued
        if (over and not in_progress) or (self.prev_ovlimit and all_prev_completed):
            limit += max(completed - self.prev_num_queued, 0) + self.prev_ovlimit
            self.slack_start_time = jiffies
            self.lowest_slack = _NO_SLACK
        elif in_progress and prev_in_progress and not all_prev_completed:
            slack = max(limit + self.prev_ovlimit - 2 * (completed - self.num_completed), 0)
            if self.prev_ovlimit:
                slack = max(slack, self.prev_last_obj_cnt - self.prev_ovlimit)
            self.lowest_slack = min(self.lowest_slack, slack)
            if jiffies > self.slack_start_time + _SLACK_HOLD_TIME:
                limit = max(limit - self.lowest_slack, 0)
                self.slack_start_time = jiffies
                self.lowest_slack = _NO_SLACK
        if limit != self.limit:
            self.limit = limit
            over = 0
        self.adj_limit = limit + completed
        self.prev_ovlimit = over
        self.prev_last_obj_cnt = self.last_obj_cnt
        self.num_completed = completed
        self.prev_num_queued = num_queued
