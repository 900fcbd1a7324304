"""A sweep on a cluster of Dask's: its client is an ``Executor`` like any other.

Dask gives runs to its workers, and to others when a worker is gone; nothing of that is done here.
Each worker needs the same desim, and the scenario's files at the same places; both are checked
where it begins (:func:`desim.sweeps.work.run_chunk`).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from desim.errors import UserError

PREFIX = "dask://"
NEEDS = "--executor dask://... needs Dask: pip install 'desim[cluster]'"
PATIENCE_S = 10


def dask_executor(address: str) -> Callable[[], Executor]:
    """What connects to the scheduler at ``dask://HOST:PORT``.

    Raises ``UserError`` if the address is none, if Dask is missing, or if nobody answers.
    """
    place = address.removeprefix(PREFIX)
    if not address.startswith(PREFIX) or not place:
        raise UserError(f"--executor {address}: must be {PREFIX}HOST:PORT")
    try:
        from distributed import Client
    except ImportError:
        raise UserError(NEEDS) from None
    try:
        client = Client(place if "://" in place else f"tcp://{place}", timeout=PATIENCE_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise UserError(f"--executor {address}: no scheduler of Dask's answers ({error})") from None
    return lambda: executor_of(client)


def executor_of(client: Any) -> Executor:
    """The executor of a client. Each chunk is made once, whatever Dask remembers of others."""
    made: Executor = client.get_executor(pure=False)
    return made
