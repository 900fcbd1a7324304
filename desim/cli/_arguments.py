"""What a command takes, and the arguments that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from desim.scenario.durations import parse_duration

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from desim.api.scenario import Scenario
    from desim.cli._argparse import FullParser


class Parser:
    """The parser of one of ``COMMANDS``: its arguments, declared as for argparse.

    Mistakes become a :class:`UserError`; options are written out in full.
    """

    def __init__(self, name: str, epilog: str = "") -> None:
        self.name = name
        self.usage: str | None = None
        """How its lines look, where argparse could not tell."""
        self._epilog = epilog
        self._declared: list[tuple[Group | None, tuple[str, ...], dict[str, Any]]] = []

    def add_argument(self, *flags: str, **settings: Any) -> None:
        """Take an argument."""
        self._declared.append((None, flags, settings))

    def add_mutually_exclusive_group(self, *, required: bool = False) -> Group:
        """A group of which one argument may be given, or must be."""
        return Group(self._declared, required)

    @cached_property
    def full(self) -> FullParser:
        """argparse's parser of the same arguments."""
        from desim.cli._argparse import FullParser

        made = FullParser(self.name, self._epilog)
        made.usage = self.usage
        groups: dict[Group, Any] = {}
        for group, flags, settings in self._declared:
            if group is not None and group not in groups:
                groups[group] = made.add_mutually_exclusive_group(required=group.required)
            (made if group is None else groups[group]).add_argument(*flags, **settings)
        return made

    def read(self, words: list[str]) -> argparse.Namespace:
        """The arguments in ``words``."""
        return self._names(words) or self.full.read(words)

    def _names(self, words: list[str]) -> argparse.Namespace | None:
        """The arguments if ``words`` are names, as many as there must be; else None.

        NOTE: most lines are no more than that, and argparse takes 2 % of a start.
        """
        values: dict[str, Any] = {}
        names: list[str] = []
        for group, flags, settings in self._declared:
            if not flags[0].startswith("-"):
                if not settings.keys() <= {"help", "metavar"}:
                    return None
                names += flags
                continue
            default = settings.get(
                "default", False if settings.get("action") == "store_true" else None
            )
            is_required = settings.get("required") or (group is not None and group.required)
            if is_required or (type(default) is str and "type" in settings):
                return None
            long = next((flag for flag in flags if flag.startswith("--")), flags[0])
            values.setdefault(settings.get("dest") or long.lstrip("-").replace("-", "_"), default)
        if len(words) != len(names) or any(word.startswith("-") for word in words):
            return None
        values.update(zip(names, words, strict=True))
        return cast("argparse.Namespace", SimpleNamespace(**values))


class Group:
    """Arguments of a parser of which one may be given."""

    def __init__(
        self,
        declared: list[tuple[Group | None, tuple[str, ...], dict[str, Any]]],
        required: bool,
    ) -> None:
        self._declared = declared
        self.required = required

    def add_argument(self, *flags: str, **settings: Any) -> None:
        """Take an argument."""
        self._declared.append((self, flags, settings))


def refusal(message: str) -> argparse.ArgumentTypeError:
    """What the type of an argument raises for a word that it does not take."""
    from argparse import ArgumentTypeError

    return ArgumentTypeError(message)


def duration(text: str) -> int:
    """An argument such as ``5s``."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise refusal(f"{text!r}: {error}") from None


def whole(text: str) -> int:
    """A whole number from 0 on, of at most 63 bits, as in a scenario file."""
    if not (text.isascii() and text.isdigit()):
        raise refusal(f"{text!r}: must be a whole number, 0 or more")
    if len(text) > 19 or int(text) >= 1 << 63:
        raise refusal(f"{text[:40]!r}: must be less than {1 << 63}")
    return int(text)


def counted(text: str) -> int:
    """A whole number from 1 on."""
    number = whole(text)
    if number == 0:
        raise refusal("counted from 1")
    return number


def path(text: str) -> Path:
    """The name of a file or a folder."""
    from pathlib import Path  # slow to load, and few lines name any

    return Path(text)


def setting(text: str) -> tuple[str, object]:
    """``KEY=VALUE``: a key of the scenario and its value."""
    from desim.scenario.document import read_setting

    try:
        return read_setting(text)
    except ValueError as error:
        raise refusal(f"{text!r}: {error}") from None


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
