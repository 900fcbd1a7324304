"""How fast desim is: counts, and ratios to other programs in one run. ``python -m benchmarks``."""
