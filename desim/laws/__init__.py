"""The laws that every run keeps, one function each, whose docstring states it.

``table`` has all of them; ``law`` says what one is and what it is given. To read them:

* ``bytes``: what arrives of what was sent
* ``frames``: what becomes of each frame
* ``card``: rings and interrupts
* ``tcp``: windows, sequence numbers, timers
* ``time``: order, journeys, the end
* ``same``: pairs of runs that must be the same
* ``parts``: parts that a law drives by itself, with inputs drawn from the run

A law is given a run (``desim.laws.law.Run``) and gives one text for each way in which the run
breaks it. ``desim run`` judges a scenario by those that it names (``expect.laws``), ``desim fuzz``
searches for a scenario that breaks one.
"""
