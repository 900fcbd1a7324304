"""Small faults, put into the models one at a time: what notices them?

``faults.toml`` has the list, each fault with what it does. ``nox -s mutants`` puts each into a copy
of the models, and asks the laws (``search.py``), the tests and the recordings of its room. A fault
that nothing notices is a hole in the laws; ``tests/mutants/noticed.txt`` has what was found last.
"""
