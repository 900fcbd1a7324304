"""How a machine is wired, as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from desim.report import topology as shown
from desim.topology import graph, path

if TYPE_CHECKING:
    import networkx as nx

    from desim.config import MachineConfig


@final
class Topology:
    """The stations of a machine and what connects them. Made by ``Scenario.topology()``."""

    __slots__ = ("_config",)

    def __init__(self, config: MachineConfig) -> None:
        self._config = config

    @property
    def path(self) -> tuple[str, ...]:
        """The stations from the host's programs to the guest's; empty if there is no way."""
        return tuple(path(self._config))

    @property
    def graph(self) -> nx.Graph[str]:
        """A networkx graph: nodes have ``room`` and ``what``, edges have ``by``."""
        return graph(self._config)

    def text(self) -> str:
        """The way from the host to the guest, a line for each station and link."""
        return shown.text(self._config)

    def dot(self) -> str:
        """The graph in Graphviz' language."""
        return shown.dot(self._config)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Topology of {self._config.name!r}: {len(self.path)} stations on the way>"
