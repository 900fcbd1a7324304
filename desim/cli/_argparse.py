"""argparse that answers like the rest of desim, for lines with options and for help."""

from __future__ import annotations

import argparse
from typing import NoReturn

from desim.cli._commands import COMMANDS
from desim.errors import UserError, nearest


class _Narrow(argparse.RawDescriptionHelpFormatter):
    """What argparse looks at each argument with, as it is added: no need to ask the terminal how
    wide it is, which takes a module and a third of the time of reading a command line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


class FullParser(argparse.ArgumentParser):
    """argparse's parser of one of ``COMMANDS``, which describes it.

    Mistakes become a :class:`UserError`; options are written out in full.
    """

    def __init__(self, name: str, epilog: str) -> None:
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
