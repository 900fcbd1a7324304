"""Arguments that several commands share, on an argparse that answers like the rest of desim."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from desim.config import MachineConfig
from desim.errors import UserError, nearest
from desim.scenario.durations import parse_duration

if TYPE_CHECKING:
    pass


class Parser(argparse.ArgumentParser):
    """Mistakes become a :class:`UserError`; options are written out in full."""

    def __init__(self, name: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=f"desim {name}",
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=epilog,
        )
        self.name = name

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


def add_scenario(parser: Parser) -> None:
    """The scenario, and what may be read for it."""
    parser.add_argument("scenario", help="a file, or the name of a shipped scenario")
    parser.add_argument(
        "--allow-read",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="let the scenario read files below DIR too",
    )


def add_machine(parser: Parser) -> None:
    """What of a configuration can be set from outside."""
    parser.add_argument("--seed", metavar="N", type=whole, help="seed of all random streams")
    parser.add_argument(
        "--costs", metavar="NAME|FILE", help="cost profile; desim costs lists the shipped ones"
    )
    parser.add_argument(
        "--semantics",
        choices=["qemu", "datasheet"],
        help="the card's timing: QEMU's (default), or that of Intel's manual, with the wire's time",
    )
    parser.add_argument(
        "--strict", action="store_true", help="make every charge a meeting (slow; same trace)"
    )


def configure(config: MachineConfig, arguments: argparse.Namespace) -> MachineConfig:
    """Put what :func:`add_machine` and :func:`add_results` read into ``config``."""
    if arguments.seed is not None:
        config.seed = arguments.seed
    if arguments.costs is not None:
        config.costs = known_costs(arguments.costs)
    if arguments.semantics is not None:
        if config.nic is None:
            raise UserError(f"--semantics {arguments.semantics}: this machine has no card")
        config.nic.semantics = arguments.semantics
    if arguments.strict:
        config.strict = True
    if getattr(arguments, "until", None) is not None:
        config.until_ns = arguments.until
    return config


def load(arguments: argparse.Namespace) -> MachineConfig:
    """The configuration of the scenario that :func:`add_scenario` read."""
    from desim.scenario.loader import load_scenario

    config = load_scenario(arguments.scenario, allow_read=arguments.allow_read)
    return configure(config, arguments)


@contextmanager
def profile_mistakes() -> Iterator[None]:
    """A cost profile is checked when it is used; its mistakes are the user's."""
    from desim.costs.profile import ProfileError

    try:
        yield
    except ProfileError as error:
        raise UserError(*error.mistakes) from None


def known_costs(name: str) -> str:
    """The argument of ``--costs``, if there is such a profile."""
    from desim.costs.profile import shipped

    if "/" in name or name.endswith(".toml"):
        # A name of nothing, a folder or a FIFO is told here; what is in a file, by its reader.
        if not os.path.isfile(name):
            what = "not a regular file" if os.path.exists(name) else "no such file"
            raise UserError(f"--costs {name}: {what}")
    elif name not in shipped():
        known = ", ".join(shipped())
        raise UserError(
            f"--costs {name}: no such cost profile; there are {known}{nearest(name, shipped())}"
        )
    return name
