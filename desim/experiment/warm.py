"""Warm processes: each has a machine that has booted, and forks a child for each run.

Theory of operation
-------------------
Most of a small run is its boot, and the boots of a sweep are all the same. A warm process boots
for its first job (``desim.machine.booted``), and then has a child: that goes on from there,
replies, rewinds the machine and takes the next job. A machine that cannot be rewound serves one
job, and the warm process has another child. So it does after ``RUNS`` jobs, and after an error:
nothing can pile up. A job that cannot go on from there is run from power-on, in a child as well.
What a child had to import and to instrument first, it tells; the next ones find it done.

The parent has two pipes to each warm process, for jobs and for replies. Who dies takes nobody
along and leaves nobody behind:

* A child that dies ends its warm process, with a status that tells how. The parent finds the end
  of the pipe where a reply should be, and looks at that.
* A parent that dies ends the pipes of jobs. A warm process watches its own while its child runs.
* A warm process and its child are a process group of their own. So Ctrl-C reaches the parent
  only, which ends the group as a whole.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import struct
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any, Generic, NoReturn, TypeVar

from desim.collector import collect_rarely
from desim.config import MachineConfig
from desim.data import NamedTuple
from desim.errors import UserError, WorkerError
from desim.experiment.run import RunResult
from desim.machine import Machine
from desim.machine.booted import Booted
from desim.machine.conduct import INTERRUPTED
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.shell import parse

Given = TypeVar("Given")
Value = TypeVar("Value")

RUNS = 100
"""How many jobs a child does at most."""

PATIENCE_MS = 1000
"""How long a warm process that is to end by itself may take."""

_LENGTH = struct.Struct("<Q")
_SIGNALLED = 128
"""What an exit status has beside the number of a signal, as in a shell."""


class Plan(NamedTuple, Generic[Given, Value]):
    """How what was given becomes a run, and what is kept of that.

    All but ``leave`` are called where the run is asked for.
    """

    name: Callable[[Given], str]
    """What errors call it."""
    configure: Callable[[Given], MachineConfig]
    """What it gives may be part of what was given, and is not changed."""
    leave: Callable[[Given, RunResult], Any]
    """What is kept of the run; called where it was made. It comes by pickle."""
    take: Callable[[Given, Any], Value]
    """What is made of that where the run was asked for."""
    begin: Callable[[], object] = int
    """Called where a run is made, before it."""


class Reply(NamedTuple):
    """What comes of a job."""

    value: Any = None
    error: BaseException | None = None
    up_ns: int | None = None
    """When the guest of this boot has booted, if it has."""


def run_job(
    plan: Plan[Given, Value], given: Given, config: MachineConfig, booted: Booted | None = None
) -> Reply:
    """Run what was given, from a machine that has booted if it ``serves``; what came of it."""
    up_ns = None if booted is None else booted.up_ns
    try:
        if booted is not None and booted.serves(config):
            machine = booted.go_on(config)
        else:
            machine = Machine(config)
        plan.begin()
        machine.run()
        if machine.ended == INTERRUPTED:
            raise KeyboardInterrupt
        return Reply(plan.leave(given, RunResult(config, machine)), up_ns=up_ns)
    except BaseException as error:
        if not isinstance(error, UserError):
            error.add_note(f"in the run of {plan.name(given)}")
        return Reply(error=error, up_ns=up_ns)


class Warm(Generic[Given, Value]):
    """A warm process, as its parent knows it."""

    def __init__(
        self, plan: Plan[Given, Value], key: str, others: Iterable[Warm[Given, Value]] = ()
    ) -> None:
        """``key`` is that of its boot (``Many``); ``others`` are all that there are."""
        self.key = key
        jobs, self._jobs = os.pipe()
        self._replies, replies = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or what is in the buffer would be written twice
        with warnings.catch_warnings():
            # Python 3.12 warns of threads that it does not know itself: those of some library.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            try:
                os.setpgid(0, 0)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
                    signal.signal(number, signal.SIG_DFL)
                for warm in (self, *others):
                    os.close(warm._jobs)
                    os.close(warm._replies)
                _Within(plan, jobs, replies).serve()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(jobs)
        os.close(replies)
        with suppress(OSError):  # it may have done so itself, and be gone
            os.setpgid(self.pid, self.pid)

    def fileno(self) -> int:
        """Readable when there is a reply, or there will be none."""
        return self._replies

    def send(self, given: Given, config: MachineConfig, early_ns: int | None) -> None:
        """Give it a job; ``early_ns`` is when its guest will have booted, if that is known.

        Raises ``WorkerError`` if it is gone.
        """
        try:
            _send(self._jobs, (given, config, early_ns))
        except BrokenPipeError:
            raise WorkerError("its process is gone") from None

    def receive(self) -> Reply:
        """The reply to its job. Raises ``WorkerError`` if there will be none: it is gone."""
        data = _receive(self._replies)
        if data is None:
            raise WorkerError("its process is gone")
        reply: Reply = pickle.loads(data)
        return reply

    def end(self, *, idle: bool) -> str:
        """End it with its child, if it has not ended; how it ended, in words. To be called once.

        One that is ``idle`` ends by itself. Only then is the time that its child has taken among
        those of this process's children.
        """
        os.close(self._jobs)
        if idle:
            poll = select.poll()
            poll.register(self._replies, 0)  # only its end: the last process has gone
            poll.poll(PATIENCE_MS)
        os.close(self._replies)
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:  # somebody else has waited for it
            return "has ended"
        number = -status if status < 0 else status - _SIGNALLED
        if number > 0:
            return f"was ended by {signal.Signals(number).name}"
        return f"has ended with status {status}"


class _Within(Generic[Given, Value]):
    """A warm process from within: what it does until nobody wants it any more."""

    def __init__(self, plan: Plan[Given, Value], jobs: int, replies: int) -> None:
        self.plan = plan
        self.jobs = jobs
        self.replies = replies
        self.booted: Booted | None = None
        self.rewinds = True
        """Whether that can be rewound, as far as one knows."""

    def serve(self) -> NoReturn:
        """Boot for the first job; then have children that do it and those that follow."""
        cold = True
        while (data := _receive(self.jobs)) is not None:
            given, config, early_ns = pickle.loads(data)
            if cold:
                cold = False
                with suppress(Exception):  # it will happen in the run as well, and be told there
                    self.booted = Booted(config, early_ns)
                gc.collect()
                collect_rarely()
            self._load_programs(config)
            gc.freeze()
            self._fork(given, config)
        os._exit(0)

    @staticmethod
    def _load_programs(config: MachineConfig) -> None:
        """Import them here rather than in each child."""
        for command in config.commands:
            table = GUEST_PROGRAMS if command.side == "guest" else HOST_PROGRAMS
            with suppress(Exception):  # it will happen in the run as well, and be told there
                parse(command.command, table)

    def _fork(self, given: Given, config: MachineConfig) -> None:
        """Have a child do a job and those that follow, and see it to its end."""
        news, told = os.pipe()
        child = os.fork()
        if not child:
            try:
                self._child(given, config, told)
                for stream in (sys.stdout, sys.stderr):
                    stream.flush()
                os._exit(0)
            finally:
                os._exit(1)
        os.close(told)
        data = self._watch(news, child)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status or not data:  # it may also have left in the middle, as if all were well
            os._exit(_SIGNALLED - status if status < 0 else status or 1)
        self._learn(*pickle.loads(data))

    def _watch(self, news: int, child: int) -> bytes:
        """What the child tells, up to its end. When the parent is gone everything ends here."""
        poll = select.poll()
        poll.register(news, select.POLLIN)
        poll.register(self.jobs, 0)  # only its end: the jobs are the child's
        data = b""
        while True:
            if news not in [ready for ready, _ in poll.poll()]:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                os.killpg(0, signal.SIGKILL)
            more = os.read(news, 1 << 16)
            if not more:
                os.close(news)
                return data
            data += more

    def _child(self, given: Given, config: MachineConfig, told: int) -> None:
        """Do jobs, and tell what had to be made for them first."""
        modules, classes = set(sys.modules), len(self._classes())
        self.rewinds = self.rewinds and self.booted is not None and self.booted.remember()
        for left in reversed(range(RUNS)):
            reply = run_job(self.plan, given, config, self.booted)
            _send(self.replies, reply)
            if not left or reply.error is not None or not self._rewind():
                break
            data = _receive(self.jobs)
            if data is None:
                break
            given, config, _ = pickle.loads(data)
        new = [(cls.__module__, cls.__qualname__) for cls in self._classes()[classes:]]
        made = sorted(set(sys.modules) - modules)
        _write(told, pickle.dumps((made, new, self.rewinds)))

    def _rewind(self) -> bool:
        """Whether the machine is at the end of its boot again."""
        self.rewinds = self.rewinds and self.booted is not None and self.booted.rewind()
        return self.rewinds

    def _classes(self) -> list[type]:
        """What the machine that has booted has instrumented."""
        return [] if self.booted is None else self.booted.machine.kit.build.classes

    def _learn(self, modules: list[str], classes: list[tuple[str, str]], rewinds: bool) -> None:
        """Make here what a child had to make, for those that follow."""
        self.rewinds = rewinds
        for name in modules:
            with suppress(Exception):
                import_module(name)
        if self.booted is not None:
            for module, name in classes:
                cls = getattr(sys.modules[module], name, None)
                if cls is not None:  # else it stands in a function, and is another each time
                    self.booted.machine.kit.build(cls)


# --- the pipes


def _send(pipe: int, what: object) -> None:
    """Send a value; what cannot be pickled becomes an error that says so."""
    try:
        data = pickle.dumps(what)
        if isinstance(what, Reply) and what.error is not None:
            pickle.loads(data)  # not every exception that goes in comes out
    except Exception as error:
        if not isinstance(what, Reply):
            raise
        data = pickle.dumps(Reply(error=_unsendable(what, error), up_ns=what.up_ns))
    _write(pipe, _LENGTH.pack(len(data)) + data)


def _unsendable(reply: Reply, why: Exception) -> Exception:
    if reply.error is None:
        return UserError(f"what is kept of a run must be something that can be pickled: {why}")
    text = "".join(traceback.format_exception(reply.error))
    return WorkerError(f"an error that cannot be pickled:\n{text}")


def _write(pipe: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def _receive(pipe: int) -> bytes | None:
    """What was sent; None if the pipe ends before that."""
    head = _read(pipe, _LENGTH.size)
    return None if head is None else _read(pipe, _LENGTH.unpack(head)[0])


def _read(pipe: int, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        more = os.read(pipe, min(size - len(data), 1 << 20))
        if not more:
            return None
        data += more
    return bytes(data)
