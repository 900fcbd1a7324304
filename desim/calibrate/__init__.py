"""Cost profiles fitted to recorded runs of a Linux guest: ``desim calibrate``.

Theory of operation
-------------------
A stage's cost is a figure in instructions. What a recording measures (a round trip, a
stretch of a kernel trace) is a sum of figures, each as often as its stage was passed:
the simulation knows how often. So each *observation* is an equation, and the profile
that fits all of them best is found by least squares with no figure below zero.

Which way the simulation goes depends on the figures themselves, so this is repeated
with what was found until it stays as it is. Where recordings show only the sum of
several stages, least squares gives each an equal share of what is not known.
"""
