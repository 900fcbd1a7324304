"""Many runs of one scenario: which there are, making them on all processors, keeping a row of each.

Theory of operation
-------------------
A sweep is a scenario and a *plan* (``plan.py``): keys of the scenario that vary, as ``--set`` takes
them, and seeds. Each run has a number. Its *row* (``row.py``) holds what varied, the figures of the
run, its fingerprint and the version of desim; nothing of it depends on who made it, nor when.

Rows are made by workers (``work.py``) behind the interface of ``concurrent.futures.Executor``
(``execute.py``): a pool of processes, a cluster of Dask's (``cluster.py``), or this process. They
go into a database (``database.py``: its docstring has the form) as they come. What is there is not
made again: a sweep that was interrupted or killed goes on where it was.

``sweep.py`` puts these together. ``find.py`` and ``advise.py`` search on top of it.
"""
