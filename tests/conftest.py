"""How properties are tried: the same examples every time in the gate, new ones on request.

A gate that draws new examples fails one day for a reason that is not in the change. So
the default profile always draws the same ones; ``nox -s quick`` draws few of them, and
``nox -s explore`` (or ``--hypothesis-profile=explore``) looks for more, and what it finds
becomes a test. No property has a time limit that a slow machine could miss.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

# For ``benchmarks``. At the end: desim itself is the one that is installed.
sys.path.append(str(Path(__file__).resolve().parents[1]))

settings.register_profile("gate", deadline=None, derandomize=True)
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=10)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("gate")
