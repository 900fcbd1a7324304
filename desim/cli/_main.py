"""``desim COMMAND``: finds the command's module, and turns errors into exit codes.

====  ==========================================================
0     done
1     done, but something expected did not happen
2     the user's words cannot be done; each mistake is one line
130   interrupted (Ctrl-C); what there was has been kept
141   whoever read the output has gone
====  ==========================================================
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from desim.cli._commands import COMMANDS
from desim.cli._screen import complain, forget_stdout, prepare_streams
from desim.collector import collect_no_more, collect_rarely, end_at_once
from desim.errors import UserError, nearest
from desim.version import __version__

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""What becomes of writing to a stdout that takes no more."""

USAGE = """usage: desim COMMAND ...

A deterministic simulation of QEMU's user networking: a host socket, slirp, the
hub, the e1000 card, and the driver, kernel and programs of a Linux guest.

commands:
{commands}

desim COMMAND --help says more. To begin: desim run hello
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code is returned.

    Without ``argv`` the process is this command's alone, and its garbage is handled so.
    """
    if argv is None:
        collect_rarely()
    try:
        return _answered(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # a second one, while the first was being told
        return 130
    finally:
        if argv is None:
            collect_no_more()


def process() -> int:
    """What the command ``desim`` is: ``main``, and the end of the process, or its exit code."""
    code = main()
    end_at_once(code)
    return code


def _answered(words: list[str]) -> int:
    prepare_streams()
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except UserError as error:
        complain(*error.messages)
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:
        forget_stdout()
        return 141
    except OSError as error:
        if error.filename is not None or error.errno not in UNWRITABLE:
            raise
        forget_stdout()
        complain(f"standard output: {error.strerror}")
        return 2


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["help"] and len(words) > 1:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help", "help"):
        commands = "\n".join(f"  {name:<13}{text}" for name, text in COMMANDS.items())
        print(USAGE.format(commands=commands), end="")
        return 0
    if words[0] in ("-V", "--version"):
        print(f"desim {__version__}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        allowed = ", ".join(COMMANDS)
        hint = nearest(name, COMMANDS) or _scenario_hint(name)
        raise UserError(f"{name}: no such command; there are {allowed}{hint}")
    module = import_module("desim.cli." + name.replace("-", "_"))
    command: Callable[[list[str]], int] = module.command
    return command(rest)


def _scenario_hint(name: str) -> str:
    """For somebody who names a scenario, or QEMU's options, and no command."""
    from desim.scenario.shipped import shipped_scenarios

    if name in shipped_scenarios() or name.endswith(".toml"):
        return f"; did you mean 'desim run {name}'?"
    if name.startswith("-") and not name.startswith("--"):
        return "; QEMU's options come after 'desim qemu'"
    return ""
