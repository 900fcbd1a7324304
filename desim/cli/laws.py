"""``desim laws [NAME]``"""

from __future__ import annotations

import textwrap

from desim.cli._arguments import Parser
from desim.cli._screen import say

WIDTH = 78


def parser() -> Parser:
    """What ``desim laws`` takes."""
    made = Parser("laws")
    made.add_argument("law", metavar="NAME", nargs="?", help="tell this one as a whole instead")
    return made


def command(words: list[str]) -> int:
    """List the laws, each with its first sentence; or tell one, with what stands behind it."""
    from desim.laws.table import LAWS, find

    name = parser().read(words).law
    if name is not None:
        law = find(name)
        say(f"{law.name}: {law.statement}")
        say("")
        say(f"judges     {law.judges}")
        say(f"test       {law.test}")
        say(f"recording  {law.recording}")
        say(f"in a file  [expect] laws = [{law.name!r}]".replace("'", '"'))
        return 0
    for law in LAWS.values():
        say(law.name)
        for line in textwrap.wrap(law.summary, WIDTH - 4):
            say(f"    {line}")
    return 0
