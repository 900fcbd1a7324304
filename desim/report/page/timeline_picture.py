"""The timeline as a picture: lanes below each other over one stretch of virtual time.

Every mark says its instants (``data-b``, ``data-e``: ns since the beginning of what is drawn), so
the page's script can lay them out again when somebody zooms. Without the script the picture shows
what is seen at first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markupsafe import Markup

from desim.data import NamedTuple
from desim.report.page import svg
from desim.report.page.figure import Basis, Figure, Key, Table, Trust
from desim.report.page.places import WAITING, WAITING_CSS, Place
from desim.report.page.scale import Scale, exact, instant, short, tenths
from desim.report.page.timeline import HeldOff, Level, Poll, Stretch, Timeline

TITLE = 16
"""Pixels above a lane for its name."""
GAP = 12
LETTER = 7
"""Pixels that a letter takes, at most: a word that has not that much room is not shown."""
WIDTH = 900
"""Pixels that the picture is thought to have as long as no script has measured it."""


class Lane(NamedTuple):
    """A row of the picture."""

    name: str
    height: int
    marks: list[Markup]


def figure(made: Timeline, trust: Trust, costs: str, machine: str = "") -> Figure:
    """The picture of ``made``; ``costs`` is the cost profile, ``trust`` how far its times go, and
    ``machine`` the name of a further machine."""
    drawing = _Drawing(made)
    title = f"{machine}: {_title(made)}" if machine else _title(made)
    return Figure(
        name=f"timeline-{machine}" if machine else "timeline",
        kind="Timeline",
        title=title,
        picture=drawing.picture(title),
        table=_table(made),
        basis=(
            Basis("order of events", "verified"),
            Basis("hold-off windows and the register that decides", "verified"),
            Basis(f"times (costs {costs})", trust),
        ),
        legend=(
            Key(Place.SLIRP.css, "frame to the guest"),
            Key("from-guest", "frame from the guest"),
            Key("lost", "frame lost"),
            Key(Place.DRIVER.css, "interrupt"),
            Key(Place.CARD.css, "card"),
            Key(Place.KERNEL.css, "guest kernel"),
            Key(Place.PROGRAM.css, "guest program"),
            Key(Place.QEMU.css, "QEMU's main loop"),
            Key(WAITING_CSS, WAITING),
        ),
        notes=_notes(made),
        zooms=True,
        help="Click into the picture: then the wheel or + and − zoom, dragging or ← and → move, "
        "and 0 resets. With Ctrl the wheel zooms at once. A mark under the pointer says what it "
        "is.",
    )


def _title(made: Timeline) -> str:
    window = made.window
    frames = [one for one in made.frames if window.sees(one.time, one.time)]
    interrupts = [time for time in made.interrupts if window.sees(time, time)]
    most = max((f.frames for f in made.ring if window.sees(f.begin, f.end)), default=0)
    took = short(window.seen_end - window.seen_begin)
    counted = f"{_number(len(frames), 'frame')} in {took}, {_number(len(interrupts), 'interrupt')}"
    return f"{counted}; at most {most} in the ring"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _notes(made: Timeline) -> tuple[str, ...]:
    window = made.window
    notes = [
        f"Shown from {instant(window.seen_begin)} to {instant(window.seen_end)}; drawn up to "
        f"{instant(window.end)}.",
    ]
    if window.more:
        notes.append(
            f"{_number(window.more, 'frame')} more came behind that; --from and --to choose "
            "another stretch of time."
        )
    return tuple(notes)


class _Drawing:
    """Lanes in the making."""

    def __init__(self, made: Timeline) -> None:
        self.made = made
        self.origin = made.window.begin
        window = made.window
        self.scale = Scale(window.seen_begin, window.seen_end)

    def picture(self, title: str) -> Markup:
        """All lanes, and below them the times."""
        parts: list[Markup] = []
        y = 0
        for lane in self._lanes():
            parts.append(svg.text(lane.name, 0, y + 12, "lane"))
            inside = svg.element("g", Markup("\n"), svg.joined(*lane.marks), Markup("\n"))
            parts.append(
                svg.element(
                    "svg", inside, x=0, y=y + TITLE, width="100%", height=lane.height, class_="clip"
                )
            )
            base = y + TITLE + lane.height
            parts.append(svg.line(0, base, "100%", base, "grid"))
            y = base + GAP
        axis = svg.element("g", *self.scale.axis(y, y), class_="times", data_y=y)
        window = self.made.window
        return svg.picture(
            y + 20,
            title,
            axis,
            *parts,
            class_="timeline",
            data_origin=self.origin,
            data_length=window.end - self.origin,
            data_from=window.seen_begin - self.origin,
            data_to=window.seen_end - self.origin,
        )

    def _lanes(self) -> Iterator[Lane]:
        made = self.made
        yield Lane("frames at the card: up to the guest, down from it", 44, list(self._wire()))
        yield Lane(
            "interrupt pin (INTA#)", 16, list(self._rects(made.pin, 0, 16, Place.DRIVER.css))
        )
        yield Lane("hold-off, and the register that decides", 22, list(self._held_off()))
        yield Lane("guest's processor: interrupt, soft interrupt, task", 63, list(self._vcpu()))
        yield Lane("driver's polls, and the frames they took", 20, list(self._polls()))
        most = max((one.frames for one in made.ring), default=0)
        name = f"receive ring: frames in it (whole height: {most})"
        yield Lane(name, 48, list(self._ring(most)))
        yield Lane("QEMU's main loop", 16, list(self._main_loop()))

    # --- marks

    def _place(self, begin: int, end: int) -> dict[str, svg.Value]:
        return {"data_b": begin - self.origin, "data_e": end - self.origin}

    def _rect(self, begin: int, end: int, y: int, height: int, css: str, title: str) -> Markup:
        scale = self.scale
        more = self._place(begin, end)
        return svg.rect(
            scale.at(begin), y, scale.width(end - begin), height, f"m {css}", title, **more
        )

    def _word(self, begin: int, end: int, y: int, word: str, css: str = "word") -> Markup:
        """A word in the middle of a mark, if that has room for it."""
        fits = (end - begin) * WIDTH >= LETTER * len(word) * self.scale.length
        return svg.text(
            word,
            self.scale.at((begin + end) // 2),
            y,
            css if fits else f"{css} off",
            **self._place(begin, end),
        )

    def _rects(
        self, stretches: Iterable[Stretch], y: int, height: int, css: str
    ) -> Iterator[Markup]:
        for one in stretches:
            said = f"{one.what}: {tenths(one.end - one.begin)} from {instant(one.begin)}"
            look = WAITING_CSS if one.waits else css
            yield self._rect(one.begin, one.end, y, height, look, said)

    def _wire(self) -> Iterator[Markup]:
        for frame in self.made.frames:
            css = Place.SLIRP.css if frame.to_guest else "from-guest"
            said = f"frame {frame.number} at {instant(frame.time)}: {frame.what}"
            yield self._instant(frame.time, 0 if frame.to_guest else 23, 21, css, said)
        for lost in self.made.lost:
            yield self._instant(lost.begin, 11, 21, "lost", f"{instant(lost.begin)}: {lost.what}")

    def _instant(self, time: int, y: int, height: int, css: str, title: str) -> Markup:
        more = self._place(time, time)
        return svg.rect(self.scale.at(time), y, 2, height, f"m {css}", title, **more)

    def _held_off(self) -> Iterator[Markup]:
        for held in self.made.held_off:
            yield self._rect(held.begin, held.end, 0, 22, "window", _said(held))
            if held.waited_ns:
                said = f"an interrupt waited: {tenths(held.waited_ns)}"
                begin = max(held.end - held.waited_ns, held.begin)
                yield self._rect(begin, held.end, 12, 10, WAITING_CSS, said)
            yield self._word(held.begin, held.end, 11, held.by)

    def _vcpu(self) -> Iterator[Markup]:
        processor = self.made.processor
        yield from self._rects(processor[Level.HARD], 0, 19, Place.DRIVER.css)
        yield from self._rects(processor[Level.SOFT], 22, 19, Place.KERNEL.css)
        for one in processor[Level.TASK]:
            css = Place.KERNEL.css if _is_kernel(one) else Place.PROGRAM.css
            yield from self._rects([one], 44, 19, css)
            if not one.waits:
                yield self._word(one.begin, one.end, 57, one.what, "word dark")
        yield from self._rects(processor[Level.HALTED], 44, 19, WAITING_CSS)

    def _polls(self) -> Iterator[Markup]:
        for poll in self.made.polls:
            yield self._rect(poll.begin, poll.end, 0, 20, "poll", _polled(poll))
            yield self._word(poll.begin, poll.end, 14, str(poll.frames))

    def _ring(self, most: int) -> Iterator[Markup]:
        for filled in self.made.ring:
            height = max(48 * filled.frames // most, 1)
            said = f"{_number(filled.frames, 'frame')}: {tenths(filled.end - filled.begin)}"
            yield self._rect(filled.begin, filled.end, 48 - height, height, "filled", said)
            yield self._word(filled.begin, filled.end, 46, str(filled.frames))

    def _main_loop(self) -> Iterator[Markup]:
        return self._rects(self.made.main_loop, 0, 16, Place.QEMU.css)


KERNEL_THREADS = ("ksoftirqd/", "kworker/", "rcu_")
"""How the names of the kernel's own threads begin."""


