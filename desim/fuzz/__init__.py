"""Search for a scenario that breaks a law.

Theory of operation
-------------------
A scenario is one number. ``scenario.scenario_of(number)`` draws all of it from SHA-256 streams
with names (``draw``), so that one number is the same scenario on every machine and Python. The
numbers of one *bench* (64 of them) share a machine and differ in traffic, so that their runs go on
from one boot (``desim.experiment.many``); a bench is drawn swarm style: it switches off whole
kinds of things first.

* ``bench``, ``traffic``: what a machine and its traffic are drawn from
* ``judge``: a run, judged by the laws, and the marks that it hit
* ``marks``: rare branches, told from what a run records anyway
* ``campaign``: the examples of one search, their order, what came of them
* ``corpus``: scenarios that were the first to hit a mark, and changes of them
* ``toml``: a scenario as the text of its file
* ``finding``: a scenario that breaks a law, as a file that ``desim run`` replays
* ``shrink``: the same, smaller

Why no hypothesis here: a search wants many runs from few boots, the same run from the same number
for ever, a corpus of files that grows, and reduction of a *file* that a person may have written.
Hypothesis draws anew with each version of itself, and shrinks what it has drawn, not a file. Where
somebody writes a property in a test of their own hypothesis is the better tool:
``desim.testing.strategies`` draws scenarios with it, piece by piece, so that it shrinks them.
"""
