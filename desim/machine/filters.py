"""The filters of one machine: from their configuration to their places in the net layer."""

from __future__ import annotations

from collections.abc import Callable

from desim.engine.instrument import Instrument
from desim.engine.streams import Streams
from desim.errors import UserError
from desim.filters import (
    NETDEV,
    BufferFilter,
    Chosen,
    CorruptFilter,
    DelayFilter,
    DumpFilter,
    DuplicateFilter,
    LossFilter,
    NetdevEnd,
    NetFilter,
    ReorderFilter,
)
from desim.net import NetClientState
from desim.net.filter import NetFilterState, Place
from desim.net.filter_buffer import FilterBuffer
from desim.net.filter_choice import Below, Chance, Choice, Every, Listed
from desim.net.filter_dump import FilterDump
from desim.net.filter_faults import (
    FilterCorrupt,
    FilterDelay,
    FilterDuplicate,
    FilterLoss,
    FilterReorder,
)
from desim.ports import Clock, CopyLedger
from desim.userland.files import VirtualTree


class Filters:
    """Makes filters, each with a random stream of its own, and hangs them on their netdevs.

    A dump writes into ``tree``, the host's files; ``touch`` meets the other threads
    before each write, as somebody may read there.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: CopyLedger,
        streams: Streams,
        tree: VirtualTree,
        touch: Callable[[], None],
        build: Instrument,
    ) -> None:
        self.clock = clock
        self.ledger = ledger
        self.streams = streams
        self.tree = tree
        self.touch = touch
        self.build = build
        self.made: dict[str, NetFilterState] = {}

    def attach(
        self,
        configs: list[NetFilter],
        *,
        user: NetClientState | None,
        nic: NetClientState | None,
        find: Callable[[str], NetClientState],
    ) -> None:
        """All filters, in the order of the options; ``user`` and ``nic`` have their peers, and
        ``find`` gives other clients."""
        ends: dict[NetdevEnd, NetClientState | None] = {
            "user": user,
            "user_port": user and user.peer,
            "nic_port": nic and nic.peer,
        }
        for config in configs:
            end = config.netdev
            netdev = find(end.removeprefix(NETDEV)) if end.startswith(NETDEV) else ends[end]
            assert netdev is not None, f"filter {config.id!r} is on a netdev that is not there"
            new = self._make(config, Place(netdev, config.id, config.queue, config.on))
            if config.position == "head":
                new.complete("head")
            elif config.position == "tail":
                new.complete("tail")
            else:
                new.complete(self.made[config.position], before=config.before)
            self.made[config.id] = new

    def _make(self, config: NetFilter, place: Place) -> NetFilterState:
        clock, ledger, build = self.clock, self.ledger, self.build
        below = self.streams(f"net.filter.{config.id}").below
        match config:
            case BufferFilter(interval_us=interval_us):
                return build(FilterBuffer)(place, interval_us=interval_us, clock=clock, build=build)
            case DumpFilter():
                write = self._open(config)
                return build(FilterDump)(place, maxlen=config.maxlen, write=write, clock=clock)
            case LossFilter(chosen=chosen):
                return build(FilterLoss)(place, choice=_choice(chosen, below))
            case DelayFilter():
                return build(FilterDelay)(
                    place,
                    choice=_choice(config.chosen, below),
                    delay_ns=config.delay_ns,
                    jitter_ns=config.jitter_ns,
                    clock=clock,
                    below=below,
                )
            case DuplicateFilter(chosen=chosen):
                return build(FilterDuplicate)(place, choice=_choice(chosen, below), ledger=ledger)
            case ReorderFilter():
                return build(FilterReorder)(
                    place,
                    choice=_choice(config.chosen, below),
                    behind=config.behind,
                    timeout_ns=config.timeout_ns,
                    clock=clock,
                )
            case CorruptFilter():
                return build(FilterCorrupt)(
                    place,
                    choice=_choice(config.chosen, below),
                    bits=config.bits,
                    offsets=config.offsets,
                    ledger=ledger,
                    below=below,
                )
        raise TypeError(f"no filter is made from a {type(config).__name__}")

    def _open(self, config: DumpFilter) -> Callable[[bytes], None]:
        try:
            file = self.tree.open(config.file)
        except OSError as error:
            raise UserError(
                f"-object filter-dump,id={config.id}: net dump: can't open {config.file}: "
                f"{error.strerror}"
            ) from None

        def write(data: bytes) -> None:
            self.touch()
            file.write(data)

        return write


def _choice(chosen: Chosen, below: Below) -> Choice:
    if chosen.probability is not None:
        return Chance(chosen.probability, below, first=chosen.first or 1)
    if chosen.every is not None:
        return Every(chosen.every, first=chosen.first)
    return Listed(chosen.frames)
