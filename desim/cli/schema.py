"""``desim schema``"""

from __future__ import annotations

from desim.cli._arguments import Parser
from desim.cli._screen import say

EPILOG = """\
An editor that knows JSON Schemas of TOML files (Taplo, Even Better TOML) completes and checks
a scenario that begins with the line

  #:schema scenario.schema.json

after desim schema > scenario.schema.json. The scenarios that ship begin so.
"""


def parser() -> Parser:
    """What ``desim schema`` takes: nothing."""
    return Parser("schema", EPILOG)


def command(words: list[str]) -> int:
    """Print the JSON Schema of scenario files."""
    parser().read(words)
    import json

    from desim.scenario.json_schema import json_schema

    say(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
