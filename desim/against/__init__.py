"""desim held against the originals: the same input for both, and the shortest on which they differ.

Theory of operation
-------------------
An *original* (``original.py``) is a real program that desim models a part of: libslirp, or the card
of QEMU. From a number it draws an *input*, a plain value of JSON: a conversation, a program for the
card. It gives the input to the real thing, which makes it a *recording*, the same as those of
tests/vectors; and the judge of ``desim conform`` replays the recording on the model. So a
difference that is found here is one that ``desim conform`` finds, for ever and without the
original.

A search (``search.py``) goes through the numbers, one input each. An input is judged in one worker
from beginning to end: drawn, recorded, replayed, and made smaller if there is a difference. What
marks an input has hit (``marks.py``: the modelled functions that were entered, the reasons in the
ledger) decides whether a corpus keeps it.

Nothing is drawn from the clock or from Python's own generator (``strategy.py``): one number is one
input, on every machine.
"""
