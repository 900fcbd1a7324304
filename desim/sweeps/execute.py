"""Making the runs of a sweep, wherever there are processors.

Theory of operation
-------------------
Whoever can be given a function and its arguments (``concurrent.futures.Executor``) can make runs:
a pool of processes here, a cluster's client, or this process itself. There is no scheduler of our
own. The parent keeps a few chunks with each worker and takes rows as they come, so its memory does
not grow with the sweep.

A chunk is some runs that take a tenth of a second together, or one run that takes longer: less
than that, and handing it out would be seen; more, and a parent that is killed would lose more.

A worker that dies takes a pool of Python's with it. Then there is a new pool, and what was in
flight is made again, run by run: a run that kills its worker again is a row with that error.
Workers of a cluster are the cluster's own matter: it gives their work to others.

A parent that is killed (``kill -9``) leaves workers of a pool that would wait for ever, because
they hold both ends of their pipe. So each looks every second whether its parent is still there.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from itertools import islice
from typing import Any

from desim.collector import collect_rarely
from desim.data import NamedTuple
from desim.errors import UserError, WorkerError
from desim.sweeps.plan import Plan
from desim.sweeps.row import Row
from desim.sweeps.work import Base, Chunk, Done, run_chunk

CHUNK_S = 0.1
"""How long a chunk should take."""
MOST = 64
"""Runs of a chunk."""
WITH_EACH = 2
"""Chunks that are with each worker: one is made, one waits."""
LOST = 5
"""So many runs one behind the other whose workers have died: nobody is there any more."""
TICK_S = 0.5
"""So often whoever waits hears of it, whether a run is done or not."""
WATCH_S = 1


class Here(Executor):
    """Makes everything in this process, when it is asked for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it now."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Pool(ProcessPoolExecutor):
    """A pool of fresh processes (spawn), whose programs need no ``if __name__ == "__main__"``."""

    def __init__(self, workers: int) -> None:
        from multiprocessing import get_context

        super().__init__(
            workers, get_context("spawn"), initializer=_begin_worker, initargs=(os.getpid(),)
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As any pool does; a process that this starts does not run the user's program again."""
        with _without_main():
            return super().submit(_collected, fn, *args, **kwargs)

    def kill(self) -> None:
        """End its processes with what they are doing."""
        for process in list((self._processes or {}).values()):
            process.terminate()


@contextmanager
def _without_main() -> Iterator[None]:
    """A process that is started here finds nothing of the program: all it needs is in desim."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = type(sys)("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _collected(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Do it, and leave no garbage: machines are full of circles, and each run makes one."""
    try:
        return fn(*args, **kwargs)
    finally:
        gc.collect()  # what was there before any run is frozen, and not looked at


def _begin_worker(parent: int) -> None:
    """What a process of a pool does first."""

    def watch(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    signal.signal(signal.SIGALRM, watch)
    signal.setitimer(signal.ITIMER_REAL, WATCH_S, WATCH_S)
    watch()
    gc.collect()
    gc.freeze()
    collect_rarely()


class _Flight(NamedTuple):
    """A chunk that is with a worker: since when, and whose."""

    chunk: Chunk
    since: float
    executor: Executor


class Execution:
    """The runs of a plan that are still to be made, by an executor that ``make`` gives."""

    def __init__(
        self,
        base: Base,
        plan: Plan,
        todo: Iterable[int],
        make: Callable[[], Executor],
        workers: int,
        run_s: float | None = None,
    ) -> None:
        """``todo``: the numbers of the runs, in the order in which they are best made. ``run_s``
        is what a run takes, if that is known."""
        self.base = base
        self.plan = plan
        self.make = make
        self.workers = workers
        self.run_s = run_s
        self._todo = iter(todo)
        self._suspects: deque[Chunk] = deque()
        """What was lost with a worker, run by run: each is made with nothing beside it."""
        self._flight: dict[Future[Done], _Flight] = {}
        self._deaths = 0
        self._executor: Executor | None = None

    def rows(self) -> Iterator[list[Row]]:
        """What the runs leave, in the order in which they are done; now and then nothing."""
        try:
            while self._fill():
                done = wait(self._flight, TICK_S, FIRST_COMPLETED).done
                yield [row for f in done for row in self._taken(self._flight.pop(f), f)]
        finally:
            self.close()

    def oldest(self) -> tuple[int, float] | None:
        """The run that has been under way longest, and for how many seconds."""
        if not self._flight:
            return None
        flight = min(self._flight.values(), key=lambda one: one.since)
        return flight.chunk.points[0].number, time.perf_counter() - flight.since

    def close(self) -> None:
        """Do without what is in flight."""
        executor, self._executor = self._executor, None
        for future in self._flight:
            future.cancel()
        self._flight.clear()
        if isinstance(executor, Pool):  # an executor of somebody else's is left open
            executor.kill()
            executor.shutdown(wait=True, cancel_futures=True)

    def _fill(self) -> bool:
        """Hand out what workers have room for; False if all is done."""
        if self._executor is None:
            self._executor = self.make()
        room = 1 if self._suspects else self.workers
        if not self._suspects and self.run_s is not None:
            room *= WITH_EACH
        while len(self._flight) < room:
            chunk = self._suspects[0] if self._suspects else self._next()
            if chunk is None:
                break
            try:
                future = self._executor.submit(run_chunk, self.base, chunk)
            except BrokenExecutor as error:  # since the last look at it
                future = Future()
                future.set_exception(error)
            self._flight[future] = _Flight(chunk, time.perf_counter(), self._executor)
        return bool(self._flight)

    def _next(self) -> Chunk | None:
        size = 1 if not self.run_s else max(1, min(MOST, int(CHUNK_S / self.run_s)))
        numbers = list(islice(self._todo, size))
        if not numbers:
            return None
        return Chunk(tuple(self.plan.point(number) for number in numbers), self.plan.share > 1)

    def _taken(self, flight: _Flight, future: Future[Done]) -> list[Row]:
        """The rows of a chunk that has come back; none if it has to be made again."""
        suspect = bool(self._suspects) and flight.chunk is self._suspects[0]
        try:
            done = future.result()
        except UserError:
            raise
        except Exception as error:
            if isinstance(error, BrokenExecutor) and flight.executor is self._executor:
                if isinstance(self._executor, Pool):
                    self._executor.shutdown(wait=False)
                self._executor = None
            if suspect:
                self._suspects.popleft()
                return self._dead(flight.chunk, error)
            self._suspects += [Chunk((p,), flight.chunk.shared) for p in flight.chunk.points]
            return []
        if suspect:
            self._suspects.popleft()
        self._deaths = 0
        each = done.seconds / len(done.rows)
        # The first ones load what the others find loaded.
        self.run_s = each if self.run_s is None else min(each, (self.run_s * 3 + each) / 4)
        return done.rows

    def _dead(self, chunk: Chunk, error: Exception) -> list[Row]:
        """Its worker has died, and there was nothing else that it had to do."""
        self._deaths += 1
        if self._deaths == LOST:
            raise WorkerError(f"there are no workers any more: {error or type(error).__name__}")
        what = WorkerError("the process of the run has died, by a signal or for lack of memory")
        return [self.base.failed(chunk.points[0], what)]
