"""The waterfall: where one message was, stay by stay, from ``send()`` to ``read()``."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from markupsafe import Markup

from desim.data import NamedTuple
from desim.experiment.journey import TO_GUEST, Journey
from desim.report.page import svg
from desim.report.page.figure import Basis, Figure, Table, Trust, keys_of
from desim.report.page.places import QUEUES, WAITING_CSS
from desim.report.page.scale import Scale, exact, instant, short, tenths
from desim.report.page.stays import Stay, stays
from desim.report.text import percent

ROW = 50
"""Pixels from one row to the next: two lines of text and a bar."""
BAR = 11
TOP = 4


class Pair(NamedTuple):
    """A row of the picture: a stay of this run, the same of the other, or both."""

    stay: Stay | None
    other: Stay | None


def waterfall(
    journey: Journey,
    name: str,
    trust: Trust,
    costs: str,
    against: tuple[str, Journey] | None = None,
) -> Figure:
    """The picture of ``journey``, which has arrived.

    ``costs`` is the cost profile, and ``trust`` says how far its times go; ``against`` is the same
    message of another run, with that run's name.
    """
    rows = stays(journey)
    pairs = [Pair(row, None) for row in rows]
    if against is not None:
        pairs = aligned(rows, stays(against[1]))
    title = f"{short(journey.total_ns)} for {_called(journey)}; {_waiting(journey)}"
    if against is not None:
        title += f" ({_change(journey.total_ns, against[1].total_ns)} {against[0]})"
    return Figure(
        name=name,
        kind="Waterfall",
        title=title,
        picture=_picture(pairs, journey, against, title),
        table=_table(pairs, journey, against),
        basis=(
            Basis("order of the steps", "verified"),
            Basis(f"times (costs {costs})", trust),
        ),
        legend=keys_of(
            [place for row in rows if (place := row.place) is not None],
            waiting=any(row.lies for row in rows),
        ),
        notes=_notes(journey, against),
    )


def aligned(rows: list[Stay], others: list[Stay]) -> list[Pair]:
    """The stays of two runs beside each other, in the order of both."""
    keys, other_keys = [row.key for row in rows], [row.key for row in others]
    pairs: list[Pair] = []
    matcher = SequenceMatcher(None, keys, other_keys, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            pairs += map(Pair, rows[i1:i2], others[j1:j2])
        else:
            pairs += [Pair(row, None) for row in rows[i1:i2]]
            pairs += [Pair(None, row) for row in others[j1:j2]]
    return pairs


def _called(journey: Journey) -> str:
    """``17 bytes``, ``ping 12 of 56 bytes``; and which way, if it is not the usual one."""
    size = "1 byte" if journey.size == 1 else f"{journey.size:,} bytes"
    message = journey.message
    if message is None or journey.direction == TO_GUEST:
        return size
    return f"ping {message.index} of {size}" if message.kind == "ping" else f"{size} to the host"


def _waiting(journey: Journey) -> str:
    return f"{percent(journey.waiting_ns, journey.total_ns)} % waiting"


def _change(now: int, before: int) -> str:
    if now == before:
        return "the same as"
    return f"{short(abs(now - before))} {'more' if now > before else 'less'} than"


def _picture(
    pairs: list[Pair], journey: Journey, against: tuple[str, Journey] | None, title: str
) -> Markup:
    end = max(journey.total_ns, against[1].total_ns if against else 0)
    scale = Scale(0, end)
    bottom = TOP + ROW * len(pairs)
    parts = [*scale.axis(bottom + 2, bottom)]
    for number, pair in enumerate(pairs):
        parts += _row(pair, TOP + ROW * number, scale, journey.total_ns)
    height = bottom + 36
    parts.append(svg.text("virtual time since the program entered send()", 0, height - 4, "time"))
    return svg.picture(height, title, *parts)


def _row(pair: Pair, y: int, scale: Scale, total: int) -> Iterator[Markup]:
    shown = pair.stay or pair.other
    assert shown is not None
    figures, where, why = _words(pair, total)
    # Words begin where the bar does, or end where it ends; on a telephone, all begin at the left:
    # both are there, and the style shows one of them.
    early = shown.begin * 2 < scale.length
    near = scale.at(shown.begin if early else shown.begin + shown.ns)
    for x, css in ((near, "near" if early else "near late"), (0, "left")):
        head = (svg.element("tspan", figures, class_="figure"), svg.element("tspan", where, dx=8))
        yield svg.element("text", *head, x=x, y=y + 12, class_=css)
        yield svg.text(why, x, y + 26, f"why {css}")
    bar = y + 30
    if pair.stay is not None:
        stay = pair.stay
        css = WAITING_CSS if stay.place is None else stay.place.css
        said = f"{where}: {exact(stay.ns)} ns, {why}"
        yield svg.rect(scale.at(stay.begin), bar, scale.width(stay.ns), BAR, f"bar {css}", said)
    if pair.other is not None:
        other = pair.other
        said = f"the other run: {exact(other.ns)} ns"
        yield svg.rect(
            scale.at(other.begin), bar - 1, scale.width(other.ns), BAR + 2, "outline", said
        )


def _words(pair: Pair, total: int) -> tuple[str, str, str]:
    """What stands beside a row: its figures, where the message is, and why."""
    stay = pair.stay
    if stay is None:
        assert pair.other is not None
        gone = f"−{tenths(pair.other.ns)}"
        return gone, f"{_where(pair.other)} (only in the other run)", _why(pair.other)
    share = percent(stay.ns, total)
    figures = tenths(stay.ns) + (f" · {share} %" if share else "")
    if pair.other is not None and pair.other.ns != stay.ns:
        more = stay.ns > pair.other.ns
        figures += f" ({'+' if more else '−'}{tenths(abs(stay.ns - pair.other.ns))})"
    return figures, _where(stay), _why(stay)


def _where(stay: Stay) -> str:
    place = stay.place
    if place is None:
        queue = QUEUES.get(stay.where)
        return f"with the {stay.where}" if queue is None else queue.words
    if stay.is_mixed:
        return f"{stay.where}: {', '.join(place.short for place in stay.places)}"
    return place.value


def _why(stay: Stay) -> str:
    parts = stay.sums
    if stay.lies:
        rest = len(parts) - 1
        more = f", and {rest} more reason{'s' if rest > 1 else ''}" if rest else ""
        return f"waits for {parts[0].name}{more}"
    most = f"{parts[0].name} {tenths(parts[0].ns)}"
    return f"{parts[0].name}" if len(parts) == 1 else f"{len(parts)} functions, most: {most}"


def _table(pairs: list[Pair], journey: Journey, against: tuple[str, Journey] | None) -> Table:
    head: tuple[str, ...] = ("from, ns", "time, ns", "share, %", "where", "work or waiting", "what")
    rows: list[tuple[str, ...]] = []
    for pair in pairs:
        stay, other = pair.stay, pair.other
        shown = stay or other
        assert shown is not None
        ns = stay.ns if stay is not None else 0
        row: tuple[str, ...] = (
            exact(stay.begin) if stay is not None else "",
            exact(ns),
            svg.decimal(100 * ns, journey.total_ns, 1),
            _where(shown),
            "waiting" if shown.lies else "work",
            "; ".join(f"{part.name} {exact(part.ns)}" for part in shown.sums),
        )
        rows.append((*row, exact(other.ns) if other is not None else "0") if against else row)
    sums: tuple[str, ...] = ("", exact(journey.total_ns), "100", "total", "", "")
    if against is not None:
        head += (f"{against[0]}, ns",)
        sums += (exact(against[1].total_ns),)
    rows.append(sums)
    numbers = {"from, ns", "time, ns", "share, %", *head[6:]}
    return Table(head, rows, frozenset(numbers), _exactly(journey))


def _exactly(journey: Journey) -> str:
    own, waiting = exact(journey.own_ns), exact(journey.waiting_ns)
    return f"work {own} ns + waiting {waiting} ns = {exact(journey.total_ns)} ns, exactly"


def _notes(journey: Journey, against: tuple[str, Journey] | None) -> tuple[str, ...]:
    message = journey.message
    way = f"{message.name}, message {message.number}" if message else journey.connection
    notes = [f"{way}, from {instant(journey.begin_ns)}. {_exactly(journey)}."]
    if against is not None:
        notes.append(f"Thin outlines are {against[0]}, from its own send().")
    return tuple(notes)
