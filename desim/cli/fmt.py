"""``desim fmt FILE...``"""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path

from desim.cli._arguments import Parser
from desim.cli._screen import complain, say
from desim.disk import kind_of, write_whole
from desim.errors import UserError
from desim.scenario.layout import formatted
from desim.scenario.loader import read_text
from desim.toml_limits import MAX_BYTES

EPILOG = """\
A file that is laid out already is not touched. Comments, the order of keys and every value stay as
they are. Whether a scenario can be run is not looked at: desim run says that, and what is wrong.
- reads standard input and prints what it would be.
Exit code: 0; 1 with --check if a file would be changed; 2 if one is no TOML or cannot be
written, and then the others are laid out all the same.
"""


def parser() -> Parser:
    """What ``desim fmt`` takes."""
    made = Parser("fmt", EPILOG)
    made.add_argument("files", metavar="FILE", nargs="+", help="a scenario file, or -")
    made.add_argument(
        "--check",
        action="store_true",
        help="change nothing; name the files that are laid out otherwise, and exit with 1",
    )
    made.add_argument(
        "--diff", action="store_true", help="change nothing; show what would be changed"
    )
    return made


def command(words: list[str]) -> int:
    """Lay out scenario files in one way."""
    arguments = parser().read(words)
    mistakes: list[str] = []
    changed = False
    for name in arguments.files:
        try:
            changed |= _file(name, check=arguments.check, diff=arguments.diff)
        except UserError as error:
            mistakes += error.messages
    if mistakes:
        complain(*mistakes)
        return 2
    return 1 if arguments.check and changed else 0


def _file(name: str, *, check: bool, diff: bool) -> bool:
    """Lay out one file, or say what would become of it: whether it is laid out otherwise."""
    if name == "-":
        label, raw = "standard input", sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        label, raw = name, _read(name)
    old = read_text(raw, label)
    new = formatted(old)
    if diff:
        pieces = unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), label, label
        )
        for piece in pieces:
            say(piece.removesuffix("\n"))
    elif check:
        if new != old:
            say(label)
    elif name == "-":
        sys.stdout.buffer.write(new.encode())
    elif new != old:
        _write(Path(name), new)
        say(label)
    return new != old


def _read(name: str) -> bytes:
    path = Path(name)
    kind = kind_of(path)
    if kind != "file":
        raise UserError(f"fmt: {name}: {'there is no such file' if kind is None else 'is no file'}")
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"fmt: {name}: cannot be read: {error.strerror}") from None


def _write(path: Path, text: str) -> None:
    try:
        mode = path.stat().st_mode
        write_whole(path, text)
        path.chmod(mode & 0o7777)
    except OSError as error:
        raise UserError(f"fmt: {path}: cannot be written: {error.strerror}") from None
