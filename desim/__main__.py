"""``python -m desim`` is ``desim``."""

import sys

from desim.cli import process

sys.exit(process())
