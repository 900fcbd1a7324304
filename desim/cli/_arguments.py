"""Arguments that several commands share, on an argparse that answers like the rest of desim."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from desim.cli._commands import COMMANDS
from desim.errors import UserError, nearest
from desim.scenario.durations import parse_duration

if TYPE_CHECKING:
    from desim.api.scenario import Scenario


class _Narrow(argparse.RawDescriptionHelpFormatter):
    """What argparse looks at each argument with, as it is added: no need to ask the terminal how
    wide it is, which takes a module and a third of the time of reading a command line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


class Parser(argparse.ArgumentParser):
    """The parser of one of ``COMMANDS``, which describes it.

    Mistakes become a :class:`UserError`; options are written out in full.
    """

    def __init__(self, name: str, epilog: str = "") -> None:
        description = COMMANDS[name]
        super().__init__(
            prog=f"desim {name}",
            description=f"{description[0].upper()}{description[1:]}.",
            allow_abbrev=False,
            formatter_class=_Narrow,
            epilog=epilog,
        )
        self.name = name

    def format_help(self) -> str:
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        return super().format_help()

    def read(self, words: list[str]) -> argparse.Namespace:
        """The arguments in ``words``."""
        # A misspelt option is told before what is missing because of it.
        options = {option for action in self._actions for option in action.option_strings}
        self._refuse(
            [w for w in words if w.startswith("--") and w.partition("=")[0] not in {*options, "--"}]
        )
        known, unknown = self.parse_known_args(words)
        self._refuse(unknown)
        return known

    def _refuse(self, words: list[str]) -> None:
        options = [option for action in self._actions for option in action.option_strings]

        def hint(word: str) -> str:
            # The dashes alone must not make --help the neighbour of --slirp.
            bare = word.strip("-")
            return nearest(word, [o for o in options if nearest(bare, [o.strip("-")])])

        if words:
            raise UserError(
                *(
                    f"{self.name}: {word}: no such argument{hint(word.partition('=')[0])}"
                    for word in words
                )
            )

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.name}: {message}; {self.prog} --help says more")


def duration(text: str) -> int:
    """An argument such as ``5s``."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def whole(text: str) -> int:
    """A whole number from 0 on, of at most 63 bits, as in a scenario file."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, 0 or more")
    if len(text) > 19 or int(text) >= 1 << 63:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: must be less than {1 << 63}")
    return int(text)


def counted(text: str) -> int:
    """A whole number from 1 on."""
    number = whole(text)
    if number == 0:
        raise argparse.ArgumentTypeError("counted from 1")
    return number


def setting(text: str) -> tuple[str, object]:
    """``KEY=VALUE``: a key of the scenario and its value."""
    from desim.scenario.document import read_setting

    try:
        return read_setting(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def add_scenario(
    parser: Parser,
    what: str = "a file, or the name of a scenario that ships",
    *,
    metavar: str | None = None,
) -> None:
    """The scenario, and what may be read for it."""
    parser.add_argument("scenario", metavar=metavar, help=what)
    parser.add_argument(
        "--allow-read",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="let the scenario read files below DIR, too; may be given more than once",
    )
    add_set(parser)


def add_set(parser: Parser) -> None:
    """Keys of the scenario that are changed."""
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        type=setting,
        action="append",
        default=[],
        help="give a key of the scenario another value, as in "
        "--set 'guest.modprobe=e1000 InterruptThrottleRate=500' (text needs no quotes of TOML); "
        "may be given more than once",
    )


def add_modprobe(parser: Parser) -> None:
    """The guest's driver."""
    parser.add_argument(
        "--modprobe",
        metavar="LINE",
        help="the guest's driver and its parameters, such as 'e1000 InterruptThrottleRate=8000'",
    )


def add_machine(parser: Parser) -> None:
    """What of a machine and its run can be set from outside."""
    parser.add_argument("--seed", metavar="N", type=whole, help="the seed of all random streams")
    parser.add_argument(
        "--costs",
        metavar="NAME|FILE",
        help="the cost profile: a name that desim costs lists, or a file",
    )
    parser.add_argument(
        "--semantics",
        choices=["qemu", "datasheet"],
        help="the card's timing: QEMU's (default), or that of Intel's manual, with a wire that "
        "takes time",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        default=None,
        help="make every charge of time a meeting of all threads: slow, and the same trace",
    )


class Changes:
    """What of a scenario the arguments change: its keys, and which argument each came from."""

    def __init__(self, arguments: argparse.Namespace, **options: str) -> None:
        """``options`` are further arguments by name, with the key that each stands for."""
        self.keys: dict[str, object] = dict(arguments.settings)
        self._options: dict[str, str] = {}
        own = {"semantics": "semantics", "strict": "strict", "modprobe": "guest.modprobe"}
        for name, key in {**own, **options}.items():
            value = getattr(arguments, name, None)
            if value is not None:
                self.keys[key] = value
                self._options[key] = f"--{name}"

    @property
    def place(self) -> Callable[[str], str]:
        """What messages call a key."""
        return lambda key: self._options.get(key, f"--set {key}")


def load(arguments: argparse.Namespace) -> Scenario:
    """The scenario that :func:`add_scenario` read, with what other arguments change of it."""
    from desim.api.scenario import load

    changes = Changes(arguments)
    return load(
        arguments.scenario, changes.keys, allow_read=arguments.allow_read, place=changes.place
    )
