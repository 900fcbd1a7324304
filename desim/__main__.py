"""``python -m desim`` is ``desim``."""

import sys

from desim.cli import main

sys.exit(main())
