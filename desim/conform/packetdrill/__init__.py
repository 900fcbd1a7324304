"""Scripts of packetdrill's language, run against the modelled guest alone.

Read in this order: ``script`` (what a script is), ``lexer`` and ``parser`` (from text to
that), ``settings`` (what its commands set), ``assertions`` (its pieces of Python),
``calls`` (its system calls), ``packets`` (what comes and what goes), ``runner`` (its time).

A script that needs what is not modelled is refused with the name of that: it neither
passes nor fails.
"""