def _is_kernel(task: Stretch) -> bool:
    return task.what in ("idle", "boot") or task.what.startswith(KERNEL_THREADS)


def _said(held: HeldOff) -> str:
    what = "every rise" if held.holds == "line" else held.holds
    end = ", ended early" if held.cut else ""
    waited = f"; an interrupt waited {tenths(held.waited_ns)}" if held.waited_ns else ""
    return f"{what} is held back for {tenths(held.end - held.begin)} by {held.by}{end}{waited}"


def _polled(poll: Poll) -> str:
    took = tenths(poll.end - poll.begin)
    return f"{_number(poll.frames, 'frame')} in {took} from {instant(poll.begin)}"


def _table(made: Timeline) -> Table:
    """What is seen at first, in the order of time."""
    rows: list[tuple[int, int, str, str]] = []
    rows += [(one.time, one.time, "wire", f"frame {one.number}: {one.what}") for one in made.frames]
    rows += [(one.begin, one.end, "wire", one.what) for one in made.lost]
    rows += [(one.begin, one.end, "interrupt pin", one.what) for one in made.pin]
    rows += [(one.begin, one.end, "hold-off", _said(one)) for one in made.held_off]
    for level, stretches in made.processor.items():
        rows += [(one.begin, one.end, level.value, one.what) for one in stretches]
    rows += [(one.begin, one.end, "poll", _number(one.frames, "frame")) for one in made.polls]
    rows += [(one.begin, one.end, "ring", _number(one.frames, "frame")) for one in made.ring]
    window = made.window
    return Table(
        ("at, s", "ns", "lane", "what"),
        [
            (f"{begin // 10**9}.{begin % 10**9:09d}", exact(end - begin), lane, what)
            for begin, end, lane, what in sorted(rows)
            if window.sees(begin, end)
        ],
        frozenset(("at, s", "ns")),
    )
