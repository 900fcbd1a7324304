"""``desim rates [VALUE...]``: the interrupt rates that InterruptThrottleRate really gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from desim.cli._arguments import Parser, refusal
from desim.cli._screen import complain, say
from desim.config import DEFAULT_MODPROBE
from desim.errors import UserError

if TYPE_CHECKING:
    from desim.experiment.rates import Row, Window

EPILOG = """\
The guest's driver takes each value and programs the card; the card's own mitigation then
says how long the card waits. "per s" beside ITR is the rate that the driver means. The two
others are the highest rates of interrupts for received and for sent frames. Behind each
stands what decides it: ITR, RADV (which counts if RxIntDelay is not 0), TADV (which counts
if TxIntDelay is not 0), or QEMU's floor of 128 us. Rows with the floor are equal, whatever
the registers ask for.

  desim rates 4000 8000 20000
  desim rates 0 8000 --modprobe 'e1000 RxIntDelay=128 RxAbsIntDelay=512'
"""

REQUESTED, STATE = 7, 21
NAMED = REQUESTED + STATE
HEAD = (
    f"{'InterruptThrottleRate':<{NAMED}}{'programmed':>14}  {'received frames':<24}  sent frames",
    f"{'requested':<{NAMED}}{'ITR':>6}{'per s':>8}" + f"  {'every us':>9}{'per s':>8}  by   " * 2,
)


def parser() -> Parser:
    """What ``desim rates`` takes."""
    made = Parser("rates", EPILOG)
    made.add_argument(
        "values",
        metavar="VALUE",
        type=_value,
        nargs="*",
        help="a value of InterruptThrottleRate; without any, a table of common ones",
    )
    made.add_argument(
        "--mitigation",
        choices=["on", "off"],
        default="on",
        help="the property mitigation of QEMU's card (on by default)",
    )
    made.add_argument(
        "--modprobe",
        metavar="LINE",
        default=DEFAULT_MODPROBE,
        help="the driver with its other parameters, such as 'e1000 RxIntDelay=32'",
    )
    made.add_argument("--json", action="store_true", help="print the table as JSON")
    return made


def command(words: list[str]) -> int:
    """Print the table of interrupt rates."""
    arguments = parser().read(words)
    from desim.experiment.rates import FLOOR_NS, VALUES, rates

    complain(*_checked(arguments.modprobe))
    rows = list(
        rates(
            arguments.values or VALUES,
            modprobe=arguments.modprobe,
            mitigation=arguments.mitigation == "on",
        )
    )
    if arguments.json:
        say(json.dumps([_record(row) for row in rows], indent=2))
        return 0
    # A value of eight digits or more makes its column wider, in the head as well.
    wider = max(0, *(len(str(row.requested)) + 1 - REQUESTED for row in rows))
    for line in HEAD:
        say((line[:NAMED] + " " * wider + line[NAMED:]).rstrip())
    for row in rows:
        say(_line(row, REQUESTED + wider))
    for note in _notes(rows, FLOOR_NS):
        say(note)
    return 0


def _value(text: str) -> int:
    from desim.guest.drivers.modprobe import INT, kstrtoint

    number = kstrtoint(text)
    if number is None or number not in INT:
        raise refusal(f"{text!r}: must be a whole number, as modprobe takes it")
    return number


def _checked(line: str) -> list[str]:
    """What the user should know of ``line``, which must load e1000."""
    from desim.scenario.modprobe import check_modprobe

    if line.split()[:1] != [DEFAULT_MODPROBE]:
        raise UserError(f"--modprobe {line!r}: only {DEFAULT_MODPROBE} has InterruptThrottleRate")
    try:
        return check_modprobe(line)
    except ValueError as error:
        raise UserError(f"--modprobe {line!r}: {error}") from None


def _per_second(interval_ns: int) -> int:
    """Rounded to the nearest whole number, half up."""
    return (2 * 10**9 + interval_ns) // (2 * interval_ns)


def _line(row: Row, width: int) -> str:
    rate = "none" if row.rate is None else f"{row.rate:,}"
    head = f"{row.requested:<{width}}{row.state:<{STATE}}{row.itr:>6}{rate:>8}"
    return f"{head}  {_window(row.received)}  {_window(row.sent)}".rstrip()


def _window(window: Window) -> str:
    if not window.interval_ns:
        return f"{'at once':>9}{'no limit':>9} -    "
    every = f"{window.interval_ns // 1000:,}.{window.interval_ns % 1000:03d}"
    return f"{every:>9}{_per_second(window.interval_ns):>8,}  {window.decided_by:<5}"


def _notes(rows: list[Row], floor_ns: int) -> list[str]:
    """Why rows are equal, and what the driver refused."""
    notes = []
    at_floor = [row for row in rows if "floor" in (row.received.decided_by, row.sent.decided_by)]
    if at_floor:
        notes.append(
            f"floor: after each interrupt QEMU waits at least {floor_ns // 1000} us, that is at "
            f"most {_per_second(floor_ns):,} per second; rows"
        )
        notes.append(
            "       with it are equal because every register asks for less, or none asks at all."
        )
    short = sorted(
        {
            f"{row.sent.asked_by} ({row.sent.asked_ns // 1000}.{row.sent.asked_ns % 1000:03d} us)"
            for row in rows
            if row.sent.decided_by == "floor" and row.sent.asked_by == "TADV"
        }
    )
    if short:
        notes.append(f"sent: the shortest register counts, {', '.join(short)}, whatever ITR says.")
    notes += [
        f"{row.requested}: ITR keeps 16 bits of {row.written}, which the driver writes first."
        for row in rows
        if row.written is not None and row.written >> 16
    ]
    if any(not row.received.interval_ns for row in rows):
        notes.append("no limit: with mitigation=off every cause raises the line at once.")
    refused = sorted({row.requested for row in rows if row.state == "refused"})
    if refused:
        values = ", ".join(map(str, refused))
        notes.append(f"refused: the driver takes 0, 1, 3, 4 and 100 to 100000, not {values}.")
    return notes


def _record(row: Row) -> dict[str, object]:
    return {
        "requested": row.requested,
        "state": row.state,
        "rate_per_s": row.rate,
        "written_256ns": row.written,
        "itr_256ns": row.itr,
        "received": row.received._asdict(),
        "sent": row.sent._asdict(),
    }
