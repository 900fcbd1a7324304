"""``desim calibrate RECORDINGS... -o PROFILE.toml``: costs fitted to recorded runs."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from desim.cli._arguments import Parser, counted
from desim.cli._screen import say
from desim.disk import kind_of, write_whole
from desim.errors import UserError

if TYPE_CHECKING:
    from desim.calibrate.calibrate import Round
    from desim.calibrate.selection import Selection

MAX_PROFILE = 1 << 20
"""Bytes of a profile that may be replaced."""

EPILOG = """\
RECORDINGS are what desim conform linux reads (.tar, .tar.xz, .tar.gz, or a folder). desim
uses the runs whose instructions QEMU counted and in which nothing outside of QEMU took
part. desim names the other runs, with the reason.

A recording measures sums: what several functions of the guest took together (a round trip, a
train, a TFTP block, an upload, a stretch of a kernel trace). The simulation knows how often
each function was passed, and least squares finds the figure of each. Which way the
simulation goes depends on the figures, so there are several rounds. Where recordings show
only a sum, its functions get equal shares.

The output shows each round's errors, every figure with the number of its observations and
their residual, and the worst observations. The same recordings give the same file, in
whatever order they are named. The file is for --costs; docs/linux.md says more.

Needs numpy and scipy: pip install 'desim[calibrate]'

Exit code: 0 done, 2 something cannot be read (then nothing is written).
"""


def parser() -> Parser:
    """What ``desim calibrate`` takes."""
    made = Parser("calibrate", EPILOG)
    made.add_argument(
        "recordings",
        metavar="RECORDINGS",
        type=Path,
        nargs="+",
        help="recorded runs of a Linux guest: folders or archives",
    )
    made.add_argument(
        "-o",
        dest="output",
        metavar="PROFILE.toml",
        type=Path,
        required=True,
        help="the file to write",
    )
    made.add_argument(
        "--rounds",
        metavar="N",
        type=counted,
        default=3,
        help="how many times to fit (3 if not given)",
    )
    made.add_argument(
        "--real-time",
        metavar="BASE",
        help="fit nanoseconds for QEMU in real time instead: how long an instruction of the "
        "profile BASE lasts, and how long QEMU and its host take, from runs with a program on "
        "the host",
    )
    made.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return made


def command(words: list[str]) -> int:
    """Fit a cost profile to recorded runs."""
    return execute(parser().read(words))


def execute(arguments: argparse.Namespace) -> int:
    """Select, fit, show, write; the exit code."""
    from desim.calibrate import report
    from desim.calibrate.calibrate import calibrate
    from desim.calibrate.fit import check_installed
    from desim.calibrate.profile_text import profile_text

    if arguments.real_time is not None:
        return _in_real_time(arguments)
    check_installed()
    check_output(arguments.output)
    selection = _selected(arguments.recordings)
    if not arguments.json:
        _say_selection(selection)
    rounds: list[Round] = []

    def told(one: Round) -> None:
        rounds.append(one)
        if not arguments.json:
            print(report.round_line(one), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        fit = calibrate(
            selection.runs,
            Path(folder) / "fitted.toml",
            comment="",
            description=report.DESCRIPTION,
            rounds=arguments.rounds,
            told=told,
        )
    text = profile_text(
        fit.figures,
        description=report.DESCRIPTION,
        comment=report.comment(selection.runs, arguments.rounds, fit),
        status="measured",
    )
    try:
        write_whole(arguments.output, text)
    except OSError as error:
        raise UserError(f"calibrate: -o {arguments.output}: {error.strerror}") from None
    if arguments.json:
        print(json.dumps(report.record(selection, rounds), indent=1))
    else:
        for line in (*report.figures_table(fit.figures), "", *report.worst_table(fit), ""):
            say(line)
        say(f"written: {arguments.output}")
    return 0


def _in_real_time(arguments: argparse.Namespace) -> int:
    from desim.calibrate import report
    from desim.calibrate.profile_text import profile_text
    from desim.calibrate.realtime import comment, real_time
    from desim.costs.profile import NS, load

    check_output(arguments.output)
    base = load(arguments.real_time)
    selection = _selected(arguments.recordings, real_time=True)
    if not arguments.json:
        _say_selection(selection)
    factor, figures = real_time(selection.runs, base, arguments.real_time)
    text = profile_text(
        figures,
        description="QEMU under TCG in real time, on a busy machine with two cores",
        comment=comment(selection.runs, base, factor),
        status="measured",
        unit=NS,
    )
    try:
        write_whole(arguments.output, text)
    except OSError as error:
        raise UserError(f"calibrate: -o {arguments.output}: {error.strerror}") from None
    if arguments.json:
        print(json.dumps(report.real_time_record(selection, factor, figures), indent=1))
        return 0
    for where, ratio in sorted(factor.ratios, key=lambda entry: entry[1]):
        say(f"  {ratio:8.2f} ns an instruction: {where}")
    say(f"median {factor.ns:.2f} ns an instruction")
    for line in report.figures_table(figures, unit="ns"):
        say(line)
    say(f"written: {arguments.output}")
    return 0


def _selected(paths: list[Path], *, real_time: bool = False) -> Selection:
    from desim.calibrate.selection import USED, select

    selection = select(paths, real_time=real_time)
    if selection.mistakes:
        raise UserError(*selection.mistakes)
    if not selection.runs:
        needed = "pings in real time" if real_time else f"counted instructions ({', '.join(USED)})"
        raise UserError(
            f"calibrate: none of the recordings can be used; needed are runs with {needed}",
            *(f"{one.place}: {one.why}" for one in selection.passed_over),
        )
    return selection


def _say_selection(selection: Selection) -> None:
    from desim.calibrate import report

    for run in selection.runs:
        say(report.run_line(run))
    for line in report.passed_over_lines(selection):
        say(line)


def check_output(path: Path) -> None:
    """Nothing but a cost profile is replaced, and what cannot be written is told at once."""
    from desim.calibrate.profile_text import is_profile

    def refuse(why: str) -> UserError:
        return UserError(f"calibrate: -o {path}: {why}")

    if path.suffix != ".toml":
        raise refuse("a cost profile's name ends in .toml")
    if kind_of(path.parent) != "folder":
        raise refuse(f"no folder {path.parent}")
    if not os.path.lexists(path):
        if not os.access(path.parent, os.W_OK):
            raise refuse("the folder cannot be written to")
        return
    if kind_of(path) != "file":
        raise refuse("not a regular file")
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_PROFILE else ""
    except (OSError, UnicodeDecodeError):
        text = ""
    if not is_profile(text):
        raise refuse("is there, and is no cost profile; it is left as it is")
    if not os.access(path, os.W_OK):
        raise refuse("cannot be written to")
