"""Errors that are the user's to correct, as opposed to errors of the model.

    UserError          something the user wrote or asked for cannot be done

A model error is an assertion that failed, and keeps its traceback. A
:class:`UserError` never shows one: the command line prints its messages, one a
line, and exits with 2.
"""

from __future__ import annotations

from collections.abc import Iterable


class UserError(Exception):
    """What the user gave, where, what is allowed and what to do: one message per mistake."""

    def __init__(self, *messages: str) -> None:
        if not messages:
            raise TypeError("a UserError needs at least one message")
        super().__init__(*messages)
        self.messages = list(messages)

    def __str__(self) -> str:
        return "\n".join(self.messages)


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the known spelling nearest to ``word``, or ``""``."""
    from difflib import get_close_matches  # costs every start what only mistakes need

    found = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""
