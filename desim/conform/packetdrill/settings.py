"""What the commands of a script set: ``sysctl`` lines, packetdrill's own ``defaults.sh``, and
files of zeros for ``sendfile`` (``dd``).

No command is executed. Those that set what the modelled TCP obeys are read; those that could
change nothing here are passed over; any other is refused by its name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from desim.conform.packetdrill.errors import NotModelled, ScriptError
from desim.guest.net.tcp import sysctl
from desim.guest.net.tcp.sysctl import PREFIX, TcpSysctl

DEFAULTS = """
sysctl -q net.ipv4.tcp_rmem="4096 540000 $((15*1024*1024))"
sysctl -q net.ipv4.tcp_wmem="4096 $((256*1024)) 4194304"
sysctl -q net.ipv4.tcp_timestamps=1 net.ipv4.tcp_sack=1
sysctl -q net.ipv4.tcp_syn_retries=5 net.ipv4.tcp_synack_retries=5
sysctl -q net.ipv4.tcp_frto=2 net.ipv4.tcp_reordering=3
sysctl -q net.ipv4.tcp_slow_start_after_idle=0 net.ipv4.tcp_tso_win_divisor=3
sysctl -q net.ipv4.tcp_pacing_ss_ratio=200 net.ipv4.tcp_pacing_ca_ratio=120
"""
"""The values that packetdrill's ``defaults.sh`` sets, where no such file lies beside a script."""

WITHOUT_EFFECT: dict[str, tuple[str, ...] | None] = {
    "tcp_congestion_control": ("cubic",),
    "tcp_dsack": None,
    "tcp_early_retrans": None,
    "tcp_ecn": ("0", "2"),
    "tcp_ecn_option": None,
    "tcp_fack": None,
    "tcp_fastopen": None,
    "tcp_fastopen_key": None,
    "tcp_no_metrics_save": None,
    "tcp_notsent_lowat": ("4294967295", "-1"),
    "tcp_recovery": None,
    "tcp_syncookies": ("0", "1"),
}
"""Settings that cannot matter to a peer without options, and the values for which that holds."""

MOST_BYTES = 64 * 1024
MOST_ZEROS = 1 << 24
"""How large a file of a script may be."""
_SUM = re.compile(r"\$\(\(([0-9*+ ]{1,60})\)\)")
_UNITS = {"": 1, "K": 1024, "M": 1024**2}


@dataclass(slots=True)
class Settings:
    """What a script's commands have set so far; ``folder`` is where the script lies.

    ``files`` are the sizes of the files that they have made, by name.
    """

    folder: Path
    values: dict[str, str] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)

    def command(self, line: int, text: str) -> int:
        """Take in a command of the script; nanoseconds that it would sleep."""
        slept_ns = 0
        for words in _commands(line, text):
            slept_ns += self._one(line, words)
        self.made(line)
        return slept_ns

    def made(self, line: int) -> TcpSysctl:
        """The settings of the stack; ``ScriptError`` for a value that Linux would not take."""
        try:
            return sysctl.read(f"{PREFIX}{name}={value}" for name, value in self.values.items())
        except ValueError as error:
            raise ScriptError(line, str(error)) from None

    def _one(self, line: int, words: list[str]) -> int:
        name, *rest = words
        if Path(name).name == "defaults.sh":
            self._defaults(line, name)
        elif name == "sysctl":
            for word in rest:
                if not word.startswith("-"):
                    self._set(line, word)
        elif Path(name).name == "set_sysctls.py" and rest:
            for word in rest:
                self._set(line, word.removeprefix("/proc/sys/").replace("/", "."))
        elif name == "sleep" and len(rest) == 1 and re.fullmatch(r"\d{1,4}(\.\d{1,9})?", rest[0]):
            whole, _, part = rest[0].partition(".")
            return int(whole) * 1_000_000_000 + int(part.ljust(9, "0"))
        elif Path(name).name == "dd":
            self._zeros(line, rest)
        elif Path(name).name == "rm" and rest[:1] == ["-f"] and len(rest) == 2:
            self.files.pop(rest[1], None)
        elif words[:3] == ["ip", "tcp_metrics", "flush"] or name in ("nstat", "echo", "true"):
            pass  # nothing is remembered of earlier connections; nothing is printed
        elif words[:3] == ["tc", "qdisc", "add"] and words[-1] in ("pfifo", "fq_codel"):
            pass  # neither paces
        else:
            raise NotModelled(line, f"the command {' '.join(words)[:60]!r}")
        return 0

    def _zeros(self, line: int, words: list[str]) -> None:
        """``dd bs=1K count=5 if=/dev/zero of=/tmp/file``."""
        given = dict(word.partition("=")[::2] for word in words)
        size = 1
        for key in ("bs", "count"):
            number = re.fullmatch(r"(\d{1,9})([KM]?)", given.pop(key, "512" if key == "bs" else ""))
            size *= int(number[1]) * _UNITS[number[2]] if number else MOST_ZEROS + 1
        name = given.pop("of", "")
        given.pop("status", None)
        if given != {"if": "/dev/zero"} or not name or size > MOST_ZEROS:
            raise NotModelled(line, f"the command {' '.join(['dd', *words])[:60]!r}")
        self.files[name] = size

    def _defaults(self, line: int, name: str) -> None:
        path = self.folder / name
        text = DEFAULTS
        try:
            if path.is_file() and path.stat().st_size <= MOST_BYTES:
                text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScriptError(line, f"{name}: {error}") from None
        for words in _commands(line, text):
            if Path(words[0]).name != "defaults.sh":
                self._one(line, words)

    def _set(self, line: int, word: str) -> None:
        name, equals, value = word.partition("=")
        short = name.removeprefix(PREFIX)
        if not equals or not name.startswith(PREFIX + "tcp_"):
            raise NotModelled(line, f"the setting {word[:60]!r}")
        if short in WITHOUT_EFFECT:
            allowed = WITHOUT_EFFECT[short]
            if allowed is not None and value not in allowed:
                raise NotModelled(line, f"{short}={value[:40]}")
        elif short in sysctl.NOT_OBEYED:
            raise NotModelled(line, f"the setting {short}")
        else:
            self.values[short] = value


def _commands(line: int, text: str) -> Iterator[list[str]]:
    """The words of each command, without comments and redirections."""
    text = _SUM.sub(lambda found: str(_sum(found[1])), text.replace("\\\n", " "))
    for part in re.split(r"\n|;|&&", text):
        try:
            words = shlex.split(part, comments=True)
        except ValueError as error:
            raise ScriptError(line, f"the command {part.strip()[:40]!r}: {error}") from None
        while words and re.match(r"\d?>", words[-1]):
            words.pop()
        if len(words) > 1 and re.fullmatch(r"\d?>", words[-2]):
            del words[-2:]
        if words:
            yield words


def _sum(text: str) -> int:
    """``$((15*1024*1024))``, modulo what a setting can be."""
    total = 0
    for term in text.split("+"):
        product = 1
        for factor in term.split("*"):
            product = product * int(factor.strip() or 0) % (1 << 64)
        total += product
    return total
