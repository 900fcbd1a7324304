"""``desim completion SHELL``: what a shell needs to complete desim's words.

Everything in the script is made from the commands' own parsers and the list of what ships.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from importlib import import_module

from desim.cli._arguments import Parser
from desim.cli._commands import COMMANDS
from desim.cli._screen import say
from desim.costs.profile import shipped as shipped_profiles
from desim.data import NamedTuple
from desim.scenario.qemu_words import NETWORK
from desim.scenario.shipped import shipped_scenarios

EPILOG = """\
  bash   eval "$(desim completion bash)"       in ~/.bashrc
  zsh    eval "$(desim completion zsh)"        in ~/.zshrc, behind compinit
  fish   desim completion fish > ~/.config/fish/completions/desim.fish
"""


class Words(NamedTuple):
    """What can be written behind one command."""

    options: dict[str, str]
    """With what each is, for shells that show it."""
    values: dict[str, list[str]]
    """Of options that take one of some words."""
    first: list[str]
    """Words that stand for themselves, beside files."""


def parser() -> Parser:
    """What ``desim completion`` takes."""
    made = Parser("completion", EPILOG)
    made.add_argument("shell", choices=list(_SHELLS), help="the shell that is to complete")
    return made


def command(words: list[str]) -> int:
    """Print the script."""
    shell = parser().read(words).shell
    say(_SHELLS[shell](_words()).rstrip("\n"))
    return 0


def _words() -> dict[str, Words]:
    return {name: _of(name) for name in COMMANDS}


def _of(name: str) -> Words:
    takes: Parser = import_module("desim.cli." + name.replace("-", "_")).parser()
    options: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    first: list[str] = []
    for action in takes.full._actions:
        known = _values(action)
        for option in action.option_strings:
            options[option] = action.help or ""
            if known:
                values[option] = known
        if not action.option_strings:
            first += known
    if name == "explain":
        first += shipped_scenarios()
    if name in ("explain", "qemu"):
        first += NETWORK
    return Words(options, values, first)


def _values(action: argparse.Action) -> list[str]:
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    if action.dest in ("scenario", "origin"):
        return list(shipped_scenarios())
    return list(shipped_profiles()) if action.dest == "costs" else []


def _bash(words: dict[str, Words]) -> str:
    cases = "".join(
        f"    {name}) options={shlex.quote(' '.join(of.options))}"
        f" words={shlex.quote(' '.join(of.first))} ;;\n"
        for name, of in words.items()
    )
    values = "".join(
        f"    {name}:{option}) words={shlex.quote(' '.join(known))} options= files=0 ;;\n"
        for name, of in words.items()
        for option, known in of.values.items()
    )
    return f"""\
_desim() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  local words="" options="" files=1
  if [ "$COMP_CWORD" -eq 1 ]; then
    words={shlex.quote(" ".join(words))} files=0
  else
    case "${{COMP_WORDS[1]}}" in
{cases}    esac
    case "${{COMP_WORDS[1]}}:$before" in
{values}    esac
  fi
  [ "${{word#-}}" = "$word" ] || words="$words $options"
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  if [ "$files" -eq 1 ] && [ "${{word#-}}" = "$word" ]; then
    COMPREPLY+=($(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _desim desim
"""


def _zsh(words: dict[str, Words]) -> str:
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(words)


def _fish(words: dict[str, Words]) -> str:
    lines = [
        f"complete -c desim -f -n __fish_use_subcommand -a {name} -d {_fish_text(COMMANDS[name])}"
        for name in words
    ]
    for name, of in words.items():
        when = f"complete -c desim -n '__fish_seen_subcommand_from {name}'"
        for option, about in of.options.items():
            dashed = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            known = of.values.get(option)
            value = f" -x -a {_fish_text(' '.join(known))}" if known else ""
            lines.append(f"{when} {dashed} -d {_fish_text(about)}{value}")
        if of.first:
            lines.append(f"{when} -a {_fish_text(' '.join(of.first))}")
    return "\n".join(lines) + "\n"


def _fish_text(text: str) -> str:
    """Text in single quotes, of which fish knows two escapes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_SHELLS: dict[str, Callable[[dict[str, Words]], str]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}
