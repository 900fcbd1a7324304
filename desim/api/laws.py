"""Laws of one's own: functions that judge a result, in a file that ``--laws`` names."""

from __future__ import annotations

import inspect
import runpy
import traceback
from collections.abc import Callable, Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import final

from desim.api.result import Result
from desim.errors import UserError

Judging = Callable[[Result], Iterable[str] | None]
"""Says each way in which a result breaks the law; or raises AssertionError."""


@final
class UserLaw:
    """A law of a user's. Made by :func:`desim.law`; called, it is the function itself."""

    __slots__ = ("_check", "name", "statement")

    def __init__(self, check: Judging) -> None:
        self._check = check
        self.name = check.__name__.replace("_", "-")
        self.statement = inspect.cleandoc(check.__doc__ or "")
        """Its docstring."""

    def __call__(self, result: Result) -> Iterable[str] | None:
        return self._check(result)

    def __repr__(self) -> str:
        return f"<law {self.name}>"

    def broken(self, result: Result) -> list[str]:
        """Each way in which ``result`` breaks it.

        Raises :class:`desim.UserError` if the function fails otherwise than by an assertion.
        """
        try:
            found = self._check(result)
            return [] if found is None else [str(one) for one in found]
        except AssertionError as error:
            return [str(error).partition("\n")[0] or "an assertion fails"]
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            raise UserError(
                f"the law {self.name} itself fails: {type(error).__name__}: {error} "
                f"({Path(where.filename).name}:{where.lineno})"
            ) from None


def law(check: Judging) -> UserLaw:
    """Make a law of a function, as a decorator: ``desim fuzz --laws FILE`` judges runs by it.

    The function is given a :class:`desim.Result` that has kept everything. It asserts, or gives
    one text for each way in which the result breaks the law. Its name is the law's, and its
    docstring states it.
    """
    return UserLaw(check)


def load_laws(file: str | PathLike[str]) -> list[UserLaw]:
    """The laws in a Python file, which is run for that.

    Raises :class:`desim.UserError` if it cannot be run, or has no laws.
    """
    name = fspath(file)
    try:
        found = runpy.run_path(name)
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror}") from None
    except Exception as error:
        raise UserError(f"{name}: {type(error).__name__}: {error}") from None
    laws = [value for value in found.values() if isinstance(value, UserLaw)]
    if not laws:
        raise UserError(f"{name}: no function in it is decorated with @desim.law")
    return laws
